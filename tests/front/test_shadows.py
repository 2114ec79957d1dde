"""Labelled pairs become shadow data, and these a recommendation on the threshold."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from allotrope.experiments.shadows import record_pairs
from allotrope.models.cache.semantic.fitting.calibrate import Pair
from allotrope.models.cache.semantic.score import load_scorer
from allotrope.settings import Settings, load_settings
from allotrope.usage.advice.advice import rule_data
from allotrope.usage.advice.rules import RULES
from allotrope.usage.ledger.ledger import open_ledger


def settings_in(folder: Path) -> Settings:
    return load_settings(environ={}, env_file=None, data_dir=folder)


def test_wrong_pairs_above_the_threshold_say_that_it_is_too_loose(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    pairs = [
        Pair(f"how do I open door {n}", f"How do I open door {n}?", 0.99, n % 10 != 0)
        for n in range(100)
    ]
    refused = [Pair("pay invoice 12", "pay invoice 13", 0.99, False)]  # at no threshold a hit
    with open_ledger(settings) as ledger:
        assert RULES["semantic_threshold"](rule_data(settings, ledger)) == []
        assert record_pairs(settings, pairs + refused, ledger) == 100
        assert record_pairs(settings, pairs, ledger) == 100  # again: nothing is counted twice
        data = rule_data(settings, ledger)
        (found,) = RULES["semantic_threshold"](data)
    assert data.semantic_threshold == load_scorer().thresholds["strict"]
    assert found.title == "The semantic cache is too loose"
    assert found.numbers == {"hits": 100, "wrong": 10}
    assert not any(b"open door" in path.read_bytes() for path in tmp_path.glob("usage.db*"))


def test_the_command_takes_the_file_that_calibrate_takes(cli: Any, tmp_path: Path) -> None:
    texts = ["how do I open door 1", "How do I open door 1?"]
    (tmp_path / "pairs.jsonl").write_text(json.dumps({"a": texts[0], "b": texts[1], "same": 1}))
    np.savez(tmp_path / "v.npz", texts=np.array(texts), vectors=np.eye(2, 4, dtype=np.float32))
    ran = cli(
        "cache", "shadow", f"{tmp_path}/pairs.jsonl", "--vectors", f"{tmp_path}/v.npz", "--json"
    )
    assert (ran.code, json.loads(ran.out)) == (0, {"recorded": 1})
