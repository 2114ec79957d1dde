"""What pydantic found wrong with somebody's input, in words for that person."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError

LONGEST = 80
"""Characters of a refused value that are shown."""


@dataclass(frozen=True)
class Complaint:
    """One thing that is wrong.

    Attributes:
        path: Keys and indexes to the field; empty for the whole.
        message: What is wrong, without capital and full stop, with the value where it is short.
        kind: Pydantic's name of the error.
        plain: The message without the value, for a field that may hold a secret.
        value: What was refused.
    """

    path: tuple[str | int, ...]
    message: str
    kind: str
    plain: str
    value: Any

    @property
    def field(self) -> str:
        """The field as people write it: `variants[1].share`; empty for the whole."""
        return dotted(self.path)


def complaints(exc: "ValidationError") -> list[Complaint]:
    """All that is wrong, in the order of the fields.

    Args:
        exc: What pydantic raised.
    """
    found = []
    for error in exc.errors(include_url=False, include_context=False):
        plain = error["msg"].removeprefix("Value error, ")
        plain = f"{plain[:1].lower()}{plain[1:]}".rstrip(".")
        value, shown = error["input"], ""
        if error["type"] == "extra_forbidden":
            plain = "no such field; check its spelling"
        elif error["type"] == "missing":
            plain = "it is missing"
        elif isinstance(value, str):
            shown = f" (it is {value[:LONGEST]!r})"
        elif isinstance(value, int | float | None):
            shown = f" (it is {value!r})"
        found.append(Complaint(tuple(error["loc"]), plain + shown, error["type"], plain, value))
    return found


def dotted(path: Sequence[str | int]) -> str:
    """A field as people write it: `variants[1].share`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
