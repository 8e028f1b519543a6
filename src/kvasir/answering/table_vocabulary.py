"""Words with which people ask about a column without its header's words, in all languages.

"How much did we spend" asks for a column "Amount (€)", "how many rides" counts the rows of a table
with distances. Such words count only where the table has the header; others stay unexplained.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_MONEY = (
    r"amount|cost|costs|expenses?|price|fee|net|gross|importe|gasto|coste?|precio|betrag|kosten|"
    r"preis|ausgaben?|netto|brutto|montant|coût|dépenses?|prix|[€£$¥]|eur|gbp|usd|chf|"
    r"金额|费用|价格|单价|费|元"
)
_QUANTITY = (
    r"quantity|qty|units?(?: sold)?|pieces|sold|menge|stück|anzahl|absatz|cantidad|unidades|"
    r"quantité|nombre|数量|销量|件数"
)
_REVENUE = r"revenue|turnover|income|takings|umsatz|ingresos|recettes?|chiffre|销售额|收入"
_DISTANCE = (
    r"distance|kilomet(?:re|er)s?|km|miles?|strecke|distancia|kilómetros|kilomètres?|里程|公里"
)
_DURATION = r"duration|time|min(?:utes)?|hours?|h|dauer|zeit|duración|tiempo|durée|temps|时长|用时"
_NAME = r"name|employee|person|member|staff|role|mitarbeiter|nombre|empleado|nom|prénom|姓名|员工"

TIED: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(rf"(?<![^\W_])(?:{header})(?![^\W_])|(?:{wide})", re.IGNORECASE), words)
    for header, wide, words in (
        (
            _MONEY,
            "金额|费用|价格|单价|元",
            "spend spent pay paid gastar gastado gastamos gastó "
            "pagar pagado pagamos pagó "
            "ausgegeben ausgeben bezahlt bezahlen gezahlt "
            "dépensé dépenser dépensons payé payer payons 花 花了 付",
        ),
        (
            _MONEY,
            "金额|费用|价格|单价|元",
            "money amount amounts expense expenses dinero importe importes geld betrag beträge "
            "argent montant montants 钱",
        ),
        (
            r"costs?|price|fee|charge|amount|expenses?|costes?|precio|cuota|gasto|importe|kosten|"
            r"preis|gebühr|beitrag|betrag|coûts?|prix|tarif|cotisation|montant|dépenses?",
            "费用|价格|单价|费",
            "cost costs costing costar costó costaron cuesta cuestan vale valen gekostet kostet "
            "kosten kostete coûté coûte coûtent coûter 贵 卖价",
        ),
        (
            _QUANTITY,
            "数量|销量|件数",
            "sell sold sells buy bought vender vendido vendidos vendimos vendió comprado "
            "compramos verkauft verkaufen gekauft vendu vendus vendue vendues vendons acheté "
            "卖 卖出 卖得 售出",
        ),
        (
            _REVENUE,
            "销售额|收入",
            "earn earned earns make made bring brought ingresado ingresamos "
            "facturado eingenommen verdient umgesetzt gagné rapporté rapporte "
            "rapportent encaissé 赚",
        ),
        (
            _DURATION,
            "时长|用时",
            "long take took takes spend spent durar duró dura tarda tardó "
            "lange dauert dauerte gedauert gebraucht durer duré dure work works "
            "worked trabaja trabajó arbeitet gearbeitet travaille travaillé",
        ),
        (
            _DISTANCE,
            "里程|公里",
            "far weit loin 多远 travelled traveled drive drove driven recorrido recorrimos "
            "gefahren fährt fuhr parcouru roulé",
        ),
        (
            r"office|room|desk|building|city|town|büro|raum|zimmer|stadt|oficina|sala|ciudad|"
            r"bureau|salle|ville",
            "办公室|房间|城市",
            "sit sits live lives based sitzt sitzen wohnt wohnen arbeitet trabaja vive viven "
            "travaille habite 坐 住",
        ),
        (
            r"supplier|vendor|lieferant|proveedor|fournisseur",
            "供应商|供货商",
            "supply supplies supplied deliver delivers delivered suministra suministran entrega "
            "liefert liefern geliefert fournit fournissent livre livrent 供应 提供",
        ),
        (
            r"paid by|pagado por|bezahlt von|payé par",
            "付款人|支付人",
            "pay paid pays pagó pagar paga pagado bezahlt zahlt zahlte gezahlt paye payé 付 付了",
        ),
        (
            r"author|writer|autor(?:in)?|autora|auteure?",
            "作者",
            "write wrote written writes escribió escrito escribe schrieb geschrieben écrit écrivit "
            "写 写了",
        ),
        (
            r"teacher|trainer|instructor|coach|lehrer(?:in)?|kursleitung|leitung|profesora?|"
            r"monitora?|professeure?|animateur",
            "老师|教练",
            "teach teaches taught lead leads led enseña dirige imparte unterrichtet leitet gibt "
            "enseigne anime dirige 教",
        ),
        (
            r"weight|kg|gewicht|peso|poids",
            "重量|公斤",
            "weigh weighs weighed pesa pesan wiegt wiegen pèse pèsent 重",
        ),
    )
)
"""A header, and verbs and nouns that speak of its column."""

ENTITIES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(rf"(?<![^\W_])(?:{header})(?![^\W_])|(?:{wide})", re.IGNORECASE), words)
    for header, wide, words in (
        (
            rf"{_DISTANCE}|route",
            "里程|路线",
            "ride rides rode ridden ride trip trips tour tours journey journeys run runs walk "
            "walks hike hikes outing outings "
            "fahrt fahrten ausflug ausflüge tour touren wanderung wanderungen strecke strecken "
            "viaje viajes salida salidas paseo paseos excursión excursiones "
            "trajet trajets sortie sorties balade balades randonnée randonnées voyage voyages "
            "行程 骑行 路线",
        ),
        (
            r"title|author|isbn|titel|autor(?:in)?|título|titre|auteure?",
            "书名|作者",
            "book books buch bücher büchern libro libros livre livres 书",
        ),
        (
            _NAME,
            "姓名|员工",
            "people person persons employee employees colleague colleagues staff member members "
            "leute personen person mitarbeiter mitarbeiterinnen kollegen "
            "personas persona empleados empleado compañeros "
            "personnes personne employés employé collègues gens 人 员工 同事",
        ),
        (
            r"invoice|rechnung|factura|facture",
            "发票|账单",
            "bill bills invoice invoices billed invoiced rechnungen facturas facturado factures "
            "facturé 发票 账单",
        ),
        (
            r"concept|item|purpose|category|concepto|categoría|posten|zweck|kategorie|libellé|"
            r"catégorie|poste",
            "项目|类别",
            "expense expenses payment payments purchase purchases gasto gastos pago pagos compra "
            "compras ausgabe ausgaben zahlung zahlungen dépense dépenses paiement paiements achat "
            "achats 支出 开支",
        ),
    )
)
"""A header, and what a row of its table is called."""

_ROW_WORDS = """
    row rows entry entries record records line lines time times
    zeile zeilen eintrag einträge einträgen mal male
    fila filas entrada entradas registro registros vez veces
    ligne lignes entrée entrées fois 行 条 次
"""
ROW_WORDS = frozenset(_ROW_WORDS.split())
"""Words for a row of any table."""

ADDS_UP_NOT = re.compile(
    r"price|rate|tariff|ratio|share|average|mean|percent|[%‰°]|temperature|degrees?|\bage\b|year|"
    r"speed|score|rating|grade|height|altitude|level|balance|capacity|\bper\b|/|\beach\b|"
    r"preis|tarif|satz|anteil|durchschnitt|mittel|prozent|temperatur|alter\b|jahr|tempo|"
    r"geschwindigkeit|note|höhe|stand\b|saldo|\bpro\b|\bje\b|"
    r"precio|tasa|media|promedio|porcentaje|edad|año|velocidad|nota|altura|\bpor\b|unitari|"
    r"prix|taux|moyenne?|pourcentage|âge|année|vitesse|hauteur|solde|\bpar\b|"
    r"单价|价格|比|率|平均|温度|年龄|年份|速度|分数|高度|余额",
    re.IGNORECASE,
)
"""In the header of a column whose values are not added up unless the question says so."""

COUNTS = re.compile(
    rf"(?<![^\W_])(?:{_QUANTITY}|stocks?|in stock|count|number|bestand|existencias)(?![^\W_])|"
    "数量|销量|件数|库存",
    re.IGNORECASE,
)
"""In the header of a column that says how many of a thing there are."""

HOW_MUCH = {
    "en": r"how (?:much|many)|what did (?:we|i|they|you) (?:pay|spend)|what have we (?:paid|spent)",
    "es": r"cuánt[oa]s?|cuant[oa]s?",
    "de": r"wie ?viele?|was (?:hat|haben|hatten?) .*(?:gekostet|bezahlt|ausgegeben)",
    "fr": r"combien",
    "zh": r"多少|几",
}
"""Questions for an amount, for which the values of several rows are added up."""

_HOW_MANY_FRENCH = re.compile(
    r"\b(?:combien(?: y a[- ]t[- ]il| (?:avons|avez|ai|a|as|ont)[- ](?:t-)?\w+)?|nombre) "
    r"(?:de |d['’])",
    re.IGNORECASE,
)

MOST_OFTEN = {
    "en": r"most (?:often|frequently)|the most times",
    "es": r"más (?:veces|a menudo)|con más frecuencia",
    "de": r"am (?:häufigsten|öftesten)",
    "fr": r"le plus (?:souvent|de fois)",
    "zh": r"最(?:常|多次|频繁)|次数最多",
}
"""Words after which rows are counted, whatever is in them."""

MORE = {"en": r"\bmore(?! than)\b", "de": r"\bmehr(?! als)\b", "zh": r"更[多高大]"}
"""Words with which two groups of rows are compared by their sums."""

TIMES = {
    "en": r"how often|how many times",
    "es": r"cuántas veces",
    "de": r"wie (?:oft|häufig)|wie ?viele male",
    "fr": r"combien de fois",
    "zh": r"多少次|几次",
}
"""Questions for the number of rows, whatever is in them."""

ASKS_A_PRICE = re.compile(
    r"\b(?:do|does)\b.*\bcost\b|\b(?:costs|cuestan?|vale|kostet|kosten|coûtent?)\b|多少钱一",
    re.IGNORECASE,
)
"""Questions for what one costs, of which no sum is the answer."""

OF_A_LABEL = re.compile(
    r"^\W*(?:who|when|where|qui[ée]n(?:es)?|cu[áa]ndo|d[óo]nde|wer|wann|wo|qui|quand|où)\b|"
    r"谁|什么时候|哪里",
    re.IGNORECASE,
)
"""Questions for a name, a day or a place, which no number answers."""
OF_A_ROW = re.compile(
    r"\b(?:who|when|where|which|what|qui[ée]n(?:es)?|cu[áa]ndo|d[óo]nde|qué|cuál(?:es)?|wer|wann|wo|"
    r"welche\w?|was|qui|quand|où|quel(?:le)?s?)\b|谁|什么|哪",
    re.IGNORECASE,
)
"""Questions that a row answers."""
OF_SIZE = re.compile(
    r"\b(?:largest|biggest|smallest|highest|lowest|mayor|menor|más (?:grande|pequeñ[oa]|alt[oa]|"
    r"baj[oa])|größte\w?|kleinste\w?|höchste\w?|niedrigste\w?|plus (?:grande?|grosse?|petite?|"
    r"élevée?|haute?|basse?))\b|最[大小高低]",
    re.IGNORECASE,
)
"""Questions for the most or least of a row as a whole."""

EACH_OF_THE_FIRST = (
    ("每个月", "月"),
    ("每月", "月"),
    ("每年", "年"),
    ("每天", "日"),
    ("每日", "日"),
)
"""Chinese words for "per month" and the like, and what is in the header of such a column."""

DIFFERENCES = {
    "en": r"(?:what is |what's )?(?:the )?difference (?:in [\w ]+? )?between",
    "es": r"(?:cuál es )?(?:la )?diferencia (?:de [\w ]+? )?entre",
    "de": r"(?:wie (?:groß|hoch) ist )?(?:der |die )?(?:unterschied|differenz) zwischen",
    "fr": r"(?:quelle est )?(?:la |l['’])?(?:différence|écart) (?:de [\w ]+? )?entre",
}
"""Words before the two values of which the difference is asked for."""

OPPOSITES = {"en": ("un", "in", "non"), "de": ("un", "nicht")}
"""Beginnings of words that mean the opposite: "unpaid"."""

_STILL_TO_COME = """
    open outstanding due overdue pending waiting new todo planned no none -
    offen ausstehend fällig überfällig wartend neu geplant nein
"""
STILL_TO_COME = frozenset([*_STILL_TO_COME.split(), "", "to do"])
"""Values that say of a thing no more than that it is not done: "refunded" is no "unpaid"."""

ONWARDS = {
    "en": r"\bfrom {day} on\b|\bhow much\b.*\bfrom {day}",
    "de": r"\bvo[nm] {day} an\b",
}
"""Words around a day or month that mean all that follows it as well."""

_IS_REGULAR = {
    "en": r"how (?:often|many times) (?:do|does|is|are|should|must|can|may|will)",
    "es": r"cuántas veces (?:se|hay que|debe|deben|al|por)",
    "de": r"wie (?:oft|häufig) (?:wird|werden|muss|müssen|soll|sollen|sollte|kann|darf)",
    "fr": r"combien de fois (?:par|faut|doit|doivent|peut)",
    "zh": r"每.*[多几]少?次",
}
_INTERVAL = re.compile(
    r"interval|frequency|every|how often|schedule|frecuencia|periodicidad|cada\b|turnus|häufigkeit|"
    r"wie oft|fréquence|périodicité|周期|频率|间隔",
    re.IGNORECASE,
)

_SPENDING = re.compile(
    r"\b(?:spend|spent|pay|paid|buy|bought|gast\w+|pag\w+|compr\w+|ausgegeben|bezahlt|gezahlt|"
    r"gekauft|dépens\w+|pay(?:é|e|er|ons)|achet\w+)\b|花|买",
    re.IGNORECASE,
)
_SPENDING_NAMED = re.compile(
    r"\b(?:expens\w+|spending|purchas\w+|gastos?|compras?|ausgaben|einkäufe|dépenses?|achats?)\b|"
    "支出|采购",
    re.IGNORECASE,
)
_EARNING = re.compile(
    r"\b(?:earn\w*|sell\w*|sold|vend[ie]\w+|ingres\w+|verkauft?|verdient?|eingenommen|vendue?s?|"
    r"gagn\w+|encaiss\w+|rapport\w+)\b|卖|赚",
    re.IGNORECASE,
)
_EARNING_NAMED = re.compile(
    r"\b(?:sales?|income|revenue|earnings|donations?|verkäufe|umsatz|einnahmen|spenden|ventas?|"
    r"ingresos|donaciones|ventes?|recettes?|dons)\b|销售|收入",
    re.IGNORECASE,
)


_CAME_IN = re.compile(
    r"in|income|incoming|revenues?|receipts?|credits?|deposits?|earnings?|refunds?|"
    r"einnahmen?|eingang|eingänge|haben|gutschrift(?:en)?|erstattung(?:en)?|"
    r"ingresos?|entradas?|abonos?|devoluci(?:ón|ones)|recettes?|entrées?|crédits?|收入|进账|退款",
    re.IGNORECASE,
)
_WENT_OUT = re.compile(
    r"out|expenses?|expenditures?|outgoings?|debits?|withdrawals?|"
    r"ausgaben?|ausgang|ausgänge|soll|gastos?|salidas?|cargos?|dépenses?|sorties?|débits?|支出",
    re.IGNORECASE,
)


def is_of_one_side(text: str) -> bool:
    """Return True if a text speaks of money that is spent, or of money that comes in."""
    patterns = (_SPENDING, _SPENDING_NAMED, _EARNING, _EARNING_NAMED)
    return any(pattern.search(text) for pattern in patterns)


def is_of_both_sides(question: str, cells: Iterable[str]) -> bool:
    """Return True if a value says that its row is money of the side that is not asked for."""
    spends = _SPENDING.search(question) or _SPENDING_NAMED.search(question)
    earns = _EARNING.search(question) or _EARNING_NAMED.search(question)
    if spends and earns:
        return False
    other = _CAME_IN if spends else _WENT_OUT if earns else None
    return other is not None and any(other.fullmatch(cell.strip()) for cell in cells)


def asks_an_interval(question: str, language: str, headers: str) -> bool:
    """Return True if "how often" asks for what is regular, of which rows are no number."""
    is_regular = re.search(_IS_REGULAR[language], question, re.IGNORECASE)
    return is_regular is not None or _INTERVAL.search(headers) is not None


def is_of_the_other_side(question: str, names: str) -> bool:
    """Return True if money that is spent is asked of a table of what came in, or the reverse."""
    spends, earns = (words.search(question) is not None for words in (_SPENDING, _EARNING))
    is_spending, is_earning = (
        words.search(names.replace("_", " ")) is not None
        for words in (_SPENDING_NAMED, _EARNING_NAMED)
    )
    return (spends and is_earning and not earns) or (earns and is_spending and not spends)


def after_how_many(question: str) -> str:
    """Return what follows a French word for how many; "combien" alone may ask for an amount."""
    return question[found.end() :] if (found := _HOW_MANY_FRENCH.search(question)) else ""


def counts_a_row(text: str, headers: str) -> bool:
    """Return True if a Chinese text begins with a word for what a row is, its classifier aside."""
    words = words_of(ENTITIES, headers).split()
    return text.startswith(tuple(word for word in words if not word.isascii()))


def words_of(pairs: tuple[tuple[re.Pattern[str], str], ...], header: str) -> str:
    """Return the words of the entries whose header is found, joined by spaces."""
    return " ".join(words for pattern, words in pairs if pattern.search(header))


def groups_of(headers: str) -> list[str]:
    """Return the words of each entry whose header is found."""
    return [words for pattern, words in (*TIED, *ENTITIES) if pattern.search(headers)]
