"""The words, by language, with which people ask for a calculation over a table or for all of it.

Only the words of one language are used at a time. Function words say nothing about a table; every
other word of a question must be found in the table, or it is not answered from it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum


class Operation(StrEnum):
    """What is asked about the rows of a table."""

    LEAST = "least"
    MOST = "most"
    SUM = "sum"
    AVERAGE = "average"
    COUNT = "count"
    LIST = "list"


RANKED = frozenset([Operation.LEAST, Operation.MOST])


@dataclass(frozen=True, slots=True)
class TableWords:
    """The words of one language.

    Attributes:
        operations: A pattern for each operation.
        function_words: Words without which the meaning of a question is the same.
        hints: Words of headers that an adjective such as "cheapest" speaks of.
        synonyms: Words with which people ask for a header's word.
        phrases: The sentences of an answer.
        is_spaced: False if words are not separated by spaces.
        joining: Words between two values of which both are meant.
    """

    operations: dict[Operation, re.Pattern[str]]
    function_words: frozenset[str]
    hints: tuple[tuple[re.Pattern[str], str], ...]
    synonyms: tuple[tuple[str, str], ...]
    phrases: dict[str, str]
    is_spaced: bool = True
    joining: frozenset[str] = frozenset()


def _words(
    least: str,
    most: str,
    total: str,
    average: str,
    count: str,
    listing: str,
    function_words: str,
    hints: dict[str, str],
    synonyms: dict[str, str],
    phrases: dict[str, str],
    *,
    is_spaced: bool = True,
    joining: str = "",
) -> TableWords:
    edge = r"\b" if is_spaced else ""
    patterns = (least, most, total, average, count, listing)
    return TableWords(
        {
            operation: re.compile(f"{edge}(?:{pattern}){edge}", re.IGNORECASE)
            for operation, pattern in zip(Operation, patterns, strict=True)
        },
        frozenset(function_words.split()),
        tuple((re.compile(f"{edge}(?:{word}){edge}", re.I), said) for word, said in hints.items()),
        tuple(synonyms.items()),
        phrases,
        is_spaced,
        frozenset(joining.split()),
    )


PER = frozenset(["per", "pro", "por", "par", "je"])
"""Words before what an average is taken over, such as "per month"."""

_EACH = {
    "day": "daily",
    "tag": "täglich",
    "día": "diario diaria",
    "jour": "quotidien quotidienne journalier",
    "week": "weekly",
    "woche": "wöchentlich",
    "semana": "semanal",
    "semaine": "hebdomadaire",
    "month": "monthly",
    "monat": "monatlich",
    "mes": "mensual mensuales",
    "mois": "mensuel mensuelle mensuels mensuelles",
    "year": "yearly annual",
    "jahr": "jährlich",
    "año": "anual",
    "année": "annuel annuelle",
}
EACH = {adjective: noun for noun, words in _EACH.items() for adjective in words.split()}
"""Adjectives for "per month" and the like, by the word of a header."""

_QUANTITIES = "preis preise kosten menge mengen zahl anzahl wert werte betrag bestand summe zeit"
QUANTITIES = frozenset(_QUANTITIES.split())
"""Last parts of German compounds that say of the first one how much it is."""

UNITS = {
    "kwh": "kilowatt hour hours kilowatthour kilowattstunde kilowattstunden kilovatio hora "
    "kilovatios horas kilowattheure kilowattheures electricity power energy electricidad luz "
    "energía strom energie électricité courant énergie 千瓦时 度 电",
    "km": "kilometre kilometres kilometer kilometers kilómetro kilómetros kilomètre "
    "kilomètres 公里",
    "kg": "kilogram kilograms kilo kilos kilogramm kilogramo kilogramos kilogramme 公斤",
    "date": "day days jour jours",
    "datum": "tag tage",
    "fecha": "día días",
    "日期": "天 日 日子",
    "l": "litre litres liter liters litro litros 升",
    "min": "minute minutes minuto minutos minuten 分钟",
    "h": "hour hours hora horas stunde stunden heure heures 小时",
    "t": "tonne tonnes ton tons tonelada toneladas tonnen 吨",
    "gb": "gigabyte gigabytes gigaoctets",
    "%": "percent prozent porcentaje pourcentage 百分比",
    "m": "metre metres meter meters metro metros mètre mètres 米",
    "eur": "euro euros 欧元 money dinero geld argent 钱",
    "€": "euro euros eur 欧元 money dinero geld argent 钱",
    "gbp": "pound pounds money",
    "£": "pound pounds gbp money",
    "usd": "dollar dollars dólares money dinero",
    "$": "dollar dollars usd money dinero",
}
"""Words for units in a header, and for what is measured by them, in all languages."""

IDENTIFIERS = re.compile(
    r"\b(?:id|no|nr|num|number|code|key|year|jahr|año|année|nummer|número|numéro|kennung|sku|zip|"
    r"plz|phone|telephone|telefon|teléfono|téléphone|năm|mã|\w*nummern?|\w*nr|tel|mobile|handy|"
    r"móvil|portable|durchwahl|ext(?:ension)?|postcode|\w*leitzahl|iban)\b|#|编号|代码|年份|^年$|号码|电话",
    re.IGNORECASE,
)
"""In the header of a column whose numbers are names."""

KEYS = re.compile(
    r"\b(?:orders?|invoices?|tickets?|cases?|customers?|members?|bestellung|auftrag|rechnung|kunde|"
    r"pedido|factura|cliente|commande|facture|client)\b|订单|发票",
    re.IGNORECASE,
)
"""In the header of a column whose whole numbers are names if each is there once."""

_TOTALS = """
    total totals sum subtotal grand overall average mean summe gesamt gesamtsumme zwischensumme
    insgesamt durchschnitt suma totales media promedio somme totaux moyenne général générale
    合计 总计 小计 平均 总和 共计 总额 总数 平均值 均值 tổng cộng
    avg ø mittelwert schnitt moy median subtotals σ totaal
"""
TOTALS = frozenset(_TOTALS.split())
"""Words that label a row that is itself computed."""

EXTREMES = frozenset(
    ["min", "max", "minimum", "maximum", "mínimo", "máximo", "最大值", "最小值", "最大", "最小"]
)
"""Words that in the last row say that it is one of those above it; "Max" may be a person."""

_PARTS = """
    total totals subtotal sum all summe gesamt zwischensumme insgesamt alle suma todos todas
    somme totaux tous toutes 合计 总计 小计 总和 共计 全部
"""
PARTS = frozenset(_PARTS.split())
"""Words that beside a row's label say that it is computed, and are no value of their own."""

QUALIFYING_COLUMNS = re.compile(
    r"\b(?:currency|unit|units|währung|einheit|moneda|unidad|divisa|devise|unité|monnaie)\b"
    r"|货币|币种|单位",
    re.IGNORECASE,
)
"""In the header of a column that says in what another one is measured."""

BY_LANGUAGE = {
    "en": _words(
        r"(?<!at )least|lowest|smallest|fewest|minimum|cheapest|shortest",
        r"(?<!at )most(?: expensive)?|highest|largest|biggest|greatest|maximum|longest",
        r"(?:in )?total|altogether|in all|sum|combined|overall",
        r"(?:on )?average|mean",
        r"how many|how often|number of|count of",
        r"list(?: all| every| the)?|(?:show|give|name)(?: me)? (?:all|every)|what are all",
        "what which who when where how is are was were be been the a an of in on at for "
        "with from do does did we i you our my us there it its have has had me please give tell "
        "show much many value values row rows entry entries all need needs take takes get gets "
        "got come came comes bring brought still already currently so far ever done any",
        {
            "cheap(?:est|er)|more expensive|most expensive": "price cost costs fee rate",
            "short(?:est|er)|long(?:est|er)": "length distance duration",
            "heav(?:iest|ier)|light(?:est|er)": "weight",
            "high(?:est|er)|tall(?:est|er)": "height elevation altitude",
        },
        {
            "consumption": "use used usage consume consumed",
            "cost": "spend spent pay paid bill bills",
            "expenses": "spend spent",
            "supplier": "supply supplies supplied deliver delivers delivered",
            **dict.fromkeys(
                ("article", "item", "product", "part", "object"),
                "article item product part object thing",
            ),
        },
        {
            "least": "Computed: the lowest value of “{column}” in {rows}.",
            "most": "Computed: the highest value of “{column}” in {rows}.",
            "sum": "Computed: the sum of “{column}” over {rows} is {value}.",
            "average": "Computed: the average of “{column}” over {rows} is {value}.",
            "count": "Computed: {rows}.",
            "difference": "Computed: the difference in “{column}” is {value}.",
            "list": "{shown} of {rows}.",
            "rows": "{count} rows",
            "row": "1 row",
            "where": " with {conditions}",
            "gaps": " ({gaps} without a value left out)",
            "group_most": "Computed over {rows}, by “{label}”; the highest: {value}.",
            "group_least": "Computed over {rows}, by “{label}”; the lowest: {value}.",
        },
        joining="and",
    ),
    "es": _words(
        r"(?<!al )(?<!lo )menos|mínim[oa]|menor(?:es)?|"
        r"más (?:baj[oa]s?|barat[oa]s?|cort[oa]s?|pequeñ[oa]s?)",
        r"más(?: alt[oa]s?| car[oa]s?| larg[oa]s?| grandes?)?|máxim[oa]|mayor(?:es)?",
        r"(?:en )?total|en conjunto|suma",
        r"(?:de |en )?(?:promedio|media|medios?|medias)",
        r"cuánt[oa]s|cuant[oa]s|número de",
        r"(?:enumera|lista|muestra|dime)(?:me)?(?: tod[oa]s)?",
        "qué que cuál cuáles quién cuándo dónde cómo es son fue fueron ser el la los las un una de "
        "del en a al para con y se hay hubo ha han hemos he tiene tienen tuvo tuvimos nos "
        "nuestro nuestra mi cuánto cuánta cuanto cuanta lo fila filas valor valores todos todas "
        "todo toda necesita necesitan",
        {
            "más (?:barat|car)[oa]s?": "precio coste costo tarifa",
            "más (?:cort|larg)[oa]s?": "distancia longitud duración",
            "más pesad[oa]s?": "peso",
        },
        {
            "consumo": "consumido consumimos usado",
            "gastado": "gasto gastamos gastos",
            "proveedor": "suministra suministran entrega",
            **dict.fromkeys(
                ("artículo", "producto", "objeto"), "artículo artículos producto productos objeto"
            ),
        },
        {
            "least": "Calculado: el valor más bajo de «{column}» en {rows}.",
            "most": "Calculado: el valor más alto de «{column}» en {rows}.",
            "sum": "Calculado: la suma de «{column}» en {rows} es {value}.",
            "average": "Calculado: la media de «{column}» en {rows} es {value}.",
            "count": "Calculado: {rows}.",
            "difference": "Calculado: la diferencia en «{column}» es {value}.",
            "list": "{shown} de {rows}.",
            "rows": "{count} filas",
            "row": "1 fila",
            "where": " con {conditions}",
            "gaps": " (sin contar {gaps} sin valor)",
            "group_most": "Calculado en {rows}, por «{label}»; el mayor: {value}.",
            "group_least": "Calculado en {rows}, por «{label}»; el menor: {value}.",
        },
        joining="y e",
    ),
    "de": _words(
        r"am wenigsten|(?<!am )wenigsten?|(?:am )?(?:niedrigst|geringst|kleinst|tiefst|billigst|"
        r"günstigst|kürzest)e?[nrsm]?|minimum",
        r"am meisten|(?:die |den |das |der )?meiste[nr]?|(?:am )?(?:höchst|größt|teuerst|längst)"
        r"e?[nrsm]?|maximum",
        r"insgesamt|gesamt|in summe|summe|zusammen",
        r"im (?:durchschnitt|schnitt|mittel)|durchschnittlich\w*|durchschnitt",
        r"wie ?viele|wie (?:oft|häufig)|(?:die )?anzahl(?: der)?",
        r"liste?(?: alle)?|nenne?(?: mir)? alle|zeige?(?: mir)? alle",
        "was welche welcher welches welchem welchen wer wann wo wie ist sind war waren der die das "
        "den dem des ein eine einen einem einer in im an am auf für von vom bei mit und "
        "es gibt gab hat haben hatte hatten wir ich unser unsere mein man viel wieviel zeile "
        "zeilen wert werte auf gebracht alle allen alles braucht brauchen "
        "hoch groß lag lagen betrug betrugen noch bereits schon wurde wurden worden",
        {
            "(?:am )?(?:billigst|günstigst|teuerst)e?[nrsm]?": "preis kosten gebühr",
            "(?:am )?(?:kürzest|längst)e?[nrsm]?": "länge entfernung strecke dauer",
            "(?:am )?(?:schwerst|leichtest)e?[nrsm]?": "gewicht",
        },
        {
            "ertrag": "erzeugt",
            "verbrauch": "verbraucht",
            "ausgaben": "ausgegeben",
            "lieferant": "liefert liefern geliefert lieferanten",
            **dict.fromkeys(
                ("artikel", "produkt", "ware", "gegenstand"), "artikel produkt ware gegenstand"
            ),
        },
        {
            "least": "Berechnet: der niedrigste Wert von „{column}“ in {rows}.",
            "most": "Berechnet: der höchste Wert von „{column}“ in {rows}.",
            "sum": "Berechnet: die Summe von „{column}“ über {rows} ist {value}.",
            "average": "Berechnet: der Durchschnitt von „{column}“ über {rows} ist {value}.",
            "count": "Berechnet: {rows}.",
            "difference": "Berechnet: der Unterschied in „{column}“ ist {value}.",
            "list": "{shown} von {rows}.",
            "rows": "{count} Zeilen",
            "row": "1 Zeile",
            "where": " mit {conditions}",
            "gaps": " ({gaps} ohne Wert nicht gezählt)",
            "group_most": "Berechnet über {rows}, nach „{label}“; am höchsten: {value}.",
            "group_least": "Berechnet über {rows}, nach „{label}“; am niedrigsten: {value}.",
        },
        joining="und",
    ),
    "fr": _words(
        r"(?:le|la|les) moins(?: de| d['’]| cher| chère| élevée?s?)?|minimum|minimale?|"
        r"(?:le |la )?plus (?:bas|basse|petite?|faible|courte?)",
        r"(?:le|la|les) plus(?: de| d['’]| cher| chère| élevée?s?| longue?| grande?)?|maximum|"
        r"maximale?|le mieux",
        r"(?:au |en )?total(?:e|es|aux)?|en tout|somme",
        r"(?:en )?moyen(?:ne)?s?",
        r"combien(?: de| d['’])?|nombre (?:de|d['’])",
        r"(?:liste|énumère|énumérer|donne|montre)r?(?: tous| toutes)?",
        "quel quelle quels quelles qui quand où comment est sont était a ont eu avons avait le la "
        "les l un une des de du d en au aux à pour avec et y il nous notre mon "
        "dans sur ce cette nos mes ont été ligne lignes valeur valeurs t tous toutes tout "
        "toute faut s se encore déjà nous avons fait",
        {
            "(?:moins|plus) (?:cher|chère)": "prix coût tarif",
            "plus (?:courte?|longue?)": "distance longueur durée",
            "plus (?:lourde?|légère?)": "poids",
        },
        {
            "consommation": "consommé utilisé",
            "dépenses": "dépensé",
            "fournisseur": "fournit fournissent livre",
            **dict.fromkeys(("article", "produit", "objet"), "article produit objet chose"),
        },
        {
            "least": "Calculé : la valeur la plus basse de « {column} » dans {rows}.",
            "most": "Calculé : la valeur la plus haute de « {column} » dans {rows}.",
            "sum": "Calculé : la somme de « {column} » sur {rows} est {value}.",
            "average": "Calculé : la moyenne de « {column} » sur {rows} est {value}.",
            "count": "Calculé : {rows}.",
            "difference": "Calculé : la différence dans « {column} » est {value}.",
            "list": "{shown} sur {rows}.",
            "rows": "{count} lignes",
            "row": "1 ligne",
            "where": " avec {conditions}",
            "gaps": " ({gaps} sans valeur, non comptées)",
            "group_most": "Calculé sur {rows}, par « {label} » ; le plus haut : {value}.",
            "group_least": "Calculé sur {rows}, par « {label} » ; le plus bas : {value}.",
        },
        joining="et",
    ),
    "zh": _words(
        "最少|最低|最小|最便宜|最短",
        "最多|最高|最大|最贵|最长",
        "总共|一共|合计|总和|总计|总",
        "平均",
        "(?<!是)多少[个次条件名位]|(?<!是)多少|有?几[个次条件名位]|有几",
        "列出所有|列出全部|列出|全部列出",
        "多少 哪 个 的 是 在 有 了 我们 什么 哪个 哪一个 请 条 行 吗 呢 得 把 件 台 只 份 次 人 还 "
        "已经 里 种 谁 什么时候 名 位 属于",
        {"最便宜|最贵": "价格 单价 费用", "最短|最长": "长度 距离 时长"},
        {},
        {
            "least": "计算得出：“{column}”在{rows}中的最小值。",
            "most": "计算得出：“{column}”在{rows}中的最大值。",
            "sum": "计算得出：“{column}”在{rows}中的总和为 {value}。",
            "average": "计算得出：“{column}”在{rows}中的平均值为 {value}。",
            "count": "计算得出：{rows}。",
            "difference": "计算得出：“{column}”相差 {value}。",
            "list": "{rows}中的 {shown} 行。",
            "rows": "{count} 行",
            "row": "1 行",
            "where": "（{conditions}）",
            "gaps": "（{gaps} 行没有值，未计入）",
            "group_most": "在{rows}中按“{label}”计算，最多：{value}。",
            "group_least": "在{rows}中按“{label}”计算，最少：{value}。",
        },
        is_spaced=False,
    ),
}
"""By ISO 639-1 code."""
