"""What a profile says of cache and budget holds in a turn."""

import gc
import warnings
from pathlib import Path
from typing import Any

import pytest

from allotrope import build_agent
from allotrope.exceptions import BudgetExceededError
from allotrope.settings import Settings
from allotrope.testing import ProviderSimulator, ToolCall
from allotrope.testing import Reply as Scripted


def with_profile(settings: Settings, folder: Path, text: str) -> Settings:
    folder.mkdir(exist_ok=True)
    (folder / "own.yaml").write_text(f"name: own\ndescription: Ours.\n{text}\n")
    section = settings.profiles.model_copy(update={"folder": folder, "default": "own"})
    return settings.model_copy(update={"profiles": section})


def asked_twice(settings: Settings, context: dict[str, Any] | None = None) -> str | None:
    with build_agent(settings=settings) as agent:
        given = {"profile": "own", **(context or {})}
        agent.ask("How tall is the tower of Pisa?", context=given)
        return agent.ask("How tall is the tower of Pisa?", context=given).cached


@pytest.mark.parametrize(
    ("policy", "context", "cached"),
    [
        ("", {}, "exact"),
        ("cache: {exact: false}", {}, None),
        ("cache: {exact: false}", {"cache": "use"}, "exact"),
        ("cache: {exact: true}", {"cache": "no-cache"}, None),
    ],
)
def test_the_profile_decides_on_the_cache_unless_the_run_does(
    simulator_settings: Settings,
    simulator: ProviderSimulator,
    tmp_path: Path,
    policy: str,
    context: dict[str, Any],
    cached: str | None,
) -> None:
    simulator.script(["56 metres."] * 2)
    settings = with_profile(simulator_settings, tmp_path / "profiles", policy)
    assert asked_twice(settings, context) == cached


def test_a_run_ends_at_its_profile_s_cost(
    simulator_settings: Settings, simulator: ProviderSimulator, tmp_path: Path
) -> None:
    simulator.script([Scripted(tool_calls=[ToolCall("calculate", {"expression": "1+1"})]), "Two."])
    settings = with_profile(
        simulator_settings, tmp_path / "profiles", "budget: {max_cost_usd: 0.000001}"
    )
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        with build_agent(settings=settings) as agent:
            with pytest.raises(BudgetExceededError, match=r"the profile 'own' allows 0\.000001"):
                agent.ask("1 + 1?", thread_id="t", context={"profile": "own"})
            assert agent.history("t")[0].text == "1 + 1?"
        gc.collect()
    # LangChain leaves a handler's coroutine behind where an inline handler before it raises
    assert not [str(one.message) for one in said if "never awaited" in str(one.message)]
    assert len(simulator.chats()) == 1
