"""What Word, Excel and PowerPoint files have in common: alternatives and properties.

Source: ECMA-376, parts 1 (chapter 15) and 3 (markup compatibility).
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator

from lxml import etree

from kvasir.components.extractors.archive import open_archive, parse_xml, read_member
from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.components.extractors.file_properties import date_text, keyword_list
from kvasir.core.errors import ExtractionError
from kvasir.core.types import MetadataValue

_MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
_VT = "{http://schemas.openxmlformats.org/officeDocument/2006/docPropsVTypes}"
R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
"""Namespace of the attributes that name a relationship."""
_RELATIONS = "_rels/.rels"
_STRICT = b"http://purl.oclc.org/ooxml/"
"""Beginning of the names in ISO/IEC 29500 Strict, which the libraries do not know."""
_TYPES = "[Content_Types].xml"
_OPEN = rb"application/vnd.openxmlformats-officedocument."
_WORD = _OPEN + rb"wordprocessingml.document.main+xml"
_SLIDES = _OPEN + rb"presentationml.presentation.main+xml"
_WORD_VARIANT = re.compile(
    rb"application/vnd\.(?:ms-word\.\w+\.macroEnabled\w*"
    rb"|openxmlformats-officedocument\.wordprocessingml\.template)\.main\+xml"
)
_SLIDES_VARIANT = re.compile(
    rb"application/vnd\.(?:ms-powerpoint\.\w+\.macroEnabled"
    rb"|openxmlformats-officedocument\.presentationml\.(?:slideshow|template))\.main\+xml"
)
_CORE_PROPERTIES = ("docProps/core.xml", ".psmdcp")
_CUSTOM_PROPERTIES = "docProps/custom.xml"
_INTEGERS = frozenset({"i1", "i2", "i4", "i8", "int", "ui1", "ui2", "ui4", "ui8", "uint"})
_FRACTIONS = frozenset({"r4", "r8", "decimal"})
_ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")
_SENSITIVITY = "msip_label_"
"""Beginning of the properties that a labelling service writes for itself."""


def unescaped(text: str) -> str:
    """Return a text with the characters that its escapes such as ``_x0009_`` stand for.

    Line ends become line feeds; ``_x005F_`` is an underscore.
    Source: ECMA-376 part 1, 22.9.2.19 (ST_Xstring).
    """
    if "_x" not in text:
        return text
    written = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text)
    # Characters beyond 16 bits are written as surrogate pairs.
    written = written.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return written.replace("\r\n", "\n").replace("\r", "\n")


def open_package(data: bytes) -> zipfile.ZipFile:
    """Open the archive of an office file; see ``open_archive``.

    Raises:
        ExtractionError: It is in the variant Strict of the format.
    """
    archive = open_archive(data)
    if _RELATIONS in archive.namelist() and _STRICT in read_member(archive, _RELATIONS):
        raise ExtractionError(
            "unsupported",
            "it is in the variant Strict Open XML; open it in its program and save it as an "
            "ordinary .docx, .xlsx or .pptx file",
        )
    return archive


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


def plain_package(data: bytes, archive: zipfile.ZipFile) -> bytes:
    """Return a file with macros, a template or a slide show as a plain document or presentation.

    python-docx and python-pptx refuse all others by the type of their main part.
    """
    types = read_member(archive, _TYPES)
    plain = _WORD_VARIANT.sub(_WORD, _SLIDES_VARIANT.sub(_SLIDES, types))
    if plain == types:
        return data
    return with_part(archive, _TYPES, plain)


def with_part(archive: zipfile.ZipFile, part: str, content: bytes) -> bytes:
    """Return a copy of a package in which a part has another content."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as copy:
        for name in archive.namelist():
            copy.writestr(name, content if name == part else read_member(archive, name))
    return buffer.getvalue()


def set_properties(builder: DocumentBuilder, archive: zipfile.ZipFile) -> str:
    """Add the file's properties with their types, and return its title.

    They are read from the package, because the libraries make up what a file does not say.
    """
    names = archive.namelist()
    core = next((name for name in names if name.endswith(_CORE_PROPERTIES)), None)
    title = _set_core(builder, parse_xml(read_member(archive, core))) if core else ""
    if _CUSTOM_PROPERTIES in names:
        for key, value in _custom(parse_xml(read_member(archive, _CUSTOM_PROPERTIES))):
            builder.set_metadata(**{key: value})
    return title


def _set_core(builder: DocumentBuilder, root: etree._Element) -> str:
    def text(name: str) -> str:
        return unescaped(root.findtext(f"{{*}}{name}") or "").strip()

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
    return " ".join(text("title").split())


def _custom(root: etree._Element) -> Iterator[tuple[str, MetadataValue]]:
    for item in root:
        key = re.sub(r"\W+", "_", str(item.get("name") or "")).strip("_").lower()
        if not key or key.startswith(_SENSITIVITY):
            continue
        for value in item:
            yield key, _typed(str(value.tag).removeprefix(_VT), unescaped(value.text or "").strip())


def _typed(kind: str, text: str) -> MetadataValue:
    if kind == "bool":
        return text.lower() in ("true", "1")
    if kind in _INTEGERS and re.fullmatch(r"[+-]?\d{1,18}", text):
        return int(text)
    if kind in _FRACTIONS and re.fullmatch(r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?", text):
        return float(text)
    return date_text(text) if kind in ("filetime", "date") else text
