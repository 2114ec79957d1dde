"""A claim is held against its source: figures and what they belong to, negation, direction."""

import pytest

from allotrope.graphs.work.sources.claims.figures import figures
from allotrope.graphs.work.sources.claims.judging import mismatch

MILL = (
    "In 2024 the mill made 12,480,000 rolls, up from 11,200,000 in 2023. Costs fell by 4 percent."
)
FIRM = (
    "Director Eva Brandt did not confirm the sale. "
    "The site will close on 3 May 2025 at the earliest."
)
LAB = "Blue cells survived in 41 of 50 dishes; red cells survived in 12. The dye is not toxic."
TABLE = (
    "| Year | Visitors | Revenue |\n|---|---|---|\n"
    "| 2021 | 18,400 | 202,435 |\n| 2022 | 25,900 | 311,070 |"
)
PASSAGES = (MILL, FIRM, LAB, TABLE)

HELD = [
    "The mill made about 12.5 million rolls in 2024",
    "Output rose by roughly 11% to 12.48 million rolls",
    "Costs went down 4%, while 12.5 million rolls were made",
    "Eva Brandt hasn't confirmed that the site is sold",
    "The site will not close before May 3, 2025",
    "Blue cells made it in 82% of the dishes (41 of 50)",
    "The dye isn't toxic",
    "In 2022 the museum had 25,900 visitors",
    "Visitors rose from 18,400 in 2021 to 25,900 in 2022",
]
WRONG = [
    ("The mill made about 12.5 billion rolls in 2024", "12.5 billion doesn't stand"),
    ("The mill made 11.2 million rolls in 2024 and 12.48 million in 2023", "other way round"),
    ("Costs rose by 4 percent", "other way"),
    ("Costs fell by 4 percentage units to 7 kg", "7 kg doesn't stand"),
    ("Director Eva Brandt confirmed the sale", "opposite"),
    ("Director Eva Brand Holm did not confirm the sale", "“Holm” doesn't stand"),
    ("The site will close on 4 May 2025", "4 May 2025 doesn't stand"),
    ("The dye is toxic", "leaves out the “not”"),
    ("Costs did not fall by 4 percent", "opposite"),
    (
        "Red cells survived in 41 of 50 dishes; blue cells survived in 12",
        "other way round|opposite",
    ),
    ("All cells always survived", "“All” is more|“always” is more"),
    ("In 2021 the museum had 25,900 visitors", "isn't of 2021"),
    ("Revenue in 2022 was 25,900", "another column"),
    ("Painters adore romantic evening lights", "too few"),
]


@pytest.mark.parametrize("claim", HELD)
def test_what_the_source_says_in_other_words_is_held(claim):
    assert mismatch(claim, PASSAGES) is None


@pytest.mark.parametrize(("claim", "why"), WRONG)
def test_what_it_doesnt_say_is_found(claim, why):
    found = mismatch(claim, PASSAGES)
    assert found is not None
    assert any(part in found for part in why.split("|"))


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("48.3 million", [("", "48300000")]),
        ("€1.2bn and 4,5 Millionen Euro", [("EUR", "1200000000"), ("EUR", "4500000")]),
        ("2 years or 24 months", [("time", "63115200"), ("time", "63115200")]),
        ("8–11%", [("%", "8"), ("%", "11")]),
        ("nine out of ten", [("%", "90")]),
        ("three quarters", [("%", "75")]),
        ("47 µg/L", [("mass", "0.000047")]),
        ("twice as many", [("times", "2")]),
        ("the 5th of 3D", []),
    ],
)
def test_figures(text, values):
    found = [(one.kind, str(one.value.normalize().__format__("f"))) for one in figures(text)]
    assert found == values


def test_dates_agree_as_far_as_they_are_given():
    assert mismatch("The site closes in May 2025 at the earliest", [FIRM]) is None
    assert mismatch("The site closes in June 2025 at the earliest", [FIRM]) is not None
