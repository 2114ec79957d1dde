"""Settings of the resilience."""

from allotrope.settings.sections import Section


class ResilienceSettings(Section):
    """Settings of the resilience."""
