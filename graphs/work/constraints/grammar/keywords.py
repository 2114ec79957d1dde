"""Words that a brief wants used or avoided, and how the text is to begin and to end.

A quotation counts by the verb before it (“use”, “avoid”, “start with”) or behind it (“must
appear”); one without a verb is a title or a saying. Words without quotation marks are taken only
from a list that is named as one: “the words harvest, cellar and copper”, “keywords: a, b”.
"""

from collections.abc import Iterator, Sequence

from allotrope.graphs.work.constraints.grammar.amounts import number_at
from allotrope.graphs.work.constraints.grammar.edges import NOT, edges, is_not
from allotrope.graphs.work.constraints.grammar.lengths import Read
from allotrope.graphs.work.constraints.grammar.phrases import after, before, phrases
from allotrope.graphs.work.constraints.grammar.tokens import Token
from allotrope.graphs.work.constraints.kinds import Constraint
from allotrope.graphs.work.spelled import words

_NOUNS = frozenset(
    words(
        "word words keyword keywords term terms phrase phrases expression expressions "
        "name names hashtags wort worte wörter wörtern begriff begriffe schlüsselwort "
        "schlüsselwörter stichwort stichwörter hashtag"
    )
)
_LISTED = frozenset(
    words(
        "word words keyword keywords term terms names wort worte wörter wörtern "
        "begriffe schlüsselwörter schlüsselwort"
    )
)
_USE = frozenset(
    words(
        "use uses using used include includes including included contain contains "
        "containing mention mentions mentioning incorporate incorporating feature "
        "featuring naming insert work weave add say says saying verwende verwenden enthalte "
        "enthalten enthält nutze benutze benutzen nenne erwähne erwähnen vorkommen "
        "appear"
    )
)
_AVOID = frozenset(
    words(
        "avoid avoids avoiding without omit omitting exclude excluding excludes ban "
        "banned forbidden prohibited taboo skip skipping vermeide vermeiden meide ohne "
        "verboten verbotene verbotenes"
    )
)
_FILL = frozenset(
    words(
        "the a an exact following these this all any both either of my our brand "
        "product given new der die das den beiden folgenden von : like such as e.g . ("
    )
)
_COUNTED = frozenset(
    words(
        "exactly once twice thrice times time at least most more than no only in each "
        "tagline slogan line brand two three four five six some genau mindestens "
        "höchstens mal einmal zweimal to avoid sentence link disclaimer text bold "
        "somewhere it also"
    )
) - {"no", "avoid"}
_JOINS = frozenset(words(", ; and or und oder & / nor plus sowie + bzw"))
_SOME = frozenset(words("these those following words keywords"))
_ITEM_STOPS = frozenset(
    words(
        "that which you i we from of in for to with per count limit is are should must "
        "can may each at on as into only here below above he she it they used please "
        "not like said she'd"
    )
)
_MUST = phrases(
    "must appear | should appear | has to appear | needs to appear | must be used | "
    "should be used | must be included | should be included | must be mentioned | "
    "has to be used | must occur | should occur | appears | must be present | "
    "vorkommen | auftauchen | enthalten | verwenden | should be mentioned | have to appear | "
    "must all appear | should all appear | erscheinen | needs to be used | need to "
    "appear | einbauen | vorkommt | enthält | vorkommen muss | occurs | is used | "
    "is mentioned"
)
_MUST_NOT = phrases(
    "must not appear | should not appear | must never appear | never appears | may "
    "not appear | must not be used | should not be used | must not be mentioned | "
    "cannot appear | can't appear | mustn't appear | shouldn't appear | should "
    "never appear | must not occur | nicht vorkommen | nicht auftauchen | nicht enthalten | nicht "
    "verwenden | vermeiden | is forbidden | are forbidden | is banned | are banned "
    "| is not allowed | are not allowed | is off limits | doesn't appear | does not "
    "appear | may never appear | aren't allowed | should be avoided | must be "
    "avoided | isn't allowed"
)
_TITLED = frozenset(
    words(
        "titled called entitled named novel book song quote quotation poem film movie "
        "album headline title heißt namens style"
    )
)
_BETWEEN = frozenset(
    words("all each both , only also darf dürfen soll sollen sollte sollten muss müssen")
)
"""Words between a listed word and the verb that says what becomes of it."""
_LED_IN = frozenset(words("in bold to avoid include use like such as"))
Group = tuple[int, int, list[str]]
"""Words that stand together: the first token, the place after the last, and the words."""


def keywords(part: Sequence[Token]) -> list[Read]:
    """What a sentence says about words of the text.

    Args:
        part: The tokens of the sentence.
    """
    found: list[Read] = []
    end = 0
    for start, stop, values in _groups(part):
        if start < end:
            continue
        made = edges(part, start, stop, values) or _wished(part, start, stop, values)
        if made:
            end = stop
            found += [Read(one, part[max(0, start - 3)].start, part[stop - 1].end) for one in made]
    found += list(_signs(part))
    return found


def _groups(part: Sequence[Token]) -> Iterator[Group]:
    at = 0
    while at < len(part):
        if part[at].quoted:
            stop, values = at + 1, [part[at].text]
            while stop < len(part) and (nxt := _joined(part, stop)) and part[nxt].quoted:
                values.append(part[nxt].text)
                stop = nxt + 1
            yield at, stop, values
            at = stop
            continue
        listed = _listed(part, at)
        if listed:
            yield listed
            at = listed[1]
            continue
        at += 1


def _joined(part: Sequence[Token], at: int) -> int:
    """Where the next item of a list begins, or 0 where the list ends."""
    start = at
    while at < len(part) and part[at].low in _JOINS and at - start < 3:
        at += 1
    return at if start < at < len(part) else 0


def _listed(part: Sequence[Token], at: int) -> Group | None:
    """A list without quotation marks behind a noun that names it."""
    low = part[at].low
    start, colon = at + 1, False
    if low in _LISTED or (
        low in ("following", "these") and at and part[at - 1].low in ("of", "the")
    ):
        while start < len(part) and part[start].low in _LED_IN and start - at < 3:
            start += 1
    elif not (low == "of" and at + 1 < len(part) and part[at + 1].text == ":"):
        return None
    if start < len(part) and part[start].text == ":":
        start, colon = start + 1, True
    elif low not in _LISTED:
        return None
    values: list[str] = []
    item, stop = start, start
    while True:
        end = item
        while end < len(part) and end - item < 9 and _is_word(part, item, end):
            end += 1
            hyphen = part[end - 1].text == "-" or (end < len(part) and part[end].text == "-")
            if not colon and not hyphen:
                break
        if end == item or (colon and end - item > 8):
            break
        words = part[item:end]
        values.append(_text(words))
        stop = end
        if not (item := _joined(part, end)) or part[item].quoted:
            break
    if not values or part[start].quoted or number_at(part, start) is not None:
        return None
    plural = low.endswith("s") or low in ("wörter", "wörtern", "worte", "begriffe", "of",
                                          "schlüsselwörter", "following", "these")  # fmt: skip
    if not colon and (len(values) < 2) == plural and not _after_like(part, at, start):
        return None
    return start, stop, values


def _after_like(part: Sequence[Token], at: int, start: int) -> bool:
    return any(part[n].low in ("like", "as") for n in range(at + 1, start))


def _is_word(part: Sequence[Token], first: int, at: int) -> bool:
    token = part[at]
    if token.quoted or token.low in _JOINS:
        return False
    if token.text == "-":
        return at > first and part[at - 1].end == token.start
    if at == first and token.low in _ITEM_STOPS:
        return False
    return token.text[0].isalnum() or token.text in "#%'"


def _text(words: Sequence[Token]) -> str:
    text, end = "", words[0].start
    for one in words:
        text += (" " if one.start > end else "") + one.text
        end = one.end
    return text


def _wished(part: Sequence[Token], start: int, stop: int, values: list[str]) -> list[Constraint]:
    values = [value.strip().rstrip(",;") for value in values]
    values = [value for value in values if value]
    if not values:
        return []
    times = _times(part, stop)
    right = stop if times is None else times[2]
    if after(part, _past_adverbs(part, stop), _MUST_NOT) is not None:
        return [{"kind": "avoid", "value": value} for value in values]
    has_noun = any(one.low in _NOUNS for one in part[max(0, start - 3) : start])
    must = after(part, _past_adverbs(part, stop), _MUST)
    if must is not None and has_noun:
        negated = any(one.low in NOT for one in part[max(0, start - 6) : start])
        if negated:
            return [{"kind": "avoid", "value": value} for value in values]
        return _used(values, _times(part, must))
    wanted = _verb(part, start, has_noun=has_noun)
    if wanted is None:
        return []
    if wanted == "avoid":
        return [{"kind": "avoid", "value": value} for value in values]
    some = _some_of(part, start, len(values))
    if some:
        return [{"kind": "some", **some, "values": values}]
    del right
    return _used(values, times)


def _used(values: list[str], times: tuple[int | None, int | None, int] | None) -> list[Constraint]:
    made: list[Constraint] = []
    for value in values:
        one: Constraint = {"kind": "use", "value": value}
        if times is not None and (times[0], times[1]) != (1, None):
            one.update(low=times[0], high=times[1])
        made.append(one)
    return made


def _past_adverbs(part: Sequence[Token], at: int) -> int:
    while at < len(part) and part[at].low in _BETWEEN:
        at += 1
    return at


def _times(part: Sequence[Token], at: int) -> tuple[int | None, int | None, int] | None:
    """`at least three times`, `twice`: low, high, where it ends."""
    bounds = {"at least": (True, False), "at most": (False, True), "exactly": (True, True),
              "no more than": (False, True), "up to": (False, True),
              "mindestens": (True, False), "höchstens": (False, True),
              "genau": (True, True)}  # fmt: skip
    has_low, has_high, bounded = True, True, False
    for cue, (lows, highs) in bounds.items():
        end = after(part, at, (tuple(cue.split()),))
        if end is not None:
            at, has_low, has_high, bounded = end, lows, highs, True
            break
    if at >= len(part):
        return None
    word = part[at].low
    simple = {"once": 1, "twice": 2, "thrice": 3, "einmal": 1, "zweimal": 2, "dreimal": 3}
    if word in simple:
        n, end = simple[word], at + 1
    else:
        known = number_at(part, at)
        if known is None or known[1] >= len(part):
            return None
        n, end = known
        if part[end].low in ("to", "-", "–", "or", "bis", "oder"):
            further = number_at(part, end + 1)
            if further and further[0] > n and further[1] < len(part) and (
                part[further[1]].low in ("times", "mal")
            ):  # fmt: skip
                return n, further[0], further[1] + 1
        if part[end].low not in ("times", "time", "mal"):
            return None
        end += 1
        if end + 1 < len(part) and part[end].low == "or" and part[end + 1].low == "more":
            has_high, bounded, end = False, True, end + 2
    del bounded
    return (n if has_low else None), (n if has_high else None), end


def _verb(part: Sequence[Token], start: int, *, has_noun: bool) -> str | None:
    """`use` or `avoid`, by the verb before some words; None where there is none.

    Only words of the same list may stand between the verb and the words: what another verb governs
    (“use plain words and explain the term ‘entropy’”) isn't wanted.
    """
    at, noun = start - 1, ""
    while at >= 0 and _is_list_word(part[at]) and start - at < 60:
        if part[at].low in _NOUNS and not noun:
            noun = part[at].low
        if part[at].text == ":" and at and part[at - 1].low in ("of", "von"):
            return "use" if _some_of(part, start, 99) else None
        at -= 1
    if 0 < at < start - 1 and part[at].low.endswith("s") and part[at + 1].low in ("such", "like"):
        at -= 1  # “avoid buzzwords such as”
    token = part[at] if at >= 0 else None
    low = token.low if token else ""
    if low in _AVOID:
        return None if any(is_not(one) for one in part[max(0, at - 2) : at]) else "avoid"
    if low in _USE:
        negated = any(is_not(one) or one.low in _AVOID for one in part[max(0, at - 4) : at])
        if low in ("say", "saying", "work", "feature", "appear") and not negated and not has_noun:
            return None
        return "avoid" if negated else "use"
    if token is not None and is_not(token) and has_noun:
        return "avoid"
    if token is not None and token.low == "not" and at and part[at - 1].low in ("but", ","):
        earlier = {one.low for one in part[max(0, at - 25) : at]}
        return "avoid" if earlier & _USE else None
    if low in ("with", "mit") and has_noun and not noun.startswith(("name", "phrase")):
        return "use"
    if (token is None or not token.text[:1].isalnum()) and _some_of(part, start, 99):
        return "use"
    if noun.startswith(("keyword", "schlüsselw", "hashtag")) and not _is_forbidden(part, at):
        return "use"
    return None


def _is_forbidden(part: Sequence[Token], at: int) -> bool:
    return any(one.low in _AVOID or is_not(one) for one in part[max(0, at - 5) : at + 1])


_LIST_WORDS = frozenset(_JOINS | _FILL | _NOUNS | _COUNTED)


def _is_list_word(token: Token) -> bool:
    return token.quoted or token.low in _LIST_WORDS or token.text.isdigit() or token.text == "#"


def _some_of(part: Sequence[Token], start: int, size: int) -> dict[str, int | None] | None:
    """`at least two of these words:` as low and high."""
    for at in range(start - 1, max(-1, start - 7), -1):
        if part[at].low != "of":
            continue
        for n in range(at - 1, max(-1, at - 3), -1):
            known = number_at(part, n)
            if known is None or known[1] != at:
                continue
            value = known[0]
            if before(part, n, (("at", "least"), ("any",), ("mindestens",))) is not None:
                return {"low": value, "high": None}
            if before(part, n, (("at", "most"), ("up", "to"), ("höchstens",))) is not None:
                return {"low": None, "high": value}
            return {"low": value, "high": None if size == 99 else value}
    return None


def _signs(part: Sequence[Token]) -> Iterator[Read]:
    """`use the hashtag #TeaTime` and other hashtags that are written out."""
    for at in range(1, len(part) - 1):
        if part[at].text != "#" or part[at].end != part[at + 1].start:
            continue
        if not part[at + 1].text[:1].isalpha():
            continue
        first = at
        while first > 2 and part[first - 1].low in _JOINS and part[first - 3].text == "#":
            first -= 3
        wanted = _verb(part, first, has_noun=part[first - 1].low in ("hashtag", "hashtags", "tag"))
        if wanted:
            value = f"#{part[at + 1].text}"
            yield Read({"kind": wanted, "value": value}, part[at].start, part[at + 1].end)
