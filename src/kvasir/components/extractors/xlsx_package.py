"""The parts of an Excel file that openpyxl does not read: drawings with charts, shapes, pictures.

A sheet leads to its drawing and that to charts, by relationships. Source: ECMA-376 part 1,
chapters 18 and 20.5.
"""

from __future__ import annotations

import posixpath
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace

from lxml import etree

from kvasir.components.extractors.archive import parse_xml, read_member
from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.components.extractors.drawing_parts import add_drawing_parts
from kvasir.components.extractors.drawing_text import paragraph_text
from kvasir.components.extractors.ooxml import R, resolve_alternatives
from kvasir.core.types import BlockKind

WORKBOOK = "xl/workbook.xml"
_XDR = "{http://schemas.openxmlformats.org/drawingml/2006/spreadsheetDrawing}"
_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"


@dataclass(frozen=True, slots=True)
class Drawing:
    """Something that lies on a sheet at a cell, both from 1."""

    row: int
    column: int
    element: etree._Element
    relations: dict[str, SimpleNamespace]

    def add(self, builder: DocumentBuilder, page: int, format_of: Callable[[str], str]) -> None:
        """Append its charts, diagrams, texts and the description of a picture."""
        add_drawing_parts(self.element, self.relations, builder, page, format_of)
        for shape in self.element.iter(f"{_XDR}sp", f"{_XDR}pic"):
            about = shape.find(f"*/{_XDR}cNvPr")
            if about is not None and about.get("hidden") in ("1", "true"):
                continue
            for paragraph in shape.iterfind(f"{_XDR}txBody/{_A}p"):
                text = paragraph_text(paragraph, self.relations)
                builder.add(BlockKind.PARAGRAPH, text, page=page)
            described = about.get("descr") if about is not None else ""
            if described and described.strip():
                builder.add(BlockKind.PARAGRAPH, f"Picture: {described}", page=page)


class Package:
    """Follows the relationships between the parts of a workbook."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self._names = set(archive.namelist())
        self._sheets: dict[str, str] = {}
        if WORKBOOK in self._names:
            relations = self._relations(WORKBOOK)
            for sheet in parse_xml(read_member(archive, WORKBOOK)).iter("{*}sheet"):
                relation = relations.get(str(sheet.get(f"{R}id")))
                if relation is not None and relation.name in self._names:
                    self._sheets[str(sheet.get("name"))] = relation.name

    @property
    def sheets(self) -> list[str]:
        """The parts that hold sheets."""
        return list(self._sheets.values())

    def drawings(self, title: str) -> list[Drawing]:
        """Return what lies on a sheet, by place."""
        part = self._sheets.get(title)
        found: list[Drawing] = []
        for name in self._related(part, "drawing") if part else ():
            root = parse_xml(read_member(self._archive, name))
            resolve_alternatives(root)
            for anchor in root:
                row, column = _place(anchor)
                found.append(Drawing(row, column, anchor, self._relations(name)))
        return sorted(found, key=lambda each: (each.row, each.column))

    def _related(self, part: str, kind: str) -> Iterator[str]:
        for relation in self._relations(part).values():
            if relation.kind == kind and relation.name in self._names:
                yield relation.name

    def _relations(self, part: str) -> dict[str, SimpleNamespace]:
        """Return the relationships of a part by id, in the form of python-docx's."""
        folder, name = posixpath.split(part)
        path = f"{folder}/_rels/{name}.rels"
        if path not in self._names:
            return {}
        found = {}
        for item in parse_xml(read_member(self._archive, path)):
            target = posixpath.normpath(posixpath.join("/", folder, str(item.get("Target"))))[1:]
            is_missing = item.get("TargetMode") == "External" or target not in self._names
            found[str(item.get("Id"))] = SimpleNamespace(
                kind=str(item.get("Type")).rpartition("/")[2],
                name=target,
                is_external=is_missing,
                target_ref=str(item.get("Target")),
                target_part=None if is_missing else _Part(self._archive, target),
            )
        return found


@dataclass(frozen=True, slots=True)
class _Part:
    """A part whose bytes are read when they are needed."""

    archive: zipfile.ZipFile
    name: str

    @property
    def blob(self) -> bytes:
        return read_member(self.archive, self.name)


def _place(anchor: etree._Element) -> tuple[int, int]:
    """Return row and column of an anchor, from 1; (0, 0) if it lies at no cell."""
    start = anchor.find(f"{_XDR}from")
    if start is None:
        return 0, 0
    row, column = (str(start.findtext(f"{_XDR}{name}") or "") for name in ("row", "col"))
    return (int(row) + 1, int(column) + 1) if row.isdigit() and column.isdigit() else (0, 0)
