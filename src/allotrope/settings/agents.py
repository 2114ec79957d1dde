"""Settings of the agents."""

from allotrope.settings.sections import Section


class AgentsSettings(Section):
    """Settings of the agents."""
