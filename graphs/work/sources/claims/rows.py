"""The rows and columns of a table that a claim speaks of."""

import re
from dataclasses import dataclass

from allotrope.graphs.work.sources.claims.figures import figures
from allotrope.graphs.work.sources.claims.polarity import sense
from allotrope.graphs.work.sources.claims.support import same
from allotrope.graphs.work.sources.claims.wording import content

_RULE = re.compile(r"[|:\s-]+$")
_YEAR = re.compile(r"\b(?:19|20)\d\d\b")
_RELATIVE = re.compile(
    r"\b(?:year (?:before|earlier)|previous|earlier|from|compared|vorjahr|zuvor|than)\b", re.I
)


@dataclass(frozen=True)
class _Table:
    header: list[str]
    rows: list[list[str]]


def _tables(text: str) -> list[_Table]:
    found: list[list[list[str]]] = [[]]
    for line in text.split("\n"):
        if line.count("|") < 2:
            found.append([])
        elif not _RULE.match(line.strip()):
            found[-1].append([cell.strip() for cell in line.strip().strip("|").split("|")])
    return [_Table(rows[0], rows[1:]) for rows in found if len(rows) > 1]


def _named(cell: str, claim: str, said: set[str], *, in_german: bool) -> bool:
    """Whether a claim names what a cell says: all its words, or its year."""
    parts = set(content(cell, in_german=in_german))
    years = re.findall(r"\b(?:19|20)\d\d\b", cell)
    if years and not any(year in claim for year in years):
        return False
    if years or not parts:
        return bool(years) or cell.lower() in re.split(r"[^\w.]", claim.lower())
    beginnings = {word[:5] for word in said}
    return all(word in said or word[:5] in beginnings for word in parts)


def misread(claim: str, cited: str, *, in_german: bool) -> str | None:
    """Why a claim's figures aren't those of the rows and columns that it names, or None.

    Args:
        claim: A sentence.
        cited: What it cites; rows of tables are lines, `| one | two |`.
        in_german: The language of the claim.
    """
    said = set(content(claim, in_german=in_german))
    for table in _tables(cited):
        width = len(table.header)
        columns = {n for n in range(1, width)
                   if _named(table.header[n], claim, said, in_german=in_german)}  # fmt: skip
        labelled = {n for n, row in enumerate(table.rows)
                    if _named(row[0], claim, said, in_german=in_german)}  # fmt: skip
        for one in figures(claim):
            if one.kind in ("date", "year"):
                continue
            places = [
                (n, m)
                for n, row in enumerate(table.rows)
                for m, cell in enumerate(row[:width])
                if any(same(one, other) for other in figures(cell))
            ]
            if not places:
                continue
            in_row = [place for place in places if place[0] in labelled]
            if labelled and not in_row:
                return f"{one.text} stands in another row of the table"
            if columns and not _RELATIVE.search(claim) and not any(
                m in columns or m == 0 for _, m in in_row or places
            ):  # fmt: skip
                return f"{one.text} stands in another column of the table"
        if trouble := _course(claim, table, labelled, columns):
            return trouble
    return None


def _course(claim: str, table: _Table, labelled: set[int], columns: set[int]) -> str | None:
    """Whether a row goes the other way than the claim says, between the two years it names."""
    ends = sense(claim).ends.get("amount", set())
    years = sorted(n for n in columns if _YEAR.search(table.header[n]))
    if len(labelled) != 1 or len(years) != 2 or len(ends) != 1:
        return None
    row = table.rows[next(iter(labelled))]
    values = [figures(row[n])[:1] for n in years if n < len(row)]
    if len(values) != 2 or not all(values):
        return None
    first, last = (_YEAR.findall(table.header[n])[0] for n in years)
    later_first = first > last
    change = (values[1][0].value - values[0][0].value) * (-1 if later_first else 1)
    return "the table shows the other direction" if next(iter(ends)) * change < 0 else None
