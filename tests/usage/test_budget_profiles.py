"""Budgets that switch the profile, and what `allotrope usage budgets` shows of them all."""

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from allotrope import build_agent
from allotrope.cli.usage.app import app as usage_app
from allotrope.exceptions import SettingsError
from allotrope.graphs.parts import Parts
from allotrope.operations.doctor import examine
from allotrope.settings import Settings, load_settings
from allotrope.settings.usage import BudgetSettings, ThresholdSettings
from allotrope.testing import ProviderSimulator
from allotrope.usage.ledger.ledger import open_ledger
from allotrope.usage.recorder.rows import CallRow, microseconds


def limited(settings: Settings, profile: str) -> Settings:
    switch = ThresholdSettings(percent=1, action="switch_profile", profile=profile)
    budget = BudgetSettings(name="team", tokens=10, period="day", thresholds=(switch,))
    callbacks = ("allotrope.usage.assembly:from_settings",)
    usage = settings.usage.model_copy(update={"budgets": (budget,)})
    return settings.model_copy(update={"usage": usage, "callbacks": callbacks})


def test_a_budget_whose_profile_does_not_exist_is_said_at_the_start(
    simulator_settings: Settings,
) -> None:
    settings = limited(simulator_settings, "economy")
    with pytest.raises(SettingsError, match=r"budget 'team' .*profile 'economy'") as caught:
        build_agent(settings=settings)
    assert "economical" in str(caught.value)
    [finding] = [one for one in examine(settings, timeout_s=0.2) if one.part == "budgets"]
    assert finding.state == "error"
    assert "economy" in finding.told
    build_agent(settings=limited(simulator_settings, "economical")).close()


def test_a_switch_that_fails_never_fails_a_turn_and_is_said_once(
    simulator_settings: Settings,
    simulator: ProviderSimulator,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    """The profile was there at the start, and is gone or broken since."""
    folder = tmp_path / "profiles"
    folder.mkdir()
    own = folder / "cheap.yaml"
    own.write_text("name: cheap\ndescription: Ours.\n")
    section = simulator_settings.profiles.model_copy(update={"folder": folder, "reload_s": 0.01})
    settings = limited(simulator_settings.model_copy(update={"profiles": section}), "cheap")
    simulator.script(["One.", "Two.", "Three."])
    with build_agent(settings=settings) as agent:
        own.unlink()
        assert [agent.ask(f"Question {n}?").answer for n in range(3)] == ["One.", "Two.", "Three."]
    said = [r.getMessage() for r in caplog.records if "goes on with its own" in r.getMessage()]
    assert len(said) == 1
    assert "no profile 'cheap'" in said[0]


def test_budgets_that_cannot_be_asked_change_nothing(
    simulator_settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        budgets = property(lambda self: self)

        def directive(self, names: Any) -> Any:
            raise OSError("the ledger is gone")

    parts = Parts(simulator_settings, callbacks=[Broken()])  # type: ignore[list-item]  # on purpose
    with caplog.at_level(logging.WARNING):
        assert parts.advised_profile(agent="assistant", tenant="acme", user=None) is None
    assert "OSError" in caplog.text


@pytest.fixture
def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    budgets = [
        {"name": "team", "usd": 200},
        {"name": "each-user", "scope": "user", "usd": 2, "period": "day"},
        {"name": "each-tenant", "scope": "tenant", "tokens": 1000, "period": "week"},
        {"name": "acme", "scope": "tenant", "match": "acme", "tokens": 500, "period": "week"},
    ]
    monkeypatch.setenv("ALLOTROPE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("ALLOTROPE_USAGE__BUDGETS", json.dumps(budgets))
    monkeypatch.setenv("ALLOTROPE_REDIS__EMBEDDED", "false")

    def run(*words: str) -> str:
        ran = CliRunner().invoke(usage_app, ["budgets", *words], catch_exceptions=False)
        assert ran.exit_code == 0
        return ran.stdout

    return run


def test_budgets_of_each_user_are_shown_before_anybody_came(shown: Callable[..., str]) -> None:
    found = json.loads(shown("--json"))["budgets"]
    assert [(one["budget"], one["scope"], one["name"], one["used"]) for one in found] == [
        ("team", "all", "", "$0.00"),
        ("each-user", "user", "", "$0.00"),
        ("each-tenant", "tenant", "", "0 tokens"),
        ("acme", "tenant", "acme", "0 tokens"),
    ]
    text = shown()
    assert "No budgets" not in text
    assert "each user" in text
    assert "each tenant" in text


def test_whoever_used_most_of_a_budget_is_shown(shown: Callable[..., str]) -> None:
    at = microseconds(datetime.now(UTC))
    spent = {"ann": "1.90", "bob": "0.10", "eve": "0.60"}
    with open_ledger(load_settings()) as ledger:
        ledger.write(
            [
                CallRow(id=user, at=at, user_name=user, tenant="acme", cost=Decimal(usd),
                        input_tokens=100)
                for user, usd in spent.items()
            ]
        )  # fmt: skip
    found = json.loads(shown("--json"))["budgets"]
    assert [(o["name"], o["used"]) for o in found if o["budget"] == "each-user"] == [
        ("acme/ann", "$1.90"), ("acme/eve", "$0.6000"), ("acme/bob", "$0.1000"),
    ]  # fmt: skip
    assert next(o for o in found if o["budget"] == "each-tenant")["used"] == "300 tokens"
    assert "each user" not in shown()
