"""Files and addresses in the user's own words: what a document asks for is never read."""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

_HOST = re.compile(r"(?<![a-z0-9-])[a-z0-9-]++(?:\.[a-z0-9-]++)++(?:/[^\s<>\"']*+)?", re.IGNORECASE)
_PIECE = re.compile(r"[\"'`]([^\"'`\n]++)[\"'`]|([^\s\"'`,;()<>]++)")
_FOLDER = re.compile(
    r"(?<![\w.~/-])(?:~|\.{1,2})?/?[\w.-]++(?:/[\w.-]++)*+/(?![\w/]|\.\w)", re.IGNORECASE
)
LONGEST = 1_000
"""Characters that a path or an address may have."""
_ADDRESS = re.compile(r"(?:https?://|www\.)[^\s<>\"'`]+", re.IGNORECASE)


def named_by_user(target: str, texts: Iterable[str]) -> bool:
    """Whether a file name or web address stands in the user's own words.

    Args:
        target: A path or an address, as a model wants to read it.
        texts: The user's messages of this thread; nobody else's.

    Returns:
        True for the same address (scheme `https://` and a closing slash may differ), or for a path
        of which the whole stands in a message.
    """
    wanted = target.strip()
    if not 0 < len(wanted) <= LONGEST:
        return False
    if "://" in wanted:
        return any(_plain(wanted) in _addresses(text) for text in texts)
    pattern = re.compile(rf"(?<![\w./\\-]){re.escape(wanted.removeprefix('./'))}(?![\w/\\-]|\.\w)")
    return any(pattern.search(text.replace("./", "")) for text in texts)


def _plain(address: str) -> str:
    scheme, _, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    safe = "" if scheme.lower() in ("http", "https") else scheme
    return f"{safe}{host.lower()}{slash}{path}".rstrip("/")


def _addresses(text: str) -> set[str]:
    found = set()
    for match in _ADDRESS.findall(text):
        whole = match if "://" in match else f"https://{match}"
        for ending in ("", ".", ",", ")", "?", "!", ";", ":", "]", ").", "),"):
            if whole.endswith(ending):
                found.add(_plain(whole.removesuffix(ending)))
    for word in _HOST.findall(text):
        found.add(_plain(f"https://{word.rstrip('.,;:!?)')}"))
    return found


def files_named(
    text: str, suffixes: Sequence[str], *, folders: bool = False, any_quoted: bool = False
) -> list[tuple[str, bool]]:
    """The files that a text names, in order.

    Args:
        text: The user's words.
        suffixes: Endings of files, `.csv`.
        folders: Whether folders count too, `notes/2026/`.
        any_quoted: Whether whatever stands in quotes is taken, with and without an ending.

    Returns:
        Names, and whether each stood in quotes.
    """
    ending = _ending(tuple(suffixes), folders)
    found: list[tuple[str, bool]] = []
    at = 0
    while (piece := _PIECE.search(text, at)) is not None:
        quoted, bare = piece.groups()
        if quoted is not None:
            taken = len(quoted) <= LONGEST and (
                any_quoted or quoted.lower().endswith(tuple(suffixes))
            )
            found += [(quoted, True)] if taken else []
            at = piece.end() if taken else piece.start() + 1
            continue
        at = piece.end()
        if len(bare) > LONGEST:
            continue
        ends = [match.end() for match in ending.finditer(bare, 1)]
        if ends:
            found.append((bare[: ends[-1]], False))
        elif folders:
            found += [(match.group(), False) for match in _FOLDER.finditer(bare)]
    return found


@lru_cache(maxsize=16)
def _ending(suffixes: tuple[str, ...], strict: bool) -> "re.Pattern[str]":
    after = r"(?![\w/]|\.\w)" if strict else r"(?![\w/])"
    return re.compile(rf"(?:{'|'.join(map(re.escape, suffixes))}){after}", re.IGNORECASE)
