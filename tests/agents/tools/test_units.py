"""Units convert exactly, and nonsense is a sentence."""

import pytest

from allotrope.agents.tools.units import convert, units_tool
from allotrope.exceptions import InputError


@pytest.mark.parametrize(
    ("quantity", "to", "line"),
    [
        ("26.2 miles", "km", "26.2 miles = 42.1648128 km"),
        ("5 ft 11 in", "cm", "5 ft 11 in = 180.34 cm"),
        ("5'11\"", "cm", "5'11\" = 180.34 cm"),
        ("98.6 °F", "°C", "98.6 °F = 37 °C"),
        ("-40 C", "F", "-40 C = -40 F"),
        ("300 K", "°C", "300 K = 26.85 °C"),
        ("100 km/h", "mph", "100 km/h ≈ 62.1371192237 mph"),
        ("1,000 kg", "lbs", "1,000 kg ≈ 2204.62262185 lbs"),
        ("1/2 cup", "ml", "1/2 cup = 118.29411825 ml"),
        ("2 hours 30 min", "s", "2 hours 30 min = 9000 s"),
        ("60 W*hour", "kJ", "60 W*hour = 216 kJ"),
        ("1 light_year", "km", "1 light_year ≈ 9460730472580 km"),
    ],
)
def test_conversions(quantity, to, line):
    assert convert(quantity, to) == line


@pytest.mark.parametrize(
    ("quantity", "to"),
    [
        ("5 USD", "EUR"),
        ("5 kg", "m"),
        ("5", "km"),
        ("x km", "m"),
        ("", "m"),
        ("5 km", ""),
        ("5 km", "__import__('os')"),
        ("10**10**10 m", "km"),
        ("5 m**99999999", "m"),
        ("5 (((((m", "km"),
        ("5 km", "9" * 61),
        ("5 km; rm", "m"),
        ("1e999 m", "km**9"),
    ],
)
def test_refuses(quantity, to):
    with pytest.raises(InputError):
        convert(quantity, to)


def test_the_tool():
    tool = units_tool()
    assert tool.invoke({"quantity": "1 inch", "to": "cm"}) == "1 inch = 2.54 cm"
    assert "can't be converted" in tool.invoke({"quantity": "1 inch", "to": "s"})
