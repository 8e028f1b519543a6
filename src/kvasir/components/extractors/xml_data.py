"""XML: its prose as paragraphs, its data as lines and tables, without entities or the network.

Elements that hold words beside elements, such as a bold word, are text. Where such elements stand
one after the other or under a title, they are paragraphs, and what is around them is prose
(DocBook, TEI, ...). The others are data, which becomes what JSON of the same shape becomes.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from contextlib import suppress
from functools import partial
from typing import Any

from lxml import etree

from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.components.extractors.html import add_html, parse_html
from kvasir.components.extractors.json_data import add_value, add_values
from kvasir.components.extractors.text import PlainTextExtractor, without_data_uris
from kvasir.components.extractors.xml_inline import element_text
from kvasir.components.extractors.xml_tables import holds_table, is_table, read_table, titles
from kvasir.core.errors import ExtractionError
from kvasir.core.types import BlockKind, Document, Source

_HEADINGS = frozenset({"title", "head", "heading"})
_CAPTIONS = frozenset({"label", "caption"})
"""Elements beside a table that name it."""
_FEEDS = frozenset({"rss", "feed", "RDF"})
"""Roots of RSS and Atom, whose texts may be HTML."""
_MARKUP = re.compile(r"<(?:/[a-z]\w*|br|p|img)\b[^<>]*>", re.IGNORECASE)
_MAX_DEPTH = 200
_SHORT_FIELD = 200
"""Characters; a longer text is a paragraph."""
_OF_FORM = re.compile(
    r"(?!href\Z).*(?:ids?|refs?|type|linkend|class|style|role|rend|lang|space)", re.IGNORECASE
)
"""Attributes that say nothing to a reader of prose."""
_OF_XML = ("{http://www.w3.org/XML/1998/namespace}", "{http://www.w3.org/2001/XMLSchema-instance}")


class XmlExtractor:
    """Reads XML; a file that only looks like it is read as plain text."""

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract the text with the names of its elements; see ``Extractor``."""
        root = _parsed(data)
        if root is None:
            return PlainTextExtractor().extract(source, data)
        if _tag(root) in _FEEDS:
            _read_markup(root, source)
        builder = DocumentBuilder(source)
        prose = _prose_names(root)
        if _tag(root) in prose:
            _add_prose(builder, root, prose, 1)
        else:
            add_values(builder, {_tag(root): _values(root)})
        return builder.build()


def _parsed(data: bytes) -> etree._Element | None:
    """Return the root with the file's own entities, or without any if it names other files."""
    for entities in ("internal", False):
        parser = etree.XMLParser(
            resolve_entities=entities, no_network=True, load_dtd=False, remove_comments=True,
            remove_pis=True,
        )  # fmt: skip
        with suppress(etree.XMLSyntaxError, ValueError):
            root = etree.fromstring(data, parser)
            _write_references(root)
            return root
    return None


def _read_markup(root: etree._Element, source: Source) -> None:
    """Write the HTML that elements of a feed hold as text, in the words that it shows."""
    for element in root.iter("*"):
        if not len(element) and _MARKUP.search(element.text or ""):
            builder = DocumentBuilder(source)
            with suppress(ExtractionError):
                add_html(parse_html(str(element.text).encode(), "utf-8"), builder)
                element.text = builder.build().text


def _write_references(root: etree._Element) -> None:
    """Write references to entities that the file does not define, as HTML's if it has them."""
    for reference in list(root.iter(etree.Entity)):
        text = html.unescape(str(reference.text)) + (reference.tail or "")
        parent, before = reference.getparent(), reference.getprevious()
        if before is not None:
            before.tail = (before.tail or "") + text
        else:
            parent.text = (parent.text or "") + text
        reference.tail = None
        parent.remove(reference)


def _tag(element: etree._Element) -> str:
    return _local(str(element.tag))


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _words(text: str | None) -> str:
    return " ".join(without_data_uris(text or "").split())


def _elements(element: etree._Element) -> list[etree._Element]:
    return list(element.iterchildren("*"))


def _is_text(element: etree._Element) -> bool:
    """Return True for an element that holds no elements, or words beside them."""
    return not len(element) or bool(_words(element.text) or _has_tails(element))


def _has_tails(element: etree._Element) -> bool:
    return any(_words(child.tail) for child in element)


def _prose_names(root: etree._Element) -> set[str]:
    """Return the names of paragraphs and of the elements around them."""
    if len(root) and _is_text(root):
        return {_tag(root)}
    paragraphs = set()
    for element in root.iter("*"):
        children = _elements(element)
        counts = Counter(map(_tag, children))
        is_titled = len(counts) == 2 and not _HEADINGS.isdisjoint(counts)
        paragraphs |= {
            name
            for name in (_tag(child) for child in children if len(child) and _is_text(child))
            if (counts[name] > 1 or is_titled) and name not in _HEADINGS
        }
    around = {
        _tag(above)
        for element in root.iter("*")
        if _tag(element) in paragraphs
        for above in element.iterancestors()
    }
    return paragraphs | around


def _add_prose(
    builder: DocumentBuilder, element: etree._Element, prose: set[str], level: int
) -> None:
    """Append an element of prose; fields and records among the paragraphs keep their names."""
    if is_table(element):
        _add_table(builder, element)
        return
    if _is_text(element) or level > _MAX_DEPTH:
        _add_text(builder, element, level)
        return
    builder.add_item(_given(element, in_prose=True))
    counts = Counter(map(_tag, _elements(element)))
    is_wrap = any(map(is_table, _elements(element)))
    for child in _elements(element):
        name = _tag(child)
        if is_wrap and name in _CAPTIONS:
            builder.add(BlockKind.CAPTION, _text(child))
        elif name in prose or name in _HEADINGS or holds_table(child):
            _add_prose(builder, child, prose, level + 1)
        elif not _is_text(child):
            add_value(builder, name, _values(child), level + 1)
        elif counts[name] == 1 and not len(child) and len(_text(child)) <= _SHORT_FIELD:
            add_value(builder, name, _text(child), level + 1)
        else:
            _add_text(builder, child, level + 1)
    builder.end_block()


def _add_table(builder: DocumentBuilder, table: etree._Element) -> None:
    for title in titles(table):
        builder.add(BlockKind.CAPTION, _text(title))
    grid, header_rows = read_table(table, _inside)
    builder.add_grid(grid, header_rows=header_rows)


def _add_text(builder: DocumentBuilder, element: etree._Element, level: int) -> None:
    is_heading = _tag(element) in _HEADINGS
    kind = BlockKind.HEADING if is_heading else BlockKind.PARAGRAPH
    builder.add(kind, _text(element), level=level - 1 or 1 if is_heading else None)


def _text(element: etree._Element, *, in_prose: bool = True) -> str:
    """Return the words of an element, and its attributes after them."""
    text, given = _inside(element), _given(element, in_prose=in_prose)
    return f"{text} ({given})" if text and given else text or given


def _inside(element: etree._Element) -> str:
    """Return the words of an element, with the attributes of the elements in it."""
    return _words(element_text(element, partial(_given, in_prose=True)))


def _given(element: etree._Element, *, in_prose: bool) -> str:
    """Return the attributes of an element as ``name: value, name: value``."""
    return ", ".join(
        f"{_local(name)}: {value}"
        for name, value in element.items()
        if not (in_prose and (_is_of_form(name) or value.startswith("#")))
    )


def _is_of_form(name: str) -> bool:
    return name.startswith(_OF_XML) or _OF_FORM.fullmatch(_local(name)) is not None


def _values(element: etree._Element, depth: int = 0) -> Any:
    """Return an element as the data that JSON would have: text, object or list."""
    found: dict[str, list[Any]] = {}
    for name, value in element.items():
        found.setdefault(_local(name), []).append(value)
    if depth > _MAX_DEPTH or _is_text(element):
        if not found or _words("".join(element.itertext())):
            return _text(element, in_prose=False)
    else:
        for child in _elements(element):
            found.setdefault(_tag(child), []).append(_values(child, depth + 1))
    values = {name: each if len(each) > 1 else each[0] for name, each in found.items()}
    if len(values) == 1:
        # A list in a list of its own name: <items><item/><item/></items>.
        (only,) = values.values()
        return only if isinstance(only, list) else values
    return values
