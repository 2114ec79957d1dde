"""The ledger against the provider's own books: to the token, across a `kill -9`."""

import importlib.util
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from sqlalchemy import func, select

from allotrope.testing import ProviderSimulator
from allotrope.usage.ledger import schema
from allotrope.usage.ledger.ledger import Ledger

SEED = 11
CASES = 40


def load() -> ModuleType:
    path = Path(__file__).parents[2] / "benchmarks" / "_usage_load.py"
    spec = importlib.util.spec_from_file_location("usage_load", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["usage_load"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def booked(path: Path) -> dict[int, tuple[int, int]]:
    c = schema.calls.c
    with Ledger(f"sqlite:///{path}/usage.db") as ledger, ledger.engine.connect() as connection:
        found = connection.execute(
            select(c.run, func.sum(c.input_tokens), func.sum(c.output_tokens))
            .where(c.status == "ok", c.cached == "", c.agent != "abort")
            .group_by(c.run)
        )
        return {int(run): (int(input_), int(output)) for run, input_, output in found}


def test_to_the_token_across_a_kill(tmp_path: Path) -> None:
    usage_load = load()
    with ProviderSimulator() as simulator:
        truth = usage_load.Truth(simulator)
        truth.install()

        def start(cases: range, **options: Any) -> "subprocess.Popen[bytes]":
            return subprocess.Popen(
                usage_load.command(tmp_path, simulator, cases, concurrency=8, seed=SEED, **options)
            )

        def wait_for(condition: Callable[[], bool]) -> None:
            deadline = time.monotonic() + 90
            while not condition():
                assert time.monotonic() < deadline
                time.sleep(0.05)

        go = tmp_path / "go"
        process = start(range(2000), pause=(CASES, go))
        kinds = [usage_load.kind_of(case, SEED) for case in range(CASES)]
        answered = CASES - kinds.count("abort")
        wait_for(lambda: len(truth.sums()) == answered)
        # Nobody asks for it: what is a moment old is in the ledger by itself.
        wait_for(lambda: (tmp_path / "usage.db").exists() and len(booked(tmp_path)) == answered)
        go.touch()
        wait_for(lambda: len(truth.sums()) >= answered + 10)
        process.send_signal(signal.SIGKILL)
        process.wait()
        first, got = truth.sums(), booked(tmp_path)
        assert {case: got[case] for case in got} == {case: first.get(case) for case in got}
        assert set(range(CASES)) - set(got) == {n for n in range(CASES) if kinds[n] == "abort"}

        process = start(range(200_000, 200_000 + CASES))
        assert process.wait(90) == 0
        second = truth.sums(range(200_000, 200_000 + CASES))
    got = booked(tmp_path)
    assert {case: got[case] for case in second} == second
    c = schema.calls.c
    with Ledger(f"sqlite:///{tmp_path}/usage.db") as ledger, ledger.engine.connect() as connection:
        kinds = [usage_load.kind_of(case, SEED) for case in range(200_000, 200_000 + CASES)]
        mine = (c.run >= "200000", c.run < "300000", func.length(c.run) == 6)

        def count(*conditions: object) -> int:
            query = select(func.count()).select_from(schema.calls)
            return int(connection.scalar(query.where(*mine, *conditions)) or 0)  # type: ignore[arg-type] # conditions

        assert count(c.cached == "exact") == kinds.count("cached")
        assert count(c.status == "aborted") == kinds.count("abort")
        rolled = connection.execute(
            select(func.sum(schema.daily.c.input_tokens), func.sum(schema.daily.c.output_tokens))
        ).one()
        rows = connection.execute(select(func.sum(c.input_tokens), func.sum(c.output_tokens))).one()
    assert tuple(rolled) == tuple(rows)
