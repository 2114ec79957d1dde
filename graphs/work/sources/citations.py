"""Checking a report's citations against the passages they point to.

A sentence is verified when each of its marks exists, the words quoted beside a mark stand in that
passage, and the passages hold what it says: its figures, names and dates and what they are said of,
its negations and directions, and how certain it is (`claims`). It is a check by rules, without a
model: what it says is a reason, and it can be wrong. A heading, the header of a table, a line that
leads to a list and a closing word to the reader state nothing.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from allotrope.graphs.work.sources.claims.judging import mismatch
from allotrope.graphs.work.sources.claims.wording import sentences

MARK = re.compile(
    r"\[(\d{1,3}(?:\s{0,3}[,;]\s{0,3}\d{1,3})*+)"
    r"(?:\s{0,3}[:,]?\s{0,3}[\"“„]([^\"“”„\[\]\n]{1,400})[\"”“])?\s{0,3}\]"
)
"""`[2]`, `[1, 4]`, or with the words that it rests on: `[2 "330 metres tall"]`."""
UNVERIFIED = "[unverified]"
UNENTAILED = "a model that compared it with its source doesn't find it there"
LONGEST = 3_000
"""Characters of a sentence that is compared with its sources: each word with each of theirs."""
_QUOTE = re.compile(r"[\"“„«]([^\"“”„«»]{4,300})[\"”“»]")
_OPEN = re.compile(
    r"\b(?:no source|(?:sources|notes|documents|passages) (?:do not|don't|disagree|contradict"
    r"|differ)"
    r"|not (?:stated|supported|mentioned|answered)|open question|no information|unknown|unclear"
    r"|keine (?:quelle|angabe)|quellen (?:sagen|nennen|widersprechen))\b",
    re.I,
)
_TO_READER = re.compile(
    r"(?:please |feel free|let me know|would you like|do you want|if you (?:need|want|would"
    r"|have)|i can|i hope"
    r"|i could|i would|i'm happy|happy to|sag(?:en sie)? mir|wenn (?:sie|du)|ich kann"
    r"|möchte(?:n|st))\b",
    re.I,
)
_LIST_OF_SOURCES = re.compile(r"\W*(?:sources|references|quellen|bibliography)\W*$", re.I)
_HEADING = re.compile(r"#{1,6}\s|\*\*[^*]+\*\*:?$")
_RULE = re.compile(r"[|:\s-]+$")


@dataclass(frozen=True)
class Sentence:
    """A sentence of a report, judged.

    Args:
        text: As written.
        marks: The numbers it cites.
        problem: Why it isn't verified, or None.
    """

    text: str
    marks: tuple[int, ...]
    problem: str | None


def check(report: str, passages: Mapping[int, str]) -> list[list[Sentence]]:
    """Judges each sentence of a report.

    Args:
        report: Text with marks such as `[2]`, `[1][4]` or `[2 "words of the passage"]`.
        passages: The text that each number stands for.

    Returns:
        The lines of the report, each as its sentences; an empty line is an empty list.
    """
    lines = report.replace("\x00", "").strip().split("\n")
    judged: list[list[Sentence]] = []
    listing = False
    for at, line in enumerate(lines):
        listing = listing or _LIST_OF_SOURCES.match(line) is not None
        if not line.strip():
            judged.append([])
        elif listing or (line.count("|") > 1 and _is_header(lines, at)):
            judged.append([Sentence(_shown(line), _marks(line), None)])
        elif line.strip().startswith("|"):
            judged.append([_judge(line.strip(), passages, _near(lines, at))])
        else:
            pieces = _pieces(line)
            near = _near(lines, at)
            judged.append(
                [
                    _judge(piece, passages, marks or near)
                    for piece, marks in zip(pieces, _beside(pieces), strict=True)
                ]
            )
    return judged


def _is_header(lines: Sequence[str], at: int) -> bool:
    """Whether a line is the header of a table, or the rule below it."""
    below = lines[at + 1] if at + 1 < len(lines) else ""
    first = at == 0 or "|" not in lines[at - 1]
    return bool(_RULE.match(lines[at].strip()) or (below and _RULE.match(below.strip())) or
                (first and not re.search(r"\d", lines[at])))  # fmt: skip


def _marks(text: str) -> tuple[int, ...]:
    return tuple(int(n) for match in MARK.finditer(text) for n in re.findall(r"\d+", match[1]))


def _shown(text: str) -> str:
    """A sentence without the words quoted beside its marks."""
    return MARK.sub(lambda match: f"[{match[1]}]", text)


def _beside(pieces: Sequence[str]) -> list[tuple[int, ...]]:
    """For each sentence of a paragraph the marks of the next one that has any, else of the last."""
    own = [_marks(piece) for piece in pieces]
    before: list[tuple[int, ...]] = []
    after: list[tuple[int, ...]] = []
    last: tuple[int, ...] = ()
    following: tuple[int, ...] = ()
    for marks in own:
        before.append(last)
        last = marks or last
    for marks in reversed(own):
        after.append(following)
        following = marks or following
    return [one or other for one, other in zip(reversed(after), before, strict=True)]


def _near(lines: Sequence[str], at: int) -> tuple[int, ...]:
    """The marks of the lines around a row of a table or an item of a list."""
    if not re.match(r"\s*(?:\||[-*•]\s|\d{1,2}[.)]\s)", lines[at]):
        return ()
    around = [*reversed(lines[max(0, at - 12) : at]), *lines[at + 1 : at + 12]]
    return next(filter(None, map(_marks, around)), ())


def _pieces(line: str) -> list[str]:
    """The sentences of a line; marks after the full stop belong to the sentence before them."""
    moved = re.sub(rf"([.!?…])((?:\s{{0,3}}{MARK.pattern})+)", r"\2\1", line.strip())
    quoted: list[str] = []

    def hide(match: re.Match[str]) -> str:
        quoted.append(match.group())
        return f"[\x00{len(quoted) - 1}\x00]"

    hidden = MARK.sub(hide, moved)
    return [
        re.sub(r"\[\x00(\d+)\x00\]", lambda match: quoted[int(match[1])], piece)
        for part in re.split(r"(?<=\][.!?])\s+", hidden)  # a mark before a full stop ends a claim
        for piece in sentences(part)
    ]


def _judge(text: str, passages: Mapping[int, str], near: tuple[int, ...] = ()) -> Sentence:
    marks, shown = _marks(text), _shown(text)
    plain = re.sub(r"\s{1,3}(?=[.!?,;:])", "", MARK.sub("", text)).strip()
    bare = re.sub(r"^\s*(?:[-*•]|\d{1,2}[.)])\s+", "", plain)
    if _states_nothing(bare):
        return Sentence(shown, marks, None)
    if not marks:
        if _OPEN.search(plain):
            return Sentence(shown, marks, None)
        known = [mark for mark in near if mark in passages]
        if known and _mismatch(bare, known, passages) is None:
            return Sentence(shown, tuple(known), None)
        return Sentence(shown, marks, "it has no citation")
    unknown = [mark for mark in marks if mark not in passages]
    if unknown:
        return Sentence(shown, marks, f"there is no source [{unknown[0]}]")
    for match in MARK.finditer(text):
        quote = match[2]
        numbers = dict.fromkeys(int(n) for n in re.findall(r"\d+", match[1]))
        cited = "\n".join(passages[number] for number in numbers)
        if quote and not _stands(quote, cited):
            return Sentence(shown, marks, f"the words “{quote[:60]}” don't stand in the source")
    return Sentence(shown, marks, _mismatch(bare, marks, passages))


def _states_nothing(plain: str) -> bool:
    """Whether a sentence is a heading, leads to what follows, or speaks to the reader."""
    if _HEADING.match(plain) or not re.search(r"\w{2}", plain):
        return True
    words = len(plain.split())
    if re.search(r"\d", plain):
        return False
    return (plain.endswith(":") and words <= 14) or (
        words <= 30 and _TO_READER.match(plain) is not None
    )


def _mismatch(plain: str, marks: Sequence[int], passages: Mapping[int, str]) -> str | None:
    if len(plain) > LONGEST:
        return f"a sentence of more than {LONGEST:,} characters isn't checked"
    cited = [passages[mark] for mark in dict.fromkeys(marks)]
    for quote in _QUOTE.findall(plain):
        if not _stands(quote, "\n".join(cited)):
            return f"the quotation “{quote[:40]}” doesn't stand in the source"
    return mismatch(plain, cited, list(passages.values()))


def _stands(quote: str, text: str) -> bool:
    """Whether a text has a quotation word for word; `…` may stand for words left out."""
    there = _flat(text)
    return all(part.strip(" .,;:!?") in there for part in re.split(r"\.\.\.|…", _flat(quote)))


def _flat(text: str) -> str:
    return re.sub(r"[\s*_]+", " ", text.replace("’", "'")).lower()


def doubted(lines: Sequence[Sequence[Sentence]], doubts: Sequence[str]) -> list[list[Sentence]]:
    """With a problem at each sentence that a model doesn't find in its source.

    Args:
        lines: From `check`.
        doubts: Those sentences, as shown.
    """
    return [
        [
            Sentence(one.text, one.marks, UNENTAILED)
            if one.problem is None and one.text in doubts
            else one
            for one in line
        ]
        for line in lines
    ]


def marked(lines: Sequence[Sequence[Sentence]]) -> str:
    """The report with a mark after each sentence that isn't verified.

    Args:
        lines: From `check`.
    """
    return "\n".join(
        " ".join(one.text if one.problem is None else f"{one.text} {UNVERIFIED}" for one in line)
        for line in lines
    )


def problems(lines: Sequence[Sequence[Sentence]]) -> list[str]:
    """What is wrong, one line a sentence, for the model to write it again.

    Args:
        lines: From `check`.
    """
    return [f"“{one.text[:120]}”: {one.problem}." for line in lines for one in line if one.problem]


def with_sources(claims: Sequence[Sentence], passages: Mapping[int, str]) -> str:
    """Claims with the passages they cite, numbered from 1, for a model that compares them.

    Args:
        claims: Sentences of a report.
        passages: By number.
    """
    return "\n\n".join(
        f"Claim {n}: {MARK.sub('', one.text).strip()}\nPassage: "
        + " ".join(" ".join(passages[mark].split()) for mark in dict.fromkeys(one.marks))
        for n, one in enumerate(claims, 1)
    )


def denied(reply: str) -> list[int]:
    """The places, from 0, of the claims that a model says no to, as in `3: no`.

    Args:
        reply: What it wrote; anything else counts as no answer.
    """
    return [
        int(number) - 1
        for number, word in re.findall(
            r"^\W{0,4}(?:Claim )?(\d{1,3})\W{1,4}(yes|no)\b", reply, re.I | re.M
        )
        if word.lower() == "no" and int(number) > 0
    ]
