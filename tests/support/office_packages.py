"""Makes Office Open XML packages from XML, for what python-docx and the like cannot write."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field

_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_NAMESPACES = {
    "w": "http://schemas.openxmlformats.org/wordprocessingml/2006/main",
    "w14": "http://schemas.microsoft.com/office/word/2010/wordml",
    "wp": "http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing",
    "a": "http://schemas.openxmlformats.org/drawingml/2006/main",
    "c": "http://schemas.openxmlformats.org/drawingml/2006/chart",
    "dgm": "http://schemas.openxmlformats.org/drawingml/2006/diagram",
    "xdr": "http://schemas.openxmlformats.org/drawingml/2006/spreadsheetDrawing",
    "mc": "http://schemas.openxmlformats.org/markup-compatibility/2006",
    "r": _OFFICE,
    "v": "urn:schemas-microsoft-com:vml",
    "p": "http://schemas.openxmlformats.org/presentationml/2006/main",
}
_WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml"
SPACES = " ".join(f'xmlns:{name}="{uri}"' for name, uri in _NAMESPACES.items())


@dataclass(frozen=True)
class Part:
    """A part of a package; its relationships to other parts and addresses are by id."""

    kind: str
    xml: str
    relations: Mapping[str, str] = field(default_factory=dict)
    suffix: str = "xml"
    media_type: str = ""


def word_package(
    body: str,
    parts: Mapping[str, Part] | None = None,
    links: Mapping[str, str] | None = None,
    files: Mapping[str, str] | None = None,
    background: str = "",
) -> bytes:
    """Return a Word file with the XML of its body.

    ``parts`` are its other parts by the id of the relationship that leads to them, ``links`` the
    addresses by the id of theirs. ``files`` are further members by name.
    """
    parts, links = parts or {}, links or {}
    document = f"<w:document {SPACES}>{background}<w:body>{body}</w:body></w:document>"
    types = (
        f'<Types xmlns="{_PACKAGE}/content-types"><Default Extension="xml" '
        'ContentType="application/xml"/><Default Extension="rels" '
        'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        f'<Override PartName="/word/document.xml" ContentType="{_WORD}.document.main+xml"/>'
        + "".join(
            f'<Override PartName="/word/{key}.{part.suffix}" '
            f'ContentType="{part.media_type or f"{_WORD}.{part.kind}+xml"}"/>'
            for key, part in parts.items()
        )
        + "</Types>"
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("[Content_Types].xml", types)
        archive.writestr("_rels/.rels", _relations({"r1": Part("officeDocument", "")}, {}, "word/"))
        archive.writestr("word/document.xml", document)
        archive.writestr("word/_rels/document.xml.rels", _relations(parts, links))
        for key, part in parts.items():
            archive.writestr(f"word/{key}.{part.suffix}", part.xml.replace("SPACES", SPACES))
            if part.relations:
                archive.writestr(f"word/_rels/{key}.xml.rels", _relations({}, part.relations))
        for name, content in (files or {}).items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _relations(parts: Mapping[str, Part], links: Mapping[str, str], folder: str = "") -> str:
    items = [
        f'<Relationship Id="{key}" Type="{_OFFICE}/{part.kind}" '
        f'Target="{folder}{"document" if folder else key}.{part.suffix}"/>'
        for key, part in parts.items()
    ]
    items += [
        f'<Relationship Id="{key}" Type="{_OFFICE}/hyperlink" Target="{address}" '
        'TargetMode="External"/>'
        for key, address in links.items()
    ]
    return f'<Relationships xmlns="{_PACKAGE}/relationships">{"".join(items)}</Relationships>'


def retyped(data: bytes, name: bytes, other: bytes) -> bytes:
    """Return a package with another content type, such as that of a template."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        for member in old.namelist():
            content = old.read(member)
            is_types = member == "[Content_Types].xml"
            new.writestr(member, content.replace(name, other) if is_types else content)
    return buffer.getvalue()


_ODF = "urn:oasis:names:tc:opendocument:xmlns:"
_ODF_NAMES = {
    "office": "office", "text": "text", "table": "table", "style": "style", "draw": "drawing",
    "form": "form", "presentation": "presentation", "meta": "meta", "svg": "svg-compatible",
    "fo": "xsl-fo-compatible", "chart": "chart",
}  # fmt: skip
ODF_SPACES = " ".join(f'xmlns:{short}="{_ODF}{name}:1.0"' for short, name in _ODF_NAMES.items())
ODF_SPACES += ' xmlns:xlink="http://www.w3.org/1999/xlink" '
ODF_SPACES += 'xmlns:dc="http://purl.org/dc/elements/1.1/"'


def open_document(
    kind: str,
    body: str,
    *,
    styles: str = "",
    shared: str = "",
    meta: str = "",
    files: Mapping[str, str] | None = None,
) -> bytes:
    """Return an OpenDocument file of a kind: ``text``, ``spreadsheet`` or ``presentation``.

    ``styles`` are the automatic styles, ``shared`` is the inside of ``styles.xml``.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("mimetype", f"application/vnd.oasis.opendocument.{kind}")
        archive.writestr(
            "content.xml",
            f"<office:document-content {ODF_SPACES}><office:automatic-styles>{styles}"
            f"</office:automatic-styles><office:body><office:{kind}>{body}</office:{kind}>"
            "</office:body></office:document-content>",
        )
        for name, inside in (("styles", shared), ("meta", meta)):
            if inside:
                root = f"office:document-{name}"
                archive.writestr(f"{name}.xml", f"<{root} {ODF_SPACES}>{inside}</{root}>")
        for name, content in (files or {}).items():
            archive.writestr(name, content)
    return buffer.getvalue()
