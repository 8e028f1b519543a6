"""Language codes, and language detection that is offline and fast enough for every chunk.

The script alone determines most languages (Chinese, Japanese, Korean, Thai, Greek, ...). For
languages that share a script, py3langid's model decides. It is loaded on first use (about half
a second), and not at all with a single candidate. Measured on XQuAD: docs/languages.md.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Collection
from typing import TYPE_CHECKING

from kvasir.core.leases import Lazy
from kvasir.core.types import BlockKind, Document

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

_LISTED = """
    aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de
    dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia
    id ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo
    lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl
    ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti tk
    tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu
"""
CODES = frozenset(_LISTED.split())
"""The two-letter codes of ISO 639-1."""
UNKNOWN = "und"
"""The code of ISO 639 for an undetermined language."""
_SAMPLE = 1000
"""Characters that are examined; more do not change the result."""
_PLACES = 4
"""Places of a document at which its sample is taken."""
_FEWEST_LETTERS = 40
"""Letters of prose that tell a document's language."""
_CERTAIN = 0.2
"""Without candidates, a lower probability gives ``und``."""

_RANGES = (
    (0x0041, 0x024F, "latin"), (0x0370, 0x03FF, "el"), (0x0400, 0x052F, "cyrillic"),
    (0x0530, 0x058F, "hy"), (0x0590, 0x05FF, "he"), (0x0600, 0x06FF, "arabic"),
    (0x0750, 0x077F, "arabic"), (0x0900, 0x097F, "devanagari"), (0x0980, 0x09FF, "bn"),
    (0x0A00, 0x0A7F, "pa"), (0x0A80, 0x0AFF, "gu"), (0x0B00, 0x0B7F, "or"), (0x0B80, 0x0BFF, "ta"),
    (0x0C00, 0x0C7F, "te"), (0x0C80, 0x0CFF, "kn"), (0x0D00, 0x0D7F, "ml"), (0x0D80, 0x0DFF, "si"),
    (0x0E00, 0x0E7F, "th"), (0x0E80, 0x0EFF, "lo"), (0x1000, 0x109F, "my"), (0x10A0, 0x10FF, "ka"),
    (0x1100, 0x11FF, "ko"), (0x1200, 0x139F, "am"), (0x1780, 0x17FF, "km"),
    (0x1E00, 0x1EFF, "latin"), (0x1F00, 0x1FFF, "el"), (0x3040, 0x30FF, "ja"),
    (0x3130, 0x318F, "ko"), (0x3400, 0x4DBF, "zh"), (0x4E00, 0x9FFF, "zh"), (0xAC00, 0xD7AF, "ko"),
    (0xF900, 0xFAFF, "zh"), (0xFF66, 0xFF9D, "ja"), (0x20000, 0x3134F, "zh"),
)  # fmt: skip
"""First and last code point of a script, and its language, or its name if it has several."""
_STARTS = [first for first, _, _ in _RANGES]
_LANGUAGES = {
    "latin": "af az ca cs cy da de en es et eu fi fr ga hr hu id is it lt lv ms mt nl no pl pt ro "
    "sk sl sq sv sw tl tr uz vi",
    "cyrillic": "be bg kk ky mk mn ru sr tg tt uk",
    "arabic": "ar fa ps ug ur",
    "devanagari": "hi mr ne sa",
}
"""Languages of a script, if the caller names none. Close relatives with few texts (Galician,
Aragonese, Latin, ...) are left out: short questions would be taken for them."""
_SCRIPTS = {name: name for _, _, name in _RANGES if name not in _LANGUAGES}
_SCRIPTS |= {code: script for script, codes in _LANGUAGES.items() for code in codes.split()}
_DENSE = {"zh": 3, "ja": 3, "ko": 2}
"""Weight of a character in Latin letters: it holds a syllable or a word."""
_VARIANTS = {
    "ary": "ar", "arz": "ar", "nb": "no", "nn": "no", "pcm": "en", "wuu": "zh", "yue": "zh",
}  # fmt: skip
"""Codes of the model that are not those used here."""


def detect(text: str, candidates: Collection[str] | None = None) -> str:
    """Return the language of a text's first thousand characters: an ISO 639-1 code, or ``und``.

    ``candidates`` are the languages to choose from, such as those of a collection, the likeliest
    first; they make short questions reliable. A text in a script of none of them is still
    detected: a Chinese question to an English collection is Chinese.
    """
    known = [code for code in candidates or () if code != UNKNOWN]
    script = _script(text[:_SAMPLE])
    if script not in _LANGUAGES:
        return script or (known[0] if known else UNKNOWN)
    possible = [code for code in known if _SCRIPTS.get(code) == script]
    if len(possible) == 1:
        return possible[0]
    return _ask_model(text[:_SAMPLE], possible, script)


def detect_document(document: Document) -> str:
    """Return the language of most of a document, as ``detect``.

    It is told by text from four places: the first thousand characters may be menus or a notice.
    Furniture, code and tables count only if there is nothing else.
    """
    parts = [
        document.text[block.start : block.end]
        for block in document.blocks
        if block.kind not in (BlockKind.FURNITURE, BlockKind.CODE, BlockKind.TABLE)
    ]
    text = "\n".join(parts)
    if sum(map(str.isalpha, text[:_SAMPLE])) < _FEWEST_LETTERS:
        text = document.text
    if len(text) <= _SAMPLE:
        return detect(text)
    length = _SAMPLE // _PLACES
    last = len(text) - length
    starts = (last * place // (_PLACES - 1) for place in range(_PLACES))
    return detect("\n".join(text[start : start + length] for start in starts))


def _script(text: str) -> str | None:
    """Return the language or script of most of the text."""
    if text.isascii():
        return "latin" if any(map(str.isalpha, text)) else None
    counts: Counter[str] = Counter()
    for character in text:
        if character.isalpha():
            point = ord(character)
            position = bisect_right(_STARTS, point) - 1
            if position >= 0 and point <= _RANGES[position][1]:
                name = _RANGES[position][2]
                counts[name] += _DENSE.get(name, 1)
    if not counts:
        return None
    if counts["ja"] * 10 > counts["zh"]:
        counts["ja"] += counts.pop("zh", 0)
    return counts.most_common(1)[0][0]


def _ask_model(text: str, possible: list[str], script: str) -> str:
    """Return the likeliest of the possible languages, or of the script's languages."""
    allowed = possible or _LANGUAGES[script].split()
    scores: dict[str, float] = {}
    for label, probability in _MODEL.get().rank(text):
        code = _VARIANTS.get(label, label)
        if code in allowed:
            scores[code] = scores.get(code, 0.0) + probability
    if not scores:
        return possible[0] if possible else UNKNOWN
    best = max(scores, key=lambda code: scores[code])
    if possible:
        # Of equally likely languages take the caller's first: a name alone has no language.
        return possible[0] if scores.get(possible[0], 0.0) == scores[best] else best
    return best if scores[best] >= _CERTAIN * sum(scores.values()) else UNKNOWN


def _load_model() -> LanguageIdentifier:
    # Many processes never need these 40 MB and half a second.
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # noqa: PLC0415

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)


_MODEL = Lazy(_load_model)
