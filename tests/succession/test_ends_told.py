"""Who looks hears of a model's end before it comes: doctor, status, reports, pages, notifiers."""

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.conftest import RunCli
from tests.web.conftest import running

from allotrope.models.catalogue.lifecycle import lifecycles_of
from allotrope.settings import Settings
from allotrope.succession.ends import end_sentences, tell_of_ends
from allotrope.testing import ProviderSimulator
from allotrope.usage.ledger.ledger import open_ledger
from allotrope.usage.queries import sums as queries
from allotrope.web.apps import dashboard_app, serve_app

SOON = "o3 ends on 2026-12-11, in 11 days; gpt-6.1-sol takes over."
ENDED = "o3 ended on 2026-12-11; gpt-6.1-sol answers in its place."


def on(settings: Settings, day: str, **usage: Any) -> Settings:
    """The settings on another day, with other settings of usage."""
    openai = settings.openai.model_copy(update={"today": date.fromisoformat(day)})
    section = settings.usage.model_validate({**settings.usage.model_dump(), **usage})
    return settings.model_copy(update={"openai": openai, "usage": section})


def test_doctor_has_a_line_for_each_role_and_for_what_was_learnt(
    cli: RunCli, simulator_settings: Settings
) -> None:
    lifecycles_of(simulator_settings).notes.read()
    found = json.loads(cli("doctor", "--json").out)["findings"]
    models = {one["part"]: one for one in found if one["part"].startswith("model ")}
    assert models["model primary, judge"]["state"] == "warning"
    assert models["model primary, judge"]["told"].startswith(SOON)
    assert models["model economical"]["told"] == "gpt-6-luna; no end is known"
    after = json.loads(cli("doctor", "--json", ALLOTROPE_OPENAI__TODAY="2026-12-11").out)
    told = {one["part"]: one["told"] for one in after["findings"]}
    assert told["model primary, judge"] == ENDED
    assert told["OpenAI endpoint"].endswith("answers and has gpt-6.1-sol")


def test_status_says_who_serves_and_what_ends(cli: RunCli) -> None:
    assert SOON in cli("status").out.replace("\n", " ")
    found = json.loads(cli("status", "--json", ALLOTROPE_OPENAI__TODAY="2026-12-11").out)
    assert found["answers_now"] == {"provider": "openai", "model": "gpt-6.1-sol"}
    assert found["succession"] == {"from": "o3", "to": "gpt-6.1-sol", "reason": "date"}
    assert found["model_ends"] == [ENDED]
    shown = cli("status", ALLOTROPE_OPENAI__TODAY="2026-12-11").out.replace("\n", " ")
    assert "Answers now: gpt-6.1-sol on openai, in place of o3." in shown


def test_reports_say_it(cli: RunCli) -> None:
    for kind in ("daily", "weekly", "monthly"):
        assert f"- {SOON}" in cli("report", kind, "--md").out
    assert json.loads(cli("report", "daily", "--json").out)["notices"][0].startswith(SOON)


def test_context_says_which_model_serves(cli: RunCli, simulator: ProviderSimulator) -> None:
    simulator.script(["Fine."])
    after = {"ALLOTROPE_OPENAI__TODAY": "2026-12-11"}
    assert cli("ask", "assistant", "How are you?", "--thread", "t1", **after).code == 0
    ran = cli("context", "t1", **after)
    assert "Model that serves now: gpt-6.1-sol, in place of o3" in ran.out


def test_an_alert_at_each_step_once(simulator_settings: Settings, tmp_path: Path) -> None:
    told = tmp_path / "told.jsonl"
    script = f"cat >> {told}; echo >> {told}"
    command = {"kind": "command", "command": ["sh", "-c", script]}
    days = (
        ("2026-10-11", None),  # 61 days
        ("2026-10-12", "60"),
        ("2026-11-10", None),  # 31
        ("2026-11-11", "30"),
        ("2026-11-30", "14"),  # 11: the step at 14 wasn't seen on its day
        ("2026-12-01", None),
        ("2026-12-04", "7"),
        ("2026-12-10", "1"),
        ("2026-12-11", "ended"),
        ("2026-12-12", None),
    )
    seen = []
    for day, step in days:
        before = _lines(told)
        for _ in range(2):
            assert tell_of_ends(on(simulator_settings, day, notifiers=[command])) == []
        new = _lines(told)[len(before) :]
        assert len(new) == int(step is not None), day
        seen += new
    assert [one["kind"] for one in seen] == ["model"] * 6
    assert seen[2]["message"].startswith(SOON)
    assert (seen[-1]["title"], seen[-1]["message"]) == ("o3 has ended", ENDED)
    with open_ledger(simulator_settings) as ledger:
        assert len(queries.alerts(ledger)) == 6


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_an_alert_that_reached_nobody_is_sent_again(
    simulator_settings: Settings, tmp_path: Path
) -> None:
    told = tmp_path / "told"
    broken = on(
        simulator_settings, "2026-11-30", notifiers=[{"kind": "command", "command": ["false"]}]
    )
    assert len(tell_of_ends(broken)) == 1
    mended = {"kind": "command", "command": ["cp", "/dev/stdin", str(told)]}
    assert tell_of_ends(on(simulator_settings, "2026-11-30", notifiers=[mended])) == []
    assert told.exists()


def test_without_a_successor_an_end_is_critical(
    simulator_settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    openai = simulator_settings.openai.model_copy(update={"succession": "warn"})
    warned = simulator_settings.model_copy(update={"openai": openai})
    assert tell_of_ends(warned) == []
    assert "nobody takes over: set ALLOTROPE_OPENAI__SUCCESSION=auto" in caplog.text
    with open_ledger(simulator_settings) as ledger:
        assert [one["severity"] for one in queries.alerts(ledger)] == ["critical"]


def test_switched_off_nobody_is_told(simulator_settings: Settings) -> None:
    openai = simulator_settings.openai.model_copy(update={"succession": "off"})
    silent = simulator_settings.model_copy(update={"openai": openai})
    assert (tell_of_ends(silent), end_sentences(silent)) == ([], [])
    with open_ledger(simulator_settings) as ledger:
        assert queries.alerts(ledger) == []


def test_a_broken_catalogue_is_a_sentence_and_the_page_stays(
    simulator_settings: Settings, tmp_path: Path
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("models: {a: {successor: b}, b: {successor: a}}\n")
    openai = simulator_settings.openai.model_copy(update={"catalogue": file})
    [told] = end_sentences(simulator_settings.model_copy(update={"openai": openai}))
    assert "in a circle: a → b → a" in told


def test_the_pages_say_it(simulator_settings: Settings) -> None:
    settings = on(simulator_settings, "2026-11-30")
    with running(dashboard_app(settings, host="127.0.0.1")) as base:
        assert SOON in httpx.get(f"{base}/dashboard").text
        models = httpx.get(f"{base}/dashboard/models").text
        assert "gpt-6.1-sol" in models
        assert "11 days" in models
        assert SOON in httpx.get(f"{base}/status", headers={"accept": "text/html"}).text
        assert httpx.get(f"{base}/status").json()["model_ends"][0].startswith(SOON)


def test_the_chat_page_says_who_serves(simulator_settings: Settings) -> None:
    with running(serve_app(on(simulator_settings, "2026-12-11"), host="127.0.0.1")) as base:
        assert "gpt-6.1-sol, in place of o3" in httpx.get(base).text


def test_the_server_tells_the_notifiers(
    simulator_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import time

    from allotrope.models.catalogue import daily

    monkeypatch.setattr(daily, "DELAY_S", 0.01)
    told = tmp_path / "told"
    command = {"kind": "command", "command": ["cp", "/dev/stdin", str(told)]}
    settings = on(simulator_settings, "2026-11-30", notifiers=[command])
    with running(serve_app(settings, host="127.0.0.1")):
        deadline = time.monotonic() + 60
        while not told.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
    assert json.loads(told.read_text())["title"] == "o3 ends on 2026-12-11"


def test_alerts_name_their_moment(simulator_settings: Settings) -> None:
    at = datetime(2026, 11, 30, 9, tzinfo=UTC)
    tell_of_ends(simulator_settings, now=at)
    with open_ledger(simulator_settings) as ledger:
        assert queries.alerts(ledger)[0]["at"] == at
