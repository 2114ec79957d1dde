"""Units convert exactly, and nonsense is a sentence."""

import pytest

from allotrope.agents.tools.unit_names import _MEANT
from allotrope.agents.tools.units import _registry, convert, units_tool
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
        (
            "1/2 cup",
            "ml",
            "1/2 cup = 118.29411825 ml (US cup; the metric one is 250 ml)",
        ),
        ("2 1/2 hours", "minutes", "2 1/2 hours = 150 minutes"),
        ("½ mile", "sq ft per yard", "½ mile = 7920 sq ft per yard"),
        ("6'2", "cm", "6'2 = 187.96 cm"),
        ("10 KM", "Metres", "10 KM = 10000 Metres"),
        ("1500 sq ft", "square yards", "1500 sq ft ≈ 166.666666667 square yards"),
        ("8 L/100 km", "l/100km", "8 L/100 km = 8 l/100km"),
        ("12 UK pints", "imperial gallons", "12 UK pints = 1.5 imperial gallons"),
        ("8 Mb", "MB", "8 Mb = 1 MB (bits; 8 bits are a byte; 1000² bytes; MiB is 1024²)"),
        ("90 deg", "°", "90 deg = 90 °"),
        ("3 Nm", "N*m", "3 Nm = 3 N*m"),
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


@pytest.mark.parametrize(
    ("quantity", "to", "words"),
    [
        ("5 gallons", "litres", "US gallon"),
        ("1 ton", "kg", "metric ton"),
        ("40 mpg", "l/100km", "5.88"),
        ("200 hp", "kW", "mechanical"),
    ],
)
def test_which_of_several_sizes_is_said(quantity, to, words):
    assert words in convert(quantity, to)


@pytest.mark.parametrize(
    ("quantity", "to", "to_do"),
    [
        ("2 cups flour", "g", "density"),
        ("2 cups", "g", "density"),
        ("5 USD", "EUR", "Give the rate"),
        ("five miles", "km", "Give a number and a unit"),
        ("5 kg", "km", "same kind"),
        ("5 smoots", "furlongz", "Such as km"),
    ],
)
def test_refusals_say_what_to_do(quantity, to, to_do):
    with pytest.raises(InputError, match=to_do):
        convert(quantity, to)


@pytest.mark.parametrize(
    ("quantity", "to", "line"),
    [
        ("100 Mb/s", "MB/s", "= 12.5 MB/s"),
        ("1 Tbps", "Gb/s", "= 1000 Gb/s"),
        ("5 Mg/l", "kg/l", "= 5000 kg/l"),
        ("1 mb", "mB", "= 1 mB"),
        ("8 Gib", "GiB", "= 1 GiB"),
        ("5'-11\"", "cm", "= 180.34 cm"),
        ("-5 ft 3 in", "in", "= -63 in"),
        ("5 ms", "s", "= 0.005 s"),
        ("2h 15m", "min", "= 135 min"),
        ("1 acre", "ft^2", "= 43560 ft^2"),
        ("1 chain", "ft", "= 66 ft"),
        ("1 AU", "km", "149597870.7 km"),
        ("60 rpm", "Hz", "1 Hz"),
        ("1 kHz", "rpm", "60000 rpm"),
        ("15 ºC", "ºF", "= 59 ºF"),
    ],
)
def test_case_and_signs_are_kept(quantity, to, line):
    assert line in convert(quantity, to)


@pytest.mark.parametrize(
    ("quantity", "to", "words"),
    [
        ("100 barrels", "litres", "42 gallons"),
        ("2 pt", "ml", "US pint"),
        ("30 miles/gallon", "km/l", "US gallon"),
        ("124 gr", "mg", "grain"),
        ("2000 calories", "kJ", "kilocalorie"),
        ("1 tablespoon", "ml", "15 ml"),
        ("1 bushel", "l", "US"),
    ],
)
def test_units_in_units_say_their_size(quantity, to, words):
    assert words in convert(quantity, to)


@pytest.mark.parametrize(
    ("quantity", "to", "to_do"),
    [
        ("3 killometers", "m", "kilometers"),
        ("0 l/100km", "mpg", "other than 0"),
        ("1 week -2 days", "days", "minus"),
        ("5 mhz", "kHz", "MHz"),
    ],
)
def test_more_refusals_say_what_to_do(quantity, to, to_do):
    with pytest.raises(InputError) as caught:
        convert(quantity, to)
    assert to_do in f"{caught.value} {caught.value.hint or ''}"


def test_notes_stand_under_the_names_that_pint_writes():
    for name in _MEANT:
        assert f"{_registry().parse_units(name)}" == name
