"""Constraints are read from briefs and checked by counting."""

import pytest

from allotrope.graphs.work.constraints import broken, count, read, sentence


@pytest.mark.parametrize(
    ("brief", "sentences"),
    [
        ("A slogan of exactly six words for a bakery.", ["Exactly 6 words."]),
        ("Describe the sea in at most 40 words.", ["At most 40 words."]),
        (
            "Under 280 characters, no emojis, no exclamation marks.",
            ["At most 279 characters.", "Doesn't use “!”.", "No emoji."],
        ),
        ("Between 100 and 120 words.", ["100 to 120 words."]),
        ("100-120 words", ["100 to 120 words."]),
        ("a 50-word story", ["Exactly 50 words."]),
        ("about 200 words", ["180 to 220 words."]),
        (
            "at least two paragraphs and no more than 1,000 words",
            ["At most 1000 words.", "At least 2 paragraphs."],
        ),
        ("Write a haiku about rain.", ["Exactly 3 lines."]),
        (
            "Ein Gedicht mit höchstens zehn Zeilen, ohne die Wörter „Herz“ und „Schmerz“.",
            ["At most 10 lines.", "Doesn't use “Herz”.", "Doesn't use “Schmerz”."],
        ),
        (
            "Use the words 'lantern' and 'harbor'; avoid the word 'very'.",
            ["Doesn't use “very”.", "Uses “lantern”.", "Uses “harbor”."],
        ),
        (
            'Mention "Ada", start with "Once" and end with "the end".',
            ["Uses “Ada”.", "Starts with “Once”.", "Ends with “the end”."],
        ),
        (
            "An acrostic of SPRING, all lowercase",
            ["All lower case.", "The first letters of the lines spell “SPRING”."],
        ),
        (
            "A bullet list without the letter e, no digits",
            ["Every line is a bullet point.", "No digits.", "Doesn't use the letter “e”."],
        ),
        ("One paragraph.", ["Exactly 1 paragraph."]),
        ("Answer in three sentences.", ["Exactly 3 sentences."]),
        ("Write something nice.", []),
        ("A story about three friends and two words they never said.", ["Exactly 2 words."]),
    ],
)
def test_reading(brief, sentences):
    assert [sentence(one) for one in read(brief)] == sentences


@pytest.mark.parametrize(
    ("brief", "good", "bad"),
    [
        ("exactly 3 words", "Don't look back.", "Look back."),
        ("at most 10 characters", " 0123456789 ", "0123456789a"),
        ("exactly 2 sentences", "Dr. who said it? He said so.", "One. Two. Three."),
        ("two paragraphs", "a\n\nb", "a\nb"),
        ("haiku", "a\n\nb\nc", "a\nb"),
        ("use the word 'cat'", "The Cat, of course.", "A catalogue."),
        ("avoid the word 'cat'", "A catalogue.", "The cat."),
        ("start with 'Once'", '"Once upon a time"', "At once"),
        ("end with 'the end'", "This is the end.", "the end is near"),
        ("acrostic of SUN", "Summer\nUnder\n*N*oon", "Summer\nNoon"),
        ("as bullet points", "- a\n* b\n1. c", "- a\nb"),
        ("in lowercase", "a\n1", "A"),
        ("in uppercase", "A 1", "Aa"),
        ("as JSON", '{"a": 1}', "{a: 1}"),
        ("no emojis", "smile", "smile 😀"),
        ("no digits", "one", "1"),
        ("no title", "Text\nmore", "# Title\ntext"),
        ("without the letter e", "Gadsby", "Ernest"),
        ("no exclamation marks", "Hm.", "Hm!"),
    ],
)
def test_checking(brief, good, bad):
    rules = read(brief)
    assert rules
    assert broken(good, rules) == []
    assert len(broken(bad, rules)) == 1
    assert broken("  ", rules) == ["The text is empty."]


def test_counting():
    text = "It's the well-known end.\n\nOf 2 things…"
    assert [count(text, unit) for unit in ("words", "characters", "lines", "sentences")] == [
        7, 38, 2, 2,
    ]  # fmt: skip
