"""Forms that a brief names: kinds of poems, letter case, language, reading level, rhyme."""

from collections.abc import Sequence

from allotrope.graphs.work.constraints.grammar.amounts import SPELLED, number_at, ordinal
from allotrope.graphs.work.constraints.grammar.lengths import Read
from allotrope.graphs.work.constraints.grammar.phrases import after, phrases
from allotrope.graphs.work.constraints.grammar.shapes import Made, counted_before, last_sign, shapes
from allotrope.graphs.work.constraints.grammar.tokens import Token
from allotrope.graphs.work.constraints.kinds import LANGUAGES, Constraint
from allotrope.graphs.work.spelled import words

_POEMS = {"haiku": 3, "limerick": 5, "sonnet": 14, "sonett": 14}
_GERMAN = {"deutsch": "de", "englisch": "en", "französisch": "fr", "spanisch": "es",
           "italienisch": "it", "portugiesisch": "pt", "niederländisch": "nl", "polnisch": "pl",
           "russisch": "ru", "türkisch": "tr", "français": "fr", "español": "es",
           "italiano": "it", "mandarin": "zh"}  # fmt: skip
_LANGUAGES = {name.lower(): code for code, name in LANGUAGES.items()} | _GERMAN
_AFTER_LANGUAGE = frozenset(
    words(
        ", . ; : ! ? ) im in als and with for about please using that without only of to on - – "
        "und mit über bitte ohne instead when because describing explaining"
    )
)
_VARIETIES = frozenset(
    words(
        "british american canadian australian brazilian european mexican swiss austrian castilian"
    )
)
_LEARNERS = frozenset(
    words(
        "who learn learns speak speaks spoke speaking sing read reads dreams thinks "
        "fluent conversation lessons whose"
    )
)
_PHRASES: dict[str, tuple[tuple[str, ...], ...]] = {
    "bullets": phrases(
        "as bullet points | as bullets | bullet list | bulleted list | as a bullet list "
        "| in bullet points | in bullet form | as a bulleted list | in bullets | bullet "
        "- point list | bullet point list | bullet - point format | in bullet point "
        "form | als stichpunkte | in stichpunkten | as bulleted points | bulleted "
        "format"
    ),
    "lowercase": phrases(
        "all lowercase | in lowercase | only lowercase | lowercase only | lowercase "
        "letters only | all lower case | in lower case | only lower case | entirely "
        "lowercase | kleinschreibung | alles kleingeschrieben | entirely in lowercase | "
        "all - lowercase"
    ),
    "uppercase": phrases(
        "all caps | all uppercase | in uppercase | only uppercase | all capitals | in "
        "capitals | in all capital letters | in capital letters | all upper case | in "
        "upper case | uppercase only | in caps | all - caps | in großbuchstaben | "
        "entirely uppercase"
    ),
    "json": phrases(
        "as json | in json | valid json | output json | return json | as a json | json with | "
        "json object | json format | json output"
    ),
}
_SIGNS: dict[str, Constraint] = {
    "emoji": {"kind": "no_emoji"}, "emojis": {"kind": "no_emoji"},
    "exclamation marks": {"kind": "avoid", "value": "!"},
    "exclamation mark": {"kind": "avoid", "value": "!"},
    "exclamation points": {"kind": "avoid", "value": "!"},
    "exclamation point": {"kind": "avoid", "value": "!"},
    "ausrufezeichen": {"kind": "avoid", "value": "!"},
    "commas": {"kind": "avoid", "value": ","}, "comma": {"kind": "avoid", "value": ","},
    "kommas": {"kind": "avoid", "value": ","},
    "question marks": {"kind": "avoid", "value": "?"},
    "fragezeichen": {"kind": "avoid", "value": "?"},
    "semicolons": {"kind": "avoid", "value": ";"},
    "em dashes": {"kind": "avoid", "value": "—"}, "em - dashes": {"kind": "avoid", "value": "—"},
    "em dash": {"kind": "avoid", "value": "—"}, "gedankenstriche": {"kind": "avoid", "value": "–"},
    "digits": {"kind": "no_digits"}, "numbers": {"kind": "no_digits"},
    "numerals": {"kind": "no_digits"}, "ziffern": {"kind": "no_digits"},
    "zahlen": {"kind": "no_digits"},
    "title": {"kind": "no_title"}, "heading": {"kind": "no_title"},
    "headline": {"kind": "no_title"}, "titel": {"kind": "no_title"},
    "überschrift": {"kind": "no_title"},
    "bullet points": {"kind": "no_bullets"}, "bullets": {"kind": "no_bullets"},
    "lists": {"kind": "no_bullets"}, "bullet lists": {"kind": "no_bullets"},
    "stichpunkte": {"kind": "no_bullets"}, "aufzählungszeichen": {"kind": "no_bullets"},
    "aufzählungspunkte": {"kind": "no_bullets"}, "aufzählungen": {"kind": "no_bullets"},
    "hashtags": {"kind": "length", "unit": "hashtags", "low": 0, "high": 0},
    "hashtag": {"kind": "length", "unit": "hashtags", "low": 0, "high": 0},
}  # fmt: skip
_SIGN_PHRASES = {tuple(name.split()): one for name, one in _SIGNS.items()}
_NO = phrases(
    "no | without | without any | avoid | avoid any | avoid using | don't use | do "
    "not use | don't use any | do not use any | never use | don't include | do not "
    "include | don't add | do not add | no use of | keine | ohne | kein | keinen | "
    "don't include any | free of | omit | skip the | skip | do not use the | "
    "without using | without using any | must not contain any | must not contain | "
    "must not use | should not contain | should not contain any | do not include "
    "any | don't include a | do not include a | without a"
)
_BAND = ("about", "by", "like", "of", "from", "and", "with", "the")
"""Before them ABBA is a band."""
_COUPLETS = phrases(
    "rhyming couplets | rhymed couplets | rhyme in couplets | rhymes in couplets | paarreim | "
    "paarreime | paarreimen"
)
_TOPIC = frozenset(words("about titled called named history essay explain what how über"))


def forms(part: Sequence[Token]) -> list[Read]:
    """The forms that a sentence names.

    Args:
        part: Its tokens.
    """
    made = [*_poems(part), *_named(part), *_unwanted(part), *_language(part), *_grade(part),
            *_rhyme(part), *_syllables(part), *_letter(part), *_acrostic(part),
            *last_sign(part, _ENDS_ASKING, "?"), *shapes(part)]  # fmt: skip
    return [
        Read(one, part[start].start, part[min(end, len(part)) - 1].end) for one, start, end in made
    ]


def _poems(part: Sequence[Token]) -> Made:
    for at, token in enumerate(part):
        lines = _POEMS.get(token.low)
        like = at + 1 < len(part) and part[at + 1].text == "-"
        content = any(one.low in _TOPIC for one in part[max(0, at - 6) : at])
        if lines and not like and not content:
            yield {"kind": "length", "unit": "lines", "low": lines, "high": lines}, at, at + 1


def _named(part: Sequence[Token]) -> Made:
    for at in range(len(part)):
        for kind, known in _PHRASES.items():
            end = after(part, at, known)
            if end is None:
                continue
            start = at - 1 if at else 0
            if any(one.low in ("no", "not", "include", "with", "add", "avoid", "without", "plus",
                               "and", "then") or one.low.endswith("n't")
                   for one in part[max(0, start - 1) : at]) and kind == "bullets":  # fmt: skip
                continue  # a list somewhere in the text is another thing than a text that is one
            if any(
                one.low in ("not", "avoid", "without", "never", "no")
                for one in _same_clause(part, at)
            ):
                continue
            if kind == "bullets" and (counted := counted_before(part, at)):
                n, first = counted
                yield {"kind": "length", "unit": "bullets", "low": n, "high": n}, first, end
                continue
            yield {"kind": kind}, at, end


def _same_clause(part: Sequence[Token], at: int) -> Sequence[Token]:
    """The three tokens before a place, as far as no comma parts them from it."""
    near = part[max(0, at - 3) : at]
    commas = [n for n, one in enumerate(near) if one.text in ",;:("]
    return near[commas[-1] + 1 :] if commas else near


def _unwanted(part: Sequence[Token]) -> Made:
    at = 0
    while at < len(part):
        end = after(part, at, _NO)
        if end is None:
            at += 1
            continue
        going = True
        while going:
            going = False
            for phrase, one in _SIGN_PHRASES.items():
                stop = after(part, end, (phrase,))
                if stop is None or (stop < len(part) and part[stop].text in ("-",)):
                    continue
                yield dict(one), at, stop
                end = stop
                if end < len(part) and part[end].low in ("or", "and", ",", "oder", "und", "/"):
                    end += 1 + (
                        part[end].text == ","
                        and end + 1 < len(part)
                        and part[end + 1].low in ("or", "and")
                    )
                    if end < len(part) and part[end].low == "any":
                        end += 1
                    going = True
                break
        at = max(at + 1, end - 1)


def _language(part: Sequence[Token]) -> Made:
    for at in range(1, len(part)):
        code = _LANGUAGES.get(part[at].low)
        if code is None:
            continue
        before_it = part[at - 1].low
        labelled = (
            before_it in (":", "is") and at > 1 and part[at - 2].low in ("language", "sprache")
        )
        if not labelled:
            if before_it in _VARIETIES and at > 1:
                before_it = part[at - 2].low
            if before_it not in ("in", "auf", "into", "en", "auf"):
                continue
            if at + 1 < len(part) and part[at + 1].low not in _AFTER_LANGUAGE:
                continue
            if any(one.low in _LEARNERS for one in part[max(0, at - 8) : at]):
                continue
            if any(_LANGUAGES.get(one.low) not in (None, code) for one in part[at + 1 : at + 4]):
                continue  # two languages: which part is in which isn't known
        yield {"kind": "language", "value": code}, at - 1, at + 1


def _grade(part: Sequence[Token]) -> Made:
    lows = [one.low for one in part]
    for at, low in enumerate(lows):
        if low in ("grade", "grader", "graders", "klasse"):
            if not _is_level(lows, at):
                continue
            value = _ordinal_before(part, at)
            if value is None:
                for n in (at + 1, at + 2, at + 3, at + 4):
                    known = number_at(part, n)
                    if known is not None and known[0] < 17:
                        value = known[0]
                        break
            if value is not None:
                yield {"kind": "grade", "low": None, "high": value}, at - 1, at + 1
                return
        if (low == "flesch" and "ease" in lows[at : at + 5]) or (
            low == "flesch" and "score" in lows[at : at + 5]
        ):
            words = lows[at:]
            if "kincaid" in words[:4]:
                continue
            for n in range(at + 1, min(len(part), at + 12)):
                known = number_at(part, n)
                if known and 10 < known[0] <= 100:
                    yield {"kind": "ease", "low": known[0], "high": None}, at, n + 1
                    return


def _is_level(lows: Sequence[str], at: int) -> bool:
    """Whether a grade is a reading level, not a school class that the text is about."""
    near = set(lows[max(0, at - 10) : at + 8])
    if near & {"flesch", "kincaid", "readability", "lesbarkeit"}:
        return True
    if lows[at] in ("grader", "graders"):
        return bool(near & {"understand", "understandable", "readable", "suitable", "read"})
    return "level" in near and ("reading" in near or lows[at + 1 : at + 2] == ["level"])


def _ordinal_before(part: Sequence[Token], at: int) -> int | None:
    n = at - 1
    if n >= 0 and part[n].text == "-":
        n -= 1
    if n < 0:
        return None
    low = part[n].low
    if low in ("st", "nd", "rd", "th") and n and _is_small(part[n - 1]):
        return int(part[n - 1].text)
    found = ordinal(low)
    if found is None and n and part[n].text == "." and _is_small(part[n - 1]):
        found = int(part[n - 1].text)
    return found


def _rhyme(part: Sequence[Token]) -> Made:
    lows = [one.low for one in part]
    for at in range(len(part)):
        end = after(part, at, _COUPLETS)
        if end is not None:
            yield {"kind": "rhyme", "value": "AA"}, at, end
            return
        if lows[at] in ("kreuzreim", "kreuzreime", "kreuzreimen"):
            yield {"kind": "rhyme", "value": "ABAB"}, at, at + 1
            return
    about_rhyme = any("rhym" in low or low in ("scheme", "reimschema") for low in lows)
    for at in range(len(part)):
        sure = part[at].text.isupper() and len(part[at].text) > 3
        if not about_rhyme and not (sure and lows[at - 1] not in _BAND):
            continue
        pattern, end = "", at
        while end < len(part) and _is_pattern(pattern + _letters(part[end])):
            pattern, end = pattern + _letters(part[end]), end + 1
            if (
                end + 1 < len(part)
                and part[end].text in "-/ "
                and _is_pattern(pattern + _letters(part[end + 1]))
            ):
                end += 1
        if len(pattern) > 1:
            yield {"kind": "rhyme", "value": pattern}, at, end
            return


def _letters(token: Token) -> str:
    text = token.text
    if token.quoted or not text.isalpha():
        return "?"
    return text if text.isupper() or (len(text) > 2 and set(text) <= set("abcdefg")) else "?"


def _is_pattern(text: str) -> bool:
    """Whether letters are a rhyme scheme: each new one is the next of the alphabet."""
    seen = 0
    for letter in text.upper():
        if not letter.isascii() or not letter.isalpha():
            return False
        at = ord(letter) - 65
        if at > seen:
            return False
        seen = max(seen, at + 1)
    return seen > 0 and (len(text) > seen or len(text) == 1)


def _syllables(part: Sequence[Token]) -> Made:
    if not any(one.low.startswith(("syllab", "silbe", "haiku", "pattern")) for one in part):
        return
    for at in range(len(part) - 4):
        numbers = []
        n = at
        while n < len(part) and (value := _small(part[n])):
            numbers.append(value)
            n += 1
            if n < len(part) and part[n].low in _BETWEEN_SIZES and n + 1 < len(part):
                n += 1
                n += n < len(part) and part[n].low in ("and", "und")
            else:
                break
        if len(numbers) >= 3:
            yield {"kind": "syllables", "value": numbers}, at, n
            return


_BETWEEN_SIZES = frozenset(words("- / , – and und"))


def _is_small(token: Token) -> bool:
    """Whether a token is one or two digits; `²` is a digit, and no number."""
    return token.text.isdecimal() and len(token.text) < 3


def _small(token: Token) -> int:
    if _is_small(token):
        return int(token.text)
    return SPELLED.get(token.low, 0)


def _letter(part: Sequence[Token]) -> Made:
    for at, token in enumerate(part):
        if token.low not in ("letter", "letters", "buchstaben", "buchstabe") or at + 1 >= len(part):
            continue
        value = part[at + 1].text
        if len(value) != 1 or not value.isalpha():
            continue
        near = [one.low for one in part[max(0, at - 5) : at]]
        behind = [one.low for one in part[at + 2 : at + 6]]
        negated = any(
            low in ("without", "avoid", "avoiding", "no", "not", "never", "ohne", "omit", "kein")
            or low.endswith("n't")
            for low in near
        ) or {"not", "never"} & set(behind)
        if negated:
            yield {"kind": "no_letter", "value": value}, max(0, at - 2), at + 2


def _acrostic(part: Sequence[Token]) -> Made:
    for at, token in enumerate(part):
        if not token.low.startswith(("acrostic", "akrostichon")):
            continue
        for n in range(at + 1, min(len(part), at + 10)):
            one = part[n]
            if one.quoted or (len(one.text) > 1 and one.text.isupper() and one.text.isalpha()):
                yield {"kind": "acrostic", "value": one.text.strip(" .,")}, at, n + 1
                return


_ENDS_ASKING = phrases(
    "end with a question | ends with a question | ending with a question | end in a "
    "question | ending in a question | end on a question | finish with a question | "
    "ends on a question | ende mit einer frage | endet mit einer frage | close with "
    "a question | finishes with a question | closing with a question | conclude "
    "with a question"
)
