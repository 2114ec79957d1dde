"""The drill: its arithmetic on made-up runs, one small real run, its command, its pictures."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from allotrope.cli.app import app
from allotrope.drill.advice import advice
from allotrope.drill.outages import SCENARIOS, scenario
from allotrope.drill.picture import strip, write_html, write_png
from allotrope.drill.result import CircuitChange, Drill, DrillTurn, ProviderRequest
from allotrope.drill.run import drill
from allotrope.drill.stage import Crowd, Stage, compressed, play
from allotrope.drill.system import DrillRedis, drill_settings
from allotrope.exceptions import InputError
from allotrope.settings import Settings, load_settings
from allotrope.stores.redis.server import find_server


def turn(number: int, at: float, by: str | None, *, wait: float = 0.5, **more: object) -> DrillTurn:
    fields = {
        "thread": "user0",
        "text": f"question {number} end",
        "started_s": at,
        "ended_s": at + wait,
        "first_token_s": at + wait / 2 if by else None,
        "answered_by": by,
        "error": None if by else "AllProvidersFailedError",
    }
    return DrillTurn(**{**fields, **more})  # type: ignore[arg-type]  # a test's shorthand


def asked(
    number: int, at: float, provider: str = "openai", fault: str | None = None
) -> ProviderRequest:
    return ProviderRequest(at_s=at, provider=provider, text=f"question {number} end", fault=fault)


def made_up() -> Drill:
    """A run by hand: well, two failures, open, healed at 35 s, back at 41 s."""
    turns = (
        turn(1, 5.0, "openai"),
        turn(2, 11.0, "ollama", wait=2.0),
        turn(3, 12.0, "ollama"),
        turn(4, 20.0, "ollama"),
        turn(5, 30.0, None),
        turn(6, 41.0, "openai"),
    )
    requests = (
        asked(1, 5.0),
        asked(2, 11.0, fault="503"),
        asked(2, 11.2, fault="503"),
        asked(2, 11.5, "ollama"),
        asked(3, 12.0, fault="503"),
        asked(3, 12.3, "ollama"),
        asked(4, 20.0, "ollama"),
        asked(5, 30.0, fault="503"),
        asked(6, 41.0),
    )
    thread = [("human", t.text) for t in turns] + [
        ("ai", f"{t.answered_by} answers the question {t.text}") for t in turns if t.answered_by
    ]
    return Drill(
        scenario=scenario("burst-503"),
        system="by hand",
        turns=turns,
        requests=requests,
        threads={"user0": thread},
        changes=(
            CircuitChange(
                at_s=12.1, circuit="openai/o3", state="open", reason="ProviderUnavailableError"
            ),
            CircuitChange(at_s=40.5, circuit="openai/o3", state="half_open"),
            CircuitChange(at_s=41.0, circuit="openai/o3", state="closed"),
        ),
    )


def test_figures_of_a_run_by_hand() -> None:
    figures = made_up().figures()
    assert (figures.turns, figures.answered) == (6, 5)
    assert figures.first_fallback_s == pytest.approx(2.0)
    assert (figures.wasted_before_open, figures.wasted, figures.opened) == (3, 4, True)
    assert figures.waited_p50_s == pytest.approx(0.25)
    assert figures.waited_p99_s == pytest.approx(1.0)
    assert figures.recovered_s == pytest.approx(6.0)
    assert (figures.lost, figures.duplicated) == (0, 0)


def test_lost_and_doubled_messages_are_seen() -> None:
    run = made_up()
    thread = run.threads["user0"]
    without = [entry for entry in thread if entry != ("human", "question 5 end")]
    assert replace(run, threads={"user0": without}).figures().lost == 1
    unanswered = [
        entry for entry in thread if "ollama answers the question question 4" not in entry[1]
    ]
    assert replace(run, threads={"user0": unanswered}).figures().lost == 1
    assert replace(run, threads={"user0": [*thread, thread[-1]]}).figures().duplicated == 1
    assert replace(run, threads={"user0": [thread[0], *thread]}).figures().duplicated == 1


def test_never_opened_and_bad_requests() -> None:
    run = made_up()
    tried = tuple(asked(n, 20.0, fault="503") for n in (4,))
    figures = replace(run, requests=run.requests + tried).figures()
    assert not figures.opened
    assert figures.wasted_before_open == figures.wasted == 5
    bad = replace(run.turns[4], text="question 5 bad-request end")
    assert replace(run, turns=(*run.turns[:4], bad, run.turns[5])).figures().turns == 5


def test_what_the_fallback_answers_before_the_outage_is_told_apart() -> None:
    run = made_up()
    early = turn(7, 4.0, "ollama")
    figures = replace(
        run, turns=(early, *run.turns), requests=(asked(7, 4.1, "ollama"), *run.requests)
    ).figures()
    assert figures.too_early == 1
    assert figures.wasted_before_open == 3  # an opening before the outage is not the one meant
    assert run.figures().too_early == 0


def test_the_embedded_models_turns_count_too() -> None:
    run = made_up()
    turns = tuple(replace(t, answered_by="embedded") if t.by_fallback else t for t in run.turns)
    said = [("human", t.text) for t in turns]
    answers = [("ai", "words of its own") if t.answered_by else None for t in turns]
    thread = [x for pair in zip(said, answers, strict=True) for x in pair if x is not None]
    thread[1] = ("ai", f"openai answers the question {turns[0].text}")
    thread[-1] = ("ai", f"openai answers the question {turns[-1].text}")
    requests = tuple(r for r in run.requests if r.provider == "openai")
    own = replace(run, turns=turns, requests=requests, threads={"user0": thread})
    figures = own.figures()
    assert (figures.lost, figures.duplicated) == (0, 0)
    assert (figures.answered, figures.opened, figures.wasted_before_open) == (5, True, 3)
    without = [entry for at, entry in enumerate(thread) if at != 3]
    assert replace(own, threads={"user0": without}).figures().lost == 1
    assert strip(own, seconds=12)[11] == "e"


def test_two_processes_join() -> None:
    one = made_up()
    other = replace(
        one,
        turns=(turn(9, 1.0, "openai", thread="process1-user0"),),
        threads={"process1-user0": []},
    )
    both = one.joined(other, requests=one.requests)
    assert both.turns[0].text == "question 9 end"
    assert set(both.threads) == {"user0", "process1-user0"}


def test_strip() -> None:
    run = made_up()
    assert strip(run, seconds=45) == (".....o.....ll.......l.........x..........o...")
    both = replace(run.turns[0], answered_by="ollama", text="other")
    assert strip(replace(run, turns=(*run.turns, both)), seconds=6) == ".....b"


def test_advice_is_silent_when_all_is_well() -> None:
    settings = load_settings(environ={}, env_file=None)
    run = made_up()
    well = replace(run, turns=tuple(t for t in run.turns if t.answered_by))
    assert advice(well, settings) == []
    assert "1 of 6 turns got no answer" in advice(run, settings)[0]
    off = load_settings(environ={}, env_file=None, resilience={"breaker": False})
    assert "RESILIENCE__BREAKER=true" in advice(well, off)[0]


def test_compressed_settings_shorten_what_is_time() -> None:
    settings = load_settings(environ={}, env_file=None)
    fast = compressed(settings, 10.0)
    assert fast.resilience.breaks_s == (1.0, 3.0, 6.0)
    assert fast.openai.timeout_s == settings.openai.timeout_s / 10
    assert fast.resilience.attempts == settings.resilience.attempts
    assert fast.redis == settings.redis
    assert fast.ollama.connect_timeout_s == settings.ollama.connect_timeout_s


def test_the_users_world_stays_out(tmp_path: Path) -> None:
    settings = load_settings(
        environ={"OPENAI_API_KEY": "sk-real", "REDIS_URL": "redis://real:6379/0"},
        env_file=None,
        callbacks=["allotrope.usage.assembly:from_settings"],
        data_dir=Path("/real"),
    )
    own = drill_settings(
        settings,
        openai_url="http://127.0.0.1:1/v1",
        ollama_url="http://127.0.0.1:2",
        folder=tmp_path,
        redis_url=None,
        speed=10.0,
    )
    assert own.openai.api_key is not None
    assert own.openai.api_key.get_secret_value() == "sk-drill"
    assert (own.redis.url, own.redis.embedded, own.callbacks) == (None, False, ())
    assert own.data_dir == tmp_path


@pytest.mark.parametrize("section", ["ollama", "embedded", "redis"])
def test_who_is_switched_off_stays_off(tmp_path: Path, section: str) -> None:
    def played(**more: object) -> Settings:
        return drill_settings(
            load_settings(environ={}, env_file=None, **more),
            openai_url="http://127.0.0.1:1/v1",
            ollama_url="http://127.0.0.1:2",
            folder=tmp_path,
            redis_url="redis://127.0.0.1:3",
            speed=10.0,
        )

    usual = played()
    assert (usual.ollama.enabled, usual.embedded.enabled) == (True, True)
    assert usual.ollama.host == "http://127.0.0.1:2"
    assert usual.redis.url is not None
    if section == "redis":
        assert played(redis={"embedded": False}).redis.url is None
    else:
        off = played(**{section: {"enabled": False}})
        assert not getattr(off, section).enabled
    with pytest.raises(InputError, match="nothing to fail"):
        played(openai={"enabled": False})


def test_unknown_scenario_is_one_sentence() -> None:
    with pytest.raises(InputError, match=r"'meteor' is no scenario.*burst-503.*two-processes"):
        scenario("meteor")


def test_every_scenario_is_complete() -> None:
    assert len({found.name for found in SCENARIOS}) == len(SCENARIOS) == 13
    for found in SCENARIOS:
        assert found.faults or found.retires
        assert found.heals_s is None or found.heals_s >= found.starts_s


@pytest.mark.skipif(find_server() is None, reason="no redis-server here")
def test_the_drills_redis_dies_and_comes_back() -> None:
    import redis

    with DrillRedis() as own:
        assert own.url is not None
        client = redis.Redis.from_url(own.url, socket_timeout=1)
        assert client.ping()
        own.kill()
        with pytest.raises(redis.ConnectionError):
            client.ping()
        own.revive()
        assert client.ping()
        client.close()
    assert not own.folder.exists()


async def possible_speed(settings: Settings) -> float:
    """A speed at which this machine, as busy as it is, ends a turn within five seconds."""
    stage = Stage(speed=20.0)
    with stage.simulator:
        crowd = Crowd(users=3, think_s=1.0, duration_s=10.0)
        run = await drill(settings, replace(scenario("burst-503"), faults=()), stage, crowd=crowd)
    longest = max(turn.ended_s - turn.started_s for turn in run.turns) / stage.speed
    return min(20.0, 5.0 / longest)


async def test_a_small_real_run(tmp_path: Path) -> None:
    settings = load_settings(environ={}, env_file=None, data_dir=tmp_path)
    stage = Stage(speed=await possible_speed(settings))
    with stage.simulator:
        crowd = Crowd(users=3, think_s=5.0)
        run = await drill(settings, scenario("burst-503"), stage, crowd=crowd)
    figures = run.figures()
    assert figures.turns > 5
    assert figures.answered == figures.turns
    assert (figures.lost, figures.duplicated) == (0, 0)
    assert {t.answered_by for t in run.turns} == {"openai", "ollama"}
    assert figures.first_fallback_s is not None
    assert figures.opened
    assert figures.wasted < 12
    assert run.changes[0].state == "open"
    assert run.changes[0].circuit == "openai/o3"


@pytest.mark.parametrize(("policy", "who"), [("auto", "openai"), ("off", "ollama")])
async def test_a_retired_model_is_succeeded_at_the_same_provider(
    tmp_path: Path, policy: str, who: str
) -> None:
    settings = load_settings(
        environ={},
        env_file=None,
        data_dir=tmp_path,
        openai={"succession": policy, "today": "2026-11-30"},
    )
    stage = Stage(speed=6.0)
    with stage.simulator:
        crowd = Crowd(users=3, think_s=5.0)
        run = await drill(settings, scenario("retirement"), stage, crowd=crowd)
    figures = run.figures()
    assert figures.answered == figures.turns > 0
    assert (figures.lost, figures.duplicated) == (0, 0)
    assert {t.answered_by for t in run.turns if t.started_s > 15.0} == {who}
    assert (figures.successor or None) == ("gpt-6.1-sol" if policy == "auto" else None)
    told = " ".join(advice(run, settings))
    assert ("gpt-6.1-sol answered" in told) == (policy == "auto")
    assert ("ALLOTROPE_OPENAI__SUCCESSION" in told) == (policy == "off")


async def test_a_system_that_fails_is_seen() -> None:
    class Broken:
        name = "broken"

        async def turn(self, thread: str, text: str):  # type: ignore[no-untyped-def]  # a stub
            yield "token", "openai answers"
            if thread == "user0":
                raise RuntimeError("gone")
            yield "answer", f"openai answers the question {text}"

        async def threads(self, names: list[str]) -> dict[str, list[tuple[str, str]]]:
            return {name: [] for name in names}

    stage = Stage(speed=60.0)
    run = await play(
        scenario("burst-503"), Broken(), stage, crowd=Crowd(users=2, think_s=10.0, duration_s=20.0)
    )
    figures = run.figures()
    failed = [t for t in run.turns if t.error == "RuntimeError"]
    assert failed
    assert {t.thread for t in failed} == {"user0"}
    assert figures.answered == figures.turns - len(failed)
    assert figures.glued == figures.answered  # the stream said less than the answer
    assert figures.lost >= figures.turns


def test_pictures(tmp_path: Path) -> None:
    run = made_up()
    forever = replace(run, scenario=scenario("quota"))
    write_png([run, forever], tmp_path / "d.png")
    write_html([run, forever], tmp_path / "d.html")
    assert (tmp_path / "d.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "d.html").read_text(encoding="utf-8")
    assert "OpenAI answers 503" in page
    assert "cdn" not in page.split("Plotly.newPlot")[-1]


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOTROPE_DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    listed = CliRunner().invoke(app, ["drill", "--list"])
    assert listed.exit_code == 0
    assert "slow-death" in listed.output
    command = ["drill", "-s", "cut", "--users", "2", "--speed", "60", "--json"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert [run["scenario"] for run in result["drills"]] == ["cut"]
    assert result["drills"][0]["turns"] > 0
    wrong = CliRunner().invoke(app, ["drill", "-s", "meteor"])
    assert isinstance(wrong.exception, InputError)
