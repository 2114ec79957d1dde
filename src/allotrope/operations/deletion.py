"""Deleting a thread for good: what was said, what was kept of it, and what was cached for it."""

import logging
from dataclasses import dataclass

from allotrope.agents.turns.thread_locks import ThreadLocks
from allotrope.exceptions import ThreadBusyError
from allotrope.settings import Settings
from allotrope.stores.errors import error_name
from allotrope.support.loop_thread import LoopThread
from allotrope.support.pools import TURNS

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

    A turn that is running in it ends first.

    Args:
        settings: Where the stores are.
        thread: The conversation.
        tenant: Whose it is; the same thread id of another tenant stays.

    Raises:
        ThreadBusyError: It is answering a message, and that takes too long to wait for.
        StoreError: Archive or checkpoints can't be opened; call again, nothing is half deleted
            that a second call would miss.
    """
    locks, loop = ThreadLocks(settings), LoopThread()

    async def alone() -> Deleted:
        async with locks.turn(tenant, thread):
            return await TURNS.run(_delete, settings, thread, tenant)

    try:
        return loop.run(alone())
    except ThreadBusyError as exc:
        raise ThreadBusyError(
            f"The thread {thread!r} is answering a message; nothing was deleted.",
            hint="Delete it after that answer.",
            retry_after_s=exc.retry_after_s,
        ) from exc
    finally:
        loop.close()
        locks.close()


def _delete(settings: Settings, thread: str, tenant: str) -> Deleted:
    from allotrope.memory.checkpoints.opening import open_checkpoints
    from allotrope.memory.checkpoints.threads import thread_config, thread_key
    from allotrope.memory.opening import open_archive

    with open_checkpoints(settings) as saver:
        known = saver.get_tuple({"configurable": thread_config(tenant, thread)}) is not None
        saver.delete_thread(thread_key(tenant, thread))
    cached = _cached(settings, thread, tenant)
    archive = open_archive(settings)  # last: a turn writes it after its answer
    try:
        messages = archive.delete_thread(tenant, thread)
    finally:
        archive.close()
    return Deleted(messages, known, cached)


def _cached(settings: Settings, thread: str, tenant: str) -> int | None:
    from allotrope.models.cache.admin import CacheAdmin
    from allotrope.models.cache.connecting import open_answers

    answers = open_answers(settings)
    try:
        return CacheAdmin(answers).invalidate(tags=[f"thread={thread}"], tenant=tenant)
    except Exception as exc:  # noqa: BLE001 - whatever is wrong with Redis, the thread is deleted
        logger.warning("cached answers of a deleted thread stay: %s", error_name(exc))
        return None
    finally:
        answers.close()
