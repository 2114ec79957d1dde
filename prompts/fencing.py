"""Untrusted text as data: fenced, labelled, and unable to end its own fence.

    <quoted_data name="documents" source="report.pdf">
    …
    </quoted_data>

The fence is a convention that the templates explain to the model; it can't force a model to obey.
What it does guarantee is that the fence is real: text inside can't hold anything that reads as the
fence's tag (in any case, spacing, look-alike letters or with invisible characters in between), nor
a chat format's control token (`<|im_end|>`, `[INST]`, `</s>`, `<start_of_turn>` …), which a local
model's tokenizer would take for the border of a message. All other text stays as it is, code and
HTML too; only controls, bidi overrides and tag characters, which hide text from people, are taken
out.
"""

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

TAG = "quoted_data"

_REMOVED = re.compile(
    "[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069"
    "\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_INVISIBLE = re.compile(f"{_REMOVED.pattern[:-1]}\u200b-\u200f\u2060-\u2065\ufeff]")
_SKIP = "\u200b"  # what invisible characters and accents count as when a tag is looked for
_BRACKETS = "<＜﹤≮‹〈〈⟨⟪《«˂˱ᐸᚲ❮❰❬⦑⦓⧼≪⋘≺︿︽𝈶⩽≤⪡⟮"
_SLASHES = "/⁄∕⧸╱／"
_CONFUSABLE = {
    **dict.fromkeys(_BRACKETS, "<"),
    **dict.fromkeys("［﹇", "["),
    **dict.fromkeys(_SLASHES, "/"),
    **dict.fromkeys("|｜│¦ǀ∣", "|"),
    **dict(zip("аɑατтɗԁоοеҽυս", "aaattddooeeuu", strict=True)),
    **dict.fromkeys("_‿ˍ＿﹍﹎﹏", "_"),
}


def _loose(word: str) -> str:
    """A pattern for a word with invisible characters anywhere in it."""
    return f"{_SKIP}*".join(re.escape(letter) for letter in word)


_GAP = rf"[\s{_SKIP}]*"
_OPENS_TAG = re.compile(rf"<{_GAP}(?:/{_GAP})*{_loose(TAG)}", re.IGNORECASE)
_WORD = re.compile(_loose(TAG), re.IGNORECASE)
_MARKS = (
    "repo_?name|file_sep|gh_stars|issue_(?:start|comment|closed)|jupyter_(?:start|text|code|output"
    "|script)|empty_output|endoftext|eot|eom|start_of_image|end_of_image|"
    "start_of_turn|end_of_turn|bos|eos|pad|unk|s|tool_call|tool_response|think|image|"
    "begin_of_text|end_of_text|extra_id_\\d+|mask|cls|sep|fim_\\w+"
)
_OPENS_TOKEN = re.compile(
    rf"<(?:\|[^|<>\s]{{1,40}}\|>|/?(?:{_MARKS})>|</?SYS>>)|\[/?(?:INST|SYS|"
    r"AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|SYSTEM_PROMPT)\]",
    re.IGNORECASE,
)
_SUSPECT = re.compile(f"[{_BRACKETS}\\[［﹇]")
_TAKEN_OUT = re.compile(rf"&lt;[\s/{_SKIP}]*\Z")
_LABEL = re.compile(r"[^\w .,:;/\\@#()+-]")


class Fenced(str):
    """Text that is fenced already; a template puts it in as it is."""

    __slots__ = ()


class Trusted(str):
    """Our own words, of which a template changes nothing. Never make one of somebody else's."""

    __slots__ = ()


class _Learnt:
    """The control tokens of local models that this process runs, read from their vocabularies."""

    tokens: frozenset[str] = frozenset()
    opens: "re.Pattern[str] | None" = None


def learn_tokens(tokens: Iterable[str]) -> None:
    """From now on these are control tokens too, in every text that crosses the border.

    Args:
        tokens: As they stand in a model's vocabulary, `<reponame>`.
    """
    known = _Learnt.tokens | {token for token in tokens if len(token) > 1}
    if known != _Learnt.tokens:
        longest_first = sorted(known, key=len, reverse=True)
        _Learnt.opens = re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE)
        _Learnt.tokens = known


def visible(text: str) -> str:
    """Text without characters that people don't see but models read: controls, zero-width, tags.

    Args:
        text: What a file or page holds.
    """
    return _INVISIBLE.sub("", text)


def neutralise(text: str, *, tags: bool = True) -> str:
    """Text without anything that reads as a fence's tag or as a chat format's control token.

    A `<` or `[` that opens one becomes `&lt;` or `&#91;`. The name of the fence's tag doesn't stay
    behind any other sign either: its `_` becomes `&#95;`.

    Args:
        text: What someone else wrote.
        tags: Whether the fence's own tags are taken out; not for text that holds fences of ours.
    """
    text = _REMOVED.sub("", text)
    learnt = _Learnt.opens
    plain = text if text.isascii() else "".join(map(_plain, text))
    marks: dict[int, str] = {}
    for match in _SUSPECT.finditer(text):
        at = match.start()
        if (tags and _OPENS_TAG.match(plain, at)) or _OPENS_TOKEN.match(plain, at):
            marks[at] = "&#91;" if plain[at] == "[" else "&lt;"
    if learnt is not None:
        for match in learnt.finditer(plain):
            sign = plain[match.start()]
            entity = {"<": "&lt;"}.get(sign, f"&#{ord(sign)};")
            marks.setdefault(match.start(), entity)
    if tags:
        opened = {found.end() for at in marks if (found := _OPENS_TAG.match(plain, at))}
        for match in _WORD.finditer(plain):
            if match.end() not in opened and not _opened_before(plain, match.start()):
                marks[plain.index("_", match.start())] = "&#95;"
    if not marks:
        return text
    pieces: list[str] = []
    last = 0
    for at in sorted(marks):
        pieces += (text[last:at], marks[at])
        last = at + 1
    return "".join((*pieces, text[last:]))


def _opened_before(plain: str, at: int) -> bool:
    """Whether what stands before a tag's name is a bracket that was taken out before."""
    return _TAKEN_OUT.search(plain, max(0, at - 40), at) is not None


def _plain(character: str) -> str:
    """What a character looks like, always as one character, so that positions stay the same."""
    if character < "\x80":
        return character
    known = _CONFUSABLE.get(character)
    if known is not None:
        return known
    if unicodedata.category(character)[0] in "MC" or character in "\u115f\u1160\u3164\uffa0":
        return _SKIP
    base = unicodedata.normalize("NFKD", character)[0]
    if base.isspace():
        return " "
    base = _CONFUSABLE.get(base, base)
    return base if base < "\x80" else character


def fence(text: str, *, name: str, source: str | None = None) -> Fenced:
    """Puts untrusted text between the fence's tags.

    Args:
        text: What someone else wrote; neutralised first. Empty text stays empty.
        name: What it is, such as the slot's name.
        source: Where it is from: a file's name, an address, a message's id.

    Returns:
        The fenced text.
    """
    if not text.strip():
        return Fenced("")
    label = f'<{TAG} name="{_label(name)}"'
    if source:
        label += f' source="{_label(source)}"'
    return Fenced(f"{label}>\n{neutralise(text).strip()}\n</{TAG}>")


def fence_all(pieces: list[tuple[str, str]], *, name: str) -> Fenced:
    """Several pieces of text, each in its own fence with its source.

    Args:
        pieces: Pairs of source and text.
        name: What they are.
    """
    return Fenced("\n".join(f for s, t in pieces if (f := fence(t, name=name, source=s))))


@lru_cache(maxsize=512)
def _label(text: str) -> str:
    one_line = _LABEL.sub("_", " ".join(neutralise(text).split()))
    return one_line[:120]
