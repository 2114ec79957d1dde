"""Thanks ask for nothing, names may have blanks, and definitions lie beside the data."""

import pytest

from allotrope.graphs.work.tables.naming import definitions, is_courtesy, whole_name


@pytest.mark.parametrize(
    "text",
    [
        "Thanks!",
        "thank you so much, that's all",
        "Danke, super!",
        "ok",
        "Perfect, exactly what I needed!",
    ],
)
def test_thanks_ask_for_nothing(text):
    assert is_courtesy(text)


@pytest.mark.parametrize(
    "text",
    [
        "Great, thanks. And what about May?",
        "thanks, show me the total",
        "And South",
        "2025",
        "yes",
        "",
        "Which is largest",
        "Good customers per region",
    ],
)
def test_what_asks_for_something_is_a_question(text):
    assert not is_courtesy(text)


def test_a_name_with_blanks_is_found_whole(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sales figures 2026.csv").write_text("a\n1\n")
    text = "What is in sales figures 2026.csv?"
    assert whole_name("2026.csv", text, roots=[tmp_path]) == "sales figures 2026.csv"
    assert whole_name("other.csv", "see other.csv", roots=[tmp_path]) == "other.csv"


def test_definitions_beside_the_data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "definitions.md").write_text("Churn is customers lost / customers at the start.")
    assert "Churn is customers lost" in definitions(["sales.csv"], roots=[tmp_path])
    assert definitions(["sales.csv"], roots=[]) == ""
    (tmp_path / "definitions.md").write_text("x" * 20_000)
    assert definitions(["sales.csv"], roots=[tmp_path]).endswith("(cut)")
