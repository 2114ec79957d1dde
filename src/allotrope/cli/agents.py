"""`allotrope agents [NAME]`: which agents there are, how one works, and what a turn may cost."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from allotrope.cli.output import emit

if TYPE_CHECKING:
    from decimal import Decimal

    from allotrope.agents.spec import AgentSpec

app = typer.Typer(pretty_exceptions_enable=False)

QUESTION_TOKENS, ANSWER_TOKENS = 200, 800
"""What the estimate assumes of a turn: a short question, and an answer with its reasoning."""


@app.command()
def agents(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="One agent.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    mermaid: Annotated[
        bool, typer.Option("--mermaid", help="Print the agent's graph as Mermaid text.")
    ] = False,
) -> None:
    """List the agents, or show one's graph and what a turn may cost."""
    from allotrope.agents.registry import find, names
    from allotrope.exceptions import InputError

    if mermaid and name is None:
        raise InputError("--mermaid needs the name of an agent.")
    if name is not None and mermaid:
        print(find(name).build().get_graph().draw_mermaid(), end="")
        return
    facts = [about(find(one), whole=name is not None) for one in ([name] if name else names())]
    if as_json:
        emit(facts[0] if name else {"agents": facts})
        return
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if name is None:
        table = Table(box=None, pad_edge=False)
        for column in ("agent", "profile", "what it does"):
            table.add_column(column, overflow="fold")
        for fact in facts:
            table.add_row(fact["name"], fact["profile"], fact["summary"])
        console.print(table)
        return
    fact = facts[0]
    console.print(f"[bold]{fact['name']}[/bold]: {fact['summary']}")
    console.print(f"prompt {fact['prompt']}, profile {fact['profile']}, model {fact['model']}")
    console.print("graph:")
    for source, target, conditional in fact["edges"]:
        console.print(f"  {source} {'┄▷' if conditional else '─▶'} {target}", markup=False)
    estimate = fact["estimate"]
    console.print(
        f"a model call: about {_usd(estimate['cost_usd'])} ({estimate['input_tokens']} tokens in, "
        f"{estimate['output_tokens']} out, nothing cached)"
    )
    usual, most = estimate["calls"], estimate["most_calls"]
    calls = "1 call" if usual == 1 else f"{usual} calls"
    more = (
        "each round of tools is one more"
        if most is None
        else f"with every repair {most}, {_usd(estimate['most_cost_usd'])}"
    )
    console.print(f"a turn: usually {calls}, about {_usd(estimate['turn_cost_usd'])}; {more}")


def _usd(cost: str | None) -> str:
    return "no price is known" if cost is None else f"{cost} USD"


def about(spec: "AgentSpec", *, whole: bool) -> dict[str, Any]:
    """What there is to say of an agent.

    Args:
        spec: The agent.
        whole: With its graph and an estimate of a call's cost, which takes seconds to load.
    """
    facts: dict[str, Any] = {
        "name": spec.name,
        "summary": spec.summary,
        "prompt": spec.prompt,
        "profile": spec.profile or "default",
    }
    if not whole:
        return facts
    from allotrope.memory.tokens.counting import exact
    from allotrope.models.profiles.library import open_profiles, with_profile
    from allotrope.prompts import open_library
    from allotrope.settings import load_settings
    from allotrope.usage.prices.prices import PriceBook
    from allotrope.usage.recorder.tokens import Tokens

    settings = load_settings()
    profile = open_profiles(settings).get(agent=spec.name, own=spec.profile)
    model = with_profile(settings, profile).openai.model
    template = open_library(settings).get(spec.prompt)
    tokens = Tokens(input=exact(template.text) + QUESTION_TOKENS, output=ANSWER_TOKENS)
    cost = PriceBook(settings.usage.prices).cost("openai", model, tokens)
    picture = spec.build().get_graph()
    usual, most = spec.model_calls(settings.agents)
    return facts | {
        "prompt": template.ref,
        "profile": profile.name,
        "model": model,
        "nodes": [node for node in picture.nodes if not node.startswith("__")],
        "edges": [(edge.source, edge.target, edge.conditional) for edge in picture.edges],
        "estimate": {
            "input_tokens": tokens.input,
            "output_tokens": tokens.output,
            "cost_usd": _text(cost, 1),
            "calls": usual,
            "most_calls": most,
            "turn_cost_usd": _text(cost, usual),
            "most_cost_usd": _text(cost, most),
        },
    }


def _text(cost: "Decimal | None", calls: int | None) -> str | None:
    return None if cost is None or calls is None else f"{cost * calls:.6f}"
