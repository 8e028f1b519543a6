"""Words with which questions ask: they say what kind of answer is wanted, not what it is about.

A question's search leaves them out. In texts they are rare, so that "Wann kommt der Umzug?" would
find a sentence with "wann" before one about the removal. Stop words of a language, such as
English "when", need not be listed. The same holds for verbs such as "could" and "können", and for
phrases whose noun is not what a question is about: "was ist der Reihe nach zu tun".
"""

from __future__ import annotations

import re
from collections.abc import Mapping

QUESTION_WORDS: Mapping[str, tuple[str, ...]] = {
    code: tuple(words.split())
    for code, words in {
        "en": "whose many much could shall",
        "de": "wann wer wen wem wessen warum wieso weshalb wozu womit wodurch wofür woher wohin "
        "wieviel wieviele viele nenne nennen tun machen mache "
        "können könnte müssen sollen sollte darf dürfen",
        "es": "cuáles cuánto cuánta cuántos cuántas enumera enumere dime hacer hago "
        "puede pueden puedo deben debo debemos",
        "fr": "quand comment combien pourquoi quoi quel quelle quels quelles lequel laquelle "
        "lesquels lesquelles énumère énumérez "
        "faire fais peut peuvent peux pouvons puis doit doivent dois devons faut",
        "vi": "ai gì nào bao nhiêu mấy đâu sao",
        "zh": "什么 什麼 谁 誰 怎么 怎样 怎麼 如何 多少 哪 哪些 哪个 哪里 哪儿 几 几个 何时 时候 "
        "为什么 为何 多久 多长 吗 呢 列出",
    }.items()
}
"""By ISO 639-1 code. None can be what a question is about, as "May", "must" and "poder" can."""

_PHRASES = {
    code: re.compile(words, re.IGNORECASE)
    for code, words in {
        "en": r"\b(?:at (?:the moment|present)|right now|in (?:what|which) (?:order|sequence))\b",
        "de": r"\b(?:im moment|zur zeit|der reihe nach|in welcher reihenfolge)\b",
        "es": r"\b(?:en este momento|en la actualidad|ahora mismo|en qué orden)\b",
        "fr": r"\b(?:en ce moment|à l['’]heure actuelle|dans quel ordre)\b",
        "vi": r"\b(?:hiện nay|hiện tại|theo thứ tự nào)\b",
        "zh": "目前|现在|按(?:照)?什么顺序",
    }.items()
}


def without_asking_phrases(question: str, language: str) -> str:
    """Return a question without phrases of order and time that say not what it is about.

    ``language`` is an ISO 639-1 code. A question of nothing else stays as it is.
    """
    phrases = _PHRASES.get(language)
    rest = phrases.sub(" ", question) if phrases else question
    return rest if any(map(str.isalnum, rest)) else question
