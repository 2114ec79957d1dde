"""Whether what is cited holds a claim: figures, names, order, negation, direction, certainty."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from allotrope.graphs.work.sources.claims import (
    binding,
    matching,
    polarity,
    roles,
    rows,
    scope,
)
from allotrope.graphs.work.sources.claims.figures import figures
from allotrope.graphs.work.sources.claims.support import (
    named_so,
    period_of,
    same,
    shared_out,
    stands,
    supported,
)
from allotrope.graphs.work.sources.claims.wording import alike, clauses, content, german, kin, raw
from allotrope.memory.recall.lexicon import language_of

ENOUGH = 0.34
"""Share of a claim's content words that must stand in what it cites, or have their like there: more
than one of three, which an order hidden in a page has already."""


@dataclass(frozen=True)
class _Part:
    """A clause of the source.

    Args:
        text: As written.
        sentence: The sentence that it is of.
        words: Its content words.
    """

    text: str
    sentence: str
    words: frozenset[str]


def mismatch(claim: str, passages: Sequence[str], others: Sequence[str] = ()) -> str | None:
    """Why a claim isn't held by the passages that it cites; None where it is.

    Args:
        claim: A sentence without its marks.
        passages: The texts that it cites.
        others: The other texts of the report, where what it is about may be named.
    """
    in_german = german(f"{claim} {' '.join(passages)[:2000]}")
    cited = "\n".join(passages)
    source = matching.sentences_of(passages)
    if language_of(claim.lower()) != language_of(cited.lower()):
        return _across(claim, cited, source, in_german=in_german)
    return (
        _figures(claim, cited, source, in_german=in_german)
        or _names(claim, "\n".join((cited, *others)), in_german=in_german)
        or _words(claim, cited, source, others, in_german=in_german)
        or _meaning(claim, source, in_german=in_german)
        or _roles(claim, source, in_german=in_german)
        or _certainty(claim, cited)
    )


def _across(claim: str, cited: str, source: Sequence[str], *, in_german: bool) -> str | None:
    """What can be told where the source is in another language: figures, and opposites beside them.

    Words and names have other forms there, and a missing one proves nothing.
    """
    there = figures(cited)
    in_prose = figures("\n".join(text for text in source if "|" not in text))
    for one in figures(claim):
        alternatives = [other for other in figures(claim) if other.start == one.start]
        if not any(
            supported(other, there, claim) or period_of(other, cited) for other in alternatives
        ) and not binding.may_be_counted(one, in_prose):
            return f"{one.text} doesn't stand in the source"
    return (
        matching.wrong_way(claim)
        or matching.exchanged(claim, source, in_german=in_german)
        or binding.by_or_to(claim, cited)
        or binding.other_course(claim, source)
        or _certainty(claim, cited)
        or _meaning(claim, source, in_german=in_german)
    )


def _figures(claim: str, cited: str, source: Sequence[str], *, in_german: bool) -> str | None:
    there = list(figures(cited))
    in_prose = figures("\n".join(text for text in source if "|" not in text))
    around = f"{claim} rest" if shared_out(cited) else claim
    for one in figures(claim):
        alternatives = [other for other in figures(claim) if other.start == one.start]
        if not any(supported(other, there, around) for other in alternatives) and not (
            any(period_of(other, cited) or named_so(other, cited) for other in alternatives)
            or binding.may_be_counted(one, in_prose)
        ):
            return f"{one.text} doesn't stand in the source"
        if bound := matching.wrong_bound(claim, one, cited):
            return bound
        there += [other for other in alternatives if not stands(other, there)]
    return (
        matching.wrong_way(claim)
        or matching.exchanged(claim, source, in_german=in_german)
        or matching.misdated(claim, source)
        or rows.misread(claim, cited, in_german=in_german)
        or binding.by_or_to(claim, cited)
        or binding.other_course(claim, source)
        or binding.other_rank(claim, source, in_german=in_german)
        or binding.other_part(claim, source, in_german=in_german)
        or binding.said_of_another(claim, source, in_german=in_german)
    )


def _names(claim: str, cited: str, *, in_german: bool) -> str | None:
    if in_german:
        return None
    name = matching.unknown_name(claim, cited)
    return f"“{name}” doesn't stand in the source" if name else None


def _words(
    claim: str, cited: str, source: Sequence[str], others: Sequence[str], *, in_german: bool
) -> str | None:
    words = content(claim, in_german=in_german)
    there = set(content(cited, in_german=in_german))
    beginnings = {word[:5] for word in there} | {word[:4] for word in there if len(word) < 6}
    if not words:
        return None
    numbers = len({one.start for one in figures(claim)})
    shared = sum(
        alike(word, there, beginnings) or any(polarity.same_end(word, other) for other in there)
        for word in words
    )
    meanings = raw(cited)
    like = sum(kin(word, meanings) for word in raw(claim))
    if (max(shared, (shared + like) / 2) + numbers) / (len(words) + numbers) < ENOUGH:
        return "too few of its words stand in the source"
    mine = matching.sequence(claim, in_german=in_german)
    for sentence in [*source, *(part for text in source for part in clauses(text)[1:])]:
        if polarity.sense(claim).negated != polarity.sense(sentence).negated:
            continue
        changed = matching.replaced(mine, matching.sequence(sentence, in_german=in_german))
        if changed and not (
            set(changed[0].split()) & set(content("\n".join(others), in_german=in_german))
            and changed[0] not in there
            and matching.is_name(claim, changed[0])
        ):
            return f"it says “{changed[0]}” where the source says “{changed[1]}”"
    return None


def _meaning(claim: str, source: Sequence[str], *, in_german: bool) -> str | None:
    parts = [
        _Part(clause, sentence, frozenset(content(clause, in_german=in_german)))
        for sentence in source
        for clause in clauses(sentence)
    ]
    for clause in _joined(clauses(claim), in_german=in_german):
        words = frozenset(content(clause, in_german=in_german))
        near = _nearest(clause, words, parts)
        if not near:
            continue
        trouble = _clause(clause, words, near, parts, in_german=in_german)
        if trouble:
            return trouble
    return None


def _joined(found: Sequence[str], *, in_german: bool) -> list[str]:
    """Clauses, those with less than two words of content joined to the one before."""
    joined: list[str] = []
    for clause in found:
        if joined and len(content(clause, in_german=in_german)) < 2:
            joined[-1] += f", {clause}"
        else:
            joined.append(clause)
    return joined


def _fit(clause: str, words: frozenset[str], part: _Part) -> float:
    """How much of a clause a part of the source holds: shared words, like ones, and figures."""
    shared = len(words & part.words)
    like = sum(
        any(polarity.same_end(word, other) for other in part.words) for word in words - part.words
    )
    its = figures(part.text)
    numbers = sum(stands(one, its) for one in figures(clause))
    subject = content(clause, in_german=german(clause))[:1]
    return shared + like / 2 + numbers + (bool(subject) and subject[0] in part.words) / 2


def _nearest(clause: str, words: frozenset[str], parts: Sequence[_Part]) -> list[_Part]:
    fits = [(_fit(clause, words, part), part) for part in parts]
    best = max((fit for fit, _ in fits), default=0.0)
    if best < 1:
        return []
    return [part for fit, part in fits if fit >= max(1.0, best * 0.75)]


def _clause(
    clause: str,
    words: frozenset[str],
    near: Sequence[_Part],
    parts: Sequence[_Part],
    *,
    in_german: bool,
) -> str | None:
    if scope.leaves_open(clause):
        return None
    mine = polarity.sense(clause)
    theirs = [polarity.sense(part.text) for part in near]
    whole = [polarity.sense(sentence) for sentence in {part.sentence for part in near}]
    if any(
        not any(same(one, other) for part in parts for other in figures(part.text))
        for one in figures(clause)
        if one.kind not in ("date", "year")
    ):
        return (
            None  # a figure that follows from others: “seven of nine did not” for “two of nine did”
        )
    opposed = [
        polarity.opposed(mine, one, closely=len(words & part.words) >= 0.7 * len(words))
        for one, part in zip(theirs, near, strict=True)
    ]
    closest = max(_fit(clause, words, part) for part in near)
    speaking = [
        bool(one)
        for one, part, sense in zip(opposed, near, theirs, strict=True)
        if mine.ends.keys() & sense.ends.keys()
        and _fit(clause, words, part) >= closest
        and not matching.turned_comparison(clause, part.sentence, in_german=in_german)
    ]
    turned = any(
        matching.turned_comparison(clause, part.sentence, in_german=in_german) for part in near
    )
    if (all(opposed) and not turned) or (speaking and all(speaking)):
        return "the source says the opposite"
    loosely = [polarity.sense(part.text) for part in parts if words & part.words]
    loosely = [one for one in loosely if one.negated]
    close = max(len(words & part.words) for part in near) * 2 >= len(words)
    unexplained = not any(scope.is_negative(part.text, clause, loosely=True) for part in near)
    same_words = all(words == part.words for part in near)
    if (
        mine.negated
        and close
        and (
            not any(one.loosely for one in (*theirs, *whole, *loosely))
            or (unexplained and same_words)
        )
    ):
        return "it says “not” where the source doesn't"
    if any(_denied(clause, words, part, in_german=in_german) for part in parts):
        return "it leaves out the “not” of the source"
    agreed = any(
        ends & one.ends.get(axis, set()) for one in theirs for axis, ends in mine.ends.items()
    )
    denied = {
        word
        for one in theirs
        for behind in one.scopes
        for word in content(scope.reach(behind), in_german=in_german)
    }
    silent = not mine.negative and not scope.restates(clause) and not agreed
    if all(one.negated for one in theirs) and silent and words & denied:
        share = max(len(words & part.words) / max(1, len(part.words)) for part in near)
        if share >= 0.34:
            return "it leaves out the “not” of the source"
    for text in {part.sentence for part in parts}:
        excepted = set(content(scope.exception(text), in_german=in_german))
        main = polarity.sense(text.replace(scope.exception(text), " "))
        meant = bool(excepted) and excepted <= words and not scope.excepts(clause)
        more = (words - excepted) & set(content(text, in_german=in_german))
        if meant and more and mine.negated == main.negated:
            return "the source makes an exception of that"
    best = near[0]
    said = [part.text for part in parts]
    if name := matching.other_speaker(clause, said, in_german=in_german):
        return f"the source doesn't say that of “{name}”"
    if len({part.sentence for part in near}) == 1:
        if word := polarity.turned_beside(clause, best.sentence):
            return f"it says “{word}” where the source says the opposite"
        if word := roles.turned_by_prefix(clause, best.text):
            return f"it says “{word}” where the source says the opposite"
    if not turned and any(
        roles.turned_round(clause, part.sentence, in_german=in_german) for part in near
    ):
        return "the source has it the other way round"
    if (
        any(matching.other_way_round(clause, part.sentence, in_german=in_german) for part in near)
        and len(near) == 1
    ):
        return "the source has it the other way round"
    if all(polarity.promised(clause, part.sentence) for part in near):
        return "the source holds it for possible only"
    return _misplaced(clause, words, parts, in_german=in_german) or _subject(
        clause, words, best, parts, in_german=in_german
    )


def _denied(clause: str, words: frozenset[str], part: _Part, *, in_german: bool) -> bool:
    """Whether a part of the source denies just what a clause says."""
    for behind in scope.denials(part.text):
        denied = set(content(behind, in_german=in_german))
        if not denied <= words or scope.is_negative(clause, behind):
            continue
        if len(denied) >= 2 and len(denied & words) / len(denied) >= 0.75:
            return True
        around = set(content(part.sentence, in_german=in_german)) & words
        shortly = re.match(r"\W{0,2}\w+\s?(?:[.,;]|$)", behind) is not None
        if len(denied) == 1 and (
            len(around) >= 3 or len(part.words) <= 2 or (shortly and len(around) >= 2)
        ):
            return True
    return False


def _misplaced(
    clause: str, words: frozenset[str], parts: Sequence[_Part], *, in_german: bool
) -> str | None:
    """A figure or a name of a clause that the source has of something else."""
    sentences = {
        part.sentence: frozenset(content(part.sentence, in_german=in_german)) for part in parts
    }
    if len(sentences) < 2 or not words:
        return None
    best = max(sentences, key=lambda text: len(words & sentences[text]))
    shared = len(words & sentences[best])
    if shared < 2:
        return None
    there, mine = figures(best), figures(clause)
    for one in mine:
        if one.kind in ("date", "year") or any(same(one, other) for other in there):
            continue
        rivals = [other for other in there if other.kind == one.kind and other.kind
                  and not any(same(claimed, other) for claimed in mine)]  # fmt: skip
        having = [text for text in sentences if any(same(one, other) for other in figures(text))]
        if rivals and having and all(len(words & sentences[t]) * 2 <= shared for t in having):
            return f"{one.text} is said of something else in the source"
    name = matching.other_name(clause, best, [text for text in sentences if text != best])
    if name and shared / len(words) >= 0.5:
        return f"the source doesn't say that of “{name}”"
    return None


def _subject(
    clause: str, words: frozenset[str], best: _Part, parts: Sequence[_Part], *, in_german: bool
) -> str | None:
    """Whether something is said of another thing than in the source."""
    ordered = content(clause, in_german=in_german)
    if len(ordered) < 4:
        return None
    subject = ordered[0]
    rest = words - {subject}
    sentence = frozenset(content(best.sentence, in_german=in_german))
    elsewhere = any(subject in part.words for part in parts if part.sentence != best.sentence)
    its = content(best.sentence, in_german=in_german)[:1]
    if (
        subject in sentence
        or not elsewhere
        or its[0] in words
        or len(rest & sentence) / len(rest) < 0.75
    ):
        return None
    return f"the source doesn't say that of “{subject}”"


def _roles(claim: str, source: Sequence[str], *, in_german: bool) -> str | None:
    if verb := roles.not_yet(claim, source):
        return f"in the source it hasn't “{verb}” yet"
    if way := roles.other_way(claim, "\n".join(source)):
        return f"the source doesn't say “{way}”"
    if name := roles.other_agent(claim, source):
        return f"the source doesn't say that of “{name}”"
    if when := roles.too_early(claim, source):
        return f"the source says not before {when}"
    if roles.other_cause(claim, source, in_german=in_german):
        return "the source gives another cause"
    return None


def _certainty(claim: str, cited: str) -> str | None:
    word = polarity.overstated(claim, cited)
    return f"“{word}” is more than the source says" if word else None
