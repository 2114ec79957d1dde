"""How long it takes to get and render a prompt, and how much of it the provider can reuse."""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from typing import Any

from _form import arguments, show, spread, write_json
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.prompts import ChatPromptTemplate

from allotrope.prompts.context import ContextInjector
from allotrope.prompts.library import TEMPLATES, PromptLibrary
from allotrope.prompts.providers import ContextRequest
from allotrope.prompts.stores.sources import FolderSource
from allotrope.prompts.template import PromptTemplateVersion

GOAL_US = 100.0
"""A warm render must stay below so many microseconds (issue 7)."""


def timed(work: Callable[[], Any], rounds: int) -> list[float]:
    """Microseconds of each call, after a warm-up."""
    for _ in range(20):
        work()
    samples = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        samples.append((time.perf_counter() - began) * 1e6)
    return samples


def values_for(version: PromptTemplateVersion) -> dict[str, Any]:
    """A value for each variable and slot."""
    examples: dict[str, Any] = {
        "string": "How many units were sold in March?",
        "integer": 3,
        "number": 0.5,
        "boolean": True,
        "list": ["one", "two", "three"],
        "object": {},
        "messages": [HumanMessage("Hi"), AIMessage("Hello"), HumanMessage("What is 17 % of 340?")],
    }
    values = {name: examples[variable.type] for name, variable in version.meta.variables.items()}
    text = "The harvest of 2023 was 4,120 tonnes, 12 % above the mean. " * 5
    return {**values, **dict.fromkeys(version.meta.context, text)}


def prefix_share(version: PromptTemplateVersion) -> float:
    """How much of a second turn's prompt the provider has seen in the first, 0 to 1."""

    def wire(messages: list[BaseMessage]) -> str:
        return "".join(json.dumps([m.type, m.content]) for m in messages)

    history: list[BaseMessage] = [HumanMessage("Hi"), AIMessage("Hello, how can I help?" * 20)]
    first = wire(version.render_untrusted({"messages": history, "user": "Ann", "documents": "a"}))
    longer = [*history, HumanMessage("What is 17 % of 340?")]
    second = wire(
        version.render_untrusted({"messages": longer, "user": "Ann, who adds", "documents": "b"})
    )
    same = next(i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b)
    return same / len(second)


def main() -> int:
    """Runs the benchmark; exit code 1 when a render misses the goal."""
    options = arguments("Time to get and render prompts.").parse_args()
    rounds = 300 if options.quick else 5_000
    library = PromptLibrary([FolderSource(TEMPLATES, writable=False)])
    began = time.perf_counter()
    library.snapshot  # noqa: B018 - loads
    load_ms = (time.perf_counter() - began) * 1e3
    results: dict[str, Any] = {"load_ms": load_ms, "templates": len(library.snapshot.templates)}
    rows = []
    for ref in sorted(library.snapshot.templates):
        version = library.get(ref)
        values = values_for(version)
        cell = spread(timed(lambda v=version, x=values: v.render_untrusted(x), rounds))
        results[f"render {ref}"] = cell
        rows.append((f"render {ref}", cell["p50"], cell["p95"], cell["p99"]))
    assistant = library.get("assistant")
    values = values_for(assistant)
    peer = ChatPromptTemplate(messages=assistant.chat_prompt.messages)
    injector = ContextInjector(count=lambda text: len(text) // 4)
    from datetime import UTC, datetime

    request = ContextRequest(
        now=datetime.now(UTC), given={n: values[n] for n in assistant.meta.context}
    )
    others: dict[str, Callable[[], Any]] = {
        "get + render assistant": lambda: library.get("assistant").render_untrusted(values),
        "chat_prompt.invoke": lambda: assistant.chat_prompt.invoke(values),
        "peer: ChatPromptTemplate.format_messages": lambda: peer.format_messages(**values),
        "peer: ChatPromptTemplate.invoke": lambda: peer.invoke(values),
        "fill context (4 chars a token)": lambda: injector.fill(
            assistant, request, budget_tokens=4000
        ),
        "fill context, async": lambda: asyncio.run(
            injector.afill(assistant, request, budget_tokens=4000)
        ),
        "refresh, nothing changed": library.refresh,
    }
    for name, work in others.items():
        cell = spread(timed(work, rounds // 5))
        results[name] = cell
        rows.append((name, cell["p50"], cell["p95"], cell["p99"]))
    show("Microseconds", ("what", "p50", "p95", "p99"), rows)
    shares = {
        name: prefix_share(library.get(name))
        for name in ("assistant", "analyst", "creative", "coder", "researcher")
    }
    results["prefix_share"] = shares
    show(
        "Share of the second turn's prompt that the first turn's prompt starts with",
        ("agent", "share"),
        list(shares.items()),
    )
    worst = max(cell["p50"] for name, cell in results.items() if name.startswith("render "))
    print(
        f"{results['templates']} templates loaded in {load_ms:.1f} ms; "
        f"slowest render {worst:.0f} µs at p50 (goal {GOAL_US:.0f})."
    )
    write_json(options.json, "prompts", results)
    return 0 if options.quick else int(worst > GOAL_US)  # other work shares a machine that checks


if __name__ == "__main__":
    sys.exit(main())
