"""Recall: which archived messages bear on what is being talked about now."""

from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from threading import Lock

from allotrope.memory.archive import Archive, Archived, ThreadFacts
from allotrope.memory.dates import Span, asks_when, spans, speaks_of_time
from allotrope.memory.ranking import Candidate, Corpus, Question, Weights, score, with_feedback
from allotrope.memory.words import bag, words

_POSTINGS = 200
_FEEDBACK_POSTINGS = 60
_POOL = 200
_BEST = 60
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
        self._seen: OrderedDict[int, Candidate] = OrderedDict()
        self._lock = Lock()

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
        loaded: dict[int, Archived] = {}
        messages = self._load(facts, pool, loaded)
        candidates = [self._candidate(message) for message in messages]
        scores = score(candidates, question, corpus, self._weights)
        wider = with_feedback(question, candidates, scores, corpus, self._weights)
        if wider is not question:
            more = self._pool(facts, wider, frequency, _FEEDBACK_POSTINGS)
            messages = self._load(
                facts, list(dict.fromkeys([*pool[:_BEST], *more]))[:_POOL], loaded
            )
            candidates = [self._candidate(message) for message in messages]
            scores = score(candidates, wider, corpus, self._weights)
        if self._embed is not None:
            scores = self._fused(text, messages, scores)
        found = [
            Recalled(message, scores[message.row])
            for message in messages
            if scores[message.row] > 0
        ]
        return sorted(found, key=lambda item: (-item.score, -item.message.seq))

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

    def _load(
        self, facts: ThreadFacts, rows: Sequence[int], loaded: dict[int, Archived]
    ) -> list[Archived]:
        """The rows and the neighbours of the best ones; what was loaded before isn't read again."""
        for message in self._archive.rows(facts, [row for row in rows if row not in loaded]):
            loaded[message.row] = message
        messages = [loaded[row] for row in rows if row in loaded]
        here = {message.seq for message in messages}
        best = set(rows[:_BEST])
        wanted = {
            seq
            for message in messages
            for seq in (message.seq - 1, message.seq + 1)
            if message.row in best and seq not in here and 0 <= seq < facts.messages
        }
        around = [message for message in loaded.values() if message.seq in wanted]
        wanted -= {message.seq for message in around}
        for message in self._archive.at_positions(facts, sorted(wanted)):
            loaded[message.row] = message
            around.append(message)
        return sorted([*messages, *around], key=lambda message: message.seq)

    def _candidate(self, message: Archived) -> Candidate:
        with self._lock:
            known = self._seen.get(message.row)
            if known is not None:
                return known
        candidate = Candidate(
            row=message.row,
            seq=message.seq,
            session=message.session,
            speaker=message.speaker.casefold(),
            day=message.at.date(),
            words=Counter(message.words),
            tells_time=speaks_of_time(message.text),
            length=len(message.words),
        )
        with self._lock:
            self._seen[message.row] = candidate
            if len(self._seen) > 4096:
                self._seen.popitem(last=False)
        return candidate

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
