"""One version of a prompt template: its text file, parsed, checked, and rendered.

The file has a YAML front matter and then the messages, each opened by a line of its own:

    ---
    name: assistant
    version: 1
    …
    ---
    === system
    You are …
    === placeholder messages
    === system volatile
    {{#today}}Today is {{today}}.{{/today}}
    === end

The last line says that the file is whole: a file that an editor has written half is never taken.
A line of the text itself that has to start with `===` is written `\\===`.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from allotrope.exceptions import PromptError
from allotrope.prompts import mustache
from allotrope.prompts.fencing import Fenced, fence

NAME = r"^_?[a-z][a-z0-9_-]*(\.[a-z0-9_-]+)*$"
END = "=== end"
Role = Literal["system", "human", "ai", "placeholder"]
VariableType = Literal["string", "integer", "number", "boolean", "list", "object", "messages"]

_HEAD = re.compile(r"^===[ \t]+(system|human|ai|placeholder)(?:[ \t]+([a-z][a-z0-9_]*))?[ \t]*$")
_MESSAGES: Mapping[str, type[BaseMessage]] = {
    "system": SystemMessage,
    "human": HumanMessage,
    "ai": AIMessage,
}
_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "list": (list, tuple),
    "object": (dict,),
    "messages": (list, tuple),
}


_NESTED = ("list", "object", "messages")


class Strict(BaseModel):
    """Base of what stands in a front matter; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Variable(Strict):
    """A value that the template needs; without a default it must be given."""

    type: VariableType = "string"
    description: str = ""
    default: Any = None
    fields: tuple[str, ...] = Field(
        default=(), description="Names inside an object, or inside each item of a list."
    )
    untrusted: bool = Field(
        default=False, description="Others wrote it: it is put in as fenced data."
    )

    @property
    def required(self) -> bool:
        """Whether a render without it is an error."""
        return "default" not in self.model_fields_set

    def accepts(self, value: Any) -> bool:
        """Whether the value is of the variable's type (a truth value is no number)."""
        if isinstance(value, bool) and self.type != "boolean":
            return False
        return isinstance(value, _TYPES[self.type])


class Slot(Strict):
    """A place for injected context: text that a provider fills, empty when there is none."""

    share: float = Field(
        default=0.25, gt=0, le=1, description="At most this part of the memory's context tokens."
    )
    required: bool = Field(default=False, description="Whether an empty slot is an error.")
    trusted: bool = Field(
        default=False, description="Our own words, put in without a fence. Default: fenced as data."
    )


class FrontMatter(Strict):
    """What a template says about itself."""

    name: str = Field(pattern=NAME, max_length=80)
    version: int = Field(ge=1, le=999_999)
    description: str = Field(min_length=1)
    agent: str | None = Field(default=None, description="The agent type it is written for.")
    variables: Mapping[str, Variable] = Field(default_factory=dict)
    context: Mapping[str, Slot] = Field(default_factory=dict)
    output: Mapping[str, Any] | None = Field(
        default=None, description="JSON schema of the answer, where the template asks for JSON."
    )
    changelog: str = ""

    @field_validator("context", mode="before")
    @classmethod
    def _names_only(cls, value: Any) -> Any:
        """`context: [today, documents]` is short for slots with the default share."""
        return {name: {} for name in value} if isinstance(value, list) else value

    @field_validator("variables", mode="before")
    @classmethod
    def _empty_variables(cls, value: Any) -> Any:
        """`question:` with nothing behind it is a required text."""
        if isinstance(value, dict):
            return {k: {} if v is None else v for k, v in value.items()}
        return value


@dataclass(frozen=True)
class Part:
    """One message of a template.

    Args:
        role: Whose message it is, or `placeholder` for a list of messages.
        name: The placeholder's variable; for others a note for readers (`volatile`).
        text: The text with its partials put in.
        line: Line in the file where the text starts, 1-based.
    """

    role: Role
    name: str | None
    text: str
    line: int


class TemplateError(PromptError):
    """A template file can't be used; says file, line and field.

    Args:
        problem: What is wrong, without a full stop.
        origin: The file or database row.
        line: 1-based line, where known.
        at: The front matter's field, where it is about one.
    """

    def __init__(
        self, problem: str, *, origin: str, line: int | None = None, at: str | None = None
    ) -> None:
        place = origin if line is None else f"{origin}, line {line}"
        super().__init__(f"{place}: {f'{at}: ' if at else ''}{problem}.")
        self.problem = problem
        self.origin = origin
        self.line = line
        self.at = at


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
        plain = {n for n, v in self.meta.variables.items() if v.type not in _NESTED}
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

    def render(self, values: Mapping[str, Any], *, strict: bool = True) -> list[BaseMessage]:
        """The messages, with the values put in; a message that ends up blank is left out.

        Text of untrusted variables and slots is fenced as data, unless it is fenced already.

        Args:
            values: By name of variable or context slot.
            strict: Refuse names that the template doesn't declare.

        Raises:
            PromptError: A value is missing, of the wrong type, or (strict) not declared.
        """
        filled = self.check(values, strict=strict)
        for name in self._fenced:
            value = filled[name]
            if value and not isinstance(value, Fenced):
                filled[name] = _as_data(value, name)
        for name in self._gates:
            filled[f"?{name}"] = filled if filled[name] else False
        messages: list[BaseMessage] = []
        for part, tokens in self._compiled:
            if part.role == "placeholder":
                messages.extend(_messages(filled[part.name or ""], ref=self.ref))
                continue
            text = mustache.render(tokens, filled).strip()
            if text:
                messages.append(_MESSAGES[part.role](content=text))
        return messages


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


def parse(
    text: str, *, origin: str, load_partial: Callable[[str], str] | None = None
) -> PromptTemplateVersion:
    """Reads a template.

    Args:
        text: The file's text.
        origin: Its name for error messages.
        load_partial: Gives the body of the partial `name@version`; raises KeyError for others.

    Raises:
        TemplateError: The text is no template; says line and field.
    """
    text = text.replace("\r\n", "\n")
    if len(text) > mustache.MAX_CHARS:
        raise TemplateError(
            f"a template has at most {mustache.MAX_CHARS:,} characters, this one has {len(text):,}",
            origin=origin,
        )
    meta, body, first = _front_matter(text, origin=origin)
    used: dict[str, str] = {}

    def load(ref: str) -> str:
        if load_partial is None:
            raise KeyError(ref)
        used[ref] = load_partial(ref)
        return used[ref]

    parts = []
    for role, name, message, line in _split(body, first, origin=origin):
        try:
            whole = mustache.expand(message, load)
            mustache.uses(whole)
        except mustache.MustacheError as exc:
            raise TemplateError(str(exc), origin=origin, line=line + exc.line - 1) from exc
        parts.append(Part(role=role, name=name, text=whole, line=line))
    digest = hashlib.sha256(text.encode())
    for ref in sorted(used):
        digest.update(f"\0{ref}\0{used[ref]}".encode())
    version = PromptTemplateVersion(
        meta=meta,
        parts=tuple(parts),
        text=text,
        origin=origin,
        hash=digest.hexdigest(),
        partials=tuple(sorted(used)),
    )
    _check_placeholders(version)
    return version


def body_of(text: str, *, origin: str) -> tuple[FrontMatter, str]:
    """Front matter and body of a partial, whose body is plain text without messages.

    Raises:
        TemplateError: The text is no template.
    """
    meta, body, _ = _front_matter(text.replace("\r\n", "\n"), origin=origin)
    return meta, body.strip("\n")


def _without_end(text: str, *, origin: str) -> str:
    body, newline, last = text.rstrip().rpartition("\n")
    if last.rstrip() != END:
        raise TemplateError(
            f"the last line must be `{END}`, which says that the file is whole",
            origin=origin,
            line=text.rstrip().count("\n") + 1,
        )
    return body + newline


def _front_matter(text: str, *, origin: str) -> tuple[FrontMatter, str, int]:
    lines = _without_end(text, origin=origin).split("\n")
    if lines[0].rstrip() != "---":
        raise TemplateError("the first line must be ---", origin=origin, line=1)
    try:
        end = next(i for i, line in enumerate(lines[1:], start=1) if line.rstrip() == "---")
    except StopIteration:
        raise TemplateError("the front matter is never closed by ---", origin=origin) from None
    import yaml

    try:
        data = yaml.safe_load("\n".join(lines[1:end]))
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        problem = getattr(exc, "problem", None) or str(exc)
        line = None if mark is None else mark.line + 2
        raise TemplateError(
            f"the front matter is no YAML: {problem}", origin=origin, line=line
        ) from exc
    if not isinstance(data, dict):
        raise TemplateError("the front matter must be a mapping", origin=origin, line=2)
    try:
        meta = FrontMatter.model_validate(data)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_context=False)[0]
        at = ".".join(str(part) for part in first["loc"])
        message = first["msg"][:1].lower() + first["msg"][1:]
        line = _line_of(lines[:end], [str(part) for part in first["loc"]])
        raise TemplateError(message, origin=origin, line=line, at=at) from exc
    both = sorted(set(meta.variables) & set(meta.context))
    if both:
        raise TemplateError(
            f"{both[0]!r} is both a variable and a context slot", origin=origin, at="context"
        )
    return meta, "\n".join(lines[end + 1 :]), end + 2


def _line_of(lines: Sequence[str], path: Sequence[str]) -> int | None:
    """The line of the deepest key of the path that is there, 1-based."""
    found = None
    start = 0
    for key in path:
        for index in range(start, len(lines)):
            if re.match(rf"^\s*(- )?{re.escape(key)}\s*:", lines[index]):
                found, start = index + 1, index + 1
                break
    return found


def _split(body: str, first: int, *, origin: str) -> list[tuple[Role, str | None, str, int]]:
    """The messages: role, name, text, first line in the file."""
    found: list[tuple[Role, str | None, list[str], int]] = []
    for number, line in enumerate(body.split("\n"), start=first):
        head = _HEAD.match(line)
        if head:
            role: Any = head.group(1)
            found.append((role, head.group(2), [], number + 1))
        elif line.startswith("==="):
            raise TemplateError(
                f"{line.strip()!r} opens no message; use system, human, ai or placeholder NAME "
                "(or write \\=== for a line of text)",
                origin=origin,
                line=number,
            )
        elif found:
            found[-1][2].append(line.removeprefix("\\") if line.startswith("\\===") else line)
        elif line.strip():
            raise TemplateError(
                "text before the first message; open one with `=== system`",
                origin=origin,
                line=number,
            )
    if not found:
        raise TemplateError("there are no messages; open one with `=== system`", origin=origin)
    for role, name, text, line_number in found:
        if role == "placeholder" and (name is None or any(text_line.strip() for text_line in text)):
            raise TemplateError(
                "a placeholder needs a name and has no text, as in `=== placeholder messages`",
                origin=origin,
                line=line_number - 1,
            )
    return [(role, name, "\n".join(text), number) for role, name, text, number in found]


def _check_placeholders(version: PromptTemplateVersion) -> None:
    for part in version.parts:
        if part.role != "placeholder":
            continue
        variable = version.meta.variables.get(part.name or "")
        if variable is None or variable.type != "messages":
            raise TemplateError(
                f"the placeholder {part.name!r} needs a variable of type messages",
                origin=version.origin,
                line=part.line - 1,
                at="variables",
            )
