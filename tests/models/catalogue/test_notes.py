"""What was learnt of models: no note is lost to an older one."""

import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from allotrope.models.catalogue.notes import ModelNote, ModelNotes, Repair

AT = datetime(2026, 11, 30, tzinfo=UTC)


def with_repair(note: ModelNote, name: str) -> ModelNote:
    return note.model_copy(update={"repairs": (*note.repairs, Repair(parameter=name, at=AT))})


def test_a_slow_write_of_an_older_note_comes_after_no_newer_one(tmp_path: Path) -> None:
    """The first write hangs in Redis; the second one, of more, must be what is kept."""
    path, hangs, asked = tmp_path / "notes.json", threading.Event(), threading.Event()

    def client() -> Any:
        if threading.current_thread().name == "allotrope-models-write" and not asked.is_set():
            asked.set()
            hangs.wait(30)

    notes = ModelNotes(path, client=client)
    notes.change("m", lambda note: with_repair(note, "verbosity"))
    assert asked.wait(30)
    notes.change("m", lambda note: with_repair(note, "stop"))
    second = [t for t in threading.enumerate() if t.name == "allotrope-models-write"]
    time.sleep(0.2)  # the second one's chance to be first
    hangs.set()
    for thread in second:
        thread.join(30)
    kept = ModelNotes(path).read().models["m"]
    assert [repair.parameter for repair in kept.repairs] == ["verbosity", "stop"]
