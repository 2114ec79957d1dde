"""What was learnt of models: no note is lost to an older one."""

import subprocess
import sys
import threading
import time
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis
from tests.conftest import let_go

from allotrope.models.catalogue.facts import ModelNote, Repair
from allotrope.models.catalogue.notes import ModelNotes

AT = datetime(2026, 11, 30, tzinfo=UTC)


def with_repair(note: ModelNote, name: str) -> ModelNote:
    kept = [repair for repair in note.repairs if repair.parameter != name]
    return note.model_copy(update={"repairs": (*kept, Repair(parameter=name, at=AT))})


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


def written() -> None:
    """Every note is written."""
    for thread in threading.enumerate():
        if thread.name == "allotrope-models-write":
            thread.join(30)


@pytest.mark.parametrize("where", ["file", "redis"])
def test_what_two_processes_learn_at_the_same_moment_is_kept_of_both(
    tmp_path: Path, redis_url: str, where: str
) -> None:
    """Neither has seen the other's note when it makes its own."""
    name = f"t{uuid.uuid4().hex}:models:x"

    def notes(who: str) -> ModelNotes:
        if where == "file":
            return ModelNotes(tmp_path / "notes.json")
        return ModelNotes(
            tmp_path / f"{who}.json", client=lambda: redis.Redis.from_url(redis_url), name=name
        )

    both = [notes("a"), notes("b")]
    for one in both:
        one.read()
    for one, parameter in zip(both, ("verbosity", "stop"), strict=True):
        one.change("m", lambda note, parameter=parameter: with_repair(note, parameter))
    written()
    kept = notes("c").read().models["m"]
    assert sorted(repair.parameter for repair in kept.repairs) == ["stop", "verbosity"]
    # and whoever was second goes by both
    assert any(len(one.note("m").repairs) == 2 for one in both)


@pytest.mark.parametrize("where", ["file", "redis"])
def test_many_processes_learn_at_once(tmp_path: Path, redis_url: str, where: str) -> None:
    """Real processes, each with a repair of its own of one model."""
    url, name = (redis_url, f"t{uuid.uuid4().hex}:models:x") if where == "redis" else ("", "x")
    path = tmp_path / "notes.json"
    script = (
        "import sys, redis\n"
        "from datetime import UTC, datetime\n"
        "from pathlib import Path\n"
        "from allotrope.models.catalogue.facts import Repair\n"
        "from allotrope.models.catalogue.notes import ModelNotes\n"
        "path, url, name, mine = sys.argv[1:]\n"
        "client = (lambda: redis.Redis.from_url(url)) if url else (lambda: None)\n"
        "notes = ModelNotes(Path(path), client=client, name=name)\n"
        "notes.read()\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "repair = Repair(parameter=mine, at=datetime.now(UTC))\n"
        "def add(note):\n"
        "    kept = [r for r in note.repairs if r.parameter != mine]\n"
        "    return note.model_copy(update={'repairs': (*kept, repair)})\n"
        "notes.change('m', add)\n"
    )
    names = [f"p{number}" for number in range(4)]
    running = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(path), url, name, mine],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for mine in names
    ]
    let_go(running)
    own = tmp_path / "none.json" if url else path  # what Redis has, then, or the file
    kept = ModelNotes(own, client=lambda: redis.Redis.from_url(url) if url else None, name=name)
    assert sorted(r.parameter for r in kept.read().models["m"].repairs) == names
