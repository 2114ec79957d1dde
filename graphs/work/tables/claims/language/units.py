"""Units as answers and names of columns write them, and what each measures."""

from decimal import Decimal

UNITS = {
    **dict.fromkeys(("%", "percent", "pct", "prozent"), "%"),
    **dict.fromkeys(("$", "usd", "dollar", "dollars", "musd", "kusd"), "usd"),
    **dict.fromkeys(("€", "eur", "euro", "euros", "meur", "teur", "keur"), "eur"),
    **dict.fromkeys(("£", "gbp", "pounds_sterling"), "gbp"),
    **dict.fromkeys(("hour", "hours", "h", "hrs", "hr", "stunde", "stunden", "std"), "h"),
    **dict.fromkeys(("minute", "minutes", "min", "mins", "minuten"), "min"),
    **dict.fromkeys(("second", "seconds", "sec", "secs", "s", "sekunden"), "s"),
    **dict.fromkeys(("day", "days", "tag", "tage", "tagen"), "d"),
    **dict.fromkeys(("week", "weeks", "woche", "wochen"), "week"),
    **dict.fromkeys(("month", "months", "monat", "monate", "monaten"), "month"),
    **dict.fromkeys(("year", "years", "jahr", "jahre", "jahren"), "year"),
    **dict.fromkeys(("ms", "milliseconds", "millisecond", "millisekunden"), "ms"),
    **dict.fromkeys(("°c", "celsius", "degc", "c"), "C"),
    **dict.fromkeys(("°f", "fahrenheit", "degf", "f"), "F"),
    **dict.fromkeys(("degrees", "degree", "°", "grad"), "deg"),
    **dict.fromkeys(("kg", "kilograms", "kilogram"), "kg"),
    **dict.fromkeys(("km", "kilometers", "kilometres", "kilometer", "kilometre"), "km"),
    **dict.fromkeys(("g", "grams"), "g"),
    **{name.lower(): name for name in ("Wh", "kWh", "MWh", "GWh", "TWh", "kW", "MW", "GW")},
    **{name: name for name in ("mm", "cm", "mg", "ml", "kb", "mb", "gb", "tb")},
    **dict.fromkeys(("meter", "meters", "metre", "metres", "metern"), "m"),
    **dict.fromkeys(("tonne", "tonnes", "tonnen", "tons"), "t"),
    **dict.fromkeys(("liter", "liters", "litre", "litres", "litern"), "l"),
    **dict.fromkeys(("ha", "hectare", "hectares", "hektar"), "ha"),
    **dict.fromkeys(("cent", "cents", "ct"), "cent"),
    **dict.fromkeys(("times", "fold", "x", "fach", "mal"), "times"),
}
"""Words of units, for texts and for names of columns."""
CURRENCIES = ("usd", "eur", "gbp")
TIME = {
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "min": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86400),
    "week": Decimal(604_800),
    "month": Decimal("2629746"),
    "year": Decimal("31556952"),
}
"""Seconds of a unit of time; a month is a twelfth of the Gregorian mean year."""
CALENDAR = {"d": "day", "week": "week", "month": "month", "year": "year"}
"""Units that are counted like rows: `in two of the six months`."""
SIZES: dict[str, tuple[str, Decimal]] = {
    **{name: ("time", seconds) for name, seconds in TIME.items()},
    **{
        f"{prefix}{base}": (base, Decimal(1).scaleb(power))
        for base, prefixes in (("W", "kMGT"), ("Wh", "kMGT"), ("b", "kmgt"))
        for prefix, power in zip(prefixes, (3, 6, 9, 12), strict=True)
    },
    "Wh": ("Wh", Decimal(1)),
    **{
        name: (base, Decimal(1).scaleb(power))
        for base, names in (
            ("m", (("mm", -3), ("cm", -2), ("m", 0), ("km", 3))),
            ("g", (("mg", -3), ("g", 0), ("kg", 3), ("t", 6))),
            ("l", (("ml", -3), ("l", 0))),
        )
        for name, power in names
    },
    **{name: (name, Decimal(1)) for name in CURRENCIES},
}
"""What a unit measures, and how much of it one is; currencies have no common measure."""
