"""Whether a text holds the kind of value that a question asks for: a date, a number, a reason."""

from __future__ import annotations

import re

from kvasir.core.text import count_words
from kvasir.language.question_kinds import QuestionKind

_DATE = re.compile(
    r"\b(?:1\d|20)\d\d\b|\b\d{1,2}[./:]\d{1,2}\b|\b\d{1,2}\.? ?(?:de )?(?:jan|feb|f[ée]v|mar|"
    r"mär|apr|abr|avr|may|"
    r"mai|jun|juin|jul|juil|aug|ago|août|sep|oct|okt|nov|dec|dez|dic|déc|ene)[a-zéû]*|"
    r"\b(?:january|february|march|april|june|july|august|september|october|november|december|"
    r"monday|"
    r"tuesday|wednesday|thursday|friday|saturday|sunday|montag|dienstag|mittwoch|donnerstag|"
    r"freitag|"
    r"samstag|sonntag|lunes|martes|miércoles|jueves|viernes|sábado|domingo|lundi|mardi|mercredi|"
    r"jeudi|"
    r"vendredi|samedi|dimanche)s?\b|(?<![\d一二三四五六七八九十])[\d一二三四五六七八九十]+\s?[年月日号点]|(?:星期|周)[一二三四五六日]|"
    r"\b(?:1\d|20)\d0(?:s|er)\b|\bcentur(?:y|ies)\b|\bsiglos?\b|\bjahrhunderts?\b|\bsiècles?\b|世纪|"
    r"\bthế kỷ\b|\b(?:years?|months?|weeks?|days?) ago\b|\bhace [\w.,]+ (?:años|meses|días)\b|"
    r"\bvor [\w.,]+ (?:jahren|monaten|tagen)\b|\bil y a [\w.,]+ (?:ans|mois|jours)\b|"
    r"\b\d[\d,.]* (?:BP|BCE?|AD|CE)\b",
    re.IGNORECASE,
)
_SPELLED = (
    r"\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|hundred|thousand|"
    r"million|"
    r"dos|tres|cuatro|cinco|seis|siete|ocho|nueve|diez|cien|mil|zwei|drei|vier|fünf|sechs|"
    r"sieben|acht|"
    r"neun|zehn|zwölf|hundert|tausend|deux|trois|quatre|cinq|sept|huit|neuf|dix|douze|cent|"
    r"mille|several|dozens?|half|twice|varios|varias|mehrere|plusieurs)\b|"
    r"[两二三四五六七八九十百千万]"
)
_AMOUNT = re.compile(rf"\d|{_SPELLED}", re.IGNORECASE)
_FREQUENCY = re.compile(
    r"\b(?:every|each|daily|weekly|monthly|yearly|annually|hourly|once|twice|times|always|never|"
    r"cada|diari\w+|semanal\w*|mensual\w*|anual\w*|todos los|todas las|vez|veces|siempre|nunca|"
    r"jede[nrsm]?|alle|täglich\w*|wöchentlich\w*|monatlich\w*|jährlich\w*|einmal|zweimal|mal|immer|"
    r"nie|chaque|tous les|toutes les|par (?:jour|semaine|mois|an)|fois|toujours|jamais)\b|"
    r"每|一次|[两二三四五六七八九十\d]次|经常|从不",
    re.IGNORECASE,
)
_COUNT = re.compile(rf"(?<![A-Za-z\d.,-])[2-9](?![A-Za-z\d.,-])|{_SPELLED}", re.IGNORECASE)
LONGEST_ANNOUNCEMENT = 20
"""Most words of a sentence that says how many things the following ones name."""
_NAME = re.compile(r"(?<![.!?:|\-*] )(?<!^)\b[A-ZÁÉÍÓÚÄÖÜÑ][^\W\d_A-Z]+\b|[\u4e00-\u9fff]")
_REASONS = {
    code: re.compile(words, re.IGNORECASE)
    for code, words in {
        "en": r"\b(?:because|since|due to|owing to|so that|in order to|therefore|reasons?|"
        r"otherwise)\b",
        "es": r"\b(?:porque|ya que|debido|por lo que|para que|puesto que|razón|razones)\b",
        "de": r"\b(?:weil|denn|da|damit|daher|deshalb|sonst|wegen|grund|gründe)\b",
        "fr": r"\b(?:parce qu\w*|car|puisqu\w*|afin|à cause|raisons?|pour que|sinon)\b",
        "vi": r"\b(?:vì|bởi|do đó|lý do)\b",
        "zh": r"因为|由于|所以|原因|否则|以免|以便|理由",
    }.items()
}


def holds_what_is_asked(kind: QuestionKind | None, text: str, language: str) -> bool:
    """Return True if a text has the date, number, name or reason that a question asks for.

    ``language`` is the text's, an ISO 639-1 code: "car" gives a reason in French alone.
    """
    wanted = {
        QuestionKind.WHEN: _DATE,
        QuestionKind.HOW_MANY: _AMOUNT,
        QuestionKind.HOW_OFTEN: _FREQUENCY,
        QuestionKind.WHO: _NAME,
        QuestionKind.WHY: _REASONS.get(language, _REASONS["en"]),
    }
    return kind in wanted and wanted[kind].search(text) is not None


def announces_a_number(text: str) -> bool:
    """Return True if a short sentence says how many things there are: "It has three parts."."""
    return count_words(text) <= LONGEST_ANNOUNCEMENT and _COUNT.search(text) is not None
