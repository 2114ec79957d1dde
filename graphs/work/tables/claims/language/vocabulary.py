"""The words by which answers say what a number is: measures, directions, comparisons, periods.

English and German. Each list is of words that mean the same in a sentence about data; a word that
stands in none is only a noun.
"""

import re
from functools import cache, lru_cache
from typing import Any


def word_set(text: str) -> frozenset[str]:
    """The words of a text, as a set.

    Args:
        text: Words with blanks between them.
    """
    return frozenset(text.split())


ABOUT = word_set(
    """
    about around roughly approximately approx some circa ca rund etwa ungefähr ~ ≈ close
    """
)
OVER = word_set(
    "passed topped surpassed crossed beyond over above exceeding exceeds exceeded exceed über "
    "mehr more least"
)
UNDER = word_set("under below less unter weniger fewer")
ALMOST = word_set("almost nearly just fast knapp beinahe")
RISE = word_set(
    """
    doubled tripled climbing beat passed surpassed erhöht erhöhte steigerte
    rose rise rises risen rising increased increase increases increasing grew grow grows grown
    growing growth gained gain gains climbed climb jumped jump improved up higher more plus
    added surged expanded exceeded above ahead warmer larger greater bigger longer stieg
    gestiegen steigt wuchs gewachsen zunahme anstieg mehr höher größer über vor wachstum
    """
)
FALL = word_set(
    """
    slipped slid missed short shortfall verfehlt zurück gesenkt senkten sinkt eased
    fell fall falls fallen falling decreased decrease decreases declined decline declines
    dropped drop drops down lower less fewer minus lost lose loses loss shrank shrunk dip
    dipped reduced below behind colder cooler smaller shorter contracted slipped negative sank
    gesunken fiel gefallen fällt rückgang abnahme weniger niedriger kleiner unter hinter
    verlust
    """
)
LOSS = word_set(
    """
    lost loss losses lose negative minus below deficit verlust dropped fell down dip declined
    decreased fall decline drop decrease fiel sank rückgang
    """
)
GAINS = word_set("surplus profit gain plus überschuss gewinn")
"""Words for an amount above nothing."""
GREW = word_set(
    "grew grow grown growing gained rose risen increased climbed wuchs gewachsen stieg gestiegen"
)
"""Words that say that something became more."""
HIGHEST = word_set(
    """
    fullest wettest tallest widest deepest loudest brightest thickest steepest rainiest sunniest
    highest most largest biggest greatest top leading leads lead leader maximum peak strongest
    busiest warmest hottest longest slowest heaviest oldest richest priciest best first
    höchste höchsten größte größten meiste meisten stärkste führt spitzenreiter wärmste
    längste langsamste beste teuerste häufigste häufigsten häufigster
    """
)
LOWEST = word_set(
    """
    driest emptiest narrowest thinnest slimmest quietest calmest rarest
    lowest least smallest fewest minimum weakest coldest coolest shortest fastest quickest
    lightest youngest cheapest poorest worst last niedrigste niedrigsten kleinste kleinsten
    wenigste wenigsten schwächste kälteste kürzeste schnellste schlechteste günstigste
    """
)
MORE_THAN = word_set(
    """
    more higher larger greater bigger longer warmer hotter slower heavier above exceeds
    exceeded outsold outperforms outperformed beats beat ahead tops surpasses surpassed mehr
    höher größer länger wärmer langsamer
    """
)
LESS_THAN = word_set(
    """
    less fewer lower smaller shorter colder cooler faster quicker lighter cheaper below behind
    trails trailed weniger niedriger kleiner kürzer kälter schneller günstiger
    """
)
ORDINALS = {
    **dict.fromkeys(("second", "2nd", "zweite", "zweiten", "zweiter", "runner"), 2),
    **dict.fromkeys(("third", "3rd", "dritte", "dritten", "dritter", "drittes"), 3),
    **dict.fromkeys(("fourth", "4th", "vierte", "vierten", "vierter"), 4),
    **dict.fromkeys(("fifth", "5th", "fünfte", "fünften", "fünfter"), 5),
    **dict.fromkeys(("sixth", "6th", "sechste", "sechsten", "sechster"), 6),
    **dict.fromkeys(("seventh", "7th", "siebte", "siebten", "siebter"), 7),
    **dict.fromkeys(("eighth", "8th", "achte", "achten", "achter"), 8),
    **dict.fromkeys(("ninth", "9th", "neunte", "neunten", "neunter"), 9),
    **dict.fromkeys(("tenth", "10th", "zehnte", "zehnten", "zehnter"), 10),
}
TOTAL = word_set(
    """
    there gibt
    total totals totalled totaled totalling together combined sum overall altogether all whole
    entire both adds add gesamt insgesamt zusammen summe gesamtumsatz gesamte alle aller
    across over
    """
)
MEAN = word_set(
    """
    average averages averaged averaging mean per each typical durchschnitt durchschnittlich
    mittel schnitt je pro rate worth head every
    """
)
GAP = word_set(
    """
    difference gap lead margin ahead behind range spread swing between by dip apart differ
    differenz abstand unterschied spanne um
    """
)
SHARE = word_set(
    """
    share accounts account accounted makes make made contributes contributed represents
    proportion portion part percentage fraction anteil entfallen entfällt macht of plan
    """
)
EVERY = word_set(
    """
    every each steadily continuously consistently jede jeden jeder jedes stetig
    """
)
EXCEPT = word_set("except apart besides but außer bis")
NOT = word_set(
    """
    not no never neither nor none without isn't wasn't nicht kein keine nie
    """
)
LINKS = word_set(
    """
    and und & or oder vs vs. versus against gegenüber to compared with , ; / – - bis while
    from of
    """
)
PLANS = word_set("quota budget target plan planned goal limit forecast soll ziel plan")
"""Words of columns that hold what was planned."""
PLURAL_PLANS = word_set("quotas budgets targets plans goals limits forecasts ziele pläne")
AGGREGATES = {
    "mean": word_set(
        """
    average averages averaged averaging mean avg durchschnitt schnitt durchschnittlich mittel
    typical mittlere mittlerer durchschnittliche durchschnittlichen
    """
    ),
    "median": word_set("median"),
    "max": word_set("maximum max highest top peak high höchste maximal up"),
    "min": word_set("minimum min lowest low bottom niedrigste minimal"),
    "count": word_set("count number anzahl many"),
    "sum": word_set("total sum totals totalled totaled summe gesamt insgesamt combined"),
}
_ALIKE = (
    "mrr arr revenue sales turnover umsatz income takings revenues proceeds erlös erlöse sold "
    "brought",
    "orders order purchases bestellungen aufträge transactions",
    "customers customer clients kunden kunde buyers",
    "employees employee people staff headcount mitarbeiter workers heads hires persons n count",
    "salary salaries pay earn earns earning wage wages gehalt gehälter paid",
    "population inhabitants people residents einwohner bevölkerung pop populous",
    "price costs cost preis priced prices expensive cheapest cheaper",
    "units pieces sold stück quantity qty items menge amount seller",
    "profit profits gewinn profitable earnings made margin lost loss losing",
    "sessions visits visitors besuche traffic session",
    "temperature temp temperatures degrees warm cold warmest coldest warmer colder temperatur",
    "rate share percentage pct percent anteil quote",
    "hours hour stunden resolution resolve takes time duration needs slowest fastest slower "
    "faster slow fast",
    "seconds minutes stay stays duration time",
    "conversion conversions converts convert conv converting",
    "gdp bip economy",
    "returned returns return retouren",
    "overtime überstunden",
    "change growth changed veränderung increase increased grew fell rose",
    "readings measurements messungen rows records entries samples",
    "hired joined hire hires started eingestellt",
    "sla",
    "first earliest oldest initial start erste min begin",
    "last latest recent newest final end letzte max",
    "consumption consumed used usage verbrauch verbrauchte verbrauchten",
    "rating rated ratings score bewertung",
    "gross grossed box",
    "delay delays late delayed verspätung",
    "deliveries delivery delivered lieferungen",
    "churn churned",
    "actual spent spending ist ausgegeben",
    "kw kalenderwoche woche week cw wk",
    "rain rainfall regen precipitation wet",
    "leavers left leaving quit",
    "tonnes harvest harvested tons crop",
)
_GROUPS: dict[str, set[int]] = {}
for _number, _line in enumerate(_ALIKE):
    for _word in _line.split():
        _GROUPS.setdefault(_word, set()).add(_number)

COUNTED = word_set(
    """
    orders order units headcount people employees customers kunden count n number anzahl
    sessions conversions tickets readings rows population visits users clicks items quantity
    qty stück bestellungen mitarbeiter einwohner visitors closed open
    """
)
"""Words of columns that count things: no money, no share."""
MONEY = word_set(
    """
    revenue sales price cost salary profit amount umsatz gdp budget turnover income spend
    preis kosten gehalt gewinn wage pay fee total value
    """
)
SHARES = word_set(
    """
    pct percent percentage share rate ratio margin anteil quote growth change humidity
    utilization utilisation churn conversion discount proportion met prozent
    """
)


@lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """A word without its ending."""
    return str(_stemmer().stemWord(word.lower().translate(_PLAIN)))


_PLAIN = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"})


@cache
def _stemmer() -> Any:
    import snowballstemmer

    return snowballstemmer.stemmer("english")


def synonyms(word: str) -> set[str]:
    """The words that name the same as one, itself among them.

    Args:
        word: A word.
    """
    own = _GROUPS.get(word.lower(), set())
    return {word.lower(), *(one for one, groups in _GROUPS.items() if groups & own)}


def _german_root(word: str) -> str:
    """A German noun without plural ending and umlaut: `raum` of "Räume" and of "Räumen"."""
    plain = word.translate(_FLAT)
    for ending in ("en", "er", "e", "n"):
        if plain.endswith(ending) and len(plain) - len(ending) >= 3 and plain != word:
            return plain.removesuffix(ending)
    return plain


_FLAT = str.maketrans({"ä": "a", "ö": "o", "ü": "u", "ß": "ss"})
LIKE_NOTHING = word_set("important importance")
"""Words that only begin like a column's: `imports`."""


@lru_cache(maxsize=50_000)
def alike(one: str, other: str) -> bool:
    """Whether two words name the same: equal up to their ending, or of one group.

    Args:
        one: A word in lower case.
        other: Another one.
    """
    if one == other or stem(one) == stem(other):
        return True
    if _GROUPS.get(one, set()) & _GROUPS.get(other, set()):
        return True
    if {one, other} & LIKE_NOTHING:
        return False
    if min(len(one), len(other)) > 3 and _german_root(one) == _german_root(other):
        return True
    short, long = sorted((one, other), key=len)
    shared = next(
        (n for n, pair in enumerate(zip(short, long, strict=False)) if pair[0] != pair[1]),
        len(short),
    )
    return shared >= 6 and shared >= len(short) - 3


def is_german(text: str) -> bool:
    """Whether a text is German, by its small words."""
    words = re.findall(r"[a-zäöüß]+", text.lower())
    german = sum(word in _GERMAN for word in words)
    return german > sum(word in _ENGLISH for word in words)


_GERMAN = word_set(
    """
    der die das und ist mit von im in den dem ein eine auf hatte beträgt je war des als aller
    vier rund etwa ca liegt kam
    """
)
_ENGLISH = word_set("the and is with of in a an on had was at for by to as all has are its")
