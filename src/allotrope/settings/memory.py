"""Settings of the memory."""

from allotrope.settings.sections import Section


class MemorySettings(Section):
    """Settings of the memory."""
