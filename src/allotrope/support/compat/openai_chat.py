"""Private hooks of `langchain_openai.ChatOpenAI`, under names of our own."""

from typing import Any

from langchain_core.language_models import LanguageModelInput
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_openai import ChatOpenAI


class HookedChatOpenAI(ChatOpenAI):
    """`ChatOpenAI` whose request and answer a subclass may change.

    Reason: the class has no public place between its own conversion and the client. Without it:
    nothing that a model refuses is left out (`models.call.repairs`), the client checks each field
    of every tool and message again (1 to 2 ms a call), and an answer with a broken count of tokens
    is lost.
    """

    def more_arguments(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """The arguments of a request before it is made."""
        return arguments

    def finished(self, payload: dict[str, Any]) -> dict[str, Any]:
        """The request as it goes to the client."""
        return payload

    def answered(self, result: ChatResult) -> ChatResult:
        """The answer as the client gave it."""
        return result

    def received(self, chunk: dict[str, Any]) -> dict[str, Any]:
        """A part of a streamed answer as the client gave it."""
        return chunk

    def speaks_responses(self, payload: dict[str, Any]) -> bool:
        """Whether a request goes to the Responses API."""
        return self._use_responses_api(payload)

    def _get_request_payload(
        self, input_: LanguageModelInput, *, stop: list[str] | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        arguments = self.more_arguments(kwargs)
        return self.finished(super()._get_request_payload(input_, stop=stop, **arguments))

    def _create_chat_result(self, response: Any, generation_info: Any = None) -> ChatResult:
        return self.answered(super()._create_chat_result(response, generation_info))

    def _convert_chunk_to_generation_chunk(
        self, chunk: dict[str, Any], *others: Any
    ) -> ChatGenerationChunk | None:
        return super()._convert_chunk_to_generation_chunk(self.received(chunk), *others)
