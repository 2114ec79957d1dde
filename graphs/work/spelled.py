"""Numbers and months in words, English and German, for what reads texts."""


def words(text: str) -> list[str]:
    """The words of a text, in order; vocabularies are easier to read as text than as lists."""
    return text.split()


ONES = words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
)
TENS = words("twenty thirty forty fifty sixty seventy eighty ninety")
GERMAN_ONES = words(
    "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn "
    "fünfzehn sechzehn siebzehn achtzehn neunzehn"
)
GERMAN_TENS = words("zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig")

MONTH_NAMES = words(
    "january february march april may june july august september october november december"
)
GERMAN_MONTH_NAMES = words(
    "januar februar märz april mai juni juli august september oktober november dezember"
)
_MONTHS = (
    "january jan januar jänner", "february feb februar", "march mar märz mrz", "april apr",
    "may mai", "june jun juni", "july jul juli", "august aug", "september sep sept",
    "october oct oktober okt", "november nov", "december dec dezember dez",
)  # fmt: skip
MONTHS = {name: number for number, names in enumerate(_MONTHS, 1) for name in words(names)}
"""Names of months and their short forms, with their numbers."""
