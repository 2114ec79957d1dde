"""Nodes that every agent's graph shares: `fit`, `respond`, `tools`, `finish`.

Each has a sync and an async side, so that a graph runs with `invoke` and `ainvoke` alike; the async
side never blocks the event loop.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, BaseMessage, RemoveMessage
from langchain_core.runnables import RunnableConfig
from langgraph.config import get_stream_writer
from langgraph.runtime import get_runtime

from allotrope.contracts import Event, Metadata
from allotrope.exceptions import InputError, InputTooLongError
from allotrope.graphs.context import RunContext, allowed, context_of_run
from allotrope.graphs.parts import LazyParts, Parts
from allotrope.graphs.prompt.injection import gathered
from allotrope.graphs.prompt.packing import pack_prompt
from allotrope.graphs.prompt.window import repack_with
from allotrope.graphs.state import AgentState
from allotrope.graphs.steps.calls import Caller, PreparedCall, prepared, profile_for
from allotrope.graphs.steps.node import Node
from allotrope.graphs.steps.recall_tool import RECALL
from allotrope.graphs.steps.tool_calls import goes_round, last_answer, unanswered_calls
from allotrope.graphs.work.answers import origin
from allotrope.graphs.work.documents import documents_of
from allotrope.memory.checkpoints.threads import thread_id
from allotrope.models.providers.content import text_length
from allotrope.support.pools import TURNS, beside_loop, pool_for

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

    from allotrope.prompts.context import Found
    from allotrope.prompts.template import PromptTemplateVersion

FIT, RESPOND, TOOLS, FINISH = "fit", "respond", "tools", "finish"
"""Names of the shared nodes; they stay the same in every graph and version."""

REPORT = "report"
"""The node that gives the answer of a graph with steps; its name stays the same."""

MOST_CHARACTERS = 10
"""Characters of a message for each token of the window; a longer one is refused uncounted. Prose
has four to five to a token, code up to six; what has more than ten is padding."""

STEPS_FOR_LAST_ANSWER = 3
"""Steps a run keeps back to answer without tools before LangGraph's recursion limit ends it."""


@dataclass(frozen=True)
class AgentNodes:
    """The shared nodes of one agent.

    Args:
        agent: The agent's name.
        prompt: Its prompt template, `name` or `name@version`.
        profile: The parameter profile where a run names none.
        tools: What it may call.
        parts: What the nodes work with.
    """

    agent: str
    prompt: str
    profile: str | None = None
    tools: "Sequence[BaseTool]" = ()
    parts: LazyParts = field(default_factory=LazyParts)

    def fit(self) -> Node:
        """Checks the latest message; old messages leave the live state for the archive."""

        def run(state: AgentState, config: RunnableConfig) -> dict[str, Any]:
            parts = self.parts.get()
            return self._fitted(state, config, parts, run_context(parts))

        async def arun(state: AgentState, config: RunnableConfig) -> dict[str, Any]:
            parts = await self.parts.aget()
            # the first turn opens prompts, profiles, models and vocabulary: not on the event loop
            if not parts.ready:
                await TURNS.run(parts.make_ready)
            context = run_context(parts)
            profile = parts.profile_of(context, agent=self.agent, own=self.profile)
            opens = parts.bound(profile) is None  # its chain is made now, which blocks
            long = state_length(state)
            overflows = thread_of(config) is not None and await beside_loop(
                long, parts.memory.overflows, state["messages"]
            )
            if opens or overflows:
                return await pool_for(long).run(self._fitted, state, config, parts, context)
            return await beside_loop(long, self._fitted, state, config, parts, context)

        return Node(run, arun, name=FIT)

    def respond(self) -> Node:
        """Renders the prompt and asks the chain."""

        def run(state: AgentState, config: RunnableConfig) -> dict[str, Any]:
            parts = self.parts.get()
            context = run_context(parts)
            template = parts.library.get(self.prompt, context.prompt_label)
            ask = self._ask(state, config, parts, context, template)
            get_stream_writer()({"type": Event.CONTEXT, **ask.audit})
            reply = parts.model(ask.profile, ask.tools).invoke(ask.messages, ask.config)
            return {**answered(reply, ask.tools), **ask.learnt(state.get("calibration"), reply)}

        async def arun(state: AgentState, config: RunnableConfig) -> dict[str, Any]:
            parts = await self.parts.aget()
            context = run_context(parts)
            if not parts.ready:
                await TURNS.run(parts.make_ready)
            template = parts.library.get(self.prompt, context.prompt_label)
            found = await gathered(
                template, context, parts=parts, agent=self.agent, thread=thread_of(config),
                messages=state["messages"], tools=allowed(self.tools, context),
            )  # fmt: skip
            long = state_length(state)
            ask = await pool_for(long).run(
                self._ask, state, config, parts, context, template, found
            )
            get_stream_writer()({"type": Event.CONTEXT, **ask.audit})
            model = parts.bound(ask.profile, ask.tools)
            if model is None:
                model = await TURNS.run(parts.model, ask.profile, ask.tools)
            reply = await model.ainvoke(ask.messages, ask.config)
            update = await beside_loop(len(reply.text), answered, reply, ask.tools)
            return {**update, **ask.learnt(state.get("calibration"), reply)}

        return Node(run, arun, name=RESPOND)

    def finish(self) -> Node:
        """The end of a turn: archives the answer and starts the summary.

        What a turn got that ended badly leaves the cache, so that asking again can go otherwise.
        """

        def run(state: AgentState, config: RunnableConfig) -> dict[str, Any]:
            parts = self.parts.get()
            self._remembered(state, config, parts)
            if ended_badly(state) and (forget := getattr(parts.cache, "forget_run", None)):
                forget(run_of(config), tenant=run_context(parts).tenant, agent=self.agent)
            return {}

        async def arun(state: AgentState, config: RunnableConfig) -> dict[str, Any]:
            parts, thread = await self.parts.aget(), thread_of(config)
            if ended_badly(state) and (forget := getattr(parts.cache, "aforget_run", None)):
                await forget(run_of(config), tenant=run_context(parts).tenant, agent=self.agent)
            if thread is not None:
                context = run_context(parts)
                parts.memory.after_turn_later(
                    state["messages"], thread=thread, tenant=context.tenant, user=context.user
                )
            return {}

        return Node(run, arun, name=FINISH)

    def _fitted(
        self, state: AgentState, config: RunnableConfig, parts: Parts, context: RunContext
    ) -> dict[str, Any]:
        if not state["messages"]:
            raise InputError("There is no message to answer.")
        profile = parts.profile_of(context, agent=self.agent, own=self.profile)
        window = parts.window(profile)
        if window is not None:
            check_length(state["messages"][-1], window)
        names = ("provenance", "degraded", "succession", "audit")
        update: dict[str, Any] = dict.fromkeys(names)
        again = asked_again(state["messages"])
        messages = [message for message in state["messages"] if message is not again]
        leave: list[BaseMessage] = unanswered_calls(messages)
        if again is not None and again.id:
            leave.append(RemoveMessage(again.id))
        thread = thread_of(config)
        if thread is not None and parts.memory.overflows(messages):
            leave += parts.memory.settle(messages, thread=thread, tenant=context.tenant)
        if leave:
            update["messages"] = leave
        return update

    def _remembered(self, state: AgentState, config: RunnableConfig, parts: Parts) -> None:
        thread = thread_of(config)
        if thread is not None:
            context = run_context(parts)
            parts.memory.after_turn(state["messages"], thread=thread, tenant=context.tenant)
            parts.memory.learn(
                state["messages"], user=context.user, tenant=context.tenant, thread=thread
            )

    def _tools(
        self, state: AgentState, context: RunContext, thread: str | None, parts: Parts
    ) -> "Sequence[BaseTool]":
        late = state.get("remaining_steps", 100) <= STEPS_FOR_LAST_ANSWER
        if late or goes_round(state["messages"]):
            return ()
        tools = allowed(self.tools, context)
        back = (
            thread is not None
            and parts.settings.memory.recall_tool
            and parts.memory.reaches_back(
                len(state["messages"]), thread=thread, tenant=context.tenant
            )
        )
        return tools if back else [tool for tool in tools if tool.name != RECALL]

    def _ask(
        self,
        state: AgentState,
        config: RunnableConfig,
        parts: Parts,
        context: RunContext,
        template: "PromptTemplateVersion",
        found: "Found | None" = None,
    ) -> PreparedCall:
        thread = thread_of(config)
        profile = profile_for(
            parts, agent=self.agent, own=self.profile, context=context, thread=thread
        )
        tools = self._tools(state, context, thread, parts)
        packed = pack_prompt(
            state,
            parts=parts,
            template=template,
            profile=profile,
            tools=tools,
            context=context,
            thread=thread,
            agent=self.agent,
            found=found,
        )
        return prepared(
            config,
            caller=Caller(self.agent, context, template, profile, documents_of(state)),
            packed=packed,
            repack=repack_with(parts.memory.counter, tools=packed.tools),
            tools=tools,
        )


def state_length(state: Mapping[str, Any]) -> int:
    """Characters of all texts of a graph's state."""
    own = sum(len(value) for value in state.values() if isinstance(value, str))
    return own + text_length(state.get("messages") or ())


def asked_again(messages: Sequence[BaseMessage]) -> BaseMessage | None:
    """The question nobody answered yet, when the latest message asks the very same once more.

    Who got no answer in an outage asks again; the question doesn't stand twice in the prompt then.
    """
    if len(messages) < 2:
        return None
    earlier, latest = messages[-2:]
    same = earlier.type == latest.type == "human" and earlier.content == latest.content
    return earlier if same else None


def check_length(message: BaseMessage, window: int) -> None:
    """Refuses a message that no model of the chain can take.

    Args:
        message: The user's latest.
        window: Tokens the largest model takes.

    Raises:
        InputTooLongError: It says how long the message is, and how long it may be.
    """
    text = message.text
    if len(text) * 4 <= window:  # at most four tokens a character: UTF-8 has four bytes at most
        return
    most = MOST_CHARACTERS * window
    if len(text) > most:
        raise InputTooLongError(
            f"The text has {len(text):,} characters; the largest model takes {window:,} tokens "
            f"with its answer, and never more than {most:,} characters.",
            hint="Shorten it, or give the agent the file to read.",
        )
    from allotrope.memory.tokens.counting import exact

    tokens = exact(text)
    if tokens > window:
        raise InputTooLongError(
            f"The text has {tokens:,} tokens; the largest model takes {window:,} with its answer.",
            hint="Shorten it, or give the agent the file to read.",
        )


def run_context(parts: Parts) -> RunContext:
    """The context of the run that is under way; defaults where the caller gave none.

    Args:
        parts: Their settings say whose data a run without a tenant may see.
    """
    return context_of_run(get_runtime(), tenant=parts.settings.tenant)


def thread_of(config: RunnableConfig) -> str | None:
    """The thread of a run, or None for a run that isn't kept."""
    return thread_id(config.get("configurable", {}))


def answered(reply: AIMessage, tools: "Sequence[BaseTool]" = ()) -> dict[str, Any]:
    """The state's update for a reply: the message, and where it came from.

    Args:
        reply: What the model said.
        tools: What it might call; without any the turn ends here.
    """
    if not tools:
        reply = last_answer(reply)
    provenance = origin(reply) or None
    known = provenance or {}
    return {
        "messages": [reply],
        "provenance": provenance,
        "degraded": known.get("degraded"),
        "succession": known.get("succession"),
    }


def ended_badly(state: Mapping[str, Any]) -> bool:
    """Whether a turn ended with something that its checks found wrong, or with an error.

    Args:
        state: Of a graph with steps; others have no checks.
    """
    return any(state.get(name) for name in ("repairs", "wrong", "error", "trouble"))


def run_of(config: RunnableConfig) -> str:
    """The run's id in its metadata (docs/contracts.md), or nothing."""
    return str(config.get("metadata", {}).get(Metadata.RUN_ID) or "")


def wants_tools(state: AgentState) -> bool:
    """Whether the last message asks for tools."""
    last = state["messages"][-1]
    return isinstance(last, AIMessage) and bool(last.tool_calls)
