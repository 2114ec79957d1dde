"""Tool definitions that are sent with every call and never called."""

from collections import defaultdict
from decimal import Decimal

from sqlalchemy import func, select

from allotrope.usage.advice.rules.base import Recommendation, RuleData, called
from allotrope.usage.ledger import schema

ENOUGH_OFFERS = 100


def check(data: RuleData) -> list[Recommendation]:
    """Tools that an agent never called though they were offered a hundred times."""
    calls = schema.calls
    groups = data.select(
        select(
            calls.c.agent,
            calls.c.provider,
            calls.c.model,
            calls.c.tools_offered,
            calls.c.tools_called,
            func.count(),
            func.sum(calls.c.tools_tokens),
        )
        .where(*data.paid, calls.c.tools_offered != "")
        .group_by(
            calls.c.agent,
            calls.c.provider,
            calls.c.model,
            calls.c.tools_offered,
            calls.c.tools_called,
        )
    )
    offered: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    used: dict[str, set[str]] = defaultdict(set)
    for agent, _, _, offers, uses, count, _ in groups:
        for name in offers.split(","):
            offered[agent][name] += count
        used[agent].update(name for name in uses.split(",") if name)
    found = []
    for agent, names in sorted(offered.items()):
        idle = {n for n, count in names.items() if n not in used[agent] and count >= ENOUGH_OFFERS}
        if not idle:
            continue
        tokens, saved = Decimal(0), Decimal(0)
        for of, provider, model, offers, _, _, size in groups:
            listed = offers.split(",")
            if of != agent or not idle & set(listed):
                continue
            part = Decimal(int(size)) * len(idle & set(listed)) / len(listed)
            price = data.prices.price(provider, model)
            tokens += part
            if price is not None:
                saved += part * price.input.base / Decimal(1_000_000)
        shown = ", ".join(sorted(idle))
        found.append(
            Recommendation(
                rule="unused_tools",
                title=f"Stop sending tools that {called(agent)} never calls",
                evidence=f"{shown} were offered up to {max(names[n] for n in idle):,} times and "
                f"never called; their definitions were about {int(tokens):,} input tokens.",
                saving_usd_month=data.monthly(saved),
                setting=f"agents/{agent or 'the agent'}: tools",
                change="remove them, or offer them only where they may be needed.",
                numbers={"agent": agent, "tools": sorted(idle), "tokens": int(tokens)},
            )
        )
    return found
