"""The table of `allotrope models`; whole at 80 columns."""

import sys
from collections.abc import Iterator
from datetime import date
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from allotrope.succession.overview import ModelInUse, ModelsOverview
    from allotrope.usage.prices.prices import Price

COLUMNS = 80


def show(found: "ModelsOverview") -> None:
    """Prints the table, what is known of each model, and the notes."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from allotrope.succession.costs import usd

    console = Console(
        width=None if sys.stdout.isatty() else COLUMNS, highlight=False, soft_wrap=False
    )
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for title in ("role", "model", "ends", "left", "next"):
        table.add_column(title, overflow="fold")
    for title in ("turn now", "turn next"):
        table.add_column(title, justify="right", no_wrap=True)
    for model in found.models:
        table.add_row(
            escape("\n".join(model.roles) or "–"),
            escape(model.name),
            "–" if model.end is None else model.end.day.isoformat(),
            _left(model),
            escape(_next(model)),
            usd(model.costs.turn_now),
            usd(model.costs.turn_then) if model.successor else "–",
        )
    console.print(table)
    for model in found.models:
        console.print()
        console.print(escape(model.name), style="bold")
        lines = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 2))
        lines.add_column(no_wrap=True, style="dim")
        lines.add_column(overflow="fold")
        for name, text in [*_facts(model, found.today), *_canaries(model, found)]:
            lines.add_row(name, escape(text))
        console.print(lines)
    asked = "never" if found.asked is None else f"{found.asked:%Y-%m-%d %H:%M} UTC"
    console.print()
    console.print(
        f"Judged by {found.today.isoformat()}; the provider's list was asked for: {asked} "
        "(allotrope models refresh)."
    )
    for note in found.notes:
        console.print(escape(f"! {note}"), style="yellow")


def _left(model: "ModelInUse") -> str:
    if model.ended is not None:
        return "ended"
    if model.days_left is None:
        return "–"
    return f"{model.days_left} day{'s' if model.days_left != 1 else ''}"


def _next(model: "ModelInUse") -> str:
    if model.serving != model.name:
        return model.serving
    return model.successor or "nobody"


def _facts(model: "ModelInUse", today: date) -> Iterator[tuple[str, str]]:
    if model.sentence:
        yield "end", model.sentence
    if model.end is not None:
        who = "your own catalogue" if model.end.source == "settings" else f"the {model.end.source}"
        yield "", f"That day is said by {who}."
    yield "used by", _users(model)
    named = [f"{role}: {source}" for role, source in model.set_by.items()]
    if named:
        yield "named by", "; ".join(named)
    after = model.successor
    now, then = model.ability, model.successor_ability
    yield "price", f"{model.serving}: {_price(model.costs.now)}"
    if after is not None:
        yield "", f"{after}: {_price(model.costs.then)}"
    mean, turns = model.costs.turn.mean, model.costs.turn.turns
    cached = f" ({mean.cached:,} cached)" if mean.cached else ""
    size = f"{mean.input:,} tokens in{cached}, {mean.output:,} out"
    seen = f"the mean of {turns:,} turns in 30 days" if turns else "nominal: no turn was recorded"
    yield "a turn", f"{size} ({seen})"
    yield "efforts", f"{model.serving}: {', '.join(now.efforts) or '–'}"
    if then is not None and then.efforts != now.efforts:
        yield "", f"{after}: {', '.join(then.efforts) or '–'}"
    apis = (
        now.endpoint
        if then is None or then.endpoint == now.endpoint
        else (f"{now.endpoint}; {then.endpoint} ({after})")
    )
    yield "endpoint", apis
    tried = [f"{model.serving} {_tried(now.tried)}"]
    if then is not None:
        tried.append(f"{after} {_tried(then.tried)}")
    yield "tried here", "; ".join(tried)
    for at, _, sentence in model.learnt:
        yield "learnt", f"{at:%Y-%m-%d}: {sentence}"


def _canaries(model: "ModelInUse", found: "ModelsOverview") -> Iterator[tuple[str, str]]:
    for number, canary in enumerate(c for c in found.canaries if c.role in model.roles):
        yield "canary" if not number else "", canary.sentence


def _users(model: "ModelInUse") -> str:
    users = model.users
    kinds = {
        "agents": users.agents,
        "profiles": users.profiles,
        "budgets": users.budgets,
        "experiments": users.experiments,
    }
    told = [f"{kind} {', '.join(names)}" for kind, names in kinds.items() if names]
    return "; ".join(told) or "nobody"


def _price(price: "Price | None") -> str:
    if price is None:
        return "unknown"
    return (
        f"{price.input.base.normalize():f} in, {price.cached.base.normalize():f} cached, "
        f"{price.output.base.normalize():f} out, USD per million tokens"
    )


def _tried(at: "object | None") -> str:
    return "not yet" if at is None else f"since {at:%Y-%m-%d}"
