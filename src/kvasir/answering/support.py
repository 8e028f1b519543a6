"""Check each sentence of a language model's answer against the passages that it cites.

Every number, date, identifier and name of a sentence must stand in a cited passage, or in the
question; enough of its other content words must, too. A sentence without a marker is held against
all passages that the model was given. What is not supported is marked in the text.

The rules compare words. They find a changed number or name, not every changed meaning; the error
rates are in docs/decisions/0055-checked-answers.md.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import takewhile

from kvasir.answering.spelled_numbers import values
from kvasir.core.markers import NUMBERS
from kvasir.core.protocols import TextAnalyzer
from kvasir.core.types import Hit
from kvasir.language.detect import detect
from kvasir.language.sentences import sentence_spans

NOT_FOUND = {
    "en": "[not found in the sources]",
    "de": "[nicht in den Quellen gefunden]",
    "es": "[no consta en las fuentes]",
    "fr": "[absent des sources]",
    "vi": "[không có trong nguồn]",
    "zh": "[来源中未找到]",
}
"""The mark behind an unsupported sentence, by the language of the question."""

_ANY_MARK = re.compile(" ?(?:" + "|".join(map(re.escape, NOT_FOUND.values())) + ")")

FEWEST_SHARED = 0.5
"""Smallest share of a sentence's content words that its passages and the question must hold."""
_FEWEST_WORDS = 3
"""Content words from which on the share says something."""
_SETTLED = 40
"""Characters after the end of a sentence from which on its end is known."""
_WINDOW = 1_000
"""Characters before and after a place in which the end of a sentence is looked for."""
_NEAR = 200
"""Characters at the edge of the window in which an end, with its markers, may not be known yet."""

_MARKER = re.compile(rf"(?<!\s)\s*\[{NUMBERS}\]")
_LINE_START = re.compile(r"(?m)^\s*(?:[-*•>#|]+|\(?\d{1,3}[.)])\s+")
"""What begins a list item, heading or table row."""
_IDENTIFIER = re.compile(
    r"https?://\S+|(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
    r"|(?<![\w-])--?[A-Za-z][\w-]*"
    r"|\b(?=[\w./:-]*[A-Za-z])(?=[\w./:-]*[\d_])[A-Za-z0-9_]+(?:[./:-][A-Za-z0-9_]+)*\b"
    r"|\b[a-z]+[A-Z]\w*\b"
)
"""Addresses, options, and words with digits, underscores or capitals inside."""
_NUMBER_WITH_WORD = re.compile(r"\d[\d.,]*-?[a-zµ]+$|[a-z]+-\d+s?$")
"""A number with its unit or ending, such as ``5th``, ``10km``, ``20-year`` or ``mid-1990s``."""
_NAME = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_WORD = re.compile(r"[^\W\d_]+")
_SHORTEST_STEM = 4
_STEM_SHARE = 0.7
"""Characters that two forms of a name share at least, and share of the longer one."""
_OPENING = '.:!?"“”„«»‘(¿¡|*#-–—•'
"""Characters after which a capital may only begin a sentence."""
_POSSIBLE_END = re.compile(rf"[.!?…。！？](?:[\"'”’»)\]]|\s*\[{NUMBERS}\])*|(?=\n)")
_FENCE = "```"
_NEGATIONS = {
    code: re.compile(words, re.IGNORECASE)
    for code, words in {
        "de": r"\b(?:nicht|kein\w*|nie|niemals|ohne|weder)\b",
        "en": r"\b(?:not|no|never|none|neither|nor|without|cannot)\b|n['’]t\b",
        "es": r"\b(?:no|nunca|jamás|ningun[oa]|ningún|sin|tampoco)\b",
        "fr": r"\b(?:ne|pas|jamais|aucune?|sans)\b|\bn['’]",
        "vi": r"\b(?:không|chưa|chẳng|đừng)\b",
        "zh": r"[不没沒未无無非]",
    }.items()
}
_ALIKE = 0.6
"""Share of the content words from which on two sentences say the same, or the opposite."""
_NO_NAMES = frozenset({"de", "ja", "ko", "th", "zh"})
"""Languages in which capitals do not tell names: every noun has one, or none."""
_TRANSCRIBED = re.compile(
    "[阿艾安奥巴贝本比波博伯布查茨达代戴丹德迪蒂丁杜多厄恩尔法范菲费芬弗福盖戈格葛古瓜哈海汉赫亨"
    "胡华霍基吉加贾杰金卡凯坎康考科克肯孔库夸昆拉莱兰朗劳勒雷里利莉林琳卢鲁伦罗洛马玛迈曼梅门蒙"
    "米密莫姆默穆纳娜奈南内尼宁纽努诺帕潘庞佩蓬皮珀普奇齐恰乔切琼荣茹瑞萨塞森沙莎舍圣施史斯丝苏"
    "索塔泰坦汤陶特滕提廷图托瓦维威韦温沃乌伍西希锡夏香肖谢辛休许雪逊雅亚扬耶叶伊因英尤于约赞泽扎詹珍朱]{3,}"
)
"""Signs with which Chinese writes the sounds of foreign names, three or more in a row."""


@dataclass
class SupportMarker:
    """Marks unsupported sentences of an answer while it streams.

    Attributes:
        question: Its numbers and names may be repeated in the answer.
        hits: Those of the prompt; ``[n]`` means ``hits[n - 1]``.
        checked: Number of sentences checked so far.
        unsupported: Number of those that were marked.
    """

    question: str
    hits: Sequence[Hit]
    analyzer: TextAnalyzer
    checked: int = field(default=0, init=False)
    unsupported: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        language = detect(self.question, list(NOT_FOUND))
        self._mark = NOT_FOUND.get(language, NOT_FOUND["en"])
        self._support = Support(self.question, self.hits, self.analyzer)
        self._returned: list[str] = []
        self._sentence: list[str] = []  # The current sentence as far as it was returned.
        self._before = ""  # The end of that.
        self._is_cut = False  # It is not the whole of that.
        self._pending = ""
        self._in_code = False

    @property
    def text(self) -> str:
        """What was returned so far."""
        return "".join(self._returned)

    def feed(self, piece: str) -> str:
        """Add a piece of checked text; return what no later piece can change, with marks."""
        self._pending += piece
        return self._return(last=False)

    def finish(self) -> str:
        """Return the rest of the text; call it once, after the last piece."""
        return self._return(last=True)

    def _return(self, *, last: bool) -> str:
        settled = "".join(self._settle(last=last))
        self._returned.append(settled)
        return settled

    def _settle(self, *, last: bool) -> Iterator[str]:
        """Yield finished sentences with their marks, and of the current one what is safe.

        Only a window is looked at, so that the time for a sentence without an end grows with its
        length, and not with its square.
        """
        while True:
            ahead = self._pending[:_WINDOW]
            is_rest = len(self._pending) <= _WINDOW
            before = len(self._before)
            after = before - _NEAR if self._is_cut else 0
            end = _sentence_end(self._before + ahead, after=after, last=last and is_rest)
            if end is not None:
                yield self._take(max(end - before, 0))
                yield self._end_sentence()
            elif is_rest:
                break
            else:
                yield self._take(_WINDOW - _NEAR)
        if last:
            yield self._take(len(self._pending.rstrip()))
            # The mark stands behind the sentence, before a last line end.
            yield self._end_sentence()
            yield self._pending
            self._pending = ""
            return
        yield self._take(max(_known_length(self._before + self._pending) - before, 0))

    def _take(self, length: int) -> str:
        """Add the next characters to the current sentence, and return them."""
        taken, self._pending = self._pending[:length], self._pending[length:]
        self._sentence.append(taken)
        near = self._before + taken
        self._is_cut = self._is_cut or len(near) > _WINDOW
        self._before = near[-_WINDOW:]
        return taken

    def _end_sentence(self) -> str:
        """Begin another sentence; return the mark for the one before."""
        sentence = "".join(self._sentence)
        self._sentence, self._before, self._is_cut = [], "", False
        return self._judge(sentence)

    def _judge(self, sentence: str) -> str:
        """Return the mark for a whole sentence, or an empty text."""
        fences = sentence.count(_FENCE)
        is_code = self._in_code or bool(fences)
        self._in_code ^= bool(fences % 2)
        statement = _MARKER.sub("", sentence)
        if is_code or not any(map(str.isalnum, statement)) or statement.rstrip().endswith("?"):
            return ""
        markers = [
            int(number)
            for match in _MARKER.finditer(sentence)
            for number in re.findall(r"\d+", match["numbers"])
        ]
        self.checked += 1
        if not self._support.missing(statement, markers):
            return ""
        self.unsupported += 1
        return f" {self._mark}"


FindTerms = Callable[[str, str], frozenset[int]]
"""Returns the terms of a text in a language."""


class Support:
    """What the passages of a prompt, and its question, hold."""

    def __init__(self, question: str, hits: Sequence[Hit], analyzer: TextAnalyzer) -> None:
        self._analyzer = analyzer
        self._question = question
        self._texts = [
            "\n".join((str(hit.chunk.metadata.get("title", "")), hit.chunk.passage)) for hit in hits
        ]
        self._languages = [str(hit.chunk.metadata.get("language", "")) for hit in hits]
        self._held: dict[int, _Held] = {}

    def missing(self, statement: str, markers: Iterable[int]) -> tuple[str, ...]:
        """Return what of a statement its sources lack: numbers, names, words; empty if nothing.

        Args:
            statement: One sentence, without markers.
            markers: Numbers of the passages that it cites, from 1; none: all passages.
        """
        cited = sorted({number - 1 for number in markers if 1 <= number <= len(self._texts)})
        held = [self._of(number) for number in cited or range(len(self._texts))]
        sources = [*held, self._asked]
        written = next((source.language for source in held if source.language), "")
        language = detect(
            statement, [code for code in dict.fromkeys((written, *NOT_FOUND)) if code]
        )
        body = _LINE_START.sub("", statement)
        found = [word for word in _identifiers(body) if not any(word in s.folded for s in sources)]
        plain = _IDENTIFIER.sub(_number_of, body)
        found += [
            number
            for number, forms in values(plain, language)
            if not any(forms & s.numbers or number.casefold() in s.words for s in sources)
        ]
        if language not in _NO_NAMES:
            found += [name for name in _names(plain) if not any(s.has_name(name) for s in sources)]
        if language != written:
            return tuple(found)
        if language == "zh":
            found += _foreign_names(plain, "\n".join(source.folded for source in sources))
        if found:
            return tuple(found)
        terms = self._terms(plain, language)
        if len(terms) < _FEWEST_WORDS:
            return ()
        known = frozenset[int]().union(*(source.terms for source in sources))
        if len(terms & known) < FEWEST_SHARED * len(terms):
            return ("words",)
        return ("negation",) if self._is_opposite(statement, terms, held, language) else ()

    def _is_opposite(
        self, statement: str, terms: frozenset[int], held: Sequence[_Held], language: str
    ) -> bool:
        """Return True if all like sentences of the passages differ by a negation."""
        negation = _NEGATIONS.get(language)
        if negation is None or negation.search(self._question):
            return False
        is_negated = bool(negation.search(statement))
        alike = [
            bool(negation.search(sentence))
            for source in held
            for sentence, own in source.sentences
            # A "not" may stand in a part of the passage's sentence that the statement leaves out.
            if len(terms & own) >= _ALIKE * len(terms if is_negated else terms | own)
        ]
        return bool(alike) and is_negated not in alike

    @cached_property
    def _asked(self) -> _Held:
        return _Held(self._question, detect(self._question, list(NOT_FOUND)), self._terms)

    def _of(self, number: int) -> _Held:
        if number not in self._held:
            text, language = self._texts[number], self._languages[number]
            self._held[number] = _Held(text, language, self._terms)
        return self._held[number]

    def _terms(self, text: str, language: str) -> frozenset[int]:
        return frozenset(self._analyzer.query_terms([text], [language])[0].indices.tolist())


class _Held:
    """The words, numbers and terms of one text."""

    def __init__(self, text: str, language: str, find_terms: FindTerms) -> None:
        self.language = language
        self.folded = _folded(text)
        self.words = frozenset(_WORD.findall(self.folded))
        self.numbers = frozenset(form for _, forms in values(text, language) for form in forms)
        self.terms = find_terms(text, language)
        self._text = text
        self._find_terms = find_terms

    @cached_property
    def sentences(self) -> list[tuple[str, frozenset[int]]]:
        """Each sentence, with its terms."""
        spans = sentence_spans(self._text, self.language or None)
        texts = [self._text[start:end] for start, end in spans]
        return [(text, self._find_terms(text, self.language)) for text in texts]

    def has_name(self, name: str) -> bool:
        """Return True if each part of a name stands in the text, as it is or with an ending."""
        parts = [part for part in _WORD.findall(_folded(name)) if len(part) > 1]
        return all(
            part in self.words or any(_is_same_name(part, held) for held in self.words)
            for part in parts
        )


def without_marks(text: str) -> str:
    """Return an answer as the model wrote it, without the marks of unsupported sentences."""
    return _ANY_MARK.sub("", text)


def _is_same_name(word: str, held: str) -> bool:
    """Return True for a name and its adjective or genitive, such as Germany and German's."""
    common = sum(
        1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(word, held, strict=False))
    )
    return common >= max(_SHORTEST_STEM, _STEM_SHARE * max(len(word), len(held)))


def _folded(text: str) -> str:
    """Return a text without case and accents."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in decomposed if not unicodedata.combining(c))


def _identifiers(text: str) -> list[str]:
    """Return the identifiers of a text, folded; a number with its unit is none."""
    found = (match[0].rstrip(".,;:!?") for match in _IDENTIFIER.finditer(text))
    return [_folded(word) for word in found if not _NUMBER_WITH_WORD.match(word)]


def _number_of(identifier: re.Match[str]) -> str:
    """Return a number with its unit as it is; an identifier counts as no number or name."""
    return identifier[0] if _NUMBER_WITH_WORD.match(identifier[0]) else " "


def _names(text: str) -> list[str]:
    """Return the capitalized words of a sentence, but for one that only begins it."""
    words = list(_NAME.finditer(text))
    names: list[str] = []
    for number, word in enumerate(words):
        if not word[0][0].isupper() or len(word[0]) == 1:
            continue
        before = text[: word.start()].rstrip()
        following = words[number + 1] if number + 1 < len(words) else None
        begins = not before or before[-1] in _OPENING
        is_double = (
            following is not None
            and following[0][0].isupper()
            and text[word.end() : following.start()] == " "
        )
        if not begins or is_double or word[0].isupper():
            names.append(word[0])
    return names


def _foreign_names(text: str, known: str) -> list[str]:
    """Return the unknown foreign names of a Chinese text: signs that only write sounds."""
    return [name for name in _TRANSCRIBED.findall(text) if name not in known]


def _sentence_end(text: str, *, after: int, last: bool) -> int | None:
    """Return the offset after a sentence and its markers; None until it is known.

    It is the first sentence that ends behind the offset ``after``.
    """
    spans = sentence_spans(text)
    end = next((end for _, end in spans[:-1] if end > after), None)
    if end is None:
        return None
    while (marker := _MARKER.match(text, end)) is not None:
        end = marker.end()
    following = text[end:]
    if not following.strip():
        return None
    is_known = last or len(following) >= _SETTLED or following.lstrip(" \t").startswith("\n")
    return end if is_known else None


def _known_length(text: str) -> int:
    """Return how many characters of an unfinished sentence stand before the place of any mark.

    What follows a possible end waits until enough text shows that it is none.
    """
    for end in _POSSIBLE_END.finditer(text):
        if len(text) - end.end() < _SETTLED:
            return end.end()
    return len(text)
