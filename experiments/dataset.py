"""Datasets: JSONL files of questions with checkable answers."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from allotrope.exceptions import InputError
from allotrope.experiments.files import read_text
from allotrope.experiments.online.assignment import position

QUESTION_FIELDS = ("question", "input", "prompt")
ANSWER_FIELDS = ("answer", "expected", "output")


@dataclass(frozen=True)
class Item:
    """One question.

    Args:
        id: Unique in its dataset.
        question: What the agent is asked.
        expected: The right answer, where there is one.
        scorer: The item's own scorer, which wins over the dataset's.
        extra: All other fields.
    """

    id: str
    question: str
    expected: str | None = None
    scorer: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


def load_dataset(path: Path, *, limit: int | None = None, salt: str = "") -> list[Item]:
    """Reads a dataset in the order in which it is to be run.

    Args:
        path: A JSONL file; each line has a question (`question`, `input` or `prompt`), mostly an
            answer (`answer`, `expected` or `output`), and optionally `id` and `scorer`.
        limit: Only that many items.
        salt: Of the order, which is random but always the same, so that neither a limit nor an
            early stop picks the file's beginning.

    Raises:
        InputError: With file, line and field.
    """
    items: list[Item] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(read_text(path, what="dataset").splitlines(), start=1):
        if not line.strip():
            continue
        item = _item(line, f"{path}:{number}")
        if item.id in seen:
            first = seen[item.id]
            raise InputError(
                f"{path}:{number}: id: {item.id!r} stands in line {first} already.",
                hint="Give each item an id of its own." if item.extra.get("id") else None,
            )
        seen[item.id] = number
        items.append(item)
    if not items:
        raise InputError(f"The dataset {path} has no items.")
    items.sort(key=lambda item: position(salt=f"order:{salt}", unit=item.id))
    return items[:limit]


def _item(line: str, where: str) -> Item:
    try:
        record = json.loads(line)
    except ValueError as exc:
        raise InputError(f"{where}: no JSON: {exc}.") from exc
    except RecursionError as exc:
        raise InputError(f"{where}: no JSON: it is nested too deeply.") from exc
    if not isinstance(record, dict):
        raise InputError(f"{where}: an object with a question is expected.")
    question = _first(record, QUESTION_FIELDS)
    if not isinstance(question, str) or not question.strip():
        raise InputError(f"{where}: question: it is missing or empty.")
    answer = _first(record, ANSWER_FIELDS)
    if answer is not None and not isinstance(answer, str):
        answer = json.dumps(answer) if isinstance(answer, dict | list) else str(answer)
    scorer = record.get("scorer")
    if scorer is not None and not (isinstance(scorer, dict) and "kind" in scorer):
        raise InputError(f"{where}: scorer: an object with a kind is expected.")
    own_id = record.get("id")
    key = str(own_id) if own_id is not None else _digest(question, answer)
    return Item(id=key, question=question, expected=answer, scorer=scorer, extra=record)


def _first(record: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((record[name] for name in names if record.get(name) is not None), None)


def _digest(question: str, answer: str | None) -> str:
    return hashlib.sha256(f"{question}\0{answer}".encode()).hexdigest()[:12]
