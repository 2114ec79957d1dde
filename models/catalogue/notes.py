"""What was learnt of each model here: kept in Redis for all processes, and in a file.

The call path reads a snapshot in memory. A thread keeps it fresh while calls come in: Redis tells
it of a change within a millisecond or so; without Redis it looks at the file every second.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from allotrope.models.catalogue.facts import Listing, ModelNote, NotesDocument
from allotrope.models.catalogue.note_stores import Edit, NotesFile, NotesHash, joined
from allotrope.stores.locks import lock

logger = logging.getLogger(__name__)

IDLE_S = 10.0
"""So long after the last call the thread ends; the next call reads anew first."""
LOOK_S = 1.0
"""Seconds between two looks at the file, and between two tries to reach Redis."""

Change = Callable[[ModelNote], ModelNote]
"""From a model's note to what it shall be. It may be made again on a note that has it already, and
must then come to the same."""


_NOTHING = ModelNote()


class ModelNotes:
    """The notes of one account at one address.

    Args:
        path: The file; None keeps them in memory and Redis only.
        client: Opens the Redis client at the first use; it may give None.
        name: The hash in Redis, and the channel of changes behind it.
        clock: Seconds of a clock that never goes back.

    Attributes:
        chore: Called by the thread about once a second while calls come in.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        client: Callable[[], Any] = lambda: None,
        name: str = "allotrope:models:",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._file = NotesFile(path)
        self._open_client = client
        self._name = name
        self._clock = clock
        self.chore: Callable[[], None] = lambda: None
        self._kept = NotesDocument()  # as it was read last
        self._unwritten: dict[str, tuple[Change, ...]] = {}
        self.document = NotesDocument()
        """What is known now: both together, replaced whole. Reading it never waits."""
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._writing = threading.Lock()
        self._read_at: float | None = None
        self._asked_at = clock()
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()

    # -- reading ----------------------------------------------------------------------------------

    def note(self, model: str) -> ModelNote:
        """What is known of a model now; never waits."""
        return self.document.models.get(model) or _NOTHING

    def stale(self) -> bool:
        """Whether the snapshot must be read before it is believed: first use, or a long silence."""
        return self._read_at is None or (
            self._thread is None and self._clock() - self._read_at > LOOK_S
        )

    def touch(self) -> None:
        """A call comes in: keeps the snapshot fresh from now on."""
        self._asked_at = self._clock()
        if self._thread is None:
            with self._lock:
                if self._thread is None and not self._stopped.is_set():
                    self._thread = threading.Thread(
                        target=self._follow, name="allotrope-models", daemon=True
                    )
                    self._thread.start()

    def read(self) -> NotesDocument:
        """Reads file and Redis now; what can't be read is left as it was."""
        with self._client() as client:
            self._read(client)
        return self.document

    # -- writing ----------------------------------------------------------------------------------

    def change(self, model: str, change: Change) -> ModelNote:
        """Changes a model's note at once here, and for all others in the background.

        Args:
            model: Which.
            change: From the old note to the new one; it is made where the note is kept, too, on top
                of what others have written there.
        """
        with self._lock:
            before = self.note(model)
            after = change(before)
            if after == before:
                return before
            self._unwritten[model] = (*self._unwritten.get(model, ()), change)
            self._show()
        # no daemon: a command that ends now still writes what it learnt
        threading.Thread(
            target=self._write_change, args=(model,), name="allotrope-models-write"
        ).start()
        return after

    def list(self, listing: Listing) -> None:
        """Keeps the provider's list; blocks."""
        with self._lock:
            self._kept = self._kept.model_copy(update={"listing": listing})
            self._show()
        with self._client() as client:
            if client is not None:
                with _not_in_redis():
                    NotesHash(client, self._name).list(listing)
        with _not_on_disk():
            self._file.change({}, listing=listing)

    def forget(self, model: str) -> bool:
        """Forgets a model's note everywhere; blocks. Returns whether there was one."""
        with self._writing, self._client() as client:
            self._read(client)
            with self._lock:
                found = self.note(model) != ModelNote()
                self._unwritten.pop(model, None)
                models = {name: note for name, note in self._kept.models.items() if name != model}
                self._kept = self._kept.model_copy(update={"models": models})
                self._show()
            # an empty note, not none: it wins over what files of other machines still have
            self._write(client, model, lambda note: ModelNote())
        return found

    def claim(self, what: str, *, for_s: int) -> bool:
        """Whether this process may do what is done once by all of them together; blocks.

        Args:
            what: Its name.
            for_s: Seconds until it may be done again.
        """
        with self._client() as client:
            if client is not None:
                try:
                    return bool(client.set(f"{self._name}:{what}", b"1", nx=True, ex=for_s))
                except Exception as exc:  # noqa: BLE001 - the file must do
                    logger.info("Redis doesn't say whose turn it is: %s", type(exc).__name__)
        if self._path is None:
            return True
        mark = self._path.with_suffix(f".{what}")
        try:
            mark.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with mark.open("a+b") as file:
                lock(file)
                fresh = mark.stat().st_size > 0 and time.time() - mark.stat().st_mtime < for_s
                if not fresh:
                    file.write(b".")
                return not fresh
        except OSError:
            return True

    def close(self) -> None:
        """Ends the thread."""
        self._stopped.set()

    # -- inside -----------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _client(self) -> Iterator[Any]:
        client: Any = None
        try:
            client = self._open_client()
        except Exception as exc:  # noqa: BLE001 - without Redis the file must do
            logger.info("the notes on models are kept without Redis: %s", type(exc).__name__)
        try:
            yield client
        finally:
            _closed(client)

    def _read(self, client: Any) -> None:
        with self._reading:  # no older state is taken after a newer one
            kept = self._file.read() or self._kept
            if client is not None:
                with contextlib.suppress(Exception):  # Redis is down: file and memory stand in
                    kept = joined(kept, NotesHash(client, self._name).read())
            with self._lock:
                self._kept = kept
                self._show()
                self._read_at = self._clock()

    def _show(self) -> None:
        """Makes what is kept the snapshot, with what isn't written yet; the lock is held."""
        models = dict(self._kept.models)
        for model, changes in self._unwritten.items():
            models[model] = _made(changes, models.get(model))
        self.document = self._kept.model_copy(update={"models": models})

    def _write_change(self, model: str) -> None:
        """Writes what changed of a model's note, and takes over what others wrote of it."""
        with self._writing, self._client() as client:
            with self._lock:
                changes = self._unwritten.get(model, ())
            if not changes:  # an earlier thread wrote them too, or they were forgotten
                return
            self._write(client, model, lambda note: _made(changes, note))
            with self._lock:
                left = self._unwritten.pop(model)[len(changes) :]
                if left:
                    self._unwritten[model] = left
                models = {**self._kept.models, model: _made(changes, self._kept.models.get(model))}
                self._kept = self._kept.model_copy(update={"models": models})
                self._show()
            self._read(client)

    def _write(self, client: Any, model: str, edit: Edit) -> None:
        if client is not None:
            with _not_in_redis():
                before = self._kept.models.get(model)
                NotesHash(client, self._name).change(model, edit, unless=before)
        with _not_on_disk():
            self._file.change({model: edit})

    def _follow(self) -> None:
        """Keeps the snapshot fresh until calls stay away."""
        channel: Any = None
        with self._client() as client:
            try:
                while not self._stopped.is_set() and self._clock() - self._asked_at < IDLE_S:
                    if client is not None and channel is None:
                        channel = self._subscribed(client)
                    changed = self._heard(channel)
                    if changed is None:  # the connection is gone
                        _closed(channel)
                        channel = None
                    if changed is not False:
                        self._read(client)
                    self.chore()
            finally:
                _closed(channel)
                with self._lock:
                    self._thread = None

    def _subscribed(self, client: Any) -> Any:
        channel: Any = None
        try:
            channel = client.pubsub(ignore_subscribe_messages=True)
            channel.subscribe(self._name)
        except Exception:  # noqa: BLE001 - tried again at the next look
            _closed(channel)
            return None
        self._read(client)  # what was said before we listened
        return channel

    def _heard(self, channel: Any) -> bool | None:
        """Whether to read anew: a change was told, or (None) there is nobody to tell of one."""
        if channel is None:
            self._stopped.wait(LOOK_S)
            return None
        try:
            return channel.get_message(timeout=LOOK_S) is not None
        except Exception:  # noqa: BLE001 - Redis is gone for the moment
            self._stopped.wait(LOOK_S)
            return None


def _made(changes: Sequence[Change], note: ModelNote | None) -> ModelNote:
    made = note or ModelNote()
    for change in changes:
        made = change(made)
    return made


@contextlib.contextmanager
def _not_in_redis() -> Iterator[None]:
    try:
        yield
    except Exception as exc:  # noqa: BLE001 - a turn never depends on it
        logger.info("a note on a model isn't in Redis: %s", type(exc).__name__)


@contextlib.contextmanager
def _not_on_disk() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        logger.info("a note on a model isn't on disk: %s", exc.strerror)


def _closed(thing: Any) -> None:
    close = getattr(thing, "close", None)
    if close is not None:
        with contextlib.suppress(Exception):
            close()
