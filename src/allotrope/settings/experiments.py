"""Settings of the experiments."""

from pathlib import Path

from pydantic import Field

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
    mismatch_alpha: float = Field(
        default=0.001,
        gt=0,
        lt=0.1,
        description="Evidence at which a sample ratio mismatch invalidates an experiment.",
    )
