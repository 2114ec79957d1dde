"""The same prompt is paid for again and again because nothing caches it."""

from collections import defaultdict
from decimal import Decimal

from sqlalchemy import func, select

from allotrope.usage.advice.rules.base import ENOUGH_CALLS, Recommendation, RuleData, called
from allotrope.usage.ledger import schema

REPEATS = 20
SHARE = 0.05


def check(data: RuleData) -> list[Recommendation]:
    """Agents without a single cache hit whose prompts repeat."""
    calls = schema.calls
    total = func.sum(calls.c.cost)
    repeated = data.select(
        select(calls.c.agent, func.count(), total)
        .where(*data.paid, calls.c.prompt_hash != "", calls.c.cost > Decimal(0))
        .group_by(calls.c.agent, calls.c.model, calls.c.tenant, calls.c.prompt_hash)
        .having(func.count() > 1)
    )
    counts = dict(
        data.select(select(calls.c.agent, func.count()).where(*data.paid).group_by(calls.c.agent))
    )
    again: dict[str, int] = defaultdict(int)
    wasted: dict[str, Decimal] = defaultdict(Decimal)
    for agent, count, cost in repeated:
        again[agent] += count - 1
        wasted[agent] += cost * (count - 1) / count
    found = []
    for agent, repeats in sorted(again.items()):
        whole = counts[agent]
        enough = whole >= ENOUGH_CALLS and repeats >= max(REPEATS, SHARE * whole)
        if not enough or data.hits(agent):
            continue
        found.append(
            Recommendation(
                rule="repeated_prompts",
                title=f"Cache the answers of {called(agent)}",
                evidence=f"{repeats:,} of {whole:,} calls ({repeats / whole:.0%}) asked exactly "
                "what had been asked before, and none was answered from the cache.",
                saving_usd_month=data.monthly(wasted[agent]),
                setting="ALLOTROPE_CACHE__ENABLED",
                change="turn the exact cache on for it.",
                numbers={"agent": agent, "repeats": repeats, "calls": whole},
            )
        )
    return found
