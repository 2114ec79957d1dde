"""What a message claims to be otherwise than was said: statements, told by cues of its language.

A statement is a sentence without its cues and small words. Questions, quotations, plans, conditions
and what others are said to think claim nothing; what comes on top (`also`) leaves the old as it is.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from allotrope.memory.recall.lexicon import (
    TRIGGERS,
    cue,
    language_of,
    listed,
    persons,
    states,
    triggers,
)
from allotrope.memory.recall.scripts import is_unspaced
from allotrope.memory.recall.sentences import CLAUSE, sentences, tokens
from allotrope.memory.recall.words import base_form
from allotrope.support.remembered import remembered

LONGEST = 60
"""Words of a statement; a longer one isn't compared."""
STATEMENTS = 12
"""Statements of one message that are compared."""
READ = 2_000
"""Characters of a message that are looked at."""
ASKS = ("?", "？", "؟")
_SIGNS = frozenset("%€$£¥₹°")
_WORDS = re.compile(r"\w+")
_COLON = re.compile(r"[:：](?!\d)")
_QUOTED = re.compile('["“„«「『”]([^"“”„«»「」『』]{12,400})["”“»」』]')
_PRODUCT = re.compile(r"[a-z][A-Z]|[A-Za-z]\d")
"""Written so, a name isn't a place's or an employer's: we moved to PostgreSQL, to K8s."""
_REMOVED = (*TRIGGERS, "contrast")
_SPLITS = 6
"""Words after `not` among which the value that no longer holds begins."""


@dataclass(frozen=True)
class StatementWord:
    """A word of a statement.

    Args:
        text: As written, folded.
        base: Its base form, or the state that it stands for.
        after_being: Whether `is` or its like stands before it.
        named: Whether it has a capital, as names have.
        state: Whether it tells of a state that one has one of at a time: lives, works.
    """

    text: str
    base: str
    after_being: bool
    named: bool
    state: bool = False

    @property
    def number(self) -> bool:
        """Whether it is a number."""
        return self.text[0].isnumeric()


@dataclass(frozen=True)
class StatementWords:
    """A sentence without its cues and small words, and which persons it speaks of."""

    words: tuple[StatementWord, ...]
    persons: frozenset[int]


@dataclass(frozen=True)
class Claim:
    """What a message says to hold now.

    Args:
        statement: It, without cues.
        kinds: The kinds of its cues; `state` where it tells of a new state: moved to, lives in.
        code: Its language.
        instead: Base forms of the words that it names as no longer so; None where it names none.
    """

    statement: StatementWords
    kinds: frozenset[str]
    code: str
    instead: frozenset[str] | None = None


def claims_otherwise(text: str) -> bool:
    """Whether a message says that something said before no longer holds."""
    folded = text[:READ].casefold()
    code = language_of(folded)
    return any(one.search(folded) for one in triggers(code)) or bool(_denials(folded, code))


@remembered(most=64)
def claims(text: str) -> tuple[Claim, ...]:
    """The statements of a message that say something to be otherwise.

    Args:
        text: The message's first `READ` characters.
    """
    code = language_of(text.casefold())
    found: list[Claim] = []
    owned = False
    for sentence in sentences(_QUOTED.sub(" ", text))[:STATEMENTS]:
        folded = sentence.casefold()
        if sentence.endswith(ASKS) or cue("unsure", code).search(folded):
            continue
        kinds = {kind for kind in _REMOVED if cue(kind, code).search(folded)}
        # "Correction. The meeting is on Monday.": the cue may stand in a sentence of its own
        owned = owned or "wrong" in kinds
        if owned:
            kinds.add("wrong")
        elif cue("added", code).search(folded):
            continue
        found += _of_sentence(sentence, frozenset(kinds), code)
    return tuple(found)


def _of_sentence(sentence: str, kinds: frozenset[str], code: str) -> Iterator[Claim]:
    for rest, gone in _denials(sentence, code):
        bases = frozenset(word.base for word in statement_of(gone, code).words)
        statement = statement_of(rest, code, cues=True)
        if statement.words and bases:
            yield Claim(statement, kinds | {"wrong"}, code, bases)
    begun = _begun(sentence, code)
    if begun is not None:
        statement = statement_of(begun, code, cues=True)
        if statement.words:
            yield Claim(statement, kinds | {"changed", "state"}, code)
    if not kinds & set(TRIGGERS):
        return
    for part in _parts(sentence):
        statement = statement_of(part, code, cues=True)
        if statement.words:
            yield Claim(statement, kinds, code)


def _denials(sentence: str, code: str) -> list[tuple[str, str]]:
    """Ways to read what a sentence says to hold, and what it says not to.

    "On Tuesday rather than Monday"; "not on Monday but on Tuesday", where the two may share
    words: "doesn't go to Cork but to Limerick".
    """
    folded = sentence.casefold()
    if len(folded) != len(sentence):
        sentence = folded
    found: list[tuple[str, str]] = []
    strong = cue("instead", code).search(folded)
    if strong is not None:
        clause = CLAUSE.search(sentence, strong.end())
        end = clause.start() if clause else len(sentence)
        found.append(
            (sentence[: strong.start()] + " " + sentence[end:], sentence[strong.end() : end])
        )
    for denied in cue("denied", code).finditer(folded):
        but = cue("but", code).search(folded, denied.end())
        clause = CLAUSE.search(sentence, denied.end())
        end = min(
            but.start() if but else len(sentence), clause.start() if clause else len(sentence)
        )
        before, inside = sentence[: denied.start()], sentence[denied.end() : end]
        if but is None:
            # "on Tuesday, not Monday": a clause of its own after what holds
            if before.rstrip().endswith((",", "，", "、", "،")):
                found.append((before, inside))
            continue
        after = sentence[but.end() :]
        gap = "" if is_unspaced(inside.strip() or " ") else " "
        words = inside.split() if gap else [inside]
        found += [
            (gap.join([before, *words[:at], after]), gap.join(words[at:]))
            for at in range(min(len(words), _SPLITS))
        ]
    return found


def _begun(sentence: str, code: str) -> str | None:
    """A sentence that tells how a state began, as one that tells of the state."""
    if _PRODUCT.search(sentence):
        return None
    folded = cue("ago", code).sub(" ", sentence.casefold())
    for pattern, form in states(code).begun:
        found = pattern.search(folded)
        if found is None:
            continue
        middle = found["middle"] if "middle" in pattern.groupindex else ""
        place = folded[: found.start()] + f" {form} " + middle + folded[found.end() :]
        if is_unspaced(form):
            place = folded[: found.start()] + form + folded[found.end() :]
        if len(sentence) == len(sentence.casefold()):
            place = _with_capitals(place, sentence)
        return place
    return None


def _with_capitals(text: str, written: str) -> str:
    """Folded text with the words that have a capital in another writing of it."""
    names = {word.casefold(): word for word in _WORDS.findall(written) if word[0].isupper()}
    return _WORDS.sub(lambda found: names.get(found[0], found[0]), text)


def _parts(sentence: str) -> list[str]:
    """The sentence, and its clauses where the others name nothing else."""
    clauses = [part for part in CLAUSE.split(sentence) if part.strip()]
    if len(clauses) < 2:
        return [sentence]
    plain = [not any(word[0].isdigit() for word in tokens(part)) for part in clauses]
    alone = [
        clause
        for at, clause in enumerate(clauses)
        if all(other for place, other in enumerate(plain) if place != at)
    ]
    return [sentence, *alone]


@remembered(most=2_048)
def statement_of(sentence: str, code: str, cues: bool = False) -> StatementWords:
    """A sentence without its small words.

    Args:
        sentence: As written.
        code: Its language.
        cues: Whether the cues of a correction are taken out too.
    """
    folded = sentence.casefold()
    if cues:
        for kind in _REMOVED:
            folded = cue(kind, code).sub(" , ", folded)
    names = _names(sentence) if code != "de" else frozenset()
    small, being, person = listed("small", code), listed("being", code), persons(code)
    state = states(code).forms
    words: list[StatementWord] = []
    who: set[int] = set()
    after_being = False
    for token in tokens(_COLON.sub(f" {next(iter(being))} ", folded))[: 4 * LONGEST]:
        head, mark, rest = token.partition("'")
        if mark and head in person and rest not in being and token not in being:
            who.add(person[head])  # I've, j'habite
            token = rest
        is_name = token in names and len(token) > 2  # Vos, which is "your" in French; not I
        if token in person and not is_name:
            who.add(person[token])
        if token in state:
            words.append(StatementWord(token, state[token], after_being, False, True))
            after_being = False
        elif token in person and not is_name:
            continue
        elif token in being:
            after_being = True
        elif (token in names or not (token in small or _is_short(base_form(token)))) and (
            token[0].isalnum() or token in _SIGNS
        ):
            if words and _counts_on(words[-1], token) and not after_being:
                token = words.pop().text + token
            words.append(StatementWord(token, base_form(token), after_being, token in names))
            after_being = False
    return StatementWords(tuple(words), frozenset(who))


def _counts_on(word: StatementWord, token: str) -> bool:
    """Whether a numeral goes on: 二, 十, 三 are one number."""
    return word.number and token.isnumeric() and is_unspaced(token) and is_unspaced(word.text)


def _is_short(token: str) -> bool:
    """Letters of an alphabet that are too few for a word with a meaning; go, and goes as well."""
    return len(token) < 3 and "a" <= token[0] <= "\u024f"


def _names(sentence: str) -> frozenset[str]:
    """Words with a capital that don't begin the sentence, folded."""
    found = _WORDS.findall(sentence)
    return frozenset(word.casefold() for word in found[1:] if word[0].isupper())
