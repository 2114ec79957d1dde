"""`allotrope ask AGENT TEXT`: one question, one answer."""

import contextlib
import os
import sys
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from allotrope.cli.output import answer, emit
from allotrope.contracts import Event
from allotrope.support.providers import in_process

if TYPE_CHECKING:
    from allotrope.agents.agent import Agent

app = typer.Typer(pretty_exceptions_enable=False)

INTERRUPTED = 130
"""The exit code after Ctrl-C."""

STOPPED = {True: "Stopped. What was said is kept.", False: "Stopped. Your message is kept."}
"""What a person is told, by whether anything of the answer is in the thread."""

AgentName = Annotated[str, typer.Argument(help="Which agent: assistant, …", metavar="AGENT")]
ThreadId = Annotated[
    str | None, typer.Option("--thread", help="Conversation to go on with.", metavar="ID")
]


@app.command()
def ask(
    agent: Annotated[
        str | None, typer.Argument(help="Which agent: assistant, …", metavar="AGENT")
    ] = None,
    text: Annotated[
        str | None,
        typer.Argument(help="The question; - reads it from standard input.", metavar="TEXT"),
    ] = None,
    thread: ThreadId = None,
    stream: Annotated[bool, typer.Option("--stream", help="Show the answer as it comes.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object; with --stream one event a line.")
    ] = False,
    profile: Annotated[
        str | None, typer.Option("--profile", help="Parameter profile.", metavar="NAME")
    ] = None,
    no_cache: Annotated[
        bool, typer.Option("--no-cache", help="Ask the model even where the answer is known.")
    ] = False,
    resume: Annotated[
        str | None,
        typer.Option(
            "--resume", help="Answer the question kept in a thread in an outage.", metavar="ID"
        ),
    ] = None,
) -> None:
    """Ask an agent one question."""
    from allotrope.agents.registry import find
    from allotrope.exceptions import AllProvidersFailedError, InputError

    if resume is None and (agent is None or text is None):
        raise InputError("An agent and a question are needed.", hint='`allotrope ask AGENT "…"`.')
    if resume is not None and text is not None:
        raise InputError("--resume answers the kept question; it takes no new one.")
    name = agent or "assistant"
    find(name)
    question = None if text is None else read_text(text)
    from allotrope.agents.agent import build_agent

    wanted = {"profile": profile, "cache": "no-cache" if no_cache else None}
    context = {name: value for name, value in wanted.items() if value}
    kept = resume or thread or uuid.uuid4().hex
    try:
        with build_agent(name) as ready, leaving_at_once():
            if stream:
                last = stream_answer(ready, question, thread=kept, context=context, as_json=as_json)
            elif question is None:
                last = ready.resume(kept, context=context).as_dict()
            else:
                last = ready.ask(question, thread_id=kept, context=context).as_dict()
            if not stream:
                answer(last, last["answer"], as_json=as_json)
    except AllProvidersFailedError as exc:
        which = "" if name == "assistant" else f"{name} "
        told = f"Your question is kept: `allotrope ask {which}--resume {kept}` answers it later."
        raise AllProvidersFailedError(
            exc.message,
            causes=exc.causes,
            retry_after_s=exc.retry_after_s,
            hint=f"{exc.hint} {told}" if exc.hint else told,
        ) from exc
    if not as_json:
        print(origin(last), file=sys.stderr)
    if last["provider"] == "none":
        sys.exit(InputError.exit_code)


@contextlib.contextmanager
def leaving_at_once() -> Iterator[None]:
    """After Ctrl-C inside, the process ends with what it has kept, and waits for nobody."""
    try:
        yield
    except KeyboardInterrupt:
        from allotrope.usage.recorder.exits import leave

        leave(INTERRUPTED)


def read_text(text: str) -> str:
    """The question: the argument, or standard input for `-`.

    Raises:
        InputError: It is empty or not valid UTF-8.
    """
    from allotrope.exceptions import InputError

    if text == "-":
        try:
            text = sys.stdin.buffer.read().decode("utf-8")
        except UnicodeDecodeError as exc:
            raise InputError(
                f"Standard input isn't valid UTF-8 (byte {exc.start}).",
                hint="Convert it, for example with `iconv -t utf-8`.",
            ) from exc
    if not text.strip():
        raise InputError("There is no question: the text is empty.")
    return text


def stream_answer(
    agent: "Agent",
    question: str | None,
    *,
    thread: str,
    context: dict[str, Any] | None,
    as_json: bool,
) -> dict[str, Any]:
    """Prints the answer as it comes and gives the last event, the reply.

    Without a question the one kept in the thread is answered. After Ctrl-C what was said stays.
    """
    from allotrope.agents.turns.text import said_after

    event: dict[str, Any] = {}
    printed, said = False, ""
    try:
        with contextlib.closing(agent.stream(question, thread_id=thread, context=context)) as turn:
            for event in turn:
                said = said_after(said, event)
                if as_json:
                    emit(event)
                elif event["type"] == Event.TOKEN:
                    printed = True
                    print(event["text"], end="", flush=True)
                elif event["type"] == Event.RESTART and printed:
                    why = event.get("reason", "the answer broke off")
                    print(f"\n[{why}; starting again]", flush=True)
    except KeyboardInterrupt:
        kept = agent.keep_said(thread, said, question=question, context=context)
        print(f"\n{STOPPED[kept]} It goes on with --thread {thread}.", file=sys.stderr)
        raise
    if not as_json:
        print("" if printed else event.get("answer", ""))
    return event


def origin(reply: dict[str, Any]) -> str:
    """One line that says where an answer came from."""
    seconds, thread = f"{reply['latency_ms'] / 1000:.1f} s", f"thread {reply['thread_id']}"
    if reply["provider"] == "none":
        return f"— No model was asked, {seconds}, {thread}"
    degraded = reply.get("degraded")
    cost = "price unknown" if reply["cost_usd"] is None else f"{reply['cost_usd']} USD"
    cached = f", {reply['cached']} cache" if reply["cached"] else ""
    spent = reply["usage"]
    line = (
        f"— {reply['model']} ({reply['provider']}{cached}), "
        f"{spent['input_tokens']}+{spent['output_tokens']} tokens, {cost}, "
        f"{seconds}, {thread}"
    )
    if succession := reply.get("succession"):
        from allotrope.succession.sentences import in_place_of

        line += f"\n— {in_place_of(succession)}"
    for sentence in reply.get("repairs", ()):
        line += f"\n— {sentence}"
    if degraded:
        line += f"\n— {degraded['message']}"
    if reply.get("truncated"):
        line += "\n— The answer is cut off: it is as long as the model may write. Ask it to go on."
    if asks := reply.get("asks"):
        line += f"\n— It waits for your answer: `allotrope ask {reply['agent']} --thread "
        line += f'{reply["thread_id"]} "{asks["answers"][0] if asks["answers"] else "…"}"`'
    if in_process(reply["provider"]):
        line += "\n— That was the small embedded model, running on this machine."
        if not os.environ.get("OPENAI_API_KEY"):
            line += " To be answered by OpenAI, set OPENAI_API_KEY."
    return line
