"""Sums as people write them, put into the one form that `arithmetic` works out, or refused.

What has two readings is refused with both of them written out: a wrong sum looks like a right one.
Where the form differs from what was written, the answer says how it was read.
"""

import re
import unicodedata
from dataclasses import dataclass

from allotrope.exceptions import InputError

_SIGNS = str.maketrans(
    {"×": "*", "·": "*", "⋅": "*", "∙": "*", "÷": "/", "−": "-", "–": "-", "^": "**"}
    | {"π": "pi", "\u00a0": " ", "\u202f": " ", "\u2009": " ", "’": "'"}
)
_RAISED = re.compile("([⁺⁻]?)([⁰¹²³⁴-⁹]{1,9})")
_VULGAR = re.compile(r"(?:(?<![\d.])(\d{1,9})\s?)?([¼-¾⅐-⅞])")
_ROOT = re.compile(r"√\s?(\d[\d_]*(?:\.\d+)?)")
_NUMBER = r"\d[\d_]*(?:\.\d+)?"
_DATE = re.compile(
    r"(?<![\d.])(?:\d{4}-\d{1,2}-\d{1,2}|\d{1,2}\.\d{1,2}\.\d{4}|\d{1,2}[/-]\d{1,2}[/-]\d{4})(?![\d.])"
)
_TIME = re.compile(r"(?<!\d)\d{1,2}:\d\d(?!\d)")
_GROUPS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?:\.\d+)?(?![\d,])")
_DECIMAL_COMMA = re.compile(r"(?<![\d.,])\d+(?:\.\d{3})*,\d+(?![\d,])")
_INDIAN = re.compile(r"(?<![\d.,])\d{1,2}(?:,\d{2})+,\d{3}(?:\.\d+)?(?![\d,])")
_SWISS = re.compile(r"(?<![\d.,'])\d{1,3}(?:'\d{3})+(?:\.\d+)?(?![\d,'])")
_SHORT_DATES = re.compile(r"\d{1,2}/\d{1,2}/\d\d\s*-\s*\d{1,2}/\d{1,2}/\d\d(?!\d)")
_POINT_GROUPS = re.compile(r"(?<![\d.,])\d{1,3}(?:\.\d{3}){2,}(?![\d.])")
_BLANK_GROUPS = re.compile(r"(?<![\d.])\d{1,3}(?: \d{3})+(?![\d.])")
_MIXED = re.compile(r"(?<![\d.])(\d{1,6}) (\d{1,6}/\d{1,6})(?![\d.])")
_CALL = re.compile(r"[A-Za-z]\w{0,20}\s?\(")
_IN_CALL = re.compile(r"(?<![\d.])\d{1,3}(?:,\d{2,3})*,\d{3}(?!\d)")
_CODE = re.compile(r"(?<![\w.])0[xXbBoO]\w+")
_MONEY = re.compile(r"[$€£¥₹]|(?<![A-Za-z])(?:USD|EUR|GBP|JPY|INR|CHF)(?![A-Za-z])")
_CODES = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "INR": "₹"}
_ASKED = re.compile(r"(?:what(?:'s| is)|how much is|calculate|compute)\s", re.IGNORECASE)
_WORDS = {
    "plus": "+",
    "minus": "-",
    "times": "*",
    "multiplied by": "*",
    "divided by": "/",
    "over": "/",
    "mod": "%",
    "modulo": "%",
    "to the power of": "**",
    "x": "*",
}
_OPERATORS = re.compile(
    rf"(?<=[\d)%!])\s*\b({'|'.join(sorted(_WORDS, key=len, reverse=True))})\b\s*(?=[-+(\d.]|[a-z])",
    re.IGNORECASE,
)
_X = re.compile(r"(?<=[\d)])x(?=[\d(])")
_LARGE = {"thousand": 3, "million": 6, "billion": 9, "trillion": 12, "mio": 6, "bn": 9}
_LARGE_WORD = re.compile(rf"({_NUMBER})\s?({'|'.join(_LARGE)})\b", re.IGNORECASE)
_FACTORIAL = re.compile(r"(?<![\d.])(\d{1,5})!(?![=!])")
_DEGREES = re.compile(rf"(-?{_NUMBER})\s?(?:°|deg(?:rees?)?\b)", re.IGNORECASE)
_OF = re.compile(rf"({_NUMBER})\s*(?:%|per ?cent\b)\s*of\b", re.IGNORECASE)
_PER_CENT = re.compile(rf"({_NUMBER})\s?per ?cent\b", re.IGNORECASE)
_SIGN = re.compile(rf"({_NUMBER})\s?%(?=\s*(?:$|[-+*/),]))")
_BRACKET_SIGN = re.compile(r"\)\s?%(?=\s*(?:$|[-+*/),]))")
_BOUND_OF = re.compile(
    rf"(?:/|%|\*\*)\s*({_NUMBER})\s*(?:%|per ?cent\b)\s*of\s*({_NUMBER})", re.IGNORECASE
)
_OFF = re.compile(rf"({_NUMBER})\s*(?:%|per ?cent)\s*off\b\D{{0,9}}({_NUMBER})", re.IGNORECASE)
_BESIDE = re.compile(rf"({_NUMBER})%\s+({_NUMBER})")
_UNIT = re.compile(rf"(?<![\w.])({_NUMBER})\s?(?![eE][-+]?\d)([A-Za-zµ°]+)(?![\w(])")
_IMPLICIT = re.compile(rf"((?:(?<=[\s(+*/-])|^){_NUMBER}|\))\s?(?=\(|pi\b)")
_SQUARED = re.compile(r"(?<=[\d)])\s(squared|cubed)\b", re.IGNORECASE)
_ANGLE = re.compile(r"\b(?:sin|cos|tan)\((?!radians\()", re.IGNORECASE)
_INVERSE = re.compile(r"(?<!degrees\()\b(?:asin|acos|atan)\(", re.IGNORECASE)
_AMBIGUOUS_LOG = re.compile(r"\blog\s*\(", re.IGNORECASE)
_POINT = re.compile(r"(?<![\d.,])[1-9]\d{0,2}\.\d\d0(?![\d.])")


@dataclass(frozen=True)
class Reading:
    """An expression as it was understood.

    Args:
        text: In the language of `arithmetic`.
        notes: What a reader should know about the reading.
    """

    text: str
    notes: tuple[str, ...] = ()


def read_expression(expression: str) -> Reading:
    """Puts an expression into the form that is worked out.

    Args:
        expression: As written; its length is limited by the caller.

    Raises:
        InputError: It has no reading, or more than one; the hint says how to write it.
    """
    written = expression.strip()
    text = _typed(written)
    for refuse in (_more_than_one, _dates, _numbers, _off, _brackets):
        refuse(text)
    notes = []
    if _MONEY.search(text):
        if len({_CODES.get(one, one) for one in _MONEY.findall(text)}) > 1:
            raise InputError(
                f"{written!r} has two currencies.", hint="Sums of one currency can be worked out."
            )
        text = _MONEY.sub("", text)
    text = _grouped(text)
    text = _LARGE_WORD.sub(lambda m: f"({m[1]}*10**{_LARGE[m[2].lower()]})", text)
    text = _OPERATORS.sub(lambda m: f" {_WORDS[m[1].lower()]} ", text)
    text = _X.sub("*", text)
    if found := _BOUND_OF.search(text):
        raise InputError(
            f"{written!r} has two readings: what is divided or raised isn't clear.",
            hint=f"Write ({found[1]}/100 * {found[2]}) in parentheses.",
        )
    text = _OF.sub(r"\1/100*", text)
    text = _PER_CENT.sub(r"\1%", text)
    _beside(text)
    text = _DEGREES.sub(r"radians(\1)", text)
    text = _FACTORIAL.sub(r"factorial(\1)", text)
    text = _SIGN.sub(r"percent(\1)", text)
    text = _BRACKET_SIGN.sub(")/100", text)
    text = _SQUARED.sub(lambda m: {"s": "**2", "c": "**3"}[m[1][0].lower()], text)
    if any("/" in text[: found.start() + 1] for found in _IMPLICIT.finditer(text)):
        raise InputError(
            f"{written!r} has two readings: what is divided isn't clear.",
            hint="Write each * and put parentheses around what belongs together.",
        )
    text = _IMPLICIT.sub(r"\1*", text)
    _names(text)
    text = _CALL.sub(lambda m: m.group().lower(), text)
    if _CALL.search(text) and re.search(r"\d,\d", text):
        notes.append("the comma separates two arguments; a decimal sign is a point")
    if "%" in text:
        notes.append("% is the remainder")
    if _AMBIGUOUS_LOG.search(text):
        raise InputError(
            "log can have base e or base 10.", hint="Write ln(x), log10(x), or ln(x) / ln(base)."
        )
    if _ANGLE.search(text) and not re.search(r"\bpi\b", text):
        notes.append("the angle is in radians; for degrees write sin(30°)")
    if _INVERSE.search(text):
        notes.append("the result is in radians; degrees(…) converts it")
    if _POINT.search(written):
        notes.append("the point is read as the decimal sign; one thousand is 1000")
    return Reading(text, tuple(notes))


def _typed(written: str) -> str:
    """Without the question around it, and with signs and digits as Python has them."""
    text = _ASKED.sub("", written.strip("=? "), count=1) if _ASKED.match(written) else written
    text = "".join(map(_ascii, text.strip("=? ").strip())).translate(_SIGNS)
    text = _RAISED.sub(
        lambda m: f"**{'-' if m[1] == '⁻' else ''}{unicodedata.normalize('NFKC', m[2])}", text
    )
    text = _VULGAR.sub(_fraction, text)
    return _ROOT.sub(r"sqrt(\1)", text).replace("√", "sqrt")


def _ascii(sign: str) -> str:
    """Digits of any script, and the wide signs of East Asian keyboards, as ASCII."""
    if "\uff01" <= sign <= "\uff5e":
        return chr(ord(sign) - 0xFEE0)
    return str(unicodedata.decimal(sign)) if sign.isdecimal() else sign


def _fraction(found: "re.Match[str]") -> str:
    part = unicodedata.normalize("NFKC", found[2]).replace("\u2044", "/")
    return f"({found[1]}+{part})" if found[1] else f"({part})"


def _brackets(text: str) -> None:
    missing = text.count("(") - text.count(")")
    if missing:
        verb, sign = ("Close", ")") if missing > 0 else ("Open", "(")
        raise InputError(
            f"{text[:80]!r} has {abs(missing)} parenthesis too "
            f"{'few' if missing > 0 else 'many'} at the end.",
            hint=f"{verb} it with {sign!r} where it belongs.",
        )


def plain(text: str) -> str:
    """A reading without what is only for us, to be shown.

    Args:
        text: From `read_expression`.
    """
    return re.sub(r"percent\(([\d._]+)\)", r"(\1/100)", text).replace("**", "^")


def _more_than_one(text: str) -> None:
    listed = re.search(r"[\d)], +[\d(]", text) and not _CALL.search(text)
    if listed or re.search(r"[;\n\r#]", text):
        raise InputError(
            f"{text[:80]!r} is no arithmetic expression.", hint="Give one expression at a time."
        )


def _dates(text: str) -> None:
    if found := _DATE.search(text):
        raise InputError(
            f"{found.group()!r} looks like a date, and dates aren't numbers.",
            hint="Use date_difference for the days between two dates and date_add to count on from "
            "one. If you mean a sum, put blanks between its numbers and signs.",
        )
    if found := _SHORT_DATES.search(text):
        raise InputError(
            f"{found.group()!r} looks like two dates, and dates aren't numbers.",
            hint="Use date_difference with the years in full. If you mean a sum, use parentheses.",
        )
    if found := _TIME.search(text):
        raise InputError(
            f"{found.group()!r} looks like a time of day.",
            hint="Use date_difference with two times, or write hours as a number, such as 8.25.",
        )


def _numbers(text: str) -> None:
    """Refuses numbers whose separators can be read in two ways."""
    if found := _CODE.search(text):
        raise InputError(
            f"{found.group()!r} is no decimal number.", hint="Write it in decimal digits."
        )
    inside = _CALL.search(text) is not None
    if inside and (found := _IN_CALL.search(text)):
        near = found.group()
        raise InputError(
            f"The comma in {near!r} can separate thousands or two numbers.",
            hint=f"Write {near.replace(',', '')} for one number, or "
            f"{', '.join(near.split(','))} with a blank after the comma for two.",
        )
    if inside:
        text = text.replace(",", ", ")
    if found := _POINT_GROUPS.search(text):
        plain_number = found.group().replace(".", "")
        raise InputError(
            f"{found.group()!r} has several points.", hint=f"Write {plain_number} if you mean that."
        )
    if (found := _DECIMAL_COMMA.search(text)) and not _GROUPS.fullmatch(found.group()):
        whole, _, rest = found.group().rpartition(",")
        number = f"{whole.replace('.', '')}.{rest}"
        raise InputError(
            f"The comma in {found.group()!r} isn't understood.",
            hint=f"Write {number}, with a point before the decimals.",
        )
    if found := _BLANK_GROUPS.search(text):
        raise InputError(
            f"{found.group()!r} has blanks in it.",
            hint=f"Write {found.group().replace(' ', '')} if you mean one number.",
        )
    if found := _MIXED.search(text):
        raise InputError(
            f"{found.group()!r} can't be read.", hint=f"Write ({found[1]} + {found[2]})."
        )


def _grouped(text: str) -> str:
    for groups in (_GROUPS, _INDIAN, _SWISS):
        text = groups.sub(lambda found: re.sub("[,']", "", found.group()), text)
    return text


def _off(text: str) -> None:
    if found := _OFF.search(text):
        raise InputError(
            f"{found.group()!r} isn't worked out as it stands.",
            hint=f"Write {found[2]} * (1 - {found[1]}/100).",
        )


def _beside(text: str) -> None:
    if found := _BESIDE.search(text):
        raise InputError(
            f"{found.group()!r} can be a share or a remainder.",
            hint=f"Write {found[1]}% of {found[2]}, or {found[1]} mod {found[2]}.",
        )


def _names(text: str) -> None:
    """Says what to do about words between numbers; what is a name of ours is left alone."""
    for found in _UNIT.finditer(text):
        number, word = found[1], found[2].lower()
        if word in ("e", "pi"):
            raise InputError(
                f"{found.group()!r} isn't understood.", hint=f"Write {number} * {word}."
            )
        if re.fullmatch(r"e\d*", word):
            continue
        if word.startswith("round"):
            raise InputError(
                f"{text[:80]!r} is no arithmetic.", hint=f"Write round({number}) to round it."
            )
        raise InputError(
            f"{found.group()!r} has a word in it.",
            hint="Calculate with numbers only; convert_units converts amounts with units.",
        )


def mixed_percent(shown: str, amount: str, per_cent: str, sign: str) -> InputError:
    """The refusal of `100 + 10%`, which people read in two ways.

    Args:
        shown: The expression.
        amount: What stands before the sign.
        per_cent: The number of per cent.
        sign: `+` or `-`.
    """
    from fractions import Fraction

    factor = 1 + Fraction(per_cent) / 100 * (1 if sign == "+" else -1)
    return InputError(
        f"{shown!r} can mean {per_cent} % of {amount} or {per_cent}/100.",
        hint=f"Write {amount} * {float(factor):g} to change it by {per_cent}%, or "
        f"{amount} {sign} {per_cent}/100.",
    )
