"""Docling's current JSON, ``DoclingDocument``: a tree of references from ``body``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kvasir.components.extractors.docling_items import broken, page_number, resolve
from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.components.extractors.markdown_table import grid_rows, markdown_table
from kvasir.core.types import BlockKind

_FURNITURE = frozenset({"page_header", "page_footer"})
_MAX_CELLS = 1_000_000
_TABLES_OF_CONTENTS = frozenset({
    "contents", "table of contents", "inhalt", "inhaltsverzeichnis", "índice", "contenido",
    "sommaire", "table des matières", "indice", "sumário", "mục lục", "目录", "目錄", "目次",
})  # fmt: skip
_KINDS = {
    "code": BlockKind.CODE,
    "caption": BlockKind.CAPTION,
    "title": BlockKind.HEADING,
    "section_header": BlockKind.HEADING,
}


def read_v2(values: dict[str, Any], builder: DocumentBuilder) -> None:
    """Append the document's blocks in reading order.

    Raises:
        ExtractionError: It has no body, or a reference in it leads nowhere.
    """
    if not isinstance(values.get("body"), dict):
        raise broken("it has no 'body'")
    reader = _Reader(values, builder)
    reader.read(values["body"])
    origin = values.get("origin") or {}
    builder.title = reader.title or builder.title or str(values.get("name") or "")
    builder.set_metadata(
        {
            "original_file": str(origin.get("filename") or ""),
            "original_media_type": str(origin.get("mimetype") or ""),
            # An unsigned 64-bit number, too large for the stores.
            "original_hash": str(origin.get("binary_hash") or ""),
        }
    )


class _Reader:
    """Walks the tree depth first."""

    def __init__(self, values: dict[str, Any], builder: DocumentBuilder) -> None:
        self._values = values
        self._builder = builder
        self._visited: set[str] = set()
        self._own_title = ""
        self._first_heading = ""

    @property
    def title(self) -> str:
        """Docling's title, or else the first heading of the text."""
        return self._own_title or self._first_heading

    def read(self, parent: dict[str, Any], depth: int = 0, ordered: bool = False) -> None:
        """Append the items that the children of an item refer to."""
        number = 0
        for reference in parent.get("children") or ():
            name, item = self._resolve(reference)
            if name in self._visited or item.get("content_layer", "body") != "body":
                continue
            self._visited.add(name)
            if item.get("label") in _FURNITURE:
                continue
            number += 1
            self._item(item, depth, number if ordered else None)

    def _resolve(self, reference: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        name = str(reference.get("$ref") or reference.get("cref") or "")
        return name, resolve(self._values, name)

    def _item(self, item: dict[str, Any], depth: int, number: int | None) -> None:
        label = str(item.get("label"))
        if label == "list_item":
            self._list_item(item, depth, number)
        elif label in ("list", "ordered_list"):
            self.read(item, depth, label == "ordered_list")
            return
        elif label == "inline":
            self._inline(item, depth)
            return
        else:
            self._builder.end_block()
            self._block(item, label)
        self.read(item, depth + 1 if label == "list_item" else depth)

    def _list_item(self, item: dict[str, Any], depth: int, number: int | None) -> None:
        marker = str(item.get("marker") or "").strip()
        if item.get("enumerated") and number and not marker.strip("-*•"):
            marker = f"{number}."
        marker = marker if marker.strip("*•·◦▪ ") else "-"
        text, page = str(item.get("text") or ""), page_number(item, "page_no")
        self._builder.add_item(text, marker, depth=depth, page=page)

    def _inline(self, group: dict[str, Any], depth: int) -> None:
        """Append the pieces of one line, which docling splits at changes of formatting."""
        texts = []
        page = None
        for reference in group.get("children") or ():
            name, item = self._resolve(reference)
            self._visited.add(name)
            page = page or page_number(item, "page_no")
            texts.append(str(item.get("text") or ""))
        text = " ".join(part for part in texts if part.strip())
        if self._builder.in_list and depth:
            self._builder.add_item(text, depth=depth - 1)
        else:
            self._builder.add(BlockKind.PARAGRAPH, text, page=page)

    def _block(self, item: dict[str, Any], label: str) -> None:
        page = page_number(item, "page_no")
        for caption in item.get("captions") or ():
            name, found = self._resolve(caption)
            if name not in self._visited:
                self._visited.add(name)
                self._builder.add(BlockKind.CAPTION, str(found.get("text") or ""), page=page)
        data = item.get("data")
        if isinstance(data, dict) and ("table_cells" in data or "grid" in data):
            self._builder.add(BlockKind.TABLE, markdown_table(_rows(data)), page=page)
        text = item.get("text")
        if isinstance(text, str):
            kind = _KINDS.get(label, BlockKind.PARAGRAPH)
            level = None
            if kind is BlockKind.HEADING:
                # The title has level 1, so that it is above the sections.
                level = 1 if label == "title" else int(item.get("level") or 1) + 1
                self._note_title(" ".join(text.split()), label)
            self._builder.add(kind, text, page=page, level=level)

    def _note_title(self, text: str, label: str) -> None:
        if label == "title":
            self._own_title = self._own_title or text
        elif text.casefold() not in _TABLES_OF_CONTENTS:
            self._first_heading = self._first_heading or text


def _rows(data: dict[str, Any]) -> list[list[str]]:
    """Return the cells; a spanning cell is repeated in each cell that it covers."""
    cells = data.get("table_cells") or [cell for row in data.get("grid") or () for cell in row]
    grid: dict[tuple[int, int], str] = {}
    for cell in cells:
        for y in _range(cell, "row"):
            for x in _range(cell, "col"):
                grid[y, x] = str(cell.get("text") or "")
        if len(grid) > _MAX_CELLS:
            raise broken("a table has more than a million cells")
    return grid_rows(grid)


def _range(cell: dict[str, Any], axis: str) -> Iterator[int]:
    start = int(cell.get(f"start_{axis}_offset_idx") or 0)
    end = int(cell.get(f"end_{axis}_offset_idx") or start + 1)
    return iter(range(start, min(end, start + 1000)))
