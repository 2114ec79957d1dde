"""Where sources disagree: sentences about the same thing with other figures, or at other ends."""

from collections.abc import Mapping
from itertools import combinations

from allotrope.graphs.work.sources.claims import polarity
from allotrope.graphs.work.sources.claims.figures import Figure, figures
from allotrope.graphs.work.sources.claims.support import same
from allotrope.graphs.work.sources.claims.wording import content, german, sentences

ALIKE = 0.6
"""Share of the shorter sentence's content words that the other one must have."""
MOST = 5
"""Disagreements that are shown."""
SENTENCES = 40
"""Sentences of a passage that are compared."""


def disagreements(passages: Mapping[int, Mapping[str, str]]) -> list[str]:
    """What two sources say differently of the same thing, a line each.

    Args:
        passages: By their number in the report: `source` and `text`.
    """
    known = [
        (number, one["source"], sentence, frozenset(content(sentence, in_german=german(sentence))))
        for number, one in passages.items()
        for sentence in sentences(one["text"])[:SENTENCES]
    ]
    found = []
    for (number, source, text, words), (other, its_source, its_text, its_words) in combinations(
        known, 2
    ):
        shorter = min(len(words), len(its_words))
        if source == its_source or shorter < 3 or len(words & its_words) < ALIKE * shorter:
            continue
        if _differ(text, its_text):
            found.append(f"[{number}] “{_short(text)}” but [{other}] “{_short(its_text)}”")
        if len(found) == MOST:
            break
    return found


def _differ(one: str, other: str) -> bool:
    mine, its = figures(one), figures(other)
    dates = [{f.date[0] for f in part if f.date[0]} for part in (mine, its)]
    if dates[0] and dates[1] and not dates[0] & dates[1]:
        return False  # of other years
    for kind in {f.kind for f in mine} & {f.kind for f in its} - {"date", "year"}:
        a, b = ([f for f in part if f.kind == kind] for part in (mine, its))
        if len(a) == len(b) == 1 and not _agree(a[0], b[0]):
            return True
    first, second = polarity.sense(one), polarity.sense(other)
    return polarity.opposed(first, second) is not None or (
        first.negated != second.negated and not (first.loosely and second.loosely)
    )


def _agree(one: Figure, other: Figure) -> bool:
    return same(one, other) or same(other, one)


def _short(text: str) -> str:
    return text if len(text) <= 160 else f"{text[:159]}…"
