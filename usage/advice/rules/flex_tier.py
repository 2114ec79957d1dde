"""Calls that nobody waits for, at the price of those that somebody does."""

from decimal import Decimal

from sqlalchemy import func, select

from allotrope.usage.advice.rules.base import ENOUGH_CALLS, Recommendation, RuleData, called
from allotrope.usage.ledger import schema
from allotrope.usage.recorder.tokens import Tokens


def check(data: RuleData) -> list[Recommendation]:
    """Agents whose calls have no user and no stream, on a model that has a flex price."""
    calls = schema.calls
    groups = data.select(
        select(
            calls.c.agent,
            calls.c.provider,
            calls.c.model,
            func.count(),
            func.sum(calls.c.input_tokens),
            func.sum(calls.c.output_tokens),
            func.sum(calls.c.cached_tokens),
            func.sum(calls.c.cost),
        )
        .where(
            *data.paid,
            calls.c.tier == "default",
            calls.c.streamed == 0,
            calls.c.user_name == "",
            calls.c.cost > Decimal(0),
        )
        .group_by(calls.c.agent, calls.c.provider, calls.c.model)
    )
    found = []
    for agent, provider, model, count, input_, output, cached, cost in groups:
        price = data.prices.price(provider, model, tier="flex")
        if count < ENOUGH_CALLS or price is None:
            continue
        saved = cost - price.cost_of_many(Tokens(int(input_), int(output), int(cached)))
        if saved <= cost / 10:
            continue
        found.append(
            Recommendation(
                rule="flex_tier",
                title=f"Run {called(agent)} at the flex or batch price",
                evidence=f"{count:,} calls of {model} had no user and no stream, so nobody "
                f"waited; they cost ${cost:.2f}, at the flex price ${cost - saved:.2f}.",
                saving_usd_month=data.monthly(Decimal(saved)),
                setting="models/profiles: service_tier",
                change="set it to flex where minutes don't matter, or use the Batch API.",
                numbers={"agent": agent, "model": model, "calls": count},
            )
        )
    return found
