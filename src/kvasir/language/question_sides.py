"""What a question wants described, the sides of a difference, and how texts describe a thing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import takewhile

from kvasir.core.text import count_words
from kvasir.language.question_kinds import KINDS, QuestionKind, question_kind

_IS = {
    "en": r"(?:is|are|was|were|means?|refers? to|stands? for|denotes?|describes?|performs?)\b",
    "es": r"(?:es|son|significan?|consiste en|se refiere a|denomina)\b",
    "de": r"(?:ist|sind|bedeutet|bezeichnet|heißt|steht für|beschreibt)\b",
    "fr": r"(?:est|sont|signifie|désigne|correspond à)\b",
    "vi": r"(?:là|nghĩa là)\b",
    "zh": r"(?:是|指|即|表示|意思是)",
}
_MEANT = re.compile(r"what does (?:an? |the )?(?P<term>.+?) mean\b", re.IGNORECASE)
_ENTRY = re.compile(
    r"(?:[*+•-]\s+)?(?P<names>(?:[^:：()（）]|[(（][^()（）\n]{0,200}[)）]){1,60})[:：]\s*\S"
)
"""An entry in a list of options or terms, which are named before its colon.

What stands in brackets, such as a function's arguments, does not count for the length.
"""
_BULLET = re.compile(r"[*+•-]\s+(?=\w)")
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
_LONGEST_QUESTION = 1000
"""Characters of a question whose sides are looked for; a longer one is a text, such as a mail."""
_BOTH = re.compile(
    r",? (?:(?:(?:and|y|und|et) )?(?:when|cuándo|wann|quand)|"
    r"and|y(?! a\b| a-t-il\b)|e|und|et|và|vs\.?|versus|mit|"
    r"(?:compared? |instead |rather )(?:with|to|of|than)|en vez de|au lieu de|plutôt que) (?=\S)",
    re.IGNORECASE,
)
_EITHER = re.compile(r",? (?:or|o|u|oder|ou|hay) (?=\S)", re.IGNORECASE)
_APART = re.compile(
    r"(?:(?<=distinguishes )|(?<=unterscheidet )|(?<=unterscheiden )|(?<=diferencia )|"
    r"(?<=distingue ))(?:sich |a )?(?P<one>[^?]{1,80}?) (?:from|von|vom|de|del|du) "
    r"(?P<other>[^?]{1,80}?) *\?|"
    r"\b(?:do|does) (?P<first>[^?]{1,80}?) (?:differ from|compare (?:to|with)) "
    r"(?P<second>[^?]{1,80}?) *\?|"
    r"\b(?:is|are) (?P<this>[^?]{1,80}?) (?:different from|the same (?:thing )?as) "
    r"(?P<that>[^?]{1,80}?) *\?|"
    r"\btell (?P<these>[^?]{1,80}?) from (?P<those>[^?]{1,80}?) *\?|"
    r"\ben quoi (?P<ceci>[^?]{1,80}?)"
    r" (?:diffère|est|sont)(?:-(?:t-)?(?:ils?|elles?))?(?: différente?s?)?"
    r" (?:de la|de l['’]|du|des|de|d['’]) ?(?P<cela>[^?]{1,80}?) *\?|"
    r"(?P<un>[^?]{1,80}?) est(?:-(?:ils?|elles?|ce))? la même chose que (?P<autre>[^?]{1,80}?) *\?|"
    r"lo mismo (?P<esto>[^?]{1,80}?) que (?P<eso>[^?]{1,80}?) *\?|"
    r"\bist (?P<das>[^?]{1,80}?) (?:dasselbe|das ?gleiche) wie (?P<jenes>[^?]{1,80}?) *\?|"
    r"\bcompar(?:a|e|ez) (?P<lo>[^?.]{1,80}?) (?:con|avec|à|with|to) (?P<otro>[^?.]{1,80}?) *[?.]",
    re.IGNORECASE,
)
_SIDE = re.compile(r"-{0,2}[A-Za-zÀ-ỹ\d_.][\w.+#/-]*(?<![.])|[?,:;()]")
_WIDE_SIDES = re.compile(
    r"什么时候[用选]?([^，]+)，.*什么时候[用选]?([^？?]+)|"
    r"(?:比较|用|选择?|使用)?([^\s的，,？?。、]+?)\s*(?:和|与|跟|同|还是|或)\s*(?:用|选择?|使用)?"
    r"([\w.+#/-]+?)\s*(?=有|的|各|分别|之间|相比|哪|是|脚本|命令|一样|相同|不同|[？?，,。]|$)"
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
    vergleiche vergleichen man ich wir nimmt nehmen soll
    use utiliser prendre usa usar i you we should need
    y a là gì giữa khác nhau khác biệt so sánh thế nào
    du d dans avec pour par quelle quel quoi quand diffèrent distinguent différence différences est
    sont ? , : ; ( )
"""
_NO_SIDE = _ARTICLES | frozenset(_NOT_A_SIDE.split())
_QUOTES = "\"'“”‘’«»„ `"
_OPENING = (
    r"(?:[-*+•#>\s]*)(?:(?:the|an?|el|la|los|las|una?|der|die|das|eine?|le|les|une?)\s+|l['’])?"
)
_ASIDE = r"[\"'”’»`*_]*\s*(?:[(（][^)）]{0,120}[)）]\s*)?,?\s*"


def term_of(question: str) -> str:
    """Return what a definition is asked of, without articles and quotation marks."""
    if meant := _MEANT.search(question):
        return meant["term"].strip(_QUOTES)
    rest = KINDS[QuestionKind.DEFINITION].sub("", question, count=1)
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
    if len(question) > _LONGEST_QUESTION:
        return ()
    if wide := _WIDE_SIDES.search(question):
        return tuple(filter(None, wide.groups()))
    if apart := _APART.search(question):
        return tuple(map(_without_article, filter(None, apart.groups())))
    joined = _BOTH.search(question) or _EITHER.search(question)
    if joined is None:
        return ()
    before = _SIDE.findall(question[: joined.start()])[-_LONGEST_SIDE:]
    after = _SIDE.findall(question[joined.end() :])[:_LONGEST_SIDE]
    left = _until_function_word(reversed(before))[::-1]
    while after and after[0].casefold() in _ARTICLES:
        after.pop(0)
    sides = tuple(
        _without_article(" ".join(words)) for words in (left, _until_function_word(after))
    )
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


def own_names(sides: tuple[str, ...]) -> tuple[str, ...]:
    """Return two sides without a word for what both are: of "modes soft" and "mixed", "soft"."""
    one, other = (side.split() for side in distinct_parts(sides))
    is_named_twice = len(one) > len(other) == 1 and other[0] not in one
    if is_named_twice and not one[-1][0].isdigit():
        one = one[-1:]
    return " ".join(one), " ".join(other)


def _until_function_word(words: Iterable[str]) -> list[str]:
    def is_own(word: str) -> bool:
        # A capital alone is a name: "class A".
        is_name = len(word) == 1 and word.isupper()
        return is_name or word.casefold() not in _NO_SIDE

    return list(takewhile(is_own, words))


def _without_article(side: str) -> str:
    return re.sub(rf"^{_OPENING}", "", side, flags=re.IGNORECASE) if " " in side else side


def describes(text: str, name: str) -> bool:
    """Return True if a text begins with a name, in any of its forms, and goes on with another word.

    Of "phantom reads" it may begin with "phantom read:".
    """
    opening = (
        re.sub(rf"^{_OPENING}", "", text, flags=re.IGNORECASE).lstrip(_QUOTES + "*_").casefold()
    )
    stem = re.sub(r"(?<=\w{3})(?:es|en|s|n)$", "", name.casefold())
    rest = opening.removeprefix(stem)
    return (
        rest != opening and re.match(r"(?:es|en|s|n)?(?![\w-])|[\u3400-\u9fff]", rest) is not None
    )


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
    is_named = any(
        name in (word, word.lstrip("-"), word.rpartition(".")[2]) for word in words if word
    )
    return is_named or (not name.startswith("-") and describes(entry["names"], name))


def is_item_about(text: str, name: str) -> bool:
    """Return True if a text is an item of a list that begins with a name: "- NAT changes"."""
    bullet = _BULLET.match(text)
    return bullet is not None and describes(text[bullet.end() :], name)


def described_by(question: str) -> tuple[str, ...]:
    """Return the term of which a definition is asked, or both sides of a difference."""
    kind = question_kind(question)
    if kind is QuestionKind.DIFFERENCE:
        sides = sides_of(question)
        return tuple(dict.fromkeys((*sides, *distinct_parts(sides)))) if sides else ()
    term = term_of(question) if kind is QuestionKind.DEFINITION else ""
    return (term,) if term and count_words(term) <= _LONGEST_SIDE else ()
