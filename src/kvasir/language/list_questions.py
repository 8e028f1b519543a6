"""Questions for a list: those after several things, and the word for these things.

Each pattern is of the beginning of a question; a question may name other things as well, such as a
time: "what can go wrong when upgrading".
"""

from __future__ import annotations

import re

PREPOSITION = (
    r"(?:in|on|with|by|from|of|for|to|at|under|de|en|con|por|para|a|entre|bajo|aus|mit|von|für|auf|"
    r"zu|bei|an|unter|über|nach|à|dans|avec|pour|par|sur|sous)"
)
"""A preposition before a question word: "in which formats"."""
_BEFORE = rf"(?:{PREPOSITION} )?"

_ENGLISH = (
    r"(?:please |can you |could you )?(?:list|enumerate)\b",
    r"(?:please |can you |could you )?(?:name|give|show|tell)(?: me| us)? (?:all|the|[2-9]|1\d|two|"
    r"three|four|five|six|seven|eight|nine|ten|an? (?:\w+ )?(?:list|overview) of)\b",
    rf"{_BEFORE}(?:what|which) (?:[2-9]|two|three|four|five|six|seven|eight|nine|ten)\b",
    rf"{_BEFORE}(?:what|which) (?:\w+ )?(?:people|men|women|children|criteria|phenomena)\b",
    rf"{_BEFORE}(?:what|which) (?:\w+ )?(?:media|data|information|equipment|software|hardware|"
    r"clothing) (?:is|are|do|does|can|may|must|should)\b",
    r"(?:what|which) (?:other |else )?are there\b",
    r"what (?:all|else) (?:do|does|is|are|belongs?|can|must|should)\b",
    r"what(?:['’]re| are) (?:all|some|the|your|our|its|their)(?: of)?(?: the)? "
    r"(?:\w+ ){0,2}\w+s\b(?<!ss)(?<!us)(?<!is)",
    r"what(?:['’]s| is| are| was| were| must be| has to be) (?:not )?(?:included|contained|needed|"
    r"required|necessary|allowed|permitted|forbidden|prohibited|missing|part of|in(?:side)? the)\b",
    r"what (?:can|may|could|must|cannot|can['’]t) (?:not )?"
    r"(?:be|go|happen|cause|(?:an? |the )?[\w.-]+ be|"
    r"(?:i|we|you|one)(?! do (?:if|when|to)\b))\b",
    r"what (?:do|does|should|must|shall) (?:i|we|you|one|an? \w+|the \w+) "
    r"(?:have to |need to )?"
    r"(?:need|require|bring|pack|take|carry|wear|prepare|include|consist|contain)\b",
)
_SPANISH = (
    r"(?:enumer[ae]|mencion[ae]|nombra)\b",
    r"(?:nombre|cit[ae]|di(?:me|ga)) (?:los|las|todos|todas|dos|tres|cuatro|cinco|seis|siete|"
    r"ocho|nueve|diez|[2-9])\b",
    rf"{_BEFORE}qué (?:dos|tres|cuatro|cinco|seis|siete|ocho|nueve|diez|[2-9])\b",
    rf"{_BEFORE}qué (?:gente|información|datos|ropa)\b",
    rf"{_BEFORE}cuáles son\b",
    r"qué (?:no )?(?:se (?:puede|debe|necesita|requiere|permite)|hay que|hace falta|necesit\w+|"
    r"deb(?:o|emos)|tengo que|pued(?:o|en)|podemos|puede salir|"
    r"están? (?:prohibid|permitid|incluid)\w+)\b(?! (?:hacer|pagar)\b)",
)
_GERMAN = (
    r"nenne(?:n sie)?\b",
    r"(?:zähle|liste|führe)n? .*auf\b",
    rf"{_BEFORE}welche[nr]? (?:[2-9]|zwei|drei|vier|fünf|sechs|sieben|acht|neun|zehn)\b",
    rf"{_BEFORE}welche (?:leute|menschen|daten|ausrüstung|kleidung|hardware|software)\b",
    rf"{_BEFORE}was für (?!eine?[mnrs]?\b)",
    r"was sind (?:die|alle)\b|was gibt es\b",
    r"was ist (?:nicht )?alles\b",
    r"was (?:ist|sind|wird) .*\b(?:enthalten|drin|inbegriffen|erlaubt|verboten|nötig|"
    r"erforderlich)\b",
    r"was (?:(?:brauch|benötig)\w*|darf|dürfen|kann|können|muss|müssen|soll|sollen)\b"
    r"(?!.{0,60}\b(?:kosten|zahlen|bezahlen)\b)",
)
_FRENCH = (
    r"(?:énumére[rz]|énumère|cite[rz]?|mentionne[rz]?)\b",
    rf"{_BEFORE}(?:quelles sont|quels sont|lesquel(?:le)?s)\b",
    r"que (?:peut|peuvent|faut|doit|dois|devons|puis)\b",
    r"qu['’]est-ce qu['’](?:il faut|on (?:peut|doit))\b",
    r"qu['’]est-ce que (?:je|comprend|contient)\b",
)
_VIETNAMESE = (
    r"(?:các|những) (?:loại|kiểu|bước|phần|thành phần|ưu điểm|nhược điểm|lý do|điều kiện|yêu cầu)\b"
    r"[^?]* là (?:những )?gì\b",
)
_CHINESE = (
    ".*(?:列举|都有(?:谁|什么)|有哪些|什么(?:材料|情况下))",
    ".*需要(?:带|准备|携带|提供|用到?)?什么(?!时)",
    "什么东西",
    ".*(?:优点|缺点|优势|好处|步骤|条件|要求|组成部分|特点|成员|类型|种类|选项)都?[是有](?:什么|哪)",
)
_SEVERAL = re.compile(
    r"\W*+(?:"
    + "|".join((*_ENGLISH, *_SPANISH, *_GERMAN, *_FRENCH, *_VIETNAMESE, *_CHINESE))
    + ")",
    re.IGNORECASE,
)

_ARTICLE = r"(?:all |the |your |los |las |die |der |les |alle )"
_LISTED_THING = re.compile(
    rf"\W*+(?:\w+ )?(?:(?:which|what)(?: are)?(?: all| some)?|who are|welche[nmrs]?|was für|"
    r"was sind|wer sind|qué|cuáles son|quiénes son|quel(?:le)?s(?: sont)?|qui sont|"
    r"(?:list|name|give|show|tell|nenne|nenne sie|enumera|nombra|cite[rz]?|énumère[rz]?)"
    rf"(?: me| us)?) {_ARTICLE}*(?P<thing>[^\W\d_]{{3,}})|"
    r".*(?:哪些|哪[几两三四五六七八九十][种个类]?)(?P<after>[\u4e00-\u9fff]{2})|"
    r".*?(?P<before>[\u4e00-\u9fff]{2})都?[有是](?:哪些|什么)[？?]?$",
    re.IGNORECASE,
)


def asks_for_several(question: str) -> bool:
    """Return True if a question begins as one after several things."""
    return _SEVERAL.match(question) is not None


def listed_thing(question: str) -> str:
    """Return the word for the things of which a list is asked, such as "tools"; else empty."""
    found = _LISTED_THING.match(question)
    return next((each for each in found.groups() if each), "") if found else ""
