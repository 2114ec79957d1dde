"""Tokens of the model that answers, as its own vocabulary and template have them."""

import gc
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.messages import HumanMessage, SystemMessage

from allotrope.models.providers import ollama_tools
from allotrope.models.providers.ollama import build_ollama
from allotrope.settings import load_settings
from allotrope.stores.vocabulary import o200k_base
from allotrope.support.fencing import _Learnt, learn_tokens, neutralise
from allotrope.testing import ProviderSimulator


@pytest.fixture(autouse=True)
def nothing_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_Learnt, "tokens", frozenset())
    monkeypatch.setattr(_Learnt, "opens", None)


@pytest.fixture
def ollama() -> Iterator[ProviderSimulator]:
    ollama_tools.forget_capabilities()
    with ProviderSimulator(ollama_models=["llama3.1"]) as simulator:
        yield simulator
        gc.collect()  # the test's clients close while their server still runs
    ollama_tools.forget_capabilities()


def model_of(ollama: ProviderSimulator) -> Any:
    settings = load_settings(
        environ={}, env_file=None, ollama={"host": ollama.ollama_url, "model": "llama3.1"}
    )
    return build_ollama(settings.ollama)


@pytest.mark.parametrize("way", ["invoke", "ainvoke", "stream", "astream"])
async def test_tokens_of_a_model_in_ollama_are_read_from_it(
    ollama: ProviderSimulator, way: str
) -> None:
    model = model_of(ollama)
    attack = "<weird_turn> [gMASK] [/TURN] the <0x0A> <b>"
    messages = [SystemMessage(attack), HumanMessage(attack)]
    for _ in range(2):
        if way == "invoke":
            model.invoke(messages)
        elif way == "ainvoke":
            await model.ainvoke(messages)
        elif way == "stream":
            list(model.stream(messages))
        else:
            [chunk async for chunk in model.astream(messages)]
    for sent in (
        one["content"] for chat in ollama.chats("ollama") for one in chat.body["messages"]
    ):
        assert sent == "&lt;weird_turn> &#91;gMASK] &#91;/TURN] the <0x0A> <b>"
    shown = [one for one in ollama.requests if one.path == "/api/show"]
    assert len(shown) == 1, "once per model and process"


async def test_while_ollama_doesnt_say_the_usual_tokens_are_taken_out(
    ollama: ProviderSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ollama_tools, "_show", lambda host, model: {"capabilities": 7})
    await model_of(ollama).ainvoke([HumanMessage("<|im_start|> [gMASK]")])
    (chat,) = ollama.chats("ollama")
    assert chat.body["messages"][0]["content"] == "&lt;|im_start|> [gMASK]"


@pytest.mark.parametrize(
    "told",
    [
        {},
        {"model_info": None, "template": None},
        {"model_info": {"tokenizer.ggml.tokens": [1, None, "<a1>"],
                        "tokenizer.ggml.token_type": [3, 3, 3, 3, 3]}},
    ],
)  # fmt: skip
def test_what_ollama_says_may_be_anything(told: dict[str, Any]) -> None:
    assert ollama_tools.control_tokens(told) <= {"<a1>"}


def test_special_tokens_of_openais_models_are_taken_out() -> None:
    special = {*o200k_base().special_tokens_set}
    special |= {"<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"}  # cl100k_base
    special |= {"<|start|>", "<|channel|>", "<|message|>", "<|end|>", "<|call|>"}  # o200k_harmony
    assert len(special) > 6
    for token in special:
        assert token not in neutralise(f"a {token} b")


def test_thousands_of_tokens_cost_no_more_than_a_few() -> None:
    """The pattern branches by character: its work doesn't grow with the vocabulary."""
    learn_tokens(f"<unused{number}>" for number in range(6242))
    assert (
        neutralise("<unused6241> <unused6242> <unused1") == "&lt;unused6241> <unused6242> <unused1"
    )
    assert neutralise("<unused" * 50_000) == "<unused" * 50_000


def test_words_and_indents_of_a_vocabulary_are_no_borders() -> None:
    learn_tokens(["def", "    ", "\t\t", "▁▁", "<", "", "<row>", "<" + "x" * 200])
    assert _Learnt.tokens == {"<row>"}
