"""Volatile text early in the prompt defeats the provider's prompt cache."""

from decimal import Decimal

from sqlalchemy import distinct, func, select

from allotrope.usage.advice.rules.base import ENOUGH_CALLS, Recommendation, RuleData, called
from allotrope.usage.ledger import schema

CACHED_SHARE = 0.10
DISTINCT_SHARE = 0.5
CACHEABLE_TOKENS = 1_024
"""OpenAI caches prompts from 1,024 tokens on (platform docs, "Prompt caching")."""


def check(data: RuleData) -> list[Recommendation]:
    """Prompts whose first 4,096 characters differ in most calls, and that are hardly cached."""
    calls = schema.calls
    groups = data.select(
        select(
            calls.c.agent,
            calls.c.prompt,
            calls.c.provider,
            calls.c.model,
            func.count(),
            func.count(distinct(calls.c.prefix_hash)),
            func.sum(calls.c.cached_tokens),
            func.sum(calls.c.input_tokens),
        )
        .where(*data.paid, calls.c.prefix_hash != "")
        .group_by(calls.c.agent, calls.c.prompt, calls.c.provider, calls.c.model)
    )
    found = []
    for agent, prompt, provider, model, count, prefixes, cached, whole in groups:
        price = data.prices.price(provider, model)
        if count < ENOUGH_CALLS or not whole or price is None:
            continue
        off = price.input.base - price.cached.base
        if cached / whole >= CACHED_SHARE or prefixes / count <= DISTINCT_SHARE or off <= 0:
            continue
        saved = off * CACHEABLE_TOKENS * (count - 1) / Decimal(1_000_000)
        found.append(
            Recommendation(
                rule="volatile_prefix",
                title=f"Move volatile text to the end of the prompt of {called(agent)}",
                evidence=f"The first 4,096 characters took {prefixes:,} forms in {count:,} calls, "
                f"so the provider's prompt cache served {cached / whole:.0%} of the input. "
                f"The saving counts {CACHEABLE_TOKENS:,} cached tokens a call, the least there is.",
                saving_usd_month=data.monthly(saved),
                setting=f"prompts/templates ({prompt or 'the system prompt'})",
                change="put dates, names and recalled facts after the fixed instructions.",
                numbers={"agent": agent, "prompt": prompt, "prefixes": prefixes, "calls": count},
            )
        )
    return found
