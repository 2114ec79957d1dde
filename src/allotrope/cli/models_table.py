"""The table of `allotrope models`; whole at 80 columns."""

import sys
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from allotrope.succession.overview import ModelInUse, ModelsOverview
    from allotrope.usage.prices import Price

COLUMNS = 80


def show(found: "ModelsOverview") -> None:
    """Prints the table, what is known of each model, and the notes."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(
        width=None if sys.stdout.isatty() else COLUMNS, highlight=False, soft_wrap=False
    )
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("role", "model", "ends", "then"):
        table.add_column(title, overflow="fold")
    for title in ("a turn now", "then"):
        table.add_column(title, justify="right", no_wrap=True)
    for model in found.models:
        table.add_row(
            escape(", ".join(model.roles) or "–"),
            escape(model.name),
            _end(model),
            escape(_then(model)),
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
        for name, text in _facts(model, found.today):
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


def usd(amount: Decimal | None) -> str:
    """A turn's cost for people; `?` where no price is known."""
    if amount is None:
        return "?"
    return f"${amount:,.2f}" if amount >= 1 else f"${amount:.4f}"


def _end(model: "ModelInUse") -> str:
    if model.ended is not None:
        return (
            "ended"
            if model.end is None or model.days_left is None or model.days_left > 0
            else (f"ended {model.end.day:%-d %b %Y}")
        )
    if model.end is None:
        return "no end known"
    left = model.days_left
    return f"{model.end.day:%-d %b %Y}, {left} day{'s' if left != 1 else ''}"


def _then(model: "ModelInUse") -> str:
    if model.serving != model.name:
        return f"{model.serving} answers"
    return model.successor or "nobody"


def _facts(model: "ModelInUse", today: date) -> Iterator[tuple[str, str]]:
    if model.sentence:
        yield "end", model.sentence
    if model.end is not None:
        yield (
            "",
            f"said by the {model.end.source}"
            if model.end.source != "settings"
            else ("said by your own catalogue"),
        )
    yield "used by", _users(model)
    named = [f"{role}: {source}" for role, source in model.set_by.items()]
    if named:
        yield "named by", "; ".join(named)
    after = model.successor
    now, then = model.ability, model.successor_ability
    yield "price", _price(model.costs.now)
    if after is not None:
        yield "", f"{_price(model.costs.then)} ({after})"
    mean, turns = model.costs.turn.mean, model.costs.turn.turns
    cached = f" ({mean.cached:,} cached)" if mean.cached else ""
    size = f"{mean.input:,} tokens in{cached}, {mean.output:,} out"
    seen = f"the mean of {turns:,} turns in 30 days" if turns else "nominal: no turn was recorded"
    yield "a turn", f"{size} ({seen})"
    yield "efforts", ", ".join(now.efforts) or "none"
    if then is not None and then.efforts != now.efforts:
        yield "", f"{', '.join(then.efforts) or 'none'} ({after})"
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
    for at, sentence in model.learnt:
        yield "learnt", f"{at:%Y-%m-%d}: {sentence}"


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
