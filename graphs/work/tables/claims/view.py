"""A sentence held against one result: each number, date and rank of it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from itertools import pairwise
from typing import Any

from allotrope.graphs.work.tables.claims import counting, quantifiers, ranks
from allotrope.graphs.work.tables.claims.grid import Column, Grid, pieces
from allotrope.graphs.work.tables.claims.language import dates
from allotrope.graphs.work.tables.claims.language import vocabulary as words
from allotrope.graphs.work.tables.claims.language.quantities import (
    ParsedSentence,
    WrittenNumber,
    parse,
)
from allotrope.graphs.work.tables.claims.language.units import TIME
from allotrope.graphs.work.tables.claims.language.vocabulary import word_set
from allotrope.graphs.work.tables.claims.matching import fits, in_unit
from allotrope.graphs.work.tables.claims.mentions import (
    Mention,
    Named,
    columns_for,
    named_in,
    own_part,
    rows_of,
)
from allotrope.graphs.work.tables.claims.steps.columnar import lacking
from allotrope.graphs.work.tables.claims.steps.deriving import derived, direction
from allotrope.graphs.work.tables.claims.steps.place import Derived, NumberPlace

_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_LITERAL = re.compile(r"\d+(?:\.\d+)?")
_PREMISE = word_set(
    "of the all these those your our top last first past next than above over under below between "
    "within least most von der die den aller letzten ersten top über unter in"
)
"""Words before a number that is taken from the question, not found in the result."""
_FOUND = word_set("total sum number average count altogether anzahl summe insgesamt")
"""Words before a number that is said to be found, not taken up."""
_ONE_IN = word_set("of in out every the von aus")
_ALL_OF_THEM = word_set("the all these those of alle die der aller")
_NEXT = word_set(", ; ( and with while but und mit")
_QUIET = word_set("was is are were be has have had of the a an and in for")


@dataclass
class SentenceView:
    """A sentence held against one result."""

    grid: Grid
    sentence: ParsedSentence
    named: Named
    topic: tuple[Mention, ...]
    asked: ParsedSentence
    problems: dict[str, str]
    made: list[str]
    cells: dict[int, tuple[int, Column]]
    contradiction: str | None = None
    earlier: Sequence[WrittenNumber] = ()

    @classmethod
    def of(
        cls,
        grid: Grid,
        text: str,
        topic: tuple[Mention, ...],
        asked: ParsedSentence,
        earlier: Sequence[WrittenNumber] = (),
    ) -> "SentenceView":
        named = named_in(grid, text)
        sentence = parse(text, taken=named.taken)
        view = cls(grid, sentence, named, topic, asked, {}, [], {}, earlier=earlier)
        view._look()
        return view

    def _look(self) -> None:
        for date in self.named.unknown:
            if date.lower() not in self.asked.text.lower() and not self._in_query(date):
                self.problems[date] = f"{date}: no row has this date"
        for label in self.named.labels:
            if problem := self._date_elsewhere(label):
                self.problems[label.name] = f"{label.name}: {problem}"
        for number, quantity in enumerate(self.sentence.quantities):
            problem = self._problem(number, quantity)
            if problem:
                self.problems[quantity.text] = f"{quantity.text}: {problem}"
        self.contradiction = ranks.contradiction(
            self.grid, self.sentence, self.named.labels, self.cells
        )

    def _in_query(self, date: str) -> bool:
        """Whether the query looked at a span of days that has this date."""
        days = sorted(_DAY.findall(self.grid.sql))
        written = dates.written_in(date)
        if not days or not written:
            return False
        period = written[0].period
        year = period.year or int(days[0][:4])
        first = f"{year}-{period.month or 1:02}-{period.day or 1:02}"
        last = f"{year}-{period.month or 12:02}-{period.day or 28:02}"
        return bool(days[0] <= last and (first <= days[-1] if len(days) > 1 else first == days[0]))

    def _date_elsewhere(self, label: Mention) -> str | None:
        """Whether a date stands in another column of dates than the one that the words name."""
        if label.column not in self.grid.periods:
            return None
        named = [
            one
            for one in self.named.labels
            if one.column not in self.grid.periods and one.last < label.at
        ]
        if named and not any(one.rows & label.rows for one in named):
            return f"the row of {named[-1].name} has another date"
        if len(self.grid.periods) < 2:
            return None
        near = self.sentence.words(max(0, label.at - 9), label.at)
        points = {
            column: sum(
                words.alike(word, part)
                for word in near
                for part in pieces(self.grid.columns[column])
            )
            for column in self.grid.periods
        }
        own = {one.column for one in self.named.labels if one.at == label.at}
        best = max(points.values())
        if best and all(points[column] < best for column in own):
            return "the result has this date in another column"
        return None

    def _implied(self, number: int) -> list[frozenset[int]]:
        """The row of `the top article`, where no label stands between that and a number."""
        quantity = self.sentence.quantities[number]
        for at in range(quantity.at - 1, max(-1, quantity.at - 7), -1):
            text = self.sentence.tokens[at].text
            if any(one.at <= at <= one.last for one in self.named.labels):
                return []
            sign = (text in words.HIGHEST) - (text in words.LOWEST)
            if sign and at and self.sentence.tokens[at - 1].text in ("the", "der", "die", "das"):
                after = [one for one in self.named.labels if at < one.at]
                before = [one for one in self.named.labels if one.last < at]
                if after or before or text in ("maximum", "minimum", "peak"):
                    return []
                return [
                    frozenset({max(range(len(values)), key=lambda row: values[row] * sign)})
                    for column in self.grid.numeric
                    if (
                        values := [
                            self.grid.cell(row, column) or Decimal(0)
                            for row in range(len(self.grid.rows))
                        ]
                    )
                ]
        return []

    @cached_property
    def _taken_up(self) -> list[Decimal]:
        """Numbers of the question, where the sentence speaks of what they are."""
        here = {
            words.stem(word) for token in self.sentence.tokens if (word := token.text).isalpha()
        }
        found = []
        for one in self.asked.quantities:
            named = {name for _, name in self._beside(self.asked, one)}
            said = any(q.readings[:1] == one.readings[:1] for q in self.sentence.quantities)
            if one.readings and (said or named & here) and one.unit != "%":
                found.append(one.readings[0])
        return found

    def _place(self, number: int) -> NumberPlace:
        labels = self.named.labels
        readings = rows_of(self.sentence, labels, self.topic, number, self.grid.periods)
        return NumberPlace(
            self.grid,
            self.sentence,
            number,
            labels or self.topic,
            self._implied(number) or readings,
            columns_for(self.grid, self.sentence, number),
            self._taken_up,
        )

    def _problem(self, number: int, quantity: WrittenNumber) -> str | None:
        if not quantity.readings:
            return "this is no time" if quantity.unit else "it can't be read"
        place = self._place(number)
        if self._is_asked(quantity):
            return None
        if counting.is_count(place):
            right = counting.holds(place)
            if right:
                return None
            if right is False and not self._cell(place):
                return "the result counts otherwise"
            if right is False and place.columns is None and len(self.grid.rows) > 1:
                return "the result counts otherwise"
        if self._cell(place) or counting.may_count(place):
            return None
        if self._other_sign(place):
            return f"{self._reason(place)}, with the other sign"
        if self._beyond(place):
            return None
        if self._one_in(number):
            return None
        found = derived(place, self.earlier) or self._of_numbers(place)
        if found is not None:
            self.made.append(f"{quantity.text} = {found.how}")
            return None
        before = [
            token.text for token in self.sentence.tokens[max(0, quantity.at - 1) : quantity.at]
        ]
        if quantity.readings[0] == len(self.grid.rows) and set(before) & _ALL_OF_THEM:
            return None
        return self._reason(place)

    def _is_asked(self, quantity: WrittenNumber) -> bool:
        """Whether a number is taken from the question: as a premise, beside the same word."""
        before = [t.text for t in self.sentence.tokens[max(0, quantity.at - 3) : quantity.at]]
        premise = bool(set(before[-2:]) & _PREMISE) and not set(before) & _FOUND
        here = self._beside(self.sentence, quantity)
        return any(
            one.readings[:1] == quantity.readings[:1]
            and one.unit == quantity.unit
            and any(
                premise or side == -1 == other
                for side, word in here
                for other, asked in self._beside(self.asked, one)
                if word == asked
            )
            for one in self.asked.quantities
        )

    @staticmethod
    def _beside(sentence: ParsedSentence, quantity: WrittenNumber) -> set[tuple[int, str]]:
        """The words up to two places from a number, with their places."""
        found = set()
        for side in (-2, -1, 1, 2):
            at = quantity.at + side if side < 0 else quantity.last + side
            if 0 <= at < len(sentence.tokens):
                token = sentence.tokens[at]
                if token.kind == "word" and token.text not in _QUIET:
                    found.add((side, words.stem(token.text)))
        return found

    def _one_in(self, number: int) -> bool:
        """Whether a number is part of `one in eight` that a share of the result confirms."""
        quantities = self.sentence.quantities
        for first, second in ((number, number + 1), (number - 1, number)):
            if first < 0 or second >= len(quantities):
                continue
            one, other = quantities[first], quantities[second]
            between = self.sentence.words(one.last + 1, other.at)
            named = [word for word in between if word not in _ONE_IN]
            if not between or not one.whole or not other.whole or len(named) > 1:
                continue
            if named and (between[-1] not in ("in", "of") or between[0] != named[0]):
                continue
            share = Decimal(one.whole) / Decimal(other.whole)
            spoken = replace(one, readings=(share,), unit="fraction", hedge=one.hedge)
            sentence = replace(
                self.sentence,
                quantities=(*quantities[:first], spoken, *quantities[second + 1 :]),
            )
            view = replace(self, sentence=sentence, problems={}, made=[], cells={})
            place = view._place(first)
            if share < 1 and (view._cell(place) or derived(place)):
                return True
        return False

    def _cell(self, place: NumberPlace) -> bool:
        """Whether the number is a cell of its row and column, by unit, measure and sign."""
        for row, column in self._choices(place):
            value = self.grid.cell(row, column)
            if value is None:
                continue
            for shown in in_unit(place.quantity, column, value):
                if self._same(place, column, shown):
                    self.cells[place.number] = (row, column)
                    return True
        return False

    def _other_sign(self, place: NumberPlace) -> bool:
        """Whether a gain is said of a cell that is a loss: `a surplus of 22,500`."""
        near = set(self._near(place)[-6:])
        after = set(self.sentence.words(place.quantity.last + 1, place.quantity.last + 3))
        gained, grew = (near | after) & words.GAINS, near & words.GREW
        if place.quantity.negative or not (gained or grew) or near & words.LOSS:
            return False
        rows = {row for reading in place.readings if len(reading) == 1 for row in reading}
        cells = {
            *self._choices(place),
            *((row, c) for row in rows for c in self.grid.numeric if c.change),
        }
        return any(
            value < 0
            and (gained or c.change)
            and any(fits(place.quantity, -one) for one in in_unit(place.quantity, c, value))
            for row, c in cells
            if (value := self.grid.cell(row, c)) is not None
        )

    def _choices(self, place: NumberPlace) -> list[tuple[int, Column]]:
        grid = self.grid
        named = () if self._out_of(place) else place.columns or ()
        columns = [c for c in named if self._goes(place.quantity, c)]
        if not columns and place.columns and place.quantity.unit == "fraction":
            return []
        if not columns:
            columns = [c for c in grid.numeric if self._goes(place.quantity, c)]
        if place.quantity.points:  # "lost 9.5 points" is a step, not a level
            columns = [c for c in columns if c.kind != "share" or c.change]
        if not self._out_of(place):
            columns = [c for c in columns if not lacking(place, c)]
        unit = place.quantity.unit
        if unit in TIME and any(column.unit in TIME for column in columns):
            columns = [column for column in columns if column.unit in TIME]
        if period := self._period_at(place):
            columns = [c for c in columns if c.period is None or c.period.within(period)]
        kinds = self._aggregates(place)
        strict = kinds & {"mean", "median"}
        if strict and any(c.measure in strict for c in columns):
            columns = [c for c in columns if c.measure in strict]
        columns = [
            column
            for column in columns
            if not (strict and column.measure and column.measure not in strict)
            and not (
                column.measure in ("max", "min")
                and kinds & {"max", "min"}
                and column.measure not in kinds
            )
        ]
        if place.readings:
            rows = [
                row
                for reading in place.readings
                if len(reading) <= 1 or len(grid.rows) == 1 or self._several(place)
                for row in sorted(reading)
            ]
        elif len(grid.rows) > 1 and (strict or self._whole(place)):
            rows = []
        else:
            rows = list(range(len(grid.rows)))
        return [(row, column) for row in dict.fromkeys(rows) for column in columns]

    def _period_at(self, place: NumberPlace) -> dates.Period | None:
        """The year or month that a number is of, where columns are of years or months."""
        if not any(column.period for column in self.grid.numeric):
            return None
        tokens, quantity = self.sentence.tokens, place.quantity
        start, end = tokens[quantity.at].start, tokens[quantity.last].end
        until = min((tokens[q.at].start for q in self.sentence.quantities if q.at > quantity.last),
                    default=len(self.sentence.text))  # fmt: skip
        written = dates.written_in(self.sentence.text[:2000])
        after = [w for w in written if end <= w.start < min(until, end + 20)]
        stops = set(",;") & set(self.sentence.text[end : after[0].start]) if after else set()
        before = [w for w in written if w.end <= start]
        if after and not stops:
            return after[0].period
        return before[-1].period if before else None

    def _out_of(self, place: NumberPlace) -> bool:
        """Whether a number is what another one is a part of: `44,100 of 45,000 spent`."""
        if not place.number:
            return False
        before = self.sentence.quantities[place.number - 1]
        return self.sentence.words(before.last + 1, place.quantity.at) in (
            ["of"],
            ["of", "the"],
            ["von"],
        )

    def _several(self, place: NumberPlace) -> bool:
        """Whether a label that many rows have may stand for one of them."""
        return len(self.grid.labels) > 1

    def _goes(self, quantity: WrittenNumber, column: Column) -> bool:
        values = self.grid.values(column)
        return bool(values) and bool(in_unit(quantity, column, values[0]))

    def _whole(self, place: NumberPlace) -> bool:
        near = self._near(place)
        return bool(set(near) & (words.TOTAL - {"over", "all", "both", "across", "aller", "alle"}))

    def _near(self, place: NumberPlace) -> list[str]:
        begin = own_part(self.sentence, place.number)
        return self.sentence.words(begin, place.quantity.at)

    def _aggregates(self, place: NumberPlace) -> set[str]:
        quantity = place.quantity
        following = [q.at for q in self.sentence.quantities if q.at > quantity.last]
        end = min([*following, quantity.last + 5])
        near = self._near(place)[-6:]
        for token in self.sentence.tokens[quantity.last + 1 : end]:
            if token.text in _NEXT:
                break
            near.append(token.text)
        return {
            kind
            for kind, names in words.AGGREGATES.items()
            for word in near
            if word in names
            and word not in ("highest", "lowest", "high", "low", "up", "many", "bottom")
        }

    def _same(self, place: NumberPlace, column: Column, value: Any) -> bool:
        quantity = place.quantity
        said = direction(self.sentence, quantity)
        near = set(self._near(place))
        if fits(quantity, value):
            if column.change and value != 0 and said and (said > 0) != (value > 0):
                return quantity.negative
            lost = near & {"lost", "loss", "deficit", "verlust"}
            return not (lost and value > 0 and {"profit", "gewinn"} & set(column.words))
        if value < 0 and not quantity.negative and fits(quantity, -value):
            return said < 0 or bool(near & words.LOSS)
        return False

    def _beyond(self, place: NumberPlace) -> bool:
        """Whether a bound holds: of its row, or as the bound of a count or of the question."""
        quantity = place.quantity
        if not counting.is_limit(quantity):
            return False
        counted = any(
            counting.is_count(self._place(number))
            for number, other in enumerate(self.sentence.quantities)
            if other is not quantity
        )
        of_question = any(
            one.readings[:1] == quantity.readings[:1] for one in self.asked.quantities
        ) or str(quantity.readings[0]) in _LITERAL.findall(self.grid.sql)
        if not place.readings and (counted or quantifiers.about_all(self.sentence)):
            return True
        for row, column in self._choices(place):
            value = self.grid.cell(row, column)
            if value is None:
                continue
            meets = counting.comparison(quantity, column)
            if meets(value) and (of_question or counted):
                return True
            missed = {"miss", "misses", "missed", "fail", "fails", "failed"} & place.cues()
            if missed and column.kind == "share" and meets((1 if column.ratio else 100) - value):
                return True
        return False

    def _of_numbers(self, place: NumberPlace) -> Derived | None:
        """`24 of the 50 planned, 48 %`: a share of two numbers of the sentence."""
        quantity = place.quantity
        if quantity.unit not in ("%", "fraction"):
            return None
        others = [one for one in self.sentence.quantities if one is not quantity and one.readings]
        for one, other in pairwise(others):
            between = self.sentence.words(one.last + 1, other.at)
            a, b = one.readings[0], other.readings[0]
            joined = {"of", "von", "out"} & set(between) and len(between) <= 4
            if not joined or not b or not self.grid.numeric:
                continue
            if fits(quantity, a / b * (100 if quantity.unit == "%" else 1)):
                return Derived(a / b, f"{one.text} / {other.text}", "%", self.grid.numeric[0])
        return None

    def _reason(self, place: NumberPlace) -> str:
        """Why a number doesn't hold, with what the result has."""
        quantity = place.quantity
        for column in self.grid.numeric:
            for row in range(len(self.grid.rows)):
                value = self.grid.cell(row, column)
                if value is None:
                    continue
                if any(
                    fits(quantity, one, any_sign=True)
                    for one in (*in_unit(quantity, column, value), value)
                ):
                    label = next((str(self.grid.rows[row][i]) for i in self.grid.labels), "")
                    where = f" of {label}" if label else ""
                    return f"the result has this as {column.name}{where}"
        return "it stands in no result, and follows from none by one step"
