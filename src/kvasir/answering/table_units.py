"""The unit that a header names in brackets, such as "Energy (kWh)" and "Revenue (million EUR)".

A multiplier that is left out makes a figure wrong. So everything in brackets is a unit, except what
only says of when or of what kind the values are: "Population (2021)", "Price (net, excl. VAT)".
"""

from __future__ import annotations

import re

from kvasir.answering.table_conditions import ANY_MONTH

_KIND_WORDS = """
    net gross excl incl excluding including exclusive inclusive before after without with tax taxes
    vat estimate estimated estimates est provisional preliminary projected projection forecast
    actual budget budgeted planned plan total average mean median approx approximate approximately
    adjusted unadjusted revised rounded current latest optional census as of at end the and or
    fiscal year fy quarter half
    netto brutto ohne mit inkl exkl zzgl mwst ust steuer steuern geschätzt schätzung vorläufig
    prognose geplant gesamt durchschnitt mittelwert ca etwa gerundet bereinigt aktuell stand ist
    soll zum vom ende und oder quartal halbjahr geschäftsjahr
    neto bruto sin con iva impuestos incluido excluido estimado estimada estimación provisional
    provisionales previsto prevista promedio aproximado aproximada actual censo trimestre semestre
    fin final
    ht ttc hors avec sans tva taxe taxes estimé estimée estimation provisoire provisoires prévision
    prévu moyenne environ actuel actuelle recensement semestre brut brute nette
    ước tính tạm chưa đã gồm bao thuế trước sau dự kiến trung bình cuối quý
    含税 不含税 未税 税前 税后 净额 毛额 净 毛 估计 估算 预计 预估 暂定 初步
    实际 平均 合计 大约 约 截至
"""
"""Words for a kind of values, in English, German, Spanish, French, Vietnamese and Chinese."""
_NO_UNITS = frozenset(_KIND_WORDS.split())
_DATES = re.compile(
    rf"(?<!\w)(?:{ANY_MONTH})(?!\w)|(?<!\w)(?:[qht][1-4]|fy ?\d+|(?:năm|quý) \d+)(?!\w)"
    r"|\d{4} ?年(?:度|底|末|初)?|\d{1,2} ?月(?:底|末)?|\d{1,2} ?[日号]|第?[一二三四1-4]季度"
    r"|(?<!\d)(?:1[5-9]|20)\d\d(?!\d)",
    re.IGNORECASE,
)
_SHORT_NUMBER = re.compile(r"\d{1,2}")
"""Of a date or a footnote; a longer one is a multiplier, such as "1,000"."""
_TOKEN = re.compile(r"[^\W\d_]+|\d+|[^\w\s.,;:'’()&+–—/-]")
_BRACKETED = re.compile(r"[(（\[]([^()（）\[\]]+)[)）\]]\s*$")
_PART = re.compile(r"[,;，；]\s+|[，；]")
_LEADING_IN = re.compile(r"^(?:in|en)\s+(?=\S)", re.IGNORECASE)
_PLAIN_NUMBER = re.compile(r"[-−+]?\d[\d.,'’ \u00a0\u202f]*")


def unit_of(header: str) -> str:
    """Return the unit in brackets at the end of a header; empty if it has none."""
    found = _BRACKETED.search(header)
    parts = _PART.split(found[1].strip()) if found else []
    return ", ".join(_LEADING_IN.sub("", part) for part in parts if _is_unit(part))


def _is_unit(part: str) -> bool:
    tokens = _TOKEN.findall(_DATES.sub(" ", part))
    return any(
        token.casefold() not in _NO_UNITS and not _SHORT_NUMBER.fullmatch(token) for token in tokens
    )


def with_unit(value: str, header: str) -> str:
    """Return a value as written, with its header's unit if it is a number without one."""
    unit = unit_of(header) if _PLAIN_NUMBER.fullmatch(value) else ""
    return f"{value} {unit}" if unit else value
