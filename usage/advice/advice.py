"""Recommendations for reports and pages: fresh from a small ledger, an hour old from a large one.

The rules read rows, which takes about half a second where there are many; a report has less time.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import blake2b

from allotrope.settings import Settings
from allotrope.usage.advice.rules import Recommendation, RuleData, recommend
from allotrope.usage.ledger.ledger import Ledger
from allotrope.usage.prices.prices import PriceBook
from allotrope.usage.queries import sums as queries

KEPT_FOR = timedelta(hours=1)
FEW_CALLS = 5_000
"""So many calls are read in some hundredths of a second."""

_NAME = "advice"


def advise(
    settings: Settings, ledger: Ledger, *, now: datetime | None = None
) -> list[Recommendation]:
    """What the rules recommend, the largest saving first; at most an hour old.

    Args:
        settings: What the rules compare to.
        ledger: The ledger, open.
        now: The moment, aware.
    """
    now = now or datetime.now(UTC)
    data = rule_data(settings, ledger)
    if data.calls <= FEW_CALLS:
        return recommend(data)
    asked = _asked(settings)
    kept = _kept(ledger, asked, now)
    if kept is not None:
        return kept
    found = recommend(data)
    _keep(ledger, asked, now, found)
    return found


def _asked(settings: Settings) -> str:
    """What the answer depends on, besides the ledger."""
    usage, cache = settings.usage, settings.cache
    facts = repr((usage.prices, cache.ttl_s, cache.ttl_by_agent, cache.semantic.precision))
    return blake2b(facts.encode(), digest_size=8).hexdigest()


def _kept(ledger: Ledger, asked: str, now: datetime) -> list[Recommendation] | None:
    text = ledger.note(_NAME)
    if text is None:
        return None
    try:
        document = json.loads(text)
        age = now - datetime.fromisoformat(document["at"])
        if document["asked"] != asked or not timedelta(0) <= age < KEPT_FOR:
            return None
        return [Recommendation.from_json(one) for one in document["found"]]
    except (ValueError, KeyError, TypeError, ArithmeticError):
        return None  # of another version; it is written anew


def _keep(ledger: Ledger, asked: str, now: datetime, found: Sequence[Recommendation]) -> None:
    document = {"at": now.isoformat(), "asked": asked, "found": [one.to_json() for one in found]}
    ledger.set_note(_NAME, json.dumps(document, ensure_ascii=False))


THRESHOLDS_NOTE = "semantic_thresholds"
"""The note in the ledger that says what score each precision of the semantic cache asks for; it is
written with the shadow data, whose scores are on the same scale."""


def rule_data(settings: Settings, ledger: Ledger, *, days: int = 30) -> RuleData:
    """What the rules look at, with the settings they compare to."""
    noted = json.loads(ledger.note(THRESHOLDS_NOTE) or "{}")
    return RuleData(
        ledger,
        queries.last_days(days),
        PriceBook(settings.usage.prices),
        cache_ttl_s=settings.cache.ttl_s,
        ttl_by_agent=settings.cache.ttl_by_agent,
        semantic_threshold=noted.get(settings.cache.semantic.precision),
    )
