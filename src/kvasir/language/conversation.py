"""Phrases of a conversation in six languages: thanks, greetings, and signs of a follow-up question.

Only closed classes of words are listed (pronouns, conjunctions, question words, polite phrases),
which a reader of the language can check. A message of another language has none of them, and is
an ordinary question. Reasons: docs/decisions/0054-follow-up-questions.md.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from kvasir.core.text import CJK

GREETING, THANKS, FAREWELL, ASSENT = "greeting", "thanks", "farewell", "assent"

_POLITE: Mapping[str, Mapping[str, str]] = {
    "en": {
        GREETING: "hello|hi|hey|good (?:morning|afternoon|evening|day)|nice to meet you"
        "|how are you(?: doing)?(?: today)?",
        THANKS: "thanks|thank you|thank u|thx|cheers|many thanks|much appreciated"
        "|that (?:was|is) (?:very )?(?:helpful|kind)|that helps|that helped",
        FAREWELL: "bye|goodbye|good bye|bye bye|see you|see you (?:later|soon)|good night"
        "|have a (?:nice|good) (?:day|evening|weekend)",
        ASSENT: "ok|okay|great|good|perfect|excellent|wonderful|fine|nice|i see|got it|alright"
        "|understood|cool",
        "": "there|all|everyone|again|very much|so much|a lot|kvasir|and|for (?:that|this|it"
        "|(?:all )?(?:the|your) (?:help|answers?|information))",
    },
    "es": {
        GREETING: "hola|buenos días|buenos dias|buen día|buenas|buenas tardes|qué tal|cómo estás"
        "|cómo está",
        THANKS: "gracias|muchas gracias|mil gracias|muy amable|te lo agradezco|se lo agradezco",
        FAREWELL: "adiós|adios|hasta luego|hasta pronto|hasta mañana|chao|buenas noches",
        ASSENT: "vale|de acuerdo|perfecto|estupendo|genial|muy bien|bien|entendido|claro|ok",
        "": "a todos|otra vez|de nuevo|kvasir|y|por (?:todo|la ayuda|tu ayuda|su ayuda|eso"
        "|la respuesta)",
    },
    "fr": {
        GREETING: "bonjour|salut|bonsoir|coucou|comment allez vous|ça va|comment ça va",
        THANKS: "merci|merci beaucoup|merci bien|mille mercis|un grand merci|je vous remercie"
        "|je te remercie|c['’]est (?:très )?(?:gentil|aimable)",
        FAREWELL: "au revoir|à bientôt|à plus tard|bonne journée|bonne soirée|bonne nuit|à demain",
        ASSENT: "d['’]accord|parfait|très bien|bien|super|génial|compris|entendu|ok",
        "": "à tous|encore|kvasir|et|pour (?:tout|ça|cela|votre aide|ton aide|l['’]aide"
        "|la réponse)|infiniment",
    },
    "de": {
        GREETING: "hallo|hi|hey|servus|moin|grüezi|grüß gott|guten (?:morgen|tag|abend)"
        "|wie geht(?: es|['’]s)?(?: dir| ihnen)?",
        THANKS: "danke|danke schön|dankeschön|danke sehr|vielen dank|besten dank|herzlichen dank"
        "|tausend dank|das (?:war|ist) (?:sehr )?(?:hilfreich|nett)|das hilft|das hilft mir",
        FAREWELL: "tschüss|tschüß|auf wiedersehen|bis bald|bis später|bis morgen|gute nacht"
        "|schönen (?:tag|abend)(?: noch)?",
        ASSENT: "ok|okay|gut|sehr gut|prima|super|perfekt|alles klar|verstanden|schön|toll"
        "|in ordnung",
        "": "zusammen|nochmals|noch einmal|kvasir|und|dir|ihnen|dafür|für (?:alles|die hilfe"
        "|deine hilfe|ihre hilfe|die antworten|die antwort|die auskunft)",
    },
    "vi": {
        GREETING: "xin chào|chào|chào bạn|chào anh|chào chị|chào buổi sáng|chào buổi tối"
        "|bạn khỏe không|chào các bạn",
        THANKS: "cảm ơn|cám ơn|xin cảm ơn|cảm ơn bạn|cám ơn bạn|cảm ơn rất nhiều",
        FAREWELL: "tạm biệt|hẹn gặp lại|chúc ngủ ngon",
        ASSENT: "được rồi|tốt|tốt lắm|tuyệt|tuyệt vời|vâng|hiểu rồi|ok",
        "": "nhiều|rất nhiều|nhé|ạ|kvasir|và|vì đã giúp đỡ|bạn",
    },
    "zh": {
        GREETING: "你好|您好|大家好|早上好|上午好|下午好|晚上好|早安|嗨|哈喽|你好吗|您好吗",
        THANKS: "谢谢|謝謝|多谢|多謝|感谢|感謝|非常感谢|辛苦了",
        FAREWELL: "再见|再見|拜拜|晚安|回头见|明天见",
        ASSENT: "好的|好|明白了|知道了|太好了|很好|不错|行|ok",
        "": "你|您|大家|啊|呀|啦|了|的|帮助|的帮助|kvasir",
    },
}
"""Polite phrases by language and kind; those of the kind "" stand beside others only."""

LANGUAGES = tuple(_POLITE)
"""Codes of the languages that are known here."""

_SPACELESS = frozenset({"zh"})

_STARTS_FOLLOW_UP = (
    # English, Spanish, French, German, Vietnamese, Chinese.
    r"(?:(?:and|but|or|so|then|also|y|e|pero|o|et|mais|ou|und|aber|oder|còn|và|nhưng|thế|vậy)"
    r"\b[\s,]*)*"
    r"(?:(?:what|how) about|what of|qué (?:tal|hay de|pasa con|hay del)|qu['’]en est[- ]il d[eu']s?"
    r"|et pour|was ist mit|wie (?:ist|sieht) es (?:mit|bei)|thế còn|vậy còn)\b[\s,]*"
    r"|(?:(?:and|but|also|y|pero|et|mais|und|aber|oder|còn|và|nhưng)\b[\s,]*)+"
    r"|(?:那么|那|还有|以及|而|至于|那麼|還有)+[\s,，]*"
)
_ENDS_FOLLOW_UP = r"(?:呢|怎么样|怎麼樣|\bthì sao|\bthế nào|\baus)[\s?？!！.。]*$"

_BEGINNING = re.compile(rf"^[\s¿¡]*(?:{_STARTS_FOLLOW_UP})[\s¿¡]*", re.IGNORECASE)
_ENDING = re.compile(_ENDS_FOLLOW_UP, re.IGNORECASE)
_EDGES = " \t\r\n?？!！.。¿¡,，;:…"

_REFERENCE = re.compile(
    r"\b(?:it|its|they|them|their|theirs|this|that|these|those|he|him|his|she|her|hers|ones?"
    r"|él|ella|ellos|ellas|eso|esto|ese|esa|aquello|lo|sus?"
    r"|ils?|elles?|ça|cela|celui|celle|ceux|celles|leurs?|sa|ses|l['’](?:ai|as|a|avons|avez|ont|est)"
    r"|er|sie|ihn|ihm|ihre?|ihre[mnrs]|ihnen|diese[mnrs]?|jene[mnrs]?|davon|dafür|damit|darüber"
    r"|daran|darin|dazu|dort"
    r"|nó|chúng|họ|đó|này|ấy)\b"
    r"|\b(?:cuándo|dónde|cuánto|quién|cómo|por qué)\s+(?:me |te |se )?l[ao]s?\b"
    r"|[它他她其]|[这那這]",
    re.IGNORECASE,
)
"""A word that stands for something said before."""

_GERMAN_QUESTION = re.compile(r"\b(?:wann|wo|was|wer|wie|warum|wieso)\b", re.IGNORECASE)
_GERMAN_REFERENCE = re.compile(r"\b(?:es|das)\b(?:\s+(?:ge|be|ver|er)\w+)?\W*$", re.IGNORECASE)
"""At the end of a German question: a pronoun, maybe with a participle after it."""

_FRENCH_SUBJECT = re.compile(
    r"\b(?:l[ae]s?|l['’]|mon|ma|mes|[vn]otre|[vn]os|cet(?:te)?|ces?)\s?\w", re.IGNORECASE
)
_FRENCH_PRONOUN = re.compile(r"-(?:t-)?(?:il|elle)s?\b", re.IGNORECASE)
"""Beginning and end of a French question whose pronoun repeats its subject: "la gare est-elle"."""

_FRAGMENT = re.compile(
    r"^[\s¿¡]*(?:in|on|at|for|from|to|by|with|without|before|after|since|during|until|of|the|an?"
    r"|en|para|con|sin|del?|al?|por|desde|hasta|durante|el|la|los|las|una?"
    r"|aux?|à|pour|avec|sans|du|des|depuis|avant|après|pendant|chez|les?|une"
    r"|im|am|für|bei|mit|ohne|nach|vor|seit|von|zu[mr]?|ab|bis|der|die|das|den|dem|eine?[mnrs]?"
    r"|trong|vào|cho|với|ở|tại|từ)\b|^\s*在|^[\s¿¡]*l['’]",
    re.IGNORECASE,
)
"""The first word of a phrase that is no sentence."""

_INTERROGATIVE = re.compile(
    r"\b(?:how (?:many|much|long|far|often|old|big|high|tall|wide|deep|heavy|fast|large|soon)|how"
    r"|what|when|where|whose|whom?|which|why"
    r"|por qué|cuánt[ao]s?|cuándo|dónde|quién(?:es)?|qué|cuál(?:es)?|cómo"
    r"|combien|quand|où|qui|que|quel(?:le)?s?|comment|pourquoi|quoi"
    r"|wie (?:viele?|lange|oft|weit|hoch|alt|groß|schwer|teuer)|wie|was|wann|wo|wohin|woher|we[rmn]"
    r"|wessen|welche[mnrs]?|warum|wieso|weshalb"
    r"|bao nhiêu|bao lâu|bao xa|khi nào|bao giờ|đâu|ai|gì|tại sao|vì sao|thế nào|nào|mấy)\b"
    r"|多少|什么时候|什么|为什么|怎么|如何|多久|多长|多远|何时|哪里|哪儿|哪|谁|几"
    r"|什麼時候|什麼|為什麼|怎麼|誰|幾",
    re.IGNORECASE,
)

_SPEAKER = r"i|you|we|did|do|does|is|are|was|were|can|exactly|genau|exactement|exactamente"
_ONLY_INTERROGATIVE = re.compile(
    rf"^[\W_]*(?:(?:{_INTERROGATIVE.pattern}|since|seit|desde|depuis|for|para|pour|für|{_SPEAKER})"
    r"[\W_]*)+$",
    re.IGNORECASE,
)

_MORE = re.compile(
    r"[\s¿¡]*(?:(?:please|bitte|por favor|s['’]il (?:vous|te) plaît|xin|请|請)[\s,，]*)?(?:"
    r"(?:(?:can|could|would) you )?(?:tell me|show me|give me|say|i want to know)? ?(?:some |a bit "
    r"|a little )?(?:more|further)(?: (?:details?|information|about (?:it|that|this|them)|of (?:it"
    r"|that)))?|what else(?: (?:is there|do you know|do the documents say))?|anything else|go on"
    r"|continue|(?:more|further) details|elaborate|and (?:more|further|what else)"
    r"|(?:cuéntame|dime|cuénteme|dígame|explícame)? ?(?:algo )?más(?: (?:detalles|información"
    r"|sobre (?:eso|esto|ello)))?|qué más|continúa|sigue|algo más|más detalles"
    r"|(?:dites-m['’]en|dis-m['’]en|parle-m['’]en|racontez-m['’]en|dis moi|dites moi)? ?(?:en )?"
    r"(?:plus|davantage)(?: (?:de détails|d['’]informations))?|quoi d['’]autre|continue[rz]?"
    r"|(?:erzähle?|sag|sage|zeige?|erzählen sie|sagen sie)? ?(?:mir )?(?:noch )?(?:etwas )?mehr"
    r"(?: (?:davon|dazu|darüber|details|einzelheiten))?|was noch|weiter|noch etwas|und weiter"
    r"|(?:hãy )?(?:nói|kể|cho tôi biết)(?: cho tôi)?(?: biết)? thêm(?: (?:về (?:điều đó|nó)"
    r"|chi tiết))?|thêm nữa|còn gì nữa(?: không)?|tiếp tục"
    r"|(?:再|多)(?:告诉我|说|讲|告訴我|說|講)(?:一点|一些|点|些|一點)?(?:吧)?|(?:告诉我)?更多(?:信息|细节|内容)?"
    r"|还有(?:什么|别的)?(?:吗|呢)?|继续|详细(?:说说|一点|点)?"
    r")[\s,，]*(?:please|bitte|por favor|s['’]il (?:vous|te) plaît|đi|nhé|吧)?[\s?？!！.。…]*",
    re.IGNORECASE,
)


def polite_message(text: str, preferred: Collection[str] = ()) -> tuple[str, str] | None:
    """Return kind and language of a message that is thanks, a greeting or the like, and no more.

    A message that is polite in several languages is in the first one of ``preferred`` among
    them. None: the message says something else.
    """
    plain = " ".join(re.findall(r"[\w'’]+", text.casefold())).strip()
    if not plain:
        return None
    order = [*(code for code in preferred if code in _POLITE), *_POLITE]
    for code in dict.fromkeys(order):
        kind = _polite_kind(plain, code)
        if kind:
            return kind, code
    return None


def _polite_kind(plain: str, code: str) -> str:
    """Return the kind of a message of polite phrases alone; empty for any other message."""
    found = [kind for kind, pattern in _PATTERNS[code].items() if kind and pattern.search(plain)]
    if not found or not _is_of_phrases(plain, code):
        return ""
    return next(kind for kind in (THANKS, FAREWELL, GREETING, ASSENT) if kind in found)


def _phrases(phrases: str, code: str) -> str:
    # The longest phrase first: "thank you" must not leave "you".
    longest = (
        "|".join(sorted(phrases.split("|"), key=len, reverse=True)) if code == "zh" else phrases
    )
    return f"(?:{longest})" if code in _SPACELESS else rf"(?<![\w'’])(?:{longest})(?![\w'’])"


_PATTERNS = {
    code: {kind: re.compile(_phrases(phrases, code)) for kind, phrases in kinds.items()}
    for code, kinds in _POLITE.items()
}
_ANY_PHRASE = {
    code: re.compile("|".join(_phrases(each, code) for each in kinds.values()))
    for code, kinds in _POLITE.items()
}
_LONGEST_PHRASE = 6
"""Most words of a phrase; in a script without spaces, most characters."""


def _is_of_phrases(plain: str, code: str) -> bool:
    """Return True if a text can be cut into polite phrases, in time linear in its length."""
    is_spaced = code not in _SPACELESS
    words = plain.split() if is_spaced else re.findall(r"[a-z'’]+|[^\sa-z'’]", plain)
    joint = " " if is_spaced else ""
    ends, reached = {0}, 0
    for start in range(len(words)):
        if reached < start:
            return False
        for end in range(start + 1, min(start + _LONGEST_PHRASE, len(words)) + 1):
            if start in ends and _ANY_PHRASE[code].fullmatch(joint.join(words[start:end])):
                ends.add(end)
                reached = end if end > reached else reached
    return len(words) in ends


def asks_for_more(text: str) -> bool:
    """Return True if a message only asks for more about the subject of the conversation."""
    return bool(text.strip()) and _MORE.fullmatch(text) is not None


def follow_up_part(text: str) -> str | None:
    """Return what a follow-up question asks for, without "and what about"; None if it is none.

    A question is one if it begins with a conjunction, has a word that stands for something said
    before, is a phrase and no sentence, or is a question word alone.
    """
    own = _ENDING.sub("", text)
    ends_so = own != text
    begins_so = _BEGINNING.match(own)
    if begins_so and begins_so[0].strip():
        rest = own[begins_so.end() :].strip(_EDGES)
        return rest or None
    is_phrase = _FRAGMENT.match(text) is not None and interrogative(text) == ""
    asks_only = interrogative(text) != "" and _ONLY_INTERROGATIVE.match(text) is not None
    if ends_so or is_phrase or asks_only or refers_back(text):
        return own.strip(_EDGES) or None
    return None


def refers_back(text: str) -> bool:
    """Return True if a text has a word that stands for something said before, such as "it"."""
    own = "?".join(map(_without_inversion, text.split("?")))
    if _REFERENCE.search(own):
        return True
    asked = _GERMAN_QUESTION.search(own)
    return asked is not None and _GERMAN_REFERENCE.search(own, asked.end()) is not None


def _without_inversion(text: str) -> str:
    """Return a text without a French subject and the pronoun that repeats it, and what is between.

    The two are searched one after the other, in time linear in the length of the text.
    """
    kept, position = "", 0
    while subject := _FRENCH_SUBJECT.search(text, position):
        pronoun = _FRENCH_PRONOUN.search(text, subject.end())
        if pronoun is None:
            break
        kept += text[position : subject.start()]
        position = pronoun.end()
    return kept + text[position:]


def interrogative(text: str) -> str:
    """Return the first question word of a text, with what belongs to it; empty if it has none."""
    found = _INTERROGATIVE.search(text)
    return found[0] if found else ""


def without_interrogatives(text: str) -> str:
    """Return a text without its question words."""
    return _INTERROGATIVE.sub(" ", text)


SPACELESS_RUN = re.compile(f"[{CJK}]+")
"""A run of characters of a script without spaces."""
