"""Doubts about a table or a question, in which nothing is computed: a wrong figure is worse.

Each function names one way in which a question that is understood word by word means something
else: a sum of unit prices, a loss in a column of gains, a journey in the other direction.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal

from kvasir.answering.table_vocabulary import (
    COUNTS,
    ENTITIES,
    ONWARDS,
    is_of_both_sides,
    is_of_one_side,
)
from kvasir.answering.tables import Table, is_gap, is_number

_SYMBOLS = {
    "€": r"€|\beur\b|euro",
    "$": r"\$|\busd\b|dollar|dólar",
    "£": r"£|\bgbp\b|pound",
    "¥": r"¥|\bcny\b|\bjpy\b|元|yen|yuan",
    "%": r"%|percent|prozent|porcentaje|pourcent|百分",
}
"""Signs of a unit in a question, and what a column says that is measured in it."""

_TURNS_AROUND = re.compile(
    r"\b(?:spen[dt]\w*|pay\w*|paid|expens\w+|costs?|loss(?:es)?|changes?|ausg\w+|verlust\w*|"
    r"(?:ver)?änderung\w*|bezahl\w*|gezahlt|kosten|gekostet|gast\w+|pag[aóuo]\w*|pérdidas?|"
    r"cambios?|variaci\w+|dépens\w+|pertes?|variations?|pay[ée]\w*)\b|花|亏|损|变化|支出|付",
    re.IGNORECASE,
)
"""Words for what may stand in a table with a minus before it."""

_NEVER_ADDED = re.compile(
    r"[%‰]|percent|temperature|\bage\b|average|\bmean\b|\brate\b|balance|\b(?:per|pro|por|par)\b|"
    r"\bunit price|\beach\b|prozent|temperatur|\balter\b|durchschnitt|saldo|stückpreis|"
    r"einzelpreis|porcentaje|\bedad\b|media\b|promedio|unitari|pourcentage|température|\bâge\b|"
    r"moyenne|solde|单价|温度|年龄|平均|余额|比率",
    re.IGNORECASE,
)
"""In the header of a column of which the sum says nothing."""
_PRICE = re.compile(r"price|preis|precio|prix|价格", re.IGNORECASE)

_ORIGIN = "from von ab aus de desde du depuis départ origin origen sender 出发地 起点"
_GOAL = "to nach an bis a hasta à au vers arrivée destination destino ziel receiver 目的地 终点"
_DIRECTIONS = (frozenset(_ORIGIN.split()), frozenset(_GOAL.split()))
_IN = frozenset(["to", "nach", "an", "bis", "zu", "a", "al", "hasta", "à", "au", "aux", "vers"])

_AROUND_A_DAY = re.compile(
    r"(?:\b(?:by|since|until|till|before|after|through|seit|ab|bis|vor|nach|bis zum|bis zu|desde|"
    r"hasta|antes de|antes del|después de|después del|a partir de|a partir del|depuis|avant|après|"
    r"dès|jusqu['’]en|jusqu['’]au|à partir de|à partir du)\s+"
    r"(?:the |dem |den |le |el )?|从|自|截至|到)$",
    re.IGNORECASE,
)
_AFTER_A_DAY = re.compile(r"^\s*(?:份)?(?:以来|之前|以前|之后|以后|起|前|后|为止)")

_ORDINALS = {
    "en": r"second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|next|penultimate",
    "es": r"(?:segund|tercer|cuart|quint|sext|séptim|octav|noven|décim|penúltim)[oa]?s?|"
    r"siguientes?",
    "de": r"(?:zweit|dritt|viert|fünft|sechst|siebt|acht|neunt|zehnt|nächst|vorletzt)e[nmrs]?",
    "fr": r"deuxièmes?|secondes?|second|troisièmes?|quatrièmes?|cinquièmes?|sixièmes?|septièmes?|"
    r"huitièmes?|neuvièmes?|dixièmes?|suivante?s?|avant-dernière?",
}
_NUMBERED_ORDINALS = {
    "en": r"(?!1st\b)\d+(?:st|nd|rd|th)",
    "es": r"(?!1[ºª])\d+[ºª]",
    "de": r"(?!1\.)\d+\.",
    "fr": r"(?!1e)\d+(?:e|è?me|nde?)",
}
_RANKED_NOUNS = {
    "es": r"(?:(?!(?:d[íi]as?|semanas?|mes|bimestre|trimestre|semestre|año)\b)\w+\s+)?",
    "fr": r"(?:(?!(?:jour|semaine|mois|trimestre|semestre|année)\b)\w+\s+)?",
}
"""A noun between a rank and the superlative behind it, as in "el segundo importe más alto"."""
_CARDINALS = {
    "en": "two|three|four|five|six|seven|eight|nine|ten",
    "es": "dos|tres|cuatro|cinco|seis|siete|ocho|nueve|diez",
    "de": "zwei|drei|vier|fünf|sechs|sieben|acht|neun|zehn",
    "fr": "deux|trois|quatre|cinq|six|sept|huit|neuf|dix",
}
_RANKS = {
    language: re.compile(
        rf"(?<![\w.,/])(?:(?:{ordinals})[\s-]+{_RANKED_NOUNS.get(language, '')}"
        r"(?:(?:the|el|la|los|las|der|die|das|den|dem|am|le|les)\s+)?"
        rf"|(?:{_NUMBERED_ORDINALS[language]})[\s-]+{_RANKED_NOUNS.get(language, '')}"
        rf"|(?:{_CARDINALS[language]}|\d{{1,2}})[\s-]+)$",
        re.IGNORECASE,
    )
    for language, ordinals in _ORDINALS.items()
} | {"zh": re.compile(r"(?:第[二三四五六七八九十\d]+|[二两三四五六七八九十]个?|倒数)$")}
_LONGEST_RANK = 60
"""Most characters before a superlative in which a rank is looked for."""

_WHO = re.compile(r"\b(?:who|wer|qui|quién(?:es)?|quien(?:es)?)\b|谁", re.IGNORECASE)
_PERSONS = re.compile(
    r"\b(?:name|employee|person|member|staff|customer|client|guest|borrower|buyer|seller|driver|"
    r"player|student|by|mitarbeiter(?:in)?|kunde|gast|fahrer(?:in)?|spieler(?:in)?|von|nombre|"
    r"empleado|cliente|por|nom|prénom|employé|client|par)\b|姓名|员工|客户",
    re.IGNORECASE,
)
_DAYS = re.compile(
    r"\b(?:date|day|week|month|year|datum|tag|woche|monat|jahr|fecha|día|semana|mes|año|jour|"
    r"semaine|mois|année)\b|日期|月份|年份",
    re.IGNORECASE,
)
_NO_COUNT = re.compile(
    r"[(（\[€$£¥%]|\b(?:amount|costs?|price|fee|net|gross|betrag|kosten|preis|importe|gasto|"
    r"precio|montant|prix|pages?|seiten|páginas|hours?|minutes?|distance|duration|per|pro|por|par)"
    r"\b|金额|价|费",
    re.IGNORECASE,
)
_THINGS = ENTITIES[1:4]
"""Books, people and invoices: several rows may be about the same one."""
_FEWEST_IN_A_GROUP = 2


def has_rank(before: str, language: str) -> bool:
    """Return True if a text before a word for the most or least says that another rank is meant.

    That is an ordinal but the first ("the second lowest"), or a number ("the three highest"). A
    number before an article is part of a date: "im Januar 2023 den höchsten Betrag".
    """
    return _RANKS[language].search(before[-_LONGEST_RANK:]) is not None


def is_in_another_unit(question: str, table: Table, column: int) -> bool:
    """Return True if a question has a sign such as "€" that its column has not."""
    text = " ".join([table.header[column], *(row.cells[column] for row in table.rows)]).casefold()
    return any(
        sign in question and not re.search(pattern, text) for sign, pattern in _SYMBOLS.items()
    )


def turns_around(question: str, values: Sequence[Decimal | None], *, is_added: bool) -> bool:
    """Return True if a question may mean the values below zero as amounts of their own."""
    below = [value is not None and value < 0 for value in values]
    if not any(below) or not _TURNS_AROUND.search(question):
        return False
    return not (is_added and all(below))


def mixes_sides(
    question: str, header: str, values: Sequence[Decimal | None], cells: Iterable[str]
) -> bool:
    """Return True if money that came in stands beside what was spent, and one of them is asked for.

    A column that is named for one side holds nothing of the other.
    """
    if not is_of_one_side(question) or is_of_one_side(header):
        return False
    signs = {value > 0 for value in values if value}
    return len(signs) > 1 or is_of_both_sides(question, cells)


def adds_up_not(table: Table, column: int) -> bool:
    """Return True if the sum of a column says nothing, as that of prices of one piece."""
    header = table.header[column]
    if _NEVER_ADDED.search(header) or any("%" in row.cells[column] for row in table.rows):
        return True
    return bool(_PRICE.search(header)) and any(map(COUNTS.search, table.header))


def goes_the_other_way(header: str, value: str, question: str) -> bool:
    """Return True if a value in a column such as "From" is not asked for as one."""
    words = header.casefold().split()
    sides = [bool(words) and words[0] in side for side in _DIRECTIONS]
    if not any(sides):
        return False
    before = re.findall(r"[^\W_]+", question.casefold().partition(value.casefold())[0])
    last = before[-1] if before else ""
    if sides[0]:
        return last in _IN
    return last not in _IN


def is_around(question: str, language: str, written: str) -> bool:
    """Return True if a day or month, as it is written, stands for those before or after it."""
    before, _, after = question.partition(written)
    onwards = ONWARDS.get(language, "$^").replace("{day}", re.escape(written))
    return bool(
        _AROUND_A_DAY.search(before)
        or _AFTER_A_DAY.search(after)
        or re.search(onwards, question, re.IGNORECASE)
    )


def repeated_persons(question: str, table: Table, distinct: Sequence[bool]) -> bool:
    """Return True if somebody is asked for, and somebody has several rows."""
    if not _WHO.search(question):
        return False
    columns = [
        c
        for c, header in enumerate(table.header)
        if not _DAYS.search(header) and not all(is_number(row.cells[c]) for row in table.rows)
    ]
    persons = {c for c in columns if _PERSONS.search(table.header[c])} | {*columns[:1]}
    return not all(distinct[c] for c in persons)


def repeated_things(noun: str, table: Table, distinct: Sequence[bool]) -> bool:
    """Return True if things are counted of which one may have several rows."""
    for pattern, words in _THINGS:
        is_meant = noun in words.split() or (
            not noun.isascii() and any(noun.startswith(w) for w in words.split())
        )
        columns = [c for c, header in enumerate(table.header) if pattern.search(header)]
        if is_meant and columns and not any(distinct[c] for c in columns):
            return True
    return False


def has_counts(table: Table, measures: frozenset[int]) -> bool:
    """Return True if a column may say how many of a thing a row stands for."""
    return any(
        not _NO_COUNT.search(table.header[c])
        and all(is_gap(row.cells[c]) or row.cells[c].isdigit() for row in table.rows)
        for c in measures
    )


def figures_of(cells: Sequence[str]) -> list[Decimal] | None:
    """Return the numbers of a column, zero for gaps, as they are likely meant; None if others."""
    found: list[Decimal] = []
    for cell in cells:
        if is_gap(cell):
            found.append(Decimal())
            continue
        if not is_number(cell):
            return None
        text = re.sub(r"[^\d.,-]", "", cell.replace("−", "-")).strip(".,")
        whole, sign, rest = re.fullmatch(r"(.*?)(?:([.,])(\d{1,2}))?", text).groups()  # type: ignore[union-attr]
        digits = re.sub(r"\D", "", whole) or "0"
        value = Decimal(f"{digits}.{rest}" if sign else digits)
        found.append(-value if text.startswith("-") else value)
    return found


def is_of_groups(values: Sequence[Decimal]) -> bool:
    """Return True if all of a column are groups, each with its sum before or after it."""
    return _are_groups(values) or _are_groups(values[::-1])


def _are_groups(values: Sequence[Decimal]) -> bool:
    position, groups = 0, 0
    while position < len(values):
        end = next(_ends(values, position), 0)
        if not end:
            return False
        position, groups = end, groups + 1
    return groups >= _FEWEST_IN_A_GROUP


def _ends(values: Sequence[Decimal], start: int) -> Iterator[int]:
    """Yield where a group may end whose sum stands at its start."""
    total = Decimal()
    for position in range(start + 1, len(values)):
        total += values[position]
        if total == values[start] and total and position - start >= _FEWEST_IN_A_GROUP:
            yield position + 1
