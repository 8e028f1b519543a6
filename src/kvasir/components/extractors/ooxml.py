"""What Word, Excel and PowerPoint files have in common: alternatives and properties.

Source: ECMA-376, parts 1 (chapter 15) and 3 (markup compatibility).
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from datetime import datetime

from lxml import etree

from kvasir.components.extractors.archive import parse_xml, read_member
from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.core.types import MetadataValue

_MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_VT = "{http://schemas.openxmlformats.org/officeDocument/2006/docPropsVTypes}"
R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
"""Namespace of the attributes that name a relationship."""
_CORE_PROPERTIES = ("docProps/core.xml", ".psmdcp")
_CUSTOM_PROPERTIES = "docProps/custom.xml"
_INTEGERS = frozenset({"i1", "i2", "i4", "i8", "int", "ui1", "ui2", "ui4", "ui8", "uint"})
_FRACTIONS = frozenset({"r4", "r8", "decimal"})
_SENSITIVITY = "msip_label_"
"""Beginning of the properties that a labelling service writes for itself."""


def resolve_alternatives(root: etree._Element) -> None:
    """Replace each AlternateContent by one of its branches: the first that has any content."""
    for alternatives in list(root.iter(f"{_MC}AlternateContent")):
        parent = alternatives.getparent()
        if parent is None:
            continue
        branches = [
            *alternatives.iterfind(f"{_MC}Choice"),
            *alternatives.iterfind(f"{_MC}Fallback"),
        ]
        chosen = next((branch for branch in branches if len(branch)), None)
        place = parent.index(alternatives)
        tail = alternatives.tail
        parent[place : place + 1] = list(chosen) if chosen is not None else []
        if tail and tail.strip() and place:
            parent[place - 1].tail = (parent[place - 1].tail or "") + tail


def set_properties(builder: DocumentBuilder, archive: zipfile.ZipFile) -> str:
    """Add the file's properties with their types, and return its title.

    They are read from the package, because the libraries make up what a file does not say.
    """
    names = archive.namelist()
    if _CUSTOM_PROPERTIES in names:
        for key, value in _custom(parse_xml(read_member(archive, _CUSTOM_PROPERTIES))):
            builder.set_metadata(**{key: value})
    core = next((name for name in names if name.endswith(_CORE_PROPERTIES)), None)
    if core is None:
        return ""
    root = parse_xml(read_member(archive, core))

    def text(name: str) -> str:
        return (root.findtext(f"{{*}}{name}") or "").strip()

    description = text("description")
    builder.set_metadata(
        author=text("creator"),
        subject=text("subject"),
        keywords=keyword_list(text("keywords")),
        category=text("category"),
        # python-docx and python-pptx write their own names there.
        description="" if description.startswith("generated ") else description,
        created=date_text(text("created")),
        modified=date_text(text("modified")),
    )
    return text("title")


def date_text(text: str) -> str:
    """Return a time in one ISO form, to the second; a day alone if it has no time."""
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        return text
    day_only = value.hour == value.minute == value.second == 0
    return value.date().isoformat() if day_only else value.replace(microsecond=0).isoformat()


def keyword_list(text: str) -> str:
    """Return keywords, which files separate by commas or semicolons, in one form."""
    return ", ".join(filter(None, (" ".join(word.split()) for word in re.split("[,;\n]", text))))


def _custom(root: etree._Element) -> Iterator[tuple[str, MetadataValue]]:
    for item in root:
        key = re.sub(r"\W+", "_", str(item.get("name") or "")).strip("_").lower()
        if not key or key.startswith(_SENSITIVITY):
            continue
        for value in item:
            yield key, _typed(str(value.tag).removeprefix(_VT), (value.text or "").strip())


def _typed(kind: str, text: str) -> MetadataValue:
    if kind == "bool":
        return text.lower() in ("true", "1")
    if kind in _INTEGERS and re.fullmatch(r"[+-]?\d{1,18}", text):
        return int(text)
    if kind in _FRACTIONS and re.fullmatch(r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?", text):
        return float(text)
    return date_text(text) if kind in ("filetime", "date") else text
