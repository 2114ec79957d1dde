"""From a hit in other words to a report and the next calibration, as a user runs the commands."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.models.cache.test_semantic import FIRST, OTHER, WordVectors
from typer.testing import CliRunner

from allotrope.cli.app import app
from allotrope.models.cache import RedisCache, open_semantic
from allotrope.models.providers.openai import OpenAIChat
from allotrope.settings import Settings

MakeChat = Callable[..., OpenAIChat]
Run = Callable[..., Any]


@pytest.fixture
def run(cache: RedisCache, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, redis_url: str) -> Run:
    """Runs `allotrope cache …` against the test's Redis; gives what it prints with --json."""
    monkeypatch.setenv("ALLOTROPE_REDIS__URL", redis_url)
    monkeypatch.setenv("ALLOTROPE_REDIS__PREFIX", cache.answers.prefix)
    monkeypatch.setenv("ALLOTROPE_DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def command(*arguments: str) -> Any:
        result = CliRunner().invoke(app, ["cache", *arguments, "--json"])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return command


def test_a_hit_is_shown_reported_written_out_and_fitted_on(
    roomy: Settings, cache: RedisCache, make_chat: MakeChat, run: Run, tmp_path: Path
) -> None:
    cache.asker.semantic = open_semantic(roomy, cache.answers, embeddings=WordVectors())
    model = make_chat()
    model.invoke(FIRST)
    hit = model.invoke(OTHER, {"metadata": {"allotrope_run_id": "r1"}})
    (entry,) = run("show")["entries"]
    (why,) = run("show", entry["key"][:8])["semantic_hits"]
    assert (why["asked"], why["question"], why["run"]) == (OTHER, FIRST, "r1")
    told = hit.response_metadata["allotrope"]["semantic"]
    assert told == {name: why[name] for name in told}, "the trace says the same"
    assert set(told) == {"question", "cosine", "score", "reason", "precision"}

    assert run("wrong", "--out", "none.jsonl") == {"pairs": 0}
    assert run("report-wrong", "r1")["removed"] == ["semantic"]
    assert run("wrong", "--out", "wrong.jsonl") == {"pairs": 1}
    (line,) = (tmp_path / "wrong.jsonl").read_text().splitlines()
    assert json.loads(line) == {"a": OTHER, "b": FIRST, "same": 0, "cosine": why["cosine"]}
    assert run("stats")["partitions"][0]["false_hits"]["semantic"] == 1

    rows = [
        {"a": f"How do I bake bread v{n}?", "b": f"How to bake {food} v{n}?", "same": same}
        for n in range(110)
        for food, same in (("bread", 1), ("cake", 0))
    ]
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)))
    texts = sorted({text for row in rows for text in (row["a"], row["b"])})
    vectors = np.random.default_rng(0).normal(size=(len(texts), 8))
    np.savez(tmp_path / "v.npz", texts=texts, vectors=vectors)
    fitted = run("calibrate", "pairs.jsonl", "wrong.jsonl", "--vectors", "v.npz")
    assert fitted["pairs"] == len(rows) + 1
    (tmp_path / "wrong.jsonl").write_text('{"a": 1}')
    result = CliRunner().invoke(app, ["cache", "calibrate", "pairs.jsonl", "wrong.jsonl"])
    assert "wrong.jsonl, line 1" in str(result.exception)
