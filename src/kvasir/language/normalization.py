"""One spelling of text for comparing words: Unicode forms, digits, marks and invisible characters.

Only what is compared is normalized. Documents, quotations and offsets keep the original text.

Source: Unicode Standard Annex 15 (normalization forms); Unicode 17, chapters 9 and 23.
"""

from __future__ import annotations

import re
import unicodedata

from kvasir.core.text import SOUTHEAST_ASIAN

_ZEROS = (
    "\u0660\u06f0\u07c0\u0966\u09e6\u0a66\u0ae6\u0b66\u0be6\u0c66\u0ce6\u0d66\u0de6\u0e50\u0ed0"
    "\u0f20\u1040\u1090\u17e0\u1810\u1946\u19d0\u1a80\u1a90\u1b50\u1bb0\u1c40\u1c50\ua620\ua8d0"
    "\ua900\ua9d0\ua9f0\uaa50\uabf0"
)
"""The digit zero of each script; its nine other digits follow it."""
_DIGITS = {chr(ord(zero) + value): str(value) for zero in _ZEROS for value in range(10)}
_REPLACEMENTS = _DIGITS | {
    # Arabic script: Persian and Urdu letters as Arabic keyboards type them.
    "\u06a9": "\u0643", "\u06aa": "\u0643", "\u06cc": "\u064a", "\u06c1": "\u0647",
    "\u06c0": "\u0647", "\u06c2": "\u0647", "\u066b": ".", "\u066c": ",",
    "\u0451": "\u0435", "\u0401": "\u0415",  # Cyrillic yo
}  # fmt: skip
_REPLACED = re.compile(f"[{''.join(_REPLACEMENTS)}]")
_IGNORED = (
    "\u034f\u061c\u180b-\u180d\u200d-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe00-\ufe0f"
    "\ufeff"
)
"""Joiners, directions and variation selectors."""
_MARKS = (
    "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"  # Hebrew points and accents
    "\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed"
)
"""Marks of vowels and of recitation, and the Arabic tatweel: most texts are written without."""
_COMPATIBLE = (
    "\u00b5\u017f\u0132\u0133\u01c4-\u01cc\u01f1-\u01f3\u2080-\u209c\u2100-\u2115\u2117-\u211f"
    "\u2121\u2123-\u214f\u2160-\u217f\u3300-\u33ff\ufb00-\ufb06\ufb13-\ufb17\ufb1d-\ufb4f"
    "\ufb50-\ufdcf\ufdf0-\ufdff\ufe70-\ufefc\uff03\uff0b\uff0d-\uff19\uff20-\uff3a\uff3f"
    "\uff41-\uff5a\uff65-\uffdc\U0001d400-\U0001d7ff"
)
"""Ligatures, letters of other widths and fonts, subscripts, Roman numerals, units.

Not among them: full stops and commas of Chinese text, by which tokenizers cut it; the Thai and Lao
vowel am, which dictionaries have whole; and signs that follow a word, such as the trade mark.
"""
_APART = "\u00bc-\u00be\u2150-\u215f\u2189\u2460-\u24ff\u3200-\u32ff"
"""Fractions, and numbers and words in a circle or in brackets: words of their own."""
_RAISED = "\u00b2\u00b3\u00b9\u2070\u2074-\u2079"
"""Superscript digits: part of a unit (m²), else an exponent or the number of a note."""

_ANY = re.compile(
    rf"[{_MARKS}{_IGNORED}{_COMPATIBLE}{_APART}{_RAISED}\u00ad\u200b\u200c\u0300\u0301\u0307\u0401\u0451"
    rf"\u0649\u0660-\u0669\u066b\u066c\u06a9\u06aa\u06c0-\u06c2\u06cc\u06f0-\u06f9\u07c0-\u07c9"
    "\u0966-\u1c59\u1f00-\u1fff\ua620-\uabf9]"
)
"""Text without one of these characters is normal in its composed form."""
_SOFT_HYPHEN = re.compile(r"\u00ad(?:[ \t]*\r?\n[ \t]*)?")
_ZERO_WIDTH = re.compile(rf"\u200b(?<![{SOUTHEAST_ASIAN}].)(?![{SOUTHEAST_ASIAN}])", re.DOTALL)
"""Between letters of Thai, Lao, Burmese and Khmer it separates words."""
_DROPPED = re.compile(
    rf"[{_MARKS}{_IGNORED}\u0300\u0301\u0307\u200c](?:(?<=[{_MARKS}{_IGNORED}])"
    r"|(?<=[\u0400-\u052f][\u0300\u0301])|(?<=i\u0307)"
    r"|(?<=\u200c)(?:(?<![\u0600-\u06ff].)|(?![\u0600-\u06ff])))",
    re.DOTALL,
)
"""Also stress marks in Cyrillic, the second dot of a dotted i in lower case, and non-joiners but
for Arabic script. Patterns begin with the character, which is found faster than what precedes."""
_ALEF_MAQSURA = re.compile(r"\u0649(?<=[\u0620-\u064a]{4})(?![\u0620-\u064a])")
"""At the end of a long word, where Egyptian spelling has it for yeh; short ones are function words
(``على``, "on") that differ from names."""
_COMPATIBLE_RUN = re.compile(f"[{_COMPATIBLE}][{_COMPATIBLE}]*")
_APART_ONE = re.compile(f"[{_APART}]")
_RAISED_RUN = re.compile(f"[{_RAISED}][{_RAISED}]*")
_UNIT_BEFORE = re.compile(r"(?<![^\W\d_])[^\W\d_]{1,3}\Z")
_POLYTONIC = re.compile("[\u1f00-\u1fff][\u1f00-\u1fff]*")
_BREATHINGS = str.maketrans(
    {"\u0313": None, "\u0314": None, "\u0345": None, "\u0300": "\u0301", "\u0342": "\u0301"}
)

_JOINED = re.compile(r"[\w\u200c]*[\u0600-\u06ff]\u200c[\u0600-\u06ff][\w\u200c]*")
_DOTLESS = re.compile(r"\w*[Iİ]\w*")
_DOTLESS_LANGUAGES = frozenset({"az", "tr"})
_DOTLESS_CASE = str.maketrans("Iİ", "ıi")

_WITH_E = re.compile(r"\b[^\W\d_]*?(?:(?<![aeiouq])(?:ae|oe|ue))[^\W\d_]*", re.IGNORECASE)
_VOWEL_E = re.compile(r"(?<![aeiouq])([aou])e", re.IGNORECASE)
_NO_UMLAUT = re.compile(
    # Before a vowel, and at the end: zueinander, Statue, Oboe, Reggae; but Haeuser and Menue.
    r"(?<![aeiouq])(?:ae(?=[aeio])|[ou]e(?=[aeiou])|(?<!\bmen)ue\b|[ao]e\b)|"
    r"\w\w[tdsx]uell|\w(?<!k)nuell|\b(?:duell|individuell)|"  # Endings: aktuell, manuell.
    r"uel[as]?\b|ael(?:a|s|is)?\b|\bisrael|\bpaella|"  # Names: Samuel, Michael.
    r"\bzue(?:rst|rkenn|rteil)|(?:\bd|\bmen|\bstat)uett|\bsuez|\bpuert|\bgueril|kongruen|influen|"
    r"\bstatue|\bgoethe|\bpoe[tsm]|\bkoe(?:ff|x|d)|\bsoe(?:ben|st)|\b(?:joel|noel)|"
    r"aero|\bmaest|\bblue(?:s|print|tooth|ray)",
    re.IGNORECASE,
)
"""German words whose ``ae``, ``oe`` or ``ue`` are two sounds."""
_WORD = re.compile(r"[^\W\d_]+")
_UMLAUTS = str.maketrans("aouAOU", "äöüÄÖÜ")
_TYPED_WITH_E = re.compile(
    r"\b(?:fuer|dafuer|wofuer|ueber|darueber|gegenueber|zurueck|fuenf|zwoelf|frueh\w*|spaeter|"
    r"naechste\w*|waehrend|moeglich\w*|koenn\w+|muess\w+|duerfen|wuerde\w*|waere\w*|"
    r"haette\w*|moechte\w*|hoehe\w*|groess\w+|aendern\w*|gehoer\w*|laesst|traegt|enthaelt)\b",
    re.IGNORECASE,
)
"""Frequent German words that nobody writes so who has a key for umlauts."""


def normalize(text: str) -> str:
    """Return a text in the spelling in which its words are compared; case is kept.

    Composed, without invisible characters and vowel points, with ASCII digits and plain letters.
    """
    if text.isascii():
        return text
    text = unicodedata.normalize("NFC", text)
    return _plain(text) if _ANY.search(text) else text


def of_language(text: str, language: str) -> str:
    """Return a normal text with the case of letters that its language pairs otherwise.

    Turkish and Azerbaijani: ``İ`` is the capital of ``i``, and ``I`` of ``ı``. A word of ASCII
    letters stays, because it may be foreign or typed without the dot: ``IBAN``, ``ISTANBUL``.
    """
    if language not in _DOTLESS_LANGUAGES:
        return text if text.isascii() else text.replace("İ", "I")
    return _DOTLESS.sub(
        lambda word: word[0] if word[0].isascii() else word[0].translate(_DOTLESS_CASE), text
    )


def joined_words(text: str) -> list[str]:
    """Return the Persian words of a normal text that have a zero-width non-joiner, without it.

    They are written in both ways: ``می‌شود`` and ``میشود``.
    """
    if "\u200c" not in text:
        return []
    return [word.replace("\u200c", "") for word in _JOINED.findall(text)]


def dotless_words(text: str, language: str) -> list[str]:
    """Return the Turkish and Azerbaijani words that ``of_language`` leaves, with a dotless i."""
    if language not in _DOTLESS_LANGUAGES or "I" not in text:
        return []
    words = (word for word in _DOTLESS.findall(text) if word.isascii())
    return [word.translate(_DOTLESS_CASE) for word in words]


def words_with_umlauts(text: str) -> list[str]:
    """Return the German words of a text that have ``ae``, ``oe`` or ``ue``, with umlauts.

    Some are no words, ``Israel`` among them; a text does not hold those.
    """
    return [_VOWEL_E.sub(_umlaut, word) for word in _WITH_E.findall(text)]


def is_typed_without_umlauts(text: str) -> bool:
    """Return True if a German text is typed with ``ae``, ``oe`` and ``ue`` for umlauts."""
    return text.isascii() and _TYPED_WITH_E.search(text) is not None


def with_umlauts(text: str) -> str:
    """Return a German text with umlauts for ``ae``, ``oe`` and ``ue``.

    Words that are written with two vowels stay: ``zuerst``, ``aktuell``, ``Michael``.
    """
    return _WORD.sub(_word_with_umlauts, text)


def _word_with_umlauts(word: re.Match[str]) -> str:
    return word[0] if _NO_UMLAUT.search(word[0]) else _VOWEL_E.sub(_umlaut, word[0])


def _umlaut(found: re.Match[str]) -> str:
    return found[1].translate(_UMLAUTS)


def _plain(text: str) -> str:
    text = _ZERO_WIDTH.sub("", _SOFT_HYPHEN.sub("", text))
    text = _RAISED_RUN.sub(_lowered, text)
    text = _APART_ONE.sub(_set_apart, text)
    text = _COMPATIBLE_RUN.sub(lambda run: unicodedata.normalize("NFKC", run[0]), text)
    text = _POLYTONIC.sub(_monotonic, text)
    text = _DROPPED.sub("", text)
    text = _ALEF_MAQSURA.sub("\u064a", text)
    return _REPLACED.sub(lambda found: _REPLACEMENTS[found[0]], text)


def _lowered(found: re.Match[str]) -> str:
    digits = unicodedata.normalize("NFKC", found[0])
    before = found.string[max(0, found.start() - 4) : found.start()]
    return digits if _UNIT_BEFORE.search(before) else f" {digits} "


def _set_apart(found: re.Match[str]) -> str:
    return f" {unicodedata.normalize('NFKC', found[0])} ".replace("\u2044", "/")


def _monotonic(found: re.Match[str]) -> str:
    marked = unicodedata.normalize("NFD", found[0]).translate(_BREATHINGS)
    return unicodedata.normalize("NFC", marked.replace("\u0301\u0301", "\u0301"))
