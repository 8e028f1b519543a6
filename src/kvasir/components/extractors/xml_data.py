"""XML: its prose as paragraphs, its data as lines and tables, without entities or the network.

Elements that hold text and elements are prose (DocBook, TEI, ...); the others are data, which
becomes what JSON of the same shape becomes.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from lxml import etree

from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.components.extractors.json_data import add_values
from kvasir.components.extractors.text import PlainTextExtractor, without_data_uris
from kvasir.core.types import BlockKind, Document, Source

_HEADINGS = frozenset({"title", "head", "heading"})
_MAX_DEPTH = 200


class XmlExtractor:
    """Reads XML; a file that only looks like it is read as plain text."""

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract the text with the names of its elements; see ``Extractor``."""
        parser = etree.XMLParser(
            resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True,
            remove_pis=True,
        )  # fmt: skip
        try:
            root = etree.fromstring(data, parser)
        except (etree.XMLSyntaxError, ValueError):
            return PlainTextExtractor().extract(source, data)
        builder = DocumentBuilder(source)
        if _is_prose(root):
            _add_prose(builder, root, 1)
        else:
            add_values(builder, {_tag(root): _values(root)})
        return builder.build()


def _tag(element: etree._Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _words(text: str | None) -> str:
    return " ".join(without_data_uris(text or "").split())


def _is_prose(root: etree._Element) -> bool:
    """Return True if some element holds words beside elements."""
    return any(len(one) and (_words(one.text) or _has_tails(one)) for one in root.iter("*"))


def _has_tails(element: etree._Element) -> bool:
    return any(_words(child.tail) for child in element)


def _add_prose(builder: DocumentBuilder, element: etree._Element, level: int) -> None:
    if not len(element) or _words(element.text) or _has_tails(element) or level > _MAX_DEPTH:
        text = _words("".join(element.itertext()))
        is_heading = _tag(element) in _HEADINGS
        kind = BlockKind.HEADING if is_heading else BlockKind.PARAGRAPH
        builder.add(kind, text, level=level - 1 or 1 if is_heading else None)
        return
    for child in element.iterchildren("*"):
        _add_prose(builder, child, level + 1)


def _values(element: etree._Element, depth: int = 0) -> Any:
    """Return an element as the data that JSON would have: text, object or list."""
    values: dict[str, Any] = {name.rpartition("}")[2]: text for name, text in element.items()}
    children = [child for child in element if isinstance(child.tag, str)]
    if depth > _MAX_DEPTH or not children:
        text = _words("".join(element.itertext()))
        given = ", ".join(f"{name}: {value}" for name, value in values.items())
        return f"{text} ({given})" if text and given else values or text
    counts = Counter(map(_tag, children))
    for child in children:
        value, tag = _values(child, depth + 1), _tag(child)
        if counts[tag] > 1:
            values.setdefault(tag, []).append(value)
        else:
            values[tag] = value
    if len(values) == 1:
        # A list in a list of its own name: <items><item/><item/></items>.
        (only,) = values.values()
        return only if isinstance(only, list) else values
    return values
