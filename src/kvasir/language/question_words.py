"""Words with which questions ask: they say what kind of answer is wanted, not what it is about.

A question's search leaves them out. In texts they are rare, so that "Wann kommt der Umzug?" would
find a sentence with "wann" before one about the removal. Stop words of a language, such as
English "when", need not be listed.
"""

from __future__ import annotations

from collections.abc import Mapping

QUESTION_WORDS: Mapping[str, tuple[str, ...]] = {
    code: tuple(words.split())
    for code, words in {
        "en": "whose many much",
        "de": "wann wer wen wem wessen warum wieso weshalb wozu womit wodurch wofür woher wohin "
        "wieviel wieviele viele nenne nennen tun machen mache",
        "es": "cuáles cuánto cuánta cuántos cuántas enumera enumere dime hacer hago",
        "fr": "quand comment combien pourquoi quoi quel quelle quels quelles lequel laquelle "
        "lesquels lesquelles énumère énumérez "
        "faire fais",
        "vi": "ai gì nào bao nhiêu mấy đâu sao",
        "zh": "什么 什麼 谁 誰 怎么 怎样 怎麼 如何 多少 哪 哪些 哪个 哪里 哪儿 几 几个 何时 时候 "
        "为什么 为何 多久 多长 吗 呢 列出",
    }.items()
}
"""By ISO 639-1 code."""
