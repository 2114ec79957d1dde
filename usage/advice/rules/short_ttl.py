"""Cached answers expire just before they would be asked for again."""

from collections import defaultdict
from decimal import Decimal

from sqlalchemy import func, select

from allotrope.usage.advice.rules.base import Recommendation, RuleData, called
from allotrope.usage.ledger import schema

REPEATS = 20
REACH = 4
"""Repetitions within four lifetimes count: a longer lifetime would reach them."""


def check(data: RuleData) -> list[Recommendation]:
    """Agents with cache hits whose prompts come back after the lifetime."""
    calls = schema.calls
    gap = calls.c.at - func.lag(calls.c.at).over(
        partition_by=(calls.c.agent, calls.c.model, calls.c.tenant, calls.c.prompt_hash),
        order_by=calls.c.at,
    )
    gaps = (
        select(calls.c.agent, calls.c.cost, gap.label("gap"))
        .where(*data.paid, calls.c.prompt_hash != "")
        .subquery()
    )
    lifetimes = [int(ttl * 1_000_000) for ttl in (data.cache_ttl_s, *data.ttl_by_agent.values())]
    late = data.select(
        select(gaps.c.agent, gaps.c.cost, gaps.c.gap).where(
            gaps.c.gap > min(lifetimes), gaps.c.gap <= REACH * max(lifetimes)
        )
    )
    count: dict[str, int] = defaultdict(int)
    cost: dict[str, Decimal] = defaultdict(Decimal)
    longest: dict[str, int] = defaultdict(int)
    for agent, usd, microseconds_ in late:
        lifetime = data.ttl_by_agent.get(agent, data.cache_ttl_s) * 1_000_000
        if not lifetime < microseconds_ <= REACH * lifetime:
            continue
        count[agent] += 1
        cost[agent] += usd or Decimal(0)
        longest[agent] = max(longest[agent], microseconds_)
    found = []
    for agent, repeats in sorted(count.items()):
        if repeats < REPEATS or not data.hits(agent):
            continue
        kept_s = data.ttl_by_agent.get(agent, data.cache_ttl_s)
        wanted = longest[agent] // 1_000_000 + 1
        found.append(
            Recommendation(
                rule="short_ttl",
                title=f"Keep the answers of {called(agent)} longer",
                evidence=f"{repeats:,} prompts came back after the cached answer's lifetime of "
                f"{_spoken(kept_s)}, all within {_spoken(wanted)}.",
                saving_usd_month=data.monthly(cost[agent]),
                setting="ALLOTROPE_CACHE__TTL_BY_AGENT",
                change=f"allow {_spoken(wanted)} ({wanted} s), if the answers stay true that long.",
                numbers={"agent": agent, "repeats": repeats, "ttl_s": wanted},
            )
        )
    return found


def _spoken(seconds: float) -> str:
    """A time people can picture: `23 days`, `6 hours`, `90 s`."""
    for name, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{-(-int(seconds) // size)} {name}"
    return f"{seconds:.0f} s"
