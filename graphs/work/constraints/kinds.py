"""What a constraint is, and how it is said to people and models."""

from typing import Any

Constraint = dict[str, Any]
"""A plain dict, so that it can lie in a graph's state: `kind`, and what the kind needs.

`length` has `unit`, `low`, `high` and, where each part is meant, `per`; `use` and `avoid` have
`value`, and `use` has `low` and `high` where it is to be used so many times; `some` has `values`.
"""
MOST = 200
"""So many constraints of a brief are kept; no text can keep more."""

LANGUAGES = {
    "ar": "Arabic", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek", "en": "English",
    "es": "Spanish", "fi": "Finnish", "fr": "French", "hi": "Hindi", "hu": "Hungarian",
    "it": "Italian", "ja": "Japanese", "ko": "Korean", "la": "Latin", "nl": "Dutch",
    "no": "Norwegian", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian", "ru": "Russian",
    "sv": "Swedish", "tr": "Turkish", "uk": "Ukrainian", "zh": "Chinese",
}  # fmt: skip
"""Languages that a brief can ask for, by ISO 639-1 code."""
_PLAIN = {
    "bullets": "Every line is a bullet point.",
    "no_bullets": "No bullet points.",
    "lowercase": "All lower case.",
    "uppercase": "All upper case.",
    "json": "Valid JSON.",
    "no_emoji": "No emoji.",
    "no_digits": "No digits.",
    "no_title": "No title.",
}


def _bounds(low: float | None, high: float | None) -> str:
    if low == high:
        return f"exactly {low}"
    if low is None:
        return f"at most {high}"
    return f"at least {low}" if high is None else f"{low} to {high}"


def _times(low: int | None, high: int | None) -> str:
    only_one = high == 1 if high is not None else low == 1
    return f"{_bounds(low, high)} {'time' if only_one else 'times'}"


def sentence(constraint: Constraint) -> str:
    """A constraint for people and prompts."""
    kind, value = constraint["kind"], constraint.get("value")
    low, high = constraint.get("low"), constraint.get("high")
    per = constraint.get("per")
    each = f"Each {per}: " if per else ""
    if kind == "length":
        unit = constraint["unit"]
        one = unit.removesuffix("s") if (low, high) in ((1, 1), (None, 1), (1, None)) else unit
        words = f"{_bounds(low, high)} {one}."
        return each + words if each else words[0].upper() + words[1:]
    if kind == "use" and (low, high) != (None, None):
        return f"Uses “{value}” {_times(low, high)}."
    if kind == "some":
        listed = ", ".join(f"“{one}”" for one in constraint["values"])
        return f"Uses {_bounds(low, high)} of {listed}."
    if kind == "grade":
        return f"Reading level: at most grade {high} (Flesch-Kincaid)."
    if kind == "ease":
        return f"Flesch reading ease: {_bounds(low, high)}."
    if kind == "syllables":
        return f"Syllables of the lines: {'-'.join(map(str, value or ()))}."
    if kind == "language":
        return f"Written in {LANGUAGES[str(value)]}."
    return {
        "use": f"Uses “{value}”.",
        "avoid": f"Doesn't use “{value}”.",
        "start": f"{each}{'s' if each else 'S'}tarts with “{value}”.",
        "end": f"{each}{'e' if each else 'E'}nds with “{value}”.",
        "no_letter": f"Doesn't use the letter “{value}”.",
        "acrostic": f"The first letters of the lines spell “{value}”.",
        "rhyme": f"Rhyme scheme {value}{' (couplets)' if value == 'AA' else ''}.",
        **_PLAIN,
    }[kind]
