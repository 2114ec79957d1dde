"""Settings of the cache."""

from allotrope.settings.sections import Section


class CacheSettings(Section):
    """Settings of the cache."""
