"""Docling's JSON, in the old schema (v1) and the current one (v2).

``docling-core`` no longer reads v1 (``main-text`` and ``file-info``), which older runs of
InstructLab wrote. Source: docling-core, ``types/doc`` and ``types/legacy_doc``. Newer versions
are read as far as their fields are known.
"""

from __future__ import annotations

import itertools
import json
from typing import Any

from kvasir.components.extractors.document_builder import DocumentBuilder, Grid
from kvasir.components.extractors.encodings import decode
from kvasir.core.errors import ExtractionError
from kvasir.core.types import BlockKind, Document, Source

_SCHEMA = "DoclingDocument"
_V1_MARKS = ("main-text", "file-info")
_V1_FURNITURE = frozenset({"page-header", "page-footer"})
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


class DoclingJsonExtractor:
    """Reads docling's JSON of both schemas."""

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract body text, headings and tables; see ``Extractor``."""
        try:
            values: Any = json.loads(decode(data))
        except (json.JSONDecodeError, RecursionError) as error:
            raise ExtractionError(
                "malformed", f"it is not valid JSON ({error}); convert the document again"
            ) from error
        builder = DocumentBuilder(source)
        if not is_docling(values):
            raise ExtractionError("unsupported", "it is JSON, but not docling's")
        if values.get("schema_name") == _SCHEMA:
            _Reader(values, builder).read_document()
        else:
            _check_v1(values)
            _V1Reader(values, builder).read_document()
        return builder.build()


def is_docling(values: Any) -> bool:
    """Return True if values are docling's, in either schema."""
    return isinstance(values, dict) and (
        values.get("schema_name") == _SCHEMA or any(mark in values for mark in _V1_MARKS)
    )


def _broken(detail: str) -> ExtractionError:
    return ExtractionError(
        "malformed", f"it is broken docling JSON: {detail}; convert the document again"
    )


def _resolve(values: dict[str, Any], reference: str) -> dict[str, Any]:
    """Return the item that a reference such as ``#/texts/3`` leads to."""
    found: Any = values
    try:
        for part in reference.removeprefix("#/").split("/"):
            found = found[int(part)] if isinstance(found, list) else found[part]
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise _broken(f"reference '{reference}' leads nowhere") from error
    if not isinstance(found, dict):
        raise _broken(f"reference '{reference}' leads to no item")
    return found


def _page_number(item: dict[str, Any], key: str = "page_no") -> int | None:
    """Return the first page number of an item's provenance."""
    for origin in item.get("prov") or ():
        if isinstance(origin, dict) and isinstance(origin.get(key), int):
            return int(origin[key])
    return None


def _text(item: dict[str, Any]) -> str:
    return str(item.get("text") or "")


class _Reader:
    """Reads a ``DoclingDocument``, a tree of references from ``body``, depth first."""

    def __init__(self, values: dict[str, Any], builder: DocumentBuilder) -> None:
        self._values = values
        self._builder = builder
        self._visited: set[str] = set()
        self._own_title = ""
        self._first_heading = ""

    def read_document(self) -> None:
        if not isinstance(self._values.get("body"), dict):
            raise _broken("it has no 'body'")
        self._children(self._values["body"])
        builder, origin = self._builder, self._values.get("origin") or {}
        name = str(self._values.get("name") or "")
        builder.title = self._own_title or self._first_heading or builder.title or name
        builder.set_metadata(
            original_file=str(origin.get("filename") or ""),
            original_media_type=str(origin.get("mimetype") or ""),
            # An unsigned 64-bit number, too large for the stores.
            original_hash=str(origin.get("binary_hash") or ""),
        )

    def _children(self, parent: dict[str, Any], depth: int = 0, ordered: bool = False) -> None:
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
        return name, _resolve(self._values, name)

    def _item(self, item: dict[str, Any], depth: int, number: int | None) -> None:
        label = str(item.get("label"))
        if label == "list_item":
            self._list_item(item, depth, number)
            self._children(item, depth + 1)
        elif label in ("list", "ordered_list"):
            self._children(item, depth, label == "ordered_list")
        elif label == "inline":
            self._inline(item, depth)
        else:
            self._builder.end_block()
            self._block(item, label)
            self._children(item, depth)

    def _list_item(self, item: dict[str, Any], depth: int, number: int | None) -> None:
        marker = str(item.get("marker") or "").strip()
        if item.get("enumerated") and number and not marker.strip("-*•"):
            marker = f"{number}."
        marker = marker if marker.strip("*•·◦▪ ") else "-"
        self._builder.add_item(_text(item), marker, depth=depth, page=_page_number(item))

    def _inline(self, group: dict[str, Any], depth: int) -> None:
        """Append the pieces of one line, which docling splits at changes of formatting."""
        pieces = [self._resolve(reference) for reference in group.get("children") or ()]
        self._visited.update(name for name, _ in pieces)
        text = " ".join(_text(item) for _, item in pieces if _text(item).strip())
        if self._builder.in_list and depth:
            self._builder.add_item(text, depth=depth - 1)
        else:
            pages = filter(None, (_page_number(item) for _, item in pieces))
            self._builder.add(BlockKind.PARAGRAPH, text, page=next(pages, None))

    def _block(self, item: dict[str, Any], label: str) -> None:
        page = _page_number(item)
        for caption in item.get("captions") or ():
            name, found = self._resolve(caption)
            if name not in self._visited:
                self._visited.add(name)
                self._builder.add(BlockKind.CAPTION, _text(found), page=page)
        data = item.get("data")
        if isinstance(data, dict) and ("table_cells" in data or "grid" in data):
            self._builder.add_grid(_grid(data), page)
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


def _grid(data: dict[str, Any]) -> Grid:
    """Return the cells by row and column; a spanning cell is repeated in each that it covers."""
    cells = data.get("table_cells") or [cell for row in data.get("grid") or () for cell in row]
    grid: Grid = {}
    for cell in cells:
        area = itertools.product(_range(cell, "row"), _range(cell, "col"))
        grid.update(dict.fromkeys(area, _text(cell)))
        if len(grid) > _MAX_CELLS:
            raise _broken("a table has more than a million cells")
    return grid


def _range(cell: dict[str, Any], axis: str) -> range:
    start = int(cell.get(f"start_{axis}_offset_idx") or 0)
    end = int(cell.get(f"end_{axis}_offset_idx") or start + 1)
    return range(start, min(end, start + 1000))


def _check_v1(values: dict[str, Any]) -> None:
    """Check the schema, so that no half of a truncated export is indexed."""
    info, description = values.get("file-info"), values.get("description") or {}
    if not isinstance(info, dict) or not isinstance(info.get("filename"), str):
        raise _broken("file-info.filename is missing")
    if not isinstance(values.get("main-text") or [], list):
        raise _broken("main-text is not a list")
    for number, page in enumerate(info.get("page-hashes") or ()):
        for key in ("hash", "model", "page"):
            if key not in page:
                raise _broken(f"file-info.page-hashes[{number}].{key} is missing")
    for key in ("reference_count", "citation_count"):
        count = description.get(key)
        if isinstance(count, int) and count < 0:
            raise _broken(f"description.{key} is {count}")
    for number, entry in enumerate(description.get("logs") or ()):
        if not isinstance(entry.get("task") or "", str):
            raise _broken(f"description.logs[{number}].task is not text")


class _V1Reader:
    """Reads the items of ``main-text``."""

    def __init__(self, values: dict[str, Any], builder: DocumentBuilder) -> None:
        self._values = values
        self._builder = builder
        self._captions: set[str] = set()

    def read_document(self) -> None:
        values, builder = self._values, self._builder
        for item in values.get("main-text") or ():
            self._item(item)
        description = values.get("description") or {}
        builder.title = str(values.get("_name") or description.get("title") or builder.title)
        if builder.is_empty:
            for text in description.get("abstract") or ():
                builder.add(BlockKind.PARAGRAPH, str(text))
        builder.set_metadata(original_file=values["file-info"]["filename"])
        languages = description.get("languages")
        if isinstance(languages, list) and languages:
            builder.set_metadata(lang=str(languages[0]))
        authors = description.get("authors")
        if isinstance(authors, list):
            names = [str(each.get("name") or "") for each in authors if isinstance(each, dict)]
            builder.set_metadata(author=names[0] if len(names) == 1 else tuple(names))

    def _item(self, item: dict[str, Any]) -> None:
        """Append one item, following its reference."""
        reference = item.get("$ref") or item.get("__ref")
        if reference:
            item = {**item, **_resolve(self._values, str(reference))}
        kind, name = str(item.get("type")), str(item.get("name") or "").lower()
        text, page = _text(item), _page_number(item, "page")
        if kind in _V1_FURNITURE or name in _V1_FURNITURE:
            return
        if name == "list-item":
            self._builder.add_item(text, "", page=page)
        elif kind == "title":
            self._builder.add(BlockKind.HEADING, text, page=page, level=1)
        elif kind.startswith("subtitle-level-"):
            level = kind.removeprefix("subtitle-level-")
            depth = int(level) + 1 if level.isdigit() else 2
            self._builder.add(BlockKind.HEADING, text, page=page, level=depth)
        elif kind == "table" or isinstance(item.get("data"), list):
            self._caption(text, page)
            rows = [[_text(cell or {}) for cell in row] for row in item.get("data") or []]
            self._builder.add_table(rows, page)
        elif kind in ("caption", "figure"):
            self._caption(text, page)
        else:
            code = BlockKind.CODE if name == "code" else BlockKind.PARAGRAPH
            self._builder.add(code, text, page=page)

    def _caption(self, text: str, page: int | None) -> None:
        """Append a caption once: tables repeat the captions of the main text."""
        self._builder.end_block()
        if text.strip() not in self._captions:
            self._captions.add(text.strip())
            self._builder.add(BlockKind.CAPTION, text, page=page)
