"""Constraints are read from briefs and checked by counting."""

import pytest

from allotrope.graphs.work.constraints import (
    broken,
    corrected,
    count,
    read,
    sentence,
    told,
    unchecked,
    understood,
)


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
            ["At least 2 paragraphs.", "At most 1000 words."],
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
        ("A story about three friends and two words they never said.", []),
        (
            "3 paragraphs of 50 words each",
            ["Exactly 3 paragraphs.", "Each paragraph: exactly 50 words."],
        ),
        ("no sentence longer than 12 words", ["Each sentence: at most 12 words."]),
        ("300 words or fewer, two or three hashtags", ["At most 300 words.", "2 to 3 hashtags."]),
        ("100 words, give or take 10", ["90 to 110 words."]),
        ("at least 400 words but no more than 600", ["At least 400 words.", "At most 600 words."]),
        (
            "Two of these words: ember, drift, tide.",
            ["Uses exactly 2 of “ember”, “drift”, “tide”."],
        ),
        ("Use the word tide at least three times.", ["Uses “tide” at least 3 times."]),
        ("The word 'love' never appears.", ["Doesn't use “love”."]),
        ("Every line must start with 'I am'.", ["Each line: starts with “I am”."]),
        ("in rhyming couplets, in French", ["Written in French.", "Rhyme scheme AA (couplets)."]),
        ("at an eighth-grade reading level", ["Reading level: at most grade 8 (Flesch-Kincaid)."]),
        ("a 5-7-5 syllable haiku", ["Exactly 3 lines.", "Syllables of the lines: 5-7-5."]),
        ("My draft has 900 words.", []),
        ("He speaks only four words a day.", []),
        ("A scene with two characters.", []),
        ("A speech for the 8th grade graduation", []),
        ("Life in English country houses", []),
        ("A review of the novel 'Ten Words'", []),
        ("Use plain words and explain the term 'entropy'.", []),
        ("Write a cold email. Subject line under 60 characters. Body at most 120 words.", []),
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
        ("exactly 2 hashtags", "Tea #one #Two", "Tea #one"),
        ("two emojis", "Tea 👨‍👩‍👧 ☕️", "Tea ☕"),
        ("3 bullet points", "Intro\n- a\n- b\n- c", "- a\n- b"),
        ("each paragraph at most 3 words", "a b c\n\nd", "a b c d\n\ne"),
        ("no bullet points", "a - b", "- a"),
        ("use the word 'tea' exactly twice", "Tea, tea.", "Tea."),
        ("two of these words: tea, milk, jam", "Milk tea.", "Jam."),
        ("end with a question", "Why?", "Why."),
        ("every line starts with 'I'", "I am\nI was", "I am\nYou"),
        (
            "5-7-5 syllables",
            "An old silent pond\nA frog jumps into the pond\nSplash! Silence again",
            "Pond\nA frog jumps into the pond\nSplash! Silence again",
        ),
        ("rhyme scheme ABAB", "the light\nthe sea\nthe night\nfor me", "light\nsea\ndog\nme"),
        ("in rhyming couplets", "By fire\nDesire", "By fire\nBy water"),
        (
            "written in German",
            "Der Herbst ist da, und die Blätter fallen leise von den hohen Bäumen.",
            "Autumn is here, and the leaves are falling quietly from all of the tall trees.",
        ),
        (
            "a second-grade reading level",
            "The cat sat. The dog ran. They had fun.",
            "Institutional considerations notwithstanding, the committee's determination"
            " necessitated comprehensive reconsideration of international arrangements.",
        ),
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


@pytest.mark.parametrize(
    "brief",
    [
        "At most 60 words. At least 90 words.",
        "exactly 10 words, exactly 20 words",
        "Use the word 'free'. Avoid the word 'free'.",
        "all lowercase, all uppercase",
        "End with 'a'. End with 'b'.",
    ],
)
def test_what_contradicts_itself_is_dropped_and_said(brief):
    found = understood(brief)
    assert found.constraints == []
    assert len(found.dropped) == 1
    assert "contradict each other" in told(found)


def test_what_no_rule_understands_is_said():
    found = understood("A poem, 8 lines. It must mention the sea, without clichés.")
    assert [sentence(one) for one in found.constraints] == ["Exactly 8 lines."]
    assert found.unread == ["It must mention the sea", "without clichés"]


@pytest.mark.parametrize(
    ("answer", "sentences"),
    [
        ("yes", ["Exactly 50 words.", "Uses “tea”.", "Written in French."]),
        ("drop 1", ["Uses “tea”.", "Written in French."]),
        ("Drop 1 and 3.", ["Uses “tea”."]),
        ("at most 60 words", ["Uses “tea”.", "Written in French.", "At most 60 words."]),
        ("avoid 'tea'", ["Exactly 50 words.", "Written in French.", "Doesn't use “tea”."]),
        ("Make it funnier", ["Exactly 50 words.", "Uses “tea”.", "Written in French."]),
    ],
)
def test_a_person_corrects_what_was_understood(answer, sentences):
    found = understood("50 words in French with the word 'tea'")
    assert [sentence(one) for one in corrected(found, answer).constraints] == sentences


def test_rhymes_of_other_languages_are_said_to_be_unchecked():
    rules = read("ein Gedicht auf Deutsch im Kreuzreim")
    assert broken("Haus\nBaum\nMaus\nHund", rules) == []
    assert unchecked("Haus\nBaum\nMaus\nHund", rules) == ["Rhyme scheme ABAB."]


def test_pasted_text_isnt_a_brief():
    brief = "Rewrite the following text in 50 words:\n\nUse at least 900 words and 3 hashtags."
    assert [sentence(one) for one in read(brief)] == ["Exactly 50 words."]


@pytest.mark.parametrize(
    "brief",
    [
        "Write a title of 5 to 8 words and a subtitle under 15 words.",
        "Give me five taglines, each no longer than 8 words.",
        "Give me three headlines, max 6 words each.",
        "List 4 slogans of at most 5 words.",
        "Come up with ten tweets, none over 200 characters.",
        "A tagline under 8 words and a body of 50 words.",
        "An intro of 30 words, then a body of about 150 words, then a 20-word outro.",
        "A product name (max 2 words) and a one-sentence pitch.",
    ],
)
def test_lengths_of_several_pieces_are_not_taken_for_the_wholes(brief: str) -> None:
    assert [one for one in understood(brief).constraints if one["kind"] == "length"] == []


def test_each_ends_where_the_whole_is_named() -> None:
    brief = "Each stanza should have four lines, and the poem no more than 24 lines."
    pers = [one.get("per") for one in understood(brief).constraints]
    assert pers == ["paragraph", None]


@pytest.mark.parametrize(
    ("brief", "sentences"),
    [
        (
            "A scene without using the words harbour, gull or mast.",
            ["Doesn't use “harbour”.", "Doesn't use “gull”.", "Doesn't use “mast”."],
        ),
        ("Das Wort „Regen“ darf nicht vorkommen.", ["Doesn't use “Regen”."]),
        ("A tale in which nobody says 'yes'.", ["Doesn't use “yes”."]),
        (
            'It contains "warm" and "dry" but not "cheap".',
            ["Doesn't use “cheap”.", "Uses “warm”.", "Uses “dry”."],
        ),
        ("Two paragraphs, 20 words per paragraph at most.",
         ["Exactly 2 paragraphs.", "Each paragraph: at most 20 words."]),
        ("Keywords: late bus; wet shoes; cold tea.",
         ["Uses “late bus”.", "Uses “wet shoes”.", "Uses “cold tea”."]),
        ("Six film titles, one per line.", ["Exactly 6 lines."]),
        ("List 4 reasons to walk as bullet points.", ["Exactly 4 bullets."]),
        ('Use the keyword "wind farm" 2 to 4 times.', ["Uses “wind farm” 2 to 4 times."]),
        ('The first line must start with "Never".', ["Starts with “Never”."]),
        ('First sentence: "It rained."', ["Starts with “It rained.”."]),
        ("Jede Zeile soll mit „Und“ beginnen.", ["Each line: starts with “Und”."]),
        ('Three lines, none containing "blue".', ["Exactly 3 lines.", "Doesn't use “blue”."]),
        ('Avoid phrases such as "deep dive".', ["Doesn't use “deep dive”."]),
        ("Two paragraphs, none longer than 30 words.",
         ["Exactly 2 paragraphs.", "Each paragraph: at most 30 words."]),
        ('The last word should be "home".', ["Ends with “home”."]),
        ('A text where each paragraph starts with "We".', ["Each paragraph: starts with “We”."]),
        ("Un lema, máximo 6 palabras.", ["At most 6 words."]),
        ('Begin the text with "Dear all". Finish it with "Yours".',
         ["Starts with “Dear all”.", "Ends with “Yours”."]),
        ("Three tercets about frost.",
         ["Exactly 3 paragraphs.", "Each paragraph: exactly 3 lines."]),
        ("A caption that ends with an exclamation mark.", ["Ends with “!”."]),
        ("Write in British English, with no numbers, all lowercase.",
         ["All lower case.", "No digits.", "Written in English."]),
        ("A poem whose lines have 2, 3, 4, 3 and 2 syllables.",
         ["Syllables of the lines: 2-3-4-3-2."]),
    ],
)  # fmt: skip
def test_other_ways_to_say_it_are_read(brief, sentences):
    assert sorted(sentence(one) for one in read(brief)) == sorted(sentences)


@pytest.mark.parametrize(
    "brief",
    [
        "I'm writing a novel of 80,000 words; give me a name for it.",
        "Write a product name and a tagline. The tagline: 6 words or fewer.",
        "Return JSON with the keys title and text. The text must have at least 40 words.",
        "Don't mention the war.",
    ],
)
def test_what_belongs_to_a_part_or_to_the_content_isnt_read(brief):
    assert [one for one in read(brief) if one["kind"] != "json"] == []
