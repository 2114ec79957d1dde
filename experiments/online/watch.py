"""Watching online experiments: guard-rails are enforced without anybody looking."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from allotrope.exceptions import AllotropeError
from allotrope.experiments.online.online import enforce, read_traffic
from allotrope.experiments.store import open_store
from allotrope.settings import Settings
from allotrope.stores.locks import lock

logger = logging.getLogger(__name__)


def watch_once(settings: Settings) -> list[str]:
    """Enters exposures that were kept aside, stops what breaks a guard-rail, ends what is due.

    Looking is free: only always-valid evidence stops anything. Where another process of this
    machine looks at the same moment, nothing is done. An experiment that can't be read doesn't keep
    the others from being watched.

    Args:
        settings: Where experiments and ledger are.

    Returns:
        What was done, one sentence each.
    """
    store = open_store(settings)
    if not store.folder.is_dir():
        return []
    done: list[str] = []
    with _alone(store.folder / ".watch") as ours:
        if not ours:
            return []
        for name in store.names():
            try:
                experiment = store.load(name)
                if experiment.kind != "online" or store.state(name).status != "running":
                    continue
                run = read_traffic(experiment, store, settings)
                done += [f"{name}: {said}" for said in enforce(experiment, run, store)]
            except AllotropeError as exc:
                logger.warning("experiment %s can't be watched: %s", name, exc)
    for said in done:
        logger.warning("%s", said)
    return done


@contextmanager
def _alone(path: Path) -> Iterator[bool]:
    """Whether nobody else holds the lock; it is held until the end."""
    try:
        file = path.open("ab")
    except OSError:  # a folder that can't be written can't be enforced in either
        yield False
        return
    with file:
        try:
            lock(file, wait=False)
        except OSError:
            yield False
            return
        yield True
