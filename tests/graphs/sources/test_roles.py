"""Who does what, what has happened yet, what a figure is said of, and which row it stands in."""

import re

import pytest

from allotrope.graphs.work.sources.claims.judging import mismatch

PORT = (
    "The harbour union accused the port authority of wasting funds. A new crane is expected to "
    "arrive in October. Traffic fell by 30 percent because of a strike at the lock. Three of the "
    "five berths were dredged. The ferry moved from Brest to Vigo."
)
HOUSE = (
    "The newest tenant pays first and the older one is exempt. The heating is off by default. "
    "The lease is not valid before 1 June 2026. The cellar is inaccessible. Her second novel was "
    "edited by Karin Boye. Output was 40 units (95% CI 12 to 66)."
)
SPANISH = "El precio del cobre cayó un 9 % en mayo. La mina no cierra este año."
FARM = (
    "Larks nest more often than owls. The farm has sold 40 more pigs than in 2020. The bus is "
    "still free. Anna Berg calls the rule unfair, while Tom Holt defends it. Firms with fewer "
    "than 9 employees are exempt. The mayor declined the prize. The barn is 60 square metres."
)
TABLE = "| Team | 2024 | 2025 |\n| Otters | 12 | 19 |\n| Badgers | 30 | 21 |"
MONTHS = "Sales were down for two quarters in a row. The tank is 1.4 times as large as the old one."

WRONG = [
    ("The port authority accused the harbour union of wasting funds", PORT, "way round"),
    ("A new crane has arrived in October", PORT, "hasn't “arrived” yet"),
    ("Traffic fell to 30 percent", PORT, "doesn't say “to 30 percent”"),
    ("Traffic rose, climbing by 30 percent", PORT, "other way|opposite"),
    ("Traffic fell by 30 percent because of heavy storms", PORT, "another cause"),
    ("Four of the five berths were dredged", PORT, "Four"),
    ("The ferry moved to Brest", PORT, "doesn't say “to Brest”"),
    ("The oldest tenant pays first and the newer one is exempt", HOUSE, "opposite"),
    ("The heating is on by default", HOUSE, "opposite"),
    ("The lease is valid before 1 June 2026", HOUSE, "not before"),
    ("The cellar is accessible", HOUSE, "opposite"),
    ("Her third novel was edited by Karin Boye", HOUSE, "doesn't say 3"),
    ("Her second novel was edited by Selma Moberg", f"{HOUSE} Selma Moberg wrote.", "Selma"),
    ("Output was 66 units", HOUSE, "something else"),
    ("The price of copper rose by 9% in May", SPANISH, "other way|opposite"),
    ("Owls nest more often than larks", FARM, "way round|opposite"),
    ("The farm has sold 40 fewer pigs than in 2020", FARM, "other way|opposite"),
    ("The bus is no longer free", FARM, "opposite|says “not”"),
    ("Tom Holt calls the rule unfair", FARM, "Tom Holt"),
    ("Firms of any size are exempt", FARM, "of any size"),
    ("The mayor accepted the prize", FARM, "opposite"),
    ("The barn is 60 square kilometres", FARM, "60 square"),
    ("The Badgers had 19 points in 2025", TABLE, "another row"),
    ("The Otters had 12 points in 2025", TABLE, "another column"),
    ("The points of the Badgers rose between 2024 and 2025", TABLE, "other direction"),
]
HELD = [
    ("The port authority was accused by the harbour union of wasting funds", PORT),
    ("In October, a new crane should arrive", PORT),
    ("Owing to a strike, traffic dropped by 30%", PORT),
    ("Two of the five berths weren't dredged", PORT),
    ("The newest tenant has to pay first", HOUSE),
    ("The lease becomes valid on 1 June 2026 at the earliest", HOUSE),
    ("The price of copper dropped by 9% in May", SPANISH),
    ("The mine won't close this year", SPANISH),
    ("The Otters went from 12 in 2024 to 19 in 2025", TABLE),
    ("In 2025 the Badgers had 21 points, down from 30 the year before", TABLE),
    ("Owls nest less often than larks", FARM),
    ("You still don't pay for the bus", FARM),
    ("The barn covers 60 m²", FARM),
    ("Sales fell for six months", MONTHS),
    ("The tank is 40% larger than the old one", MONTHS),
]


@pytest.mark.parametrize(("claim", "source", "why"), WRONG)
def test_a_changed_role_is_found(claim, source, why):
    problem = mismatch(claim, [source])
    assert problem is not None
    assert re.search(why, problem)


@pytest.mark.parametrize(("claim", "source"), HELD)
def test_the_same_in_another_order_is_held(claim, source):
    assert mismatch(claim, [source]) is None
