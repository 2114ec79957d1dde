"""A cheaper model measured equal in an experiment."""

from decimal import Decimal

from sqlalchemy import func, select

from allotrope.support.providers import CATALOGUED
from allotrope.usage.advice.rules.base import Recommendation, RuleData, called
from allotrope.usage.ledger import schema
from allotrope.usage.recorder.tokens import Tokens


def check(data: RuleData) -> list[Recommendation]:
    """Agents that still use the dearer model of an experiment that found the cheaper one equal."""
    calls, findings = schema.calls, schema.findings
    found = []
    for finding in data.select(select(findings).where(findings.c.equal == 1)):
        sums = data.select(
            select(
                func.count(),
                func.sum(calls.c.input_tokens),
                func.sum(calls.c.output_tokens),
                func.sum(calls.c.cached_tokens),
                func.sum(calls.c.cost),
            ).where(
                *data.paid,
                calls.c.agent == finding.agent,
                calls.c.provider == CATALOGUED,
                calls.c.model.startswith(finding.baseline_model, autoescape=True),
            )
        )[0]
        count, input_, output, cached, cost = sums
        price = data.prices.price(CATALOGUED, finding.model)
        if not count or cost is None or price is None:
            continue
        per_call = Tokens(int(input_), int(output), int(cached or 0))
        saved = cost - price.cost_of_many(per_call)
        if saved <= 0:
            continue
        found.append(
            Recommendation(
                rule="cheaper_model",
                title=f"Use {finding.model} for {called(finding.agent)}",
                evidence=f"The experiment {finding.experiment!r} found it equal to "
                f"{finding.baseline_model} on {finding.samples:,} samples"
                f"{': ' + finding.detail if finding.detail else ''}. {count:,} calls cost "
                f"${cost:.2f}; the same tokens would have cost ${cost - saved:.2f}.",
                saving_usd_month=data.monthly(Decimal(saved)),
                setting=f"models/profiles (agent {finding.agent}): model",
                change=f"set it to {finding.model}.",
                numbers={"agent": finding.agent, "model": finding.model, "calls": count},
            )
        )
    return found
