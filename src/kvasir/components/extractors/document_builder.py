"""Builds a document block by block, so that every offset is right by construction.

Tables become Markdown rows, which people, models and splitters can read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from kvasir.components.extractors.archive import unread
from kvasir.components.extractors.table_layout import table_layout
from kvasir.core.errors import ExtractionError
from kvasir.core.text import clean_text, replace_control_characters
from kvasir.core.types import (
    Block,
    BlockKind,
    Document,
    MetadataScalar,
    MetadataValue,
    Source,
    document_id,
)

Grid = dict[tuple[int, int], str]
"""Cells by row and column."""

_MAX_LEVEL = 10
"""Deepest heading level (OpenDocument's); deeper headings get this one."""
_BEFORE_TERM = frozenset({BlockKind.TERM, BlockKind.PARAGRAPH, BlockKind.LIST})
_MAX_PAGE = 10_000_000
"""Highest page number that is kept; the database has 32 bits."""
_SEPARATOR = "\n\n"
LOWEST_HEADING = 6
"""The deepest level of HTML's headings; the levels of terms are below it."""


def empty_error() -> ExtractionError:
    """Return the error for a file without any text."""
    return ExtractionError("empty", "there is no text in it; nothing to index")


def make_document(
    source: Source,
    text: str,
    blocks: Sequence[Block],
    title: str = "",
    metadata: Mapping[str, MetadataValue] | None = None,
    warnings: Sequence[str] = (),
) -> Document:
    """Return the document of a source; the title defaults to the file's name.

    Raises:
        ExtractionError: It has no block.
    """
    if not blocks:
        raise empty_error()
    title = title or re.split(r"[/\\]", source.uri.rstrip("/\\"))[-1] or source.uri
    id_ = document_id(source.uri)
    return Document(
        id_, source.uri, title, text, tuple(blocks), metadata or {}, tuple(dict.fromkeys(warnings))
    )


def grid_rows(grid: Grid) -> list[list[str]]:
    """Return the cells row by row; those in the gaps are empty."""
    ys, xs = zip(*grid, strict=True)
    rows, columns = range(min(ys), max(ys) + 1), range(min(xs), max(xs) + 1)
    return [[grid.get((y, x), "") for x in columns] for y in rows]


def markdown_table(rows: Sequence[Sequence[str]], *, has_header: bool = True) -> str:
    """Return rows as a Markdown table; without a header it has no rule.

    Empty rows, and columns that are empty throughout, are left out. A cell's line breaks
    become spaces and its ``|`` is escaped, so that one line is one row.
    """
    cells = [[" ".join(cell.split()).replace("|", "\\|") for cell in row] for row in rows]
    cells = [row for row in cells if any(row)]
    width = max((len(row) for row in cells), default=0)
    used = [i for i in range(width) if any(len(row) > i and row[i] for row in cells)]
    if not used:
        return ""
    filled = [[row[i] if i < len(row) else "" for i in used] for row in cells]
    if has_header:
        filled.insert(1, ["-"] * len(used))
    return "\n".join(f"| {' | '.join(row)} |" for row in filled)


def _cleaned(value: MetadataScalar) -> MetadataScalar:
    return replace_control_characters(value).strip() if isinstance(value, str) else value


class DocumentBuilder:
    """Collects blocks and joins them by blank lines into one text."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._texts: list[str] = []
        self._blocks: list[Block] = []
        self._lines: list[str] = []
        self._lines_kind = BlockKind.LIST
        self._lines_page: int | None = None
        self._metadata: dict[str, MetadataValue] = {}
        self._depth = self._open_depth = 0
        self._is_furniture = False
        self._warnings: list[str] = []
        self._unread: ExtractionError | None = None
        self.title = ""

    def add(
        self,
        kind: BlockKind,
        text: str,
        *,
        page: int | None = None,
        level: int | None = None,
        separator: str = _SEPARATOR,
    ) -> None:
        """Append a block, after the pending lines; blank text is left out.

        An impossible page number is left out, a level is clamped to its range.
        """
        self.end_block()
        text = clean_text(text)
        indent = len(text) - len(text.lstrip(" "))
        text = text.strip("\n").rstrip() if kind is BlockKind.CODE else text.strip()
        if text:
            separator = self._separator(kind, separator, indent)
            kind, level = self._scoped(kind, level)
            page = page if page is not None and 0 < page <= _MAX_PAGE else None
            level = level if level is None else min(max(level, 1), _MAX_LEVEL)
            self._append(kind, text, page, level, separator)

    def _append(
        self, kind: BlockKind, text: str, page: int | None, level: int | None, separator: str
    ) -> None:
        separator = separator if self._blocks else ""
        start = self._blocks[-1].end + len(separator) if self._blocks else 0
        self._blocks.append(Block(kind, start, start + len(text), page, level))
        self._texts.append(separator + text)
        if kind is BlockKind.HEADING and not self.title:
            self.title = " ".join(text.split())

    def _separator(self, kind: BlockKind, separator: str, indent: int) -> str:
        """Return what stands before a block; a list keeps its indent and follows its term."""
        if kind is not BlockKind.LIST:
            return separator
        follows = self._depth and self._blocks and self._blocks[-1].kind in _BEFORE_TERM
        return ("\n" if follows else separator) + " " * indent

    def _scoped(self, kind: BlockKind, level: int | None) -> tuple[BlockKind, int | None]:
        """Return the kind and level of the next block; text after a description ends its term."""
        if self._is_furniture:
            return BlockKind.FURNITURE, None
        if kind is BlockKind.TERM:
            self._open_depth = self._depth + 1
            return kind, LOWEST_HEADING + self._open_depth
        if kind is BlockKind.HEADING:
            self._open_depth = 0
        elif self._open_depth > self._depth:
            self._open_depth = self._depth
            return kind, LOWEST_HEADING + self._depth
        return kind, level

    def add_term(self, text: str, indent: int = 0, *, is_first: bool = False) -> None:
        """Append a term; ``indent`` is the number of lists around it, ``is_first`` in its list."""
        self.end_block()
        follows = self._blocks and self._blocks[-1].kind in _BEFORE_TERM
        separator = "\n" if follows and (indent or not is_first) else _SEPARATOR
        self.add(BlockKind.TERM, text, separator=separator + "    " * indent)

    @contextmanager
    def description(self) -> Iterator[None]:
        """Let the blocks that are appended inside belong to the term before."""
        self.end_block()
        self._depth += 1
        try:
            yield
        finally:
            self.end_block()
            self._depth -= 1

    @contextmanager
    def furniture(self, is_furniture: bool = True) -> Iterator[None]:
        """Make every block that is appended inside furniture, or content again."""
        self.end_block()
        outside, self._is_furniture = self._is_furniture, is_furniture
        try:
            yield
        finally:
            self.end_block()
            self._is_furniture = outside

    def add_description(self, text: str) -> None:
        """Append a paragraph of a description, in the line of the term if it is the first."""
        self.end_block()
        is_first = self._blocks and self._blocks[-1].kind is BlockKind.TERM
        self.add(BlockKind.PARAGRAPH, text, separator=" " if is_first else _SEPARATOR)

    def add_table(self, rows: Sequence[Sequence[str]], page: int | None = None) -> None:
        """Append a table whose first row is the header; one without any text is left out."""
        self.add(BlockKind.TABLE, markdown_table(rows), page=page)

    def add_grid(self, grid: Grid, page: int | None = None, header_rows: int = 0) -> None:
        """Append a table of cells, its titles as captions; cells in the gaps are empty.

        ``header_rows`` is the number of header rows if the file marks them.
        """
        if grid:
            layout = table_layout(grid_rows(grid), header_rows)
            for title in layout.titles:
                self.add(BlockKind.CAPTION, title, page=page)
            self.add_table(layout.rows, page)

    def add_line(self, kind: BlockKind, line: str, page: int | None = None) -> None:
        """Append a line; consecutive lines of a kind become one block, on the first line's page."""
        if kind is not self._lines_kind:
            self.end_block()
        if not self._lines:
            self._lines_kind, self._lines_page = kind, page
        self._lines.append(line)

    def add_item(
        self, text: str, marker: str = "-", *, depth: int = 0, page: int | None = None
    ) -> None:
        """Append a list item as one line; blank text is left out.

        ``marker`` is a number or "-", empty for an item that is shown without; ``depth`` is the
        number of lists around the item's list.
        """
        if text := " ".join(text.split()):
            line = f"{'    ' * depth}{marker} {text}" if marker else text
            self.add_line(BlockKind.LIST, line, page)

    def add_item_line(self, text: str, *, depth: int = 0, page: int | None = None) -> None:
        """Append a later paragraph of a list item, indented below the item's first line."""
        if text := " ".join(text.split()):
            self.add_line(BlockKind.LIST, f"{'    ' * depth}  {text}", page)

    def end_block(self) -> None:
        """Append the pending lines as one block."""
        if lines := self._lines:
            self._lines = []
            self.add(self._lines_kind, "\n".join(lines), page=self._lines_page)

    @property
    def in_list(self) -> bool:
        """True while list items are pending."""
        return bool(self._lines) and self._lines_kind is BlockKind.LIST

    @property
    def is_empty(self) -> bool:
        """True if no block was added yet."""
        return not self._blocks and not self._lines

    def set_metadata(self, **values: MetadataValue | None) -> None:
        """Add metadata; None and empty values are left out, a repeated key keeps its first one."""
        for key, value in values.items():
            if isinstance(value, tuple):
                value = tuple(item for item in map(_cleaned, value) if item != "")
            elif value is not None:
                value = _cleaned(value)
            if value not in (None, "", ()):
                self._metadata.setdefault(key, value)

    def warn(self, sentence: str) -> None:
        """Add a sentence to the report of the ingest."""
        self._warnings.append(sentence)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Warn of a part of the file that cannot be read, and go on after it."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - parsers of hostile files raise anything
            reason = unread(error)
            self._unread = self._unread or reason
            self.warn(f"{name} is not read: {reason}")

    def absorb(self, document: Document, name: str) -> None:
        """Append the blocks of another document, and its warnings after its name."""
        self.end_block()
        for warning in document.warnings:
            self.warn(f"{name}: {warning}")
        end = 0
        for block in document.blocks:
            between = document.text[end : block.start]
            separator = between if end and not between.strip() else _SEPARATOR
            text = document.text[block.start : block.end]
            self._append(block.kind, text, None, block.level, separator)
            end = block.end

    def build(self) -> Document:
        """Return the document.

        Raises:
            ExtractionError: No block holds any text, or no part of the file can be read.
        """
        self.end_block()
        if self._unread and not self._blocks:
            raise self._unread
        text = "".join(self._texts)
        return make_document(
            self._source, text, self._blocks, self.title, self._metadata, self._warnings
        )
