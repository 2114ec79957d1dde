"""The ledger against the provider simulator's own books, to the token, across a `kill -9`."""

import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from _usage_load import Truth, command, ended_at, kind_of
from sqlalchemy import func, select

from allotrope.testing import ProviderSimulator
from allotrope.usage.ledger import schema
from allotrope.usage.ledger.ledger import Ledger

SECOND_PART = 1_000_000
"""First case of the process that runs after the kill."""


def accounting(folder: Path, *, calls: int, concurrency: int, seed: int = 3) -> dict[str, Any]:
    """Makes about so many calls in two processes, the first of which is killed half-way."""
    with ProviderSimulator() as simulator:
        truth = Truth(simulator)
        truth.install()
        begin = time.monotonic()
        process = subprocess.Popen(
            command(folder, simulator, range(calls), concurrency=concurrency, seed=seed)
        )
        while len(simulator.chats()) < calls // 2 and process.poll() is None:
            time.sleep(0.02)
        if process.poll() is not None:
            raise RuntimeError("the client ended before it could be killed")
        killed_at = time.monotonic()
        process.send_signal(signal.SIGKILL)
        process.wait()
        first, got = truth.sums(), _booked(folder)
        lost = set(first) - set(got)
        ended = ended_at(folder)
        ages = [killed_at - ended[case] for case in lost if case in ended]
        rest = range(SECOND_PART, SECOND_PART + calls // 2)
        subprocess.run(
            command(folder, simulator, rest, concurrency=concurrency, seed=seed), check=True
        )
        took_s = time.monotonic() - begin
        whole, got = truth.sums(), _booked(folder)
        requests = len(simulator.chats())
        refusals = sum(1 for request in simulator.chats() if request.status == 503)
    kept = {case: sums for case, sums in whole.items() if case not in lost}
    mine = {case: sums for case, sums in got.items() if case in kept}
    kinds = [kind_of(case, seed) for case in rest]
    return {
        "requests": requests,
        "requests_refused_503": refusals,
        "rows": _rows(folder),
        "seconds": round(took_s, 1),
        "cases_answered": len(whole),
        "lost_by_kill": len(lost),
        "of_these_had_ended": len(ages),
        "oldest_lost_s": round(max(ages, default=0.0), 2),
        "tokens_of_simulator": [sum(s[0] for s in kept.values()), sum(s[1] for s in kept.values())],
        "tokens_of_ledger": [sum(s[0] for s in mine.values()), sum(s[1] for s in mine.values())],
        "cases_that_differ": sum(1 for case in kept if kept[case] != mine.get(case)),
        "after_the_kill": {
            kind: {"cases": kinds.count(kind), **found} for kind, found in _kinds(folder).items()
        },
    }


def _booked(folder: Path) -> dict[int, tuple[int, int]]:
    """Case to tokens (in, out) of what the ledger says was answered and paid for."""
    c = schema.calls.c
    query = (
        select(c.run, func.sum(c.input_tokens), func.sum(c.output_tokens))
        .where(c.status == "ok", c.cached == "")
        .group_by(c.run)
    )
    with Ledger(f"sqlite:///{folder}/usage.db") as ledger, ledger.engine.connect() as link:
        return {int(run): (int(i), int(o)) for run, i, o in link.execute(query)}


def _rows(folder: Path) -> int:
    with Ledger(f"sqlite:///{folder}/usage.db") as ledger, ledger.engine.connect() as link:
        return int(link.scalar(select(func.count()).select_from(schema.calls)) or 0)


def _kinds(folder: Path) -> dict[str, dict[str, int]]:
    """Kind of case to how its rows ended, of the process that wasn't killed."""
    c = schema.calls.c
    query = select(c.agent, c.status, c.cached, c.retries, c.failovers, c.run)
    found: dict[str, dict[str, int]] = {}
    with Ledger(f"sqlite:///{folder}/usage.db") as ledger, ledger.engine.connect() as link:
        for agent, status, cached, retries, failovers, run in link.execute(query):
            if int(run) < SECOND_PART:
                continue
            sums = found.setdefault(agent, {})
            for name, more in (
                (status, 1),
                ("hits", int(bool(cached))),
                ("retries", retries),
                ("failovers", failovers),
            ):
                if more:
                    sums[name] = sums.get(name, 0) + more
    return dict(sorted(found.items()))
