"""Word lists of the safety gate, English first. Each list names what may not be mixed up."""


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


STOPWORDS = _set(
    """
    a an the is are was were be been being am do does did doing have has had having of to in
    on at for with by from as into about and or but if that this these those it its i me my
    you your we our they them their he him his she her there here can could will would shall
    should may might must s t so than too very just please what which who whom whose when
    where why how
    """
)

NEGATIONS = _set(
    """
    not no never none nobody nothing nowhere neither nor without cannot cant dont doesnt
    didnt isnt arent wasnt werent wont wouldnt shouldnt couldnt hasnt havent hadnt n't
    except unless lack lacking avoid stop prevent non kein keine nicht ohne nie
    """
)
"""Words that turn a statement round."""

NUMBERS = {
    "zero": "0", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7",
    "eight": "8", "nine": "9", "ten": "10", "eleven": "11", "twelve": "12", "thirteen": "13",
    "fourteen": "14", "fifteen": "15", "sixteen": "16", "seventeen": "17", "eighteen": "18",
    "nineteen": "19", "twenty": "20", "thirty": "30", "forty": "40", "fifty": "50", "sixty": "60",
    "seventy": "70", "eighty": "80", "ninety": "90", "hundred": "100", "thousand": "1000",
    "million": "1000000", "billion": "1000000000", "first": "1st", "second": "2nd", "third": "3rd",
    "fourth": "4th", "fifth": "5th", "half": "0.5", "double": "2x", "twice": "2x", "triple": "3x",
    "once": "1x", "dozen": "12", "single": "1", "quarter": "0.25",
}  # fmt: skip
"""Numbers in words. `one` is left out: it is a pronoun more often."""

_RATES = _set("a an per each every in daily weekly monthly yearly only")


def number_of(word: str, following: str) -> str | None:
    """The number that a word in lower case says; None where it says none.

    Args:
        word: Which.
        following: The next word, in lower case; `once` counts in `once a week`, not in `once it
            was sent`.
    """
    if word == "once" and following and following not in _RATES:
        return None
    return NUMBERS.get(word)


EXCLUSIVE = tuple(
    frozenset(group.split())
    for group in (
        # quantity and degree
        "all some none most few only", "more less fewer", "most least", "always sometimes never",
        "minimum maximum", "min max", "best worst", "good bad", "better worse", "highest lowest",
        "high low", "higher lower", "largest smallest", "largest shortest", "longest shortest",
        "long short", "big small", "larger smaller", "oldest youngest", "oldest newest", "old new",
        "fast slow", "fastest slowest", "strong weak", "hot cold", "hard easy", "hard soft",
        "cheap expensive", "cheapest priciest", "early late", "first last", "next previous",
        "every any", "increase decrease reduce", "increasing decreasing", "gain lose",
        "raise lower",
        "grow shrink", "before after during", "above below", "over under", "inside outside",
        "left right", "up down", "in out", "on off", "with without", "to from", "open close closed",
        "start stop", "begin end", "enable disable", "install uninstall", "add remove",
        "buy sell", "buying selling", "import export", "push pull", "send receive", "give take",
        "give get", "lend borrow", "teach learn", "love hate", "like dislike", "win lose",
        "advantage disadvantage", "advantages disadvantages", "pros cons", "benefit risk",
        "cause effect", "causes effects symptoms treatments", "cause cure", "symptom cure",
        "legal illegal", "possible impossible", "safe dangerous unsafe", "true false", "yes no",
        "right wrong", "alive dead", "rich poor", "happy sad", "hire fire", "accept reject",
        "allow forbid", "ascending descending", "encrypt decrypt", "encode decode", "input output",
        "read write", "upload download", "log login logout", "public private", "internal external",
        "local remote", "male female", "man woman", "men women", "boy girl", "boys girls",
        "he she", "his her", "husband wife", "boyfriend girlfriend", "father mother", "dad mom",
        "son daughter", "brother sister", "king queen", "uncle aunt", "parent child",
        "am pm", "day night", "morning evening afternoon night", "today tomorrow yesterday",
        "summer winter spring autumn", "summer fall", "winter fall", "spring fall",
        "north south east west",
        "northern southern eastern western",
        "january february march april may june july august september october november december",
        "monday tuesday wednesday thursday friday saturday sunday",
        "second minute hour day week month year decade century",
        "seconds minutes hours days weeks months years",
        "daily weekly monthly yearly", "red blue green yellow black white orange purple brown pink",
        # units and money
        "km kilometers kilometres miles meters metres feet inches cm mm yards",
        "kg kilograms kilos pounds lbs grams ounces oz tons",
        "celsius fahrenheit kelvin", "liters litres gallons ml cups pints",
        "dollar euro pound yen rupee yuan franc", "dollars euros pounds yen rupees yuan francs",
        "usd eur gbp jpy inr cny chf cad aud", "kb mb gb tb", "mph kmh", "watts volts amps",
        # things of one kind that answers hang on
        "python java javascript typescript ruby php rust go golang c c++ c# swift kotlin perl r",
        "sql nosql",
        "windows linux macos mac android ios ubuntu", "mysql postgresql postgres sqlite mongodb",
        "iphone android ipad", "http https", "get post put delete", "tcp udp", "json xml yaml csv",
        "bachelor bachelors master masters phd", "undergraduate graduate", "junior senior",
        "css html", "dog cat", "dogs cats", "wine beer", "tea coffee", "lunch dinner breakfast",
        "english german french spanish italian chinese japanese russian hindi arabic portuguese",
        "mechanical electrical civil chemical", "maths physics chemistry biology",
        "maternal paternal", "lower upper", "singular plural", "synonym antonym",
        "arrive depart", "arrival departure", "enter exit", "deposit withdraw", "credit debit",
        "asset liability", "supply demand", "employer employee", "teacher student",
        "doctor patient", "seller buyer", "landlord tenant", "predator prey",
    )
)  # fmt: skip
"""Words of which none stands for another: a question with one never meets one with another."""

SYMMETRIC = frozenset({"and", "or", "vs", "versus", "&", "/"})
"""Joints around which two arguments may change places."""

ROLES = _set(
    """
    to from into onto than over under before after by against of for with without in at on
    as through towards toward behind above below between like
    """
)
"""Words that give what follows its role."""

WEAK_NAMES = _set(
    """
    id ok tv mr mrs ms dr inc ltd corp rs vs etc faq app
    """
)
"""Capitalised words that an answer doesn't hang on."""

NARROWING = _set(
    """
    north south east west northern southern eastern western central new old upper lower
    great little saint san los non indian american british chinese japanese german french
    russian anti ex vice deputi junior senior assist former
    """
)  # fmt: skip
"""Stems of words that make another name of the next: `North Korea`, `Vice President`."""

PREPOSITIONS = _set(
    """
    in for at from with without by during on of after before near inside outside against among
    between under over within through using via like as about
    """
)
"""Words that bring in what a question is restricted to."""

FILLING = _set(
    """
    really actually quickly easily effectively successfully exactly currently today right now
    possible possibly ever also still even quora please tell explain know want need like get go
    good best great better way ways method methods thing things some any many much more most
    someone somebody anyone people person one myself yourself own ok able
    """
)
"""Words that hardly change what is asked."""

SYNONYMS = (
    "start begin",
    "improve enhance boost better increase",
    "buy purchase",
    "large big huge",
    "job career employment work",
    "phone mobile cellphone smartphone cell",
    "movie film",
    "car automobile vehicle",
    "fast quick rapid",
    "easy simple",
    "delete remove erase",
    "fix repair solve resolve",
    "company firm business",
    "reduce lose decrease lower",
    "weight fat",
    "child kid",
    "mother mom",
    "father dad",
    "photo picture image pic",
    "answer reply response",
    "use utilize",
    "happen occur",
    "kind type sort",
    "choose select pick",
    "end finish",
    "beautiful pretty",
    "smart intelligent",
    "laptop notebook",
    "website site web",
    "app application",
    "software program",
    "recover retrieve restore",
    "make create build develop",
    "money cash",
    "stop quit avoid",
    "think believe opinion",
    "man guy",
    "woman lady girl",
    "cheap inexpensive affordable",
    "expensive costly",
    "scared afraid fear",
    "marijuana weed cannabis",
    "country nation",
    "university college",
    "exam test",
    "learn study",
    "usa us america american",
    "uk britain",
    "india indian",
    "meaning mean definition",
    "famous popular",
    "earn make",
    "language tongue",
    "overcome control handle",
    "remember memorize",
    "speak talk",
    "sad unhappy",
    "happy happiness",
    "important importance",
    "advantage benefit pro",
    "disadvantage drawback con",
    "different difference differ",
    "reason cause",
    "prepare preparation",
    "doctor physician",
    "illness disease sickness",
    "house home",
    "salary pay wage income",
    "euro eur",
    "dollar usd",
    "rupee inr rs",
    "hide conceal",
    "ask inquire",
    "find locate search",
    "install setup",
    "password passcode pin",
    "wife spouse",
    "trip travel visit tour journey",
    "hotel lodging",
    "food meal",
    "gift present",
    "shop store",
    "hair hairs",
    "ban demonetize scrap",
    "presidential election",
    "anger angry",
    "concentrate concentration focus",
    "stupid dumb",
    "crazy insane",
    "rich wealthy",
    "kill murder",
    "dead die death",
    "sleep asleep",
    "bad poor",
    "awesome amazing",
    "error mistake",
    "hack trick",
    "guide tutorial",
    "book textbook",
    "suggest recommend suggestion recommendation",
    "essential necessary require",
    "strange weird odd",
    "ill sick",
    "true real",
    "fake false",
    "wonderful awesome",
    "convert change turn",
    "join enter",
    "increase grow raise",
    "programming coding code program",
    "become be",
)
"""Other words for the same; the first of each group stands for all."""
