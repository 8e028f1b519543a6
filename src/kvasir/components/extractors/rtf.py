"""Rich Text Format, by striprtf: the words with their lines, tables, link targets and footnotes."""

from __future__ import annotations

import re
from itertools import groupby

from striprtf.striprtf import rtf_to_text

from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.components.extractors.inline_marks import footnote_mark
from kvasir.components.extractors.rtf_struck import with_struck_marks, write_struck
from kvasir.core.errors import ExtractionError
from kvasir.core.types import BlockKind, Document, Source

_TITLE = re.compile(r"\{\\title ([^{}\\]+)\}")
_LINK = re.compile(r'HYPERLINK\s+"([^"\\{}]{1,500})"([^{}]*\}*\s*\{\\fldrslt)')
_FOOTNOTE = re.compile(r"\{(?:\\\*)?\\footnote(?![a-z])(?:\\chftn|\\ftnalt)* ?")
_STYLE = re.compile(r"\{\\s(\d{1,4})\b[^{}]*? (?:[Hh]eading (\d)|([Tt]itle));\}")
_STYLE_USED = re.compile(r"\\s(\d{1,4})(?!\d)")
_LINE_BREAK = re.compile(r"\\line(?![a-z]) ?")
_HEADING_MARK, _LINE_MARK = "\ue000", "\ue001"
"""Private characters that stand in the text for what striprtf does not tell."""
_MARKED = re.compile(f"{_HEADING_MARK}(\\d)")
_BRACE = re.compile(r"(?<!\\)[{}]")
_CODE_PAGE = re.compile(rb"\\ansicpg(\d+)")


class RtfExtractor:
    """Reads RTF files."""

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract the paragraphs; see ``Extractor``."""
        builder = DocumentBuilder(source)
        written = _with_marks(_with_footnotes(_with_targets(data.decode("latin-1"))))
        written = with_struck_marks(written)
        page = _CODE_PAGE.search(data)
        encoding = f"cp{page[1].decode()}" if page else "cp1252"
        try:
            text = str(rtf_to_text(written, encoding, "replace"))  # type: ignore[no-untyped-call]
            text = write_struck(text)
        except (ValueError, LookupError, IndexError) as error:
            raise ExtractionError(
                "malformed", f"it is broken RTF ({error}); open it and save it again"
            ) from error
        for paragraph in re.split(r"\n\s*\n", text):
            for is_row, lines in groupby(
                paragraph.split("\n"), key=lambda line: line.endswith("|")
            ):
                if is_row:
                    rows = (_MARKED.sub("", line[:-1]).split("|") for line in lines)
                    builder.add_table([*rows])
                else:
                    for line in lines:
                        _add_paragraph(builder, line.replace(_LINE_MARK, "\n"))
        title = _TITLE.search(written)
        builder.title = " ".join(title[1].split()) if title else ""
        return builder.build()


def _add_paragraph(builder: DocumentBuilder, text: str) -> None:
    heading, words = _MARKED.search(text), _MARKED.sub("", text)
    if heading:
        builder.add(BlockKind.HEADING, words, level=int(heading[1]))
    else:
        builder.add(BlockKind.PARAGRAPH, words)


def _with_marks(written: str) -> str:
    """Mark the paragraphs that have the style of a heading, and the line breaks inside others."""
    levels = {style: level or "1" for style, level, _ in _STYLE.findall(written)}

    def marked(used: re.Match[str]) -> str:
        level = levels.get(used[1])
        return f"{used[0]}{_escaped(_HEADING_MARK)}{level}" if level else used[0]

    return _LINE_BREAK.sub(lambda _: _escaped(_LINE_MARK), _STYLE_USED.sub(marked, written))


def _escaped(character: str) -> str:
    return f"\\u{ord(character)}?"


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
