"""Which figures, names and roles of a claim belong together, and whether they do in its source."""

import itertools
import re
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from functools import cache

from allotrope.graphs.work.sources.claims.figures import Figure, figures
from allotrope.graphs.work.sources.claims.polarity import has_opposite, same_end, sense
from allotrope.graphs.work.sources.claims.support import same
from allotrope.graphs.work.sources.claims.wording import content, kin, sentences, stems

_BREAK = re.compile(
    r",\s|;|\s(?:and|while|but|whereas|compared|versus|vs|und|während|gegenüber|against)\s"
    r"|\s(?=(?:from|to|von|auf)\s+\D{0,3}\d)|\(",
    re.IGNORECASE,
)
_LOWER = re.compile(
    r"\b(?:at least|no (?:fewer|less) than|minimum of|more than|over|mindestens|from)\s*[$€£]?$",
    re.I,
)
_UPPER = re.compile(
    r"\b(?:up to|at most|no more than|maximum of|as much as|as many as|fewer than|less than|under"
    r"|höchstens|bis zu)\s*[$€£]?$",
    re.I,
)
_NAME = re.compile(r"(?<![.!?:\"“] )(?<!^)(?<![\w*])[A-ZÀ-Þ][\w’'-]+|(?<=\w )[A-ZÀ-Þ][\w’'-]+")
_CALENDAR = re.compile(
    r"(?:january|february|march|april|may|june|july|august|september|october|november|december"
    r"|(?:mon|tues|wednes|thurs|fri|satur|sun)day|i|q[1-4]|eur|usd|gbp|sek|nok|dkk|chf|jpy|cny|inr|aud|cad|co2|kb|mb|gb)s?$",
    re.IGNORECASE,
)
_COMPARED = re.compile(
    r"\b(?:than|as (?:much|many|high|large|long|often)(?: [\w-]+){0,3}? as|compared (?:with|to))\b",
    re.I,
)


_COUNTRY = {
    "french": "france", "dutch": "netherlands", "spanish": "spain", "swiss": "switzerland",
    "danish": "denmark", "british": "britain", "greek": "greece", "polish": "poland",
    "welsh": "wales", "irish": "ireland", "finnish": "finland", "turkish": "turkey",
    "thai": "thailand", "american": "us", "norwegian": "norway", "scottish": "scotland",
}  # fmt: skip
_COUNTRY.update({country: people for people, country in list(_COUNTRY.items())})
"""Names of peoples and countries that don't begin alike."""


def unknown_name(claim: str, cited: str) -> str | None:
    """A name of a claim that its source doesn't have.

    Args:
        claim: In English; German writes every noun with a capital.
        cited: All that the claim cites.
    """
    there = {stem[:4] for stem in stems(cited, in_german=False)}
    whole = set(re.findall(r"\w+", cited.lower()))
    letters = "".join(word[0] for word in re.findall(r"[^\W\d_]+", cited.lower()))
    for match in _NAME.finditer(claim):
        name = match.group().replace("’", "'").removesuffix("'s").strip("'-")
        if _COUNTRY.get(name.lower(), "-") in whole:
            continue
        parts = [part for part in re.split(r"[-']", name) if part]
        if _CALENDAR.match(name) or not parts:
            continue
        if all(part.lower() in whole or part.lower()[:4] in there for part in parts):
            continue
        short = name.isupper() and len(name) < 6
        if short and (name.lower() in letters or (len(name) < 4 and name.lower()[:2] in letters)):
            continue  # an abbreviation of what the source spells out
        return name
    return None


def wrong_bound(claim: str, one: Figure, source: str) -> str | None:
    """Whether `at least` stands before a figure, and `up to` in the source, or vice versa."""
    mine = _bound_of(claim, one)
    if not mine:
        return None
    bounds = {_bound_of(source, other) for other in figures(source) if same(one, other)}
    opposite = {"lower": "upper", "upper": "lower"}[mine]
    if bounds == {opposite}:
        return f"the source doesn't say “{_words_before(claim, one)}” of {one.text}"
    return None


def _bound_of(text: str, one: Figure) -> str:
    before = text[max(0, one.start - 30) : one.start].rstrip()
    after = text[one.end : one.end + 12].lower()
    if _UPPER.search(before) or after.startswith((" or less", " or fewer")):
        return "upper"
    if re.search(r"\b(?:at least|no (?:fewer|less) than|minimum of|mindestens)\s*[$€£]?$", before,
                 re.I) or after.startswith((" or more", "+")):  # fmt: skip
        return "lower"
    return ""


def _words_before(text: str, one: Figure) -> str:
    return " ".join(text[max(0, one.start - 30) : one.start].split()[-2:])


def _segments(text: str) -> list[tuple[int, int]]:
    cuts = [0, *(match.end() for match in _BREAK.finditer(text)), len(text)]
    return list(itertools.pairwise(cuts))


def _context(text: str, one: Figure, *, in_german: bool) -> set[str]:
    """The words that stand with a figure, and its role beside another one."""
    start, end = next(((a, b) for a, b in _segments(text) if a <= one.start < b), (0, len(text)))
    around = set(content(text[start : one.start] + " " + text[one.end : end], in_german=in_german))
    around |= {f"^{word}" for word in content(text[start:end], in_german=in_german)[:1]}
    before = text[max(0, one.start - 14) : one.start].lower().rstrip(" $€£")
    after = text[one.end : one.end + 16].lower()
    if before.endswith(("from", "von")):
        around.add("<from>")
    if re.search(r"(?:\bto|\bauf)$", before) and "<from>" not in around:
        around.add("<to>")
    if re.match(r" (?:out )?of (?:the |its |his |their )?[\w,]+", after):
        around.add("<part>")
    if re.search(r"\bof(?: the| its| his| their)?$", before):
        around.add("<whole>")
    around |= {f"<{date.text}>" for date in figures(text[start:end])
               if date.kind in ("date", "year")
               and start + date.start != one.start}  # fmt: skip
    return around


def wrong_way(claim: str) -> str | None:
    """A claim whose own figures go the other way than it says: `rose from 9 to 7`."""
    found = [one for one in figures(claim) if one.kind not in ("date", "year")]
    roles: dict[str, list[Figure]] = {}
    for one in found:
        before = claim[max(0, one.start - 14) : one.start].lower().rstrip(" $€£")
        if match := re.search(r"\b(from|to|von|auf)$", before):
            roles.setdefault("from" if match[1] in ("from", "von") else "to", []).append(one)
    first, last = roles.get("from", []), roles.get("to", [])
    ends = sense(claim).ends.get("amount", set())
    if len(first) != 1 or len(last) != 1 or len(ends) != 1 or first[0].kind != last[0].kind:
        return None
    direction = next(iter(ends))
    if direction * (last[0].value - first[0].value) < 0:
        return f"from {first[0].text} to {last[0].text} isn't the direction it says"
    return None


def _shared(one: set[str], other: set[str], known: set[str]) -> int:
    """How many words two contexts share; what a clause is about counts twice.

    Args:
        one: A context in the claim.
        other: One in the source.
        known: Words that both texts have: these are compared as they are, the others by meaning.
    """
    exact = one & other
    left = [word for word in one - exact - known if word[0] not in "^<"]
    right = [word for word in other - exact - known if word[0] not in "^<"]
    return len(exact) + sum(kin(word, right) for word in left)


def exchanged(claim: str, source: Sequence[str], *, in_german: bool) -> str | None:
    """Two figures of a claim that stand with each other's words in the source.

    Args:
        claim: A sentence.
        source: The sentences of what it cites.
        in_german: The language of the claim.
    """
    mine = figures(claim)[:12]
    for n, one in enumerate(mine):
        for other in mine[n + 1 :]:
            kinds = {one.kind, other.kind}
            unlike = len(kinds) == 2 and ("" not in kinds or "%" in kinds)
            if unlike or one.value == other.value or one.kind == "date":
                continue
            for sentence in source:
                there = figures(sentence)[:20]
                first = _apart(figure for figure in there if same(one, figure))
                second = _apart(figure for figure in there if same(other, figure))
                if len(first) != 1 or len(second) != 1 or first == second:
                    continue
                mine_a, mine_b = (
                    _context(claim, figure, in_german=in_german) for figure in (one, other)
                )
                its_a, its_b = (
                    _context(sentence, figure, in_german=in_german)
                    for figure in (first[0], second[0])
                )
                known = (mine_a | mine_b) & (its_a | its_b)
                straight = _shared(mine_a, its_a, known) + _shared(mine_b, its_b, known)
                crossed = _shared(mine_a, its_b, known) + _shared(mine_b, its_a, known)
                if crossed > straight:
                    return f"{one.text} and {other.text} stand the other way round in the source"
    return None


def _apart(found: Iterable[Figure]) -> list[Figure]:
    """Figures without a second reading of the same digits."""
    return list({one.start: one for one in found}.values())


def misdated(claim: str, source: Sequence[str]) -> str | None:
    """A figure that the source has of another date than the claim.

    Args:
        claim: A clause.
        source: The sentences, or rows, of what it cites.
    """
    for start, end in _segments(claim):
        here = [one for one in figures(claim) if start <= one.start < end]
        dates = [one for one in here if one.kind in ("date", "year")]
        if len(dates) != 1:
            continue
        for one in here:
            if one.kind in ("date", "year"):
                continue
            rows = [figures(row) for row in source]
            having = [row for row in rows if any(same(one, other) for other in row)]
            dated = [[other.date for other in row if other.date[0]] for row in having]
            if not having or not all(dated) or not dates[0].date[0]:
                continue
            year = dates[0].date[0]
            if not any(year == date[0] for row in dated for date in row) and any(
                other.date[0] == year for row in rows for other in row
            ):
                return f"{one.text} isn't of {dates[0].text} in the source"
    return None


def is_name(text: str, stem: str) -> bool:
    """Whether a stem is that of a word which a text writes with a capital."""
    return any(name.lower().startswith(stem[:5]) for name in _order(text))


def sequence(text: str, *, in_german: bool) -> list[str]:
    """The content words and figures of a text, in order."""
    found = figures(text)
    parts, at = [], 0
    for one in found:
        if one.start < at:
            continue
        parts += content(text[at : one.start], in_german=in_german)
        parts.append(f"#{one.value.normalize()}{one.kind}")
        at = one.end
    return parts + content(text[at:], in_german=in_german)


def other_name(clause: str, best: str, others: Sequence[str]) -> str | None:
    """A name of a clause that the sentence nearest to it doesn't have, but another one has."""
    if not re.search(r"[a-z]", best):
        return None
    mine, its = _order(clause), _order(best)
    if clause[:1].isupper() and mine and clause.startswith(mine[0]) and len(mine) == 1:
        return None  # one capital at the beginning may be any word
    strange = [name for name in mine if name not in its]
    rivals = [name for name in its[1:] if name not in mine]
    known = {name for text in others for name in _order(text)}
    if strange and rivals and not set(mine) & set(its):
        return next((name for name in strange if name in known), None)
    return None


def replaced(
    claim: Sequence[str], source: Sequence[str], *, at_least: float = 0.6
) -> tuple[str, str] | None:
    """A word that a claim has in place of another one, where it follows its source word for word.

    Args:
        claim: Its content words, as stems in order.
        source: Those of the sentence that is nearest to it.
        at_least: Share of the claim's words that must be the same, in the same order.
    """
    if len(claim) < 3:
        return None
    matcher = SequenceMatcher(None, list(claim), list(source), autojunk=False)
    codes = matcher.get_opcodes()
    equal = sum(end - start for tag, start, end, _, _ in codes if tag == "equal")
    if equal / len(claim) < at_least:
        return None
    for n, (tag, a, b, c, d) in enumerate(codes):
        if tag != "replace" or b - a > 3 or d - c > 3:
            continue
        left = codes[n - 1][2] - codes[n - 1][1] if n else 0
        right = codes[n + 1][2] - codes[n + 1][1] if n + 1 < len(codes) else 0
        if b - a == 1 and d - c < 3:
            near = left + right >= 2 and (left > 0 or equal / len(claim) >= 0.8)
        else:
            near = left >= 4
        if not near:
            continue
        mine, its = claim[a:b], source[c:d]
        if any(word in source for word in mine) and any(word in claim for word in its):
            continue
        if any(_alike(one, other) for one in mine for other in its):
            continue
        if b - a == 1 and {*mine, *its} & _light():
            continue  # “the rinsing process” for “rinses the system”
        if any(has_opposite(word) for word in (*mine, *its)) and (b - a < 2 or d - c < 2):
            continue  # what has an opposite is compared by its sense
        return " ".join(mine), " ".join(its)
    return None


_LIGHT = (
    "change make take give get put set move bring turn keep show see find use become lift allow "
    "process system cycle effect impact issue problem matter case part area field way form type "
    "kind device unit machine appliance tool product item thing object site location action work "
    "organisation organization company firm scheme programme project measure step result finding "
    "outcome person staff side adverse serious main overall whole certain enough ändern machen "
    "nehmen geben bringen gerät sache ding stelle teil art weise"
)
"""Words that say little by themselves, so that one may stand for another."""


@cache
def _light() -> frozenset[str]:
    return frozenset(stems(_LIGHT, in_german=False))


def _alike(one: str, other: str) -> bool:
    return one[:4] == other[:4] or same_end(one, other)


def _compared_sides(claim: str, source: str, *, in_german: bool) -> list[set[str]] | None:
    """The words before and after `than` in a claim, then in its source; None where one has none."""
    sides: list[set[str]] = []
    for text in (claim, source):
        found = _COMPARED.search(text)
        if found is None:
            return None
        for part in (text[: found.start()], text[found.end() :]):
            sides.append(set(content(part, in_german=in_german)))
    return sides


def turned_comparison(claim: str, source: str, *, in_german: bool) -> bool:
    """Whether a claim compares the other way: `men more than women`, `women less than men`.

    Args:
        claim: A clause.
        source: The sentence that is nearest to it.
        in_german: The language of the claim.
    """
    sides = _compared_sides(claim, source, in_german=in_german)
    if sides is None:
        return False
    left, right, its_left, its_right = sides
    words = sense(claim).raw.get("more", set()), sense(source).raw.get("more", set())
    turned = left & its_right - its_left and right & its_left - its_right
    return bool(turned) and not words[0] & words[1]


def other_way_round(claim: str, source: str, *, in_german: bool) -> bool:
    """Whether two names, or the two sides of a comparison, have changed their places.

    Args:
        claim: A clause.
        source: The sentence that is nearest to it.
        in_german: The language of the claim.
    """
    sides = _compared_sides(claim, source, in_german=in_german)
    if sides is not None:
        left, right, its_left, its_right = sides
        turned = sense(claim).raw.get("more"), sense(source).raw.get("more")
        if turned[0] and turned[1] and not turned[0] & turned[1]:
            return False  # “A less than B” is “B more than A”
        changed = left & its_right - its_left and right & its_left - left
        return bool(changed) and not right & its_right
    if _subjects_changed(claim, source):
        return True
    if in_german:
        return False
    claimed, there = _order(claim), _order(source)
    shared = [name for name in claimed if name in there]
    if len(shared) < 2 or bool(re.search(r"\bby\b", claim)) != bool(re.search(r"\bby\b", source)):
        return False
    if re.search(r"\b(?:and|or)\b", claim) and len(content(claim, in_german=False)) < 8:
        return False  # "A and B did it" has no order
    its_order = [name for name in there if name in shared]
    words = set(content(claim, in_german=False))
    covered = len(words & set(content(source, in_german=False))) / max(1, len(words))
    return shared[:2] == its_order[:2][::-1] and covered >= 0.7


def other_speaker(clause: str, parts: Sequence[str], *, in_german: bool) -> str | None:
    """The name that a clause begins with, where its source says the same of another name.

    Args:
        clause: A clause.
        parts: The clauses of what it cites.
        in_german: The language of the clause.
    """
    subject = _NAME_FIRST.match(clause)
    if not subject:
        return None
    said = set(content(clause[subject.end() :], in_german=in_german))
    if len(said) < 2:
        return None
    best = max(parts, key=lambda part: len(said & set(content(part, in_german=in_german))))
    share = len(said & set(content(best, in_german=in_german))) / len(said)
    its = re.match(rf"(?:\w{{1,20}}\s){{0,4}}?({_NAME_FIRST.pattern})", best)
    family = subject.group().split()[-1]
    if share < 0.6 or not its or family in best or its[1] in clause:
        return None
    known = any(family in part for part in parts)
    return subject.group() if known else None


def _subjects_changed(claim: str, source: str) -> bool:
    """Whether a claim says of one name what its source says of another that the claim has too."""
    mine, its = _NAME_FIRST.match(claim), _NAME_FIRST.match(source)
    if not mine or not its or re.search(r"\bby\b", claim + source):
        return False
    one, other = mine.group(), its.group()
    return (
        one not in source
        and other != one
        and re.search(rf"\b{re.escape(other)}\b", claim) is not None
    )


_NAME_FIRST = re.compile(r"[A-ZÀ-Þ][^\W\dA-Z_]+ [A-ZÀ-Þ][^\W\dA-Z_]+")


def _order(text: str) -> list[str]:
    """The names of a text in order; one at its beginning counts."""
    found = [match.group() for match in re.finditer(r"\b[A-ZÀ-Þ][^\W\d_]{2,}\b", text)]
    return list(dict.fromkeys(name for name in found if not _CALENDAR.match(name)))


def sentences_of(passages: Sequence[str]) -> list[str]:
    """The sentences of all passages."""
    return [sentence for passage in passages for sentence in sentences(passage)]
