"""How long reports and the dashboard's queries take, by the number of calls in the ledger."""

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from _form import spread

from allotrope.settings import load_settings
from allotrope.usage.advice.advice import rule_data
from allotrope.usage.advice.rules import recommend
from allotrope.usage.ledger.ledger import Ledger
from allotrope.usage.queries import sums as queries
from allotrope.usage.recorder.rows import CallRow, microseconds
from allotrope.usage.reports import reports
from allotrope.usage.reports.schedule import full_report

NOW = datetime.now(UTC)


def report_times(folder: Path, sizes: list[int]) -> list[dict[str, Any]]:
    """Milliseconds (wall and CPU) of reports and the dashboard's queries, by the ledger's size."""
    results = []
    for size in sizes:
        with Ledger(f"sqlite:///{folder}/rows-{size}.db") as ledger:
            begin = time.perf_counter()
            _fill(ledger, size)
            filled_s = time.perf_counter() - begin
            line: dict[str, Any] = {"rows": size, "written_per_s": round(size / filled_s)}
            for name, ask in _questions(ledger).items():
                wall, cpu = [], []
                for _ in range(7):
                    begin, begin_cpu = time.perf_counter(), time.process_time()
                    ask()
                    cpu.append((time.process_time() - begin_cpu) * 1000)
                    wall.append((time.perf_counter() - begin) * 1000)
                line[name] = {"wall": spread(wall)["p50"], "cpu": spread(cpu)["p50"]}
            results.append(line)
    return results


def _questions(ledger: Ledger) -> dict[str, Callable[[], object]]:
    month = queries.last_days(30, NOW)
    settings = load_settings(environ={}, env_file=None)
    everything = partial(full_report, settings, ledger, now=NOW)
    return {
        "report daily": partial(everything, "daily"),
        "report weekly": partial(everything, "weekly"),
        "report monthly": partial(everything, "monthly"),
        "its sums alone": partial(reports.build, ledger, "monthly", now=NOW),
        "totals of 30 days": partial(queries.totals, ledger, month),
        "by agent": partial(queries.breakdown, ledger, month, "agent"),
        "by model": partial(queries.breakdown, ledger, month, "model"),
        "by tenant": partial(queries.breakdown, ledger, month, "tenant"),
        "by day and model": partial(queries.series, ledger, month, by="model"),
        "by hour": partial(queries.series, ledger, month, bucket="hour"),
        "percentiles": partial(queries.percentiles, ledger, month),
        "costliest threads": partial(queries.top, ledger, "thread", month),
        "costliest users": partial(queries.top, ledger, "user", month),
        "recommendations, asked anew": lambda: recommend(rule_data(settings, ledger)),
        "one thread's calls": partial(queries.rows, ledger, month, {"thread": "t7"}),
        "last 100 calls": partial(queries.rows, ledger, month),
    }


CALLS_OF_A_THREAD = 20


def _fill(ledger: Ledger, size: int) -> None:
    """Sixty days of calls; a thread has twenty, over up to two days."""
    chance = random.Random(size)
    batch = []
    start = microseconds(NOW - timedelta(days=60))
    span = 60 * 86_400 * 1_000_000
    alive = max(5, size // CALLS_OF_A_THREAD // 30)  # threads begun within two days
    for number in range(size):
        cached = chance.choice(["", "", "", "exact", "semantic"])
        thread = number // CALLS_OF_A_THREAD + chance.randrange(alive)
        output = int(chance.lognormvariate(5.5, 0.8))
        cost = Decimal(1200 * 2 + output * 8) / 1_000_000
        batch.append(
            CallRow(
                id=f"{number:08x}",
                at=start + span * number // size,
                provider="openai",
                model=chance.choice(["o3-2025-04-16", "o4-mini", "gpt-4.1-mini"]),
                agent=chance.choice(["assistant", "analyst", "researcher", "support"]),
                profile=chance.choice(["default", "deep"]),
                tenant=chance.choice(["acme", "globex", "initech"]),
                user_name=f"u{thread % 200}",
                thread=f"t{thread}",
                cached=cached,
                input_tokens=0 if cached else 1200,
                output_tokens=0 if cached else output,
                cost=Decimal(0) if cached else cost,
                saved_cost=cost if cached else Decimal(0),
                latency_ms=chance.lognormvariate(7, 1),
                prompt_hash=f"{chance.randrange(max(10, size // 2)):024x}",
                prefix_hash=f"{chance.randrange(50):024x}",
                output_limit=4_000,
                tools_offered="search,sql,chart",
                tools_called=chance.choice(["", "", "search", "sql"]),
                tools_tokens=300,
            )
        )
        if len(batch) == 20_000:
            ledger.write(batch)
            batch = []
    ledger.write(batch)
