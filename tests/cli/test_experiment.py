"""`allotrope experiment` and `allotrope bench quality`, against the provider simulator."""

import json
import re
from pathlib import Path

import pytest

from allotrope.experiments.dataset import load_dataset
from allotrope.experiments.definition import Metric
from allotrope.experiments.offline.evaluator import Evaluator
from allotrope.testing import ProviderSimulator

FILE = """\
name: sums
variants:
  - {name: plain, share: 0.5}
  - {name: quick, share: 0.5, profile: economical}
dataset: {path: sums.jsonl}
metrics:
  - {name: right, scorer: {kind: numeric}}
stop: {min_units: 2}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sums.yaml").write_text(FILE)
    (tmp_path / "sums.jsonl").write_text(
        "".join(json.dumps({"question": f"{n} + 1?", "answer": n + 1}) + "\n" for n in range(3))
    )
    return tmp_path


def test_the_life_of_an_offline_experiment(cli, simulator: ProviderSimulator, folder: Path) -> None:
    simulator.script(["The answer is 2."] * 6)
    ran = cli("experiment", "run", "sums.yaml", "--json", "--concurrency", "1")
    assert ran.code == 0, ran.err
    result = json.loads(ran.out)
    assert result["answers"] == 6
    assert result["complete"] is True
    assert result["winner"] is None
    assert result["estimates"]["right"]["plain"]["mean"] == pytest.approx(1 / 3)
    again = cli("experiment", "run", "sums.yaml", "--json")
    assert json.loads(again.out)["cost_usd"] == result["cost_usd"]  # nothing was asked again

    listed = json.loads(cli("experiment", "status", "--json").out)["experiments"]
    assert [(row["name"], row["status"]) for row in listed] == [("sums", "ended")]
    assert "No variant is shown to be better" in cli("experiment", "report", "sums").out
    page = folder / "sums.html"
    assert cli("experiment", "report", "sums", "--out", str(page)).code == 0
    assert "Plotly.newPlot" in page.read_text()

    refused = cli("experiment", "promote", "sums")
    assert refused.code == 2
    assert "No variant is shown" in refused.err
    refused = cli("experiment", "promote", "sums", "quick", "--yes")
    assert "isn't shown to be better" in refused.err
    ran = cli("experiment", "promote", "sums", "quick", "--yes", "--force", "--by", "ann")
    assert ran.out == "assistant uses quick from now on (by ann): profile economical.\n"
    promoted = json.loads(cli("experiment", "status", "--json").out)["promoted"]
    assert promoted["assistant"]["profile"] == "economical"
    ran = cli("experiment", "promote", "sums", "--undo", "--by", "bob")
    assert ran.out == "assistant is as it was before quick of sums: profile of its own.\n"
    assert "nothing was promoted" in cli("experiment", "promote", "sums", "--undo").err


def test_mistakes_get_one_sentence(cli, folder: Path) -> None:
    (folder / "bad.yaml").write_text(FILE.replace("share: 0.5, ", "share: 0.4, ", 1))
    (folder / "gone.yaml").write_text(FILE.replace("economical", "thrifty"))
    (folder / "odd.yaml").write_text(FILE.replace("kind: numeric", "kind: vibes"))
    (folder / "few.yaml").write_text(FILE.replace("min_units: 2", "min_units: 3, max_units: 2"))
    for words, said in (
        (("run", "bad.yaml"), "bad.yaml:2: variants: the shares sum to"),
        (("run", "gone.yaml"), "gone.yaml:4: variants[1].profile: There is no profile 'thrifty'"),
        (("run", "odd.yaml"), "odd.yaml:7: metrics[0].scorer: There is no scorer 'vibes'"),
        (("run", "few.yaml"), "few.yaml:8: stop: max_units (2) is below min_units (3)"),
        (("run", "none.yaml"), "There is no experiment file at none.yaml"),
        (("status", "nope"), "There is no experiment 'nope'"),
        (("stop", "../etc"), "There is no experiment '../etc'"),
        (("power", "--effect", "0.1"), "Give either --deviation or --rate"),
        (("new", "Bad Name"), "name"),
    ):
        ran = cli("experiment", *words)
        assert ran.code == 2, (words, ran)
        assert said in ran.err.replace("\n", " "), (words, ran.err)
        assert "Traceback" not in ran.err


def test_new_files_are_good_files(cli, folder: Path) -> None:
    assert cli("experiment", "new", "first").out == "first.yaml\n"
    assert "there already" in cli("experiment", "new", "first").err
    assert cli("experiment", "new", "traffic", "--online").code == 0
    ran = cli("experiment", "run", "traffic.yaml")
    assert ran.out == "traffic runs.\n", ran.err
    assert "too few to judge" in cli("experiment", "status", "traffic").out.replace("\n", " ")
    assert cli("experiment", "stop", "traffic", "--by", "ann").out == "traffic is stopped.\n"


def test_power(cli) -> None:
    ran = cli("experiment", "power", "--effect", "0.2", "--deviation", "0.5", "--json")
    plan = json.loads(ran.out)
    assert plan["n_fixed"] == 52
    assert plan["n_sequential"] > plan["n_fixed"]


def test_bench_quality_keeps_a_history(cli, simulator: ProviderSimulator, folder: Path) -> None:
    simulator.script(["2"] * 6)
    words = ("bench", "quality", "--dataset", "sums.jsonl", "--json")
    first = json.loads(cli(*words, "--variants", "economical").out)
    assert [row["variant"] for row in first["results"]] == ["default", "economical"]
    assert first["results"][0]["quality"] == pytest.approx(1 / 3)
    assert first["earlier"] == []
    each, whole = first["results"][0]["cost_per_correct_usd"], first["results"][0]["cost_usd"]
    assert float(each) == pytest.approx(float(whole))  # one right answer of three
    simulator.script(["3"] * 3)
    second = json.loads(cli(*words).out)
    assert len(second["earlier"]) == 2
    assert "can't be read" in cli(*words, "--variants", "x:temperature").err
    simulator.faults.add("quota", provider="openai")
    simulator.faults.add("quota", provider="ollama")
    failed = cli(*words[:-1], "--out", "report.md")
    assert failed.code == 0, failed.err
    assert "answers failed: AllProvidersFailedError" in failed.out.replace("\n", " ")
    report = (folder / "report.md").read_text()
    assert re.search(r"\| default \| – \| 3 \| 0\.000 \| [^|]+ \| 3 \|", report), report
    assert "Earlier:" in report
    assert "There is no profile 'nope'" in cli(*words, "--variants", "nope").err


@pytest.mark.parametrize("name", ["assistant", "analyst", "creative", "coder", "researcher"])
def test_our_own_datasets_can_be_scored(name: str) -> None:
    path = Path(__file__).parents[2] / "benchmarks" / "datasets" / f"{name}.jsonl"
    items = load_dataset(path)
    assert len(items) >= 6
    metric = Metric(name="quality", scorer={"kind": "contains-all"}, primary=True)
    Evaluator([metric]).check(items)


def test_the_embedding_scorer_by_the_files_embeddings(
    cli, simulator: ProviderSimulator, folder: Path
) -> None:
    text = FILE.replace("kind: numeric", "kind: embedding")
    (folder / "near.yaml").write_text(text.replace("name: sums", "name: near"))
    ran = cli("experiment", "run", "near.yaml", "--json")
    assert ran.code == 2
    assert "Name them in the file" in ran.err.replace("\n", " ")
    named = text.replace("name: sums", "name: near2\nembeddings: openai:text-embedding-3-small")
    (folder / "near2.yaml").write_text(named)
    for question, said in (("0 + 1?", "1"), ("1 + 1?", "2"), ("2 + 1?", "four")):
        simulator.when(question, said)
    ran = cli("experiment", "run", "near2.yaml", "--json")
    assert ran.code == 0, ran.err
    assert 2 / 3 <= json.loads(ran.out)["estimates"]["right"]["plain"]["mean"] < 1
    wrong = named.replace("openai:text-embedding", "nobody:text-embedding")
    (folder / "near2.yaml").write_text(wrong.replace("near2", "near3"))
    ran = cli("experiment", "run", "near2.yaml")
    assert ran.code == 2
    assert "embeddings is 'nobody:text-embedding-3-small'" in ran.err.replace("\n", " ")


def test_feedback_keeps_to_its_range(cli) -> None:
    assert cli("feedback", "run-1", "0.8").code == 0
    assert cli("feedback", "run-1", "1", "--metric", "tone").code == 0
    stars = {"ALLOTROPE_EXPERIMENTS__FEEDBACK": '{"stars": [1, 5]}'}
    assert cli("feedback", "run-1", "5", "--metric", "stars", **stars).code == 0
    for words, said in (
        (("1.2",), "The score 1.2 of 'score' isn't between 0 and 1"),
        (("-1",), "The score -1 of 'score' isn't between 0 and 1"),
        (("nan",), "The score nan of 'score' isn't between 0 and 1"),
        (("0", "--metric", "stars"), "The score 0 of 'stars' isn't between 1 and 5"),
        (("1", "--metric", "to ne"), "'to ne' can't be a metric"),
    ):
        ran = cli("feedback", "run-1", *words, **stars)
        assert ran.code == 2, (words, ran)
        assert said in ran.err.replace("\n", " "), (words, ran.err)
    ran = cli("feedback", "r", "1", ALLOTROPE_EXPERIMENTS__FEEDBACK='{"score": [1, 5]}')
    assert ran.code == 2
    assert "goes from 0 to 1" in ran.err.replace("\n", " ")
