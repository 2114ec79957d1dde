"""Grafana's dashboard asks only for metrics and labels that `/metrics` has."""

import ast
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

import allotrope
from allotrope.models.breaker.opening import circuits_of
from allotrope.settings import Settings
from allotrope.settings.usage import UsageSettings
from allotrope.support.counters import HELP
from allotrope.usage.recorder.rows import CallRow
from allotrope.web import pages
from allotrope.web.prometheus import METRICS, gather, render

BOARD = json.loads((Path(pages.FOLDER) / "static" / "grafana.json").read_text(encoding="utf-8"))


def expressions() -> list[str]:
    asked = [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]
    return asked + [
        v["query"]["query"] for v in BOARD["templating"]["list"] if v["type"] == "query"
    ]


@pytest.fixture(scope="module")
def exported(seeded_settings: Settings, seeded: list[CallRow]) -> dict[str, set[str]]:
    """Metric to its labels, as Prometheus itself reads our page."""
    usage = UsageSettings.model_validate({"budgets": [{"name": "all", "usd": 5, "period": "day"}]})
    settings = seeded_settings.model_copy(update={"usage": usage})
    circuits_of(settings)
    text = render(gather(settings, now=datetime.now(UTC)))
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return {**found, **counted()}


def counted() -> dict[str, set[str]]:
    """Counters of the process to their labels, as the calls of `count` in our code name them."""
    found: dict[str, set[str]] = {}
    files = [
        file
        for folder in Path(allotrope.__file__).parent.iterdir()
        for file in ([folder] if folder.suffix == ".py" else folder.resolve().rglob("*.py"))
    ]
    for file in files:
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if (
                isinstance(call, ast.Call)
                and getattr(call.func, "id", getattr(call.func, "attr", "")) == "count"
                and call.args
                and isinstance(call.args[0], ast.Constant)
                and call.args[0].value in HELP
            ):
                names = {keyword.arg or "" for keyword in call.keywords} - {"amount"}
                found.setdefault(call.args[0].value, set()).update(names)
    return found


def test_every_counter_is_counted_somewhere() -> None:
    assert counted().keys() == HELP.keys()


def asked_of(expression: str) -> list[tuple[str, set[str]]]:
    """Each metric of a query, with the labels that its selector and the grouping name."""
    grouped = {
        label.strip()
        for inner in re.findall(r"\bby \(([^)]*)\)", expression)
        for label in inner.split(",")
    }
    plain = re.sub(r"\bby \([^)]*\)", "", expression)
    single = re.fullmatch(r"label_values\((\w+), (\w+)\)", expression)
    if single:
        return [(single[1], {single[2]})]
    found = []
    for match in re.finditer(r"((?:gen_ai|allotrope)_\w+)(?:\{([^}]*)\})?", plain):
        if match[1].startswith("gen_ai") and match[0] == match[1] and f"{match[1]}=" in plain:
            continue  # a label inside of a selector
        selected = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", match[2] or ""))
        found.append((match[1], selected | grouped))
    return found


@pytest.mark.parametrize("expression", expressions())
def test_each_query_finds_its_metric_and_labels(
    expression: str, exported: dict[str, set[str]]
) -> None:
    asked = asked_of(expression)
    assert asked
    for metric, labels in asked:
        assert metric in exported, metric
        assert labels <= exported[metric], (metric, labels - exported[metric])


def test_every_metric_has_a_panel() -> None:
    asked = {
        re.sub(r"_(bucket|sum|count)$", "", metric)
        for expression in expressions()
        for metric, _ in asked_of(expression)
    }
    assert asked == {*METRICS, *HELP}


def test_the_board_is_whole() -> None:
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(ids) == len(set(ids))
    places: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        at: dict[str, Any] = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & places, panel["title"]
        assert at["x"] + at["w"] <= 24
        places |= cells
