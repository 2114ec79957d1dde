"""The catalogue of models: its rows, and what is wrong with a person's own."""

from datetime import date
from pathlib import Path

import pytest

from allotrope.exceptions import SettingsError
from allotrope.models.catalogue.entries import open_catalogue, packaged_catalogue


def written(folder: Path, text: str) -> Path:
    path = folder / "models.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_row_has_a_source_and_every_line_ends() -> None:
    catalogue = packaged_catalogue()
    for name, row in catalogue.models.items():
        assert row.source in catalogue.sources, name
        assert catalogue.line(name)[-1] != name or row.successor is None
    for family in catalogue.families.values():
        assert family.source in catalogue.sources


def test_whoever_ends_has_a_successor_that_outlives_it() -> None:
    catalogue = packaged_catalogue()
    for name, row in catalogue.models.items():
        if row.until is None:
            continue
        last = catalogue.models[catalogue.line(name)[-1]]
        assert row.successor is not None, name
        assert last.until is None or last.until > row.until, name


def test_o3_ends_on_the_eleventh_of_december() -> None:
    catalogue = packaged_catalogue()
    assert catalogue.models["o3"].until == date(2026, 12, 11)
    assert catalogue.line("o3") == ("o3", "gpt-6.1-sol", "gpt-6.2-sol")
    assert catalogue.role("primary") == "o3"
    assert catalogue.role("judge") == "o3"
    assert catalogue.role("nobody") is None


def test_a_family_speaks_for_names_it_never_saw() -> None:
    later = packaged_catalogue().entry("gpt-7-sol")
    assert later is not None
    assert later.endpoint == "responses"
    assert "none" not in (later.efforts or ())
    assert packaged_catalogue().entry("my-own-model") is None


def test_a_persons_rows_win_field_by_field(tmp_path: Path) -> None:
    path = written(tmp_path, "models:\n  o3: {until: 2027-01-01}\n  mine: {successor: o3}\n")
    catalogue = open_catalogue(path)
    assert catalogue.models["o3"].until == date(2027, 1, 1)
    assert catalogue.models["o3"].successor == "gpt-6.1-sol"
    assert catalogue.line("mine")[:2] == ("mine", "o3")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("models: {a: {successor: b}, b: {successor: a}}", "circle: a → b → a"),
        ("models: {a: {successor: nowhere}}", "its successor 'nowhere' isn't in the catalogue"),
        ("roles: {primary: judge}", "circle"),
        ("models: {a: {until: soon}}", "models.a.until"),
        ("models: {a: {colour: red}}", "colour"),
        ("- a list", "must be a mapping"),
        ("models: {a: [", "no YAML"),
        ("families: {mine: {match: '('}}", "families.mine.match"),
    ],
)
def test_a_wrong_catalogue_is_refused_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        open_catalogue(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_catalogue_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="ALLOTROPE_OPENAI__CATALOGUE"):
        open_catalogue(tmp_path / "none.yaml")
