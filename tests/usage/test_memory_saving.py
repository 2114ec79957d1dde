"""What memory saves against sending everything, from a real conversation to the report."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from allotrope import build_agent
from allotrope.settings import Settings
from allotrope.testing import ProviderSimulator, Reply
from allotrope.usage.assembly import from_settings
from allotrope.usage.ledger.ledger import open_ledger
from allotrope.usage.queries import sums as queries
from allotrope.usage.reports import render, reports

TURNS = 8
SMALL = {"context_tokens": 700, "live_tokens": 500, "recall_tokens": 150, "summary": "extract"}
O3_INPUT = Decimal(2) / 1_000_000


def talk(settings: Settings, thread: str) -> list[dict[str, Any]]:
    with build_agent("assistant", settings=settings) as agent:
        for turn in range(TURNS):
            text = f"Note {turn}: " + f"crate {turn} has {turn} lamps. " * 9
            # the simulator's usage counts no tools, which would calibrate the counts away
            agent.ask(text, thread_id=thread, context={"tools_allowed": []})
    (recorder,) = from_settings(settings)
    recorder.flush()  # type: ignore[attr-defined]  # it is the recorder
    with open_ledger(settings) as ledger:
        return queries.rows(ledger, queries.last_days(2), {"thread": thread})[::-1]


def test_a_long_conversation_saves_what_it_did_not_send(
    simulator: ProviderSimulator, simulator_settings: Settings
) -> None:
    simulator.answer_with(lambda _: Reply("It is noted. " * 20))
    uncached = simulator_settings.cache.model_copy(update={"enabled": False})
    large = simulator_settings.model_copy(update={"cache": uncached})
    memory = simulator_settings.memory.model_copy(update=SMALL)
    small = large.model_copy(update={"memory": memory})
    whole, fitted = talk(large, "whole"), talk(small, "fitted")

    assert whole[-1]["context_full_tokens"] == whole[-1]["context_tokens"]
    assert sum(row["context_saving"] for row in whole) == 0
    # What memory says the whole history would be is what it was where all of it was sent.
    for one, other in zip(fitted, whole, strict=True):
        assert one["context_full_tokens"] == pytest.approx(other["context_tokens"], rel=0.1)
    saved = sum(row["context_full_tokens"] - row["context_tokens"] for row in fitted)
    assert saved > 500
    sent = sum(row["input_tokens"] for row in fitted)
    assert saved == pytest.approx(sum(row["input_tokens"] for row in whole) - sent, rel=0.5)
    with open_ledger(small) as ledger:
        report = reports.build(ledger, "weekly", now=datetime.now(UTC))
    assert report.now.context_saving == saved * O3_INPUT
    assert f"| Memory, against sending everything | {reports.money(saved * O3_INPUT)} |" in (
        render.markdown(report)
    )
