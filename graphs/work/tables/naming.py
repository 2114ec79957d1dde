"""What a message to the analyst is about: files with blanks in their names, or only thanks."""

import re
from collections.abc import Sequence
from pathlib import Path

from allotrope.exceptions import InputError
from allotrope.graphs.work.sources.reading.files import allowed_file, decode, inside

DEFINITIONS = (
    "definitions.md", "data_dictionary.md", "data_dictionary.csv", "data_dictionary.txt",
    "dictionary.md", "dictionary.csv",
)  # fmt: skip
"""Files beside the data that say what its words mean; they are read without being named."""
MAX_DEFINITIONS = 6_000
"""Characters of such files that go into the prompt."""
_THANKS = frozenset(
    """
    thanks thank thx ty cheers great perfect nice cool awesome excellent wonderful super ok okay
    alright got understood bye goodbye hello hi hey morning evening appreciated danke dank
    dankeschön prima toll klasse klar verstanden hallo tschüss merci gracias helpful good
    """.split()  # noqa: SIM905 # a list of words reads better as words
)
_BESIDE = frozenset(
    """
    you fine it that's thats all is was very much so for now a lot the your help job work well done
    vielen alles gut schön see this that really again exactly right what i needed needed just im
    please an to me and
    """.split()  # noqa: SIM905 # a list of words reads better as words
)


def is_courtesy(text: str) -> bool:
    """Whether a message only thanks, greets or agrees; then there is nothing to query.

    Args:
        text: The user's message.
    """
    low = text.strip().lower().replace("’", "'")
    words = re.findall(r"[^\W\d_]+(?:'[a-z]+)?", low[:200])
    if not words or len(low) > 120 or "?" in low or re.search(r"\d", low):
        return False
    return bool(_THANKS & set(words)) and all(word in _THANKS | _BESIDE for word in words)


def whole_name(name: str, text: str, *, roots: Sequence[Path]) -> str:
    """A file's name with the words before it that belong to it: `sales figures.csv`.

    Args:
        name: The last word of a name, as found in the text.
        text: The message.
        roots: Folders that may be read.

    Returns:
        The longest name that exists, or `name`.
    """
    if _there(name, roots):
        return name
    at = text.find(name)
    before = text[:at].split(" ") if at > 0 else []
    best = name
    longer = name
    for word in reversed(before[-6:]):
        longer = f"{word.lstrip('(“„')} {longer}".lstrip()
        if _there(longer, roots):
            best = longer
    return best


def _there(name: str, roots: Sequence[Path]) -> bool:
    try:
        inside(name, roots=roots)
    except InputError:
        return False
    return True


def definitions(files: Sequence[str], *, roots: Sequence[Path]) -> str:
    """What the files of definitions beside the data say, for the prompt; empty without any.

    Args:
        files: The data files.
        roots: Folders that may be read.
    """
    texts = []
    for folder in dict.fromkeys(Path(file).parent for file in files):
        for name in DEFINITIONS:
            try:
                path = allowed_file(folder / name, roots=roots, max_bytes=1_000_000)
                text = decode(path.read_bytes(), name=name).strip()
            except (InputError, OSError):
                continue
            if text:
                texts.append(f"Definitions from {name}; they decide what words mean:\n{text}")
    joined = "\n\n".join(texts)
    cut = joined[:MAX_DEFINITIONS] + (" … (cut)" if len(joined) > MAX_DEFINITIONS else "")
    return f"\n\n{cut}" if cut else ""
