"""Sentences of a text, and their words as they were written, for comparing two statements."""

import re
import unicodedata

from allotrope.memory.recall.scripts import MARKS, clusters, is_unspaced, runs

SENTENCE = re.compile(
    r"(?<=[.!?])(?<!\bDr\.)(?<!\bMr\.)(?<!\bMs\.)(?<!\bSt\.)(?<!\bNo\.)(?<!\bNr\.)(?<!\bMrs\.)"
    r"(?<!\bvs\.)(?<!\be\.g\.)(?<!\bi\.e\.)(?<!\b[A-Z]\.)(?<!\b\d\.)(?<!\b\d\d\.)\s+"
    r"|(?<=[。！？؟।॥])\s*|\n+"
)
"""Between sentences. A number of one or two digits before a full stop is a German day: 3. Mai."""
CLAUSE = re.compile(r"(?:[,;:،؛、，；：]|\s[-–—])(?=\D)\s*|—")
_TOKEN = re.compile(
    rf"[^\W\d_](?:[^\W\d_]|[{MARKS}]|['’](?=[^\W\d_]))*"
    r"|\d+(?:[.,:/-]\d+)*|[%‰°€$£¥₹+]|(?<!\w)[-−](?=\d)"
)
_LINK = re.compile(r"\b[a-z][a-z+]{1,9}://|\bwww\.|[\w.+-]{1,64}@\w|\bmailto:", re.IGNORECASE)


def sentences(text: str) -> list[str]:
    """The sentences of a text, blanks at their ends apart."""
    return [part for raw in SENTENCE.split(text) if (part := raw.strip())]


def has_link(text: str) -> bool:
    """Whether a text holds a web address or an address of mail."""
    return bool(_LINK.search(text))


def tokens(text: str) -> list[str]:
    """Words and numbers as written, folded; letters one by one where a script has no blanks.

    Numbers stay whole (`1,240`, `06:42`), signs of currency, share and minus stand alone.
    """
    found: list[str] = []
    for word in _TOKEN.findall(unicodedata.normalize("NFKC", text)):
        for run in runs(word):
            found += clusters(run) if is_unspaced(run) else [run.casefold().replace("’", "'")]
    return found
