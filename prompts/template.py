"""One version of a prompt template: its values checked, its messages rendered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.prompts import ChatPromptTemplate

from allotrope.exceptions import PromptError
from allotrope.prompts import mustache
from allotrope.prompts.schema import NESTED, FrontMatter, TemplateMessage
from allotrope.support.fencing import (
    Fenced,
    Trusted,
    Untrusted,
    Value,
    fence,
    has_plain_text,
    neutralise,
    neutralised_message,
    untrusted,
)

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
    parts: tuple[TemplateMessage, ...]
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
        given = {n: _own(v.default) for n, v in self.meta.variables.items() if not v.required}
        return {**dict.fromkeys(self.meta.context, Trusted("")), **given}

    @cached_property
    def _required(self) -> tuple[str, ...]:
        slots = [n for n, slot in self.meta.context.items() if slot.required]
        return (*(n for n, v in self.meta.variables.items() if v.required), *slots)

    def check(self, values: Mapping[str, Value], *, strict: bool = True) -> dict[str, Any]:
        """The values with defaults filled in.

        Args:
            values: By name of variable or context slot.
            strict: Refuse names that the template doesn't declare.

        Raises:
            PromptError: A value is missing, of the wrong type, doesn't say whose it is, or
                (strict) isn't declared.
        """
        for name in self._required:
            value = values.get(name)
            if value is None or (name in self.meta.context and not _plain(value)):
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
                if variable.type != "messages":
                    self._check_marked(name, value)
            elif name in self.meta.context:
                if not isinstance(value, str | Untrusted):
                    raise PromptError(
                        f"Prompt {self.ref}: context slot {name!r} must be text, "
                        f"not {type(value).__name__}."
                    )
                self._check_marked(name, value)
            elif strict:
                raise PromptError(
                    f"Prompt {self.ref} has no variable {name!r}.",
                    hint=f"It has: {', '.join(sorted(self._names)) or 'none'}.",
                )
            else:
                continue
            filled[name] = value
        return filled

    def _check_marked(self, name: str, value: object) -> None:
        if has_plain_text(value):
            raise PromptError(
                f"Prompt {self.ref}: {name!r} got a text that doesn't say whose it is.",
                hint="Give Untrusted(text) for what somebody else wrote, or Trusted(text) for "
                "words of your own (allotrope.support.fencing).",
            )

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
    def _compiled(self) -> tuple[tuple[TemplateMessage, mustache.Tokens], ...]:
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
    def _conversations(self) -> frozenset[str]:
        """The variables with messages, which cross the border one by one."""
        return frozenset(n for n, v in self.meta.variables.items() if v.type == "messages")

    def render_untrusted(
        self, values: Mapping[str, Any], *, strict: bool = True
    ) -> list[BaseMessage]:
        """As `render`, for values whose plain texts all come from somebody else.

        Args:
            values: By name of variable or context slot.
            strict: Refuse names that the template doesn't declare.

        Raises:
            PromptError: A value is missing, of the wrong type, or (strict) not declared.
        """
        return self.render({n: self.marked(n, v) for n, v in values.items()}, strict=strict)

    def marked(self, name: str, value: Any) -> Any:
        """A value whose plain texts are marked as somebody else's.

        Args:
            name: Of the variable or slot; conversations stay as they are.
            value: What it gets.
        """
        return value if name in self._conversations else untrusted(value)

    def render(self, values: Mapping[str, Value], *, strict: bool = True) -> list[BaseMessage]:
        """The messages, with the values put in; a message that ends up blank is left out.

        This is the one border to a model. Each text says whose it is: `Untrusted` ones are fenced
        as data, or, where the template doesn't fence them, and in the conversation too, what reads
        as a fence's tag or as a chat format's token is taken out of them. `Trusted` and `Fenced`
        ones stay as they are. Others are refused.

        Args:
            values: By name of variable or context slot.
            strict: Refuse names that the template doesn't declare.

        Raises:
            PromptError: A value is missing, of the wrong type, doesn't say whose it is, or
                (strict) isn't declared.
        """
        filled = self.check(values, strict=strict)
        for name, value in filled.items():
            if name in self._fenced:
                filled[name] = _as_data(value, name) if value else value
            elif name not in self._conversations:
                filled[name] = _neutralised(value)
        for name in self._gates:
            filled[f"?{name}"] = filled if filled[name] else False
        messages: list[BaseMessage] = []
        for part, tokens in self._compiled:
            if part.role == "placeholder":
                messages.extend(
                    map(neutralised_message, _messages(filled[part.name or ""], ref=self.ref))
                )
                continue
            text = mustache.render(tokens, filled).strip()
            if text:
                messages.append(_MESSAGES[part.role](content=text))
        return messages


def _own(value: Any) -> Any:
    """A default that stands in a template's file."""
    return Trusted(value) if isinstance(value, str) else value


def _plain(value: Any) -> Any:
    return value.text if isinstance(value, Untrusted) else value


def _neutralised(value: Any) -> Any:
    """A value with every text of others in it neutralised."""
    if isinstance(value, Untrusted):
        return neutralise(value.text)
    if isinstance(value, list | tuple):
        return [_neutralised(item) for item in value]
    if isinstance(value, dict):
        return {key: _neutralised(item) for key, item in value.items()}
    return value


def _as_data(value: Any, name: str) -> Any:
    """Fences a text, or each text of a list."""
    if isinstance(value, list | tuple):
        return [_as_data(item, name) for item in value]
    return value if isinstance(value, Fenced) else fence(str(_plain(value)), name=name)


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
