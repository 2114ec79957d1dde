"""Scores that people give to answers: which metrics there are, and how far their scores go."""

import re

from allotrope.exceptions import InputError
from allotrope.settings import Settings

_METRIC = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def check_score(settings: Settings, metric: str, score: float) -> float:
    """The score, when it lies in its metric's range.

    Args:
        settings: `experiments.feedback` has the ranges; a metric that isn't there goes from 0 to 1.
        metric: What the score is of.
        score: A number.

    Raises:
        InputError: The metric can't be a name, or the score is outside of its range.
    """
    if not _METRIC.fullmatch(metric):
        raise InputError(
            f"{metric[:60]!r} can't be a metric.", hint="Use a-z, 0-9, - and _, up to 64 letters."
        )
    low, high = settings.experiments.feedback.get(metric, (0.0, 1.0))
    if not low <= score <= high:  # a NaN is not in any range
        raise InputError(
            f"The score {score:g} of {metric!r} isn't between {low:g} and {high:g}.",
            hint="Another scale: a metric of its own in ALLOTROPE_EXPERIMENTS__FEEDBACK, "
            """such as '{"stars": [1, 5]}'.""",
        )
    return score
