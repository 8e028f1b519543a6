"""How a text says that the documents hold no answer, in six languages.

Only a speaker who does not know, or sources that do not say something, make a refusal. "The ticket
price does not include breakfast" is an answer: its subject is neither. "Documents without a date
have no legal force" is one as well: it speaks of any documents, and what they have is no statement.
"""

from __future__ import annotations

import re

_REST = r"[^.?!。！？\n]{0,80}?"
"""The words between two others in one sentence."""

_SOURCES = (
    r"\b(?:sources?|documents?|context|passages?|excerpts?|provided (?:text|information)s?)\b"
)
_GIVEN = (
    r"(?:\b(?:the|these|those|this|my|your|our|any|no|provided|given|retrieved|available)"
    rf" (?:\w+ ){{0,2}}?{_SOURCES}|\b(?:source|document|passage|excerpt)s? ?\[?\d)"
)
"""The sources of the answer, not documents in general."""
_TELLING = (
    r"(?:(?:any|an|the|enough|sufficient|specific|relevant|further|such) )*"
    r"(?:informations?|answers?|mentions?|details?|data|references?|indications?|statements?)"
)
_FOUND = r"(?:found|answered|determined|located)"
_LACKS = (
    r"(?<!that )(?<!which )"
    r"(?:(?:do|does|did)(?: not|n['’]t)(?: \w+)? (?:(?:contain|mention|provide|include|say|specify"
    rf"|state|answer|tell)|(?:hold|give|have) {_TELLING})|(?:is|are) silent|says? nothing"
    rf"|contains? no|mentions? no|provides? no|(?:gives?|has|have|holds?) no {_TELLING})\b"
)
_CANNOT = r"(?:can ?not|can['’]t|could not|couldn['’]t|unable to|not able to)"
_SORRY = r"^(?:(?:i['’]?m |i am )?(?:very )?sorry\W+|unfortunately\W+)?(?:but )?"
_ENGLISH = (
    rf"\b(?:i|we)\b(?: \w+|['’]\w+){{0,3}}? {_CANNOT}(?: \w+)?"
    r" (?:find|answer|determine|locate|tell|say)\b",
    r"\b(?:i|we)(?: \w+)? (?:do not|don['’]t) (?:know|have (?:any |enough |the |that )?"
    r"(?:information|details?|answers?))\b",
    rf"{_SORRY}{_CANNOT} (?:find|answer|determine|locate)\b",
    rf"\b(?:answer|question|information)s?\b{_REST}\b(?:can ?not|could not|can['’]t) be {_FOUND}\b",
    rf"\b(?:can ?not|could not|can['’]t) be {_FOUND}\b{_REST}{_SOURCES}",
)
_NO_ANSWER = r"\bno (?:information|mention|answer|details?)\b"
_ENGLISH_SOURCES = (
    rf"{_GIVEN}{_REST}\b{_LACKS}",
    rf"{_NO_ANSWER}{_REST}{_SOURCES}",
    rf"{_SOURCES}{_REST}{_NO_ANSWER}",
    rf"{_SORRY}(?:there (?:is|was)|there['’]s|i (?:have|found|find|see)) {_NO_ANSWER}",
    rf"\bno (?:information|answer|details?)\b{_REST}\b(?:available|provided|given|found)\b",
    r"\bnot (?:\w+ )?(?:mentioned|provided|specified|stated|found|given|contained|included"
    rf"|answered)\b{_REST}{_SOURCES}",
)

_SOURCES_SPANISH = r"\b(?:fuentes?|documentos?|contexto|pasajes?|fragmentos?|textos?)\b"
_GIVEN_SPANISH = (
    r"\b(?:el|la|los|las|del|al|este|esta|estos|estas|mis?|sus?|ning[uú]n\w*) (?:\w+ ){0,2}?"
    rf"{_SOURCES_SPANISH}"
)
_SPANISH = (
    r"\bno (?:puedo|pude|podemos|he podido)(?: \w+)? (?:encontrar|responder|determinar|contestar"
    r"|decir)\b",
    r"\bno (?:encuentro|encontré|lo sé|sé|dispongo de|tengo (?:la |suficiente )?(?:información"
    r"|respuesta))\b",
    r"^(?:lo siento\W+)?(?:pero )?no (?:es posible|se puede) (?:encontrar|responder|determinar"
    r"|contestar)\b",
    rf"\bno (?:es posible|se puede) (?:encontrar|responder|determinar|contestar)\b{_REST}"
    rf"(?:{_SOURCES_SPANISH}|\bpregunta\b)",
)
_SPANISH_SOURCES = (
    rf"{_GIVEN_SPANISH}{_REST}(?<!que )\bno (?:(?:contienen?|mencionan?|incluyen?|indican?"
    r"|especifican?|dicen?|hablan?|responden?)|(?:proporcionan?|ofrecen?|dan?|tienen?) "
    r"(?:(?:una|la|ninguna|suficiente) )?(?:información|respuesta|datos|detalles))\b",
    r"\bno (?:hay|se encuentra|existe|tengo) (?:ninguna )?información\b",
    rf"\bno (?:se )?(?:menciona|indica|especifica|encuentra|aparece|figura|dice)\w*\b{_REST}"
    rf"{_SOURCES_SPANISH}",
)

_TOLD_GERMAN = r"(?:\w+ )?(?:informationen?|angaben?|hinweise?|antwort|auskunft|aufschluss)"
_SOURCES_GERMAN = (
    r"\b(?:quellen?|dokumente?n?|kontext|unterlagen|text(?:en?|stellen?)?|passagen?|auszügen?"
    r"|abschnitte?n?)\b"
)
_NONE = r"(?:nicht|nichts|kein\w*)"
_TOLD = (
    r"(?:enthalten|enthält|erwähn\w+|genannt|nenn\w+|angegeben|gefunden|finde\w*|steh\w+"
    r"|sag\w+|liefer\w+|beantwort\w+|hervor\w*|beschrieben)"
)
_MAIN = r"(?:(?!, (?:dass|weil|ob|die|das|der)\b)[^.?!;\n]){0,80}?"
"""The words between two others in one main clause."""
_ANSWERS = (
    r"(?:finden|beantworten|antworten|sagen|ermitteln|bestimmen|feststellen|entnehmen|erkennen"
    r"|ableiten|wissen|nennen|herausfinden|weiterhelfen|helfen|machen|geben|bestätigen)"
)
_GIVEN_GERMAN = (
    r"\b(?:die|den|der|dem|das|im|diese[nmrs]?|meine[nmr]?|ihre[nmr]?|keine[nmrs]?|bereitgestellte[nr]?"
    rf"|vorliegende[nr]?) (?:\w+ ){{0,2}}?{_SOURCES_GERMAN}"
    r"(?! (?:müssen|muss|dürfen|darf|sollen|soll|brauchen|braucht)\b)"
)
_GERMAN = (
    rf"\bich (?:\w+ )?(?:weiß|finde|fand)\b{_MAIN}\b{_NONE}\b",
    rf"\b(?:weiß|finde|fand) ich\b{_MAIN}\b{_NONE}\b",
    rf"\b(?:ich (?:\w+ )?(?:kann|konnte)|(?:kann|konnte) ich)\b{_MAIN}\b{_NONE}\b"
    rf"{_MAIN}\b{_ANSWERS}\b",
    rf"\bich (?:\w+ )?habe\b{_REST}\b(?:keine? (?:\w+ )?(?:informationen?|angaben?|antwort)"
    r"|nicht(?:s)? (?:\w+ )?gefunden)\b",
)
_GERMAN_SOURCES = (
    rf"{_GIVEN_GERMAN}{_MAIN}\b{_TOLD}\b{_MAIN}\b{_NONE}\b",
    rf"{_GIVEN_GERMAN}{_MAIN}\b{_NONE}\b[^.?!,;\n]{{0,80}}?\b{_TOLD}\b",
    rf"\b{_NONE} {_TOLD_GERMAN}\b{_REST}{_SOURCES_GERMAN}",
    rf"{_SOURCES_GERMAN}{_REST}\b{_NONE} {_TOLD_GERMAN}\b",
)

_SOURCES_FRENCH = r"\b(?:sources?|documents?|contexte|passages?|extraits?|textes?)\b"
_NOTHING = r"(?:pas|aucune?|rien)"
_GIVEN_FRENCH = (
    r"\b(?:(?:les?|la|ces?|cet|aux?|des|du|vos|mes|aucune?) (?:\w+ ){0,2}?)"
    rf"{_SOURCES_FRENCH}"
)
_TELLING_FRENCH = (
    r"(?:d['’]|de |la |cette |une? )?(?:informations?|réponses?|détails?|précisions?|indications?)"
)
_ANSWERING_FRENCH = r"(?:trouver|répondre|déterminer|dire|savoir|indiquer|préciser|confirmer)"
_FRENCH = (
    rf"\bje (?:ne |n['’])(?:trouve|sais|dispose|connais)\b{_REST}\b{_NOTHING}\b",
    rf"\bje (?:ne |n['’])(?:peux|puis|pouvais|parviens|suis)\b{_REST}\b{_ANSWERING_FRENCH}\b",
    r"\bje n['’]ai (?:pas (?:pu )?(?:trouv\w+|d['’]information|la réponse)|rien trouvé"
    r"|(?:trouvé )?aucune)",
)
_FRENCH_SOURCES = (
    rf"{_GIVEN_FRENCH}{_REST}(?<!qui )\bn(?:e |['’])(?:l['’])?(?:contien\w+|mentionn\w+"
    rf"|indiqu\w+|précis\w+|parl\w+|évoqu\w+|inclu\w+|di[ts]\w*|répond\w*){_REST}"
    rf"\b{_NOTHING}\b",
    rf"{_GIVEN_FRENCH}{_REST}(?<!qui )\bne (?:fourni\w+|donn\w+) {_NOTHING} {_TELLING_FRENCH}\b",
    rf"{_GIVEN_FRENCH}{_REST}\bne permet\w* pas (?:de |d['’]){_ANSWERING_FRENCH}\b",
    rf"\b(?:n['’]est|n['’]apparaît|ne figure|ne se trouve)\w* pas\b{_REST}{_SOURCES_FRENCH}",
    rf"(?:\baucune|\bpas d['’]) ?information\w*\b{_REST}{_SOURCES_FRENCH}",
    rf"{_SOURCES_FRENCH}{_REST}(?:\baucune|\bpas d['’]) ?information",
)

_SOURCES_VIETNAMESE = r"(?:nguồn|tài liệu|ngữ cảnh|văn bản|đoạn (?:văn|trích))"
_VIETNAMESE = (
    rf"\b(?:tôi|chúng tôi)\b{_REST}không (?:tìm thấy|thể tìm|thể trả lời|biết)",
    r"^(?:xin lỗi\W+|rất tiếc\W+)?(?:nhưng )?không (?:tìm thấy|thể tìm|thể trả lời|biết)",
    rf"không (?:tìm thấy|thể tìm|thể trả lời){_REST}{_SOURCES_VIETNAMESE}",
    rf"{_SOURCES_VIETNAMESE}{_REST}không (?:tìm thấy|thể tìm|thể trả lời)",
)
_VIETNAMESE_SOURCES = (
    rf"{_SOURCES_VIETNAMESE}{_REST}không (?:có thông tin|đề cập|được đề cập|nói|cung cấp|chứa)",
    rf"không (?:có thông tin|đề cập|được đề cập){_REST}{_SOURCES_VIETNAMESE}",
    r"^(?:xin lỗi\W+|rất tiếc\W+)?(?:nhưng )?không có (?:thông tin|câu trả lời)",
)

_SOURCES_CHINESE = (
    "(?:文档|文件|资料|来源|上下文|段落|文本|原文|文中|提供的(?:内容|信息)|資料|來源|文檔)"
)
_CANNOT_CHINESE = (
    "(?:无法|無法)(?=[^。！？，,]{0,12}"
    "(?:回答|答复|找|确定|確定|得知|判断|提供|查|给出|知道|说明|告))"
)
_CHINESE = (
    f"(?:我|我们)[^。！？，,]{{0,20}}(?:找不到|没有找到|没找到|未找到|{_CANNOT_CHINESE}|不知道|不清楚)",
    f"^(?:很)?(?:抱歉|对不起|遗憾)?[，,]?(?:找不到|没有找到|未找到|{_CANNOT_CHINESE}|不知道)",
    f"{_SOURCES_CHINESE}[^。！？]{{0,40}}(?:找不到|没有找到|未找到|{_CANNOT_CHINESE})",
    f"(?:找不到|没有找到|未找到|{_CANNOT_CHINESE})[^。！？]{{0,40}}(?:{_SOURCES_CHINESE}|问题|問題|答案)",
)
_CHINESE_SOURCES = (
    f"{_SOURCES_CHINESE}[^。！？]{{0,40}}(?:没有(?:提到|提及|提供|相关|说明|包含|给出)|未提及|未提到|未说明)",
    "^(?:很)?(?:抱歉|对不起|遗憾)?[，,]?没有(?:提到|提及|找到|相关)",
    "没有(?:相关|有关|任何)[^。！？]{0,20}(?:信息|内容|答案)",
)


def _any(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


DOES_NOT_KNOW = _any(*_ENGLISH, *_SPANISH, *_GERMAN, *_FRENCH, *_VIETNAMESE, *_CHINESE)
"""The speaker cannot answer."""
NOT_IN_SOURCES = _any(
    *(*_ENGLISH_SOURCES, *_SPANISH_SOURCES, *_GERMAN_SOURCES),
    *(*_FRENCH_SOURCES, *_VIETNAMESE_SOURCES, *_CHINESE_SOURCES),
)
"""The sources do not say it."""
SPEAKS_OF_ITSELF = _any(
    r"i\b|sorry|unfortunately|the (?:\w+ )?(?:sources?|documents?|context)",
    "lo siento|no ",
    r"ich\b|leider|(?:es )?tut mir leid|entschuldigung"
    r"|(?:(?:in|aus) )?(?:die|den|der|dem|im) (?:\w+ )?(?:quellen|dokumente?n?|unterlagen|kontext)",
    r"je\b|j['’]|désolée?|malheureusement|(?:dans )?(?:les|le|aucune?) (?:sources|documents"
    r"|extraits|contexte|information)",
    "tôi|xin lỗi|rất tiếc|抱歉|很抱歉|对不起|我",
)
"""The beginning of a text that may say that it does not know."""
OPENINGS = (
    *("i ", "sorry", "unfortunately", "the ", "lo siento", "tôi", "xin lỗi", "rất tiếc"),
    *("ich ", "leider", "tut mir leid", "es tut mir", "entschuldigung", "die ", "der ", "in den "),
    *("aus den ", "im ", "je ", "désolé", "malheureusement", "les ", "le ", "dans le", "aucun"),
)
"""The same as texts, for a beginning that is still being written."""
