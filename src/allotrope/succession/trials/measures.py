"""What changed in form: length, script, JSON, tool calls. Measured on a run's answers, no I/O."""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from allotrope.experiments.analysis import Analysis, analyse
from allotrope.experiments.dataset import Item
from allotrope.experiments.definition import Experiment, Metric
from allotrope.experiments.offline.outcome import Outcome
from allotrope.experiments.offline.results import Run
from allotrope.experiments.offline.text_scorers import json_schema

SHARES = ("truncated", "other_script", "json_valid", "tool_calls_right")
COUNTS = ("answer_chars", "reasoning_tokens")

_JSON_ASKED = re.compile(
    r"\b(?:as|in|only|with|return|valid|als|nur|mit)\s+(?:a\s+|an\s+)?JSON\b", re.IGNORECASE
)
_ONE_WRITING = {"HIRAGANA": "CJK", "KATAKANA": "CJK", "KATAKANA-HIRAGANA": "CJK"}


class Measured(Metric):
    """A metric that needs no scorer, as its values are there already."""

    @property
    def range(self) -> tuple[float | None, float | None]:
        """Just as it is said; no end where none is."""
        return self.low, self.high


_any_json = json_schema(schema={})


def measured(experiment: Experiment, items: Sequence[Item], run: Run) -> Analysis:
    """The experiment's own analysis, with what its answers are like as further metrics.

    Args:
        experiment: The definition.
        items: The questions.
        run: The results.
    """
    by_id = {item.id: item for item in items}
    results = {
        key: replace(result, scores={**result.scores, **form_of(by_id[key[0]], result.outcome)})
        for key, result in run.results.items()
    }
    named = {metric.name for metric in experiment.metrics}
    found = {name for result in results.values() for name in result.scores}
    more = [
        Measured.model_construct(
            name=name, scorer=None, goal=None, low=0.0, primary=False,
            high=1.0 if name in SHARES else None,
        )
        for name in (*SHARES, *COUNTS, "input_tokens", "output_tokens")
        if name in found and name not in named
    ]  # fmt: skip
    own = analyse(experiment, run)
    whole = experiment.model_copy(update={"metrics": (*experiment.metrics, *more)})
    wide = analyse(whole, replace(run, results=results))
    return replace(own, estimates=wide.estimates, comparisons=wide.comparisons)


def form_of(item: Item, outcome: Outcome) -> dict[str, float]:
    """What an answer is like; nothing for one that failed.

    Args:
        item: The question.
        outcome: The answer.
    """
    if outcome.error is not None:
        return {}
    found = {
        "answer_chars": float(len(outcome.answer)),
        "truncated": float(bool(outcome.provenance.get("truncated"))),
        "reasoning_tokens": float(outcome.usage.get("reasoning_tokens", 0)),
    }
    if (share := other_script(item.question, outcome.answer)) is not None:
        found["other_script"] = share
    if asks_for_json(item):
        found["json_valid"] = _any_json(outcome.answer, "")
    if "tools" in item.extra:
        called = outcome.provenance.get("tools", ())
        found["tool_calls_right"] = float(calls_right(item.extra["tools"], called))
    return found


def other_script(question: str, answer: str) -> float | None:
    """The share of an answer's letters in another script than the question's; None without letters.

    It tells Russian from English, and not German from English: both are written in Latin letters.

    Args:
        question: What was asked.
        answer: What was answered.
    """
    asked, said = _scripts(question), _scripts(answer)
    letters = sum(said.values())
    if not letters or not asked:
        return None
    return sum(n for script, n in said.items() if script not in asked) / letters


def asks_for_json(item: Item) -> bool:
    """Whether a question asks for JSON: by its scorer, its field `json`, or its words.

    Args:
        item: The question.
    """
    by_scorer = item.scorer is not None and item.scorer["kind"] == "json-schema"
    named = item.extra.get("json")
    return by_scorer or (bool(_JSON_ASKED.search(item.question)) if named is None else bool(named))


def calls_right(expected: Any, called: Sequence[Mapping[str, Any]]) -> bool:
    """Whether exactly the expected tools were called, each as often, with the named arguments.

    Args:
        expected: Names, or objects with `name` and, where they matter, `args`; an empty list where
            no tool may be called.
        called: What was called.
    """
    left = list(called)
    # those with arguments choose first: a bare name takes whatever is left
    for wanted in sorted(expected, key=lambda tool: isinstance(tool, str)):
        name = wanted if isinstance(wanted, str) else wanted["name"]
        args = {} if isinstance(wanted, str) else wanted.get("args", {})
        fits = (
            index
            for index, call in enumerate(left)
            if call["name"] == name
            and all(key in call["args"] and call["args"][key] == args[key] for key in args)
        )
        if (found := next(fits, None)) is None:
            return False
        del left[found]
    return not left


def check_tools(items: Sequence[Item]) -> str | None:
    """What is wrong with the questions' field `tools`; None where nothing is.

    Args:
        items: The questions.
    """
    for item in items:
        named = item.extra.get("tools", [])
        ok = isinstance(named, list) and all(
            isinstance(tool, str)
            or (
                isinstance(tool, dict)
                and isinstance(tool.get("name"), str)
                and isinstance(tool.get("args", {}), dict)
            )
            for tool in named
        )
        if not ok:
            return (
                f"The question {item.id!r}: tools must be a list of names, or of objects with a "
                "name and args."
            )
    return None


def _scripts(text: str) -> Counter[str]:
    found = (unicodedata.name(ch, "?").split(" ", 1)[0] for ch in text if ch.isalpha())
    return Counter(_ONE_WRITING.get(script, script) for script in found)
