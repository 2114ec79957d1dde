"""`allotrope chat AGENT`: a conversation in the terminal."""

import contextlib
import sys
import uuid
from typing import TYPE_CHECKING, Annotated

import typer

from allotrope.cli.ask import STOPPED, AgentName, ThreadId, leaving_at_once, origin
from allotrope.contracts import Event

if TYPE_CHECKING:
    from rich.console import Console

    from allotrope.agents.agent import Agent

app = typer.Typer(pretty_exceptions_enable=False)

HELP = """/help     this list
/history  the conversation so far
/thread   the id of this conversation, to go on with it later
/new      start a new conversation
/quit     leave (also Ctrl-D)
Ctrl-C stops an answer; a second one leaves. The conversation is kept."""


@app.command()
def chat(
    agent: AgentName,
    thread: ThreadId = None,
    profile: Annotated[
        str | None, typer.Option("--profile", help="Parameter profile.", metavar="NAME")
    ] = None,
) -> None:
    """Talk with an agent, turn by turn."""
    from allotrope.agents.registry import find

    find(agent)
    from rich.console import Console

    from allotrope.agents.agent import build_agent
    from allotrope.agents.turns.text import check_thread_id

    thread_id = check_thread_id(thread) if thread is not None else uuid.uuid4().hex
    console = Console(highlight=False)
    with build_agent(agent) as ready, leaving_at_once():
        told = len(ready.history(thread_id)) if thread else 0
        console.print(f"[dim]{agent}, thread {thread_id}" + (f", {told} messages" if told else ""))
        console.print("[dim]/help lists the commands.")
        try:
            _converse(ready, console, thread_id, {"profile": profile} if profile else None)
        finally:
            console.print(f"[dim]Go on later with: allotrope chat {agent} --thread {thread_id}")


def _converse(
    agent: "Agent", console: "Console", thread_id: str, context: dict[str, str] | None
) -> None:
    while True:
        try:
            text = _read(console)
        except EOFError:
            console.print()
            return
        except KeyboardInterrupt:
            console.print()
            raise
        except UnicodeDecodeError:
            console.print("[red]That isn't valid UTF-8; nothing was sent.")
            continue
        match text.strip():
            case "":
                continue
            case "/quit" | "/exit":
                return
            case "/help":
                console.print(HELP)
            case "/thread":
                console.print(thread_id)
            case "/new":
                thread_id = uuid.uuid4().hex
                console.print(f"[dim]thread {thread_id}")
            case "/history":
                for message in agent.history(thread_id):
                    console.print(f"[dim]{message.type}:[/dim] ", end="")
                    console.print(message.text, markup=False)
            case command if command.startswith("/") and " " not in command:
                console.print(f"[red]There is no command {command}.[/red] /help lists them.")
            case _:
                _turn(agent, console, text, thread_id, context)


def _read(console: "Console") -> str:
    if sys.stdin.isatty():
        return console.input("[bold]> [/bold]")
    line = sys.stdin.buffer.readline()
    if not line:
        raise EOFError
    return line.decode("utf-8").rstrip("\n")


def _turn(
    agent: "Agent",
    console: "Console",
    text: str,
    thread_id: str,
    context: dict[str, str] | None,
) -> None:
    from allotrope.agents.turns.text import said_after
    from allotrope.exceptions import AllotropeError

    waiting = console.status("thinking …") if console.is_terminal else None
    if waiting:
        waiting.start()
    reply = {}
    printed, said = False, ""
    try:
        with contextlib.closing(agent.stream(text, thread_id=thread_id, context=context)) as turn:
            for event in turn:
                said = said_after(said, event)
                if event["type"] in {Event.TOKEN, Event.RESTART} and waiting:
                    waiting.stop()
                    waiting = None
                if event["type"] == Event.TOKEN:
                    printed = True
                    console.print(event["text"], end="", markup=False, soft_wrap=True)
                elif event["type"] == Event.RESTART:
                    why = event.get("reason", "broken off")
                    console.print(f"\n[dim]{why}; starting again[/dim]")
                elif event["type"] == Event.TOOL and waiting:
                    waiting.update(f"{event['name']} …")
                elif event["type"] == Event.REPLY:
                    reply = event
    except KeyboardInterrupt:
        kept = agent.keep_said(thread_id, said, question=text, context=context)
        console.print(f"\n[dim]{STOPPED[kept]}[/dim]")
        return
    except AllotropeError as exc:
        console.print(f"[red]{type(exc).__name__}:[/red] ", end="")
        console.print(str(exc), markup=False)
        return
    finally:
        if waiting:
            waiting.stop()
    # a question of the agent's own, or an answer from a tool, comes whole and not in tokens
    console.print("" if printed else reply.get("answer", ""), markup=False)
    console.print(origin(reply), style="dim", markup=False)
