"""Settings of the prompts."""

from allotrope.settings.sections import Section


class PromptsSettings(Section):
    """Settings of the prompts."""
