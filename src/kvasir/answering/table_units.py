"""The unit that a header names in brackets, such as "Consumption (kWh)".

Other words in brackets say something else: "Population (2021)", "Price (net)". Only what is listed
here is a unit: symbols, codes of currencies, and words for time, lengths, weights and counts in
English, Spanish, German, French and Chinese.
"""

from __future__ import annotations

import re

_SYMBOLS = """
    mm cm dm m km µm nm in ft yd mi mm² cm² m² km² ha mm³ cm³ m³ km³ sqm sqft
    mg g kg t µg lb lbs oz ml cl dl l hl gal ms µs s sec min h hr hrs d wk mo yr j a
    b kb mb gb tb pb kib mib gib tib bit kbit mbit gbit hz khz mhz ghz
    w kw mw gw wh kwh mwh gwh j kj mj kcal cal v mv kv ma mah ah ω kω n nm pa hpa kpa mpa bar mbar
    psi rpm dpi px pt db lm lx ppm ppb ph mol mmol k °c °f ° c f ℃ ℉ mph kmh km/h m/s kn bpm fps
    % ‰ € $ £ ¥ ₫ ₹ ₽ ₩ zł kč us$ a$ c$ pcs pc st stk stck std min. std. st. uds ud
    eur usd gbp chf jpy cny rmb vnd inr rub krw sek nok dkk pln czk huf cad aud nzd mxn brl ars clp
    cop try zar hkd sgd thb twd
"""
_WORDS = """
    thousand thousands million millions billion billions tsd mio mrd tausend millionen milliarden
    miles millones millón milliers milliards
    second seconds minute minutes hour hours day days night nights week weeks month months
    year years
    sekunden minuten stunde stunden tag tage nächte wochen monat monate jahr jahre
    segundos minuto minutos hora horas día días noches semanas mes meses año años
    secondes heure heures jour jours nuits semaines mois an ans année années
    metre metres meter meters kilometre kilometres kilometer kilometers mile miles feet inches
    metro metros kilómetros kilomètres mètres
    gram grams kilogram kilograms kilo kilos tonne tonnes ton tons pounds ounces gramm kilogramm
    tonnen gramos kilogramos toneladas grammes kilogrammes
    litre litres liter liters litros gallons degrees grad grados degrés celsius fahrenheit
    percent prozent porcentaje pourcent points punkte puntos
    euro euros dollar dollars pound pounds franken francs pesos yuan yen dólares
    people persons personen personas personnes pieces units stück unidades pièces
"""
_WIDE = """
    元 万元 亿元 角 分 美元 欧元 日元 英镑 件 个 台 只 本 册 张 瓶 箱 包 袋 盒 套 双 条 支 枚 份 次
    篇 人 万人 人次 户 家 名 位 辆 架 艘 头 棵 间 所 座 天 日 周 个月 月 年 岁 小时 分钟 秒 点
    公里 千米 米 厘米 毫米 平方米 平方公里 立方米 公顷 亩 公斤 千克 克 吨 万吨 斤 升 毫升
    度 千瓦 千瓦时 摄氏度 百分比 千 万 百万 亿
"""
_UNITS = frozenset(f"{_SYMBOLS} {_WORDS} {_WIDE}".split())
_BRACKETED = re.compile(r"[(（\[]([^()（）\[\]]+)[)）\]]\s*$")
_SEPARATOR = re.compile(r"/|\s+(?:per|pro|por|par|je)\s+|每")
_PLAIN_NUMBER = re.compile(r"[-−+]?\d[\d.,'’ \u00a0\u202f]*")


def unit_of(header: str) -> str:
    """Return the unit in brackets at the end of a header; empty if it has none.

    "€/kg" is one as well: each of its parts is a unit.
    """
    found = _BRACKETED.search(header)
    written = found[1].strip() if found else ""
    parts = [written, *_SEPARATOR.split(written)]
    known = [part.strip().casefold() in _UNITS for part in parts]
    return written if known[0] or all(known[1:]) else ""


def with_unit(value: str, header: str) -> str:
    """Return a value as written, with its header's unit if it is a number without one."""
    unit = unit_of(header) if _PLAIN_NUMBER.fullmatch(value) else ""
    return f"{value} {unit}" if unit else value
