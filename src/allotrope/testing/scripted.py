"""A chat model without a server: scripted answers for unit tests of agents and graphs."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.messages.utils import convert_to_openai_messages
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import Field, PrivateAttr

from allotrope.exceptions import InputError
from allotrope.testing.content.plausible import plausible_reply
from allotrope.testing.content.replies import Reply, ToolCall
from allotrope.testing.content.tokens import rule_of_four
from allotrope.testing.http.wire import Answer, settle
from allotrope.testing.openai.chat import read

Scripted = str | Reply | ToolCall | AIMessage | BaseException | Callable[[list[BaseMessage]], Any]
"""One scripted answer; an exception is raised; a callable gets the messages and returns another."""


class ScriptedChatModel(BaseChatModel):
    """Answers from a list, then echoes; records what it was asked. Sync, async, streaming, tools.

    Args:
        answers: One for each call, in order.
        strict: Whether a call after the last answer is an error instead of an echo.
        model_name: The name it reports.
    """

    answers: list[Any] = Field(default_factory=list)
    strict: bool = False
    model_name: str = "scripted"
    _calls: list[list[BaseMessage]] = PrivateAttr(default_factory=list)
    _kwargs: list[dict[str, Any]] = PrivateAttr(default_factory=list)

    @property
    def calls(self) -> list[list[BaseMessage]]:
        """The messages of each call so far."""
        return self._calls

    @property
    def call_options(self) -> list[dict[str, Any]]:
        """The keyword arguments of each call so far: tools, tool_choice, stop …"""
        return self._kwargs

    @property
    def _llm_type(self) -> str:
        return "allotrope-scripted"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": self.model_name}

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Binds tools in OpenAI's form; they stand in `call_options` of each call."""
        formatted = [convert_to_openai_tool(tool) for tool in tools]
        if tool_choice is not None:
            kwargs["tool_choice"] = tool_choice
        return self.bind(tools=formatted, **kwargs)

    def _answer(self, messages: list[BaseMessage], kwargs: dict[str, Any]) -> AIMessage:
        position = len(self._calls)
        self._calls.append(list(messages))
        self._kwargs.append(kwargs)
        if position < len(self.answers):
            answer = self.answers[position]
        elif self.strict:
            raise InputError(
                f"The scripted model has {len(self.answers)} answers and was asked once more.",
                hint="Add an answer, or leave strict off to get an echo.",
            )
        else:
            answer = None
        while callable(answer) and not isinstance(answer, BaseException | AIMessage):
            answer = answer(list(messages))
        if isinstance(answer, BaseException):
            raise answer
        return answer if isinstance(answer, AIMessage) else self._message(answer, messages, kwargs)

    def _message(
        self, answer: Any, messages: list[BaseMessage], kwargs: dict[str, Any]
    ) -> AIMessage:
        choice = {"any": "required", True: "required"}.get(
            kwargs.get("tool_choice"),
            kwargs.get("tool_choice"),
        )
        body = {
            "messages": convert_to_openai_messages(messages),
            "tools": kwargs.get("tools") or [],
            "tool_choice": choice,
        }
        asked = read(body)
        if answer is None:
            reply = plausible_reply(asked)
        elif isinstance(answer, ToolCall):
            reply = Reply(tool_calls=(answer,))
        else:
            reply = answer if isinstance(answer, Reply) else Reply(str(answer))
        return _as_message(
            settle(
                reply,
                asked,
                model=self.model_name,
                created=0,
                counter=rule_of_four,
                reasoning_tokens=0,
            )
        )

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        message = self._answer(messages, {**kwargs, **({"stop": stop} if stop else {})})
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        message = self._answer(messages, {**kwargs, **({"stop": stop} if stop else {})})
        for chunk in _chunks(message):
            if run_manager is not None:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        message = self._answer(messages, {**kwargs, **({"stop": stop} if stop else {})})
        for chunk in _chunks(message):
            if run_manager is not None:
                await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk


def _as_message(answer: Answer) -> AIMessage:
    import json

    return AIMessage(
        content=answer.text,
        tool_calls=[
            {"id": i, "name": n, "args": json.loads(a or "{}"), "type": "tool_call"}
            for i, n, a in answer.tool_calls
        ],
        response_metadata={"model_name": answer.model, "finish_reason": answer.finish_reason},
        usage_metadata={
            "input_tokens": answer.input_tokens,
            "output_tokens": answer.output_tokens,
            "total_tokens": answer.input_tokens + answer.output_tokens,
        },
    )


def _chunks(message: AIMessage) -> Iterator[ChatGenerationChunk]:
    from allotrope.testing.content.tokens import pieces

    words: list[Any] = pieces(message.content) if isinstance(message.content, str) else []
    if not isinstance(message.content, str):
        words = [message.content]
    for word in words:
        yield ChatGenerationChunk(message=AIMessageChunk(content=word, id=message.id))
    import json

    last = AIMessageChunk(
        content="",
        id=message.id,
        tool_call_chunks=[
            {
                "name": call["name"],
                "args": json.dumps(call["args"]),
                "id": call["id"],
                "index": index,
                "type": "tool_call_chunk",
            }
            for index, call in enumerate(message.tool_calls)
        ],
        usage_metadata=message.usage_metadata,
        response_metadata=message.response_metadata,
        chunk_position="last",
    )
    yield ChatGenerationChunk(message=last)
