"""Periods that do not end a sentence: abbreviations, titles, ordinals and dates, by language.

They add to the lists of sentencex: titles and abbreviations that stand before a name, a number or
an explanation.
"""

from __future__ import annotations

import re

_LONGEST = 40
"""Characters at the end of a sentence that are looked at."""

_TITLES = {
    "en": "approx incl resp dr prof mr mrs ms messrs st rev gen sgt capt vs e.g i.e cf",
    "de": "hr hrn fr dr prof st ing dipl bzw ca vgl evtl ggf inkl exkl sog bspw z d.h z.b u.a str",
    "fr": "m mm mme mlle mgr dr pr me st ste av bd p.ex env cf",
    "es": "sr sra srta dr dra d dña ud uds avda prof lic ing p.ej aprox",
    "it": "sig sigg sig.ra dott dott.ssa prof avv ing on rag p.es ca",
    "pt": "sr sra dr dra prof profa av r exmo exma p.ex aprox eng",
    "nl": "dhr mevr mw dr drs ir ing mr prof st bijv d.w.z ca o.a",
    "sv": "hr fru dr prof bl.a t.ex d.v.s dvs ca s.k",
    "da": "hr fru dr prof bl.a f.eks dvs ca",
    "no": "hr fru dr prof bl.a f.eks dvs ca",
    "fi": "hra rva tri prof esim mm ts ns",
    "is": "hr fr dr próf t.d þ.e m.a",
    "pl": "p prof dr mgr inż hab ul al pl św im np tj tzn ks",
    "cs": "p pí sl ing mgr dr judr mudr prof doc ul nám tj tzv např sv",
    "sk": "p pí sl ing mgr dr judr mudr prof doc ul nám tj tzv napr sv",
    "sl": "g ga gdč dr prof npr tj t.i ul",
    "hr": "g gđa dr prof npr tj tzv ul sv",
    "hu": "dr prof ifj id özv pl ún ill",
    "ro": "dl dna dr prof str bd ex nr sf",
    "ru": "г гг гр ул д кв им проф акад доц инж св т.е т.н т.к пл просп",
    "uk": "м вул буд кв ім проф акад доц св т.зв пл просп",
    "bg": "г г-н г-жа ул бул проф акад доц инж св т.е т.н т.нар",
    "el": "κ κα κ.κ δρ καθ π.χ δηλ αγ λεωφ",
    "tr": "dr prof doç av bkz örn vb sn cad sok mah",
    "vi": "tp ts ths th.s gs pgs bs ks ls q p",
    "id": "dr drs prof ir jl tn ny sdr bpk",
    "ca": "sr sra dr dra d av pl prof p.ex aprox",
    "gl": "sr sra dr dra d av rúa prof p.ex aprox",
    "eu": "jn and dk",
    "et": "hr pr dr prof nt s.t st",
    "lv": "dr prof piem t.i iel",
    "lt": "dr prof pvz t.y g pr gerb",
}  # fmt: skip
"""Stand before a name or an explanation, so no sentence ends with them."""
_BEFORE_NAMES = {language: frozenset(words.split()) for language, words in _TITLES.items()}
_NONE: frozenset[str] = frozenset()

_NUMBERED = """
    abb abs absch anm app art arts aufl bd bl cap ch chap cl col div dok ed eq eqs fig figs fn gl
    h jg kap lit lk max min n nn no nos nr nro nrn num núm obr p pag pág págs par pos poz pp ref rn
    rys s sec sect sekt sf sh sp st str tab tabl tel tit tom ust vol vols z ziff č čl šk ábr ст стр
    рис табл гл п пп д кв кн т тел част чл фиг с ч εικ σελ κεφ άρθ παρ αρ
"""
_ORDINAL_LANGUAGES = "de lb da no nb nn sv fi is fo et lv cs sk sl hr sr bs hu eu"
_ARTICLES = """
    am im zum zur vom beim ab seit bis der die das dem den des ein eine einer einem einen eines
    dieser diese diesem diesen jeder jede jedem jeden mein meine meinem meinen meiner dein deine
    sein seine seinem seinen seiner ihr ihre ihrem ihren ihrer unser unsere unserem unseren unserer
    in auf an nach vor und oder
"""
_MONTHS = """
    januar jänner februar märz april mai juni juli august september oktober november dezember
"""
_REFERENCES = frozenset(_NUMBERED.split())
"""Stand before a number in some language."""
_WITH_ORDINALS = frozenset(_ORDINAL_LANGUAGES.split())
"""Languages that write an ordinal with a period before a small letter: "2. etasje"."""
_GERMAN = frozenset({"de", "lb"})
_GERMAN_ARTICLES = frozenset(_ARTICLES.split())
"""Before an ordinal; no sentence ends after one of them."""
_GERMAN_MONTHS = frozenset(_MONTHS.split())
_ORDINAL = re.compile(r"\d{1,3}|[IVX]{1,6}")
_SHORT = re.compile(r"[^\W\d_]{1,4}")
_DOTTED = re.compile(r"(?:[^\W\d_]{1,3}\.)+[^\W\d_]{1,3}")
_FIRST_WORD = re.compile(r"\s*([^\W_]+|\S)")
_OPENING = re.compile(r"\A[(\[{„“\"«]+|\A[^\W\d_]['’]")
"""An opening bracket or quote, or an elided article: "l'art."."""


def continues(before: str, after: str, language: str, has_capitals: bool) -> bool:
    """Return True if a sentence that seems to end with ``before`` goes on with ``after``.

    ``has_capitals`` says that sentences begin with a capital letter, as far as is known.
    """
    words = before[-_LONGEST:].split()
    first = _FIRST_WORD.match(after)
    if not first:
        return False
    next_word = first[1]
    if next_word in ("º", "ª", "°"):
        return True
    if not words or not words[-1].endswith("."):
        return False
    word = _OPENING.sub("", words[-1][:-1])
    folded = word.lower()
    if folded in _BEFORE_NAMES.get(language, _NONE):
        return True
    if next_word[0].isdigit():
        return folded in _REFERENCES
    if _ORDINAL.fullmatch(word):
        return _is_ordinal(words[-2].lower() if len(words) > 1 else "", next_word, language)
    if not next_word[0].islower():
        return False
    return bool(_DOTTED.fullmatch(word) or (has_capitals and _SHORT.fullmatch(word)))


def _is_ordinal(word_before: str, next_word: str, language: str) -> bool:
    if language in _WITH_ORDINALS and next_word[0].islower():
        return True
    if language not in _GERMAN:
        return False
    return word_before in _GERMAN_ARTICLES or next_word.lower() in _GERMAN_MONTHS
