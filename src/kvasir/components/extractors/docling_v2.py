"""docling's present JSON, ``DoclingDocument``: a tree of references from ``body``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.components.extractors.markdown_table import markdown_table
from kvasir.core.errors import ExtractionError
from kvasir.core.types import BlockKind

_FURNITURE = frozenset({"page_header", "page_footer"})
_REFERENCE = re.compile(r"#/(\w+)/(\d+)")
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
        raise _broken("it has no 'body'")
    reader = _Reader(values, builder)
    reader.read(values["body"])
    reader.flush()
    origin = values.get("origin") or {}
    builder.title = reader.title or builder.title or str(values.get("name") or "")
    builder.set_metadata(
        {
            "original_file": str(origin.get("filename") or ""),
            "original_media_type": str(origin.get("mimetype") or ""),
            # An unsigned 64-bit number, which no store keeps as a number.
            "original_hash": str(origin.get("binary_hash") or ""),
        }
    )


def _broken(detail: str) -> ExtractionError:
    return ExtractionError(
        "malformed", f"it is broken docling JSON: {detail}; convert the document again"
    )


class _Reader:
    """Walks the tree depth first; consecutive list items become one block."""

    def __init__(self, values: dict[str, Any], builder: DocumentBuilder) -> None:
        self._values = values
        self._builder = builder
        self._items: list[str] = []
        self._items_page: int | None = None
        self._visited: set[str] = set()
        self._own_title = ""
        self._first_heading = ""

    @property
    def title(self) -> str:
        """What docling took for the title, or the first heading of the text itself."""
        return self._own_title or self._first_heading

    def read(self, parent: dict[str, Any], depth: int = 0, ordered: bool = False) -> None:
        """Append all that the children of an item refer to."""
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

    def flush(self) -> None:
        """End a run of list items."""
        self._builder.add(BlockKind.LIST, "\n".join(self._items), page=self._items_page)
        self._items = []

    def _resolve(self, reference: Any) -> tuple[str, dict[str, Any]]:
        name = str(reference.get("$ref") or reference.get("cref") or "")
        match = _REFERENCE.fullmatch(name)
        if not match:
            raise _broken(f"unreadable reference '{name}'")
        try:
            item = self._values[match[1]][int(match[2])]
        except (KeyError, IndexError, TypeError) as error:
            raise _broken(f"reference '{name}' leads nowhere") from error
        if not isinstance(item, dict):
            raise _broken(f"'{name}' is no item")
        return name, item

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
            self.flush()
            self._block(item, label)
        deeper = depth + 1 if label == "list_item" else depth
        self.read(item, deeper)

    def _list_item(self, item: dict[str, Any], depth: int, number: int | None) -> None:
        text = " ".join(str(item.get("text") or "").split())
        if not self._items:
            self._items_page = _page(item)
        marker = str(item.get("marker") or "").strip()
        if item.get("enumerated") and number and not marker.strip("-*•"):
            marker = f"{number}."
        marker = marker if marker.strip("*•·◦▪ ") else "-"
        if text:
            self._items.append(f"{'    ' * depth}{marker} {text}")

    def _inline(self, group: dict[str, Any], depth: int) -> None:
        """Append pieces of one line, which docling splits where the formatting changes."""
        texts = []
        page = None
        for reference in group.get("children") or ():
            name, item = self._resolve(reference)
            self._visited.add(name)
            page = page or _page(item)
            texts.append(str(item.get("text") or ""))
        text = " ".join(part for part in texts if part.strip())
        if self._items and depth:
            self._items.append(f"{'    ' * (depth - 1)}- {text}")
        else:
            self.flush()
            self._builder.add(BlockKind.PARAGRAPH, text, page=page)

    def _block(self, item: dict[str, Any], label: str) -> None:
        page = _page(item)
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
                # The title is the first level, so that sections lie under it.
                level = 1 if label == "title" else int(item.get("level") or 1) + 1
                self._note_title(" ".join(text.split()), label)
            self._builder.add(kind, text, page=page, level=level)

    def _note_title(self, text: str, label: str) -> None:
        if label == "title":
            self._own_title = self._own_title or text
        elif text.casefold() not in _TABLES_OF_CONTENTS:
            self._first_heading = self._first_heading or text


def _page(item: dict[str, Any]) -> int | None:
    for place in item.get("prov") or ():
        if isinstance(place, dict) and isinstance(place.get("page_no"), int):
            return int(place["page_no"])
    return None


def _rows(data: dict[str, Any]) -> list[list[str]]:
    """Return the cells; a cell that spans several stands in each of them."""
    cells = data.get("table_cells") or [cell for row in data.get("grid") or () for cell in row]
    grid: dict[tuple[int, int], str] = {}
    for cell in cells:
        for y in _range(cell, "row"):
            for x in _range(cell, "col"):
                grid[y, x] = str(cell.get("text") or "")
        if len(grid) > _MAX_CELLS:
            raise _broken("a table has more than a million cells")
    height = max((y for y, _ in grid), default=-1) + 1
    width = max((x for _, x in grid), default=-1) + 1
    return [[grid.get((y, x), "") for x in range(width)] for y in range(height)]


def _range(cell: dict[str, Any], axis: str) -> Iterator[int]:
    start = int(cell.get(f"start_{axis}_offset_idx") or 0)
    end = int(cell.get(f"end_{axis}_offset_idx") or start + 1)
    return iter(range(start, min(end, start + 1000)))
