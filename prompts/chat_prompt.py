"""A template as LangChain's `ChatPromptTemplate`, rendered by us."""

from typing import TYPE_CHECKING, Any

from langchain_core.messages import BaseMessage
from langchain_core.prompt_values import PromptValue
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from langchain_core.prompts.chat import MessageLikeRepresentation
from langchain_core.runnables import RunnableConfig
from pydantic import PrivateAttr

from allotrope.contracts import Metadata
from allotrope.prompts import mustache

if TYPE_CHECKING:
    from allotrope.prompts.template import PromptTemplateVersion


class LibraryPrompt(ChatPromptTemplate):
    """A `ChatPromptTemplate` that names template and version when a variable is missing.

    Its messages are those of the file, so `pretty_repr`, `input_variables` and the hub's manifest
    work as usual; formatting goes through `PromptTemplateVersion.render`.
    """

    _version: "PromptTemplateVersion" = PrivateAttr()

    def format_messages(self, **kwargs: Any) -> list[BaseMessage]:
        """The messages with the values put in."""
        return self._version.render_untrusted({**self.partial_variables, **kwargs}, strict=False)

    async def aformat_messages(self, **kwargs: Any) -> list[BaseMessage]:
        """The same; rendering never waits."""
        return self.format_messages(**kwargs)

    def partial(self, **kwargs: Any) -> "LibraryPrompt":
        """The same prompt with some values given already."""
        prompt = super().partial(**kwargs)
        assert isinstance(prompt, LibraryPrompt)
        prompt._version = self._version
        return prompt

    def invoke(
        self, input: dict[str, Any], config: RunnableConfig | None = None, **kwargs: Any
    ) -> PromptValue:
        """The prompt value; raises PromptError when a variable is missing."""
        self._check(input)
        return super().invoke(input, config, **kwargs)

    async def ainvoke(
        self, input: dict[str, Any], config: RunnableConfig | None = None, **kwargs: Any
    ) -> PromptValue:
        """The prompt value; raises PromptError when a variable is missing."""
        self._check(input)
        return await super().ainvoke(input, config, **kwargs)

    def _check(self, values: Any) -> None:
        if isinstance(values, dict):
            given = {**self.partial_variables, **values}
            marked = {name: self._version.marked(name, value) for name, value in given.items()}
            self._version.check(marked, strict=False)


def chat_prompt(version: "PromptTemplateVersion") -> ChatPromptTemplate:
    """Builds the `ChatPromptTemplate` of a version; variables with a default become optional."""
    messages: list[MessageLikeRepresentation] = []
    for part in version.parts:
        if part.role == "placeholder":
            variable = version.meta.variables[part.name or ""]
            messages.append(MessagesPlaceholder(part.name or "", optional=not variable.required))
        else:
            messages.append((part.role, mustache.unescaped(part.text)))
    optional = {n: v.default for n, v in version.meta.variables.items() if not v.required}
    optional |= {n: "" for n, slot in version.meta.context.items() if not slot.required}
    prompt = LibraryPrompt.from_messages(messages, template_format="mustache")
    assert isinstance(prompt, LibraryPrompt)
    prompt.metadata = {Metadata.PROMPT: version.ref}
    prompt._version = version
    return prompt.partial(**optional)
