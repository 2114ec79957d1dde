"""Recall: which archived messages bear on what is being talked about now."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time

from allotrope.memory.archive.archive import Archive, Archived, ThreadFacts
from allotrope.memory.archive.known import ArchiveReader, Known, KnownMessages
from allotrope.memory.recall.dates import DaySpan, asks_when, spans
from allotrope.memory.recall.embeddings import Embed, Vectors
from allotrope.memory.recall.lexicon import language_of
from allotrope.memory.recall.nearness import likeness, nearness
from allotrope.memory.recall.ranking import (
    Candidate,
    Corpus,
    RecallQuery,
    Weights,
    score,
    with_feedback,
)
from allotrope.memory.recall.words import as_written, bag, words

_POSTINGS = 400
_FEEDBACK_POSTINGS = 120
_POOL = 300
_BEST = 100
_NEWEST_EMBEDDED = 300
_BEFORE = 0.2
_KIN, _KIN_ROWS, _KIN_WEIGHT = 5, 30, 0.6
"""Bounds of one recall, whatever the thread's length: rows read per word, rows scored, rows
whose neighbours are read too; and the weight of words from the turn before."""


@dataclass(frozen=True)
class Recalled:
    """A message that bears on the question.

    Args:
        message: As archived.
        score: How well, higher is better.
        correction: What corrected a statement of it, where something did and it was read.
    """

    message: Archived
    score: float
    correction: str | None = None


class Recall:
    """Finds messages of one thread by their words, and by embeddings where given.

    Args:
        archive: Where the messages are.
        weights: How much each sign counts.
        embed: Gives vectors; what is near to the question by them is added to the score.
    """

    def __init__(
        self, archive: Archive, *, weights: Weights | None = None, embed: Embed | None = None
    ) -> None:
        self._archive = archive
        self._weights = weights or Weights()
        self._vectors = Vectors(embed) if embed is not None else None
        self._known = KnownMessages(archive)

    def find(
        self, tenant: str, thread: str, text: str, *, before: str = "", tip: int | None = None
    ) -> list[Recalled]:
        """Messages that bear on a text, best first.

        Args:
            tenant: Whose thread.
            thread: Which thread.
            text: The latest user turn, or what a tool asks for.
            before: The turn before, for a text that says little by itself; it counts little.
            tip: The position of the latest message of the branch: only its past is found. None
                for all of the thread.
        """
        facts = self._archive.thread(tenant, thread)
        if facts is None or facts.messages == 0:
            return []
        question = self._question(text, before, facts)
        reader = self._known.reader(facts, self._archive.lineage(facts, tip))
        frequency: dict[str, int] = {}
        pool = self._pool(facts, question, frequency, _POSTINGS)
        with_kin = self._with_kin(question, frequency, facts, reader)
        if with_kin is not question:
            question = with_kin
            pool = self._pool(facts, question, frequency, _POSTINGS)
        if not pool and self._vectors is None:
            return []
        corpus = Corpus(facts.messages, facts.words / facts.messages, frequency)
        found = self._load(facts, pool, reader)
        candidates = [one.candidate.focused(question.words) for one in found]
        scores = score(candidates, question, corpus, self._weights)
        wider = with_feedback(question, candidates, scores, corpus, self._weights)
        if wider is not question:
            more = self._pool(facts, wider, frequency, _FEEDBACK_POSTINGS)
            rows = list(dict.fromkeys([*pool[:_BEST], *more]))[:_POOL]
            found = self._load(facts, rows, reader)
            candidates = [one.candidate.focused(question.words) for one in found]
            scores = score(candidates, wider, corpus, self._weights)
        if language_of(text.casefold()) == "en":
            scores = _with_likeness(scores, candidates, question, corpus)
        if self._vectors is not None:
            found, scores = self._fused(text, facts, found, scores, reader, question.speakers)
        messages = [one.message for one in found]
        recalled = [
            Recalled(message, scores[message.row])
            for message in messages
            if scores[message.row] > 0
        ]
        recalled = self._in_branch(recalled, facts, reader)
        return sorted(recalled, key=lambda item: (-item.score, -item.message.seq))

    def _in_branch(
        self, found: list[Recalled], facts: ThreadFacts, reader: ArchiveReader
    ) -> list[Recalled]:
        """Without the marks of corrections that only another branch has."""
        if reader.whole:
            return found
        marked = {item.message.superseded_by for item in found}
        there = self._archive.rows(facts, [row for row in marked if row is not None])
        here = {one.row for one in there if one.seq in reader.past}
        return [
            item
            if item.message.superseded_by is None or item.message.superseded_by in here
            else replace(item, message=replace(item.message, superseded_by=None))
            for item in found
        ]

    def _question(self, text: str, before: str, facts: ThreadFacts) -> RecallQuery:
        folded = text.casefold()
        spoken = set(words(text))
        named = frozenset(
            name for name in facts.speakers if name in folded and set(words(name)) <= spoken
        )
        # a speaker's name is mostly said by the other one, so it says who, not what
        names = {word for name in facts.speakers for word in words(name)}
        found = {word: 1.0 for word in bag(text) if word not in names}
        if not found:
            found = dict.fromkeys(bag(text), 1.0)
        # archives of earlier versions kept other scripts as they were written
        found |= {word: 1.0 for word in as_written(text) if word not in names}
        found = {word: _BEFORE for word in bag(before) if word not in names} | found
        years = sorted({moment.year for moment in (facts.first_at, facts.last_at) if moment})
        return RecallQuery(found, named, spans(text, years=years), asks_when(text))

    def _with_kin(
        self,
        question: RecallQuery,
        frequency: dict[str, int],
        facts: ThreadFacts,
        reader: ArchiveReader,
    ) -> RecallQuery:
        """The question with words that begin as one of it that the thread never says.

        Stemming joins the forms of a word, and not a word with what is derived from it: Allergie,
        allergisch.
        """
        kin: dict[str, float] = {}
        for word, weight in question.words.items():
            letters = word[: max(_KIN, len(word) - 2)]
            if frequency[word] or len(word) <= _KIN or not word.isalpha() or weight < 1.0:
                continue
            rows = self._archive.with_beginning(facts, letters, limit=_KIN_ROWS)
            found = Counter(
                other
                for one in reader.rows(rows)
                for other in one.candidate.words
                if other.startswith(letters) and len(other) <= len(word) + _KIN
            )
            kin |= dict.fromkeys([other for other, _ in found.most_common(3)], weight * _KIN_WEIGHT)
        return replace(question, words=kin | dict(question.words)) if kin else question

    def _pool(
        self, facts: ThreadFacts, question: RecallQuery, frequency: dict[str, int], limit: int
    ) -> list[int]:
        """The rows worth scoring: by rare words first, and by the days spoken of."""
        postings: dict[str, list[int]] = {}
        for word in question.words:
            rows = self._archive.with_word(facts, word, limit=limit)
            postings[word] = rows
            # a word that fills its limit is common: what it weighs hardly matters
            frequency[word] = len(rows) if len(rows) < limit else max(limit, facts.messages // 3)
        corpus = Corpus(facts.messages, 1.0, frequency)
        weight: Counter[int] = Counter()
        for word, rows in postings.items():
            rarity = corpus.rarity(word) * question.words[word]
            for row in rows:
                weight[row] += rarity  # type: ignore[assignment]  # a Counter of floats
        best = [row for row, _ in weight.most_common(_POOL)]
        for span in question.spans[:4]:
            best += self._on(facts, span)
        return best

    def _on(self, facts: ThreadFacts, span: DaySpan) -> list[int]:
        first = datetime.combine(span.first, time.min, UTC)
        last = datetime.combine(span.last, time.max, UTC)
        return self._archive.between(facts, first, last, limit=100)

    def _load(self, facts: ThreadFacts, rows: Sequence[int], reader: ArchiveReader) -> list[Known]:
        """The rows, and the neighbours of the best ones, in the order of the thread."""
        found = reader.rows(rows)
        here = {one.message.seq for one in found}
        best = set(rows[:_BEST])
        wanted = {
            seq
            for one in found
            for seq in (one.message.seq - 1, one.message.seq + 1)
            if one.message.row in best and seq not in here and 0 <= seq < facts.messages
        }
        around = reader.positions(sorted(wanted))
        return sorted([*found, *around], key=lambda one: one.message.seq)

    def _fused(
        self,
        text: str,
        facts: ThreadFacts,
        found: list[Known],
        scores: dict[int, float],
        reader: ArchiveReader,
        speakers: frozenset[str],
    ) -> tuple[list[Known], dict[int, float]]:
        """Our scores, and on top how near the embeddings are; ours alone without vectors.

        The embeddings see what words found and the newest messages, which may share no word.
        """
        assert self._vectors is not None
        newest = range(max(0, facts.messages - _NEWEST_EMBEDDED), facts.messages)
        all_here = {one.message.row: one for one in reader.positions(newest)}
        all_here |= {one.message.row: one for one in found}
        # of a long message its start would be compared, which says little of the rest
        short = [one for one in all_here.values() if one.candidate.passages is None]
        short.sort(key=lambda one: one.message.seq)
        vectors = self._vectors.of([text, *(one.message.text for one in short)])
        if vectors is None:
            return found, scores
        near = nearness(vectors[0], vectors[1:], [one.candidate for one in short], speakers)
        best = max(scores.values(), default=0.0) or 1.0
        fused = {row: value / best for row, value in scores.items() if value > 0}
        for one, value in zip(short, near, strict=True):
            row = one.message.row
            fused[row] = fused.get(row, 0.0) + value
        order = sorted(all_here.values(), key=lambda one: -fused.get(one.message.row, 0.0))
        kept = order[:_POOL]
        return kept, {one.message.row: fused.get(one.message.row, 0.0) for one in kept}


def _with_likeness(
    scores: dict[int, float], candidates: Sequence[Candidate], question: RecallQuery, corpus: Corpus
) -> dict[int, float]:
    """The scores, the best of them one, and on top what words of like meaning add (English)."""
    best = max(scores.values(), default=0.0)
    if best <= 0:
        return scores
    asked = {word: weight * corpus.rarity(word) for word, weight in question.words.items()}
    added = likeness(asked, candidates, question.speakers)
    return {
        one.row: scores[one.row] / best + more if scores[one.row] > 0 else 0.0
        for one, more in zip(candidates, added, strict=True)
    }


def with_corrections(
    archive: Archive, facts: ThreadFacts, found: Sequence[Recalled]
) -> list[Recalled]:
    """A corrected statement never comes without what corrected it, and after it."""
    best = found[:80]
    by_row = {item.message.row: item for item in found}
    wanted = {
        item.message.superseded_by: item.score
        for item in best
        if item.message.superseded_by is not None
    }
    if not wanted:
        return list(found)
    for message in archive.rows(facts, [row for row in wanted if row not in by_row]):
        by_row[message.row] = Recalled(message, 0.0)
    raised = []
    for item in by_row.values():
        score = item.score
        if item.message.row in wanted:
            score = max(score, wanted[item.message.row] * 1.01)
        correction = None
        if item.message.superseded_by is not None:
            score *= 0.5
            by = by_row.get(item.message.superseded_by)
            correction = by.message.text if by is not None else None
        raised.append(Recalled(item.message, score, correction))
    return sorted(raised, key=lambda item: (-item.score, -item.message.seq))
