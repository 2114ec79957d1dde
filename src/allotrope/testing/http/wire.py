"""A reply made ready for the wire: ids, token counts and pieces settled once for all APIs."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from allotrope.testing.content.replies import Asked, Reply
from allotrope.testing.content.tokens import Counter, count_turns, pieces


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a wire format needs to write a reply; `tool_calls` are (id, name, arguments).

    `thought` says whether a reasoning item stands in it, `sealed` is that item's encrypted content.
    """

    id: str
    created: int
    model: str
    text: str
    pieces: tuple[str, ...]
    tool_calls: tuple[tuple[str, str, str], ...]
    refusal: str | None
    finish_reason: str
    input_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cached_tokens: int
    cache_write_tokens: int | None = None
    effort: str | None = None
    thought: bool = False
    sealed: str | None = None

    @property
    def usage(self) -> dict[str, int]:
        """Its tokens by kind."""
        return {
            "input": self.input_tokens,
            "cached": self.cached_tokens,
            "cache_write": self.cache_write_tokens or 0,
            "output": self.output_tokens,
            "reasoning": self.reasoning_tokens,
        }


def settle(
    reply: Reply,
    asked: Asked,
    *,
    model: str,
    created: int,
    counter: Counter,
    reasoning_tokens: int = 0,
) -> Answer:
    """Counts, cuts to the token limit, and names what the reply leaves open.

    Hidden tokens are spent first, as by the real reasoning models: a limit they use up leaves an
    empty answer with finish_reason `length`.

    Args:
        reply: What the script answers.
        asked: The request.
        model: The snapshot the reply names.
        created: Unix time in seconds.
        counter: Tokens of a text.
        reasoning_tokens: Hidden tokens where the reply names none.
    """
    hidden = reasoning_tokens if reply.reasoning_tokens is None else reply.reasoning_tokens
    shown = pieces(reply.text)
    finish = "tool_calls" if reply.tool_calls else "stop"
    if asked.max_tokens is not None:
        room = asked.max_tokens - hidden
        if room < 0:
            hidden, room = asked.max_tokens, 0
        if len(shown) > room:
            shown, finish = shown[:room], "length"
    text = "".join(shown)
    calls = tuple(
        (call.id or f"call_{uuid.uuid4().hex[:24]}", call.name, arguments_text(call.arguments))
        for call in reply.tool_calls
    )
    visible = reply.output_tokens
    if visible is None:
        visible = len(shown) if finish == "length" else counter(text + (reply.refusal or ""))
        visible += sum(counter(name + arguments) for _, name, arguments in calls)
        if asked.max_tokens is not None:
            visible = min(visible, max(0, asked.max_tokens - hidden))
    counted = reply.input_tokens
    return Answer(
        id=uuid.uuid4().hex[:29],
        created=created,
        model=model,
        text=text,
        pieces=tuple(shown),
        tool_calls=calls,
        refusal=reply.refusal,
        finish_reason=reply.finish_reason or finish,
        input_tokens=count_turns(asked.turns, counter) if counted is None else counted,
        output_tokens=visible + hidden,
        reasoning_tokens=hidden,
        cached_tokens=reply.cached_tokens or 0,
        cache_write_tokens=reply.cache_write_tokens,
    )


def arguments_text(arguments: Mapping[str, object] | str) -> str:
    """A tool call's arguments as JSON text; text goes through unchanged."""
    if isinstance(arguments, str):
        return arguments
    return json.dumps(arguments, ensure_ascii=False)
