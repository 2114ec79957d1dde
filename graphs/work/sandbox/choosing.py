"""Where code runs, by the settings."""

import logging
from functools import cache
from importlib import import_module

from allotrope.exceptions import SettingsError
from allotrope.graphs.work.sandbox.backends.container import ContainerBackend
from allotrope.graphs.work.sandbox.backends.remote import RemoteBackend
from allotrope.graphs.work.sandbox.outcome import WALLS
from allotrope.graphs.work.sandbox.runner import CodeBackend, LocalBackend
from allotrope.settings.agents import AgentsSettings

log = logging.getLogger(__name__)


def without_walls(settings: AgentsSettings) -> bool:
    """Whether a person accepted that code can read their files.

    Args:
        settings: Of the agents.
    """
    if not settings.coder_isolation:
        _say_deprecated()
        return True
    return settings.code_without_walls != "refuse"


@cache
def _say_deprecated() -> None:
    log.warning(
        "ALLOTROPE_AGENTS__CODER_ISOLATION=false is deprecated; write "
        "ALLOTROPE_AGENTS__CODE_WITHOUT_WALLS=i-accept-that-code-can-read-my-files."
    )


def backend_for(settings: AgentsSettings) -> CodeBackend:
    """The backend of a setting: this machine, a container, or a deepagents sandbox.

    Args:
        settings: Of the agents.

    Raises:
        SettingsError: The factory can't be found.
    """
    chosen = settings.code_backend
    if chosen == "local":
        return LocalBackend(
            walls=(*WALLS, "none") if without_walls(settings) else WALLS,
            packages=settings.code_packages,
        )
    if chosen in ("docker", "podman"):
        return ContainerBackend(chosen, image=settings.code_image)
    module, _, name = chosen.partition(":")
    try:
        return RemoteBackend(getattr(import_module(module), name)())
    except (ImportError, AttributeError) as exc:
        raise SettingsError(
            f"ALLOTROPE_AGENTS__CODE_BACKEND={chosen} can't be found: {exc}.",
            hint="Write local, docker, podman or module:factory.",
        ) from exc
