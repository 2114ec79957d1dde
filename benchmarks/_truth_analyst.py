"""The analyst's check on fluent answers, right and wrong, and its reading of files.

The answers are held against the results of real queries over the set's tables, by the agent's own
check. `good` is a right answer that stays whole, or a wrong one of which the wrong sentence goes.
"""

import tempfile
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

from _truth_sets import lines, row

from allotrope.exceptions import InputError
from allotrope.graphs.work.tables.claims.judging import QueryFacts, judge
from allotrope.graphs.work.tables.engine import QueryEngine
from allotrope.graphs.work.tables.reading import Table, describe, read_tables

MAX_BYTES = 1_000_000


def run(quick: bool) -> list[dict[str, Any]]:
    """Plays the set.

    Args:
        quick: Only each third query and file.
    """
    known = lines("analyst")
    step = 3 if quick else 1
    with tempfile.TemporaryDirectory() as folder:
        rows = _answers(known, Path(folder), step)
        return rows + _files(known, Path(folder), step)


def _answers(known: list[dict[str, Any]], folder: Path, step: int) -> list[dict[str, Any]]:
    texts = {one["name"]: one["text"] for one in known if one["kind"] == "table"}
    queries = {one["id"]: one for one in known if one["kind"] == "query"}
    counts: dict[tuple[int, bool, bool], Counter[bool]] = {}
    failures: dict[tuple[int, bool, bool], list[str]] = {}
    for query in list(queries.values())[::step]:
        result = _result(query, texts, folder)
        for answer in known:
            if answer["kind"] != "answer" or answer["query"] != query["id"]:
                continue
            judged = judge(answer["text"], [result], question=query["question"])
            problems = [one.problem for one in judged if one.problem]
            key = -query.get("batch", 1), answer["right"], query["held_out"]
            good = bool(problems) != answer["right"]
            counts.setdefault(key, Counter())[good] += 1
            if not good:
                why = problems or answer.get("wrong_in")
                failures.setdefault(key, []).append(f"{query['id']}: {answer['text']!r} {why}")
    return [
        row(
            "analyst", "right answers rejected" if right else "wrong answers accepted",
            _part(-batch, held), of=found.total(), count=found[False],
            goal="≤ 10 %" if right else "≤ 12 %", cost="0 rounds where it holds, else 1",
            failures=failures.get((batch, right, held), ()),
        )
        for (batch, right, held), found in sorted(counts.items(), reverse=True)
    ]  # fmt: skip


def _part(batch: int, held: bool) -> str:
    """The part of the set; each batch was counted at first look, and its open part then mended."""
    return ("held out" if held else "open") + (f", batch {batch}" if batch > 1 else "")


def _result(query: dict[str, Any], texts: dict[str, str], folder: Path) -> QueryFacts:
    if "result" in query:
        return QueryFacts(query["result"]["columns"], query["result"]["rows"], query["sql"])
    tables = _read(query["table"], texts[query["table"]], folder)
    engine = QueryEngine({table.name: table.parquet for table in tables})
    found = engine.query(query["sql"])
    return QueryFacts(found.columns, found.rows, found.sql)


def _read(name: str, text: str, folder: Path) -> list[Table]:
    (folder / name).write_text(text, encoding="utf-8")
    return read_tables(
        [str(folder / name)], roots=[folder], max_bytes=MAX_BYTES, folder=folder / "kept"
    )


def _files(known: list[dict[str, Any]], folder: Path, step: int) -> list[dict[str, Any]]:
    counts: dict[bool, Counter[bool]] = {}
    failures: dict[bool, list[str]] = {}
    files = [one for one in known if one["kind"] == "file"]
    for file in files[::step]:
        wrong = _misread(file, folder)
        counts.setdefault(file["held_out"], Counter())[not wrong] += 1
        if wrong:
            failures.setdefault(file["held_out"], []).append(f"{file['name']}: {wrong}")
    return [
        row(
            "analyst", "files read right", "held out" if held else "open",
            of=found.total(), count=found[True], goal="all", failures=failures.get(held, ()),
        )
        for held, found in sorted(counts.items())
    ]  # fmt: skip


def _misread(file: dict[str, Any], folder: Path) -> str:
    """What of a file was read otherwise than it says; empty when all is right."""
    try:
        (table,) = _read(file["name"], file["text"], folder)
        engine = QueryEngine({table.name: table.parquet})
        profile = engine.profile()
    except InputError as exc:
        return str(exc)
    facts = profile[table.name]
    types = {one["column_name"]: str(one["column_type"]).lower() for one in facts["columns"]}
    said = describe([table], profile)
    for check, wanted in file["checks"].items():
        kind, _, column = check.partition(":")
        quoted = f'"{column}"'
        try:
            if kind == "rows" and facts["rows"] != wanted:
                return f"{facts['rows']} rows"
            if kind == "columns" and list(types) != wanted:
                return f"columns {list(types)}"
            if kind == "type" and wanted not in types.get(column, ""):
                return f"{column} is {types.get(column)}"
            if kind == "sum":
                found = engine.query(f'SELECT sum({quoted}) FROM "{table.name}"').rows[0][
                    0
                ]  # our own names
                if found is None or abs(Decimal(str(found)) - Decimal(str(wanted))) > Decimal(
                    "0.001"
                ):
                    return f"the sum of {column} is {found}"
            if kind == "text":
                rows = engine.query(f'SELECT {quoted} FROM "{table.name}"').rows  # our own names
                if [wanted] not in rows:
                    return f"{column} is {rows}"
            if kind == "note" and not any(f"“{wanted}”" in note for note in table.notes):
                return f"nothing is said about {wanted}: {said[:200]}"
        except InputError as exc:
            return str(exc)
    return ""
