"""Settings of the experiments."""

from allotrope.settings.sections import Section


class ExperimentsSettings(Section):
    """Settings of the experiments."""
