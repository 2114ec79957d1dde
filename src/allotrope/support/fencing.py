"""The border to models: whose a text is, and untrusted text as data that can't end its own fence.

    <quoted_data name="documents" source="report.pdf" id="k3fq7aeb">
    …
    </quoted_data id="k3fq7aeb">

The fence is a convention that the templates explain to the model; it can't force a model to obey.
What it does guarantee is that the fence is real: text inside can't hold anything that reads as the
fence's tag (in any case, spacing, look-alike letters or with invisible characters in between), nor
a chat format's control token (`<|im_end|>`, `[INST]`, `</s>`, `<start_of_turn>` …), which a local
model's tokenizer would take for the border of a message. All other text stays as it is, code and
HTML too; only controls, bidi overrides and tag characters, which hide text from people, are taken
out. Beyond that, the tags carry an id that nobody who writes the text can know: a code of the text
with this installation's secret. Equal texts have equal ids, so equal prompts stay equal.
"""

import base64
import hmac
import re
import secrets
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NoReturn, TypeAlias

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from allotrope.support import look_alikes
from allotrope.support.remembered import remembered

TAG = "quoted_data"
LONGEST_TOKEN = 100
"""Characters of a control token; longer entries of a vocabulary are no borders."""

_REMOVED = re.compile(
    "[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069"
    "\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_INVISIBLE = re.compile(f"{_REMOVED.pattern[:-1]}\u200b-\u200f\u2060-\u2065\ufeff]")
_SKIP = "\u200b"  # what invisible characters and accents count as when a tag is looked for
_BRACKETS = "<＜﹤≮‹〈〈⟨⟪《«˂˱ᐸᚲ❮❰❬⦑⦓⧼≪⋘≺︿︽𝈶⩽≤⪡⟮"
_SLASHES = "/⁄∕⧸╱／"
_CONFUSABLE = {
    **{sign: plain for plain, signs in look_alikes.OF.items() for sign in signs},
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
_SUSPECT = re.compile(f"[{_BRACKETS}{look_alikes.OF['<']}\\[［﹇]")
_TAKEN_OUT = re.compile(rf"&lt;[\s/{_SKIP}]*\Z")
_LABEL = re.compile(r"[^\w .,:;/\\@#()+-]")


@dataclass(frozen=True, slots=True)
class Untrusted:
    """Text that somebody else wrote: a user, a file, a page, a tool, a model, a memory.

    It is no `str`, so that it can't slip into a text of ours: a template takes it in, and
    neutralises or fences it.

    Args:
        text: As it was written.
    """

    text: str

    def __str__(self) -> NoReturn:
        """Refused: an f-string would make our own words of somebody else's."""
        raise TypeError("Text from outside goes into a prompt by a template; its own is `.text`.")

    def __format__(self, spec: str) -> NoReturn:
        """Refused, as `str` is."""
        str(self)
        raise AssertionError  # never reached


class Fenced(str):
    """Text that `fence` made; a template puts it in as it is."""

    __slots__ = ()


class Trusted(str):
    """Our own words, of which a template changes nothing. Never make one of somebody else's."""

    __slots__ = ()


Text: TypeAlias = Untrusted | Trusted | Fenced
"""A text that says whose it is; a plain `str` doesn't, and no template takes it."""

Value: TypeAlias = (
    Text
    | int
    | float
    | tuple["Value", ...]
    | list[Untrusted]
    | Mapping[str, "Value"]
    | Sequence[BaseMessage]
    | None
)
"""What a template's variable can be."""


def untrusted(value: Any) -> Any:
    """A value with every plain text in it marked as somebody else's; what is marked stays.

    Args:
        value: A text, a list or mapping with texts, or anything else.
    """
    if isinstance(value, str) and not isinstance(value, Trusted | Fenced):
        return Untrusted(value)
    if isinstance(value, list | tuple):
        return [untrusted(item) for item in value]
    if isinstance(value, Mapping):
        return {key: untrusted(item) for key, item in value.items()}
    return value


def has_plain_text(value: Any) -> bool:
    """Whether there is a text in a value that doesn't say whose it is.

    Args:
        value: As for `untrusted`.
    """
    if isinstance(value, str):
        return not isinstance(value, Trusted | Fenced)
    if isinstance(value, list | tuple):
        return any(has_plain_text(item) for item in value)
    if isinstance(value, Mapping):
        return any(has_plain_text(item) for item in value.values())
    return False


class _Learnt:
    """The control tokens of local models that this process runs, read from their vocabularies."""

    tokens: frozenset[str] = frozenset()
    opens: "re.Pattern[str] | None" = None


def learn_tokens(tokens: Iterable[str]) -> None:
    """From now on these are control tokens too, in every text that crosses the border.

    Args:
        tokens: As they stand in a model's vocabulary, `<reponame>`.
    """
    known = _Learnt.tokens | set(filter(_is_mark, tokens))
    if known != _Learnt.tokens:
        _Learnt.opens = re.compile(_branches(sorted(known)))
        _Learnt.tokens = known


def _is_mark(token: str) -> bool:
    """Whether a token reads as a border; vocabularies also list indents and plain words."""
    return (
        1 < len(token) <= LONGEST_TOKEN and not token[0].isalnum() and any(map(str.isalnum, token))
    )


def _branches(tokens: Sequence[str]) -> str:
    """A pattern for sorted texts that looks at each character once, however many texts there are.

    Models have thousands (`<unused0>` to `<unused6241>`), and an alternation tries them all.
    """
    branches = []
    for first, group in groupby(tokens, key=lambda token: token[:1]):
        if first:
            rest = _branches([token[1:] for token in group])
            branches.append(re.escape(first) + rest)
    whole = "" in tokens
    if not branches:
        return ""
    inner = branches[0] if len(branches) == 1 and not whole else f"(?:{'|'.join(branches)})"
    return f"{inner}?" if whole else inner


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
    inside = neutralise(text).strip()
    mark = f'id="{_id(label, inside)}"'
    return Fenced(f"{label} {mark}>\n{inside}\n</{TAG} {mark}>")


def fence_all(pieces: list[tuple[str, str]], *, name: str) -> Fenced:
    """Several pieces of text, each in its own fence with its source.

    Args:
        pieces: Pairs of source and text.
        name: What they are.
    """
    return Fenced("\n".join(f for s, t in pieces if (f := fence(t, name=name, source=s))))


class _Secret:
    """What ids of fences are made with: this installation's, else one of this process."""

    value: bytes = b""


def use_secret(secret: bytes) -> None:
    """From now on ids of fences are made with this.

    Args:
        secret: Of the installation; others can't know it.
    """
    _Secret.value = secret


def _id(label: str, text: str) -> str:
    """Forty bits: whoever guesses has one try for each text, and each other text has another id."""
    if not _Secret.value:
        use_secret(secrets.token_bytes(32))
    written = f"{label}\0{text}".encode("utf-8", "surrogatepass")
    code = hmac.digest(_Secret.value, written, "sha256")
    return base64.b32encode(code[:5]).decode().lower()


@remembered(most=512)
def _label(text: str) -> str:
    one_line = _LABEL.sub("_", " ".join(neutralise(text).split()))
    return one_line[:120]


def neutralised_message(message: BaseMessage, *, tags: bool = True) -> BaseMessage:
    """A message without a chat format's tokens; a copy where something was taken out.

    A tool's result keeps the fences that the tool put around what it read.

    Args:
        message: Of a conversation, whoever's it is: clients send system messages, too.
        tags: Whether fences' tags are taken out; not for messages that a template made.
    """
    tags = tags and not isinstance(message, ToolMessage)

    def clean(value: Any) -> Any:
        if isinstance(value, str):
            return neutralise(value, tags=tags)
        if isinstance(value, list):
            return [clean(item) for item in value]
        if isinstance(value, Mapping):
            return {key: clean(item) for key, item in value.items()}
        return value

    def clean_block(block: Any) -> Any:
        if isinstance(block, Mapping) and isinstance(block.get("text"), str):
            return {**block, "text": clean(block["text"])}
        return clean(block) if isinstance(block, str) else block

    content = message.content
    new = clean(content) if isinstance(content, str) else [clean_block(block) for block in content]
    changed: dict[str, Any] = {} if new == content else {"content": new}
    if isinstance(message, AIMessage) and message.tool_calls:
        calls = [{**call, "args": clean(call["args"])} for call in message.tool_calls]
        if calls != message.tool_calls:
            changed["tool_calls"] = calls
    return message.model_copy(update=changed) if changed else message
