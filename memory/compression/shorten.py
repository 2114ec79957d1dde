"""Shortening one text or message to a number of tokens: its middle goes, with a notice."""

from langchain_core.messages import BaseMessage

from allotrope.memory.tokens.counting import TokenCounter
from allotrope.stores.vocabulary import o200k_base, token_ids

_NOTICE = "\n[… {left_out} characters left out to fit the context window …]\n"


def middle_out(text: str, *, tokens: int, counter: TokenCounter) -> str | None:
    """The start and the end of a text, with a notice between; None if even that is too long.

    Args:
        text: The text.
        tokens: The most it may cost.
        counter: Counts it.
    """
    if counter.text(text) <= tokens:
        return text
    encoding = o200k_base()
    ids = token_ids(text)
    low, high, best = 0, len(ids), None
    while low <= high:
        keep = (low + high) // 2
        head = encoding.decode(ids[: (keep * 2 + 2) // 3], errors="ignore")
        tail = encoding.decode(ids[len(ids) - keep // 3 :], errors="ignore") if keep >= 3 else ""
        notice = _NOTICE.format(left_out=max(0, len(text) - len(head) - len(tail)))
        candidate = f"{head}{notice}{tail}"
        if counter.text(candidate) <= tokens:
            best, low = candidate, keep + 1
        else:
            high = keep - 1
    return best


def shorten(message: BaseMessage, *, tokens: int, counter: TokenCounter) -> BaseMessage | None:
    """A copy of a message that costs at most so many tokens; None if that can't be done.

    Images and other parts that aren't text are left out with a note before text is touched.
    """
    if counter.message(message) <= tokens:
        return message
    text = message.content if isinstance(message.content, str) else _flattened(message)
    overhead = counter.message(message.model_copy(update={"content": "x"})) - counter.text("x")
    short = middle_out(text, tokens=tokens - overhead, counter=counter)
    while short is not None:
        copy = message.model_copy(update={"content": short})
        if counter.message(copy) <= tokens:
            return copy
        short = middle_out(text, tokens=counter.text(short) - 1, counter=counter)
    return None


def _flattened(message: BaseMessage) -> str:
    parts: list[str] = []
    for part in message.content:
        if isinstance(part, str):
            parts.append(part)
        elif isinstance(part.get("text"), str):
            parts.append(part["text"])
        else:
            parts.append(f"[{part.get('type', 'attachment')} left out: too large]")
    return "\n".join(parts)
