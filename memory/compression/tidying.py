"""What old messages can do without when room is short: filler, and texts that come again later."""

import re
from collections.abc import Iterable, Sequence

from langchain_core.messages import AIMessage, BaseMessage

from allotrope.memory.context.pieces import Piece
from allotrope.memory.tokens.counting import TokenCounter

AGAIN = "[The same text comes again below, word for word.]"
"""What stands for a text that a later message of the prompt has too."""

_OPENING = re.compile(
    r"(?:(?:Great|Good) question[!.]"
    r"|(?:(?:Sure|Certainly|Of course|Absolutely)[,!.] )?"
    r"I(?:'d| would|'m| am) (?:be )?(?:happy|glad) to help(?: you)?(?: with (?:that|this))?[!.]"
    r"|Thank(?:s| you) for (?:asking|your question)[!.])(?:[ \t]+|\s*\n\s*)"
)
"""A bare `Sure!` isn't among them: it may be the answer."""
_LONGEST_CLOSING = 200
_CLOSING = re.compile(
    r"(?:(?:Please )?(?:let me know|feel free to (?:ask|reach out))"
    r" if (?:you have|there are|you need) (?:any |anything )?"
    r"(?:other |more |further |additional |else)?(?:questions?|help|details?)?[.!]?"
    r"|I hope (?:this|that) helps[.!]"
    r"|Is there anything else I can help you with\?)\Z",
    re.IGNORECASE,
)


def without_filler(text: str) -> str:
    """An answer without the phrases at its start and end that say nothing; never empty.

    Whole sentences of a fixed list only, outside everything else: code, quotes, numbers, names and
    links stay to the letter.

    Args:
        text: An assistant's old answer.
    """
    short = text
    while (found := _OPENING.match(short)) is not None:
        short = short[found.end() :]
    while (end := _closing_at(short)) is not None:
        short = short[:end]
    return short if short.strip() else text


def _closing_at(text: str) -> int | None:
    """Where the closing phrase of a text begins, after the end of a sentence or line."""
    whole = text.rstrip()
    found = _CLOSING.search(whole, max(0, len(whole) - _LONGEST_CLOSING))
    if found is None:
        return None
    before = whole[: found.start()].rstrip()
    if before[-1:] in tuple(".!?:)`"):
        return len(before)
    line = whole.find("\n", len(before), found.start())
    return None if line < 0 else line + 1


def tidied(
    past: Sequence[Piece], later: Iterable[BaseMessage], counter: TokenCounter
) -> list[Piece]:
    """Old pieces without filler, and with a reference where a later message has the same text.

    The prompt is filled from its end, so that a later copy is in whenever an earlier one is.

    Args:
        past: Old pieces, in order.
        later: What comes after them and is surely in the prompt.
        counter: Counts.
    """
    seen = {message.content for message in later if isinstance(message.content, str)}
    least = counter.text(AGAIN)
    result: list[Piece] = []
    for piece in reversed(past):
        copies: list[BaseMessage] = []
        for message in reversed(piece.messages):
            text = message.content
            if isinstance(text, str) and message.type != "system":
                if text in seen and counter.text(text) > least:
                    message = message.model_copy(update={"content": AGAIN})
                else:
                    seen.add(text)
                    if isinstance(message, AIMessage):
                        short = without_filler(text)
                        if short != text:
                            message = message.model_copy(update={"content": short})
            copies.append(message)
        result.append(Piece(piece.kind, tuple(reversed(copies)), piece.at))
    return list(reversed(result))
