"""Names of units as people spell them, put into the names that pint knows."""

import re

LONGEST = 60
"""Characters that a unit may have."""
_SPELLED: dict[str, str] = {
    "foot": "' ′ ft foot feet fuß",
    "inch": '" ″ in inch inches zoll',
    "yard": "yd yds yard yards",
    "mile": "mi mile miles statute_mile meile meilen",
    "nautical_mile": "nmi nautical_mile nautical_miles sea_mile seemeile seemeilen",
    "meter": "m meter metre mtr",
    "kilometer": "km kms kilometer kilometre",
    "centimeter": "cm cms centimeter centimetre zentimeter",
    "millimeter": "mm millimeter millimetre",
    "astronomical_unit": "au astronomical_unit astronomical_units",
    "light_year": "ly lightyear light_year lichtjahr lichtjahre",
    "kilogram": "kg kgs kilo kilos kilogram kilogramme kilogramm",
    "gram": "g gr gms gram gramme gramm",
    "milligram": "mg milligram milligramme milligramm",
    "tonne": "t tonne tonnes metric_ton metric_tons metric_tonne mt",
    "pound": "lb lbs pound pounds #",
    "ounce": "oz ozs ounce ounces",
    "stone": "st stone stones",
    "short_ton": "ton tons us_ton short_ton short_tons",
    "long_ton": "long_ton long_tons imperial_ton uk_ton",
    "long_hundredweight": "long_hundredweight uk_cwt",
    "short_hundredweight": "cwt hundredweight us_cwt short_hundredweight",
    "liter": "l liter litre ltr ltrs",
    "milliliter": "ml milliliter millilitre cc ccm",
    "centiliter": "cl centiliter centilitre",
    "cup": "cup cups us_cup",
    "tablespoon": "tbsp tbsps tbs tablespoon tablespoons esslöffel",
    "teaspoon": "tsp tsps teaspoon teaspoons teelöffel",
    "fluid_ounce": "fl_oz floz fluid_ounce fluid_ounces us_fl_oz fl_ozs",
    "imperial_fluid_ounce": "imperial_fluid_ounce imperial_fl_oz uk_fl_oz",
    "pint": "pt pts pint pints us_pint us_pints",
    "imperial_pint": "imperial_pint imperial_pints uk_pint uk_pints",
    "quart": "qt qts quart quarts us_quart",
    "gallon": "gal gals gallon gallons us_gallon us_gallons us_gal",
    "imperial_gallon": "imperial_gallon imperial_gallons uk_gallon uk_gallons imp_gal uk_gal",
    "oil_barrel": "bbl bbls barrel barrels oil_barrel oil_barrels",
    "hectare": "ha hectare hectares hektar",
    "acre": "acre acres ac",
    "second": "s sec secs second seconds sekunde sekunden",
    "minute": "min mins minute minutes minuten",
    "hour": "h hr hrs hour hours stunde stunden std",
    "day": "d day days tag tage",
    "week": "wk wks week weeks woche wochen",
    "month": "mo month months monat monate",
    "year": "y yr yrs year years jahr jahre a",
    "kilometer/hour": "km/h kmh kph kmph kilometers_per_hour km/hr stundenkilometer",
    "mile/hour": "mph miles_per_hour mi/h mi/hr",
    "knot": "kn kt kts knot knots knoten",
    "mile/gallon": "mpg miles_per_gallon",
    "mile/imperial_gallon": "uk_mpg imperial_mpg",
    "liter/hectokilometer": "lphkm l/100km l/100_km liters_per_100_km litres_per_100_km",
    "degree_Celsius": "c °c degc deg_c celsius centigrade degree_celsius degrees_celsius degree_c "
    "degrees_c grad_celsius grad",
    "degree_Fahrenheit": "f °f degf deg_f fahrenheit degree_fahrenheit degrees_fahrenheit "
    "degree_f degrees_f grad_fahrenheit",
    "kelvin": "k °k kelvin kelvins",
    "degree": "° deg degree degrees",
    "horsepower": "hp horsepower bhp",
    "metric_horsepower": "ps metric_horsepower metric_hp pferdestärke pferdestärken",
    "watt": "w watt watts",
    "kilowatt": "kw kilowatt kilowatts",
    "kilowatt_hour": "kwh kilowatt_hour kilowatt_hours kilowattstunde kilowattstunden",
    "watt_hour": "wh watt_hour watt_hours",
    "megawatt_hour": "mwh megawatt_hour megawatt_hours",
    "joule": "j joule joules",
    "kilojoule": "kj kilojoule kilojoules",
    "calorie": "cal cals calorie calories cal_th small_calorie small_calories",
    "kilocalorie": "kcal kcals kilocalorie kilocalories food_calorie food_calories",
    "british_thermal_unit": "btu btus",
    "psi": "psi",
    "bar": "bar bars",
    "millibar": "mbar millibar millibars",
    "pascal": "pa pascal pascals",
    "hectopascal": "hpa hectopascal",
    "atmosphere": "atm atmosphere atmospheres",
    "foot * force_pound": "ft-lb ft-lbs ft_lb ft_lbs lb-ft lb-fts foot_pound foot_pounds ftlb",
    "newton * meter": "nm_torque newton_meter newton_metre newton_meters n·m",
    "revolutions_per_minute": "rpm",
    "bit/second": "bps",
    "kilobit/second": "kbps kbit/s",
    "megabit/second": "mbps mbit/s",
    "gigabit/second": "gbps gbit/s",
    "byte": "byte bytes",
    "kilobyte": "kilobyte kilobytes",
    "megabyte": "megabyte megabytes",
    "gigabyte": "gigabyte gigabytes",
    "terabyte": "terabyte terabytes",
}
_NAMES = {name: unit for unit, names in _SPELLED.items() for name in names.split()}
"""Spellings that mean the same in whatever case they are written."""
_EXACT = {
    **{
        f"{prefix}B": f"{long}byte"
        for prefix, long in zip(
            "kKMGTP", ("kilo", "kilo", "mega", "giga", "tera", "peta"), strict=True
        )
    },
    **{
        f"{prefix}b": f"{long}bit"
        for prefix, long in zip("kKMGT", ("kilo", "kilo", "mega", "giga", "tera"), strict=True)
    },
    **{
        f"{prefix}B/s": f"{long}byte/second"
        for prefix, long in zip("kKMGT", ("kilo", "kilo", "mega", "giga", "tera"), strict=True)
    },
    **{
        f"{prefix}ib": f"{long}bit"
        for prefix, long in zip("KMGT", ("kibi", "mebi", "gibi", "tebi"), strict=True)
    },
    "mB": "megabyte",
    "kb": "kilobyte",
    "mb": "megabyte",
    "gb": "gigabyte",
    "tb": "terabyte",
    "Nm": "newton * meter",
    "nm": "nanometer",
    "Cal": "kilocalorie",
    "Cals": "kilocalorie",
    "MW": "megawatt",
    "mW": "milliwatt",
    "Mg": "megagram",
    "MM": "millimeter",
    "CM": "centimeter",
    "Mm": "megameter",
    "mL": "milliliter",
    "B": "byte",
    "b": "bit",
}
"""Spellings whose case decides."""
_MEANT = {
    "gallon": "US gallon; the imperial one is 4.54609 litres",
    "quart": "US quart; the imperial one is 1.1365 litres",
    "pint": "US pint; the imperial one is 568.26 ml",
    "gill": "US gill; the imperial one is 142.07 ml",
    "bushel": "US bushel; the imperial one is 36.37 litres",
    "peck": "US peck; the imperial one is 9.09 litres",
    "fluid_ounce": "US fluid ounce; the imperial one is 28.41 ml",
    "cup": "US cup; the metric one is 250 ml",
    "tablespoon": "US tablespoon; the metric one is 15 ml",
    "teaspoon": "US teaspoon; the metric one is 5 ml",
    "oil_barrel": "oil barrel of 42 gallons; other barrels have other sizes",
    "calorie": "small calorie of 4.184 J; the one of food is the kilocalorie",
    "dram": "weight of 1/16 ounce",
    "ton": "US short ton; a metric ton is 1000 kg",
    "hundredweight": "US hundredweight of 100 lb",
    "horsepower": "mechanical horsepower; the metric one, PS, is 735.5 W",
    "month": "mean month of 30.44 days",
    "year": "mean year of 365.25 days",
    "kilobyte": "1000 bytes; KiB is 1024",
    "megabyte": "1000² bytes; MiB is 1024²",
    "gigabyte": "1000³ bytes; GiB is 1024³",
    "terabyte": "1000⁴ bytes; TiB is 1024⁴",
    "kilobit": "bits; 8 bits are a byte",
    "megabit": "bits; 8 bits are a byte",
    "gigabit": "bits; 8 bits are a byte",
}
"""Units of several sizes, and which of them is taken."""
_SPELLING_MEANT = {
    "gr": "gr is read as gram; a grain is 64.8 mg",
    "kn": "kn is read as knot; kN is kilonewton",
    "kt": "kt is read as knot",
}
"""Spellings that stand for several units."""
_SQUARE = re.compile(r"(?:squared?|sq|quadrat)[_ ]?(.+)|(.+?)(?:\^2|\*\*2|²|2)", re.I)
_CUBIC = re.compile(r"(?:cubic|cu|kubik)[_ ]?(.+)|(.+?)(?:\^3|\*\*3|³|3)", re.I)


def known_name(text: str) -> str | None:
    """The name that pint has for a unit as people spell it; None for what stands in no list.

    Args:
        text: `sq ft`, `KM`, `miles per hour`, `kg/m3`.
    """
    plain = " ".join(text.split()).strip(". ")
    if plain in _EXACT:
        return _EXACT[plain]
    word = re.sub(r"\.(?=\s|$)", "", plain).casefold().replace(" ", "_")
    for one in (word, word.replace("_", "")):
        if one in _NAMES:
            return _NAMES[one]
    if word.endswith("s") and len(word) > 2 and word[:-1] in _NAMES:
        return _NAMES[word[:-1]]
    # What is inside keeps its case: Mb is no MB.
    cased = re.sub(r"\.(?=\s|$)", "", plain).replace(" ", "_")
    for pattern, power in ((_SQUARE, 2), (_CUBIC, 3)):
        if found := pattern.fullmatch(cased):
            inner = known_name((found[1] or found[2]).replace("_", " "))
            if inner is not None and re.fullmatch(r"[a-z_]+", inner):
                return f"{inner}**{power}"
    parts = re.split(r"/|_per_|_pro_", cased, maxsplit=1, flags=re.IGNORECASE)
    if len(parts) == 2:
        upper, lower = (known_name(part.replace("_", " ")) for part in parts)
        if upper and lower:
            return f"({upper})/({lower})"
    return None


def meant(spelled: str, parsed: str) -> list[str]:
    """What should be said of a unit of several sizes, also where it stands in another one.

    Args:
        spelled: The unit as it was written.
        parsed: The names of its parts, as pint writes them: `mile / gallon`.
    """
    notes = [_MEANT[name] for name in re.findall(r"[a-z_]+", parsed) if name in _MEANT]
    short = _SPELLING_MEANT.get(spelled.strip(". "))
    return [*notes, short] if short else notes


def alike(text: str) -> str:
    """The known spelling that is most like an unknown one, or an empty text.

    Args:
        text: What was written.
    """
    from difflib import get_close_matches

    word = text.strip().casefold().replace(" ", "_")
    long = [name for name in _NAMES if len(name) > 3]
    found = get_close_matches(word, [*long, *(f"{name}s" for name in long)], n=1, cutoff=0.8)
    return found[0].replace("_", " ") if found else ""
