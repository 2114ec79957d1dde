"""Recall: which archived messages bear on what is being talked about now."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time

from allotrope.memory.archive import Archive, Archived, ThreadFacts
from allotrope.memory.dates import Span, asks_when, spans
from allotrope.memory.known import Known, KnownMessages
from allotrope.memory.ranking import Corpus, Question, Weights, score, with_feedback
from allotrope.memory.words import bag, words

_POSTINGS = 400
_FEEDBACK_POSTINGS = 120
_POOL = 300
_BEST = 100
_BEFORE = 0.2
"""Bounds of one recall, whatever the thread's length: rows read per word, rows scored, rows
whose neighbours are read too; and the weight of words from the turn before."""


@dataclass(frozen=True)
class Recalled:
    """A message that bears on the question.

    Args:
        message: As archived.
        score: How well, higher is better.
    """

    message: Archived
    score: float


Embed = Callable[[Sequence[str]], Sequence[Sequence[float]]]
"""Texts to vectors, one each; where embeddings are configured."""


class Recall:
    """Finds messages of one thread by their words, and by embeddings where given.

    Args:
        archive: Where the messages are.
        weights: How much each sign counts.
        embed: Gives vectors; its order of the best candidates is fused with ours by reciprocal
            rank (Cormack, Clarke & Büttcher 2009).
    """

    def __init__(
        self, archive: Archive, *, weights: Weights | None = None, embed: Embed | None = None
    ) -> None:
        self._archive = archive
        self._weights = weights or Weights()
        self._embed = embed
        self._known = KnownMessages(archive)

    def find(self, tenant: str, thread: str, text: str, *, before: str = "") -> list[Recalled]:
        """Messages that bear on a text, best first.

        Args:
            tenant: Whose thread.
            thread: Which thread.
            text: The latest user turn, or what a tool asks for.
            before: The turn before, for a text that says little by itself; it counts little.
        """
        facts = self._archive.thread(tenant, thread)
        if facts is None or facts.messages == 0:
            return []
        question = self._question(text, before, facts)
        frequency: dict[str, int] = {}
        pool = self._pool(facts, question, frequency, _POSTINGS)
        if not pool:
            return []
        corpus = Corpus(facts.messages, facts.words / facts.messages, frequency)
        found = self._load(facts, pool)
        scores = score([one.candidate for one in found], question, corpus, self._weights)
        candidates = [one.candidate for one in found]
        wider = with_feedback(question, candidates, scores, corpus, self._weights)
        if wider is not question:
            more = self._pool(facts, wider, frequency, _FEEDBACK_POSTINGS)
            rows = list(dict.fromkeys([*pool[:_BEST], *more]))[:_POOL]
            found = self._load(facts, rows)
            scores = score([one.candidate for one in found], wider, corpus, self._weights)
        messages = [one.message for one in found]
        if self._embed is not None:
            scores = self._fused(text, messages, scores)
        recalled = [
            Recalled(message, scores[message.row])
            for message in messages
            if scores[message.row] > 0
        ]
        return sorted(recalled, key=lambda item: (-item.score, -item.message.seq))

    def _question(self, text: str, before: str, facts: ThreadFacts) -> Question:
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
        found = {word: _BEFORE for word in bag(before) if word not in names} | found
        years = sorted({moment.year for moment in (facts.first_at, facts.last_at) if moment})
        return Question(found, named, spans(text, years=years), asks_when(text))

    def _pool(
        self, facts: ThreadFacts, question: Question, frequency: dict[str, int], limit: int
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

    def _on(self, facts: ThreadFacts, span: Span) -> list[int]:
        first = datetime.combine(span.first, time.min, UTC)
        last = datetime.combine(span.last, time.max, UTC)
        return self._archive.between(facts, first, last, limit=100)

    def _load(self, facts: ThreadFacts, rows: Sequence[int]) -> list[Known]:
        """The rows, and the neighbours of the best ones, in the order of the thread."""
        found = self._known.rows(facts, rows)
        here = {one.message.seq for one in found}
        best = set(rows[:_BEST])
        wanted = {
            seq
            for one in found
            for seq in (one.message.seq - 1, one.message.seq + 1)
            if one.message.row in best and seq not in here and 0 <= seq < facts.messages
        }
        around = self._known.positions(facts, sorted(wanted))
        return sorted([*found, *around], key=lambda one: one.message.seq)

    def _fused(
        self, text: str, messages: Sequence[Archived], scores: dict[int, float]
    ) -> dict[int, float]:
        """Our order and the embeddings' order of the best candidates, by reciprocal rank."""
        assert self._embed is not None
        best = sorted(messages, key=lambda message: -scores[message.row])[:_POOL]
        vectors = self._embed([text, *(message.text for message in best)])
        asked, others = vectors[0], vectors[1:]
        near = [sum(a * b for a, b in zip(asked, other, strict=True)) for other in others]
        by_vector = sorted(range(len(best)), key=lambda place: -near[place])
        fused = {message.row: 1 / (60 + place) for place, message in enumerate(best)}
        for place, index in enumerate(by_vector):
            fused[best[index].row] += 1 / (60 + place)
        return {message.row: fused.get(message.row, 0.0) for message in messages}
