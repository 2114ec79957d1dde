"""What a template's front matter may say, and the parts that its messages become."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from allotrope.exceptions import PromptError
from allotrope.support.fencing import Untrusted

NAME = r"^_?[a-z][a-z0-9_-]*(\.[a-z0-9_-]+)*$"
END = "=== end"
Role = Literal["system", "human", "ai", "placeholder"]
VariableType = Literal["string", "integer", "number", "boolean", "list", "object", "messages"]

NESTED: frozenset[str] = frozenset({"list", "object", "messages"})
"""Types whose values hold others."""

_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str, Untrusted),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "list": (list, tuple),
    "object": (dict,),
    "messages": (list, tuple),
}


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
class TemplateMessage:
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
