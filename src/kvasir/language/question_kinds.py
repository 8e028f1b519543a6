"""What kind of answer a question asks for.

Small word lists in English, Spanish, German, French, Vietnamese and Chinese tell. A kind only
orders the passages that retrieval found and completes the best one; it excludes none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from itertools import takewhile

from kvasir.core.text import count_words


class QuestionKind(StrEnum):
    """What a good answer to a question holds."""

    HOW_TO = "how-to"
    LIST = "list"
    DEFINITION = "definition"
    DIFFERENCE = "difference"
    WHEN = "when"
    HOW_MANY = "how many"
    HOW_OFTEN = "how often"
    WHO = "who"
    WHY = "why"


def _pattern(spaced: str, chinese: str) -> re.Pattern[str]:
    return re.compile(rf"(?:{spaced})(?!\w)|{chinese}", re.IGNORECASE)


_PREPOSITION = (
    r"(?:in|on|with|by|from|of|for|to|at|de|en|con|por|para|a|entre|aus|mit|von|für|auf|zu|bei|an|"
    r"unter|über|nach|à|dans|avec|pour|par|sur)"
)

_KINDS = {
    QuestionKind.DIFFERENCE: _pattern(
        r".*\s-{1,2}[\w-]+,? (?:or|o|u|oder|ou|and|y|e|und|et|还是|和|或) -|"
        r".*\b(?:differences?|differs?|different|versus|vs|distinguish(?:es)?|compared?|"
        r"(?:instead of|rather than)(?= .*\?)|"
        r"diferencian?s?|distinguen?|en vez de|comparad[oa]s?|"
        r"unterschiede?|unterscheide[nt]|im vergleich|"
        r"différences?|diffèrent|distinguent?|par rapport|plutôt que|khác nhau|khác gì|so với)|"
        r"[^?]{0,40}\b[\w.-]+ (?:or|oder|o|u|ou|hay) [\w.-]+ ?[?:]",
        ".*(?:区别|不同|差别|差异|相比|比较|分别[是有管做]|各[是有管])",
    ),
    QuestionKind.WHY: _pattern(
        r".*\b(?:why|(?:for|what is the) (?:what )?reason|how come|por qué|a qué se debe|"
        r"warum|wieso|weshalb|pourquoi|tại sao|vì sao)",
        ".*(?:为什么|为何|为啥|怎么会)",
    ),
    QuestionKind.HOW_OFTEN: _pattern(
        r".*\b(?:how (?:often|frequently)|con qué frecuencia|cada cuánto|wie (?:oft|häufig)|"
        r"(?:à|avec) quelle fréquence|tous les combien)",
        ".*(?:多久|多长时间|隔几天).{0,8}一次",
    ),
    QuestionKind.HOW_MANY: _pattern(
        r".*\b(?:how (?:many|much|long|far|old|big|large|high|hot|cold|fast|heavy|deep|wide|tall)|"
        r"cuánt[oa]s?|wie ?viele?|"
        r"wie (?:lange|hoch|weit|alt|groß|heiß|kalt|schnell|schwer(?! ist es)|tief|breit)|"
        r"combien|bao nhiêu)",
        ".*(?:多少|几[个天次年月台条人]|多[长久高大远])",
    ),
    QuestionKind.HOW_TO: _pattern(
        r".*\b(?:how (?:do|does one|can|should|would|to|must)|"
        r"what (?:do|should|must) (?:i|we|you) do|(?:what|which) commands?|"
        r"what(?:['’]s| is) the (?:right|best|easiest|fastest|simplest|correct|proper) way to|"
        r"cómo(?= (?!es|son|está|se llama))|(?:qué|con qué) (?:orden|órdenes|comandos?)|"
        r"qué (?:hay que|tengo que|debo) hacer|"
        r"cuál es la (?:\w+ )?(?:forma|manera) (?:\w+ )?de \w+[aei]r(?:l[aeo]s?|se)?\b|"
        r"de qué (?:forma|manera)(?! (?:es|son)\b)|"
        r"wie (?:\w+ (?:ich|man|wir)|geht|wird|werden)|was (?:ist .*)?zu tun|"
        r"was (?:muss|soll|kann|mache?) (?:ich|man|wir)(?: .*)?(?:tun|machen)|"
        r"welche[mnrs]? (?:befehl|kommando)e?|auf welche weise|"
        r"comment(?= (?!s['’]appelle))|quelles? commandes?|que (?:faire|faut-il faire)|"
        r"quelle est la (?:\w+ )?(?:façon|manière) d(?:e |['’])(?:l['’])?\w+(?:er|ir|re)\b|"
        r"de quelle (?:façon|manière)|"
        r"làm (?:thế nào|sao)|cách nào)",
        ".*(?:怎么|怎样|如何|哪[个条]命令|什么(?:命令|办法)|[用有]什么方法|步骤)",
    ),
    QuestionKind.WHEN: _pattern(
        r".*\b(?:when|(?:by|on|in|since|until) (?:what|which) (?:day|date|month|year)|"
        r"what (?:day|date|"
        r"year|time)|cuándo|(?:qué|que) (?:día|fecha|año|hora)|wann|(?:welchem|welches) (?:tag|"
        r"datum|jahr)|"
        r"um wie ?viel uhr|quand|quel(?:le)? (?:jour|date|année|heure)|khi nào|năm nào)",
        ".*(?:什么时候|何时|哪一?[天年月日]|几[号点])",
    ),
    QuestionKind.WHO: _pattern(
        r"\W*(?:(?:to|by|with|from|a|de|con|por|von|mit|bei|à|par|avec|ask|do i) )?"
        r"(?:who|whom|whose|quién(?:es)?|wer|wen|wem|wessen|qui|ai)",
        ".*(?:谁|哪位)",
    ),
    QuestionKind.DEFINITION: _pattern(
        r"\W*(?:what(?:['’]s| is| are(?! the (?:\w+ ){0,2}\w+s\b)|"
        r" does .* (?:mean|stand for)| do you call)|"
        r"define|explain|"
        r"meaning of|definition of|what is meant by|"
        r"qué (?:es|son|significa|quiere decir)|a qué se llama|define|definición de|"
        r"was (?:ist|sind(?! die\b)|bedeutet|heißt|meint|versteht man)|wofür steht|"
        r"qu['’]est-ce (?:que|qu['’]?)|qu['’]appelle|c['’]est quoi|que (?:signifie|veut dire)|"
        r"définition de|\S.* (?:là gì|nghĩa là))",
        ".*(?:是什么|什么是|什么叫|是啥|什么意思|的定义)",
    ),
    QuestionKind.LIST: _pattern(
        r"\W*(?:list|(?:name|give|show|tell)(?: me| us)? (?:all|the)|"
        rf"(?:{_PREPOSITION} )?(?:which (?:of|are|\w+s\b|"
        r"(?:\w+ ){1,3}\w+s (?:are|were|have|do|does|did|can|may|must|exist))|"
        r"what (?:are the (?:\w+ ){0,2}\w+s\b|"
        r"(?:\w+ )?(?!does|is|was|has)\w+s\b|"
        r"(?:can|may|could)\b|.*\b(?:consists? of|contains?|includes?|supports?|are there|exist|"
        r"available|allowed|forbidden|required)))|"
        r"enumera|lista|nombra|di(?:me|ga)|"
        rf"(?:{_PREPOSITION} )?(?:cuáles|qué (?:\w+s\b|se puede|hay que|incluye|contiene|hay))|"
        r"de qué (?:\w+ )?(?:consta|se compone)|"
        rf"(?:{_PREPOSITION} )?(?:welche(?!\w)|welchen (?:\w+e[nr] )?\w+[ns]\b)|nenne|zähle?|"
        r"was (?:alles|sind die|darf|dürfen|kann|können|muss|müssen|gehör[et]n?|enthält|"
        r"umfasst)|woraus|"
        rf"(?:{_PREPOSITION} )?quel(?:le)?s|énumère|liste|donnez?|nommez?|"
        r"que (?:peut-on|faut-il|doit-on|contient|comprend)|de quoi|qu['’]est-ce qui|"
        r"những|gồm|bao gồm|có (?:những|các))",
        ".*(?:哪些|列出|哪[几两三四五六七八九十]|(?:包括|包含|有|由|分为)(?:哪|什么|几)|[哪几]种)",
    ),
}

_IN_ORDER = _pattern(
    r"\W*(?:in (?:what|which) (?:order|sequence)|en qué orden|in welcher reihenfolge|"
    r"was .*der reihe nach|dans quel ordre)",
    ".*(?:什么顺序|先后顺序)",
)
"""Questions after a list, whatever else they name: "in what order ... when ..."."""

_ASKS_OPTION = re.compile(
    r"\b(?:which|what|welche\w?|qué|con qué|quelle?) (?:[\w-]+ )?"
    r"(?:option|flag|switch|parameter|argument|schalter|opción|parámetro|argumento|paramètre)\b|"
    r"(?:哪[个一]?|什么)(?:选项|参数)",
    re.IGNORECASE,
)
_LISTED_THING = re.compile(
    r"\W*(?:\w+ )?(?:which|what|welche[nmrs]?|qué|quel(?:le)?s) "
    r"(?:are the |son los |son las |sont les |sind die )?([^\W\d_]{3,})|"
    r"\W*cuáles son (?:los|las) ([^\W\d_]{3,})",
    re.IGNORECASE,
)

_COMPARES = _pattern(
    r".*\b(?:most|least|fewest|highest|lowest|largest|biggest|smallest|greatest|longest|shortest|"
    r"fastest|slowest|cheapest|oldest|newest|latest|earliest|best|worst|"
    r"más|menos|mayor(?:es)?|menor(?:es)?|máxim[oa]|mínim[oa]|mejor|peor|"
    r"meiste[nr]?|wenigste[nr]?|\w+ste[nr]? |höchste\w?|größte\w?|"
    r"(?:le|la|les) (?:plus|moins|mieux|pire|meilleure?)|nhất)",
    ".*最",
)

_LEAVES_OUT = _pattern(
    r".*\b(?:how (?:many|much)|total|cuánt[oa]s?|wie ?viele?|insgesamt|combien)\b.*"
    r"\b(?:not|no|without|except|excluding|before|after|since|until|sin|salvo|excepto|menos|antes|"
    r"después|desde|hasta|nicht|kein\w*|ohne|außer|vor|seit|bis|pas|sans|sauf|hors|avant|après|"
    r"depuis)",
    ".*(?:除|不[是在含包]|没|未).*(?:多少|几|总|一共)",
)
"""Questions for an amount of which the rows that are named are not the answer."""

_DATE = re.compile(
    r"\b(?:1\d|20)\d\d\b|\b\d{1,2}[./:]\d{1,2}\b|\b\d{1,2}\.? ?(?:de )?(?:jan|feb|f[ée]v|mar|"
    r"mär|apr|abr|avr|may|"
    r"mai|jun|juin|jul|juil|aug|ago|août|sep|oct|okt|nov|dec|dez|dic|déc|ene)[a-zéû]*|"
    r"\b(?:january|february|march|april|june|july|august|september|october|november|december|"
    r"monday|"
    r"tuesday|wednesday|thursday|friday|saturday|sunday|montag|dienstag|mittwoch|donnerstag|"
    r"freitag|"
    r"samstag|sonntag|lunes|martes|miércoles|jueves|viernes|sábado|domingo|lundi|mardi|mercredi|"
    r"jeudi|"
    r"vendredi|samedi|dimanche)s?\b|[\d一二三四五六七八九十]+\s?[年月日号点]|(?:星期|周)[一二三四五六日]|"
    r"\b(?:1\d|20)\d0(?:s|er)\b|\bcentur(?:y|ies)\b|\bsiglos?\b|\bjahrhunderts?\b|\bsiècles?\b|世纪|"
    r"\bthế kỷ\b|\b(?:years?|months?|weeks?|days?) ago\b|\bhace [\w.,]+ (?:años|meses|días)\b|"
    r"\bvor [\w.,]+ (?:jahren|monaten|tagen)\b|\bil y a [\w.,]+ (?:ans|mois|jours)\b|"
    r"\b\d[\d,.]* (?:BP|BCE?|AD|CE)\b",
    re.IGNORECASE,
)
_SPELLED = (
    r"\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|hundred|thousand|"
    r"million|"
    r"dos|tres|cuatro|cinco|seis|siete|ocho|nueve|diez|cien|mil|zwei|drei|vier|fünf|sechs|"
    r"sieben|acht|"
    r"neun|zehn|zwölf|hundert|tausend|deux|trois|quatre|cinq|sept|huit|neuf|dix|douze|cent|"
    r"mille|several|dozens?|half|twice|varios|varias|mehrere|plusieurs)\b|"
    r"[两二三四五六七八九十百千万]"
)
_AMOUNT = re.compile(rf"\d|{_SPELLED}", re.IGNORECASE)
_FREQUENCY = re.compile(
    r"\b(?:every|each|daily|weekly|monthly|yearly|annually|hourly|once|twice|times|always|never|"
    r"cada|diari\w+|semanal\w*|mensual\w*|anual\w*|todos los|todas las|vez|veces|siempre|nunca|"
    r"jede[nrsm]?|alle|täglich\w*|wöchentlich\w*|monatlich\w*|jährlich\w*|einmal|zweimal|mal|immer|"
    r"nie|chaque|tous les|toutes les|par (?:jour|semaine|mois|an)|fois|toujours|jamais)\b|"
    r"每|一次|[两二三四五六七八九十\d]次|经常|从不",
    re.IGNORECASE,
)
_COUNT = re.compile(rf"(?<![A-Za-z\d.,-])[2-9](?![A-Za-z\d.,-])|{_SPELLED}", re.IGNORECASE)
LONGEST_ANNOUNCEMENT = 20
"""Most words of a sentence that says how many things the following ones name."""
_NAME = re.compile(r"(?<![.!?:|\-*] )(?<!^)\b[A-ZÁÉÍÓÚÄÖÜÑ][^\W\d_A-Z]+\b|[\u4e00-\u9fff]")

_NEXT_QUESTION = re.compile(
    r",? (?:and|y|e|und|et|và) (?=(?:(?:for|at|by|to|with|in|on|a|de|en|con|für|mit|zu|à|pour|avec)"
    r" )?(?:what|which|who|when|where|why|how|qué|cuáles|cuál|quién|cuándo|dónde|cuánt\w+|cómo|"
    r"was|welche\w?|wer|wann|wo|warum|wie|quel\w*|qui|quand|où|pourquoi|combien|comment|gì|ai)\b)"
    r"|[，,；;](?=[^，,；;]*(?:多少|什么|哪|谁|几|怎么|如何))",
    re.IGNORECASE,
)

_REASONS = {
    code: re.compile(words, re.IGNORECASE)
    for code, words in {
        "en": r"\b(?:because|since|due to|owing to|so that|in order to|therefore|reasons?|"
        r"otherwise)\b",
        "es": r"\b(?:porque|ya que|debido|por lo que|para que|puesto que|razón|razones)\b",
        "de": r"\b(?:weil|denn|da|damit|daher|deshalb|sonst|wegen|grund|gründe)\b",
        "fr": r"\b(?:parce qu\w*|car|puisqu\w*|afin|à cause|raisons?|pour que|sinon)\b",
        "vi": r"\b(?:vì|bởi|do đó|lý do)\b",
        "zh": r"因为|由于|所以|原因|否则|以免|以便|理由",
    }.items()
}

_IS = {
    "en": r"(?:is|are|was|were|means?|refers? to|stands? for|denotes?|describes?|performs?)\b",
    "es": r"(?:es|son|significan?|consiste en|se refiere a|denomina)\b",
    "de": r"(?:ist|sind|bedeutet|bezeichnet|heißt|steht für|beschreibt)\b",
    "fr": r"(?:est|sont|signifie|désigne|correspond à)\b",
    "vi": r"(?:là|nghĩa là)\b",
    "zh": r"(?:是|指|即|表示|意思是)",
}
_MEANT = re.compile(r"what does (?:an? |the )?(?P<term>.+?) mean\b", re.IGNORECASE)
_ENTRY = re.compile(r"(?:[*+•-]\s+)?(?P<names>[^:：]{1,60})[:：]\s*\S")
"""An entry in a list of options or terms, which are named before its colon."""
_STEP = re.compile(
    r"(?:[*+•-]\s+)?(?:(?:step|paso|schritt|étape|bước)\s+)?(?:\d|第?[一二三四五六七八九十]+[步、])|"
    r"(?:[*+•-]\s+)?(?:first|second|third|then|next|after(?:wards| that)|last|finally|"
    r"primero|segundo|tercero|luego|después|por último|finalmente|"
    r"erstens|zweitens|drittens|zuerst|zunächst|dann|danach|zuletzt|schließlich|"
    r"d['’]abord|premièrement|deuxièmement|ensuite|puis|enfin|"
    r"đầu tiên|tiếp theo|sau đó|cuối cùng|首先|然后|接着|最后)(?:ly)?\b",
    re.IGNORECASE,
)
"""How an item of a list begins that is one of several steps."""
_INTRODUCTION = 80
"""Characters at the beginning of a text in which a term is introduced."""
_LONGEST_SIDE = 4
"""Most words of one side of a difference."""
_BOTH = re.compile(r",? (?:and|y|e|und|et|và|vs\.?|versus) (?=\S)", re.IGNORECASE)
_EITHER = re.compile(r",? (?:or|o|u|oder|ou|hay) (?=\S)", re.IGNORECASE)
_APART = re.compile(
    r"(?:(?<=distinguishes )|(?<=unterscheidet )|(?<=unterscheiden )|(?<=diferencia )|"
    r"(?<=distingue ))(?:sich |a )?(?P<one>[^?]+?) (?:from|von|vom|de|del|du) "
    r"(?P<other>[^?]+?) *\?|"
    r"\bdoes (?P<first>[^?]+?) differ from (?P<second>[^?]+?) *\?",
    re.IGNORECASE,
)
_SIDE = re.compile(r"-{0,2}[A-Za-zÀ-ỹ\d_.][\w.+#/-]*(?<![.])|[?,:;()]")
_WIDE_SIDES = re.compile(
    r"([^\s的，,？?。、]+)\s*(?:和|与|跟|同|还是|或)\s*([\w.+#/-]+?)\s*"
    r"(?=有|的|各|分别|之间|相比|哪|是|脚本|命令|[？?，,]|$)"
)
_ARTICLE_WORDS = "the a an el la los las un una der die das den dem ein eine le les une des"
_ARTICLES = frozenset(_ARTICLE_WORDS.split())
_NOT_A_SIDE = """
    between entre zwischen by of from in on with for to as at what how which when where do does did
    is are was were differ differs difference differences different compared distinguish
    distinguishes versus
    de del en con por para que qué cuál cuáles cuándo dónde es son diferencia diferencias
    diferencian distinguen se
    von vom im an auf mit für zu bei was wie wann worin sich unterscheiden unterscheidet ist sind
    unterschied unterschiede
    du d dans avec pour par quelle quel quoi quand diffèrent distinguent différence différences est
    sont ? , : ; ( )
"""
_NO_SIDE = _ARTICLES | frozenset(_NOT_A_SIDE.split())
_QUOTES = "\"'“”‘’«»„ `"
_OPENING = (
    r"(?:[-*+•#>\s]*)(?:(?:the|an?|el|la|los|las|una?|der|die|das|eine?|le|les|une?)\s+|l['’])?"
)
_ASIDE = r"[\"'”’»`*_]*\s*(?:[(（][^)）]{0,120}[)）]\s*)?,?\s*"


def question_kind(question: str) -> QuestionKind | None:
    """Return what kind of answer a question asks for; None if no word shows it."""
    if _IN_ORDER.match(question):
        return QuestionKind.LIST
    return next((kind for kind, words in _KINDS.items() if words.match(question)), None)


def asks_for_option(question: str) -> bool:
    """Return True if a question asks which option of a command does something."""
    return _ASKS_OPTION.search(question) is not None


def listed_thing(question: str) -> str:
    """Return the word for the things of which a list is asked, such as "tools"; else empty."""
    found = _LISTED_THING.match(question)
    return next((each for each in found.groups() if each), "") if found else ""


def compares_all(question: str) -> bool:
    """Return True if no row alone answers: for the most of something, or an amount without some."""
    return any(pattern.match(question) for pattern in (_COMPARES, _LEAVES_OUT))


def parts_of(question: str) -> list[str]:
    """Return the questions in one, such as "who plays, and what does it cost"."""
    parts = [part for part in _NEXT_QUESTION.split(question) if any(map(str.isalnum, part))]
    return parts or [question]


def holds_what_is_asked(kind: QuestionKind | None, text: str, language: str) -> bool:
    """Return True if a text has the date, number, name or reason that a question asks for.

    ``language`` is the text's, an ISO 639-1 code: "car" gives a reason in French alone.
    """
    wanted = {
        QuestionKind.WHEN: _DATE,
        QuestionKind.HOW_MANY: _AMOUNT,
        QuestionKind.HOW_OFTEN: _FREQUENCY,
        QuestionKind.WHO: _NAME,
        QuestionKind.WHY: _REASONS.get(language, _REASONS["en"]),
    }
    return kind in wanted and wanted[kind].search(text) is not None


def announces_a_number(text: str) -> bool:
    """Return True if a short sentence says how many things there are: "It has three parts."."""
    return count_words(text) <= LONGEST_ANNOUNCEMENT and _COUNT.search(text) is not None


def term_of(question: str) -> str:
    """Return what a definition is asked of, without articles and quotation marks."""
    if meant := _MEANT.search(question):
        return meant["term"].strip(_QUOTES)
    rest = _KINDS[QuestionKind.DEFINITION].sub("", question, count=1)
    if rest == "" or question.endswith("是什么？"):
        rest = re.sub(r"是什么(?:意思)?|什么是|的定义", "", question)
    rest = re.sub(
        r"(?:\bmean|\blà gì|\bbedeuten|\bsignifica)?\s*[?？.。!]*\s*$", "", rest, flags=re.I
    )
    return re.sub(rf"^{_OPENING}", "", rest, flags=re.I).strip(_QUOTES)


def is_definition(text: str, term: str, language: str) -> bool:
    """Return True if a text begins with a term and says what it is, or describes it."""
    # Most texts do not name it: an expression made for each term takes a millisecond to compile.
    if not term or term.casefold() not in text.casefold():
        return False
    verb = _IS.get(language, _IS["en"])
    said = rf"{_OPENING}[\"'“‘«„`*_]*{re.escape(term)}(?:e?s|en|e)?{_ASIDE}(?:[:：—–]|{verb})"
    return re.match(said, text, re.IGNORECASE) is not None


def defines(text: str, term: str, language: str) -> bool:
    """Return True if a text says what a term is, or introduces it in brackets: "a box (AB) ..."."""
    opening = text[:_INTRODUCTION]
    in_brackets = re.search(rf"\w\s?[(（]{re.escape(term)}[)）]", opening, re.IGNORECASE)
    return in_brackets is not None or is_definition(text, term, language)


def sides_of(question: str) -> tuple[str, ...]:
    """Return the two things of which a difference is asked; empty if they cannot be told.

    They stand beside the word that joins them, up to the next function word or sign.
    """
    if wide := _WIDE_SIDES.search(question):
        return wide.groups()
    if apart := _APART.search(question):
        named = (each for each in apart.groups() if each)
        return tuple(re.sub(rf"^{_OPENING}", "", each, flags=re.IGNORECASE) for each in named)
    joined = _BOTH.search(question) or _EITHER.search(question)
    if joined is None:
        return ()
    before = _SIDE.findall(question[: joined.start()])[-_LONGEST_SIDE:]
    after = _SIDE.findall(question[joined.end() :])[:_LONGEST_SIDE]
    left = _until_function_word(reversed(before))[::-1]
    while after and after[0].casefold() in _ARTICLES:
        after.pop(0)
    sides = tuple(" ".join(words) for words in (left, _until_function_word(after)))
    return sides if all(sides) else ()


def distinct_parts(sides: tuple[str, ...]) -> tuple[str, ...]:
    """Return two sides without the words with which both begin: "git stash pop", "git stash apply".

    A number alone names nothing: "Mill 3" keeps its word.
    """
    one, other = (side.split() for side in sides)
    while len(one) > 1 and len(other) > 1 and one[0].casefold() == other[0].casefold():
        if one[1][0].isdigit() or other[1][0].isdigit():
            break
        one, other = one[1:], other[1:]
    return " ".join(one), " ".join(other)


def _until_function_word(words: Iterable[str]) -> list[str]:
    return list(takewhile(lambda word: word.casefold() not in _NO_SIDE, words))


def describes(text: str, name: str) -> bool:
    """Return True if a text begins with a name, in any of its forms, and goes on with another word.

    Of "phantom reads" it may begin with "phantom read:".
    """
    opening = (
        re.sub(rf"^{_OPENING}", "", text, flags=re.IGNORECASE).lstrip(_QUOTES + "*_").casefold()
    )
    stem = re.sub(r"(?<=\w{3})(?:es|en|s|n)$", "", name.casefold())
    rest = opening.removeprefix(stem)
    return rest != opening and re.match(r"(?:es|en|s|n)?(?:\W|$)|[\u3400-\u9fff]", rest) is not None


def is_step(text: str) -> bool:
    """Return True if an item of a list is a step: it begins with a number or a word of order."""
    return _STEP.match(text) is not None


def names_its_thing(text: str) -> bool:
    """Return True if a text is an entry of a list of options or terms, whatever it names."""
    return _ENTRY.match(text) is not None


def is_entry(text: str, name: str) -> bool:
    """Return True if a text is an entry of a list of options or terms: "-x, --foo: says ..."."""
    entry = _ENTRY.match(text)
    if entry is None:
        return False
    words = re.split(r"[\s,(（=]+", entry["names"])
    is_named = any(name in (word, word.rpartition(".")[2]) for word in words)
    return is_named or (not name.startswith("-") and describes(entry["names"], name))


def described_by(question: str) -> tuple[str, ...]:
    """Return the term of which a definition is asked, or both sides of a difference."""
    kind = question_kind(question)
    if kind is QuestionKind.DIFFERENCE:
        return sides_of(question)
    term = term_of(question) if kind is QuestionKind.DEFINITION else ""
    return (term,) if term and count_words(term) <= _LONGEST_SIDE else ()
