"""Docling's old JSON (``main-text`` and ``file-info``), from older runs of InstructLab."""

from __future__ import annotations

from typing import Any

from kvasir.components.extractors.docling_items import broken, page_number, resolve
from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.components.extractors.markdown_table import markdown_table
from kvasir.core.types import BlockKind, MetadataValue

_FURNITURE = frozenset({"page-header", "page-footer"})
_PAGE_HASH = ("hash", "model", "page")
_COUNTS = ("reference_count", "citation_count")


def read_v1(values: dict[str, Any], builder: DocumentBuilder) -> None:
    """Append the document's blocks.

    Raises:
        ExtractionError: It breaks its schema; the message names the field.
    """
    _check(values)
    reader = _Reader(values, builder)
    for item in values.get("main-text") or ():
        reader.read(item)
    description = values.get("description") or {}
    builder.title = str(values.get("_name") or description.get("title") or builder.title)
    if builder.is_empty:
        for text in description.get("abstract") or ():
            builder.add(BlockKind.PARAGRAPH, str(text))
    found: dict[str, MetadataValue] = {
        "original_file": str((values.get("file-info") or {}).get("filename") or "")
    }
    languages = description.get("languages")
    if isinstance(languages, list) and languages:
        found["lang"] = str(languages[0])
    authors = description.get("authors")
    if isinstance(authors, list):
        names = (str(author.get("name") or "") for author in authors if isinstance(author, dict))
        found["author"] = ", ".join(name for name in names if name)
    builder.set_metadata(found)


def _check(values: dict[str, Any]) -> None:
    """Check the schema, so that no half of a truncated export is indexed."""
    info, description = values.get("file-info"), values.get("description") or {}
    if not isinstance(info, dict) or not isinstance(info.get("filename"), str):
        raise broken("file-info.filename is missing")
    if not isinstance(values.get("main-text") or [], list):
        raise broken("main-text is not a list")
    for number, page in enumerate(info.get("page-hashes") or ()):
        for key in _PAGE_HASH:
            if key not in page:
                raise broken(f"file-info.page-hashes[{number}].{key} is missing")
    for key in _COUNTS:
        count = description.get(key)
        if isinstance(count, int) and count < 0:
            raise broken(f"description.{key} is {count}")
    for number, entry in enumerate(description.get("logs") or ()):
        if not isinstance(entry.get("task") or "", str):
            raise broken(f"description.logs[{number}].task is not text")


class _Reader:
    """Appends the items of ``main-text``."""

    def __init__(self, values: dict[str, Any], builder: DocumentBuilder) -> None:
        self._values = values
        self._builder = builder
        self._captions: set[str] = set()

    def read(self, item: dict[str, Any]) -> None:
        """Append one item, following its reference."""
        reference = item.get("$ref") or item.get("__ref")
        if reference:
            item = {**item, **resolve(self._values, str(reference))}
        kind, name = str(item.get("type")), str(item.get("name") or "").lower()
        text, page = str(item.get("text") or ""), page_number(item, "page")
        if kind in _FURNITURE or name in _FURNITURE:
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
            rows = _rows(item.get("data") or [])
            self._builder.add(BlockKind.TABLE, markdown_table(rows), page=page)
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


def _rows(data: list[Any]) -> list[list[str]]:
    return [[str((cell or {}).get("text") or "") for cell in row] for row in data]
