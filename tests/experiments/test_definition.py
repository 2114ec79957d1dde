"""Experiment files, datasets and assignment."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allotrope.exceptions import InputError
from allotrope.experiments.dataset import load_dataset
from allotrope.experiments.definition import Experiment, load_experiment, parse_experiment
from allotrope.experiments.files import LARGEST_BYTES
from allotrope.experiments.online.assignment import assign, at, overlapping, position

GOOD = """\
name: tone
kind: online
variants:
  - name: control
    share: 0.5
  - name: warm
    share: 0.3
    profile: creative
  - name: cold
    share: 0.2
metrics:
  - name: feedback
guard_rails:
  - metric: error_rate
    max_increase: 0.02
"""


def tone(**changes: object) -> Experiment:
    return parse_experiment(GOOD, name="tone.yaml").model_copy(update=changes)


def test_a_good_file() -> None:
    experiment = tone()
    assert experiment.control_name == "control"
    assert experiment.primary.name == "feedback"
    assert experiment.variant("warm").profile == "creative"
    with pytest.raises(InputError, match="no variant 'hot'"):
        experiment.variant("hot")


@pytest.mark.parametrize(
    ("old", "new", "line", "field", "message"),
    [
        ("share: 0.5", "share: 0.4", 3, "variants", "the shares sum to 0.9, not to 1"),
        ("share: 0.5", "share: half", 5, "variants[0].share", "valid number"),
        ("share: 0.5", "shore: 0.5", 5, "variants[0].shore", "no such field"),
        ("name: warm", "name: control", 3, "variants", "two variants are called control"),
        ("name: warm", "name: Warm!", 6, "variants[1].name", "pattern"),
        ("profile: creative", "share: 0.3", 8, "variants[1].share", "stands there twice"),
        ("name: feedback", "name: joy", 12, "metrics[0]", "nobody reports 'joy'"),
        ("metric: error_rate", "metric: joy", 1, "", "nobody reports the guard-rail's metric"),
        ("max_increase: 0.02", "max_increase: 0.02\n    max: 1", 14, "guard_rails[0]", "exactly"),
        ("kind: online", "kind: offline", 1, "", "needs a dataset"),
        ("kind: online", "kind: [online", 3, "", "no YAML"),
        ("kind: online", "kind: &a online\ndescription: *a", 3, "", "aliases"),
        ("kind: online", "kind: online\nlayer_slot: [0.5, 0.2]", 3, "layer_slot", "two numbers"),
        ("kind: online", "kind: online\ncontrol: x", 1, "", "control 'x' is none of"),
        ("kind: online", "kind: online\nstop: {alpha: 2}", 3, "stop.alpha", "less than 0.5"),
        ("name: tone\n", "", 1, "name", "it is missing"),
    ],
)
def test_bad_files_name_file_line_and_field(
    tmp_path: Path, old: str, new: str, line: int, field: str, message: str
) -> None:
    path = tmp_path / "tone.yaml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        load_experiment(path)
    text = str(caught.value)
    assert f"tone.yaml:{line}: {field}" in text, text
    assert message in text


def test_files_that_are_no_experiments(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no experiment file at"):
        load_experiment(tmp_path / "none.yaml")
    path = tmp_path / "x.yaml"
    for content, message in (
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"", "a mapping"),
        (b"- a\n", "a mapping"),
        (b"name: " + b"x" * (LARGEST_BYTES + 1), "at most"),
        (b"a: " + b"[" * 100_000, "x.yaml:1: it is nested too deeply"),
        (b"a: 2026-99-99", "no YAML"),
        (b"a: !!python/object:os.system x", "no YAML"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=message):
            load_experiment(path)


def test_a_relative_dataset_starts_at_the_file(tmp_path: Path) -> None:
    text = GOOD.replace("kind: online", "dataset: {path: data.jsonl}").replace(
        "name: feedback", "name: right\n    scorer: {kind: exact}"
    )
    (tmp_path / "e.yaml").write_text(text)
    experiment = load_experiment(tmp_path / "e.yaml")
    assert experiment.dataset is not None
    assert experiment.dataset.path == tmp_path / "data.jsonl"


def test_the_digest_follows_what_changes_results() -> None:
    base = tone()
    assert tone(description="other words").digest == base.digest
    assert tone(salt="x").digest != base.digest


def test_assignment_is_sticky_and_follows_the_shares() -> None:
    experiment = tone()
    units = [f"tenant/user-{n}" for n in range(30_000)]
    first = [variant.name for variant in (assign(experiment, u) for u in units) if variant]
    again = [variant.name for variant in (assign(experiment, u) for u in units) if variant]
    assert first == again
    counts = Counter(first)
    from scipy import stats

    expected = [15_000, 9_000, 6_000]
    assert stats.chisquare([counts[n] for n in ("control", "warm", "cold")], expected).pvalue > 1e-3


@pytest.mark.parametrize("shape", ["user-{}", "{}", "a@{}.example", "{:032x}", "ünï-{}"])
def test_positions_are_uniform_and_independent_between_salts(shape: str) -> None:
    from scipy import stats

    units = [shape.format(n) for n in range(20_000)]
    one = [position(salt="one", unit=unit) for unit in units]
    two = [position(salt="two", unit=unit) for unit in units]
    assert all(0 <= place < 1 for place in one)
    assert stats.kstest(one, "uniform").pvalue > 1e-3
    assert abs(stats.pearsonr(one, two).statistic) < 0.03


@given(st.text(), st.text(), st.text())
def test_salt_and_unit_do_not_run_together(a: str, b: str, c: str) -> None:
    if b:
        assert position(salt=a + b, unit=c) != position(salt=a, unit=b + c)


@given(st.floats(0, 1, exclude_max=True))
def test_each_place_has_a_variant(place: float) -> None:
    assert at(tone().variants, place).name in {"control", "warm", "cold"}


def test_experiments_of_one_layer_never_share_a_unit() -> None:
    first = tone(name="first", layer="style", layer_slot=(0.0, 0.4))
    second = tone(name="second", layer="style", layer_slot=(0.4, 1.0))
    other = tone(name="third", layer="model", layer_slot=(0.0, 1.0))
    units = [f"u{n}" for n in range(5_000)]
    in_first = {unit for unit in units if assign(first, unit)}
    in_second = {unit for unit in units if assign(second, unit)}
    assert not in_first & in_second
    assert len(in_first | in_second) == 5_000
    assert 0.37 < len(in_first) / 5_000 < 0.43
    assert not overlapping(first, second)
    assert not overlapping(first, other)
    assert overlapping(first, tone(name="late", layer="style", layer_slot=(0.3, 0.5)))
    # Within a layer's slot the variants still follow their shares: the two hashes are independent.
    counts = Counter(v.name for unit in in_first if (v := assign(first, unit)))
    assert 0.45 < counts["control"] / len(in_first) < 0.55


def test_datasets(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text(
        '{"question": "1+1?", "answer": 2}\n\n{"input": "hi", "expected": "hello", "id": 7}\n'
        '{"prompt": "list", "output": [1, 2], "scorer": {"kind": "regex", "pattern": "x"}}\n'
    )
    items = {item.question: item for item in load_dataset(path)}
    assert items["1+1?"].expected == "2"
    assert items["hi"].id == "7"
    assert items["list"].scorer == {"kind": "regex", "pattern": "x"}
    order = [item.id for item in load_dataset(path, salt="a")]
    assert order == [item.id for item in load_dataset(path, salt="a")]
    assert [item.id for item in load_dataset(path, salt="a", limit=2)] == order[:2]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "d.jsonl:2: no JSON"),
        ("[1]", "d.jsonl:2: an object"),
        ('{"question": " "}', "d.jsonl:2: question: it is missing"),
        ('{"question": "a", "scorer": "exact"}', "d.jsonl:2: scorer"),
        ('{"question": "first"}', "d.jsonl:2: id: .* line 1 already"),
        ('{"question": ' + "[" * 100_000, "d.jsonl:2: no JSON"),
    ],
)
def test_bad_datasets_name_the_line(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text('{"question": "first"}\n' + line + "\n")
    with pytest.raises(InputError, match=message):
        load_dataset(path)
    path.write_text("\n")
    with pytest.raises(InputError, match="no items"):
        load_dataset(path)
