"""Deleting a thread for good: what was said, what was kept of it, and what was cached for it."""

import logging
from dataclasses import dataclass

from allotrope.settings import Settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Deleted:
    """What a deletion took away.

    Args:
        messages: From the archive.
        checkpoints: Whether the thread had any.
        answers: Cached answers; None where the cache didn't answer: they expire by themselves.
    """

    messages: int
    checkpoints: bool
    answers: int | None

    def __bool__(self) -> bool:
        return bool(self.messages or self.checkpoints)


def delete_thread(settings: Settings, thread: str, *, tenant: str) -> Deleted:
    """Deletes a tenant's thread: archive, summary, checkpoints and cached answers.

    Args:
        settings: Where the stores are.
        thread: The conversation.
        tenant: Whose it is; the same thread id of another tenant stays.

    Raises:
        StoreError: Archive or checkpoints can't be opened; call again, nothing is half deleted
            that a second call would miss.
    """
    from allotrope.memory.checkpoints import open_checkpoints
    from allotrope.memory.opening import open_archive
    from allotrope.memory.threads import thread_config, thread_key

    archive = open_archive(settings)
    try:
        messages = archive.delete_thread(tenant, thread)
    finally:
        archive.close()
    with open_checkpoints(settings) as saver:
        known = saver.get_tuple({"configurable": thread_config(tenant, thread)}) is not None
        saver.delete_thread(thread_key(tenant, thread))
    return Deleted(messages, known, _cached(settings, thread, tenant))


def _cached(settings: Settings, thread: str, tenant: str) -> int | None:
    from allotrope.models.cache.admin import CacheAdmin
    from allotrope.models.cache.factory import open_answers

    answers = open_answers(settings)
    try:
        return CacheAdmin(answers).invalidate(tags=[f"thread={thread}"], tenant=tenant)
    except Exception as exc:  # noqa: BLE001 - whatever is wrong with Redis, the thread is deleted
        logger.warning("cached answers of a deleted thread stay: %s", type(exc).__name__)
        return None
    finally:
        answers.close()
