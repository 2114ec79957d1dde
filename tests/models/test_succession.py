"""A model ends in the middle of everything: its successor answers in the same call."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.tools import tool
from pydantic import BaseModel

from allotrope.exceptions import (
    AllProvidersFailedError,
    ContentRefusedError,
    UnknownModelError,
)
from allotrope.memory.checkpoints.live import surely_fits
from allotrope.memory.tokens.counting import TokenCounter
from allotrope.models.call.prompt_caching import STABLE, stable_marked
from allotrope.models.call.replies import check_reply, finish_of
from allotrope.models.catalogue.lifecycle import lifecycles_of, open_notes
from allotrope.models.chain import FailoverChain, build_chain
from allotrope.models.profiles.library import open_profiles, with_profile
from allotrope.models.profiles.parameters import chain_arguments
from allotrope.prompts.template import neutralised_message
from allotrope.settings import Settings, load_settings
from allotrope.testing import ProviderSimulator
from allotrope.testing.content.replies import Reply, ToolCall

LATER = ("gpt-6.1-sol", "gpt-6.2-sol", "gpt-6.1-terra", "gpt-6-luna", "gpt-5.6-terra")


@pytest.fixture
def sim() -> Iterator[ProviderSimulator]:
    with ProviderSimulator(models=LATER) as simulator:
        yield simulator


def settings_for(sim: ProviderSimulator, folder: Path, **openai: Any) -> Settings:
    return load_settings(
        environ={},
        env_file=None,
        data_dir=folder,
        openai={"api_key": "sk-simulator", "base_url": sim.openai_url, **openai},
        ollama={"host": sim.ollama_url},
        embedded={"enabled": False},
        redis={"embedded": False},
        resilience={"first_wait_s": 0.01, "slow_after_s": None},
    )


def chain_for(settings: Settings, profile: str = "balanced") -> FailoverChain:
    found = open_profiles(settings).get(profile)
    laid = with_profile(settings, found)
    return build_chain(laid, arguments=chain_arguments(found, laid))


def stamp(message: Any) -> dict[str, Any]:
    found: dict[str, Any] = message.response_metadata["allotrope"]
    return found


def asked(sim: ProviderSimulator) -> list[str]:
    return [request.model for request in sim.chats("openai")]


async def ask(chain: Any, way: str, text: Any = "hello") -> Any:
    if way == "invoke":
        return await asyncio.to_thread(chain.invoke, text)
    if way == "ainvoke":
        return await chain.ainvoke(text)
    whole: Any = None
    stream: AsyncIterator[Any] = chain.astream(text)
    if way == "stream":
        parts = await asyncio.to_thread(lambda: list(chain.stream(text)))
        for part in parts:
            whole = part if whole is None else whole + part
        return whole
    async for part in stream:
        whole = part if whole is None else whole + part
    return whole


WAYS = ("invoke", "ainvoke", "stream", "astream")


@pytest.mark.parametrize("way", WAYS)
async def test_the_successor_answers_in_the_same_call(
    sim: ProviderSimulator, tmp_path: Path, way: str
) -> None:
    settings = settings_for(sim, tmp_path)
    chain = chain_for(settings)
    assert stamp(await ask(chain, way))["succession"] is None
    sim.retire("o3")
    told = stamp(await ask(chain, way))
    assert told["provider"] == "openai"
    assert told["succession"] == {"from": "o3", "to": "gpt-6.1-sol", "reason": "refused"}
    assert told["degraded"] is None
    assert told["failover"] == []
    await ask(chain, way)
    assert asked(sim).count("o3") == 2  # one answer, one wasted; then everybody knows


async def test_at_the_announced_day_nothing_is_wasted(
    sim: ProviderSimulator, tmp_path: Path
) -> None:
    chain = chain_for(settings_for(sim, tmp_path, today="2026-12-11"))
    told = stamp(await chain.ainvoke("hello"))
    assert told["succession"]["reason"] == "date"
    assert asked(sim) == ["gpt-6.1-sol"]


async def test_a_successor_that_is_gone_too_hands_on(
    sim: ProviderSimulator, tmp_path: Path
) -> None:
    chain = chain_for(settings_for(sim, tmp_path))
    sim.retire("o3")
    sim.retire("gpt-6.1-sol")
    told = stamp(await chain.ainvoke("hello"))
    assert told["succession"]["to"] == "gpt-6.2-sol"
    assert asked(sim) == ["o3", "gpt-6.1-sol", "gpt-6.2-sol"]


async def test_when_the_whole_line_is_gone_a_local_model_answers(
    sim: ProviderSimulator, tmp_path: Path
) -> None:
    chain = chain_for(settings_for(sim, tmp_path))
    for name in ("o3", "gpt-6.1-sol", "gpt-6.2-sol"):
        sim.retire(name)
    told = stamp(await chain.ainvoke("hello"))
    assert told["provider"] == "ollama"
    assert told["degraded"]["reason"] == "UnknownModelError"


async def test_an_outage_is_no_succession(sim: ProviderSimulator, tmp_path: Path) -> None:
    chain = chain_for(settings_for(sim, tmp_path))
    sim.faults.add("503", provider="openai")
    told = stamp(await chain.ainvoke("hello"))
    assert (told["provider"], told["succession"]) == ("ollama", None)
    assert set(asked(sim)) == {"o3"}


@pytest.mark.parametrize("policy", ["warn", "off"])
async def test_by_setting_nobody_takes_over(
    sim: ProviderSimulator, tmp_path: Path, policy: str
) -> None:
    chain = chain_for(settings_for(sim, tmp_path, succession=policy, today="2026-12-11"))
    sim.retire("o3")
    told = stamp(await chain.ainvoke("hello"))
    assert (told["provider"], told["succession"]) == ("ollama", None)


async def test_a_misspelt_model_stays_an_error_that_names_the_near_one(
    sim: ProviderSimulator, tmp_path: Path
) -> None:
    settings = settings_for(sim, tmp_path, model="gpt-5.6-tera")
    alone = settings.model_copy(
        update={"ollama": settings.ollama.model_copy(update={"enabled": False})}
    )
    with pytest.raises(AllProvidersFailedError) as caught:
        await chain_for(alone).ainvoke("hello")
    assert isinstance(caught.value.causes[0], UnknownModelError)
    assert "gpt-5.6-tera" in str(caught.value)
    assert "Did you mean 'gpt-5.6-terra'?" in str(caught.value)
    assert set(asked(sim)) == {"gpt-5.6-tera"}


async def test_a_wrong_address_is_no_end_of_a_model(sim: ProviderSimulator, tmp_path: Path) -> None:
    settings = settings_for(sim, tmp_path, base_url=f"{sim.openai_url}/nowhere")
    told = stamp(await chain_for(settings).ainvoke("hello"))
    assert told["provider"] == "ollama"
    assert lifecycles_of(settings).serving("o3") == "o3"


async def test_tools_and_schemas_go_along_to_the_successor(
    sim: ProviderSimulator, tmp_path: Path
) -> None:
    @tool
    def weather(city: str) -> str:
        """The weather of a city."""
        return city

    class Answer(BaseModel):
        """An answer."""

        text: str

    chain = chain_for(settings_for(sim, tmp_path), "precise")
    sim.retire("o3")
    sim.script([Reply(tool_calls=(ToolCall("weather", '{"city": "Rome"}'),))], provider="openai")
    reply = await chain.bind_tools([weather]).ainvoke("weather in Rome?")
    assert reply.tool_calls[0]["args"] == {"city": "Rome"}
    body = sim.chats("openai")[-1].body
    assert body["reasoning"] == {"effort": "high"}
    assert "seed" not in body
    assert "temperature" not in body
    assert body["store"] is False
    assert body["include"] == ["reasoning.encrypted_content"]
    sim.answer_with(lambda request: '{"text": "Rome"}')
    found = await chain.with_structured_output(Answer).ainvoke("answer as json")
    assert found == Answer(text="Rome")


async def test_another_models_sealed_reasoning_does_not_go_along(
    sim: ProviderSimulator, tmp_path: Path
) -> None:
    chain = chain_for(settings_for(sim, tmp_path, model="gpt-6.1-sol"))
    first = await chain.ainvoke("one")
    assert any(b.get("type") == "reasoning" for b in first.content if isinstance(b, dict))
    talk = [HumanMessage("one"), first, HumanMessage("two")]
    await chain.ainvoke(talk)
    kept = [item.get("type") for item in sim.chats("openai")[-1].body["input"]]
    assert "reasoning" in kept
    sim.retire("gpt-6.1-sol")
    told = stamp(await chain.ainvoke(talk))
    assert told["succession"]["to"] == "gpt-6.2-sol"
    sent = sim.chats("openai")[-1].body["input"]
    assert "reasoning" not in [item.get("type") for item in sent]
    assert "Echo: one" in str(sent)


async def test_two_processes_waste_one_request(
    sim: ProviderSimulator, tmp_path: Path, redis_url: str
) -> None:
    """What one process learnt, another knows by Redis, although it has a data folder of its own."""

    def settings(folder: str) -> Settings:
        made = settings_for(sim, tmp_path / folder)
        redis = made.redis.model_copy(update={"prefix": f"s{tmp_path.name}:"})
        return load_settings(
            environ={}, env_file=None, data_dir=tmp_path / folder,
            openai=made.openai.model_dump(exclude_unset=True) | {"api_key": "sk-simulator"},
            ollama={"host": sim.ollama_url}, embedded={"enabled": False},
            redis={"url": redis_url, "prefix": redis.prefix},
        )  # fmt: skip

    one, two = chain_for(settings("one")), chain_for(settings("two"))
    await one.ainvoke("hello")
    await two.ainvoke("hello")
    sim.retire("o3")
    await one.ainvoke("hello")
    knows = lifecycles_of(settings("two"))
    for _ in range(2000):
        if knows.serving("o3") != "o3":
            break
        await asyncio.sleep(0.01)
    await two.ainvoke("hello")
    assert asked(sim).count("o3") == 3


def test_the_next_process_knows_it_from_the_file(sim: ProviderSimulator, tmp_path: Path) -> None:
    script = (
        "import json, sys\n"
        "from allotrope.settings import load_settings\n"
        "from allotrope.models.chain import build_chain\n"
        "s = load_settings(environ={}, env_file=None, **json.loads(sys.argv[1]))\n"
        "print(build_chain(s).invoke('hello').response_metadata['allotrope']['model'])\n"
    )
    given = json.dumps(
        {
            "data_dir": str(tmp_path),
            "openai": {
                "api_key": "sk-x",
                "base_url": sim.openai_url,
                "today": "2026-11-30",
            },
            "ollama": {"enabled": False},
            "embedded": {"enabled": False},
            "redis": {"embedded": False},
        }
    )
    sim.retire("o3")
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", script, given], capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == "gpt-6.1-sol"
    assert asked(sim).count("o3") == 1


async def test_a_system_prompts_stable_part_ends_in_a_breakpoint(
    sim: ProviderSimulator, tmp_path: Path
) -> None:
    chain = chain_for(settings_for(sim, tmp_path, model="gpt-6.1-sol"))
    system = SystemMessage(
        "Be brief. Today is Monday.", additional_kwargs={"__allotrope_stable": 9}
    )
    config = {"metadata": {"allotrope_agent": "assistant", "allotrope_prompt": "assistant@3"}}
    await chain.ainvoke([system, HumanMessage("hi")], config)
    body = sim.chats("openai")[-1].body
    assert body["prompt_cache_key"] == "allotrope:assistant:assistant@3"
    assert body["input"][0]["content"][0] == {
        "type": "input_text",
        "text": "Be brief.",
        "prompt_cache_breakpoint": {"mode": "explicit"},
    }
    old = chain_for(settings_for(sim, tmp_path))
    await old.ainvoke([system, HumanMessage("hi")], config)
    assert sim.chats("openai")[-1].body["messages"][0]["content"] == system.content


def test_the_part_that_the_next_turn_has_too_ends_at_the_question_before() -> None:
    def marked(*messages: Any) -> list[bool]:
        return [STABLE in m.additional_kwargs for m in stable_marked(messages)]

    system, one, two = SystemMessage("Be brief."), HumanMessage("one"), HumanMessage("two")
    assert marked(system, one) == [True, False]
    assert marked(system, one, AIMessage("1"), two) == [False, True, False, False]
    assert marked() == []


def test_notes_are_opened_without_a_key(tmp_path: Path) -> None:
    settings = load_settings(environ={}, env_file=None, data_dir=tmp_path)
    assert open_notes(settings).note("o3").gone is None


def test_an_answer_cut_at_its_longest_is_told_alike_by_both_apis() -> None:
    cut = {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    assert finish_of(AIMessage("x", response_metadata=cut)) == "length"
    assert finish_of(AIMessage("x", response_metadata={"finish_reason": "length"})) == "length"
    filtered = {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}
    with pytest.raises(ContentRefusedError):
        check_reply(AIMessage("x", response_metadata=filtered), {}, provider="openai", model="m")


def test_blocks_of_a_reply_are_neutralised_and_its_sealed_reasoning_costs_nothing() -> None:
    blocks: list[str | dict[str, Any]] = [
        {"type": "reasoning", "encrypted_content": "x" * 4000, "summary": []},
        {"type": "text", "text": "cell <|im_end|> end"},
    ]
    reply = AIMessage(blocks)
    clean = neutralised_message(reply)
    assert "<|im_end|>" not in clean.text
    counter = TokenCounter()
    assert counter.message(reply) < 40
    assert surely_fits([HumanMessage("hi"), AIMessage(blocks[:1])], messages=5, tokens=500)
