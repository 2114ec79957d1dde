"""Reasoning tokens dwarf the answer."""

from decimal import Decimal

from sqlalchemy import func, select

from allotrope.usage.advice.rules.base import ENOUGH_CALLS, Recommendation, RuleData, called
from allotrope.usage.ledger import schema

TIMES = 8
"""Reasoning is said to dwarf the answer at eight times its length."""


def check(data: RuleData) -> list[Recommendation]:
    """Profiles that pay for many times more reasoning than answer; half of it is the saving."""
    calls = schema.calls
    groups = data.select(
        select(
            calls.c.agent,
            calls.c.profile,
            calls.c.provider,
            calls.c.model,
            func.count(),
            func.sum(calls.c.reasoning_tokens),
            func.sum(calls.c.output_tokens),
        )
        .where(*data.paid)
        .group_by(calls.c.agent, calls.c.profile, calls.c.provider, calls.c.model)
    )
    found = []
    for agent, profile, provider, model, count, reasoning, output in groups:
        visible = output - reasoning
        if count < ENOUGH_CALLS or reasoning < TIMES * max(visible, 1):
            continue
        price = data.prices.price(provider, model)
        rate = price.output.base if price is not None else Decimal(0)
        saved = rate * (reasoning // 2) / Decimal(1_000_000)
        found.append(
            Recommendation(
                rule="reasoning_heavy",
                title=f"Lower the reasoning effort of profile {profile or 'default'!r}",
                evidence=f"{called(agent).capitalize()} spent {reasoning // count:,} tokens on "
                f"reasoning for {max(visible, 0) // count:,} tokens of answer, over {count:,} "
                "calls. The saving counts half of the reasoning; test the quality first.",
                saving_usd_month=data.monthly(saved),
                setting=f"models/profiles ({profile or 'default'}): reasoning_effort",
                change="compare the next lower effort in an experiment, then switch.",
                numbers={
                    "agent": agent,
                    "profile": profile,
                    "reasoning_tokens": int(reasoning),
                    "visible_tokens": int(visible),
                    "calls": count,
                },
            )
        )
    return found
