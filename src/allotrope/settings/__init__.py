"""Settings: typed; from the environment, `.env` files and Docker secrets; never read at import."""

from allotrope.settings.root import Settings, load_settings

__all__ = ["Settings", "load_settings"]
