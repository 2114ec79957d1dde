"""Running what an answer asks for: only tools that were offered, and no call over and over."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, BaseMessage, RemoveMessage, ToolMessage
from langgraph.config import get_stream_writer
from langgraph.prebuilt import ToolNode

from allotrope.contracts import Event
from allotrope.graphs.context import allowed, context_of_run

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool
    from langgraph.prebuilt.tool_node import ToolCallRequest

FAILED_TRIES = 2
"""So often a call that failed may be made with the same arguments."""

REPEATS = 2
"""After so many repeated calls in one turn the model must answer without tools."""

_REPEATED = (
    "You made this very call before in this turn, and its answer stands above. It wasn't run again."
    " Answer with what you have, or do something else."
)
_NO_ANSWER = (
    "I can't finish this: the model kept asking for tools ({names}) instead of answering. "
    "Ask in another way, or ask for less at a time."
)


def tool_node(tools: "Sequence[BaseTool]", *, name: str) -> ToolNode:
    """A node that runs the tools a run may use; other calls, and repeated ones, are answered.

    Args:
        tools: All of the agent's.
        name: The node's name.
    """

    def instead(request: "ToolCallRequest") -> ToolMessage | None:
        call = request.tool_call
        offered = [one.name for one in allowed(tools, context_of_run(request.runtime))]
        if call["name"] not in offered:
            known = f"Available: {', '.join(offered)}." if offered else "No tools are available."
            return _answer(call, f"{call['name']} isn't available here. {known}")
        if str(call["id"]) in _CallsOfTurn.of(request.state["messages"]).repeated:
            get_stream_writer()({"type": Event.TOOL, "name": call["name"], "status": "repeated"})
            return _answer(call, _REPEATED)
        return None

    def run(request: "ToolCallRequest", execute: Callable[["ToolCallRequest"], Any]) -> Any:
        return instead(request) or execute(request)

    async def arun(
        request: "ToolCallRequest", execute: Callable[["ToolCallRequest"], Awaitable[Any]]
    ) -> Any:
        return instead(request) or await execute(request)

    return ToolNode(tools, name=name, wrap_tool_call=run, awrap_tool_call=arun)


def goes_round(messages: Sequence[BaseMessage]) -> bool:
    """Whether the model repeats its calls, so that only an answer without tools ends the turn.

    Args:
        messages: The live ones.
    """
    return len(_CallsOfTurn.of(messages).repeated) >= REPEATS


def last_answer(reply: AIMessage) -> AIMessage:
    """The reply as the end of a turn in which no tools were offered, whatever it asks for.

    Calls that nobody answers would make the next prompt one that providers refuse.

    Args:
        reply: What the model said.
    """
    if not reply.tool_calls and not reply.invalid_tool_calls:
        return reply
    calls = [*reply.tool_calls, *reply.invalid_tool_calls]
    answer = _without_calls(reply, keep=frozenset())
    if answer.text.strip():
        return answer
    names = ", ".join(dict.fromkeys(str(call["name"]) for call in calls))
    text = _NO_ANSWER.format(names=names)
    get_stream_writer()({"type": Event.TOKEN, "text": text})
    return answer.model_copy(update={"content": text})


def unanswered_calls(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """What the state needs after a turn that was cut off between a call and its answer.

    Args:
        messages: The live ones, with a new question at the end.

    Returns:
        The messages to replace, without the calls that nobody answered; removed where nothing else
        is in them.
    """
    answered = {one.tool_call_id for one in messages if isinstance(one, ToolMessage)}
    update: list[BaseMessage] = []
    for message in messages:
        if not isinstance(message, AIMessage) or message.id is None:
            continue
        kept = frozenset(str(call["id"]) for call in message.tool_calls) & answered
        if len(kept) == len(message.tool_calls):
            continue
        bare = _without_calls(message, keep=kept)
        empty = not kept and not bare.text.strip()
        update.append(RemoveMessage(message.id) if empty else bare)
    return update


@dataclass
class _CallsOfTurn:
    """The calls since the user's last message.

    Attributes:
        repeated: Ids of the calls that were made before, with an answer or too many failures.
    """

    repeated: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, messages: Sequence[BaseMessage]) -> "_CallsOfTurn":
        failed = {
            one.tool_call_id: one.status == "error"
            for one in messages
            if isinstance(one, ToolMessage)
        }
        turn, tries = cls(), dict[str, list[bool]]()
        for message in messages:
            if message.type == "human":
                turn, tries = cls(), {}
            if not isinstance(message, AIMessage):
                continue
            for call in message.tool_calls:
                before = tries.setdefault(f"{call['name']} {sorted(call['args'].items())!r}", [])
                if not all(before) or len(before) >= FAILED_TRIES:
                    turn.repeated.add(str(call["id"]))
                # one of the same message has no answer yet: it counts as one that will do
                before.append(failed.get(str(call["id"]), False))
        return turn


def _answer(call: Any, text: str) -> ToolMessage:
    return ToolMessage(text, name=call["name"], tool_call_id=call["id"], status="error")


def _without_calls(message: AIMessage, *, keep: frozenset[str]) -> AIMessage:
    """The message without its calls but some, in whatever form a provider's client keeps them."""
    content: Any = message.content
    if isinstance(content, list):
        content = [
            part
            for part in content
            if not isinstance(part, dict)
            or not any(word in str(part.get("type")) for word in ("function_call", "tool_"))
            or part.get("call_id", part.get("id")) in keep
        ]
    more = {
        name: value for name, value in message.additional_kwargs.items() if name != "tool_calls"
    }
    return message.model_copy(
        update={
            "content": content,
            "tool_calls": [call for call in message.tool_calls if call["id"] in keep],
            "invalid_tool_calls": [],
            "additional_kwargs": more,
        }
    )
