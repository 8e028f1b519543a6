"""Charts that came with Office 2016: waterfalls, funnels, tree maps, histograms and others.

Source: [MS-ODRAWXML] 2.24.3 (chartex).
"""

from __future__ import annotations

import re
from itertools import islice

from lxml import etree

from kvasir.components.extractors.cell_formats import shown_exactly
from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.components.extractors.drawing_chart import (
    MAX_POINTS,
    Points,
    SeriesTable,
    add_chart_blocks,
    table_for,
)
from kvasir.components.extractors.drawing_text import A, paragraph_text

CX = "{http://schemas.microsoft.com/office/drawing/2014/chartex}"
_HIDDEN = ("1", "true")
_GENERAL = "General"


def add_chartex(root: etree._Element, builder: DocumentBuilder, page: int | None) -> None:
    """Append a chart's title and kind as a caption, and its series as columns of tables."""
    data = {str(each.get("id")): each for each in root.iterfind(f"{CX}chartData/{CX}data")}
    tables: list[SeriesTable] = []
    shown = [each for each in root.iter(f"{CX}series") if each.get("hidden") not in _HIDDEN]
    for series in shown:
        reference = series.find(f"{CX}dataId")
        source = data.get(str(reference.get("val"))) if reference is not None else None
        if source is None:
            continue  # A line that is computed from another series.
        table = table_for(_points(source, "strDim"), tables)
        table.names.append(_title(series))
        table.columns.append(_points(source, "numDim"))
    labels, values = _axis_titles(root)
    lines = (
        _title(root.find(f"{CX}chart/{CX}title")),
        _kind(shown),
        f"Values: {values}" if values else "",
    )
    add_chart_blocks(builder, page, lines, labels, tables)


def _title(parent: etree._Element | None) -> str:
    """Return the text of a title or of a series' name."""
    text = parent.find(f"{CX}tx") if parent is not None else None
    if text is None:
        return ""
    value = text.findtext(f"{CX}txData/{CX}v") or ""
    rich = (paragraph_text(each, {}) for each in text.iterfind(f"{CX}rich/{A}p"))
    return value or " ".join(filter(None, rich))


def _axis_titles(root: etree._Element) -> tuple[str, str]:
    """Return the titles of the axis of labels and of those of values."""
    titles: tuple[list[str], list[str]] = [], []
    for axis in root.iterfind(f"{CX}chart/{CX}plotArea/{CX}axis"):
        title = _title(axis.find(f"{CX}title"))
        if title and axis.get("hidden") not in _HIDDEN:
            titles[axis.find(f"{CX}valScaling") is not None].append(title)
    return ", ".join(titles[0]), ", ".join(titles[1])


def _kind(series: list[etree._Element]) -> str:
    """Return the kind of the first series, such as ``Box whisker chart``."""
    if not series:
        return ""
    if series[0].find(f"{CX}layoutPr/{CX}binning") is not None:
        return "Histogram"
    words = re.sub(r"(?=[A-Z])", " ", str(series[0].get("layoutId") or "")).lower()
    return f"{words} chart".strip().capitalize()


def _points(source: etree._Element, dimension: str) -> Points:
    """Return texts or numbers by index; labels of several levels are joined, outermost first."""
    values: Points = {}
    for level in source.iterfind(f"{CX}{dimension}/{CX}lvl"):
        number_format = str(level.get("formatCode") or _GENERAL)
        for point in islice(level.iterfind(f"{CX}pt"), MAX_POINTS):
            index, value = str(point.get("idx") or ""), point.text or ""
            if not index.isdecimal():
                continue
            if dimension == "numDim":
                value = shown_exactly(value, number_format)
            number = int(index)
            # The innermost level comes first in the file.
            values[number] = f"{value} {values[number]}" if number in values else value
    return values
