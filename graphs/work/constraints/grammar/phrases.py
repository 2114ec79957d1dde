"""Finding phrases among tokens: directly before a place, directly after it, or anywhere."""

from collections.abc import Iterable, Sequence

from allotrope.graphs.work.constraints.grammar.tokens import Token

Phrase = tuple[str, ...]


def phrases(text: str) -> tuple[Phrase, ...]:
    """Phrases from lines such as `at most | no more than`, the longest first."""
    found = [tuple(one.split()) for one in text.replace("\n", " ").split("|")]
    return tuple(sorted(filter(None, found), key=len, reverse=True))


def before(part: Sequence[Token], end: int, known: Iterable[Phrase]) -> int | None:
    """Where the longest of some phrases begins that ends just before `end`.

    Args:
        part: The tokens of a sentence.
        end: The place.
        known: Phrases, the longest first.
    """
    last = part[end - 1].low if end > 0 else None
    for phrase in known:
        start = end - len(phrase)
        if start < 0 or phrase[-1] != last:
            continue
        if all(part[start + n].low == word for n, word in enumerate(phrase)):
            return start
    return None


def after(part: Sequence[Token], start: int, known: Iterable[Phrase]) -> int | None:
    """Where the longest of some phrases ends that begins at `start`; arguments as in `before`."""
    first = part[start].low if 0 <= start < len(part) else None
    for phrase in known:
        end = start + len(phrase)
        if end > len(part) or phrase[0] != first:
            continue
        if all(part[start + n].low == word for n, word in enumerate(phrase)):
            return end
    return None
