"""What commands print for programs: JSON, one document."""

import json
from typing import Any


def emit(data: Any, *, indent: int | None = None) -> None:
    """Prints a document as JSON, at once.

    Args:
        data: What JSON can't say, such as an amount or a time, becomes its text; a set, a list.
        indent: Spaces, for people; default: one line.
    """
    print(json.dumps(data, ensure_ascii=False, default=_plain, indent=indent), flush=True)


def answer(data: Any, text: str, *, as_json: bool) -> None:
    """Prints a result: as JSON for a program, else the words for a person.

    Args:
        data: The document.
        text: The same in words.
        as_json: Which of them.
    """
    emit(data) if as_json else print(text)


def _plain(value: Any) -> Any:
    return sorted(value) if isinstance(value, set | frozenset) else str(value)
