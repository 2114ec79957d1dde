"""`allotrope context THREAD`: what fills a thread's window, and what memory knows of it."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from allotrope.cli.output import emit

if TYPE_CHECKING:
    from allotrope.memory.memory import ConversationMemory
    from allotrope.settings import Settings

app = typer.Typer(pretty_exceptions_enable=False)

_COLOURS = ("cyan", "blue", "magenta", "green", "yellow", "red", "white")
_BAR = 60


@app.command()
def context(
    thread: Annotated[str, typer.Argument(help="The conversation.", metavar="THREAD")],
    search: Annotated[
        str | None, typer.Option("--search", help="Search its archive.", metavar="WORDS")
    ] = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Also what was left out of the last prompt, and why.")
    ] = False,
    tenant: Annotated[
        str | None, typer.Option("--tenant", help="Whose thread; default: the settings'.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what fills a thread's context window."""
    from allotrope.memory.opening import open_memory
    from allotrope.settings import load_settings

    settings = load_settings()
    memory = open_memory(settings)
    try:
        found = gather(settings, memory, thread, tenant or settings.tenant, search)
    finally:
        memory.close()
    if not explain and found["audit"]:
        found["audit"] = {k: v for k, v in found["audit"].items() if k != "left_out"}
    if as_json:
        emit(found)
    else:
        _show(found, explain=explain)


def gather(
    settings: "Settings",
    memory: "ConversationMemory",
    thread: str,
    tenant: str,
    search: str | None,
) -> dict[str, Any]:
    """What is known of a thread, in plain types.

    Raises:
        InputError: There is no such thread.
    """
    from allotrope.exceptions import InputError
    from allotrope.memory.checkpoints.opening import open_checkpoints
    from allotrope.memory.checkpoints.threads import thread_config

    facts = memory.archive.thread(tenant, thread)
    with open_checkpoints(settings) as saver:
        kept = saver.get_tuple({"configurable": thread_config(tenant, thread)})
    # a thread may have checkpoints only: its first turn is under way, or its archive is elsewhere
    if facts is None and kept is None:
        known = memory.archive.threads(tenant)[:5]
        raise InputError(
            f"There is no thread {thread!r}.",
            hint="Known threads: " + ", ".join(known) if known else "No thread was kept yet.",
        )
    from allotrope.models.breaker.status import serving_now

    wanted, serving = serving_now(settings)
    state = kept.checkpoint["channel_values"] if kept is not None else {}
    summary = (
        memory.summariser.read(facts)
        if memory.summariser is not None and facts is not None
        else None
    )
    hits = memory.archive.search(tenant, thread, search) if search else []
    return {
        "thread": thread,
        "model": serving,
        "in_place_of": None if wanted == serving else wanted,
        "archived_messages": 0 if facts is None else facts.messages,
        "thread_tokens": 0 if facts is None else facts.tokens,
        "live_messages": len(state.get("messages", ())),
        "audit": state.get("audit"),
        "summary": summary.to_dict() if summary is not None else None,
        "search": [
            {
                "row": hit.row,
                "at": hit.at.isoformat(),
                "speaker": hit.speaker,
                "text": hit.text,
                "corrected": hit.superseded_by is not None,
            }
            for hit in hits
        ]
        if search
        else None,
    }


def _show(found: dict[str, Any], *, explain: bool) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.text import Text

    console = Console(highlight=False)
    audit = found["audit"]
    instead = f", in place of {found['in_place_of']}" if found["in_place_of"] else ""
    console.print(f"Model that serves now: {found['model']}{instead}")
    if audit:
        from allotrope.memory.context.meter import meter_of

        meter = meter_of(audit)
        console.print(f"Last prompt: {meter.used:,} of {meter.room:,} tokens")
        bar = Text()
        for place, share in enumerate(meter.shares):
            cells = round(_BAR * share.tokens / max(1, meter.room))
            bar.append("█" * cells, style=_COLOURS[place % len(_COLOURS)])
        bar.append("░" * max(0, _BAR - len(bar.plain)), style="dim")
        console.print(bar)
        for place, share in enumerate(meter.shares):
            mark = Text("■ ", style=_COLOURS[place % len(_COLOURS)])
            console.print(mark + Text(f"{share.kind:13} {share.tokens:>8,} tokens"))
    console.print(
        f"Archive: {found['archived_messages']:,} messages, {found['thread_tokens']:,} tokens; "
        f"{found['live_messages']} of them live"
    )
    if audit and explain:
        console.print(f"Left out of the last prompt: {audit['left_out_messages']} messages")
        for row in audit.get("left_out", ()):
            console.print(f"  {row['kind']:9} {row['tokens']:>6} tokens: {row['why']}")
    summary = found["summary"] or {}
    for title in ("facts", "decisions", "questions"):
        if summary.get(title):
            console.print(f"[bold]{title.capitalize()}[/bold]")
            for line in summary[title]:
                console.print(f"  - {escape(line)}")
    for hit in found["search"] or ():
        later = " (corrected later)" if hit["corrected"] else ""
        console.print(
            f"[bold]#{hit['row']}[/bold] {hit['at'][:16]} {escape(hit['speaker'])}{later}"
        )
        console.print(f"  {escape(hit['text'][:300])}")
