"""Makes models/cache/time_words.json: words that bind an answer to a moment, by language.

    pip install dateparser && npm pack cldr-annotations-full && tar xzf cldr-annotations-full-*.tgz
    python benchmarks/_time_words.py package/annotations

Relative days, weeks, months and years come from dateparser (BSD-3), which has them from Unicode's
CLDR. Words for weather, news, exchange rates and the clock come from the keywords that CLDR gives
emoji (Unicode License): a language's word for *weather* is the one on the emoji that have *weather*
in English. A common English word, such as *change*, is left out; one for a day or a year, such as
*sutra*, stands apart under `shared`: it counts in questions that aren't English.
"""

import importlib
import json
import pkgutil
import sys
import unicodedata
from collections import defaultdict
from pathlib import Path

import dateparser.data.date_translation_data as days
import numpy as np

OUT = Path(__file__).parents[1] / "models" / "cache" / "time_words.json"
TOPICS = {"weather": 0.45, "news": 0.66, "exchange": 1.0, "clock": 0.8}
"""English keyword, and how far (Dice) the emoji of a word must be the same."""

PAPER = "\U0001f4f0"
"""News has two emoji; words of the other one alone mean *rolled up*."""

SHORT = 3
"""Letters of a word that more often means something else: French *une*, on the front page."""

LANGUAGES = (
    "af am ar az be bg bn bs ca cs cy da de el en es et eu fa fi fil fr ga gl gu he hi hr hu hy id "
    "is it ja ka kk km kn ko ky lo lt lv mk ml mn mr ms my nb ne nl pa pl ps pt ro ru si sk sl sq "
    "sr sv sw ta te th tr uk ur uz vi yue zh zu"
)


def relative_words(language: str) -> set[str]:
    """Today, tomorrow, last week and their like."""
    names = {module.name for module in pkgutil.iter_modules(days.__path__)}
    if language not in names:
        return set()
    info = importlib.import_module(f"{days.__name__}.{language}").info
    found = set()
    for when, words in info.get("relative-type", {}).items():
        # `2 hours`, and what counts from an unknown day, isn't said of a question
        if when.startswith(("0 ", "1 ", "in 1 ")) and ("ago" in when or when.startswith("in")):
            found |= {word for word in words if len(word) > 1 and not word.isdigit()}
    return found


def keywords(folder: Path, language: str) -> dict[str, set[str]]:
    """Emoji by keyword."""
    file = folder / language / "annotations.json"
    found: dict[str, set[str]] = defaultdict(set)
    if file.is_file():
        about = json.loads(file.read_text(encoding="utf-8"))["annotations"]["annotations"]
        for emoji, words in about.items():
            for word in words.get("default", []) + words.get("tts", []):
                found[word.lower()].add(emoji)
    return found


def topic_words(folder: Path, language: str, english: dict[str, set[str]]) -> set[str]:
    """The words for `TOPICS`."""
    found = set()
    for word, emoji in keywords(folder, language).items():
        for topic, least in TOPICS.items():
            wanted = english[topic]
            near = 2 * len(emoji & wanted) / (len(emoji) + len(wanted))
            if near < least or len(word) == 1:
                continue
            if topic == "news" and near < 1 and (PAPER not in emoji or is_short(word)):
                continue
            found.add(word)
    return found


def is_short(word: str) -> bool:
    """Whether it is a short word of an alphabet; two signs of Chinese are a whole word."""
    return len(word) <= SHORT and ord(max(word)) < 0x0E00


def english_words() -> set[str]:
    """The common English words whose vectors are in the package."""
    with np.load(OUT.parent / "word_vectors.npz", allow_pickle=False) as data:
        return set(data["words"].tobytes().decode("ascii").split("\n"))


def bare(phrase: str) -> str:
    """A phrase in lower case without accents, as the policy looks it up."""
    parts = unicodedata.normalize("NFKD", phrase.lower())
    return "".join(char for char in parts if not unicodedata.combining(char))


def main() -> None:
    """Writes the file."""
    folder, known = Path(sys.argv[1]), english_words()
    english = keywords(folder, "en")
    words: dict[str, list[str]] = {}
    shared: set[str] = set()
    for language in LANGUAGES.split(" "):
        relative = relative_words(language)
        every = relative | topic_words(folder, language, english)
        words[language] = sorted(word for word in every if bare(word) not in known)
        if language != "en":
            shared |= {word for word in relative if bare(word) in known}
    words["shared"] = sorted(shared)
    lines = [
        f"{json.dumps(language)}: {json.dumps(found, ensure_ascii=False)}"
        for language, found in words.items()
        if found
    ]
    OUT.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
