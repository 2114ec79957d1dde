"""What was learnt of each model here: kept in Redis for all processes, and in a file.

The call path reads a snapshot in memory. A thread keeps it fresh while calls come in: Redis tells
it of a change within a millisecond or so; without Redis it looks at the file every second.
"""

import contextlib
import json
import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from allotrope.stores.locks import lock

logger = logging.getLogger(__name__)

IDLE_S = 10.0
"""So long after the last call the thread ends; the next call reads anew first."""
LOOK_S = 1.0
"""Seconds between two looks at the file, and between two tries to reach Redis."""

Reason = Literal["retired", "refused", "date"]
"""Why a model no longer serves: the provider says that it has ended, the provider says that it
doesn't exist or may not be used, or its announced end has come."""


class _Fact(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Gone(_Fact):
    """A refusal that means: this model no longer serves.

    Attributes:
        reason: `retired` or `refused`.
        at: When it was first refused.
        said: The provider's words, cut short.
    """

    reason: Reason
    at: datetime
    said: str = ""


class Repair(_Fact):
    """One thing of a request that a model didn't take, and what is sent since then.

    Attributes:
        parameter: Its name, such as `reasoning_effort`; `endpoint` for the API itself.
        refused: The value that was refused; None: every value.
        value: What is sent in its place; None: nothing.
        at: When it was learnt.
        said: The provider's words, cut short.
    """

    parameter: str
    refused: Any = None
    value: Any = None
    at: datetime
    said: str = ""

    def sentence(self, model: str) -> str:
        """What was changed, for people."""
        if self.parameter == "endpoint":
            return f"{model} is asked by the {self.value} API, as the provider says."
        shown = self.parameter if self.refused is None else f"{self.parameter} {self.refused}"
        if self.value is None:
            return f"{model} takes no {shown}; it was left out."
        return f"{model} takes no {shown}; {self.value} was sent."


class ModelNote(_Fact):
    """What is known of one model here.

    Attributes:
        gone: Its refusal, where it was refused.
        repairs: What it doesn't take.
        tried: When it first answered here.
    """

    gone: Gone | None = None
    repairs: tuple[Repair, ...] = ()
    tried: datetime | None = None


class Listing(_Fact):
    """The provider's own list of models.

    Attributes:
        at: When it was asked.
        models: By name: `YYYY-MM-DD`, None where no end is announced, `""` where the list says
            nothing of ends.
        clock_offset_s: The provider's clock less ours, in seconds.
        problems: What couldn't be read, for people.
    """

    at: datetime
    models: Mapping[str, str | None] = {}
    clock_offset_s: float = 0.0
    problems: tuple[str, ...] = ()


class NotesDocument(_Fact):
    """Everything that is kept for one account at one address."""

    listing: Listing | None = None
    models: Mapping[str, ModelNote] = {}


Change = Callable[[ModelNote], ModelNote]


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
        self._open_client = client
        self._name = name
        self._clock = clock
        self.chore: Callable[[], None] = lambda: None
        self._document = NotesDocument()
        self._unwritten: dict[str, ModelNote] = {}
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._read_at: float | None = None
        self._asked_at = clock()
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()

    # -- reading ----------------------------------------------------------------------------------

    @property
    def document(self) -> NotesDocument:
        """What is known now; never waits."""
        return self._document

    def note(self, model: str) -> ModelNote:
        """What is known of a model now; never waits."""
        return self._document.models.get(model) or ModelNote()

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
        kept = _from_file(self._path) or self._document
        client = self._client()
        if client is not None:
            with contextlib.suppress(Exception):  # Redis is down: the file and memory stand in
                kept = _joined(kept, _from_hash(client.hgetall(self._name)))
            _closed(client)
        with self._lock:
            self._take(kept)
        return self._document

    # -- writing ----------------------------------------------------------------------------------

    def change(self, model: str, change: Change) -> ModelNote:
        """Changes a model's note at once here, and for all others in the background.

        Args:
            model: Which.
            change: From the old note to the new one.
        """
        with self._lock:
            before = self._document.models.get(model) or ModelNote()
            after = change(before)
            if after == before:
                return before
            self._unwritten[model] = after
            self._take(self._document)
        # no daemon: a command that ends now still writes what it learnt
        threading.Thread(
            target=self._write_change, args=(model,), name="allotrope-models-write"
        ).start()
        return after

    def list(self, listing: Listing) -> None:
        """Keeps the provider's list; blocks."""
        with self._lock:
            self._document = self._document.model_copy(update={"listing": listing})
        self._write({}, listing=listing)

    def forget(self, model: str) -> bool:
        """Forgets a model's note everywhere; blocks. Returns whether there was one."""
        self.read()
        with self._lock:
            models = dict(self._document.models)
            found = models.pop(model, None)
            self._unwritten.pop(model, None)
            self._document = self._document.model_copy(update={"models": models})
        self._write({model: None})
        return found is not None

    def claim(self, what: str, *, for_s: int) -> bool:
        """Whether this process may do what is done once by all of them together; blocks.

        Args:
            what: Its name.
            for_s: Seconds until it may be done again.
        """
        client = self._client()
        if client is not None:
            try:
                return bool(client.set(f"{self._name}:{what}", b"1", nx=True, ex=for_s))
            except Exception as exc:  # noqa: BLE001 - the file must do
                logger.info("Redis doesn't say whose turn it is: %s", type(exc).__name__)
            finally:
                _closed(client)
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

    def _client(self) -> Any:
        try:
            return self._open_client()
        except Exception as exc:  # noqa: BLE001 - without Redis the file must do
            logger.info("the notes on models are kept without Redis: %s", type(exc).__name__)
            return None

    def _take(self, found: NotesDocument) -> None:
        """Makes it the snapshot, with what isn't written yet; the lock is held."""
        models = {**found.models, **self._unwritten}
        self._document = found.model_copy(update={"models": models})
        self._read_at = self._clock()

    def _write_change(self, model: str) -> None:
        """Writes a model's latest note; one at a time, so that no older one comes after it."""
        with self._writing:
            with self._lock:
                note = self._unwritten.get(model)
            if note is None:  # an earlier thread wrote this one too, or it was forgotten
                return
            self._write({model: note})
            with self._lock:
                if self._unwritten.get(model) == note:
                    del self._unwritten[model]

    def _write(
        self, notes: Mapping[str, ModelNote | None], *, listing: Listing | None = None
    ) -> None:
        client = self._client()
        if client is not None:
            try:
                for model, note in notes.items():
                    if note is None:
                        client.hdel(self._name, f"model:{model}")
                    else:
                        client.hset(self._name, f"model:{model}", note.model_dump_json())
                if listing is not None:
                    client.hset(self._name, "listing", listing.model_dump_json())
                client.publish(self._name, "changed")
            except Exception as exc:  # noqa: BLE001 - a turn never depends on it
                logger.info("a note on a model isn't in Redis: %s", type(exc).__name__)
            _closed(client)
        try:
            self._write_file(notes, listing)
        except OSError as exc:
            logger.info("a note on a model isn't on disk: %s", exc.strerror)

    def _write_file(self, notes: Mapping[str, ModelNote | None], listing: Listing | None) -> None:
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._path.with_suffix(".lock").open("ab") as guard:
            lock(guard)
            found = _from_file(self._path) or NotesDocument()
            models = {**found.models, **notes}
            document = NotesDocument(
                listing=listing or found.listing,
                models={name: note for name, note in models.items() if note is not None},
            )
            handle, draft = tempfile.mkstemp(dir=self._path.parent, prefix=".", suffix=".tmp")
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(document.model_dump_json(indent=1))
            os.replace(draft, self._path)

    def _follow(self) -> None:
        """Keeps the snapshot fresh until calls stay away."""
        client = self._client()
        channel: Any = None
        try:
            while not self._stopped.is_set() and self._clock() - self._asked_at < IDLE_S:
                if client is not None and channel is None:
                    channel = self._subscribed(client)
                changed = self._heard(channel)
                if changed is None:  # the connection is gone
                    _closed(channel)
                    channel = None
                if changed is not False:
                    self._reread(client)
                self.chore()
        finally:
            _closed(channel)
            _closed(client)
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
        self._reread(client)  # what was said before we listened
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

    def _reread(self, client: Any) -> None:
        kept = None
        if client is not None:
            with contextlib.suppress(Exception):
                kept = _from_hash(client.hgetall(self._name))
        kept = kept or _from_file(self._path)
        if kept is not None:
            with self._lock:
                self._take(kept)


def _joined(low: NotesDocument, high: NotesDocument) -> NotesDocument:
    listings = [found for found in (low.listing, high.listing) if found is not None]
    return NotesDocument(
        listing=max(listings, key=lambda found: found.at, default=None),
        models={**low.models, **high.models},
    )


def _from_hash(found: Mapping[Any, Any]) -> NotesDocument:
    listing, models = None, {}
    for key, value in found.items():
        name = key.decode() if isinstance(key, bytes) else str(key)
        with contextlib.suppress(ValidationError):
            if name == "listing":
                listing = Listing.model_validate_json(value)
            elif name.startswith("model:"):
                models[name.removeprefix("model:")] = ModelNote.model_validate_json(value)
    return NotesDocument(listing=listing, models=models)


def _from_file(path: Path | None) -> NotesDocument | None:
    if path is None:
        return None
    try:
        return NotesDocument.model_validate(json.loads(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as exc:
        logger.warning("%s can't be read and is left aside: %s", path, type(exc).__name__)
        return None


def _closed(thing: Any) -> None:
    close = getattr(thing, "close", None)
    if close is not None:
        with contextlib.suppress(Exception):
            close()
