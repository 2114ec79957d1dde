"""Output limits that are never used, or that cut answers off."""

from decimal import Decimal

from sqlalchemy import case, func, select

from allotrope.usage.advice.rules.base import ENOUGH_CALLS, Recommendation, RuleData, called
from allotrope.usage.ledger import schema

UNUSED = 4
"""A limit four times above the longest answer is never used."""

CUT_SHARE = 0.10


def check(data: RuleData) -> list[Recommendation]:
    """Limits far above every answer, and limits that cut a tenth of them."""
    calls = schema.calls
    cut = case((calls.c.finish == "length", 1), else_=0)
    groups = data.select(
        select(
            calls.c.agent,
            calls.c.profile,
            calls.c.output_limit,
            func.count(),
            func.max(calls.c.output_tokens),
            func.sum(cut),
            func.sum(case((calls.c.finish == "length", calls.c.cost))),
        )
        .where(*data.paid, calls.c.output_limit.is_not(None))
        .group_by(calls.c.agent, calls.c.profile, calls.c.output_limit)
    )
    found = []
    for agent, profile, limit, count, longest, cuts, cut_cost in groups:
        if count < ENOUGH_CALLS:
            continue
        setting = f"models/profiles ({profile or 'default'}): max_output_tokens"
        numbers = {"agent": agent, "profile": profile, "limit": limit, "calls": count}
        if cuts / count >= CUT_SHARE:
            found.append(
                Recommendation(
                    rule="output_limit",
                    title=f"Raise the output limit of profile {profile or 'default'!r}",
                    evidence=f"{cuts:,} of {count:,} answers of {called(agent)} were cut off at "
                    f"{limit:,} tokens; they were paid for all the same.",
                    saving_usd_month=data.monthly(cut_cost or Decimal(0)),
                    setting=setting,
                    change="raise it until answers end by themselves.",
                    numbers=numbers | {"cut": cuts},
                )
            )
        elif longest * UNUSED < limit:
            found.append(
                Recommendation(
                    rule="output_limit",
                    title=f"Lower the output limit of profile {profile or 'default'!r}",
                    evidence=f"The longest of {count:,} answers of {called(agent)} had "
                    f"{longest:,} tokens; the limit is {limit:,}. A runaway answer would cost "
                    f"{limit // max(longest, 1)} times the longest so far.",
                    saving_usd_month=Decimal(0),
                    setting=setting,
                    change=f"set it to about {max(256, 2 * longest):,}.",
                    numbers=numbers | {"longest": longest},
                )
            )
    return found
