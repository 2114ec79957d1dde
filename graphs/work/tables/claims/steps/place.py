"""A number in its sentence and result, and what it can be made of."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from allotrope.graphs.work.tables.claims.grid import Column, Grid
from allotrope.graphs.work.tables.claims.language.quantities import ParsedSentence, WrittenNumber
from allotrope.graphs.work.tables.claims.mentions import Mention


@dataclass(frozen=True)
class Derived:
    """A value that follows from a result.

    Args:
        value: It, with its sign.
        how: The sum, for people.
        unit: What it counts as: `same` (that of the column), `%`, `points`, `times` or `each`.
        column: The column it is made of.
        signed: Whether its sign is a direction, which words must not contradict.
    """

    value: Decimal
    how: str
    unit: str
    column: Column
    signed: bool = False


@dataclass(frozen=True)
class NumberPlace:
    """What a number may be made of.

    Args:
        grid: The result.
        sentence: The sentence.
        number: Which of its numbers.
        labels: The labels of the sentence, or of the one before it.
        readings: The rows that the number can belong to.
        columns: The columns that words name, or None.
        asked: Numbers of the question that the sentence takes up.
    """

    grid: Grid
    sentence: ParsedSentence
    number: int
    labels: Sequence[Mention]
    readings: Sequence[frozenset[int]]
    columns: Sequence[Column] | None
    asked: Sequence[Decimal] = ()

    @property
    def quantity(self) -> WrittenNumber:
        """The number."""
        return self.sentence.quantities[self.number]

    def own_label(self) -> bool:
        """Whether a row is named in the number's own part of the sentence."""
        begin, end = self._span()
        return any(begin <= one.at < end for one in self.labels)

    def clause(self) -> list[str]:
        """The words of the number's own part of the sentence."""
        return self.sentence.words(*self._span())

    def _span(self) -> tuple[int, int]:
        tokens, at = self.sentence.tokens, self.quantity.at
        stops = (",", ";", ":", "but", "aber", "while", "whereas")
        begin = next((n + 1 for n in range(at - 1, -1, -1) if tokens[n].text in stops), 0)
        end = next((n for n in range(at, len(tokens)) if tokens[n].text in stops), len(tokens))
        return begin, end

    def cues(self) -> set[str]:
        """The words of the sentence."""
        return {token.text for token in self.sentence.tokens if token.kind == "word"}
