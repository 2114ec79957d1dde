"""Under which key a thread's checkpoints are kept, so that no tenant reaches another's."""

from collections.abc import Mapping
from typing import Any

from allotrope.contracts import Configurable

THREAD = Configurable.THREAD
"""Key in `configurable` of the thread's id as its users know it."""

DEFAULT_TENANT = "default"


def thread_key(tenant: str, thread: str) -> str:
    """What a checkpointer calls a thread: its id, for other tenants than the default with theirs.

    Thread ids have no slash, so two different pairs never give the same key.

    Args:
        tenant: Whose thread.
        thread: Its id.
    """
    return thread if tenant == DEFAULT_TENANT else f"{tenant}/{thread}"


def thread_config(tenant: str, thread: str) -> dict[str, Any]:
    """The `configurable` of a run in a thread: the checkpointer's key, and the id for all others.

    Args:
        tenant: Whose thread.
        thread: Its id.
    """
    return {"thread_id": thread_key(tenant, thread), THREAD: thread}


def thread_id(configurable: Mapping[str, Any]) -> str | None:
    """The thread's id as its users know it, or None for a run that isn't kept.

    Args:
        configurable: Of the run.
    """
    found = configurable.get(THREAD) or configurable.get("thread_id")
    return None if found is None else str(found)
