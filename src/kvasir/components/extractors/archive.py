"""ZIP-based documents, opened within limits: no ZIP bombs, no XML entities."""

from __future__ import annotations

import io
import re
import zipfile

from lxml import etree

from kvasir.core.errors import ExtractionError, KvasirError, describe_unexpected

MAX_EXPANDED = 512 << 20
MAX_MEMBERS = 20_000
_XML = (".xml", ".rels", ".vml")
_DECLARATION = re.compile(rb"<!\s*(?:DOCTYPE|ENTITY)", re.IGNORECASE)


def open_archive(data: bytes, *, entities: bool = False) -> zipfile.ZipFile:
    """Open an archive after checking its expanded size.

    With ``entities`` its XML may have a document type declaration, as in EPUB.

    Raises:
        ExtractionError: It is damaged, encrypted, too large when expanded, or its XML declares
            entities, which office programs never do.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
    except zipfile.BadZipFile as error:
        raise damaged(str(error)) from error
    members = archive.infolist()
    if any(member.flag_bits & 1 for member in members):
        raise encrypted()
    expanded = sum(member.file_size for member in members)
    if expanded > MAX_EXPANDED or len(members) > MAX_MEMBERS:
        raise ExtractionError(
            "too_large",
            f"it expands to {expanded >> 20} MiB in {len(members)} parts, which is more than "
            f"{MAX_EXPANDED >> 20} MiB or {MAX_MEMBERS} parts; split the file",
        )
    if not entities:
        for member in members:
            if member.filename.lower().endswith(_XML):
                with archive.open(member) as stream:
                    if _DECLARATION.search(stream.read(4096)):
                        raise damaged(f"{member.filename} declares XML entities")
    return archive


def encrypted() -> ExtractionError:
    """Return the error for a file that needs a password."""
    return ExtractionError(
        "encrypted", "it is encrypted; open it with its password and save a copy without one"
    )


def damaged(detail: str) -> ExtractionError:
    """Return the error for a file whose structure is broken."""
    return ExtractionError(
        "malformed", f"it is damaged ({detail}); open it in its program and save it again"
    )


def unread(error: Exception) -> ExtractionError:
    """Return the error of a part that cannot be read, whatever its parser raised.

    Raises:
        MemoryError: The file as a whole is over its limit, not the part.
    """
    if isinstance(error, MemoryError):
        raise error
    if isinstance(error, ExtractionError):
        return error
    if isinstance(error, KvasirError):
        return ExtractionError("unsupported", str(error))
    return damaged(describe_unexpected(error))


def parse_xml(data: bytes) -> etree._Element:
    """Parse XML without entities, network or external files.

    Raises:
        ExtractionError: It is not well-formed.
    """
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False, recover=False
    )
    try:
        return etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:
        raise damaged(str(error)) from error


def read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Return a member's bytes.

    Raises:
        ExtractionError: It is missing or damaged.
    """
    try:
        return archive.read(name)
    except (KeyError, zipfile.BadZipFile, NotImplementedError, OSError) as error:
        raise damaged(f"part {name} cannot be read") from error
