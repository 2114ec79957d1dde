"""A provider is one new file and one line in `support.providers`: the toy here is both."""

import asyncio
import pathlib
import sys
from decimal import Decimal

import pytest

from allotrope import build_agent, load_settings
from allotrope.models.breaker.opening import circuits_in_settings
from allotrope.models.chain import build_models
from allotrope.models.profiles.parameters import plan_for
from allotrope.models.profiles.profile import Profile
from allotrope.settings import Settings
from allotrope.support.providers import PROVIDERS, ProviderLine
from allotrope.testing import ProviderSimulator
from allotrope.usage.prices.prices import PriceBook
from allotrope.usage.recorder.tokens import Tokens

FILE = """
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult

from allotrope.models.cache.model import CachingChatModel
from allotrope.models.call.guarded import GuardedChatModel
from allotrope.models.profiles.parameters import plan_for
from allotrope.models.providers.provider import Provider


class Toy(BaseChatModel):
    model: str = "toy-1"
    temperature: float | None = None

    @property
    def _llm_type(self):
        return "toy"

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        return self._heard(messages)

    async def _agenerate(self, messages, stop=None, run_manager=None, **kwargs):
        return self._heard(messages)

    def _heard(self, messages):
        message = AIMessage(f"The toy heard: {messages[-1].text}")
        return ChatResult(generations=[ChatGeneration(message=message)])

    def bind_tools(self, tools, **kwargs):
        return self


class ToyChat(CachingChatModel, GuardedChatModel, Toy):
    provider: str = "toy"


def own(settings):
    return settings.providers.get("toy", {})


TOY = Provider(
    is_used=lambda settings: bool(own(settings)),
    build=lambda settings, more: [ToyChat(model=own(settings)["model"], **more.get("toy", {}))],
    models=lambda settings: [own(settings)["model"]] if own(settings) else [],
    serving=lambda settings: own(settings)["model"],
    plans=lambda profile, settings: {"toy": plan_for(profile, "toy-1", "toy")},
    names={"temperature": "temperature"},
    accepts=frozenset({"temperature"}),
    limits=lambda settings: {"total_s": 20.0},
)
"""
LINE = ProviderLine("toy", "The toy", "toy_provider:TOY", "ToyChat", local=True)


@pytest.fixture
def toy(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "toy_provider.py").write_text(FILE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(PROVIDERS, LINE.name, LINE)
    monkeypatch.delitem(sys.modules, "toy_provider", raising=False)


def settings_for(folder: pathlib.Path, simulator: ProviderSimulator | None = None) -> Settings:
    where = {"api_key": "sk-x", "base_url": simulator.openai_url} if simulator else {}
    return load_settings(
        environ={"ALLOTROPE_PROVIDERS__TOY__MODEL": "toy-1"}, env_file=None, data_dir=folder,
        openai=where, ollama={"enabled": False}, embedded={"enabled": False},
        redis={"embedded": False}, resilience={"attempts": 1},
    )  # fmt: skip


@pytest.mark.usefixtures("toy")
def test_a_new_provider_answers_when_those_before_it_fail(
    tmp_path: pathlib.Path, simulator: ProviderSimulator
) -> None:
    simulator.faults.add("500", provider="openai")
    settings = settings_for(tmp_path, simulator)
    models = build_models(settings)
    assert [model.provider for model in models][-1] == "toy"
    with build_agent("assistant", settings=settings) as agent:
        reply = asyncio.run(agent.aask("Is anybody there?"))
    assert "The toy heard: " in reply.answer
    assert (reply.provider, reply.model) == ("toy", "toy-1")
    assert reply.degraded is not None
    assert "answered by the toy toy-1" in reply.degraded["message"]


@pytest.mark.usefixtures("toy")
def test_all_that_knows_providers_knows_the_new_one(tmp_path: pathlib.Path) -> None:
    settings = settings_for(tmp_path)
    assert "toy/toy-1" in circuits_in_settings(settings)
    profile = Profile(name="p", description="d", temperature=0.3, seed=7)
    plan = plan_for(profile, "toy-1", "toy")
    assert plan.arguments == {"temperature": 0.3}
    assert [note.outcome for note in plan.notes if note.parameter == "seed"] == ["left out"]
    prices = PriceBook(settings.usage.prices)
    assert prices.cost("toy", "toy-1", Tokens(1_000, 1_000)) == Decimal(0)
