"""Labelled pairs of the user's own questions, for the advice on the semantic cache's threshold.

Shadow mode counts what would have been served; whether it would have been right, only people (or a
judge) can say. Their labels, scored by the gate in force, are the ledger's shadow data.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b

from allotrope.models.cache.semantic.differences import differences
from allotrope.models.cache.semantic.fitting.calibrate import Pair
from allotrope.models.cache.semantic.gate import refusal
from allotrope.models.cache.semantic.parse import parse
from allotrope.models.cache.semantic.score import TreeScorer, load_scorer
from allotrope.settings import Settings
from allotrope.usage.advice.advice import THRESHOLDS_NOTE
from allotrope.usage.ledger.ledger import Ledger


def record_pairs(
    settings: Settings, pairs: Sequence[Pair], ledger: Ledger, *, at: datetime | None = None
) -> int:
    """Keeps how each pair scores and whether it was right; never the texts.

    Args:
        settings: Whose gate scores them.
        pairs: Labelled pairs with the similarity of their vectors.
        ledger: Where to, open.
        at: The moment, aware.

    Returns:
        How many there are. Pairs that a hard rule refuses are none: no threshold lets them hit.
    """
    scorer = load_scorer(settings.cache.semantic.coefficients)
    ledger.set_note(THRESHOLDS_NOTE, json.dumps(scorer.thresholds))
    count = 0
    for pair in pairs:
        score = _score(scorer, pair)
        if score is None:
            continue
        name = blake2b(f"{pair.a}\x00{pair.b}".encode(), digest_size=16, key=ledger.salt)
        ledger.record_shadow(
            name.hexdigest(), score, correct=pair.same, tenant=settings.tenant, at=at
        )
        count += 1
    return count


def _score(scorer: TreeScorer, pair: Pair) -> float | None:
    a, b = parse(pair.a), parse(pair.b)
    if a.words == b.words:
        return 1.0
    found = differences(a, b)
    return None if refusal(a, b, found) is not None else scorer.score(a, b, pair.cosine, found)
