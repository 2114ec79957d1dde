"""What a person answers to "Run this code?", in free words.

Only a clear yes runs code; only a clear no declines. Everything else keeps waiting: a wish goes to
the model, a question is answered, and what isn't understood is asked for again.
"""

import re
from typing import Literal

Reading = Literal["yes", "always", "no", "wait", "question", "edit", "unclear"]

LONGEST = 2_000
"""Characters of an answer that are looked at for a yes or a no; a longer one is a wish."""

_WORD = re.compile(r"[\w']+|[?👍👌✅🚀👎🚫❌]")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_YES = _words(
    """
    yes yep yeah yup yea y ok okay okey sure approve approved run go proceed true ja jawohl
    klar gern gerne mach los alright absolutely definitely certainly lgtm fine oui si sí sim
    da continue execute agreed accept accepted confirm confirmed allow allowed do please ship
    aye affirmative always immer 1 👍 👌 ✅ 🚀 start vai vas va kör tak hai bien claro vale
    adelante d'accord allons passt gut good great perfect nice cool wonderful excellent fire
    kick k kk jo jap jepp jup yas roger einverstanden parfait dale certo prima akkoord visst
    jasne dobrze да давай конечно хорошо запускай はい お願いします 是 是的 好 好的 可以 行 运行吧
    네 예 응 evet tamam çalıştır olur vas-y allez allez-y hazlo vamos doe
    certamente graag oczywiście ладно もちろん 当然 물론 elbette
    """
)
_PRAISE = _words("good great perfect nice cool wonderful excellent prima parfait")
"""A yes as an answer; of code, no more than praise."""
_NO = _words(
    """
    no nope nah nein non n não nao nee nej never stop cancel abort deny denied reject rejected
    decline declined refuse refused false skip 👎 🚫 ❌ abbrechen stopp niemals nie 0 veto
    нет いいえ やめて 不 不行 不要 不可以 아니요 아니 hayır olmaz niet jamais nunca jamás nooit
    aldrig nigdy никогда 绝不 asla
    """
)
_FILLER = _words(
    """
    it the this that them code tests test now then just you can may i me i'm im let's lets let
    us to by with for a an of in on at and und so well oh thanks thank thx danke merci gracias
    fein mal es das den bitte doch both all files file my your be is are it's that's thats
    looks look sounds seems thing course trust guest away ahead on up we one all right
    here there have has got am feel free very much really think would will should shall script
    program sandbox again over think them these those permission side end mate sir man cheers
    ça por favor prego haben wir dann si vous plait te ist in ordnung perfectly everything
    anyway already checked read which пожалуйста haydi bitte maar procedi pure pode rodar que
    va bene 实行してください 実行してください per fai esegui ejecútalo tack uruchom på voor
    i've i'd pls plz damn said hell bien sûr from na s'il plaît
    """
)
_WAITS = re.compile(
    r"\b(?:not (?:yet|now)|(?:do not|don't|dont) run (?:it|this|that|them)? ?(?:yet|now)"
    r"|yet|wait|hold on|hang on|later|noch nicht|moment|one sec\w*|a sec\w*"
    r"|a minute|let me (?:look|read|think|check|see|review)|need to (?:check|look|read|think|ask)"
    r"|gleich|später|plus tard|más tarde|mais tarde|più tardi|straks|senare|później|позже|あとで"
    r"|稍后|나중에|sonra|hold off|not (?:right now|before)"
    r"|warte|attends|espera|aspetta|wacht|vänta|czekaj|zaczekaj|bekle|brb"
    r"|todavía no|aún no|ainda não|não ainda|non ancora|pas encore|nog niet|jeszcze nie|inte än"
    r"|ещё нет|еще нет|пока нет|подожди\w*|погоди|まだ|待って|等一下|等等|还没"
    r"|잠깐만|아직|henüz değil"
    r"|hold (?:it|your horses)|give me \d+ \w+|tomorrow|in an? (?:hour|minute|moment|bit)"
    r"|before you run it|pause|give me (?:a|some|time))\b"
)
_ALWAYS = re.compile(
    r"\b(?:always|immer|every time|yes to all|all of them from now|from now on"
    r"|(?:do not|don't|dont|never|stop|without|no need to|needn't|don't need to|not have to)"
    r" (?:ask|asking)\b(?: me)?(?: again| every| any|$)?|stop asking|never ask|not ask again"
    r"|rest of (?:this|the) (?:thread|session|conversation)|for this (?:thread|session))\b"
)
_IDIOMS = re.compile(
    r"\b(?:no (?:problem|worries|objections?|issues?|need to ask|doubt|complaints|rush)|why not"
    r"(?=[?.! ]*$)|(?:don't|do not|dont|wouldn't|won't) (?:mind|worry|object)|not a problem"
    r"|(?:can't|don't) see why not|make it so|hit it|let 'er rip|you got it|permission granted"
    r"|green light|works for me|by all means|you have my (?:blessing|permission|ok)|can't hurt"
    r"|be my guest|of course|never mind asking|kein problem|warum nicht(?=[?.! ]*$)"
    r"|pas de problème)\b"
)
_REFUSALS = re.compile(
    r"\b(?:(?:do not|don't|dont|not) (?:run|execute|do|start|approve|proceed|allow|go)"
    r"|please (?:don't|do not|dont)|(?:do not|don't|dont)(?=[.! ]*$)|rather not|not a chance"
    r"|surtout pas|bitte nicht|nicht bitte|lass das|de ninguna manera|не (?:надо|запускай|нужно)"
    r"|çalıştırma|no lo (?:ejecutes|hagas)|não (?:rode|execute) isso|non farlo|niet doen"
    r"|ne fais pas [cç]a|nie uruchamiaj|absolutely not|don't you dare|not in a million years"
    r"|prefer you (?:didn't|don't)|kill it|leave it alone|never ever|no way|no thanks"
    r"|no thank you|no go|(?:don't|do not|dont) think so"
    r"|(?:don't|do not|dont) want (?:this|it|that|you) to"
    r"|(?:forget|leave|drop|scrap) (?:it|this|that)(?=[.! ]*$)|nevermind|never mind(?=[.! ]*$)"
    r"|not (?:approved|ok|okay|allowed|today)|nicht (?:aus|laufen|starten)|lass es"
    r"|auf keinen fall|under no circumstances|disapprove|ni hablar)\b"
)
_ASKS = re.compile(
    r"\A(?:(?:wait|hold on|hmm+|ok|okay|well|but|and|so|sorry|before that"
    r"|first)\b[\s,.:-]*+){0,3}"
    r"(?:what|why|which|who|when|where|how|is|are|does|do you|did|will|would|was|were|has|have"
    r"|should|(?:can|could) you (?:explain|tell|say|describe|show)"
    r"|explain|tell me|describe|wozu|warum|wieso|was|wie|welche\w*|ist|sind|macht|kann|darf"
    r"|pourquoi|qué|cómo|que fait)\b"
)
_RUNS = re.compile(
    r"\b(?:can|could|would|will) you (?:please |just |now )*+"
    r"(?:run|execute|start|proceed|go ahead)\b"
)
_SUGGESTS = re.compile(
    r"\A(?:please |and |but |ok |okay |so )?(?:((?:can|could|would) (?:you|it|we) (?:please )?)"
    r"|why not |why don't (?:you|we) |how about |what about |shouldn't (?:it|we|you|this) )"
)
_WISHES = re.compile(
    r"\b(?:use|using|rename|chang\w+|add\w*|remov\w+|delet\w+|replac\w+|mak\w+|fix\w*"
    r"|handl\w+|writ\w+|put|mov\w+|drop\w*|support\w*|return\w*|rais\w+|switch\w*|keep"
    r"|extract\w*|split\w*"
    r"|convert\w*|sort\w*|log\w*|shorten\w*|simplif\w+|rewrit\w+|refactor\w*|call it|must"
    r"|needs? to"
    r"|has to|should|instead|rather|prefer|want|without|forgot|missing|wrong|incorrect|except|but"
    r"|however|unless|once you\w*|after you\w*|only if|provided|also|nimm|statt|lieber|aber"
    r"|ändere"
    r"|sollte|muss|ohne|first|with \w+=|turn|set|include|exclude|rework|update|improve|correct"
    r"|mais|sauf|pero|utilise|usa)\b"
)


def reading_of(answer: object) -> Reading:
    """How an answer is to be taken.

    Args:
        answer: What the person wrote; a program may send True or False.

    Returns:
        `yes` (this turn), `always` (this thread), `no`, `wait` (not yet), `question` (to be
        answered first), `edit` (a wish that goes to the model), or `unclear`.
    """
    text = " ".join(str(answer).split()).lower().replace("’", "'")
    if len(text) > LONGEST:
        return "edit"
    plain = _IDIOMS.sub(" sure ", text)
    words = _WORD.findall(plain)
    asked = plain.endswith("?") or "?" in words or bool(_ASKS.match(plain))
    if _RUNS.search(plain):
        plain, asked = _RUNS.sub(" run ", plain), False
        words = _WORD.findall(plain)
    if not [word for word in words if word != "?"]:
        return "unclear"
    wish = _wish_in(plain)
    if asked:
        suggests = _SUGGESTS.match(plain)
        polite = suggests and (suggests[1] is None or not _ASKS.match(plain[suggests.end() :]))
        return "edit" if polite and wish else "question"
    always = _ALWAYS.search(plain)
    if always:
        left = _ALWAYS.sub(" ", plain)
        rest = _WORD.findall(left)
        return (
            "always" if not _wish_in(left) and not ({*rest} & _NO or "not" in rest) else "unclear"
        )
    return _told(plain, words, wish)


def _told(plain: str, words: list[str], wish: bool) -> Reading:
    """The reading of what is no question."""
    known = {*words}
    refused = bool(_REFUSALS.search(plain)) or bool(known & _NO)
    if _WAITS.search(plain) and not (wish and _changes(plain)):
        return "wait"
    if wish and not _only_refused(plain):
        return "edit"
    left = {*_WORD.findall(_REFUSALS.sub(" ", plain))}
    unknown = left - _YES - _FILLER - _NO - {"?"}
    negated = left & _NEGATIONS
    if known & _DOUBTS or negated:
        return "unclear"
    if refused:  # a word that isn't known can turn a no into a wish: "no loops please"
        yes = left & (_YES - {"do", "please", "run", "go", "good", "start", "execute"})
        return "unclear" if yes or unknown else "no"
    agrees = known & (_YES - {"please"})
    if agrees and not unknown and not _only_praise(known, agrees):
        return "yes"
    return "edit" if len(words) >= 4 and not agrees else "unclear"


_NEGATIONS = _words("not don't dont isn't nicht kein keine can't cannot won't niet не değil")
_DOUBTS = _words("maybe guess perhaps depends if hmm hm unsure probably vielleicht peut-être 也许")


def _only_praise(known: set[str], agrees: set[str]) -> bool:
    """Whether a text praises the code, and no more: "nice code"."""
    things = known & {"code", "tests", "test", "script", "program", "file", "files"}
    return agrees <= _PRAISE and bool(things) and not known & {"looks", "look", "sounds", "seems"}


def _wish_in(plain: str) -> bool:
    return bool(_WISHES.search(_REFUSALS.sub(" ", plain)))


def _changes(plain: str) -> bool:
    """Whether more is wished for than time: a verb that changes code."""
    left = _WAITS.sub(" ", plain)
    found = _WISHES.search(left)
    vague = ("but", "first", "also", "want", "should", "however")
    return found is not None and found.group() not in vague


def _only_refused(plain: str) -> bool:
    """Whether the only wish in a refusal is that nothing is run."""
    return bool(_REFUSALS.search(plain)) and not _wish_in(plain)
