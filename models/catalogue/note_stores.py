"""Where notes on models are kept: a file of this machine, and a hash in Redis.

A note is changed where it lies, on top of what another process wrote in between, so that two that
learn at the same moment are both kept.
"""

import contextlib
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from allotrope.exceptions import StoreError
from allotrope.models.catalogue.facts import Listing, ModelNote, NotesDocument
from allotrope.stores.locks import lock
from allotrope.stores.private import write_whole

logger = logging.getLogger(__name__)

Edit = Callable[[ModelNote | None], ModelNote]
"""From the note that is kept (None: there is none) to the one that shall be."""

TRIES = 100
"""Each try that fails means that another process wrote, so this many never happen in earnest."""

SWAP = """
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
"""
"""KEYS: the hash. ARGV: the field, what it held (empty: nothing), what it shall hold.
Answers whether it was written: what another process changed in between is never overwritten."""


class NotesHash:
    """Notes in Redis: a field for each model, and one for the provider's list.

    Args:
        client: A Redis client.
        name: The hash, and the channel of its changes.
    """

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self._name = name

    def read(self) -> NotesDocument:
        """All of it. What can't be read is left out."""
        listing, models = None, {}
        for key, value in self._client.hgetall(self._name).items():
            name = key.decode() if isinstance(key, bytes) else str(key)
            with contextlib.suppress(ValidationError):
                if name == "listing":
                    listing = Listing.model_validate_json(value)
                elif name.startswith("model:"):
                    models[name.removeprefix("model:")] = ModelNote.model_validate_json(value)
        return NotesDocument(listing=listing, models=models)

    def change(self, model: str, edit: Edit, *, unless: ModelNote | None = None) -> None:
        """Changes a model's note and tells all others of it.

        Args:
            model: Which.
            edit: From the note that is kept to the new one.
            unless: The note to change where none is kept here, or none that can be read.

        Raises:
            StoreError: Others wrote all the time.
        """
        field = f"model:{model}"
        for _ in range(TRIES):
            held = self._client.hget(self._name, field)
            note = unless
            with contextlib.suppress(ValidationError):
                note = ModelNote.model_validate_json(held) if held else unless
            new = edit(note).model_dump_json()
            if self._client.eval(SWAP, 1, self._name, field, held or "", new):
                self._client.publish(self._name, "changed")
                return
        raise StoreError(f"the note on {model} is written by others all the time")

    def list(self, listing: Listing) -> None:
        """Keeps the provider's list and tells all others of it."""
        self._client.hset(self._name, "listing", listing.model_dump_json())
        self._client.publish(self._name, "changed")


class NotesFile:
    """Notes in a file; whoever writes holds the lock beside it.

    Args:
        path: The file; None: nothing is kept.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def read(self) -> NotesDocument | None:
        """All of it; None where there is no file, or none that can be read."""
        if self._path is None:
            return None
        try:
            return NotesDocument.model_validate(json.loads(self._path.read_bytes()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as exc:
            logger.warning("%s can't be read and is left aside: %s", self._path, type(exc).__name__)
            return None

    def change(self, edits: Mapping[str, Edit], *, listing: Listing | None = None) -> None:
        """Changes models' notes; one that says nothing any more is left out.

        Args:
            edits: By model.
            listing: The provider's new list; None keeps the old one.

        Raises:
            OSError: The file can't be written.
        """
        if self._path is None:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._path.with_suffix(".lock").open("ab") as guard:
            lock(guard)
            found = self.read() or NotesDocument()
            changed = {model: edit(found.models.get(model)) for model, edit in edits.items()}
            models = {**found.models, **changed}
            document = NotesDocument(
                listing=listing or found.listing, models=_that_say_something(models)
            )
            write_whole(self._path, document.model_dump_json(indent=1))


def joined(low: NotesDocument, high: NotesDocument) -> NotesDocument:
    """Both; where both have a model's note, the second's, and the newer list."""
    listings = [found for found in (low.listing, high.listing) if found is not None]
    return NotesDocument(
        listing=max(listings, key=lambda found: found.at, default=None),
        models=_that_say_something({**low.models, **high.models}),
    )


def _that_say_something(models: Mapping[str, ModelNote]) -> dict[str, ModelNote]:
    return {name: note for name, note in models.items() if note != ModelNote()}
