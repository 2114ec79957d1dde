"""Settings of the experiments."""

import math
from collections.abc import Mapping
from pathlib import Path

from pydantic import Field, field_validator

from allotrope.settings.sections import Section


class ExperimentsSettings(Section):
    """Settings of the experiments."""

    folder: Path | None = Field(
        default=None,
        description="Where running experiments and results lie; default: in the data folder.",
    )
    concurrency: int = Field(
        default=2, ge=1, le=256, description="Calls at a time of an offline run."
    )
    reload_s: float = Field(
        default=5.0, ge=0, description="Seconds between looks for started or stopped experiments."
    )
    watch_s: float | None = Field(
        default=60.0,
        gt=0,
        le=86_400,
        description="Seconds between two looks of `serve` at running experiments' guard-rails; "
        "null: it never looks (`allotrope experiment watch` does).",
    )
    feedback: Mapping[str, tuple[float, float]] = Field(
        default={},
        description="Lowest and highest score by metric of `allotrope feedback`, such as "
        "{'stars': [1, 5]}; metrics that aren't listed go from 0 to 1.",
    )
    mismatch_alpha: float = Field(
        default=0.001,
        gt=0,
        lt=0.1,
        description="Evidence at which a sample ratio mismatch invalidates an experiment.",
    )

    @field_validator("feedback")
    @classmethod
    def _ranges(cls, value: Mapping[str, tuple[float, float]]) -> Mapping[str, tuple[float, float]]:
        for metric, (low, high) in value.items():
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise ValueError(f"{metric}: the lowest score must be below the highest")
            if metric in ("score", "feedback") and (low, high) != (0, 1):
                raise ValueError(f"{metric} is what experiments read, and goes from 0 to 1")
        return value
