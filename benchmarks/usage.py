"""Usage: what recording costs a call, how fast reports are, and whether budgets hold.

    python benchmarks/usage.py [--quick] [--json OUT] [--data FOLDER]

Four parts: the recorder's share of a call (against no handler and LangChain's own
`UsageMetadataCallbackHandler`), reports over 10⁴ to 10⁶ rows, budget overshoot with 100 concurrent
calls from two processes, and the ledger against the simulator's books across a `kill -9`.
"""

import json
import multiprocessing
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from _form import arguments, show, spread, write_json
from _usage_load import Truth, command, ended_before, kind_of

from allotrope.settings import Settings, load_settings
from allotrope.usage.ledger import Ledger
from allotrope.usage.recorder import UsageRecorder
from allotrope.usage.rows import CallRow, microseconds

NOW = datetime(2026, 11, 22, 15, tzinfo=UTC)


def overhead(folder: Path, *, calls: int, rounds: int) -> dict[str, Any]:
    """Microseconds a call takes longer with a handler; interleaved rounds, medians."""
    from langchain_core.callbacks import BaseCallbackHandler, UsageMetadataCallbackHandler
    from langchain_core.language_models import GenericFakeChatModel
    from langchain_core.messages import AIMessage

    usage = {"input_tokens": 900, "output_tokens": 80, "total_tokens": 980}
    reply = AIMessage(
        "An answer of some length.",
        usage_metadata=usage,
        response_metadata={"model_name": "o3-2025-04-16", "model_provider": "openai"},
    )

    def endless() -> Any:
        while True:
            yield reply

    model = GenericFakeChatModel(messages=endless())
    recorder = UsageRecorder(Ledger(f"sqlite:///{folder}/overhead.db"))
    handlers: dict[str, list[Any]] = {
        "none": [],
        "a handler that does nothing": [BaseCallbackHandler()],
        "UsageMetadataCallbackHandler": [UsageMetadataCallbackHandler()],
        "UsageRecorder": [recorder],
    }
    metadata = {"allotrope_agent": "assistant", "thread_id": "t", "allotrope_tenant": "acme"}
    medians: dict[str, list[float]] = {name: [] for name in handlers}
    direct: list[float] = []
    for _ in range(rounds):
        for name, callbacks in handlers.items():
            samples = []
            for number in range(calls):
                if number % 20 == 0:
                    # Providers are waited for; the background thread works in such gaps.
                    recorder.flush()
                begin = time.perf_counter()
                model.invoke("Hello", {"callbacks": callbacks, "metadata": metadata})
                samples.append((time.perf_counter() - begin) * 1e6)
            medians[name].append(spread(samples)["p50"])
            recorder.flush()
        direct.append(_direct(recorder, reply, calls))
    recorder.close()
    base = medians["none"]
    added = {
        name: spread([m - b for m, b in zip(values, base, strict=True)])["p50"]
        for name, values in medians.items()
    }
    return {
        "call_us": {name: spread(values)["p50"] for name, values in medians.items()},
        "added_us": added,
        "handler_alone_us": spread(direct)["p50"],
        "recorded": recorder.stats.recorded,
        "written": recorder.stats.written,
        "lost": recorder.stats.lost,
    }


def _direct(recorder: UsageRecorder, reply: Any, calls: int) -> float:
    """The handler's own two callbacks, without LangChain's dispatch around them."""
    from uuid import uuid4

    from langchain_core.messages import HumanMessage
    from langchain_core.outputs import ChatGeneration, LLMResult

    prompt = [[HumanMessage("Hello")]]
    result = LLMResult(generations=[[ChatGeneration(message=reply)]])
    samples = []
    for _ in range(calls):
        run = uuid4()
        begin = time.perf_counter()
        recorder.on_chat_model_start({}, prompt, run_id=run, metadata={})
        recorder.on_llm_end(result, run_id=run)
        samples.append((time.perf_counter() - begin) * 1e6)
    recorder.flush()
    return spread(samples)["p50"]


def report_times(folder: Path, sizes: list[int]) -> list[dict[str, Any]]:
    """Milliseconds of every report and of the dashboard's queries, by the number of calls."""
    from allotrope.usage import queries, reports

    results = []
    for size in sizes:
        with Ledger(f"sqlite:///{folder}/rows-{size}.db") as ledger:
            begin = time.perf_counter()
            _fill(ledger, size)
            filled_s = time.perf_counter() - begin
            month = queries.last_days(30, NOW)
            asked: dict[str, Callable[[], object]] = {
                "daily": partial(reports.build, ledger, "daily", now=NOW),
                "weekly": partial(reports.build, ledger, "weekly", now=NOW),
                "monthly": partial(reports.build, ledger, "monthly", now=NOW),
                "series by model": partial(queries.series, ledger, month, by="model"),
                "percentiles": partial(queries.percentiles, ledger, month),
                "last 100 rows": partial(queries.rows, ledger, month),
            }
            line: dict[str, Any] = {"rows": size, "written_per_s": round(size / filled_s)}
            for name, ask in asked.items():
                samples = []
                for _ in range(5):
                    begin = time.perf_counter()
                    ask()
                    samples.append((time.perf_counter() - begin) * 1000)
                line[name] = spread(samples)["p50"]
            results.append(line)
    return results


def _fill(ledger: Ledger, size: int) -> None:
    chance = random.Random(size)
    batch = []
    start = microseconds(NOW - timedelta(days=60))
    span = 60 * 86_400 * 1_000_000
    for number in range(size):
        cached = chance.choice(["", "", "", "exact", "semantic"])
        batch.append(
            CallRow(
                id=f"{number:08x}",
                at=start + span * number // size,
                provider="openai",
                model=chance.choice(["o3-2025-04-16", "o4-mini", "gpt-4.1-mini"]),
                agent=chance.choice(["assistant", "analyst", "researcher", "support"]),
                profile=chance.choice(["default", "deep"]),
                tenant=chance.choice(["acme", "globex", "initech"]),
                user_name=f"u{chance.randrange(200)}",
                thread=f"t{chance.randrange(max(10, size // 20))}",
                cached=cached,
                input_tokens=0 if cached else 1200,
                output_tokens=0 if cached else 300,
                cost=Decimal(0) if cached else Decimal("0.0048"),
                saved_cost=Decimal("0.0048") if cached else Decimal(0),
                latency_ms=chance.lognormvariate(7, 1),
            )
        )
        if len(batch) == 50_000:
            ledger.write(batch)
            batch = []
    ledger.write(batch)


BUDGET_USD = Decimal("0.50")
CALL_TOKENS = (500, 1_000)  # $0.009 with o3


def overshoot(folder: Path, *, calls: int) -> dict[str, Any]:
    """100 concurrent calls from two processes against one budget in Redis."""
    context = multiprocessing.get_context("spawn")
    results: Any = context.Queue()
    processes = [
        context.Process(target=_spend, args=(str(folder), number, calls, results))
        for number in range(2)
    ]
    _spend_settings(folder)  # starts the embedded Redis that both use
    from allotrope.stores.redis import open_redis

    keep = open_redis(_spend_settings(folder))
    for process in processes:
        process.start()
    parts = [results.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
    if keep is not None:
        keep.close()
    spent = sum((Decimal(part["spent"]) for part in parts), Decimal(0))
    estimate = Decimal("0.009")
    return {
        "limit_usd": str(BUDGET_USD),
        "spent_usd": str(spent),
        "overshoot_usd": str(max(Decimal(0), spent - BUDGET_USD)),
        "one_estimate_usd": str(estimate),
        "made": sum(part["made"] for part in parts),
        "refused": sum(part["refused"] for part in parts),
        "shared": all(part["shared"] for part in parts),
        "reserve_us": spread([us for part in parts for us in part["reserve_us"]]),
    }


def _spend_settings(folder: Path) -> Settings:
    return load_settings(
        environ={},
        env_file=None,
        data_dir=folder,
        usage={"budgets": [{"name": "b", "usd": str(BUDGET_USD), "period": "month"}]},
    )


def _spend(folder: str, number: int, calls: int, results: Any) -> None:
    from allotrope.exceptions import BudgetExceededError
    from allotrope.usage.assembly import make_reservations
    from allotrope.usage.guard import Budgets
    from allotrope.usage.prices import PriceBook
    from allotrope.usage.tokens import Tokens

    settings = _spend_settings(Path(folder))
    reservations = make_reservations(settings)
    budgets = Budgets(
        settings.usage.budgets,
        reservations=reservations,
        prices=PriceBook(),
        spent=lambda *_: 0,
    )
    made: list[Decimal] = []
    refused: list[int] = []
    took: list[float] = []
    input_, output = CALL_TOKENS

    def one(thread: int) -> None:
        chance = random.Random(f"{number}/{thread}")
        for turn in range(calls // 50):
            call = f"{number}-{thread}-{turn}"
            begin = time.perf_counter()
            try:
                budgets.reserve(
                    call, {}, provider="openai", model="o3", tokens=Tokens(input_, output)
                )
            except BudgetExceededError:
                refused.append(turn)
                continue
            finally:
                took.append((time.perf_counter() - begin) * 1e6)
            time.sleep(chance.uniform(0.005, 0.02))
            cost = Decimal("0.009") * Decimal(str(round(chance.uniform(0.3, 1.0), 3)))
            made.append(cost)
            budgets.settle(CallRow(id=call, at=microseconds(datetime.now(UTC)), cost=cost))

    threads = [threading.Thread(target=one, args=(n,)) for n in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    results.put(
        {
            "spent": str(sum(made, Decimal(0))),
            "made": len(made),
            "refused": len(refused),
            "shared": reservations.is_shared,
            "reserve_us": took,
        }
    )


def accounting(folder: Path, *, calls: int, concurrency: int, seed: int = 3) -> dict[str, Any]:
    """The ledger against the simulator, to the token, with a `kill -9` half-way."""
    from sqlalchemy import func, select

    from allotrope.testing import ProviderSimulator
    from allotrope.usage import schema

    c = schema.calls.c

    def booked() -> dict[int, tuple[int, int]]:
        with Ledger(f"sqlite:///{folder}/usage.db") as ledger, ledger.engine.connect() as link:
            found = link.execute(
                select(c.run, func.sum(c.input_tokens), func.sum(c.output_tokens))
                .where(c.status == "ok", c.cached == "")
                .group_by(c.run)
            )
            return {int(run): (int(i), int(o)) for run, i, o in found}

    with ProviderSimulator() as simulator:
        truth = Truth(simulator)
        truth.install()
        half = range(calls // 2)
        process = subprocess.Popen(
            command(folder, simulator, half, concurrency=concurrency, seed=seed)
        )
        while len(simulator.chats()) < calls // 4 and process.poll() is None:
            time.sleep(0.02)
        if process.poll() is not None:
            raise RuntimeError("the client ended before it could be killed")
        killed_at = time.monotonic()
        process.send_signal(signal.SIGKILL)
        process.wait()
        first, got = truth.sums(), booked()
        lost = set(first) - set(got)
        late = lost & ended_before(folder, killed_at - 1.0)
        rest = range(1_000_000, 1_000_000 + calls - calls // 4)
        subprocess.run(
            command(folder, simulator, rest, concurrency=concurrency, seed=seed), check=True
        )
        whole, got = truth.sums(), booked()
        requests = len(simulator.chats())
    kept = {case: sums for case, sums in whole.items() if case not in lost}
    mine = {case: sums for case, sums in got.items() if case in kept}
    return {
        "requests": requests,
        "cases": len(whole),
        "aborted": sum(1 for case in rest if kind_of(case, seed) == "abort"),
        "lost_by_kill": len(lost),
        "lost_older_than_1_s": len(late),
        "tokens_of_simulator": [sum(s[0] for s in kept.values()), sum(s[1] for s in kept.values())],
        "tokens_of_ledger": [sum(s[0] for s in mine.values()), sum(s[1] for s in mine.values())],
        "cases_that_differ": sum(1 for case in kept if kept[case] != mine.get(case)),
    }


def main() -> None:
    """Runs all parts."""
    options = arguments(__doc__ or "").parse_args()
    quick = options.quick
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="alt-") as name:
        folder = Path(name)
        results["overhead"] = overhead(
            folder, calls=200 if quick else 1_000, rounds=5 if quick else 15
        )
        found = results["overhead"]
        show(
            "What recording adds to a call (µs, median of rounds)",
            ("handler", "call", "added"),
            [(n, found["call_us"][n], found["added_us"][n]) for n in found["call_us"]]
            + [("UsageRecorder's own code", "", found["handler_alone_us"])],
        )
        sizes = [10_000] if quick else [10_000, 100_000, 1_000_000]
        results["reports"] = report_times(folder, sizes)
        columns = list(results["reports"][0])
        show(
            "Reports and queries (ms, median of 5)",
            columns,
            [[line[column] for column in columns] for line in results["reports"]],
        )
        results["overshoot"] = overshoot(folder, calls=200 if quick else 1_000)
        shown = {k: v for k, v in results["overshoot"].items() if k != "reserve_us"}
        shown["reserve_us_p50"] = round(results["overshoot"]["reserve_us"]["p50"])
        show("Budget with 100 concurrent calls from two processes", ("what", ""), [*shown.items()])
        results["accounting"] = accounting(
            folder, calls=200 if quick else 10_000, concurrency=20 if quick else 50
        )
        shown = {k: json.dumps(v) for k, v in results["accounting"].items()}
        show("The ledger against the simulator's books", ("what", ""), [*shown.items()])
    write_json(options.json, "usage", results)


if __name__ == "__main__":
    sys.exit(main())
