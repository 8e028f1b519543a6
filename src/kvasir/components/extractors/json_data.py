"""JSON and JSON lines: docling's documents as such, other data as lines, tables and headings.

An object is a heading with its values as lines ``name: value``; a list of like objects is a table.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from kvasir.components.extractors.docling_json import DoclingJsonExtractor, is_docling
from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.components.extractors.encodings import decode
from kvasir.components.extractors.text import PlainTextExtractor, without_data_uris
from kvasir.core.types import BlockKind, Document, Source

_MAX_DEPTH = 50
_FEW_ITEMS = 20
"""A list of at most this number of short values is one line."""
_LONG_TEXT = 200
"""Characters; a longer value is a paragraph of its own."""
_TITLES = ("title", "name")


class JsonExtractor:
    """Reads JSON; a file that only looks like it is read as plain text."""

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract the values with the names above them; see ``Extractor``."""
        builder = DocumentBuilder(source)
        try:
            values = _parsed(decode(data, source.charset, builder.warn))
            if is_docling(values):
                return DoclingJsonExtractor().extract(source, data)
            add_values(builder, values)
        except (json.JSONDecodeError, RecursionError):
            return PlainTextExtractor().extract(source, data)
        return builder.build()


class JsonLinesExtractor:
    """Reads a file of one JSON value a line."""

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract the values as the items of a list; see ``Extractor``."""
        builder = DocumentBuilder(source)
        lines = decode(data, source.charset, builder.warn).split("\n")
        try:
            add_values(builder, [_parsed(line) for line in lines if line.strip()])
        except (json.JSONDecodeError, RecursionError):
            return PlainTextExtractor().extract(source, data)
        return builder.build()


def _parsed(text: str) -> Any:
    """Return the values of a text in JSON; numbers are kept to the letter."""
    return json.loads(without_data_uris(text), parse_int=str, parse_float=str, parse_constant=str)


def add_values(builder: DocumentBuilder, values: Any) -> None:
    """Append data that was read from JSON or a like format."""
    if isinstance(values, Mapping):
        title = next((values[key] for key in _TITLES if isinstance(values.get(key), str)), "")
        builder.title = " ".join(title.split())
    add_value(builder, "", values, 1)


def add_value(builder: DocumentBuilder, name: str, value: Any, level: int) -> None:
    """Append a value with its name; ``level`` is that of a heading for it."""
    if _is_plain(value):
        _add_line(builder, name, _shown(value))
    elif level > _MAX_DEPTH:
        _add_line(builder, name, json.dumps(value, ensure_ascii=False))
    elif isinstance(value, Mapping):
        _add_object(builder, name, value, level)
    elif _is_line(value):
        _add_line(builder, name, ", ".join(map(_shown, value)))
    elif _is_table(value):
        _add_heading(builder, name, level)
        columns = list(dict.fromkeys(key for row in value for key in row))
        rows = [[_shown(row.get(column, "")) for column in columns] for row in value]
        builder.add_table([columns, *rows])
    else:
        for number, item in enumerate(value, 1):
            add_value(builder, f"{name} {number}".strip(), item, level)


def _add_object(builder: DocumentBuilder, name: str, values: Mapping[str, Any], level: int) -> None:
    _add_heading(builder, name, level)
    inside = level + 1 if name else level
    # What stands under the heading itself comes before what has a heading of its own.
    for key, value in sorted(values.items(), key=lambda item: not _stays_line(item[1])):
        add_value(builder, str(key), value, inside)
    builder.end_block()


def _add_heading(builder: DocumentBuilder, name: str, level: int) -> None:
    title = builder.title
    builder.add(BlockKind.HEADING, name, level=level)
    # A name in the data is no title of the document.
    builder.title = title


def _add_line(builder: DocumentBuilder, name: str, text: str) -> None:
    line = f"{name}: {text}" if name else text
    if len(text) > _LONG_TEXT or "\n" in text:
        builder.add(BlockKind.PARAGRAPH, line)
    elif text:
        builder.add_item(line)


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (str, bool))


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _is_line(values: Sequence[Any]) -> bool:
    """Return True for a list of a few short values."""
    return len(values) <= _FEW_ITEMS and all(
        _is_plain(item) and len(_shown(item)) <= _LONG_TEXT for item in values
    )


def _is_table(values: Sequence[Any]) -> bool:
    """Return True for a list of objects that hold plain values, with names in common."""
    if len(values) < 2 or not all(isinstance(item, Mapping) and item for item in values):
        return False
    shared = set.intersection(*(set(item) for item in values))
    return bool(shared) and all(
        _is_plain(cell) and len(_shown(cell)) <= _LONG_TEXT
        for item in values
        for cell in item.values()
    )


def _stays_line(value: Any) -> bool:
    return _is_plain(value) or (isinstance(value, list) and _is_line(value))
