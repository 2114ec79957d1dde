"""Corrections: which earlier statement a later one replaces.

A cue ("actually", "nicht mehr", "改为") only says that it is worth comparing. A statement is
corrected by one that says the same of the same thing with another value: laid side by side, the
two differ in one place, and what stands there is of one kind.
"""

from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import lru_cache

from allotrope.memory.recall.claims import (
    ASKS,
    LONGEST,
    READ,
    STATEMENTS,
    Claim,
    StatementWord,
    StatementWords,
    claims,
    claims_otherwise,
    statement_of,
)
from allotrope.memory.recall.scripts import is_unspaced
from allotrope.memory.recall.sentences import sentences, tokens

_LONGEST_VALUE = 6
_LONGEST_NEW_VALUE = 12
_SAYS_IS = frozenset(["en", "de", "nl", "fr", "es", "pt", "it", "sv"])


def is_correction(text: str) -> bool:
    """Whether a message says that something said before no longer holds."""
    return claims_otherwise(text)


def replaces(later: str, earlier: str) -> bool:
    """Whether a correction is about a statement of an earlier message, and which holds now."""
    return corrected(later, earlier) is not None


def corrected(later: str, earlier: str) -> str | None:
    """The statement of an earlier message that a later message corrects; None where it does none.

    Args:
        later: A message that `is_correction`.
        earlier: A message before it.
    """
    found = _match(later, earlier)
    return found[1] if found is not None else None


def best_match(later: str, earlier: Sequence[str]) -> list[int]:
    """Which of several earlier messages a correction is about: places of one statement.

    Args:
        later: A message that `is_correction`.
        earlier: Messages before it.
    """
    matches = {at: found for at, text in enumerate(earlier) if (found := _match(later, text))}
    if not matches:
        return []
    best = max(matches, key=lambda at: (matches[at][0], -at))
    said = [word.base for word in statement_of(matches[best][1], "en").words]
    return [
        at
        for at, (_, sentence) in matches.items()
        if [word.base for word in statement_of(sentence, "en").words] == said
    ]


def _match(later: str, earlier: str) -> tuple[int, str] | None:
    """How many words the corrected statement shares with its correction, and the statement."""
    best: tuple[int, str] | None = None
    for sentence in sentences(earlier[:READ])[:STATEMENTS]:
        if sentence.endswith(ASKS):
            continue
        for claim in claims(later[:READ]):
            shared = _shared(claim, statement_of(sentence, claim.code))
            if shared and (best is None or shared > best[0]):
                best = (shared, sentence)
    return best


def _shared(claim: Claim, earlier: StatementWords) -> int:
    """How many words the two share where one corrects the other; 0 where it doesn't."""
    later, kinds, code = claim.statement, claim.kinds, claim.code
    old, new = earlier.words, later.words
    if not old or not new or max(len(old), len(new)) > LONGEST:
        return 0
    if later.persons and earlier.persons and not later.persons & earlier.persons:
        return 0
    same = _aligned(old, new)
    if not same:
        return 0
    shared = len(same)
    spaced = not is_unspaced(old[next(iter(same))].text)
    # a compound holds other words too: Zahnarzttermin, Termin beim Zahnarzt
    held = [new[at].base for at in same.values()]
    gone = [
        at
        for at in range(len(old))
        if at not in same and not any(_within(old[at].base, base) for base in held)
    ]
    come = [at for at in range(len(new)) if at not in same.values()]
    # where the correction names what no longer holds, that and nothing else may be gone
    if claim.instead is not None and not (gone and {old[at].base for at in gone} <= claim.instead):
        return 0
    if not gone:
        # all of it comes again: it has ended, or both values are named
        ended = "ended" in kinds and len(come) <= 2
        both = "contrast" in kinds and come and _one_run(new, come, code)
        told = shared + bool(later.persons & earlier.persons)
        enough = told >= (2 if spaced else 3)
        return shared if enough and (ended or (both and _alike(old, new, same, come, code))) else 0
    come = _without_reason(come, max(same.values()))
    if not come or not _one_run(old, gone, code) or not _one_run(new, come, code):
        return 0
    longest = 1 if spaced else 2
    if len(gone) > _LONGEST_VALUE * longest or len(come) > _LONGEST_NEW_VALUE * longest:
        return 0
    kind, kind_new = _kind(old, gone, code), _kind(new, come, code)
    if kind != kind_new and "time" not in (kind, kind_new):
        return 0
    typed = kind in ("number", "time")
    value_is_said = old[gone[0]].after_being
    wrong = "wrong" in kinds
    before = sum(at < gone[0] for at in same)
    after = [at for at in same if at > gone[-1]]
    # one place: as many words stand before the old value as before the new one
    if not typed and before != sum(at < come[0] for at in same.values()):
        return 0
    # what stands first is rather what is spoken of than what is said of it …
    together = shared + bool(later.persons & earlier.persons)
    told_of_state = "state" in kinds and any(old[at].state for at in same)
    if together + 2 * typed < len(gone) and not told_of_state:
        return 0
    if not typed and not before and (not wrong or len(gone) > longest):
        return 0
    # … or in the middle of what stays; after a Chinese name there may be its kind: 宏达公司
    most_after = (2 if spaced else 6) if typed else (0 if spaced else 2)
    if not wrong and len(after) > most_after and not value_is_said:
        return 0
    # a number that names a thing stands before what is said of it: invoice 4711 is paid
    if kind == "number" and any(old[at].after_being for at in after):
        return 0
    if told_of_state:
        least = 2
    elif typed or wrong:
        least = 1
    elif spaced and kind != "name" and later.persons & earlier.persons:
        least = 3
    else:
        least = 2
    return shared if together >= least + (not spaced and typed) else 0


def _without_reason(come: list[int], last: int) -> list[int]:
    """New words without those at the end that follow all that is shared: why it is so."""
    early = [at for at in come if at < last]
    return early or come


def _aligned(old: Sequence[StatementWord], new: Sequence[StatementWord]) -> dict[int, int]:
    """Positions of words that both have, in the same order."""
    keys: list[str] = []
    bases = {word.base for word in old}
    for word in new:
        # a compound holds the word: Zahnarzt, Zahnarzttermin
        part = next((base for base in bases if _within(base, word.base)), word.base)
        keys.append(word.base if word.base in bases else part)
    found = SequenceMatcher(None, [word.base for word in old], keys, autojunk=False)
    return {
        block.a + step: block.b + step
        for block in found.get_matching_blocks()
        for step in range(block.size)
    }


def _within(one: str, other: str) -> bool:
    shorter, longer = sorted((one, other), key=len)
    return len(shorter) >= 5 and not shorter[0].isdigit() and shorter in longer


def _one_run(words: Sequence[StatementWord], places: Sequence[int], code: str) -> bool:
    """Whether words stand together, as one value does: not a thing and what is said of it.

    Times among them may stay: the meeting on Monday at 10 moves to Tuesday at 10.
    """
    inside = range(places[0], places[-1] + 1)
    if any(at not in places and not _is_time(words[at], code) for at in inside):
        return False
    if any(words[at].after_being for at in inside[1:]):
        return False
    numbers = sum(words[at].number for at in inside)
    timely = any(_is_time(words[at], code) for at in inside)
    if numbers > 1 and not timely:
        return False
    # "Anna 10": a name and its value are two things, "10 mg" and "is Maple 10" are one
    first = words[inside[0]]
    whole = first.number or first.after_being or _is_time(first, code)
    # where a language says "is", a sentence without it has a verb: we use SQLite 3
    verbal = code in _SAYS_IS and not any(word.after_being for word in words)
    return whole or verbal or not numbers


def _kind(words: Sequence[StatementWord], places: Sequence[int], code: str) -> str:
    values = [words[at] for at in places]
    if any(_is_time(word, code) for word in values):
        return "time"
    if values[0].number:
        return "number"
    return "name" if values[0].named else "word"


def _alike(
    old: Sequence[StatementWord],
    new: Sequence[StatementWord],
    same: dict[int, int],
    come: Sequence[int],
    code: str,
) -> bool:
    """Whether some shared word is a value of the kind of what is new."""
    kind = _kind(new, come, code)
    return any(_kind(old, [at], code) == kind for at in same if at > 0 or kind != "word")


def _is_time(word: StatementWord, code: str) -> bool:
    return word.text in _times(code)


@lru_cache(maxsize=32)
def _times(code: str) -> frozenset[str]:
    """Days, months and hours as a language writes them (Unicode CLDR, by Babel)."""
    from babel import Locale

    locale = Locale.parse(code)
    found = {
        name for forms in locale.days.values() for form in forms.values() for name in form.values()
    }
    found |= {
        name
        for forms in locale.months.values()
        for width, form in forms.items()
        if width != "narrow"
        for name in form.values()
    }
    # narrow days are single letters, which are words too
    words = {word for name in found for word in tokens(str(name)) if len(word) > 2}
    return frozenset(
        words
        | {
            "am",
            "pm",
            "uhr",
            "noon",
            "midnight",
            "tomorrow",
            "点",
            "時",
            "시",
            "월",
            "日",
            "月",
            "曜",
            "요",
            "周",
            "期",
        }
    )
