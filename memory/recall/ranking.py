"""Which archived messages bear on a question: BM25 in three widths, feedback, speakers, dates.

Chosen on five LoCoMo conversations, all at once; `docs/memory.md` says what choosing single
weights with one conversation left out gives, and `benchmarks/retention.py` measures the whole:
BM25 over the message, over the message with its neighbours and over its session (Robertson &
Zaragoza 2009), a second round with the words of the best answers (RM3, Lavrenko & Croft 2001),
who speaks, and when.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING, TypeAlias

from allotrope.memory.recall.dates import DaySpan
from allotrope.memory.recall.passages import Passages

if TYPE_CHECKING:  # NumPy takes 0.2 s to import, and most turns recall nothing
    import numpy as np
    from numpy.typing import NDArray

Floats: TypeAlias = "NDArray[np.float64]"
Ints: TypeAlias = "NDArray[np.int64]"


@dataclass(frozen=True)
class Weights:
    """How much each sign counts; the defaults are the measured ones."""

    k1: float = 1.0
    b: float = 0.75
    neighbours: float = 1.2
    neighbours_k1: float = 1.8
    session: float = 1.0
    speaker: float = 1.0
    spread: float = 0.4
    date: float = 1.0
    date_alone: float = 0.2
    time_words: float = 0.15
    feedback: float = 0.3
    feedback_messages: int = 3
    feedback_words: int = 20


@dataclass(frozen=True)
class Candidate:
    """An archived message as ranking sees it.

    Args:
        row: Its number in the archive; neighbours in a thread have neighbouring `seq`.
        seq: Position in the thread.
        session: Which sitting it belongs to.
        speaker: Who said it, casefolded.
        day: When, if known.
        words: How often each of its words occurs.
        tells_time: Whether it mentions a time.
        length: How many words it has.
        passages: A long message in its passages; it is ranked by the one that fits best.
    """

    row: int
    seq: int
    session: int
    speaker: str
    day: date | None
    words: Mapping[str, int]
    tells_time: bool = False
    length: int = 0
    passages: Passages | None = None

    def focused(self, asked: Mapping[str, float]) -> "Candidate":
        """A long message as the passage of it that bears on a question."""
        if self.passages is None:
            return self
        found = self.passages.best(asked)
        return replace(self, words=found, length=sum(found.values()))


@dataclass(frozen=True)
class RecallQuery:
    """What is looked for.

    Args:
        words: Words with their weights.
        speakers: Speakers named in it, casefolded.
        spans: Days it speaks of.
        asks_when: Whether it asks for a time.
    """

    words: Mapping[str, float]
    speakers: frozenset[str] = frozenset()
    spans: Sequence[DaySpan] = ()
    asks_when: bool = False


@dataclass(frozen=True)
class Corpus:
    """Numbers of the whole thread.

    Args:
        messages: How many there are.
        average_length: Words of a message, on average.
        frequency: In how many messages a word occurs; missing means one.
    """

    messages: int
    average_length: float
    frequency: Mapping[str, int]

    def rarity(self, word: str) -> float:
        """Inverse document frequency, never negative."""
        count = self.frequency.get(word, 1)
        return math.log(1 + (self.messages - min(count, self.messages) + 0.5) / (count + 0.5))


def score(
    candidates: Sequence[Candidate], question: RecallQuery, corpus: Corpus, weights: Weights
) -> dict[int, float]:
    """How well each candidate bears on the question, by row; higher is better, 0 is not at all.

    Args:
        candidates: In the order of the thread.
        question: What is looked for.
        corpus: Numbers of the whole thread.
        weights: How much each sign counts.
    """
    import numpy as np

    if not candidates or not question.words:
        return {candidate.row: 0.0 for candidate in candidates}
    counts = _counts(candidates, question)
    weight = np.array(list(question.words.values()))
    rarity = np.array([corpus.rarity(word) for word in question.words])
    lengths = np.array([max(1, candidate.length) for candidate in candidates], dtype=np.float64)
    average = max(1.0, corpus.average_length)
    before, after = _neighbours(candidates)

    value = _bm25(counts, lengths / average, weight * rarity, weights.k1, weights.b)
    around = counts + _shifted(counts, before) + _shifted(counts, after)
    wide = lengths + _shifted(lengths, before) + _shifted(lengths, after)
    value += weights.neighbours * _bm25(
        around, wide / (3 * average), weight * rarity, weights.neighbours_k1, weights.b
    )
    value += weights.session * _sessions(candidates, counts, lengths, weight, weights.b)
    value = _signs(candidates, question, value, weights)
    spread = np.maximum(_shifted(value, before), _shifted(value, after))
    value = np.maximum(value, weights.spread * spread)
    return {candidate.row: float(value[i]) for i, candidate in enumerate(candidates)}


def _counts(candidates: Sequence[Candidate], question: RecallQuery) -> Floats:
    """How often each word of the question (rows) occurs in each candidate (columns)."""
    import numpy as np

    place = {word: index for index, word in enumerate(question.words)}
    counts = np.zeros((len(place), len(candidates)))
    for column, candidate in enumerate(candidates):
        for word in place.keys() & candidate.words.keys():
            counts[place[word], column] = candidate.words[word]
    return counts


def _neighbours(candidates: Sequence[Candidate]) -> tuple[Ints, Ints]:
    """For each candidate the index of its neighbours in the same session, or -1."""
    import numpy as np

    place = {candidate.seq: index for index, candidate in enumerate(candidates)}

    def beside(candidate: Candidate, step: int) -> int:
        index = place.get(candidate.seq + step, -1)
        return index if index >= 0 and candidates[index].session == candidate.session else -1

    return (
        np.array([beside(candidate, -1) for candidate in candidates]),
        np.array([beside(candidate, +1) for candidate in candidates]),
    )


def _shifted(values: Floats, index: Ints) -> Floats:
    """The values of the neighbours; zero where there is none."""
    import numpy as np

    return np.where(index >= 0, values[..., index], 0.0)


def _bm25(counts: Floats, relative: Floats, weight: Floats, k1: float, b: float) -> Floats:
    """BM25 of each column of `counts`; `relative` is length over average length."""
    saturated = counts * (k1 + 1) / (counts + k1 * (1 - b + b * relative))
    total: Floats = weight @ saturated
    return total


def _sessions(
    candidates: Sequence[Candidate], counts: Floats, lengths: Floats, weight: Floats, b: float
) -> Floats:
    """BM25 of whole sessions. A word that every session has says nothing about one of them."""
    import numpy as np

    names, of = np.unique([candidate.session for candidate in candidates], return_inverse=True)
    together = np.zeros((counts.shape[0], len(names)))
    for column, session in enumerate(of):
        together[:, session] += counts[:, column]
    length = np.bincount(of, weights=lengths)
    have = (together > 0).sum(axis=1)
    rarity = np.log(1 + (len(names) - have + 0.5) / (have + 0.5))
    own = _bm25(together, length / length.mean(), weight * rarity, 1.2, b)
    spread: Floats = own[of]
    return spread


def _signs(
    candidates: Sequence[Candidate], question: RecallQuery, value: Floats, weights: Weights
) -> Floats:
    """Speaker, date and time words on top of the words."""
    import numpy as np

    best = float(value.max())
    if len(question.speakers) == 1:
        said = np.array([candidate.speaker in question.speakers for candidate in candidates])
        value = value * (1 + weights.speaker * said)
    if question.spans:
        near = np.array(
            [
                candidate.day is not None
                and any(span.first <= candidate.day <= span.last for span in question.spans)
                for candidate in candidates
            ]
        )
        value = value * (1 + weights.date * near) + weights.date_alone * best * near
    if question.asks_when:
        tells = np.array([candidate.tells_time for candidate in candidates])
        value = value * (1 + weights.time_words * tells)
    return value


def with_feedback(
    question: RecallQuery,
    candidates: Sequence[Candidate],
    scores: Mapping[int, float],
    corpus: Corpus,
    weights: Weights,
) -> RecallQuery:
    """The question with words of its best answers added, at a lower weight (RM3)."""
    top = sorted(candidates, key=lambda candidate: -scores[candidate.row])
    top = top[: weights.feedback_messages]
    total = sum(scores[candidate.row] for candidate in top)
    if total <= 0:
        return question
    gathered: Counter[str] = Counter()
    for candidate in top:
        share = scores[candidate.row] / total / max(1, candidate.length)
        for word, count in candidate.words.items():
            if word not in question.words:
                gathered[word] += share * count * corpus.rarity(word)  # type: ignore[assignment]  # a Counter of floats
    added = gathered.most_common(weights.feedback_words)
    if not added:
        return question
    largest = added[0][1]
    words = dict(question.words) | {
        word: weights.feedback * value / largest for word, value in added
    }
    return RecallQuery(words, question.speakers, question.spans, question.asks_when)
