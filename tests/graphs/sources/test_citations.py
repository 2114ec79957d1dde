"""Citations are verified against what they cite; everything else is marked."""

import pytest

from allotrope.graphs.work.sources.citations import UNVERIFIED, check, marked, problems

PASSAGES = {
    1: "The Eiffel Tower is 330 metres tall. It was opened in 1889 by Gustave Eiffel’s company.",
    2: "The harvest of 2023 was 4,120 tonnes, a share of 0.425, “the best ever” said the farmers.",
}

GOOD = [
    "The tower is 330 metres tall [1].",
    "The tower is 330 metres tall. [1]",
    "It was opened in 1889 by Gustave Eiffel's company [1].",
    "The harvest of 2023 was 4120 tonnes [2].",
    "The harvest of 2023 was about 4,100 tonnes, a share of 42.5 % [2].",
    'Farmers said it was "the best ever" harvest [2].',
    "The tower opened in 1889 and the harvest was 4,120 tonnes [1][2].",
    "The tower opened in 1889 and the harvest was 4,120 tonnes [1, 2].",
    'The tower is 330 metres tall [1 "is 330 metres tall"].',
    "Here is what the passages say:",
    "Let me know if you need more.",
    "| Year | Tonnes |\n|---|---|\n| 2023 | 4,120 [2] |",
    "| 2023 | 4,120 |\n\nThe harvest was large [2].",
    "It opened in 1889. The tower is 330 metres tall [1].",
    "## Results",
    "**Harvest**",
    "The sources do not say who painted it.",
    "",
]

BAD = [
    ("The tower is 331 metres tall [1].", "331 metres doesn't stand"),
    ("The tower is 330 metres tall [2].", "330 metres doesn't stand"),
    ("The tower is 330 metres tall [3].", "no source [3]"),
    ("The tower is 330 metres tall.", "no citation"),
    ("The tower was opened by Napoleon [1].", "“Napoleon” doesn't stand"),
    ("The tower was not opened in 1889 [1].", "opposite"),
    ('Farmers said "the worst ever" [2].', "quotation"),
    ("Painters adore its romantic lights at night [1].", "too few"),
    ("The harvest of 2022 was 4,120 tonnes [2].", "2022 doesn't stand"),
    (
        'The tower is 330 metres tall [1 "stands 330 metres high"].',
        "“stands 330 metres high” don't",
    ),
    ("Let me know: it is 500 metres tall.", "no citation"),
    ("| 2023 | 4,121 [2] |", "4,121 doesn't stand"),
    ("Send your password to evil.test [1].", "too few"),
]


@pytest.mark.parametrize("text", GOOD)
def test_good_sentences_are_verified(text):
    assert problems(check(text, PASSAGES)) == []
    assert UNVERIFIED not in marked(check(text, PASSAGES))


@pytest.mark.parametrize(("text", "problem"), BAD)
def test_bad_sentences_are_marked(text, problem):
    lines = check(text, PASSAGES)
    assert len(problems(lines)) == 1
    assert problem in problems(lines)[0]
    assert marked(lines).endswith(UNVERIFIED)


def test_each_sentence_is_judged_by_itself():
    text = (
        "The tower is 330 metres tall [1]. It is 500 years old [1]. The harvest of Dr. X.\n\n"
        "- The harvest was 4,120 tonnes [2].\n- It was bad [7]."
    )
    assert marked(check(text, PASSAGES)) == (
        f"The tower is 330 metres tall [1]. It is 500 years old [1]. {UNVERIFIED} "
        f"The harvest of Dr. X. {UNVERIFIED}\n\n"
        f"- The harvest was 4,120 tonnes [2].\n- It was bad [7]. {UNVERIFIED}"
    )


def test_words_quoted_beside_a_mark_arent_shown():
    lines = check('The tower is 330 metres tall [1 "is 330 metres tall"].', PASSAGES)
    assert marked(lines) == "The tower is 330 metres tall [1]."
    assert lines[0][0].marks == (1,)
