"""Nodes written once for `invoke` and `ainvoke`: a generator that says what it needs.

A node's body yields `Ask` (a template for the chain) or `Work` (a function that blocks) and gets
the result back; its last `return` is the state's update. The sync side does what is asked at once,
the async side awaits it and sends blocking work to a thread:

    def plan(state: State) -> Step:
        reply = yield Ask("analyst.plan", {"question": state["question"]})
        return {"steps": lines(reply.text)}
"""

import re
import threading
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.config import get_stream_writer

from allotrope.contracts import Event
from allotrope.graphs.context import RunContext
from allotrope.graphs.nodes import run_context, state_length, thread_of
from allotrope.graphs.parts import LazyParts, Parts
from allotrope.graphs.prompt.injection import gathered
from allotrope.graphs.prompt.step_prompt import pack_step
from allotrope.graphs.steps.calls import Caller, PreparedCall, prepared, profile_for
from allotrope.graphs.steps.node import Node
from allotrope.graphs.work.answers import without_thoughts
from allotrope.graphs.work.documents import documents_of
from allotrope.settings import Settings
from allotrope.support.fencing import Value
from allotrope.support.pools import SOURCES, TURNS, beside_loop, pool_for

if TYPE_CHECKING:
    from allotrope.prompts.context import Found
    from allotrope.prompts.template import PromptTemplateVersion

NOSTREAM = "nostream"
"""LangGraph's tag for calls whose tokens aren't part of the answer."""


@dataclass(frozen=True)
class Ask:
    """A question to the chain.

    Args:
        template: `name` or `name@version`.
        values: By name of variable or context slot; texts too long for the model's window are
            shortened.
        conversation: Whether the step sees what was said before the user's last message.
        profile: The parameter profile of this call where the run names none; default: the agent's.
    """

    template: str
    values: Mapping[str, Value]
    conversation: bool = False
    profile: str | None = None


@dataclass(frozen=True)
class Work:
    """Something that blocks: files, queries, processes.

    Args:
        function: Called with no arguments.
        stop: Set when the run is cancelled, for functions that look at it: a thread can't be ended
            from outside.
    """

    function: Callable[[], Any]
    stop: threading.Event | None = None


Step = Generator["Ask | Work", Any, "dict[str, Any] | Any"]
Body = Callable[..., Any]
"""Takes state and settings; gives the update, or yields what it needs and returns the update."""


@dataclass(frozen=True)
class _Advanced:
    """Where a body stands: what it needs next, or that it ended with a value."""

    value: Any
    ended: bool = False


def _advanced(go: Callable[[Any], Any], value: Any) -> _Advanced:
    try:
        return _Advanced(go(value))
    except StopIteration as done:
        return _Advanced(done.value, ended=True)


@dataclass(frozen=True)
class StepNodes:
    """Makes nodes of one agent.

    Args:
        agent: The agent's name.
        profile: The parameter profile where a run names none.
        parts: What the nodes work with.
    """

    agent: str
    profile: str | None = None
    parts: LazyParts = field(default_factory=LazyParts)

    def node(self, name: str, body: Body) -> Node:
        """A node with a sync and an async side.

        Args:
            name: Its name in the graph.
            body: What it does; called with the state and the settings.
        """

        def run(state: Any, config: RunnableConfig) -> Any:
            parts = self.parts.get()
            context = run_context(parts)
            steps = body(state, parts.settings)
            if not isinstance(steps, Generator):
                return steps
            turn = _Turn.of(state, config, context)
            result: Any = None
            try:
                need = next(steps)
                while True:
                    try:
                        result = self._do(need, turn, parts)
                    except Exception as exc:  # noqa: BLE001 # the body decides what it can handle
                        need = steps.throw(exc)
                    else:
                        need = steps.send(result)
            except StopIteration as done:
                return turn.told(done.value)

        async def arun(state: Any, config: RunnableConfig) -> Any:
            parts = await self.parts.aget()
            context = run_context(parts)
            if not parts.ready:
                await TURNS.run(parts.make_ready)
            long = state_length(state)
            steps = await beside_loop(long, body, state, parts.settings)
            if not isinstance(steps, Generator):
                return steps
            turn = _Turn.of(state, config, context)
            step = await beside_loop(long, _advanced, steps.send, None)
            while not step.ended:
                try:
                    result = await self._ado(step.value, turn, parts, long)
                except Exception as exc:  # noqa: BLE001 # the body decides what it can handle
                    step = await beside_loop(long, _advanced, steps.throw, exc)
                else:
                    long = max(long, len(result.text) if isinstance(result, AIMessage) else 0)
                    step = await beside_loop(long, _advanced, steps.send, result)
            return turn.told(step.value)

        return Node(run, arun, name=name)

    def _do(self, need: Any, turn: "_Turn", parts: Parts) -> Any:
        if isinstance(need, Work):
            return need.function()
        template = parts.library.get(need.template, turn.context.prompt_label)
        call = self._prepare(need, turn, parts, template, None)
        reply = parts.model(call.profile).invoke(call.messages, call.config)
        turn.learn(call, reply)
        return reply

    async def _ado(self, need: Any, turn: "_Turn", parts: Parts, long: int) -> Any:
        if isinstance(need, Work):
            try:
                return await SOURCES.run(need.function)
            finally:
                if need.stop is not None:
                    need.stop.set()
        template = parts.library.get(need.template, turn.context.prompt_label)
        found = await gathered(
            template, turn.context, parts=parts, agent=self.agent, thread=thread_of(turn.config),
            messages=turn.state.get("messages", ()), given=need.values,
        )  # fmt: skip
        call = await pool_for(long).run(self._prepare, need, turn, parts, template, found)
        model = parts.bound(call.profile)
        if model is None:
            model = await TURNS.run(parts.model, call.profile)
        reply = await model.ainvoke(call.messages, call.config)
        turn.learn(call, reply)
        return reply

    def _prepare(
        self,
        ask: Ask,
        turn: "_Turn",
        parts: Parts,
        template: "PromptTemplateVersion",
        found: "Found | None",
    ) -> PreparedCall:
        context, thread = turn.context, thread_of(turn.config)
        profile = profile_for(
            parts,
            agent=self.agent,
            own=ask.profile or self.profile,
            context=context,
            thread=thread,
        )
        packed, repack = pack_step(
            {**turn.state, "calibration": turn.calibration},
            ask.values,
            parts=parts,
            template=template,
            profile=profile,
            context=context,
            thread=thread,
            conversation=ask.conversation,
            agent=self.agent,
            found=found,
        )
        turn.writer({"type": Event.CONTEXT, **packed.audit})
        caller = Caller(self.agent, context, template, profile, documents_of(turn.state))
        return prepared(
            turn.config,
            caller=caller,
            packed=packed,
            repack=repack,
            tags=(NOSTREAM,),
            repair=bool(turn.state.get("repairs")),
        )


@dataclass
class _Turn:
    """What one run of a node knows, and what its calls taught.

    Args:
        state: The node's input.
        config: Of its run.
        context: Of the run.
        writer: The custom stream; taken here, since packing runs in another thread.
        calibration: By provider, how its counts compare to ours.
        audit: What the last prompt was packed from.
    """

    state: Mapping[str, Any]
    config: RunnableConfig
    context: RunContext
    writer: Callable[[Any], None]
    calibration: dict[str, list[float]]
    audit: dict[str, Any] | None = None

    @classmethod
    def of(cls, state: Any, config: RunnableConfig, context: RunContext) -> "_Turn":
        known = dict(state.get("calibration") or {})
        return cls(state, config, context, get_stream_writer(), known)

    def learn(self, call: PreparedCall, reply: AIMessage) -> None:
        """Keeps the audit of a call, and how our count compares to the provider's."""
        found = call.learnt(self.calibration, reply)
        self.audit, self.calibration = found["audit"], found["calibration"]

    def told(self, update: Any) -> Any:
        """The node's update, with what its calls taught."""
        if self.audit is None or not isinstance(update, dict):
            return update
        return {"audit": self.audit, "calibration": self.calibration, **update}


def tell(kind: Literal["step", "notice"], **facts: Any) -> None:
    """Sends a progress event into the run's custom stream.

    Args:
        kind: The event's `type`.
        facts: Its other values, plain.
    """
    get_stream_writer()({"type": kind, **facts})


UNASKED = {"provider": "none", "model": "none"}
"""The provenance of an answer for which no model was asked: the input couldn't be used."""


def final(text: str, provenance: Mapping[str, Any] | None) -> dict[str, Any]:
    """The state's update that ends a turn with an answer.

    Args:
        text: The answer.
        provenance: Where its words came from: of the last model call that counted.
    """
    given = dict(provenance or {})
    metadata = {"allotrope": given} if given else {}
    return {
        "messages": [AIMessage(text, response_metadata=metadata)],
        "provenance": given or None,
        "degraded": given.get("degraded"),
        "succession": given.get("succession"),
    }


_PICTURE = re.compile(r"!\[|<img\b", re.IGNORECASE)


def harmless(text: str) -> str:
    """A model's words without pictures from elsewhere.

    A page or cell can talk a model into `![](https://…/?q=secret)`, which a chat page would fetch.

    Args:
        text: What the model wrote.
    """
    return _without_pictures(without_thoughts(text)).strip()


def _without_pictures(text: str) -> str:
    """Without `![words](address)`, of which the words stay, and `<img …>`; looks at a text once."""
    next_of: dict[str, int] = {}

    def find(sign: str, start: int) -> int:
        if not next_of.get(sign, -1) >= start:
            at = text.find(sign, start)
            next_of[sign] = len(text) if at < 0 else at
        return next_of[sign]

    kept: list[str] = []
    last = 0
    for match in _PICTURE.finditer(text):
        if match.start() < last:
            continue
        if match.group() != "![":
            words, end = "", find(">", match.end())
        else:
            middle = find("]", match.end())
            if text[middle + 1 : middle + 2] != "(":
                continue
            words, end = text[match.end() : middle], find(")", middle)
        if end < len(text):
            kept += (text[last : match.start()], words)
            last = end + 1
    return "".join((*kept, text[last:]))


def too_late(state: Mapping[str, Any], *, steps: int) -> bool:
    """Whether LangGraph's recursion limit is near, so that the turn must end with what there is.

    Args:
        state: The graph's state.
        steps: Steps that the way to the end takes.
    """
    return int(state.get("remaining_steps", 100)) <= steps


def branch(state: Mapping[str, Any], **values: Any) -> dict[str, Any]:
    """The state of a parallel branch (`Send`) whose steps see the conversation.

    Args:
        state: The graph's.
        values: What this branch works on.
    """
    shared = {name: state[name] for name in ("messages", "calibration") if name in state}
    return {**shared, **values}


def question_of(state: Mapping[str, Any]) -> str:
    """The user's last message as text."""
    for message in reversed(state["messages"]):
        if message.type == "human":
            return str(message.text)
    return ""


def output_folder(settings: Settings) -> Any:
    """Where files that agents make are saved."""
    return settings.agents.output_dir.expanduser()
