"""Passages and how they are found: chunks with their place, BM25 by words, embeddings where given.

The index of a set of sources is kept in the data folder by the hash of their content and the way
they were cut, so that a folder is read once.
"""

import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from allotrope.exceptions import InputError
from allotrope.graphs.work.sources.reading.loading import load_documents
from allotrope.stores.private import write_whole

if TYPE_CHECKING:
    from langchain_core.documents import Document

MAX_PASSAGES = 50_000
FORMAT = 2
"""Goes into the hash; raise it when passages change."""
_WORD = re.compile(r"[^\W_]+")

_STOP_WORDS = """
a an the of in on at to for from by with and or but as is are was were be been being it its
this that these those there their they he she we you i has have had do does did will would
can could may might shall should also than then which who whom whose what when where while
into over under about more most some such only other each per der die das ein eine und oder
ist sind war waren von mit für auf zu im am den dem des
"""
STOP = frozenset(_STOP_WORDS.split())
"""Words that say nothing about a text, English and German."""

LONGEST_WORD = 64
"""Characters of a word that count; the stems of 50,000 words are kept."""

Embed = Callable[[Sequence[str]], Sequence[Sequence[float]]]
"""Texts to vectors, for example `embeddings.embed_documents`."""


@dataclass(frozen=True)
class SourceDocument:
    """Something to read.

    Args:
        name: A path or an address, as it is cited.
        raw: Its bytes.
        kind: A file name whose suffix says what it is; default: the name.
    """

    name: str
    raw: bytes
    kind: str = ""


@dataclass(frozen=True)
class Passage:
    """A piece of a source.

    Args:
        source: Path or address.
        place: Page, row or part, for people.
        text: As it stands in the source.
    """

    source: str
    place: str
    text: str

    def as_dict(self) -> dict[str, str]:
        """Plain values for a graph's state."""
        return asdict(self)


def words(text: str) -> list[str]:
    """The words of a text for BM25: lower case, shortened to their stems.

    Args:
        text: A passage or a question.
    """
    stem = _stemmer()
    return [stem(word[:LONGEST_WORD]) for word in _WORD.findall(text.lower())]


def terms(text: str) -> list[str]:
    """The words of a text that say what it is about.

    Args:
        text: A passage or a question.
    """
    stem = _stemmer()
    found = _WORD.findall(text.lower())
    return [stem(word[:LONGEST_WORD]) for word in found if word not in STOP]


@lru_cache(maxsize=1)
def _stemmer() -> Callable[[str], str]:
    import snowballstemmer

    stem: Callable[[str], str] = lru_cache(maxsize=50_000)(
        snowballstemmer.stemmer("english").stemWord
    )
    return stem


@lru_cache(maxsize=4)
def _ranker(passages: tuple[Passage, ...]) -> tuple[list[frozenset[str]], Any]:
    """The words of each passage, and BM25+ over them (the weight of a word is never negative)."""
    from rank_bm25 import BM25Plus

    bags = [terms(one.text) or ["-"] for one in passages]
    return [frozenset(bag) for bag in bags], BM25Plus(bags)


def passages_of(
    sources: Sequence[SourceDocument], *, chars: int
) -> tuple[list[Passage], list[str]]:
    """Cuts sources into passages at paragraphs, sentences or words.

    Args:
        sources: What to read.
        chars: Longest passage in characters.

    Returns:
        The passages, and a sentence for each source that can't be read.
    """
    from langchain_text_splitters import RecursiveCharacterTextSplitter

    splitter = RecursiveCharacterTextSplitter(
        chunk_size=chars,
        chunk_overlap=min(150, chars // 8),
        separators=["\n## ", "\n# ", "\n\n", "\n", ". ", " ", ""],
        keep_separator="start",
    )
    passages: list[Passage] = []
    problems: list[str] = []
    for source in sources:
        try:
            documents = load_documents(source.raw, name=source.kind or source.name)
        except InputError as exc:
            problems.append(str(exc))
            continue
        for number, piece in enumerate(splitter.split_documents(_joined(documents, chars)), 1):
            facts = piece.metadata
            place = next(
                (f"{label} {facts[label]}" for label in ("page", "row") if label in facts),
                f"part {number}",
            )
            passages.append(Passage(source.name, place, piece.page_content.strip()))
    if len(passages) > MAX_PASSAGES:
        raise InputError(
            f"The sources have {len(passages)} passages; {MAX_PASSAGES} is the limit.",
            hint="Name fewer files.",
        )
    return passages, problems


def _joined(documents: "list[Document]", chars: int) -> "list[Document]":
    """Rows of a table joined up to a passage's length, so that a row isn't a passage."""
    if not documents or "row" not in documents[0].metadata:
        return documents
    joined: list[Document] = []
    for document in documents:
        last = joined[-1] if joined else None
        if last and len(last.page_content) + len(document.page_content) < chars:
            last.page_content += "\n\n" + document.page_content
        else:
            joined.append(document)
    return joined


def cached_passages(
    sources: Sequence[SourceDocument], *, chars: int, folder: Path
) -> tuple[Sequence[Passage], Sequence[str]]:
    """As `passages_of`, kept in a folder by the hash of the content, and the latest in memory.

    A turn asks for them once for each sub-question.

    Args:
        sources: What to read.
        chars: Longest passage in characters.
        folder: Where it is kept; made when missing.
    """
    digest = hashlib.sha256(f"{FORMAT} {chars}".encode())
    for source in sources:
        digest.update(f"\n{source.name}\n".encode())
        digest.update(hashlib.sha256(source.raw).digest())
    path = folder / f"{digest.hexdigest()[:32]}.json"
    with _lock:
        found = _latest.pop(path, None)
    if found is None:
        found = _kept(path) or _read(sources, path, chars=chars)
    with _lock:
        _latest[path] = found
        while len(_latest) > LATEST:
            _latest.popitem(last=False)
    return found


LATEST = 4
"""Sets of sources whose passages stay in memory."""
_latest: OrderedDict[Path, tuple[tuple[Passage, ...], tuple[str, ...]]] = OrderedDict()
_lock = Lock()


def _kept(path: Path) -> tuple[tuple[Passage, ...], tuple[str, ...]] | None:
    """What a file has; None where it isn't there yet, or is broken."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return tuple(Passage(**one) for one in kept["passages"]), tuple(kept["problems"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _read(
    sources: Sequence[SourceDocument], path: Path, *, chars: int
) -> tuple[tuple[Passage, ...], tuple[str, ...]]:
    passages, problems = passages_of(sources, chars=chars)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    kept = {"passages": [one.as_dict() for one in passages], "problems": problems}
    write_whole(path, json.dumps(kept))
    return tuple(passages), tuple(problems)


def search(
    passages: Sequence[Passage], question: str, *, most: int, embed: Embed | None = None
) -> list[Passage]:
    """The passages nearest to a question.

    Args:
        passages: All there are.
        question: What is looked for.
        most: Passages at most.
        embed: Also compare by meaning; the two orders are joined by reciprocal rank (Cormack et
            al., 2009, k = 60).

    Returns:
        The nearest first; none that shares no word with the question, unless by meaning.
    """
    asked = terms(question)
    if not passages or not question.strip():
        return []
    bags, ranker = _ranker(tuple(passages))
    scores = ranker.get_scores(asked)
    shared = [at for at, bag in enumerate(bags) if not bag.isdisjoint(asked)]
    by_word = sorted(shared, key=lambda at: (-scores[at], at))[: most * 3]
    if embed is None:
        return [passages[at] for at in by_word[:most]]
    import numpy as np

    matrix = np.asarray(embed([question, *(one.text for one in passages)]), dtype=float)
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True) + 1e-12
    by_meaning = np.argsort(-(matrix[1:] @ matrix[0]))[: most * 3].tolist()
    ranks: dict[int, float] = {}
    for order in (by_word, by_meaning):
        for rank, at in enumerate(order):
            ranks[at] = ranks.get(at, 0.0) + 1 / (60 + rank)
    best = sorted(ranks, key=lambda at: (-ranks[at], at))[:most]
    return [passages[at] for at in best]
