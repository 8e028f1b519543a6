"""Filters as a caller writes them, made into filters over the fields of chunks.

These fields stand for others, beside a document's own field of the same name:

- ``source``: the source URI. ``*`` in it stands for any text, and a slash at its end for all that
  is in the folder;
- ``type``: the file type, as an extension (``pdf``) or a media type;
- ``document_id``: the document with this id.
"""

from __future__ import annotations

import fnmatch
import re
import unicodedata
from collections.abc import Sequence

from kvasir.core.document_metadata import FILE_TYPE
from kvasir.core.errors import FilterError, OutdatedMetadataError, UnknownFieldError
from kvasir.core.filters import (
    SOURCE_URI,
    UNDER,
    Comparison,
    Filter,
    Logical,
    comparisons,
    replaced,
    values_of,
)
from kvasir.core.ledger import Catalog
from kvasir.core.media_types import short_name_of
from kvasir.core.text import spellings
from kvasir.core.types import MetadataScalar

_ALIASES = ("document_id", "source", "type")
_EQUALITIES = ("==", "in")
_INEQUALITIES = ("!=", "not in")
_MOST_SOURCES = 500
"""Most documents of a pattern: each is a part of the store's query."""
_SLASHES = ("/", "\\")


def resolve_filter(
    condition: Filter, catalog: Catalog, collection: str, known: set[str] | None = None
) -> Filter:
    """Return a filter in terms of the fields that chunks have.

    ``known`` are fields of which no document need be read again; found ones are added.

    Raises:
        UnknownFieldError: No document of the collection has a field.
        OutdatedMetadataError: An earlier version indexed all of its documents.
        FilterError: A pattern fits too many documents.
    """
    _check_fields(condition, catalog, collection, set() if known is None else known)

    def resolve(comparison: Comparison) -> Filter:
        if comparison.field not in _ALIASES:
            return _in_spellings(comparison)
        if comparison.operator in _EQUALITIES:
            return _alternatives(comparison, catalog, collection)
        if comparison.operator in _INEQUALITIES:
            return Logical("NOT", (_alternatives(comparison, catalog, collection),))
        return _in_spellings(comparison)

    return replaced(condition, resolve)


def _in_spellings(comparison: Comparison) -> Filter:
    """Return a comparison that holds for text in composed and in decomposed letters."""
    values = values_of(comparison)
    if all(not isinstance(value, str) or value.isascii() for value in values):
        return comparison
    if comparison.operator == UNDER:
        folders = (Comparison(comparison.field, UNDER, each) for each in _spelled(values))
        return Logical("OR", tuple(folders))
    if comparison.operator in (*_EQUALITIES, *_INEQUALITIES):
        operator = "in" if comparison.operator in _EQUALITIES else "not in"
        return Comparison(comparison.field, operator, _spelled(values))
    return comparison


def _spelled(values: Sequence[MetadataScalar]) -> tuple[MetadataScalar, ...]:
    found = (spellings(each) if isinstance(each, str) else (each,) for each in values)
    return tuple(form for forms in found for form in forms)


def _check_fields(condition: Filter, catalog: Catalog, collection: str, known: set[str]) -> None:
    found = list(comparisons(condition))
    named = {each.field for each in found} - {*_ALIASES, FILE_TYPE}
    wanted = named | ({FILE_TYPE} if any(map(_needs_terms, found)) else set())
    if wanted <= known:
        return
    fields = catalog.metadata_fields(collection, wanted)
    known |= fields
    missing = sorted(named - fields)
    if missing and fields:
        raise UnknownFieldError(missing[0], collection, sorted({*fields, *_ALIASES}))
    if fields and not fields.issuperset(wanted):
        raise OutdatedMetadataError(collection)


def _needs_terms(comparison: Comparison) -> bool:
    """Return True if a comparison finds nothing of documents that an earlier version indexed."""
    texts = [value for value in values_of(comparison) if isinstance(value, str)]
    if comparison.field == "source":
        return any(_folder_of(text) for text in texts)
    is_range = comparison.operator not in (*_EQUALITIES, *_INEQUALITIES)
    return comparison.field in ("type", FILE_TYPE) or (is_range and bool(texts))


def _alternatives(comparison: Comparison, catalog: Catalog, collection: str) -> Filter:
    """Return the filter for equality with one of the values, by any of the field's meanings."""
    values = values_of(comparison)
    texts = [value for value in values if isinstance(value, str)]
    found: list[Filter] = [Comparison(comparison.field, "in", _spelled(values))]
    if comparison.field == "type":
        names = tuple(dict.fromkeys(map(short_name_of, texts)))
        found.append(Comparison(FILE_TYPE, "in", names))
    elif comparison.field == "source":
        found += [_of_source(text, catalog, collection) for text in texts]
    else:
        records = (catalog.document(collection, text) for text in texts)
        uris = tuple(record.source_uri for record in records if record is not None)
        found.append(Comparison(SOURCE_URI, "in", uris))
    return Logical("OR", tuple(found))


def _folder_of(pattern: str) -> str:
    """Return the folder whose whole content a pattern names, with its slash; else nothing."""
    folder = re.sub(r"\*+\Z", "", pattern)
    return folder if "*" not in folder and folder.endswith(_SLASHES) else ""


def _of_source(pattern: str, catalog: Catalog, collection: str) -> Filter:
    if folder := _folder_of(pattern):
        return _in_spellings(Comparison(SOURCE_URI, UNDER, folder))
    if "*" not in pattern:
        return _in_spellings(Comparison(SOURCE_URI, "==", pattern))
    literal = re.sub(r"[\[?]", r"[\g<0>]", unicodedata.normalize("NFC", pattern))
    fits = re.compile(fnmatch.translate(literal)).match
    prefixes = spellings(pattern.partition("*")[0])
    uris = {uri for each in prefixes for uri in catalog.live_source_uris(collection, each)}
    found = tuple(uri for uri in sorted(uris) if fits(unicodedata.normalize("NFC", uri)))
    if len(found) > _MOST_SOURCES:
        raise FilterError(
            f"the pattern '{pattern}' fits {len(found):,} documents, more than {_MOST_SOURCES}: "
            "name a folder, such as notes/*, or the file type, such as type=pdf"
        )
    return Comparison(SOURCE_URI, "in", found)
