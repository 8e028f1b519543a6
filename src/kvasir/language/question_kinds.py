"""What kind of answer a question asks for.

Small word lists in English, Spanish, German, French, Vietnamese and Chinese tell. A kind only
orders the passages that retrieval found and completes the best one; it excludes none.
"""

from __future__ import annotations

import re
from enum import StrEnum

from kvasir.language.list_questions import PREPOSITION, asks_for_several


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


_ARTICLE = r"(?:an?|the|el|la|los|las|una?|der|die|das|dem|den|eine?[nmr]?|les?|une|du|des)"
_PLURAL = r"(?!(?:does|is|was|has)\b)\w+s\b(?<!ss)(?<!us)(?<!is)"
"""A word with the ending of a plural: "tools", not "address", "status" or "basis"."""
_THING_FOLLOWS = r"(?:if|when|the|an?|it|them|this|that|to|after|before|first|next)\b"
"""Words after a verb: "what happens if", "which controls the"."""
_ASKING = r"(?:what|which|who|whom|how|where|why|qu(?!and\b)\w*|comment|combien|où|pourquoi)\b"

KINDS = {
    QuestionKind.DIFFERENCE: _pattern(
        r".*\s-{1,2}[\w-]+,? (?:or|o|u|oder|ou|and|y|e|und|et|还是|和|或) -|"
        r".*\b(?:differences?|differs?|different|versus|vs|distinguish(?:es)?|"
        r"compare[sd]? (?:to|with)|"
        r"(?:instead of|rather than)(?= .{0,200}\?)|"
        r"diferencian?s?|distinguen?|en vez de|comparad[oa]s?|"
        r"unterschiede?|unterscheide[nt]|im vergleich|"
        r"différences?|diffère(?:nt)?|distinguent?|différente?s? (?:de|du|des)|par rapport|"
        r"plutôt que|khác nhau|khác gì|khác biệt|so với|so sánh|"
        r"(?:is|are) .{1,60} the same (?:thing )?as|"
        r"(?:is|are) .{1,60} (?:and|or) .{1,60} the same(?= ?\?)|"
        r"tell .{1,60} apart|how (?:do|does|can|to) .{0,20}tell .{1,60} from|"
        r"lo mismo que|es lo mismo .{1,60} que|dasselbe wie|das ?gleiche wie|la même chose que|"
        r"compar(?:e[rz]?|a|ar)(?= .{1,120} (?:and|with|to|y|con|et|avec|à)\b)|"
        r"vergleich(?:e|en)?(?= .{1,120} (?:und|mit)\b)|"
        r"when\b.{0,20}\b(?:use|choose|take|pick|prefer)\b.{0,80}[, ]when|"
        r"cuándo\b.{0,20}\b(?:us|utiliz|elij|eleg|escog|conv)\w+\b.{0,80}[, ]cuándo|"
        r"wann\b.{0,40}\b(?:nimm|nehm|nutz|benutz|verwend|wähl)\w*\b.{0,80}[, ]wann|"
        r"quand\b.{0,40}\b(?:utilis|pren|chois|emplo)\w+\b.{0,80}[, ]quand)|"
        rf"[^?]{{0,40}}\b[\w.-]+,? (?:or|oder|o|u|ou|hay) (?:{_ARTICLE} )?[\w.-]+ ?[?:]",
        ".*(?:区别|不同|差别|差异|相比|比较|分别[是有管做]|各[是有管]|[和与跟同][^，]{1,12}(?:一样|相同)吗?[？?]|"
        "什么时候.{0,3}[用选][^，]*，.*什么时候)|[^，。：:？]{1,14}还是[^，。：:？]{1,10}[？?]",
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
        rf"(?!\W*{_ASKING}).*\b(?:when|quand)(?!\w)(?![^?]*, {_ASKING})|"
        r".*\b(?:(?:by|on|in|since|until) (?:what|which) (?:day|date|month|year)|"
        r"what (?:day|date|"
        r"year|time)|cuándo|(?:qué|que) (?:día|fecha|año|hora)|wann|(?:welchem|welches) (?:tag|"
        r"datum|jahr)|"
        r"um wie ?viel uhr|quel(?:le)? (?:jour|date|année|heure)|khi nào|năm nào)",
        ".*(?:什么时候|何时|哪一?[天年月日]|几[号点])",
    ),
    QuestionKind.WHO: _pattern(
        r"\W*+(?:(?:to|by|with|from|a|de|con|por|von|mit|bei|à|par|avec|ask|do i) )?"
        r"(?:who|whom|whose|quién(?:es)?|wer|wen|wem|wessen|qui|ai)",
        ".*(?:谁|哪位)",
    ),
    QuestionKind.DEFINITION: _pattern(
        r"\W*+(?:what(?:['’]s| is| are|"
        r" does .* (?:mean|stand for)| do you call)|"
        r"define|explain|"
        r"meaning of|definition of|what is meant by|"
        r"qué (?:es|son|significa|quiere decir)|a qué se llama|define|definición de|"
        r"was (?:ist|sind|bedeutet|heißt|meint|versteht man)|wofür steht|"
        r"qu['’]est-ce (?:que|qu['’]?)|qu['’]appelle|c['’]est quoi|que (?:signifie|veut dire)|"
        r"définition de|\S.* (?:là gì|nghĩa là))",
        ".*(?:是什么|什么是|什么叫|是啥|什么意思|的定义)",
    ),
    QuestionKind.LIST: _pattern(
        rf"\W*+(?:(?:{PREPOSITION} )?(?:which (?:of|are|"
        rf"{_PLURAL}(?! {_THING_FOLLOWS})|"
        r"(?:\w+ ){1,3}\w+s (?:are|were|have|do|does|did|can|may|must|exist))|"
        rf"what (?:(?:\w+ )?{_PLURAL}(?! {_THING_FOLLOWS})|"
        r".*\b(?:consists? of|contains?|includes?|supports?|are there|exist|"
        r"available|allowed|forbidden|required))|"
        r"cuáles|qué \w+s\b|welchen (?:\w+e[nr] )?\w+[ns]\b|welche(?! \w+ (?:ist|war|wird)\b)|"
        r"quel(?:le)?s)|"
        r"qué (?:hay|incluye|contiene|comprende)|lista|liste|donnez?|nommez?|gib|"
        r"de qué (?:\w+ )?(?:consta|se compone)|"
        r"was (?:alles|gehör[et]n?|enthält|umfasst)|woraus|aus was|"
        r"que (?:contient|comprend|comporte|inclut)|de quoi|qu['’]est-ce qui|"
        r"có (?:những|các|mấy))|"
        r"những|gồm|bao gồm|"
        r".*\b(?:những (?:\w+ ){0,2}(?:gì|nào)|gồm những|liệt kê|"
        r"kể tên (?:các|những|hai|ba|bốn|năm))",
        ".*(?:哪些|列出|列举|哪[几两三四五六七八九十]|(?:包括|包含|有|由|分为)(?:哪|什么|几)|[哪几][种类])",
    ),
}

_IN_ORDER = _pattern(
    r"\W*+(?:in (?:what|which) (?:order|sequence)|en qué orden|in welcher reihenfolge|"
    r"was .*der reihe nach|dans quel ordre)",
    ".*(?:什么顺序|先后顺序)",
)
"""Questions after a list, whatever else they name: "in what order ... when ..."."""

_TOLD_FIRST = (
    QuestionKind.DIFFERENCE,
    QuestionKind.WHY,
    QuestionKind.HOW_OFTEN,
    QuestionKind.HOW_MANY,
    QuestionKind.HOW_TO,
)
"""Kinds that are told by words which say more than that several things are asked for."""

_ASKS_OPTION = re.compile(
    r"\b(?:which|what|welche\w?|qué|con qué|quelle?) (?:[\w-]+ )?"
    r"(?:option|flag|switch|parameter|argument|schalter|opción|parámetro|argumento|paramètre)\b|"
    r"(?:哪[个一]?|什么)(?:选项|参数)",
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

_AMOUNT = re.compile(
    r"\b(?:how (?:many|much)|total|cuánt[oa]s?|wie ?viele?|insgesamt|combien)\b", re.IGNORECASE
)
_EXCEPT = re.compile(
    r"\b(?:not|no|without|except|excluding|before|after|since|until|sin|salvo|excepto|menos|antes|"
    r"después|desde|hasta|nicht|kein\w*|ohne|außer|vor|seit|bis|pas|sans|sauf|hors|avant|après|"
    r"depuis)(?!\w)",
    re.IGNORECASE,
)
_EXCEPT_CHINESE = re.compile("除|不[是在含包]|没|未")
_AMOUNT_CHINESE = re.compile("多少|几|总|一共")
_LEAVES_OUT = ((_AMOUNT, _EXCEPT), (_EXCEPT_CHINESE, _AMOUNT_CHINESE))
"""In this order in questions for an amount of which the rows that are named are not the answer."""


_NEXT_QUESTION = re.compile(
    r",? (?:and|y|e|und|et|và) (?=(?:(?:for|at|by|to|with|in|on|a|de|en|con|für|mit|zu|à|pour|avec)"
    r" )?(?:what|which|who|when|where|why|how|qué|cuáles|cuál|quién|cuándo|dónde|cuánt\w+|cómo|"
    r"was|welche\w?|wer|wann|wo|warum|wie|quel\w*|qui|quand|où|pourquoi|combien|comment|gì|ai)\b)"
    r"|[，,；;](?=[^，,；;]*(?:多少|什么|哪|谁|几|怎么|如何))",
    re.IGNORECASE,
)


def question_kind(question: str) -> QuestionKind | None:
    """Return what kind of answer a question asks for; None if no word shows it."""
    if _IN_ORDER.match(question):
        return QuestionKind.LIST
    kind = next((kind for kind, words in KINDS.items() if words.match(question)), None)
    is_told_after = kind not in _TOLD_FIRST
    return QuestionKind.LIST if is_told_after and asks_for_several(question) else kind


def asks_for_option(question: str) -> bool:
    """Return True if a question asks which option of a command does something."""
    return _ASKS_OPTION.search(question) is not None


def compares_all(question: str) -> bool:
    """Return True if no row alone answers: for the most of something, or an amount without some."""
    line, _, _ = question.partition("\n")
    return _COMPARES.match(line) is not None or any(
        found is not None and after.search(line, found.end()) is not None
        for first, after in _LEAVES_OUT
        if (found := first.search(line))
    )


def parts_of(question: str) -> list[str]:
    """Return the questions in one, such as "who plays, and what does it cost"."""
    parts = [part for part in _NEXT_QUESTION.split(question) if any(map(str.isalnum, part))]
    return parts or [question]
