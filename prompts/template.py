"""One version of a prompt template: its values checked, its messages rendered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate

from allotrope.exceptions import PromptError
from allotrope.prompts import mustache
from allotrope.prompts.fencing import Fenced, Trusted, fence, neutralise
from allotrope.prompts.schema import NESTED, FrontMatter, Part

_MESSAGES: Mapping[str, type[BaseMessage]] = {
    "system": SystemMessage,
    "human": HumanMessage,
    "ai": AIMessage,
}


@dataclass(frozen=True)
class PromptTemplateVersion:
    """One immutable version of a template.

    Args:
        meta: The front matter.
        parts: The messages, partials put in.
        text: The file as it is.
        origin: Where it was read from.
        hash: SHA-256 of the text and of each partial in it.
        partials: The partials it holds, `name@version`.
    """

    meta: FrontMatter
    parts: tuple[Part, ...]
    text: str = field(repr=False)
    origin: str
    hash: str
    partials: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The template's name, the same for all versions."""
        return self.meta.name

    @property
    def version(self) -> int:
        """The version's number."""
        return self.meta.version

    @property
    def ref(self) -> str:
        """`name@version`, as it stands in run metadata, ledger and reports."""
        return f"{self.meta.name}@{self.meta.version}"

    @cached_property
    def chat_prompt(self) -> ChatPromptTemplate:
        """The template for LangChain; `invoke` ignores names that the template doesn't know."""
        from allotrope.prompts.chat_prompt import chat_prompt

        return chat_prompt(self)

    @cached_property
    def opens_alike(self) -> bool:
        """Whether the first message is a system message that is the same in every turn.

        It is where it holds no context slot and no text from outside. Providers keep such a prompt
        in their cache.
        """
        first = self.parts[0] if self.parts else None
        if first is None or first.role != "system":
            return False
        return not {use.root for use in mustache.uses(first.text)}.intersection(self._fenced)

    @cached_property
    def _defaults(self) -> dict[str, Any]:
        given = {n: v.default for n, v in self.meta.variables.items() if not v.required}
        return {**dict.fromkeys(self.meta.context, ""), **given}

    @cached_property
    def _required(self) -> tuple[str, ...]:
        slots = [n for n, slot in self.meta.context.items() if slot.required]
        return (*(n for n, v in self.meta.variables.items() if v.required), *slots)

    def check(self, values: Mapping[str, Any], *, strict: bool = True) -> dict[str, Any]:
        """The values with defaults filled in.

        Args:
            values: By name of variable or context slot.
            strict: Refuse names that the template doesn't declare.

        Raises:
            PromptError: A value is missing, of the wrong type, or (strict) not declared.
        """
        for name in self._required:
            if values.get(name) is None or (name in self.meta.context and not values[name]):
                raise PromptError(
                    f"Prompt {self.ref} needs the variable {name!r}, which was not given.",
                    hint=f"See `allotrope prompts show {self.ref}`.",
                )
        filled = dict(self._defaults)
        for name, value in values.items():
            variable = self.meta.variables.get(name)
            if variable is not None:
                if value is None and not variable.required:
                    continue
                if not variable.accepts(value):
                    raise PromptError(
                        f"Prompt {self.ref}: variable {name!r} must be of type {variable.type}, "
                        f"not {type(value).__name__}."
                    )
                if callable(value) or _holds_code(value):
                    raise PromptError(f"Prompt {self.ref}: variable {name!r} holds code.")
            elif name in self.meta.context:
                if not isinstance(value, str):
                    raise PromptError(
                        f"Prompt {self.ref}: context slot {name!r} must be text, "
                        f"not {type(value).__name__}."
                    )
            elif strict:
                raise PromptError(
                    f"Prompt {self.ref} has no variable {name!r}.",
                    hint=f"It has: {', '.join(sorted(self._names)) or 'none'}.",
                )
            else:
                continue
            filled[name] = value
        return filled

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(self.meta.variables) | frozenset(self.meta.context)

    @cached_property
    def _gates(self) -> frozenset[str]:
        """Names of plain values whose sections don't use the value as `{{.}}`."""
        plain = {n for n, v in self.meta.variables.items() if v.type not in NESTED}
        plain |= set(self.meta.context)
        uses = [
            use
            for part in self.parts
            if part.role != "placeholder"
            for use in mustache.uses(part.text)
            if use.inside
        ]
        own_value = {use.inside[-1] for use in uses if use.name == "."}
        # Inside a list's item, a field of the same name counts first.
        in_items = {use.root for use in uses if not plain.issuperset(use.inside)}
        return frozenset(plain - own_value - in_items)

    @cached_property
    def _compiled(self) -> tuple[tuple[Part, mustache.Tokens], ...]:
        return tuple(
            (part, mustache.gated(mustache.compile_text(part.text), self._gates))
            for part in self.parts
        )

    @cached_property
    def _fenced(self) -> tuple[str, ...]:
        """The names whose text is put in as data."""
        slots = [n for n, slot in self.meta.context.items() if not slot.trusted]
        return (*(n for n, v in self.meta.variables.items() if v.untrusted), *slots)

    @cached_property
    def _untouched(self) -> frozenset[str]:
        """The slots of our own words, and messages, which cross the border one by one."""
        slots = [n for n, slot in self.meta.context.items() if slot.trusted]
        return frozenset(
            [*slots, *(n for n, v in self.meta.variables.items() if v.type == "messages")]
        )

    def render(self, values: Mapping[str, Any], *, strict: bool = True) -> list[BaseMessage]:
        """The messages, with the values put in; a message that ends up blank is left out.

        This is the one border to a model. Text of untrusted variables and slots is fenced as data,
        unless it is `Fenced` already; in every other text, the conversation's too, what reads as a
        fence's tag or as a chat format's token is taken out, unless it is `Trusted`.

        Args:
            values: By name of variable or context slot.
            strict: Refuse names that the template doesn't declare.

        Raises:
            PromptError: A value is missing, of the wrong type, or (strict) not declared.
        """
        filled = self.check(values, strict=strict)
        for name, value in filled.items():
            if name in self._fenced:
                filled[name] = _as_data(value, name) if value else value
            elif name not in self._untouched:
                filled[name] = _crossed(value)
        for name in self._gates:
            filled[f"?{name}"] = filled if filled[name] else False
        messages: list[BaseMessage] = []
        for part, tokens in self._compiled:
            if part.role == "placeholder":
                messages.extend(
                    map(crossed_message, _messages(filled[part.name or ""], ref=self.ref))
                )
                continue
            text = mustache.render(tokens, filled).strip()
            if text:
                messages.append(_MESSAGES[part.role](content=text))
        return messages


def _crossed(value: Any) -> Any:
    """A value with every plain text in it neutralised."""
    if isinstance(value, Fenced | Trusted):
        return value
    if isinstance(value, str):
        return neutralise(value)
    if isinstance(value, list | tuple):
        return [_crossed(item) for item in value]
    if isinstance(value, dict):
        return {key: _crossed(item) for key, item in value.items()}
    return value


def crossed_message(message: BaseMessage) -> BaseMessage:
    """A message without a chat format's tokens; a copy where something was taken out.

    A tool's result keeps the fences that the tool put around what it read.

    Args:
        message: Of a conversation.
    """
    if isinstance(message, SystemMessage):
        return message
    tags = not isinstance(message, ToolMessage)

    def clean(block: Any) -> Any:
        if isinstance(block, str):
            return neutralise(block, tags=tags)
        if isinstance(block, Mapping) and isinstance(block.get("text"), str):
            return {**block, "text": neutralise(block["text"], tags=tags)}
        return block

    content = message.content
    new = clean(content) if isinstance(content, str) else [clean(block) for block in content]
    return message if new == content else message.model_copy(update={"content": new})


def _as_data(value: Any, name: str) -> Any:
    """Fences a text, or each text of a list."""
    if isinstance(value, list | tuple):
        return [_as_data(item, name) for item in value]
    return value if isinstance(value, Fenced) else fence(str(value), name=name)


def _holds_code(value: Any) -> bool:
    """Whether a list or dict holds a callable, which Mustache would run."""
    if isinstance(value, dict):
        return any(callable(v) or _holds_code(v) for v in value.values())
    if isinstance(value, list | tuple):
        return any(
            not isinstance(v, BaseMessage) and (callable(v) or _holds_code(v)) for v in value
        )
    return False


def _messages(given: Sequence[Any], *, ref: str) -> list[BaseMessage]:
    if all(isinstance(message, BaseMessage) for message in given):
        return list(given)
    from langchain_core.messages import convert_to_messages

    try:
        return convert_to_messages(given)
    except (ValueError, NotImplementedError, KeyError) as exc:
        raise PromptError(f"Prompt {ref}: a placeholder got what are no messages: {exc}") from exc
