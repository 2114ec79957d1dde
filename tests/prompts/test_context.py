"""Context: who fills a slot, how much of it, and what is told about the rest."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool

from allotrope.exceptions import InputError, PromptError
from allotrope.prompts import providers
from allotrope.prompts.context import ContextInjector, Injection
from allotrope.prompts.providers import ContextPiece, ContextRequest
from allotrope.prompts.stores.parsing import parse
from allotrope.prompts.template import PromptTemplateVersion

NOW = datetime(2026, 11, 22, 23, 30, tzinfo=UTC)


def words(text: str) -> int:
    return len(text.split())


def version(
    context: str = "{today: {trusted: true}, documents: {share: 0.5}}",
) -> PromptTemplateVersion:
    names = [part.split(":")[0].strip(" {") for part in context.replace("}, ", "}|").split("|")]
    body = "\n".join(f"{{{{{name}}}}}" for name in names)
    return parse(
        f"---\nname: t\nversion: 3\ndescription: d\ncontext: {context}\n---\n=== human\nQ\n{body}\n"
        "=== end\n",
        origin="t@3",
    )


def request(**given: Any) -> ContextRequest:
    return ContextRequest(now=NOW, time_zone="Europe/Berlin", given=given)


@tool
def add(a: int, b: int) -> int:
    """Adds numbers. Exactly."""
    return a + b


async def both(injector: ContextInjector, *args: Any, **kwargs: Any) -> Injection:
    """Sync and async give the same."""
    sync = await asyncio.to_thread(injector.fill, *args, **kwargs)
    assert await injector.afill(*args, **kwargs) == sync
    return sync


async def test_the_day_in_the_users_time_zone_and_whole_pieces_in_order() -> None:
    documents = [
        ("a.txt", "one two three"),
        Document("four", metadata={"source": "b"}),
        ContextPiece("5"),
    ]
    filled = await both(
        ContextInjector(count=words), version(), request(documents=documents), budget_tokens=100
    )
    assert filled.values["today"] == "Monday, 23 November 2026 (time zone Europe/Berlin)"
    assert filled.values["documents"].count("<quoted_data") == 3
    assert 'source="b"' in filled.values["documents"]
    assert version().render_untrusted(filled.values)[0].text.count("</quoted_data id=") == 3


async def test_a_slot_keeps_to_its_share_and_tells_what_was_dropped() -> None:
    documents = [("a", "w " * 20), ("b", "w " * 40), ("c", "w " * 5)]
    filled = await both(
        ContextInjector(count=words), version(), request(documents=documents), budget_tokens=80
    )
    use = filled.uses[1]
    assert (use.limit, use.pieces, use.dropped, use.cut) == (40, 2, ("b",), False)
    assert use.tokens <= use.limit
    assert words(filled.values["documents"]) == use.tokens


@pytest.mark.parametrize("budget", [0, 1, 10, 12, 40, 200])
async def test_a_first_piece_that_is_too_long_is_cut_to_fit(budget: int) -> None:
    filled = await both(
        ContextInjector(count=words), version(), request(documents="w " * 500), budget_tokens=budget
    )
    use = filled.uses[1]
    assert words(filled.values["documents"]) == use.tokens <= budget // 2
    assert use.cut == bool(filled.values["documents"])
    assert bool(use.dropped) != use.cut


async def test_a_required_slot_that_stays_empty_is_named() -> None:
    template = version("{tables: {required: true}}")
    injector = ContextInjector(count=words)
    with pytest.raises(PromptError, match=r"Prompt t@3 needs the context 'tables': nothing was"):
        injector.fill(template, request(), budget_tokens=100)
    with pytest.raises(PromptError, match=r"its 0 tokens are too few"):
        injector.fill(template, request(tables="x"), budget_tokens=2)
    with pytest.raises(PromptError, match=r"t@3 needs the variable 'tables'"):
        template.render_untrusted({})


async def test_tools_and_user_profile() -> None:
    template = version("{tools: {trusted: true}, user: {}}")
    filled = await both(
        ContextInjector(count=words),
        template,
        request(tools=[add], user={"name": "Ann", "city": ""}),
        budget_tokens=200,
    )
    assert filled.values["tools"] == "- add: Adds numbers"
    assert "name: Ann" in filled.values["user"]
    assert "city" not in filled.values["user"]


class Weather:
    def provide(self, request: ContextRequest) -> Sequence[ContextPiece]:
        return [ContextPiece("Rain", "station 7")]


class Broken:
    def provide(self, request: ContextRequest) -> Sequence[ContextPiece]:
        raise RuntimeError("no signal")


class Slow:
    async def aprovide(self, request: ContextRequest) -> Sequence[ContextPiece]:
        await asyncio.sleep(0.001)
        return [ContextPiece("late")]


def installed(monkeypatch: pytest.MonkeyPatch, **classes: str) -> None:
    points = EntryPoints(
        EntryPoint(n, f"{__name__}:{c}", providers.GROUP) for n, c in classes.items()
    )
    loaded = {"Weather": Weather, "Broken": Broken, "Slow": Slow, "object": object}
    monkeypatch.setattr(providers, "entry_points", lambda group: points)
    monkeypatch.setattr(EntryPoint, "load", lambda self: loaded[self.value.split(":")[1]])


async def test_own_providers_by_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, weather="Weather", slow="Slow", broken="Broken")
    template = version("{weather: {}, slow: {}, broken: {}}")
    filled = await both_but_problem(ContextInjector(count=words), template)
    assert 'source="station 7" id=' in filled.values["weather"]
    assert "late" in filled.values["slow"]
    assert filled.values["broken"] == ""
    assert filled.uses[2].problem == "RuntimeError: no signal"


async def both_but_problem(injector: ContextInjector, template: PromptTemplateVersion) -> Injection:
    sync = await asyncio.to_thread(injector.fill, template, request(), budget_tokens=200)
    other = await injector.afill(template, request(), budget_tokens=200)
    assert other.values == sync.values
    return sync


def test_a_provider_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, odd="object")
    with pytest.raises(PromptError, match=r"'odd'.* has no method provide"):
        ContextInjector(count=words).fill(version("{odd: {}}"), request(), budget_tokens=9)
    ContextInjector(count=words).fill(version(), request(), budget_tokens=9)  # doesn't need it


def test_a_bad_time_zone_is_the_users_mistake() -> None:
    bad = ContextRequest(now=NOW, time_zone="Mars/Olympus")
    with pytest.raises(InputError, match="'Mars/Olympus' is no time zone"):
        ContextInjector(count=words).fill(version(), bad, budget_tokens=9)


def test_what_is_injected_is_never_rendered_again() -> None:
    filled = ContextInjector(count=words).fill(
        version(), request(documents="{{today}} {{> x@1}}"), budget_tokens=200
    )
    assert "{{today}} {{> x@1}}" in version().render_untrusted(filled.values)[0].text
    assert isinstance(version().render_untrusted(filled.values)[0], HumanMessage)
