"""Whether the user named a file or an address: what a document asks for is never read."""

import re
from collections.abc import Iterable

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
    if not wanted:
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
    for word in re.findall(r"[a-z0-9-]+(?:\.[a-z0-9-]+)+(?:/[^\s<>\"']*)?", text, re.IGNORECASE):
        found.add(_plain(f"https://{word.rstrip('.,;:!?)')}"))
    return found
