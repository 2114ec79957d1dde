"""All rules, and asking them."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from allotrope.usage.advice.rules import (
    cheaper_model,
    flex_tier,
    output_limit,
    reasoning_heavy,
    repeated_prompts,
    semantic_threshold,
    short_ttl,
    unused_tools,
    volatile_prefix,
)
from allotrope.usage.advice.rules.base import Recommendation, RuleData

RULES: Mapping[str, Callable[[RuleData], list[Recommendation]]] = {
    "cheaper_model": cheaper_model.check,
    "flex_tier": flex_tier.check,
    "output_limit": output_limit.check,
    "reasoning_heavy": reasoning_heavy.check,
    "repeated_prompts": repeated_prompts.check,
    "semantic_threshold": semantic_threshold.check,
    "short_ttl": short_ttl.check,
    "unused_tools": unused_tools.check,
    "volatile_prefix": volatile_prefix.check,
}
"""Name to rule."""


def recommend(data: RuleData) -> list[Recommendation]:
    """What every rule recommends, the largest saving first."""
    found = [
        replace(one, seen_days=data.seen_days) for check in RULES.values() for one in check(data)
    ]
    if data.sampled:
        note = f" Seen in the latest {data.most_calls:,} calls."
        found = [replace(one, evidence=one.evidence + note) for one in found]
    return sorted(found, key=lambda one: (-one.saving_usd_month, one.rule, one.title))
