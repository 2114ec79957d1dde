"""What a question says in so many characters: numbers, symbols, code, quotes, capital letters.

Words may be put otherwise and still ask the same. These may not.
"""

import re
from collections import Counter
from dataclasses import dataclass

from allotrope.models.cache.semantic.rules.normal import bare_letters, normalised
from allotrope.models.cache.semantic.words import STOPWORDS, number_of
from allotrope.support.remembered import remembered

_OPEN, _CLOSE = "([{\"'<", ")]}\"'>.,;:!?"
_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])(?:\.\d+)?")
_DOTTED = re.compile(r"(?:[^\W\d_]\.)+[^\W\d_]+")
"""`U.S.`, `B.Tech`: an abbreviation; `node.js` is a name."""
_PERCENT = re.compile(r"(\d) ?(?:percent|per cent)\b", re.IGNORECASE)
_QUOTED = re.compile(r"`([^`]*)`|\"([^\"]*)\"|(?<!\w)'([^']*)'(?!\w)")
_COLON = re.compile(r": (?=\S)")
_DIGIT = re.compile(r"\d")
_GLUED = re.compile(r"(?<=[^\W\d_])[)\]]?[,;!?]+(?=[^\W\d_]{2})")
_PLURAL = re.compile(r"(?<=[^\W\d_]{2})\(s\)")
_CODE = re.compile(r"[\[\](){}<>=*\\/_@`]")
_NAMED = re.compile(r"[A-Za-z]+(?:\+\+|#|\.[A-Za-z]{2,})?")
"""`C++`, `node.js`: names that are typed in any case."""

_UNIT = 4
"""Letters of the longest unit whose capitals count."""

_PLAIN = re.compile(r"['-]|(?<=[^\W\d_]{2})/(?=[^\W\d_]{2})")
_SENTENCE = re.compile(r"[.!?:]\"?$")
OPERATORS = frozenset("<>=≤≥≠≈*/^+-−÷×|&%")
_DASHES = frozenset(("-", "--", "/", "&"))
_ASKS = frozenset(
    """
    who whom whose what which when where why how is are was were
    do does did can could will would should may might must has have
    """.split()  # noqa: SIM905 - easier to read
)


@dataclass(frozen=True)
class Literals:
    """What is compared character by character.

    Args:
        numbers: Numbers in order, with what is written to them; `1,000` is written `1000`.
        exact: Symbols and code, in order.
        quoted: What stands in quotes or after a colon.
        forms: Every word in lower case, and its written forms within sentences, in order.
        marked: Words with marks on letters, by the word without them.
        units: What stands after a number, in lower case.
        shouted: Whether nothing is written with capitals, or everything.
    """

    numbers: tuple[str, ...]
    exact: tuple[str, ...]
    quoted: tuple[str, ...]
    forms: dict[str, tuple[str, ...]]
    marked: dict[str, frozenset[str]]
    units: frozenset[str]
    shouted: bool


@remembered(most=20_000)
def literals(text: str) -> Literals:
    """Takes the literal parts of a question out of it."""
    plain = _PLURAL.sub("s", _GLUED.sub(" ", _PERCENT.sub(r"\1%", normalised(text))))
    chunks = plain.split(" ")
    exact: list[str] = []
    numbers: list[str] = []
    units: set[str] = set()
    forms: dict[str, list[str]] = {}
    marked: dict[str, set[str]] = {}
    starts = True
    cores = [_core(chunk) for chunk in chunks]
    beside = _operands(chunks, cores)
    for place, (chunk, core) in enumerate(zip(chunks, cores, strict=True)):
        if core is None:
            if not _prose_dash(chunk, place, cores):
                exact.append(chunk)
            continue
        following = cores[place + 1] if place + 1 < len(cores) else ""
        written = number_of(core.lower(), (following or "").lower()) or _written(core, chunk)
        if _DIGIT.search(written) and not _CODE.search(written):
            numbers.append(written)
            if place + 1 < len(chunks):
                units.add((cores[place + 1] or "").lower())
        elif place in beside or not _worded(core):
            exact.append(written)
        for word in re.split(r"['/-]", core) if _worded(core) else (core,):
            folded = word.lower()
            if not starts:
                forms.setdefault(folded, []).append(word)
            starts = False
            if not word.isascii():
                marked.setdefault(bare_letters(word), set()).add(folded)
        starts = bool(_SENTENCE.search(chunk))
    return Literals(
        numbers=tuple(numbers),
        exact=tuple(exact),
        quoted=_quoted(plain),
        forms={word: tuple(written) for word, written in forms.items()},
        marked={word: frozenset(written) for word, written in marked.items()},
        units=frozenset(units - {""}),
        shouted=plain == plain.upper() or not any(c.isupper() for c in plain.replace("I", "")),
    )


def _core(chunk: str) -> str | None:
    """A chunk without the punctuation around it; None where nothing but symbols is in it."""
    if not any(map(str.isalnum, chunk)):
        return None if chunk.strip(".,;:!?\"'()") else ""
    core = chunk.lstrip(_OPEN).rstrip(_CLOSE)
    if core.endswith(("'s", "'S")):
        core = core[:-2]
    return core


def _worded(core: str) -> bool:
    """Whether it is plain words, perhaps with a hyphen, an apostrophe or a slash within."""
    if _DOTTED.fullmatch(core):
        return True
    return core == "" or (core[0] not in "-/" and _PLAIN.sub("x", core).isalpha())


def _written(core: str, chunk: str) -> str:
    """A literal in the form in which it is compared."""
    if _THOUSANDS.fullmatch(core.lstrip("$€£¥")):
        return core.replace(",", "")
    if core.replace(".", "").isalpha():
        return core.lower()
    if core[-1:].isdigit() and chunk.rstrip("?.,;:").endswith("!"):
        return f"{core}!"
    # what the punctuation around it says counts where it isn't prose: `s[:1]`, `f(x)`, `<b>`
    bare = _balanced(chunk.rstrip(".,;:!?"))
    written = bare if any(char in bare for char in "[]{}()<>=*\\") else core
    return written.lower() if _NAMED.fullmatch(written) else written


def _balanced(chunk: str) -> str:
    """A chunk without a bracket at its ends that prose opens or closes elsewhere: `(2016`."""
    for opening, closing in ("()", "[]", "{}"):
        if chunk.count(opening) != chunk.count(closing):
            chunk = chunk.strip(f"{opening}{closing},")
    if chunk[:1] == "(" and chunk[-1:] == ")" and chunk.count("(") == 1:
        chunk = chunk[1:-1]
    return chunk


def _operands(chunks: list[str], cores: list[str | None]) -> frozenset[int]:
    """Places of what stands beside an operator: `a - b`, `cost > price`."""
    found: set[int] = set()
    for place, chunk in enumerate(chunks):
        if cores[place] is None and set(chunk) <= OPERATORS and 0 < place < len(chunks) - 1:
            if _prose_dash(chunk, place, cores):
                continue
            for other in (place - 1, place + 1):
                core = cores[other]
                if (core and core.lower() not in STOPWORDS | {"do", "does", "mean"}) or (
                    core and len(core) == 1
                ):
                    found.add(other)
    return frozenset(found)


def _prose_dash(chunk: str, place: int, cores: list[str | None]) -> bool:
    """Whether a dash, a slash or `&` joins words of a sentence and is no operator."""
    if chunk not in _DASHES:
        return False
    beside = cores[max(0, place - 1) : place] + cores[place + 1 : place + 2]
    return all(core and len(core) > 1 and core.isalpha() for core in beside)


def _quoted(plain: str) -> tuple[str, ...]:
    """What stands in quotes, and what follows a colon if that isn't the question itself."""
    found = [next(filter(None, parts), "") for parts in _QUOTED.findall(plain)]
    after = _COLON.split(plain, maxsplit=1)
    if len(after) == 2 and _first_word(after[1]) not in _ASKS:
        found.append(after[1])
    return tuple(normalised(part) for part in found)


def _first_word(text: str) -> str:
    """The first word in lower case, `what` of `What's it?`."""
    return text.split(" ", 1)[0].lower().strip(",'\"").partition("'")[0]


def literal_difference(a: str, b: str, *, near: bool = True) -> str | None:
    """What two questions differ in by characters; None when they may ask the same.

    Args:
        a: One question.
        b: The other.
        near: Whether they are nearly the same otherwise: then a number or a symbol on one side
            only and the order of numbers count, too.

    Returns:
        `numbers`, `symbols`, `quotes`, `marks`, `case`, or None.
    """
    one, two = literals(a), literals(b)
    ours, theirs = Counter(one.numbers), Counter(two.numbers)
    if (ours - theirs and theirs - ours) or (near and one.numbers != two.numbers):
        return "numbers"
    if one.exact != two.exact and (near or (one.exact and two.exact)):
        return "symbols"
    if one.quoted != two.quoted and ((one.quoted and two.quoted) or ": " in a + b):
        return "quotes"
    if _marks_differ(one, two) or _marks_differ(two, one):
        return "marks"
    return "case" if _case_differs(one, two) else None


def _marks_differ(one: Literals, two: Literals) -> bool:
    """Whether the other question has a word's letters with other marks, or with none."""
    return any(
        two.marked.get(bare, frozenset()) != written and _unmarked(bare, two)
        for bare, written in one.marked.items()
    )


def _unmarked(bare: str, other: Literals) -> bool:
    """Whether the other question has the same letters with other marks, or with none."""
    return bare in other.forms or bare in other.marked


def _case_differs(one: Literals, two: Literals) -> bool:
    """Whether capitals say something else where words differ, too: `Mb` and `MB`, `US` and `us`."""
    for word in one.forms.keys() & two.forms.keys():
        ours, theirs = one.forms[word], two.forms[word]
        if set(ours) == set(theirs) and (len(set(ours)) == 1 or ours == theirs):
            continue
        if len(word) == 1 and word != "i":
            return True
        if len(word) <= _UNIT and word in one.units & two.units:
            return True
        if min(len(set(ours)), len(set(theirs))) > 1:
            return True
        if word in STOPWORDS and any(len(f) > 1 and f.isupper() for f in ours + theirs):
            return True
    return False


def same_writing(a: str, b: str) -> bool:
    """Whether two texts are the same but for blanks, end punctuation and harmless capitals.

    Capitals are harmless where one side has none at all, or nothing but capitals.
    """
    ours, theirs = _typed(a), _typed(b)
    if ours == theirs:
        return True
    return ours.lower() == theirs.lower() and not only_capitals_differ(a, b)


def _typed(text: str) -> str:
    """The normal form, with `1,000` as `1000`."""
    return _THOUSANDS.sub(lambda found: found.group().replace(",", ""), normalised(text))


def only_capitals_differ(a: str, b: str) -> bool:
    """Whether nothing but capitals differs, and they say something else: `polish` and `Polish`."""
    ours, theirs = _typed(a), _typed(b)
    if ours == theirs or ours.lower() != theirs.lower():
        return False
    one, two = literals(a), literals(b)
    if literal_difference(a, b) is not None:
        return True
    return one.forms != two.forms and not (one.shouted or two.shouted)
