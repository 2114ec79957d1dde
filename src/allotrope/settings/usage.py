"""Settings of the usage."""

from allotrope.settings.sections import Section


class UsageSettings(Section):
    """Settings of the usage."""
