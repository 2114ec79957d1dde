"""Passages are cut with their place, kept by content, and found by words or meaning."""

import pytest

from allotrope.graphs.work.sources import index
from allotrope.graphs.work.sources.index import SourceDocument, cached_passages, passages_of, search

TEXTS = {
    "tower.md": "# Tower\n\nThe tower is 330 metres tall.\n\n## History\n\nIt opened in 1889.",
    "harvest.txt": "The harvest of 2023 was 4,120 tonnes. " * 40,
    "rows.csv": "city,people\nOslo,700000\nBergen,290000\n",
}


@pytest.fixture
def sources(papers):
    files = [SourceDocument(name, text.encode()) for name, text in TEXTS.items()]
    return [
        *files,
        SourceDocument("r.pdf", papers.pdf("Page one is about bees.", "Page two: honey.")),
    ]


def test_passages_have_their_place(sources):
    passages, problems = passages_of(
        [*sources, SourceDocument("bad.pdf", b"%PDF-broken")], chars=400
    )
    places = {(one.source, one.place) for one in passages}
    assert {("r.pdf", "page 1"), ("r.pdf", "page 2"), ("rows.csv", "row 1")} <= places
    assert all(len(one.text) <= 400 for one in passages)
    assert problems == ["bad.pdf can't be read: it is broken or protected."]


def test_the_index_is_kept_by_content(sources, tmp_path, monkeypatch):
    first = cached_passages(sources, chars=400, folder=tmp_path)
    monkeypatch.setattr(index, "passages_of", lambda *a, **k: pytest.fail("read again"))
    index._latest.clear()
    assert cached_passages(sources, chars=400, folder=tmp_path) == first
    monkeypatch.undo()
    changed = [SourceDocument("tower.md", b"The tower is 331 metres tall."), *sources[1:]]
    assert cached_passages(changed, chars=400, folder=tmp_path)[0] != first[0]
    assert len(list(tmp_path.iterdir())) == 2
    for path in tmp_path.iterdir():
        path.write_text("broken")
    index._latest.clear()
    assert cached_passages(sources, chars=400, folder=tmp_path) == first
    assert any(path.read_text().startswith("{") for path in tmp_path.iterdir())


def test_the_latest_stay_in_memory(sources, tmp_path, monkeypatch):
    first, _ = cached_passages(sources, chars=400, folder=tmp_path)
    monkeypatch.setattr(index, "_kept", lambda path: pytest.fail("read again"))
    assert cached_passages(sources, chars=400, folder=tmp_path)[0] is first
    monkeypatch.undo()
    for number in range(index.LATEST + 3):
        cached_passages([SourceDocument("a.md", b"x" * number)], chars=400, folder=tmp_path)
    assert len(index._latest) == index.LATEST
    assert cached_passages(sources, chars=400, folder=tmp_path)[0] is not first


@pytest.mark.parametrize(
    ("question", "source"),
    [
        ("How tall is the tower?", "tower.md"),
        ("harvests in 2023", "harvest.txt"),
        ("people of Bergen", "rows.csv"),
        ("honey", "r.pdf"),
    ],
)
def test_finding_by_words(sources, question, source):
    passages, _ = passages_of(sources, chars=400)
    assert search(passages, question, most=2)[0].source == source


def test_nothing_in_common_finds_nothing(sources):
    passages, _ = passages_of(sources, chars=400)
    assert search(passages, "quantum chromodynamics", most=3) == []
    assert search(passages, " ", most=3) == []
    assert search([], "tower", most=3) == []


def test_finding_by_meaning(sources):
    """A stand-in for an embedding model that knows one synonym."""
    passages, _ = passages_of(sources, chars=400)

    def embed(texts):
        return [[1.0, 0.0] if "bees" in t or "insect" in t else [0.0, 1.0] for t in texts]

    assert search(passages, "insect", most=1, embed=embed)[0].place == "page 1"
