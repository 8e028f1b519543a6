"""Charts and SmartArt diagrams of Office files, which drawings refer to as separate parts.

Source: ECMA-376 part 1, chapters 21.2 and 21.4.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lxml import etree

from kvasir.components.extractors.archive import parse_xml
from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.components.extractors.drawing_chart import add_chart
from kvasir.components.extractors.drawing_chartex import CX, add_chartex
from kvasir.components.extractors.drawing_text import paragraph_text
from kvasir.components.extractors.ooxml import R

_C = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_DGM = "{http://schemas.openxmlformats.org/drawingml/2006/diagram}"


def add_drawing_parts(
    drawing: etree._Element,
    relations: Mapping[str, Any],
    builder: DocumentBuilder,
    page: int | None = None,
    format_of: Callable[[str], str] = lambda _: "General",
) -> None:
    """Append the charts and diagrams that a drawing refers to by relationships of its part.

    ``format_of`` returns the number format of the cells that a chart's formula refers to.
    """
    for reference in drawing.iter(f"{_C}chart"):
        if (root := _root(relations, reference.get(f"{R}id"))) is not None:
            add_chart(root, builder, page, format_of)
    for reference in drawing.iter(f"{CX}chart"):
        if (root := _root(relations, reference.get(f"{R}id"))) is not None:
            add_chartex(root, builder, page)
    for reference in drawing.iter(f"{_DGM}relIds"):
        if (root := _root(relations, reference.get(f"{R}dm"))) is not None:
            add_diagram(root, builder, page)


def _root(relations: Mapping[str, Any], key: object) -> etree._Element | None:
    relation = relations.get(str(key))
    if relation is None or relation.is_external:
        return None
    return parse_xml(relation.target_part.blob)


def add_diagram(root: etree._Element, builder: DocumentBuilder, page: int | None) -> None:
    """Append the texts of a diagram's data part as a list; what hangs on a node is deeper."""
    builder.end_block()
    for depth, text in _nodes(root):
        builder.add_item(text, depth=depth, page=page)
    builder.end_block()


def _nodes(root: etree._Element) -> Iterator[tuple[int, str]]:
    points = {str(point.get("modelId")): point for point in root.iter(f"{_DGM}pt")}
    children: dict[str, list[tuple[int, str]]] = defaultdict(list)
    below: set[str] = set()
    for link in root.iter(f"{_DGM}cxn"):
        if link.get("type", "parOf") == "parOf":
            order = str(link.get("srcOrd") or "0")
            child = str(link.get("destId"))
            children[str(link.get("srcId"))].append((int(order) if order.isdigit() else 0, child))
            below.add(child)
    waiting = [(0, key) for key in reversed(points) if key not in below]
    seen: set[str] = set()
    while waiting:
        depth, key = waiting.pop()
        if key in seen or key not in points:
            continue
        seen.add(key)
        text = " ".join(paragraph_text(paragraph, {}) for paragraph in points[key].iter(f"{_A}p"))
        if text.strip():
            yield depth, text
        inner = depth + bool(text.strip())
        waiting += [(inner, child) for _, child in sorted(children[key], reverse=True)]
