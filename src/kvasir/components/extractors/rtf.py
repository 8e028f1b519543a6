"""Rich Text Format, by striprtf: the words with their lines, tables, link targets and footnotes."""

from __future__ import annotations

import re
from itertools import groupby

from striprtf.striprtf import rtf_to_text

from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.components.extractors.inline_marks import footnote_mark
from kvasir.core.errors import ExtractionError
from kvasir.core.types import BlockKind, Document, Source

_TITLE = re.compile(r"\{\\title ([^{}\\]+)\}")
_LINK = re.compile(r'HYPERLINK\s+"([^"\\{}]{1,500})"([^{}]*\}*\s*\{\\fldrslt)')
_FOOTNOTE = re.compile(r"\{(?:\\\*)?\\footnote(?![a-z])(?:\\chftn|\\ftnalt)* ?")
_BRACE = re.compile(r"(?<!\\)[{}]")
_CODE_PAGE = re.compile(rb"\\ansicpg(\d+)")


class RtfExtractor:
    """Reads RTF files."""

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract the paragraphs; see ``Extractor``."""
        builder = DocumentBuilder(source)
        written = _with_footnotes(_with_targets(data.decode("latin-1")))
        page = _CODE_PAGE.search(data)
        encoding = f"cp{page[1].decode()}" if page else "cp1252"
        try:
            text = str(rtf_to_text(written, encoding, "replace"))  # type: ignore[no-untyped-call]
        except (ValueError, LookupError, IndexError) as error:
            raise ExtractionError(
                "malformed", f"it is broken RTF ({error}); open it and save it again"
            ) from error
        for paragraph in re.split(r"\n\s*\n", text):
            for is_row, lines in groupby(
                paragraph.split("\n"), key=lambda line: line.endswith("|")
            ):
                if is_row:
                    builder.add_table([line[:-1].split("|") for line in lines])
                else:
                    builder.add(BlockKind.PARAGRAPH, "\n".join(lines))
        title = _TITLE.search(written)
        builder.title = " ".join(title[1].split()) if title else ""
        return builder.build()


def _with_targets(written: str) -> str:
    """Write the target of each link behind its words, within their group."""
    parts: list[str] = []
    start = 0
    for link in _LINK.finditer(written):
        end = _group_end(written, link.end())
        if link.start() >= start and "://" in link[1]:
            parts += [written[start : link.start()], link[2], written[link.end() : end]]
            parts.append(f" ({link[1]})")
            start = end
    return "".join([*parts, written[start:]])


def _with_footnotes(written: str) -> str:
    """Write the mark of each footnote at its place, and the notes at the end."""
    parts: list[str] = []
    notes: list[str] = []
    start = 0
    for opened in _FOOTNOTE.finditer(written):
        if opened.start() < start:
            continue
        end = _group_end(written, opened.end())
        notes.append(f"\\par\\par{{\\plain Note {len(notes) + 1}: {written[opened.end() : end]}}}")
        parts += [written[start : opened.start()], f"{{{footnote_mark(str(len(notes)))}}}"]
        start = end + 1
    if not notes:
        return written
    rest = written[start:].rstrip("\x00 \t\r\n").removesuffix("}")
    return "".join([*parts, rest, *notes, "}"])


def _group_end(written: str, start: int) -> int:
    """Return the offset of the brace that closes the group that ``start`` is in."""
    depth = 1
    for brace in _BRACE.finditer(written, start):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return brace.start()
    return len(written)
