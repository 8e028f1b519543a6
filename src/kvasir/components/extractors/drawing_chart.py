"""Charts of Office files, whose XML caches the values of each series beside its formula.

Source: ECMA-376 part 1, chapter 21.2.
"""

from __future__ import annotations

from itertools import islice

from lxml import etree

from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.core.types import BlockKind

_C = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_MAX_POINTS = 10_000
"""Maximum number of values of a series, and of labels, that are read."""


def add_chart(root: etree._Element, builder: DocumentBuilder, page: int | None) -> None:
    """Append a chart's title and kind as a caption, and its series as the columns of a table."""
    title = root.find(f"{_C}chart/{_C}title")
    texts = title.iter(f"{_A}t", f"{_C}v") if title is not None else ()
    lines = ("".join(part.text or "" for part in texts), _kind(root))
    builder.add(BlockKind.CAPTION, "\n".join(line for line in lines if line), page=page)
    names = [""]
    columns: list[dict[int, str]] = [{}]
    for series in root.iter(f"{_C}ser"):
        columns[0] = columns[0] or _points(series, "cat") or _points(series, "xVal")
        names.append(" ".join(part.text or "" for part in series.iterfind(f"{_C}tx//{_C}v")))
        columns.append(_points(series, "val") or _points(series, "yVal"))
    indices = sorted(set().union(*columns))
    if indices:
        values = ([column.get(index, "") for column in columns] for index in indices)
        builder.add_table([names, *values], page)


def _kind(root: etree._Element) -> str:
    """Return the kind of the chart, such as ``Bar chart``; empty if unknown."""
    for child in root.iterfind(f"{_C}chart/{_C}plotArea/*"):
        name = str(child.tag).removeprefix(_C)
        if name.endswith("Chart"):
            return f"{name.removesuffix('Chart').removesuffix('3D').capitalize()} chart"
    return ""


def _points(series: etree._Element, name: str) -> dict[int, str]:
    """Return the cached values by index; labels of several levels are joined, outermost first."""
    values: dict[int, str] = {}
    for point in islice(series.iterfind(f"{_C}{name}//{_C}pt"), _MAX_POINTS):
        index = str(point.get("idx") or "")
        if index.isdecimal():
            value = point.findtext(f"{_C}v") or ""
            number = int(index)
            # The innermost level comes first in the file.
            values[number] = f"{value} {values[number]}" if number in values else value
    return values
