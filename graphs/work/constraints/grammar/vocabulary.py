"""The words that a length is read by: units, bounds, and what says that a number is content."""

from allotrope.graphs.work.constraints.grammar.phrases import phrases
from allotrope.graphs.work.spelled import words

UNITS = {
    **dict.fromkeys(
        words(
            "word words wort worte wörter wörtern worten palabra "
            "palabras mots"
        ),
        "words",
    ),
    **dict.fromkeys(
        words(
            "character characters char chars zeichen caracteres "
            "caractères"
        ),
        "characters",
    ),
    **dict.fromkeys(
        words(
            "line lines zeile zeilen verszeilen línea líneas lignes "
            "versos"
        ),
        "lines",
    ),
    **dict.fromkeys(words("sentence sentences satz sätze sätzen"), "sentences"),
    **dict.fromkeys(
        words(
            "paragraph paragraphs absatz absätze absätzen párrafo "
            "párrafos paragraphes"
        ),
        "paragraphs",
    ),
    **dict.fromkeys(words("stanza stanzas strophe strophen"), "paragraphs"),
    **dict.fromkeys(
        words(
            "bullet bullets bulletpoint bulletpoints "
            "aufzählungspunkte"
        ),
        "bullets",
    ),
    **dict.fromkeys(words("stichpunkt stichpunkte stichpunkten"), "bullets"),
    **dict.fromkeys(["hashtag", "hashtags"], "hashtags"),
    **dict.fromkeys(["emoji", "emojis"], "emojis"),
    **dict.fromkeys(words("syllable syllables silbe silben"), "syllables"),
}  # fmt: skip
PARTS = {
    word: unit.removesuffix("s")
    for word, unit in UNITS.items()
    if unit in ("lines", "sentences", "paragraphs", "bullets")
}
"""Words for what `per` can name."""
PLURAL = frozenset(
    words("lines zeilen sentences sätze paragraphs absätze stanzas strophen bullets")
)
UPPER = phrases(
    "máximo | como máximo | un máximo de | no más de | hasta | au maximum | pas plus de | "
    "at most | at the most | no more than | not more than | max | max . | max : | "
    "maximum | maximum of | maximum : | maximal | up to | no longer than | not "
    "longer than | within | no greater than | not over | no over | never over | "
    "never more than | not exceed | not exceeding | not to exceed | never exceed | "
    "doesn't exceed | don't exceed | can't exceed | mustn't exceed | shouldn't "
    "exceed | ≤ | < = | capped at | cap at | cap it at | limited to | limit to | "
    "limit it to | limit of | keep to | not above | not beyond | höchstens | nicht "
    "mehr als | nicht länger als | nicht über | bis zu | maximum | isn't longer "
    "than | longest | limit | limit : | limit is | limit = | max length : | length "
    "max | maximum length : | maximum length of | max length of | max length | "
    "maximum length"
)
BELOW = phrases(
    "under | below | fewer than | less than | shorter than | smaller than | < | "
    "unter | weniger als | kürzer als"
)
LOWER = phrases(
    "mínimo | como mínimo | al menos | un mínimo de | au moins | "
    "at least | at the least | no less than | not less than | no fewer than | not "
    "fewer than | min | min . | min : | minimum | minimum of | minimum : | at "
    "minimum | not under | not below | never under | no shorter than | ≥ | > = | "
    "mindestens | wenigstens | nicht weniger als"
)
ABOVE = phrases(
    "more than | over | longer than | above | exceed | exceeds | exceeding | > | "
    "mehr als | über | länger als"
)
ABOUT = phrases(
    "about | around | roughly | approximately | approx | approx . | circa | ca | ca "
    ". | ~ | ≈ | etwa | rund | ungefähr | close to | nearly | almost | somewhere "
    "around | some"
)
EXACT = phrases("exactly | precisely | genau | only | just | exakt")
AFTER_UPPER = phrases(
    "como máximo | au maximum | max | max . | maximum | at most | at max | at the most | tops | "
    "or less | or "
    "fewer | or under | or shorter | or below | oder weniger | maximal | höchstens "
    "| limit | long max | long maximum | in length maximum | long at most"
)
AFTER_LOWER = phrases(
    "min | min . | minimum | at least | at minimum | or more | or longer | or above "
    "| oder mehr | mindestens | upwards"
)
AFTER_ABOUT = phrases("or so | approx | approximately | roughly | more or less | or thereabouts")
WITHIN = phrases(
    "± | + / - | + - | + / − | give or take | plus or minus | plus / minus | plus "
    "minus | plus oder minus"
)
RATE = phrases(
    "a day | per day | a minute | per minute | a week | per week | an hour | per "
    "hour | a second | per second | a month | per month | a year | per year | a "
    "page | per page | every day | at a time | pro tag | am tag | pro minute | pro "
    "stunde | pro seite | every week | a night"
)
TOPIC = frozenset(
    words(
        "about on titled called named entitled describing explaining how why where who "
        "whose when featuring regarding über namens who's which that dass der die whom "
        "inherit whether because since whenever while"
    )
)
PEOPLE = frozenset(
    words(
        "who whose whom nobody someone everyone he she they says said say speak speaks "
        "spoke knows knew whispered wrote shouted learned der die"
    )
)
TOLD = frozenset(words("wrote said told spoke whispered schrieb sagte"))
PLACED = frozenset(words("every after before until beyond nach vor bis"))
"""Words before a number that says where, not how long."""
SECTIONS = frozenset(
    words(
        "title headline subject body intro introduction conclusion opening closing hook "
        "header heading headings subheading subheadings cta outro footer postscript ps "
        "teaser bio tagline slogan titel betreff überschrift einleitung schluss headlines "
        "titles name "
        "names"
    )
)
"""Words for a part of a text that a length can be meant for."""
HAS = frozenset(words("has had have is was were are contained contains knows hat hatte ist war"))
MODAL = frozenset(
    words(
        "should must shall can may could will to need needs soll sollte sollen muss "
        "müssen darf dürfen please"
    )
)
OURS = frozenset(
    words(
        "my our this that these those his her their your its last next first original "
        "current existing previous same the other following mein unser dieser diese "
        "dieses der die das den"
    )
)
TEXT = frozenset(
    words(
        "poem text story it each every post caption email tweet answer response output "
        "reply essay gedicht article summary paragraph stanza line sentence bullet"
    )
)
DIRECT = frozenset(
    words(
        "in within using innerhalb auf to write give compose draft create schreibe schreib mit use"
    )
)
GOES_ON = frozenset(
    words(
        "they we he she i you who which whom whose were was is are from tattooed that "
        "there ago later on at of by left before after"
    )
)
OF_TEXT = frozenset(
    words(
        "text copy prose verse poetry dialogue dialog monologue lyrics content each max or "
        "about description"
    )
)
BETWEEN_NOUNS = frozenset(
    words(
        "email subject bullet short long full complete different relevant trending "
        "separate single concise strong main key distinct unique catchy total non "
        "english instagram twitter linkedin tiktok facebook rhyming simple clear new "
        "additional very popular powerful tight snappy "
        "punchy kurze ganze vollständige passende newspaper body individual equal plain"
    )
)
ENDINGS = ("ed", "ing", "ful", "ive", "al", "ant", "ous", "able", "ic", "less")
AFTER_BARE = frozenset(words(". , ; ! ? ) and but und aber or"))
BETWEEN_BOUNDS = frozenset(
    words(
        "and but , und aber or ( at least most no not more less fewer than max min "
        "maximum minimum of a up to under over below above exceed höchstens mindestens "
        "maximal nicht mehr weniger als long longer shorter the ."
    )
)
