"""Pure functions of an answer and the expected answer; each gives a score from 0 to 1."""

import json
import math
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from allotrope.exceptions import InputError

Score = Callable[[str, str], float]

_NUMBER = re.compile(r"[-−+]?(?:\d{1,3}(?:[,  ]\d{3})+(?!\d)|\d+)?(?:\.\d+)?(?:[eE][-+]?\d+)?")
_MARKED = re.compile(r"(?:####|\\boxed\{|\banswer\s*(?:is|:|=)\**)\s*([^\n}]*)", re.IGNORECASE)
_FENCE = re.compile(r"```(?:json)?[^\S\n]*+\n(.*?)(?:```|\Z)", re.DOTALL)
_LONGEST = 200_000


def plain(text: str, *, ignore_case: bool = True) -> str:
    """Text with one form of each character and single spaces, for comparing."""
    text = " ".join(unicodedata.normalize("NFKC", text).split())
    return text.casefold() if ignore_case else text


def exact(*, ignore_case: bool = True, strip: str = ".!\"'`* ") -> Score:
    """1 where the answer is the expected one.

    Args:
        ignore_case: Whether upper and lower case are the same.
        strip: Characters that don't count at either end.
    """

    def score(answer: str, expected: str) -> float:
        a, b = (plain(text, ignore_case=ignore_case).strip(strip) for text in (answer, expected))
        return float(a == b)

    return score


def regex(*, pattern: str, ignore_case: bool = True) -> Score:
    """1 where the pattern is found in the answer.

    Args:
        pattern: A regular expression of Python's `re`.
        ignore_case: Whether upper and lower case are the same.
    """
    try:
        compiled = re.compile(pattern, re.MULTILINE | (re.IGNORECASE if ignore_case else 0))
    except (re.error, TypeError) as exc:
        raise InputError(f"The pattern {pattern!r} is no regular expression: {exc}.") from exc
    return lambda answer, _: float(compiled.search(answer[:_LONGEST]) is not None)


def numeric(*, tolerance: float = 0.0, relative: float = 1e-9) -> Score:
    """1 where the answer's number is the expected one.

    The number after `####`, in `\\boxed{}` or after "answer is" counts; else the last number.

    Args:
        tolerance: Absolute difference allowed.
        relative: Relative difference allowed.
    """
    if tolerance < 0 or relative < 0:
        raise InputError("tolerance and relative can't be negative.")

    def score(answer: str, expected: str) -> float:
        right = _float(expected)
        if right is None:
            raise InputError(f"The expected answer {expected!r} has no number to compare with.")
        given = _float(answer)
        if given is None:
            return 0.0
        return float(math.isclose(given, right, rel_tol=relative, abs_tol=tolerance))

    return score


def number_in(text: str) -> float | None:
    """The number that a text gives as its answer, or None."""
    text = text[:_LONGEST]
    for marked in reversed(_MARKED.findall(text)):
        numbers = _numbers(marked)
        if numbers:
            return numbers[0]
    numbers = _numbers(text)
    return numbers[-1] if numbers else None


_float = number_in


def _numbers(text: str) -> list[float]:
    found = []
    for match in _NUMBER.finditer(text):
        digits = re.sub(r"[,  +]", "", match.group()).replace("−", "-")
        if not any(character.isdigit() for character in digits):
            continue
        start = match.start()
        if digits.startswith("-") and start and text[start - 1].isalnum():
            digits = digits[1:]  # "3-4" and "covid-19" hold no negative number
        try:
            value = float(digits)
        except ValueError:
            continue
        if math.isfinite(value):
            found.append(value)
    return found


def json_schema(*, schema: Mapping[str, Any]) -> Score:
    """1 where the answer is (or has in a fence) JSON that fits the schema.

    Args:
        schema: A JSON schema, draft 2020-12 unless it says else.
    """
    from jsonschema import SchemaError
    from jsonschema.validators import Draft202012Validator, validator_for

    kind = validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
    except SchemaError as exc:
        raise InputError(f"That is no JSON schema: {exc.message}.") from exc
    validator = kind(schema)

    def score(answer: str, _: str) -> float:
        for candidate in (answer, *_FENCE.findall(answer)):
            try:
                value = json.loads(candidate)
            except (ValueError, RecursionError):
                continue
            return float(validator.is_valid(value))
        return 0.0

    return score


def contains_all(*, values: Sequence[str] | None = None, ignore_case: bool = True) -> Score:
    """The share of the wanted phrases that the answer has, at word boundaries.

    Args:
        values: The phrases; default: the expected answer's parts between semicolons. A phrase may
            offer choices: `colour|color`.
        ignore_case: Whether upper and lower case are the same.
    """
    if isinstance(values, str) or (values is not None and not values):
        raise InputError("contains-all: values must be a list with at least one phrase.")

    def score(answer: str, expected: str) -> float:
        wanted = [str(value) for value in values or expected.split(";") if str(value).strip()]
        if not wanted:
            raise InputError("contains-all has nothing to look for: give values or an answer.")
        text = plain(answer, ignore_case=ignore_case)
        return sum(_has(text, phrase, ignore_case) for phrase in wanted) / len(wanted)

    return score


def _has(text: str, phrase: str, ignore_case: bool) -> bool:
    choices = [plain(choice, ignore_case=ignore_case) for choice in phrase.split("|")]
    return any(
        re.search(rf"(?<!\w){re.escape(choice)}(?!\w)", text) for choice in choices if choice
    )


def rouge_l(*, stem: bool = True) -> Score:
    """ROUGE-L (F-measure) of the answer against the expected one, by Google's `rouge-score`.

    Args:
        stem: Whether words are stemmed (English).
    """
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"], use_stemmer=stem)

    def score(answer: str, expected: str) -> float:
        return float(scorer.score(expected, answer[:_LONGEST])["rougeL"].fmeasure)

    return score
