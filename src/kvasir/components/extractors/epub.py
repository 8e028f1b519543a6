"""EPUB 2 and 3: the spine's XHTML in reading order. Source: EPUB 3.3, OCF and package."""

from __future__ import annotations

import posixpath
from urllib.parse import unquote

from lxml import etree

from kvasir.components.extractors.archive import damaged, open_archive, parse_xml, read_member
from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.components.extractors.file_properties import date_text
from kvasir.components.extractors.html import add_html, parse_html
from kvasir.core.errors import ExtractionError
from kvasir.core.types import Document, Source

_DC = "{http://purl.org/dc/elements/1.1/}"
_PROTECTION = {"META-INF/encryption.xml", "META-INF/rights.xml"}


class EpubExtractor:
    """Reads e-books."""

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract the chapters in the order of the spine; see ``Extractor``."""
        archive = open_archive(data, entities=True)
        if set(archive.namelist()) >= _PROTECTION:
            raise ExtractionError(
                "encrypted", "it is protected by DRM; ask its seller for a copy without"
            )
        container = parse_xml(read_member(archive, "META-INF/container.xml"))
        root_file = container.find(".//{*}rootfile")
        if root_file is None or not root_file.get("full-path"):
            raise damaged("no package file is named")
        package_path = str(root_file.get("full-path"))
        package = parse_xml(read_member(archive, package_path))
        builder = DocumentBuilder(source)
        for path in _chapters(package, posixpath.dirname(package_path)):
            with builder.part(f"chapter {path}"):
                add_html(parse_html(read_member(archive, path)), builder)
        builder.title = _text(package, "title") or builder.title
        builder.set_metadata(
            author=_text(package, "creator"),
            lang=_text(package, "language"),
            created=date_text(_text(package, "date")),
        )
        return builder.build()


def _chapters(package: etree._Element, folder: str) -> list[str]:
    items = {item.get("id"): item for item in package.iterfind(".//{*}manifest/{*}item")}
    paths = []
    for reference in package.iterfind(".//{*}spine/{*}itemref"):
        item = items.get(reference.get("idref"))
        if item is not None and "html" in (item.get("media-type") or ""):
            href = unquote((item.get("href") or "").partition("#")[0])
            paths.append(posixpath.normpath(posixpath.join(folder, href)))
    return paths


def _text(package: etree._Element, name: str) -> str:
    found = package.find(f".//{_DC}{name}")
    return " ".join("".join(found.itertext()).split()) if found is not None else ""
