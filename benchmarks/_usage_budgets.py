"""Whether a budget holds with 100 concurrent calls from two processes."""

import multiprocessing
import random
import threading
import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from _form import spread

from allotrope.settings import Settings, load_settings
from allotrope.usage.recorder.rows import CallRow, microseconds

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
    from allotrope.stores.redis.client import open_redis

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
    from allotrope.usage.budgets.guard import Budgets
    from allotrope.usage.prices.prices import PriceBook
    from allotrope.usage.recorder.tokens import Tokens

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
