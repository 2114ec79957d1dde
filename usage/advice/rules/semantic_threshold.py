"""The semantic cache is stricter or looser than its shadow data ask for."""

from decimal import Decimal

from sqlalchemy import func, select

from allotrope.usage.advice.rules.base import ENOUGH_CALLS, Recommendation, RuleData
from allotrope.usage.ledger import schema
from allotrope.usage.recorder.rows import microseconds

BAND = 0.05
SAFE = 0.99
UNSAFE = 0.97


def check(data: RuleData) -> list[Recommendation]:
    """Looks at the band of scores just below and all above the threshold."""
    limit = data.semantic_threshold
    if limit is None:
        return []
    shadows = schema.shadows
    points = data.select(
        select(shadows.c.similarity, shadows.c.correct).where(
            shadows.c.at >= microseconds(data.window.start),
            shadows.c.at < microseconds(data.window.end),
        )
    )
    above = [correct for score, correct in points if score >= limit]
    below = [correct for score, correct in points if limit - BAND <= score < limit]
    setting = "ALLOTROPE_CACHE__SEMANTIC__PRECISION"
    if len(above) >= ENOUGH_CALLS and sum(above) / len(above) < UNSAFE:
        wrong = len(above) - sum(above)
        return [
            Recommendation(
                rule="semantic_threshold",
                title="The semantic cache is too loose",
                evidence=f"{wrong:,} of {len(above):,} shadow hits at {limit:.2f} and above "
                f"would have been wrong ({wrong / len(above):.1%}).",
                saving_usd_month=Decimal(0),
                setting=setting,
                change="choose the next stricter one, or calibrate with `allotrope cache`.",
                numbers={"hits": len(above), "wrong": wrong},
            )
        ]
    if len(below) < ENOUGH_CALLS or sum(below) / len(below) < SAFE:
        return []
    calls = schema.calls
    cost = data.select(select(func.sum(calls.c.cost)).where(*data.paid))[0][0] or Decimal(0)
    share = Decimal(len(below)) / Decimal(len(points))
    return [
        Recommendation(
            rule="semantic_threshold",
            title="The semantic cache is too strict",
            evidence=f"{sum(below):,} of {len(below):,} shadow hits between {limit - BAND:.2f} and "
            f"{limit:.2f} would have been right; they are {share:.0%} of all.",
            saving_usd_month=data.monthly(cost * share),
            setting=setting,
            change="choose the next wider one.",
            numbers={"hits": len(below), "right": sum(below)},
        )
    ]
