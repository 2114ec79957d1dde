"""`allotrope models`: who serves which role, until when, who comes next, and what that costs."""

import json
import threading
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import RunCli

from allotrope.models.catalogue.facts import Listing, Repair
from allotrope.models.catalogue.lifecycle import lifecycles_of, open_notes
from allotrope.settings import Settings, load_settings
from allotrope.testing import ProviderSimulator
from allotrope.usage.ledger.ledger import open_ledger
from allotrope.usage.recorder.rows import CallRow, microseconds

BUDGET = [
    {
        "name": "team",
        "usd": 10,
        "thresholds": [{"percent": 90, "action": "switch_profile", "profile": "economical"}],
    }
]


def of(found: dict[str, Any], model: str) -> dict[str, Any]:
    return next(one for one in found["models"] if one["model"] == model)


def shown(cli: RunCli, **environ: str) -> dict[str, Any]:
    ran = cli("models", "--json", **environ)
    assert ran.code == 0, ran.err
    found: dict[str, Any] = json.loads(ran.out)
    return found


def book_turns(settings: Settings) -> None:
    """Two turns of o3, one of two calls, and a hit and a failure that don't count."""
    at = microseconds(datetime.now(UTC))
    common: dict[str, Any] = {"provider": "openai", "model": "o3-2025-04-16", "agent": "assistant"}
    rows = [
        CallRow(id="a", at=at, run="1", input_tokens=1000, output_tokens=100, **common),
        CallRow(id="b", at=at, run="1", input_tokens=2000, output_tokens=200, **common),
        CallRow(id="c", at=at, run="2", input_tokens=5000, cached_tokens=4000, output_tokens=500,
                **common),
        CallRow(id="d", at=at, run="3", cached="exact", **common),
        CallRow(id="e", at=at, run="4", status="error", input_tokens=9000, **common),
    ]  # fmt: skip
    with open_ledger(settings) as ledger:
        ledger.write(rows)


def test_a_model_is_shown_with_all_that_its_end_means(
    cli: RunCli, simulator_settings: Settings
) -> None:
    book_turns(simulator_settings)
    o3 = of(shown(cli, ALLOTROPE_USAGE__BUDGETS=json.dumps(BUDGET)), "o3")
    assert o3["roles"] == ["primary", "judge"]
    assert o3["used_by"]["agents"] == ["analyst", "assistant", "coder", "creative", "researcher"]
    assert "balanced" in o3["used_by"]["profiles"]
    assert o3["end"] == {"date": "2026-12-11", "source": "catalogue"}
    assert (o3["days_left"], o3["ended"], o3["serving"]) == (11, None, "o3")
    assert o3["successor"] == "gpt-6.1-sol"
    assert (o3["price"]["input"], o3["price"]["output"]) == ("2", "8")
    assert (o3["successor_price"]["cached_input"], o3["successor_price"]["output"]) == ("0.1", "10")
    turn = o3["turn"]
    assert (turn["measured_turns"], turn["nominal"]) == (2, False)
    assert (turn["input_tokens"], turn["output_tokens"]) == (4000, 400)
    # 2,000 × 2 + 2,000 × 0.50 + 400 × 8, and 2,000 × 2 + 2,000 × 0.10 + 400 × 10
    assert Decimal(turn["cost_usd"]) == Decimal("0.0082")
    assert Decimal(turn["successor_cost_usd"]) == Decimal("0.0082")
    assert o3["efforts"] == ["low", "medium", "high"]
    assert o3["successor_ability"]["efforts"][-1] == "max"
    assert (o3["endpoint"], o3["successor_ability"]["endpoint"]) == ("chat", "responses")


def test_budgets_and_summaries_are_users_and_a_turn_without_records_is_nominal(
    cli: RunCli,
) -> None:
    luna = of(shown(cli, ALLOTROPE_USAGE__BUDGETS=json.dumps(BUDGET)), "gpt-6-luna")
    assert luna["used_by"] == {
        "agents": ["summaries"],
        "profiles": ["economical"],
        "budgets": ["team"],
        "experiments": [],
    }
    assert luna["turn"]["nominal"] is True


def test_a_running_experiment_is_a_user(cli: RunCli, tmp_path: Path) -> None:
    folder = tmp_path / "experiments"
    folder.mkdir()
    environ = {"ALLOTROPE_EXPERIMENTS__FOLDER": str(folder)}
    file = tmp_path / "cheap.yaml"
    file.write_text(
        "name: cheap\nkind: online\nagent: assistant\nunit: thread\nvariants:\n"
        "  - {name: control, share: 0.5}\n"
        "  - {name: cheaper, share: 0.5, profile: economical}\n"
        "metrics: [{name: feedback}]\n"
    )
    assert cli("experiment", "run", str(file), **environ).code == 0
    found = shown(cli, **environ)
    assert of(found, "gpt-6-luna")["used_by"]["experiments"] == ["cheap"]
    assert of(found, "o3")["used_by"]["experiments"] == ["cheap"]


def test_the_table_is_whole_at_80_columns(cli: RunCli) -> None:
    ran = cli("models", ALLOTROPE_OPENAI__ROLES__MINE="gpt-6.1-terra")
    lines = ran.out.splitlines()
    assert max(map(len, lines)) <= 80
    header = lines[0].split()
    assert header == ["role", "model", "ends", "left", "next", "turn", "now", "turn", "next"]
    first = lines[1].split()
    assert first == [
        "primary",
        "o3",
        "2026-12-11",
        "11",
        "days",
        "gpt-6.1-sol",
        "$0.0160",
        "$0.0180",
    ]
    assert not any("…" in line for line in lines)
    assert "o3 ends on 2026-12-11, in 11 days" in ran.out


def test_after_the_end_the_successor_is_what_serves(cli: RunCli) -> None:
    o3 = of(shown(cli, ALLOTROPE_OPENAI__TODAY="2026-12-12"), "o3")
    assert (o3["ended"], o3["serving"], o3["successor"]) == ("date", "gpt-6.1-sol", "gpt-6.2-sol")
    assert o3["price"]["output"] == "10"
    assert o3["sentence"] == "o3 ended on 2026-12-11; gpt-6.1-sol answers in its place."


def test_what_was_learnt_is_shown_and_forgotten(
    cli: RunCli, simulator_environ: dict[str, str]
) -> None:
    settings = load_settings(environ=simulator_environ, env_file=None)
    at = datetime(2026, 11, 29, tzinfo=UTC)
    lifecycles = lifecycles_of(settings)
    lifecycles.learn(
        "o3", Repair(parameter="reasoning_effort", refused="low", value="medium", at=at)
    )
    lifecycles.learn("o3", Repair(parameter="endpoint", value="responses", at=at))
    lifecycles.answered("o3")
    o3 = of(shown(cli), "o3")
    assert (o3["efforts"], o3["endpoint"]) == (["medium", "high"], "responses")
    assert o3["tried"].startswith("2026-11-30")
    sentences = [one["sentence"] for one in o3["learnt"]]
    assert "o3 takes no reasoning_effort low; medium was sent." in sentences
    assert "2026-11-29: o3 is asked by the responses API" in cli("models").out
    assert cli("models", "forget", "o3").out == "Forgot o3.\n"
    assert of(shown(cli), "o3")["learnt"] == []
    assert cli("models", "forget", "o3").out == "Nothing was learnt of o3.\n"


@pytest.mark.parametrize("how", [(), ("--stream",)])
def test_a_model_that_answered_here_was_tried(
    cli: RunCli, simulator_environ: dict[str, str], how: tuple[str, ...]
) -> None:
    assert of(shown(cli), "o3")["tried"] is None
    ran = cli("ask", "assistant", "hello", *how)
    assert ran.code == 0, ran.err
    found = shown(cli)
    assert of(found, "o3")["tried"].startswith("2026-11-30")
    assert of(found, "o3")["successor_ability"]["tried"] is None
    assert "o3 since 2026-11-30; gpt-6.1-sol not yet" in cli("models").out
    for thread in threading.enumerate():
        if thread.name == "allotrope-models-write":
            thread.join(30)
    settings = load_settings(environ=simulator_environ, env_file=None)
    kept = open_notes(settings).read()  # as another process reads it
    assert kept.models["o3"].tried is not None


def test_a_price_nobody_knows_is_null_and_the_setting_is_named(cli: RunCli) -> None:
    found = shown(cli, ALLOTROPE_OPENAI__MODEL="gpt-9-sol")
    new = of(found, "gpt-9-sol")
    assert (new["price"], new["turn"]["cost_usd"]) == (None, None)
    [price] = [note for note in found["notes"] if "price" in note]
    assert "gpt-9-sol" in price
    assert "ALLOTROPE_USAGE__PRICES" in price


def test_the_providers_list_is_asked_for_and_counts(
    cli: RunCli, simulator: ProviderSimulator
) -> None:
    simulator.announce("o3", "2026-12-05")
    ran = cli("models", "refresh")
    assert ran.code == 0, ran.err
    assert "o3 ends on 2026-12-05, in 5 days" in ran.out
    assert of(shown(cli), "o3")["end"] == {"date": "2026-12-05", "source": "provider"}


def test_a_date_that_is_none_is_one_line_and_our_catalogue_counts(
    cli: RunCli, simulator: ProviderSimulator
) -> None:
    simulator.announce("o3", "soon")
    ran = cli("models", "refresh")
    told = "The provider names 'soon' as the end of o3, which is no date; our catalogue counts."
    assert ran.out.splitlines().count(told) == 1
    found = shown(cli)
    assert of(found, "o3")["end"] == {"date": "2026-12-11", "source": "catalogue"}
    assert any("'soon'" in note for note in found["notes"])


def test_a_provider_that_gives_no_list_is_one_line(cli: RunCli) -> None:
    ran = cli("models", "refresh", OPENAI_BASE_URL="http://127.0.0.1:9/v1")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "The list of models can't be fetched" in ran.err
    ran = cli("models", "refresh", OPENAI_API_KEY="")
    assert (ran.code, ran.err.count("\n")) == (2, 1)


def test_a_provider_without_a_list_is_said(cli: RunCli, simulator: ProviderSimulator) -> None:
    base = simulator.openai_url.replace("/v1", "/nothing/v1")
    ran = cli("models", "refresh", OPENAI_BASE_URL=base)
    assert ran.code == 0, ran.err
    assert "This provider has no list of models; ends are judged by our catalogue." in ran.out


def test_azures_names_have_no_lifecycle_and_that_is_said(cli: RunCli) -> None:
    azure = {"OPENAI_BASE_URL": "https://mine.openai.azure.com/openai/v1/"}
    found = shown(cli, **azure)
    assert any("Azure" in note for note in found["notes"])
    assert of(found, "o3")["end"] is None
    ran = cli("models", "refresh", **azure)
    assert (ran.code, "Azure" in ran.err) == (2, True)


def test_a_clock_a_year_off_is_said(cli: RunCli, simulator_environ: dict[str, str]) -> None:
    settings = load_settings(environ=simulator_environ, env_file=None)
    notes = lifecycles_of(settings).notes
    notes.list(Listing(at=datetime(2026, 11, 30, tzinfo=UTC), clock_offset_s=365 * 86_400.0))
    assert any("clock is 365 days behind" in note for note in shown(cli)["notes"])


def test_a_successor_that_the_account_may_not_use_is_passed_over_and_said(
    cli: RunCli, simulator_environ: dict[str, str]
) -> None:
    settings = load_settings(environ=simulator_environ, env_file=None)
    said = "Project has no access to gpt-6.1-sol."
    lifecycles_of(settings).mark_gone("gpt-6.1-sol", reason="refused", said=said)
    found = shown(cli)
    o3 = of(found, "o3")
    assert o3["successor"] == "gpt-6.2-sol"
    assert "gpt-6.2-sol takes over" in o3["sentence"]
    assert f"gpt-6.1-sol was refused here on 2026-11-30: {said}" in found["notes"]


def test_a_broken_catalogue_is_one_line(cli: RunCli, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("models: {o3: {successor: gpt-99}}\n")
    ran = cli("models", ALLOTROPE_OPENAI__CATALOGUE=str(file))
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "its successor 'gpt-99' isn't in the catalogue" in ran.err


# -- promote ------------------------------------------------------------------------------------


def test_a_role_gets_another_model_and_has_its_own_back(cli: RunCli) -> None:
    ran = cli("models", "promote", "primary", "gpt-6.1-sol")
    assert ran.code == 0, ran.err
    assert ran.out.splitlines() == [
        "primary has the model gpt-6.1-sol now; it was o3.",
        "A nominal turn cost $0.0160 and costs $0.0180 now (+12%).",
    ]
    found = shown(cli)
    # judge follows primary
    assert of(found, "gpt-6.1-sol")["roles"] == ["primary", "judge"]
    assert of(found, "gpt-6.1-sol")["set_by"]["primary"] == "a promotion"
    assert "gpt-6.1-sol" in cli("status").out
    back = json.loads(cli("models", "promote", "primary", "--undo", "--json").out)
    assert (back["from"], back["to"]) == ("gpt-6.1-sol", "o3")
    assert of(shown(cli), "o3")["roles"] == ["primary", "judge"]
    again = cli("models", "promote", "primary", "--undo")
    assert (again.code, again.err.count("\n")) == (2, 1)


@pytest.mark.parametrize(
    ("words", "environ", "told"),
    [
        (("primary", "gpt-6.1-sool"), {}, "Did you mean 'gpt-6.1-sol'?"),
        (("primray", "gpt-6.1-sol"), {}, "Did you mean 'primary'?"),
        (("primary", "judge"), {}, "in a circle"),
        (("judge", "economical"), {}, "'economical' is a role"),
        (("primary", "o4-mini"), {}, "o4-mini ended on 2026-10-23"),
        (("economical", "gpt-6-luna"), {}, "already"),
        (("primary", "gpt-6.1-sol"), {"ALLOTROPE_OPENAI__MODEL": "o3"}, "ALLOTROPE_OPENAI__MODEL"),
        (
            ("economical", "gpt-6.1-sol"),
            {"ALLOTROPE_OPENAI__ROLES__ECONOMICAL": "gpt-6-luna"},
            "ALLOTROPE_OPENAI__ROLES__ECONOMICAL",
        ),
        (("primary",), {}, "--undo"),
        (("primary", "gpt-6.1-sol", "--undo"), {}, "--undo"),
    ],
)
def test_what_makes_no_sense_is_one_line_and_changes_nothing(
    cli: RunCli, words: tuple[str, ...], environ: dict[str, str], told: str
) -> None:
    before = shown(cli, **environ)
    ran = cli("models", "promote", *words, **environ)
    assert (ran.code, ran.err.count("\n")) == (2, 1), ran.err
    assert told in ran.err
    assert shown(cli, **environ)["models"] == before["models"]
