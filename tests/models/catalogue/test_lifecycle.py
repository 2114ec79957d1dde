"""Who serves: announced ends, refusals, the provider's list, and whose word counts."""

import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from allotrope.models.catalogue.daily import end_in_words, ending_soon
from allotrope.models.catalogue.entries import packaged_catalogue
from allotrope.models.catalogue.facts import Listing, Repair
from allotrope.models.catalogue.lifecycle import Lifecycles
from allotrope.models.catalogue.notes import ModelNotes

NOON = datetime(2026, 11, 30, 12, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def lifecycles(clock: Clock, path: Path | None = None, **more: Any) -> Lifecycles:
    return Lifecycles(packaged_catalogue(), ModelNotes(path), clock=clock, **more)


def test_the_successor_serves_from_the_announced_day_on(clock: Clock) -> None:
    found = lifecycles(clock)
    assert (found.serving("o3"), found.days_left("o3")) == ("o3", 11)
    clock.now = datetime(2026, 12, 10, 23, 59, tzinfo=UTC)
    assert found.serving("o3") == "o3"
    clock.now = datetime(2026, 12, 11, tzinfo=UTC)
    assert found.serving("o3") == "gpt-6.1-sol"
    assert found.succession("o3", "gpt-6.1-sol") == {
        "from": "o3",
        "to": "gpt-6.1-sol",
        "reason": "date",
    }
    assert found.succession("gpt-6.1-sol", "gpt-6.1-sol") is None


def test_a_refused_model_hands_on_and_so_does_its_successor(clock: Clock) -> None:
    found = lifecycles(clock)
    found.mark_gone("o3", reason="refused")
    assert found.serving("o3") == "gpt-6.1-sol"
    found.mark_gone("gpt-6.1-sol", reason="retired")
    assert found.serving("o3") == "gpt-6.2-sol"
    assert found.succession("o3", "gpt-6.2-sol")["reason"] == "refused"  # type: ignore[index]


def test_a_refusal_before_the_end_is_tried_again_and_a_retirement_is_not(clock: Clock) -> None:
    found = lifecycles(clock)
    found.mark_gone("o3", reason="refused")
    found.mark_gone("gpt-4o", reason="retired")
    clock.now += timedelta(hours=2)
    assert found.serving("o3") == "o3"
    assert found.serving("gpt-4o") == "gpt-6-luna"


def test_when_all_of_a_line_are_refused_it_is_not_their_end(clock: Clock) -> None:
    found = lifecycles(clock)
    for name in ("o3", "gpt-6.1-sol"):
        found.mark_gone(name, reason="refused")
    found.nobody_left("o3")
    assert found.serving("o3") == "o3"


@pytest.mark.parametrize("policy", ["off", "warn"])
def test_only_auto_switches(clock: Clock, policy: Any) -> None:
    found = lifecycles(clock, policy=policy)
    clock.now = datetime(2027, 1, 1, tzinfo=UTC)
    assert found.serving("o3") == "o3"
    assert found.line("o3") == ("o3",)
    assert found.ended("o3") == "date"


def test_the_providers_list_wins_over_the_catalogue_while_it_is_fresh(clock: Clock) -> None:
    found = lifecycles(clock)
    found.notes.list(Listing(at=NOON, models={"o3": "2026-11-29", "gpt-4o": None, "gpt-4.1": ""}))
    assert found.serving("o3") == "gpt-6.1-sol"
    assert found.end("o3") is not None
    assert found.end("o3").source == "provider"  # type: ignore[union-attr]
    assert found.end("gpt-4o") is None
    assert found.end("gpt-4.1").day == date(2027, 1, 14)  # type: ignore[union-attr]
    clock.now += timedelta(days=4)
    assert found.end("gpt-4o") is not None


def test_a_persons_own_row_wins_over_the_provider(clock: Clock) -> None:
    found = lifecycles(clock, own=frozenset({"o3"}))
    found.notes.list(Listing(at=NOON, models={"o3": "2026-11-29"}))
    assert found.end("o3").source == "settings"  # type: ignore[union-attr]
    assert found.serving("o3") == "o3"


def test_a_clock_that_is_a_year_off_switches_nothing(clock: Clock) -> None:
    found = lifecycles(clock)
    clock.now = NOON + timedelta(days=365)
    assert found.serving("o3") == "gpt-6.1-sol"
    found.notes.list(Listing(at=clock.now, models={"o3": ""}, clock_offset_s=-365 * 86_400.0))
    assert found.today() == NOON.date()
    assert found.serving("o3") == "o3"


def test_snapshots_and_prefixes_share_the_line(clock: Clock) -> None:
    found = lifecycles(clock)
    assert found.line("o3-2025-04-16")[:2] == ("o3-2025-04-16", "gpt-6.1-sol")
    assert found.line("openai/o3")[:2] == ("openai/o3", "openai/gpt-6.1-sol")
    assert found.line("my-own-model") == ("my-own-model",)
    assert found.known("o3")
    assert not found.known("o33")


def test_of_azures_deployments_nothing_is_known(clock: Clock) -> None:
    found = lifecycles(clock, azure=True)
    clock.now = datetime(2027, 1, 1, tzinfo=UTC)
    assert found.line("o3") == ("o3",)
    assert found.end("o3") is None


def test_the_end_in_words(clock: Clock) -> None:
    found = lifecycles(clock)
    assert end_in_words(found, "o3") == (
        "o3 ends on 2026-12-11, in 11 days; gpt-6.1-sol takes over. "
        "Try it first: `allotrope models trial`."
    )
    assert ending_soon(found, ["o3", "gpt-6-luna", "gpt-5.1", "o3"]) == [end_in_words(found, "o3")]
    clock.now = datetime(2026, 12, 12, tzinfo=UTC)
    assert end_in_words(found, "o3") == "o3 ended on 2026-12-11; gpt-6.1-sol answers in its place."


def test_what_was_learnt_is_kept_and_can_be_forgotten(clock: Clock, tmp_path: Path) -> None:
    path = tmp_path / "models" / "x.json"
    found = lifecycles(clock, path)
    found.learn("gpt-7", Repair(parameter="verbosity", at=NOON))
    found.learn("gpt-7", Repair(parameter="verbosity", at=NOON, said="again"))
    assert [repair.said for repair in found.repairs("gpt-7")] == ["again"]
    again = ModelNotes(path)
    waits_for(lambda: "again" in [repair.said for repair in _read(again)])
    assert found.notes.forget("gpt-7")
    assert not found.notes.forget("gpt-7")
    assert ModelNotes(path).read().models == {}


def _read(notes: ModelNotes) -> tuple[Repair, ...]:
    notes.read()
    return notes.note("gpt-7").repairs


def waits_for(happened: Callable[[], Any]) -> None:
    """What is written in the background is there after a moment."""
    for _ in range(2_000):
        if happened():
            return
        time.sleep(0.005)
    raise AssertionError("it never happened")


def test_an_answer_is_noted_once_and_doesnt_hide_a_later_refusal(clock: Clock) -> None:
    found = lifecycles(clock)
    found.answered("o3")
    assert found.notes.note("o3").tried == NOON
    clock.now = NOON + timedelta(seconds=5)
    found.mark_gone("o3", reason="refused")
    clock.now = NOON + timedelta(seconds=9)
    found.answered("o3", took_s=8)  # a long answer that was under way when the model ended
    assert found.gone("o3") == "refused"
    found.answered("o3", took_s=2)  # it was asked after that, and answers again
    assert found.gone("o3") is None
    assert found.notes.note("o3").tried == NOON


def test_what_cant_be_kept_isnt_noted_at_every_answer(clock: Clock) -> None:
    """A store that forgets, such as a Redis that takes no writes, costs a write a day, no more."""
    found = lifecycles(clock)
    made: list[str] = []
    found.notes.change = lambda model, change: made.append(model)  # type: ignore[assignment, return-value, method-assign]
    for _ in range(3):
        found.answered("o3")
    assert made == ["o3"]
    clock.now = NOON + timedelta(days=1)
    found.answered("o3")
    assert made == ["o3", "o3"]
