"""The database as a source of templates."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from langchain_core.messages import HumanMessage

from allotrope.exceptions import PromptError
from allotrope.prompts import open_library
from allotrope.prompts.library import PromptLibrary
from allotrope.prompts.manage import new_draft, promote, rollback
from allotrope.prompts.stores.database import DatabaseSource
from allotrope.prompts.stores.sources import LabelChange, now
from allotrope.settings import load_settings

TEXT = (
    "---\nname: greet\nversion: {0}\ndescription: Greets.\nvariables: {{who: }}\n---\n"
    "=== human\n{1}\n=== end\n"
)


def change(version: int, *, was: int | None = None) -> LabelChange:
    return LabelChange(at=now(), label="production", name="greet", version=version, was=was)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database, of both kinds."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'p.db'}"
        return
    import psycopg

    server = request.getfixturevalue("postgres_url")
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS prompts WITH (FORCE)")
        connection.execute("CREATE DATABASE prompts")
    yield server.rpartition("/")[0] + "/prompts"


def test_own_templates_from_a_database_win(url: str) -> None:
    """By settings, as a process does it: a draft, live at once, and back."""
    settings = load_settings(environ={"ALLOTROPE_PROMPTS__DATABASE_URL": url}, env_file=None)
    library = open_library(settings)
    packaged = library.get("judge").ref
    ref, _ = new_draft(library, "judge")
    library.refresh()
    promote(library, ref)
    assert library.get("judge").ref == "judge@1001"
    other = open_library(settings)
    assert other.get("judge").ref == "judge@1001"
    other.close()
    rollback(library, "judge")
    assert library.get("judge").ref == packaged
    library.close()


def test_versions_labels_and_locks(url: str) -> None:
    source = DatabaseSource(url)
    library = PromptLibrary([source])
    source.write("greet@1", TEXT.format(1, "Hello {{who}}."))
    source.write("greet@2", TEXT.format(2, "Hi {{who}}."))
    source.label(change(1), digest=library.get("greet@1").hash)
    source.label(change(2, was=1), digest=library.get("greet@2").hash)
    assert library.refresh()
    assert not library.refresh()
    assert library.get("greet").version == 2
    source.write("greet@2", TEXT.format(2, "Bye {{who}}."))
    library.refresh()
    assert library.get("greet").render_untrusted({"who": "Ann"}) == [HumanMessage("Hi Ann.")]
    assert "versions don't change" in library.problems()["greet@2"]
    with pytest.raises(PromptError, match="was changed after it had been live"):
        source.label(change(2), digest="0" * 64)


def test_a_dead_database_keeps_what_was_loaded_and_tells_no_password(tmp_path: Path) -> None:
    path = tmp_path / "p.db"
    source = DatabaseSource(f"sqlite:///{path}")
    source.write("greet@1", TEXT.format(1, "Hello {{who}}."))
    library = PromptLibrary([source])
    library.get("greet")
    path.unlink()
    path.mkdir()
    library.refresh()
    assert library.get("greet").version == 1
    assert "can't be read" in library.problems()["database"]
    settings = load_settings(
        environ={"ALLOTROPE_PROMPTS__DATABASE_URL": "nodb://me:hunter2@127.0.0.1/x"}, env_file=None
    )
    with pytest.raises(PromptError, match="can't be opened") as caught:
        open_library(settings).get("assistant")
    assert "hunter2" not in str(caught.value)


def test_a_damaged_file_is_begun_anew_with_what_can_be_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "p.db"
    source = DatabaseSource(f"sqlite:///{path}")
    for number in range(1, 41):
        source.write(f"greet@{number}", TEXT.format(number, "word " * 400))
    data = bytearray(path.read_bytes())
    middle = len(data) // 4096 // 2
    data[middle * 4096 : middle * 4096 + 200] = b"\xde\xad" * 100
    path.write_bytes(bytes(data))
    kept = source.read(None).texts
    assert 30 < len(kept) < 40
    source.write("greet@41", TEXT.format(41, "Hello."))
    assert "greet@41" in source.read(None).texts
    assert len(list(tmp_path.glob("p.db.damaged-*"))) == 1
    [said] = [r for r in caplog.records if "was damaged" in r.getMessage()]
    assert "prompts list" in said.getMessage()
