"""Settings of the serve."""

from allotrope.settings.sections import Section


class ServeSettings(Section):
    """Settings of the serve."""
