"""A provider is one new file and one line in `support.providers`: the toy here is both."""

import ast
import asyncio
import os
import pathlib
import re
import sys
from collections.abc import Iterator
from decimal import Decimal

import pytest

from allotrope import build_agent, load_settings
from allotrope.models.breaker.opening import circuits_in_settings
from allotrope.models.cache.factory import open_verifier
from allotrope.models.catalogue.lifecycle import lifecycles_of
from allotrope.models.chain import build_models
from allotrope.models.profiles.parameters import plan_for
from allotrope.models.profiles.profile import Profile
from allotrope.settings import Settings
from allotrope.succession.trials.tried import find_model
from allotrope.succession.trials.tried import settings_for as settings_for_trial
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
    asking=lambda settings, model, within_s: settings.model_copy(
        update={"providers": {**settings.providers, "toy": {"model": model}}}
    ),
    unasked=lambda settings: settings.model_copy(update={"providers": {}}),
    plans=lambda profile, settings: {"toy": plan_for(profile, "toy-1", "toy")},
    names={"temperature": "temperature"},
    accepts=frozenset({"temperature"}),
    limits=lambda settings: {"total_s": 20.0},
)
"""
PACKAGE = pathlib.Path(__file__).parents[3] / "src" / "allotrope"
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


@pytest.mark.usefixtures("toy")
def test_a_trial_asks_the_new_provider_alone(tmp_path: pathlib.Path) -> None:
    settings = settings_for(tmp_path)
    tried = find_model(settings, lifecycles_of(settings), "toy:toy-2")
    assert (str(tried), tried.local) == ("toy:toy-2", True)
    own = settings_for_trial(settings, tried)
    assert [(model.provider, model.model) for model in build_models(own)] == [("toy", "toy-2")]  # type: ignore[attr-defined]  # the toy's own field
    other = find_model(settings, lifecycles_of(settings), "embedded")
    only = [model.provider for model in build_models(settings_for_trial(settings, other))]
    assert only == ["embedded"]


@pytest.mark.usefixtures("toy")
def test_the_new_provider_may_verify_what_the_semantic_cache_found(tmp_path: pathlib.Path) -> None:
    verifier = open_verifier(settings_for(tmp_path), "toy:toy-1")
    assert not verifier.same("How high is it?", "What is its height?")
    assert [model.provider for model in verifier._model.runnables] == ["toy"]  # type: ignore[attr-defined]


NAMES = frozenset(PROVIDERS)
ALLOWED = ("models/providers/", "support/providers.py", "testing/", "models/cache/keys.py")
"""The providers' own files; the simulator, which speaks OpenAI's and Ollama's formats only; and
LangChain's own type of a model in the cache's key."""


BY_THE_BEGINNING = ("startswith", "removeprefix", "partition")


def of_providers(node: ast.expr) -> bool:
    """Whether an expression is a provider's name, one before a colon, or has one among others."""
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return any(of_providers(one) for one in node.elts)
    return isinstance(node, ast.Constant) and str(node.value).rstrip(":") in NAMES


def comparisons(tree: ast.AST) -> Iterator[int]:
    """Lines where the program goes one way or another by a provider's name."""
    for node in ast.walk(tree):
        asked: list[ast.expr] = []
        if isinstance(node, ast.Compare):
            asked = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            asked = [node.value]
        elif isinstance(node, ast.Subscript) and getattr(node.value, "id", "") == "Literal":
            asked = [node.slice]
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") in BY_THE_BEGINNING:
            asked = list(node.args)
        if any(of_providers(one) for one in asked):
            yield node.lineno if hasattr(node, "lineno") else node.value.lineno


def test_no_other_file_compares_a_providers_name() -> None:
    """A new provider would fall into the branch of another one: `ProviderLine` or `Provider`
    answers the question instead."""
    found = []
    names = [
        os.path.relpath(pathlib.Path(folder, name), PACKAGE)
        for folder, _, names in os.walk(PACKAGE, followlinks=True)
        for name in names
    ]
    assert {"models/chain.py", "cli/app.py", "web/templates/answers.html"} <= set(names)
    one = re.compile(rf"""[!=]= *["'](?:{"|".join(NAMES)})["']""")
    for name in names:
        if name.startswith(ALLOWED) or not name.endswith((".py", ".html")):
            continue
        text = (PACKAGE / name).read_text(encoding="utf-8")
        lines = comparisons(ast.parse(text)) if name.endswith(".py") else one.findall(text)
        found += [f"{name}: {line}" for line in lines]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "code",
    [
        "if model.provider == 'openai': pass",
        "if 'ollama' != provider: pass",
        "known = provider in ('openai', 'ollama')",
        "local = name.startswith('ollama:')",
        "provider: Literal['openai', 'embedded']",
        "match provider:\n    case 'embedded': pass",
    ],
)
def test_a_comparison_is_noticed(code: str) -> None:
    assert list(comparisons(ast.parse(code)))


def test_what_only_names_a_provider_is_no_comparison() -> None:
    assert not list(comparisons(ast.parse("price('openai', model)\nif settings.openai: pass")))
