"""Charts of Office files, whose XML caches the values of each series beside its formula.

Source: ECMA-376 part 1, chapter 21.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from lxml import etree

from kvasir.components.extractors.cell_formats import shown_exactly
from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.components.extractors.drawing_text import A, paragraph_text
from kvasir.components.extractors.ooxml import unescaped
from kvasir.core.types import BlockKind

_C = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
MAX_POINTS = 10_000
"""Maximum number of values of a series, and of labels, that are read."""
_GENERAL = "General"
_ON = (None, "1", "true")

Points = dict[int, str]
"""Values by index."""


@dataclass(slots=True)
class SeriesTable:
    """Series that have the same labels or x values."""

    labels: Points
    names: list[str] = field(default_factory=list)
    columns: list[Points] = field(default_factory=list)


def table_for(labels: Points, tables: list[SeriesTable]) -> SeriesTable:
    """Return the table with the same labels, or a new one; a series without labels has any."""
    table = next((one for one in tables if labels in ({}, one.labels)), None)
    if table is None:
        tables.append(table := SeriesTable(labels))
    return table


def add_chart_blocks(
    builder: DocumentBuilder,
    page: int | None,
    lines: Iterable[str],
    label_title: str,
    tables: Iterable[SeriesTable],
) -> None:
    """Append the lines of a chart's caption and its tables."""
    builder.add(BlockKind.CAPTION, "\n".join(line for line in lines if line), page=page)
    for table in tables:
        indices = sorted(set().union(table.labels, *table.columns))
        columns = [table.labels, *table.columns]
        rows = ([column.get(index, "") for column in columns] for index in indices)
        if indices:
            builder.add_table([[label_title, *table.names], *rows], page)


def add_chart(
    root: etree._Element,
    builder: DocumentBuilder,
    page: int | None,
    format_of: Callable[[str], str] = lambda _: _GENERAL,
) -> None:
    """Append a chart's title, kind and units as a caption, and its series as columns of tables.

    ``format_of`` returns the number format of the cells that a formula refers to.
    """
    area = root.find(f"{_C}chart/{_C}plotArea")
    titles = _axis_titles(area) if area is not None else ("", "")
    values = f"Values: {titles[1]}" if titles[1] else ""
    lines = (_title(root.find(f"{_C}chart")), _kind(root), values)
    add_chart_blocks(builder, page, lines, titles[0], _Reader(root, format_of).tables())


class _Reader:
    """Reads the series of a chart."""

    def __init__(self, root: etree._Element, format_of: Callable[[str], str]) -> None:
        self._root = root
        self._format_of = format_of
        self._starts_1904 = _is_on(root.find(f"{_C}date1904"))

    def tables(self) -> list[SeriesTable]:
        """Return the series, apart where they have x values of their own."""
        tables: list[SeriesTable] = []
        for group in self._root.iterfind(f"{_C}chart/{_C}plotArea/*"):
            shared: Points = {}
            for series in group.iterfind(f"{_C}ser"):
                shared = shared or self._points(series, "cat")
                labels = shared or self._points(series, "xVal")
                self._add_series(table_for(labels, tables), series)
        return tables

    def _add_series(self, table: SeriesTable, series: etree._Element) -> None:
        parts = series.iterfind(f"{_C}tx//{_C}v")
        name = " ".join(unescaped(part.text or "") for part in parts)
        size = f"{name} (size)".strip()
        for kind, label in (("val", name), ("yVal", name), ("bubbleSize", size)):
            if points := self._points(series, kind):
                table.names.append(label)
                table.columns.append(points)

    def _points(self, series: etree._Element, name: str) -> Points:
        """Return cached values by index; labels of several levels are joined, outermost first."""
        values: Points = {}
        for index, point, number_format in islice(self._cached(series, name), MAX_POINTS):
            value = unescaped(point.findtext(f"{_C}v") or "")
            if number_format:
                value = shown_exactly(value, number_format, starts_1904=self._starts_1904)
            # The innermost level comes first in the file.
            values[index] = f"{value} {values[index]}" if index in values else value
        return values

    def _cached(
        self, series: etree._Element, name: str
    ) -> Iterator[tuple[int, etree._Element, str]]:
        """Yield index, point and number format of cached values; texts have no format."""
        for source in series.iterfind(f"{_C}{name}/*"):
            shared = self._number_format(source)
            for point in source.iter(f"{_C}pt"):
                index = str(point.get("idx") or "")
                if index.isdecimal():
                    yield int(index), point, shared and str(point.get("formatCode") or shared)

    def _number_format(self, source: etree._Element) -> str:
        """Return the format of a source's numbers, empty for a source of texts.

        Programs that know no better write a general one; then that of the cells counts.
        """
        if str(source.tag).removeprefix(_C) not in ("numRef", "numLit"):
            return ""
        codes = (source.findtext(f"{_C}{path}formatCode") for path in (f"numCache/{_C}", ""))
        code = next(filter(None, codes), _GENERAL)
        return self._format_of(source.findtext(f"{_C}f") or "") if code == _GENERAL else code


def _title(parent: etree._Element | None) -> str:
    """Return the title of a chart or an axis."""
    title = parent.find(f"{_C}title") if parent is not None else None
    if title is None:
        return ""
    texts = [paragraph_text(each, {}) for each in title.iterfind(f"{_C}tx/{_C}rich/{A}p")]
    texts += [unescaped(part.text or "") for part in title.iter(f"{_C}v")]
    return " ".join(filter(None, texts))


def _axis_titles(area: etree._Element) -> tuple[str, str]:
    """Return the titles of the axis of labels or x values, and of the axes of values."""
    labels: list[str] = []
    values: list[str] = []
    is_scatter = any(area.find(f"{_C}{kind}Chart") is not None for kind in ("scatter", "bubble"))
    for axis in area.iterfind(f"{_C}*"):
        kind = str(axis.tag).removeprefix(_C)
        deleted = axis.find(f"{_C}delete")
        if not kind.endswith("Ax") or _is_on(deleted) or not (title := _title(axis)):
            continue
        place = axis.find(f"{_C}axPos")
        lies = place is not None and place.get("val") in ("b", "t")
        (values if kind == "valAx" and not (is_scatter and lies) else labels).append(title)
    return ", ".join(labels), ", ".join(dict.fromkeys(values))


def _is_on(switch: etree._Element | None) -> bool:
    return switch is not None and switch.get("val") in _ON


def _kind(root: etree._Element) -> str:
    """Return the kind of the chart, such as ``Bar chart``; empty if unknown."""
    for child in root.iterfind(f"{_C}chart/{_C}plotArea/*"):
        name = str(child.tag).removeprefix(_C)
        if name.endswith("Chart"):
            return f"{name.removesuffix('Chart').removesuffix('3D').capitalize()} chart"
    return ""
