"""Queries only read, reach nothing outside, and end in time; the walls hold without namespaces."""

import pandas as pd
import pytest

from allotrope.graphs.work.sandbox.runner import walls
from allotrope.graphs.work.tables import worker
from allotrope.graphs.work.tables.engine import QueryEngine, QueryError
from allotrope.settings.agents import AgentsSettings


@pytest.fixture(scope="module")
def parquet(tmp_path_factory):
    path = tmp_path_factory.mktemp("tables") / "t.parquet"
    pd.DataFrame({"i": range(5), "s": list("abcde")}).to_parquet(path)
    path.chmod(0o644)
    return path


@pytest.fixture(scope="module")
def connection(parquet):
    """The worker's own connection, for the many statements that need no process of their own."""
    with worker.open_locked({"t": str(parquet)}, memory_mb=200, threads=1) as opened:
        yield opened


ATTACKS = [
    "SELECT 1; SELECT 2",
    "",
    "hello",
    "INSERT INTO t VALUES (9, 'x')",
    "UPDATE t SET i = 0",
    "DELETE FROM t",
    "DROP TABLE t",
    "CREATE TABLE u AS SELECT 1",
    "CREATE OR REPLACE TABLE t AS SELECT 1",
    "CREATE MACRO f() AS 1",
    "ALTER TABLE t RENAME TO u",
    "WITH x AS (DELETE FROM t RETURNING *) SELECT * FROM x",
    "WITH x AS (INSERT INTO t VALUES (9, 'x') RETURNING *) SELECT * FROM x",
    "WITH x AS (UPDATE t SET i = 0 RETURNING *) SELECT * FROM x",
    "COPY t TO '/tmp/allotrope-leak.csv'",
    "COPY (SELECT 1) TO 's3://bucket/x'",
    "EXPORT DATABASE '/tmp/allotrope-leak'",
    "IMPORT DATABASE '/tmp'",
    "ATTACH '/tmp/allotrope-leak.db' AS leak",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('/proc/self/environ')",
    "SELECT * FROM read_json('/etc/passwd')",
    "SELECT * FROM read_parquet('/tmp/*.parquet')",
    "SELECT * FROM read_csv('http://169.254.169.254/')",
    "SELECT * FROM 'https://example.com/x.parquet'",
    "SELECT * FROM glob('/*')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM parquet_metadata('/tmp/x')",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM query('DROP TABLE t')",
    "SELECT * FROM query('COPY t TO ''/tmp/x''')",
    "SELECT * FROM sqlite_scan('/tmp/x', 'y')",
    "SELECT getenv('HOME')",
    "SELECT * FROM connection",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET threads = 64",
    "SET enable_external_access = true",
    "RESET lock_configuration",
    "PRAGMA database_list",
    "CALL pragma_version()",
    "SELECT * FROM enable_logging()",
    "BEGIN",
    "COMMIT",
    "CHECKPOINT",
    "VACUUM",
    "USE memory",
    "PREPARE p AS SELECT 1",
    "EXPLAIN SELECT 1",
    "CREATE SECRET (TYPE s3)",
]


@pytest.mark.parametrize("sql", ATTACKS)
def test_only_reading_is_allowed(connection, sql):
    answer = worker.query(connection, sql, rows=10)
    assert set(answer) == {"error"}
    left = worker.query(connection, "SELECT count(*), sum(i) FROM t", rows=10)
    assert left["rows"] == [[5, 10]]


@pytest.mark.parametrize(
    ("sql", "found"),
    [
        ("SELECT s FROM t WHERE i = 2", [["c"]]),
        ("FROM t SELECT max(i)", [[4]]),
        ("WITH x AS (SELECT 1.50::DECIMAL(5,2) AS y) SELECT y FROM x;", [["1.50"]]),
        (
            "SELECT DATE '2024-05-01', NULL, true, 'nan'::DOUBLE",
            [["2024-05-01", None, True, "nan"]],
        ),
        ("SELECT [1, 2], {'a': 1}", [["[1, 2]", "{'a': 1}"]]),
        ("DESCRIBE t", None),
    ],
)
def test_reading_works(connection, sql, found):
    answer = worker.query(connection, sql, rows=10)
    assert found is None or answer["rows"] == found


def test_rows_and_cells_are_cut(connection):
    answer = worker.query(connection, "SELECT repeat('x', 1000) FROM range(100)", rows=7)
    assert (len(answer["rows"]), answer["more"]) == (7, True)
    assert len(answer["rows"][0][0]) == worker.CELL_CHARS + 1


def test_the_profile(connection):
    facts = worker.profile(connection, ["t"])["tables"]["t"]
    assert facts["rows"] == 5
    assert [column["column_name"] for column in facts["columns"]] == ["i", "s"]
    assert facts["sample"][0] == [0, "a"]


apart = pytest.mark.skipif(not walls().complete, reason="no namespaces on this machine")


@pytest.mark.parametrize("wall", ["namespaces", "landlock", "none"])
def test_in_its_own_process(parquet, wall):
    engine = QueryEngine({"t": parquet}, walls=[wall])
    assert engine.query("SELECT sum(i) AS total FROM t").as_dict() == {
        "sql": "SELECT sum(i) AS total FROM t",
        "columns": ["total"],
        "rows": [[10]],
        "more": False,
    }
    with pytest.raises(QueryError, match="Binder Error"):
        engine.query("SELECT nothing FROM t")


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        (
            "SELECT count(*) FROM range(10000000) a, range(100000) b WHERE a.range*b.range%7=1",
            "longer",
        ),
        ("SELECT length(repeat(repeat('x', 50000), 80000))", "memory|longer|Memory"),
        ("SELECT list(range) FROM range(500000000)", "memory|Memory|longer"),
        ("SELECT 1" + " " * 30_000, "too long"),
    ],
)
def test_greedy_queries_end(parquet, sql, words):
    limits = AgentsSettings(sql_timeout_s=1.5, sql_memory_mb=200)
    with pytest.raises(QueryError, match=words):
        QueryEngine({"t": parquet}, limits).query(sql)
