"""PDF by PDFium: paragraphs, headings, lists and tables, with page numbers.

A PDF holds positioned characters and no blocks, so the fonts, the distances between lines and
their first characters decide.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain, pairwise
from statistics import median

import pypdfium2 as pdfium
from pypdfium2 import raw

from kvasir.components.extractors import pdf_layout
from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.components.extractors.file_properties import keyword_list, pdf_date_text
from kvasir.components.extractors.pdf_glyphs import SOFT_HYPHEN, Line
from kvasir.components.extractors.pdf_hidden import hidden_objects
from kvasir.components.extractors.pdf_lines import page_height, page_lines
from kvasir.components.extractors.pdf_margins import without_running_heads
from kvasir.components.extractors.pdf_marks import page_marks
from kvasir.components.extractors.pdf_pictures import picture_descriptions
from kvasir.components.extractors.pdf_scans import hide_text, is_picture
from kvasir.components.extractors.scanned_pages import ScannedPages
from kvasir.core.errors import ExtractionError
from kvasir.core.types import BlockKind, Document, Source

_BULLET = re.compile(r"[•‣◦▪▫●○■□➢✓–*·-]\s+(?=\S)")
_NUMBERED = re.compile(r"(?:\(?\d{1,2}[.)]|\(?[a-z][.)])\s+(?=\S)")
_CAPTION = re.compile(r"(?:Table|Figure|Fig\.|Listing|Tabelle|Abbildung|Tabla|Figura)\s*\d+\s*[.:]")
_HAN_OR_KANA = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]")
"""Scripts without spaces between words."""
_SENTENCE_END = tuple(".!?:;。！？")
_LARGER = 1.12
"""Smallest font size of a heading, relative to the body's."""
_LONGEST_HEADING = 200
"""Maximum number of characters of a heading."""
_WIDEST_STEP = 1.9
"""Widest step from line to line inside a paragraph, in font sizes."""
_ENDS = tuple(".,:;!?)]%")
_IN_WORD = re.compile(r"\w-$")
_CONJUNCTIONS = frozenset({"and", "or", "und", "oder", "bzw", "sowie", "et", "ou"})
"""Words behind a hyphen that stands for a part left out: ``pre- and postwar``."""
_INDENT = 0.5
"""Smallest indent of an inner list, in font sizes."""
_NO_GAP = 0.1
"""Distance of two letters of one word, in font sizes."""
_LOOSE = 1.25
"""A step this many times as wide as usual begins a new paragraph."""
_LAYERED_FORM = re.compile(rb"/OC\s+\d+\s+\d+\s+R\b")
"""An entry of a form's dictionary, which is never compressed."""
_SECTION = re.compile(r"(?:\d{1,2}(?:\.\d{1,2})+\.?|\d{1,2})\s+[^\W\d_]")


class PdfExtractor:
    """Reads PDF; permissions are ignored if the document opens without a password."""

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract the blocks of all pages; see ``Extractor``."""
        try:
            pdf = pdfium.PdfDocument(data)
        except pdfium.PdfiumError as error:
            raise _opening_error(error) from error
        with pdf:
            return _read(source, pdf, _LAYERED_FORM.search(data) is not None)


def _read(source: Source, pdf: pdfium.PdfDocument, has_layered_forms: bool) -> Document:
    pages: list[list[Line]] = []
    comments: list[list[str]] = []
    is_tagged = bool(raw.FPDFCatalog_IsTagged(pdf.raw))
    heights: list[float] = []
    scanned = ScannedPages(len(pdf))
    textless: list[int] = []
    has_picture = False
    if pdf.get_formtype() != raw.FORMTYPE_NONE:
        pdf.init_forms()
    for number, page in enumerate(pdf, 1):
        with closing(page), closing(page.get_textpage()) as text_page:
            marks = page_marks(page)
            hidden = hidden_objects(page, has_layered_forms=has_layered_forms)
            lines = page_lines(page, text_page, marks, hidden)
            height = page_height(page, text_page)
            pictures = picture_descriptions(page) if is_tagged else []
            comments.append([*(f"Picture: {text}" for text in pictures), *marks.comments])
            is_read = bool(lines)
            if is_picture(page, lines, height):
                has_picture = True
                if lines:
                    hide_text(page)
                shown, height = scanned.pdf_lines(page, number)
                is_read = bool(shown) or (is_read and scanned.can_recognize)
                lines = sorted([*lines, *shown], key=lambda line: -(line.y0 + line.y1))
            if not is_read:
                textless.append(number)
            pages.append(lines)
            heights.append(height)
    if not any(pages):
        raise (
            scanned.textless_error("its pages are images without text")
            if has_picture
            else _empty_error()
        )
    builder = DocumentBuilder(source)
    write_pages(builder, pages, heights, comments)
    described = pdf.get_metadata_dict()
    title = described.get("Title", "").strip()
    builder.title = title if _is_title(title) else builder.title
    builder.set_metadata(
        author=described.get("Author"),
        subject=described.get("Subject"),
        keywords=keyword_list(described.get("Keywords", "")),
        created=pdf_date_text(described.get("CreationDate", "")),
        modified=pdf_date_text(described.get("ModDate", "")),
        pages=len(pages),
        pages_without_text=tuple(textless),
    )
    return scanned.finish(builder)


def _opening_error(error: pdfium.PdfiumError) -> ExtractionError:
    if "password" in str(error).lower() or "security" in str(error).lower():
        return ExtractionError(
            "encrypted", "it is encrypted; save a copy without its password and ingest that"
        )
    return ExtractionError(
        "malformed", f"it is damaged ({error}); open it in a PDF program and save it again"
    )


def _empty_error() -> ExtractionError:
    return ExtractionError("empty", "none of its pages has any text; nothing to index")


def _is_title(title: str) -> bool:
    """Return False for titles that programs set: a file name, the program's own name."""
    return bool(title) and not re.search(r"\.\w{2,4}$|^untitled|^microsoft|^\W*$", title, re.I)


def write_pages(
    builder: DocumentBuilder,
    pages: Sequence[Sequence[Line]],
    heights: Sequence[float],
    comments: Sequence[Sequence[str]],
) -> None:
    """Append the blocks of pages, with the height of each in points and what follows its text."""
    pages = without_running_heads(pages, heights, _body_size(pages))
    body = _body_size(pages)
    blocks = [
        [
            piece
            for region in pdf_layout.reading_order(lines)
            for piece in _region_pieces(region, body)
        ]
        for lines in pages
    ]
    _set_levels(blocks)
    header: list[str] = []
    for number, pieces in enumerate(blocks, 1):
        last_header, header = header, []
        for piece in pieces:
            if piece.kind is not BlockKind.TABLE:
                builder.add(piece.kind, piece.text, page=number, level=piece.level)
                continue
            rows = piece.rows
            if piece is pieces[0] and len(last_header) == len(rows[0]) and rows[0] != last_header:
                # The table continues the last page's: repeat its header.
                rows = [last_header, *rows]
            builder.add_table(rows, number)
            if piece is pieces[-1]:
                header = rows[0]
        for comment in comments[number - 1]:
            builder.add(BlockKind.PARAGRAPH, comment, page=number)


@dataclass(slots=True)
class _Piece:
    """A block before it is added to the document: a table has rows, other kinds have a text."""

    kind: BlockKind
    text: str = ""
    size: float = 0.0
    level: int | None = None
    rows: list[list[str]] = field(default_factory=list)
    edges: list[float] = field(default_factory=list)
    """Left edges of a list's last item and of the lists around it, outermost first."""


def _body_size(pages: Sequence[Sequence[Line]]) -> float:
    """Return the font size of most characters, rounded to half a point."""
    counts: Counter[float] = Counter()
    for line in chain.from_iterable(pages):
        counts[round(line.size * 2) / 2] += len(line.text)
    return counts.most_common(1)[0][0] if counts else 10.0


def _region_pieces(lines: Sequence[Line], body: float) -> list[_Piece]:
    """Return the pieces of one region in order; headings have no level yet."""
    pieces: list[_Piece] = []
    group: list[Line] = []
    right = max((line.x1 for line in lines), default=0.0)
    usual_step = _usual_step(lines)

    def end_group() -> None:
        if group:
            piece = _piece(group, body)
            if pieces and piece.kind is pieces[-1].kind is BlockKind.LIST:
                _append_item(pieces[-1], piece)
            else:
                pieces.append(piece)
            group.clear()

    for part in pdf_layout.split_tables(lines):
        if isinstance(part, list):
            end_group()
            pieces.append(_Piece(BlockKind.TABLE, rows=part))
            continue
        if group and _begins_paragraph(group, part, right, usual_step):
            end_group()
        group.append(part)
    end_group()
    return pieces


def _append_item(above: _Piece, item: _Piece) -> None:
    """Append an item to a list; one that begins further right belongs to the item above it."""
    edge = item.edges[0]
    inside = [one for one in above.edges if one < edge - _INDENT * item.size]
    above.edges = [*inside, edge]
    above.text += f"\n{'    ' * len(inside)}{item.text}"


def _set_levels(pages: Sequence[Sequence[_Piece]]) -> None:
    """Set the level of each heading: 1 for the largest font size, at most 6."""
    headings = [each for each in chain.from_iterable(pages) if each.kind is BlockKind.HEADING]
    sizes = sorted({round(piece.size) for piece in headings}, reverse=True)
    for piece in headings:
        piece.level = min(sizes.index(round(piece.size)) + 1, 6)


def _begins_paragraph(group: Sequence[Line], line: Line, right: float, usual_step: float) -> bool:
    """Return True if a line does not belong to the group of lines above it.

    ``right`` is the right edge of the region, in points; ``usual_step`` is in font sizes.
    """
    last = group[-1]
    step = last.y0 - line.y0
    if abs(step) < 0.5 * last.size:
        # Parts of one printed line: a number and its heading, or text in another direction.
        return False
    is_cut = last.text.endswith(SOFT_HYPHEN)
    if (step < 0 and not is_cut) or step > _WIDEST_STEP * max(last.size, line.size):
        return True
    if abs(line.size - last.size) > 0.12 * max(line.size, last.size):
        return True
    if is_cut:
        return False
    is_end, is_lower = last.text.endswith(_SENTENCE_END), line.text[:1].islower()
    if line.fixed != last.fixed or (line.bold != last.bold and (is_end or not is_lower)):
        return True
    if _is_item(line):
        return True
    if line.fixed:
        return False
    if step > _LOOSE * usual_step * line.size:
        return True
    indented = line.x0 > last.x0 + 0.8 * line.size
    if indented and is_end and not _is_item(group[0]):
        return True
    short = last.x1 < right - 6 * last.size
    return short and is_end and not is_lower


def _usual_step(lines: Sequence[Line]) -> float:
    """Return the median step from line to line inside paragraphs, in font sizes."""
    steps = [
        (before.y0 - after.y0) / after.size
        for before, after in pairwise(lines)
        if 0.8 < (before.y0 - after.y0) / max(after.size, 0.1) < _WIDEST_STEP
    ]
    return median(steps) if steps else _WIDEST_STEP


def _is_item(line: Line) -> bool:
    return bool(_BULLET.match(line.text) or _NUMBERED.match(line.text))


def _piece(lines: Sequence[Line], body: float) -> _Piece:
    """Return the piece of a group of lines; ``body`` is the body's font size."""
    size = max(line.size for line in lines)
    if all(line.fixed for line in lines) and (len(lines) > 1 or len(lines[0].text) > 40):
        return _Piece(BlockKind.CODE, _code(lines), size)
    text = _join(lines)
    if _CAPTION.match(text):
        return _Piece(BlockKind.CAPTION, text, size)
    short = len(text) <= _LONGEST_HEADING and len(lines) <= 3 and any(c.isalpha() for c in text)
    bold = all(line.bold for line in lines)
    one_line = short and len(lines) == 1 and size >= body * 0.95
    # Larger than the body; or one bold line; or one line with a section number.
    if (
        (short and size >= body * _LARGER and not text.endswith((".", ",")))
        or (one_line and bold and len(text) < 100 and not text.endswith((".", ",", ":", ";")))
        or (one_line and len(text) < 80 and _SECTION.match(text) and text[-1].isalnum())
    ):
        return _Piece(BlockKind.HEADING, text, size)
    if _is_item(lines[0]):
        item = f"- {_BULLET.sub('', text, count=1)}" if _BULLET.match(text) else text
        return _Piece(BlockKind.LIST, item, size, edges=[lines[0].x0])
    return _Piece(BlockKind.PARAGRAPH, text, size)


def _join(lines: Sequence[Line]) -> str:
    """Join hard-wrapped lines and words that were hyphenated at a line's end."""
    text = lines[0].text
    for before, line in pairwise(lines):
        after = line.text
        if text.endswith(SOFT_HYPHEN) or _IN_WORD.search(text):
            text = _join_word(text, after)
        elif _touches(before, line) or (
            _HAN_OR_KANA.match(text[-1:]) and _HAN_OR_KANA.match(after)
        ):
            text += after
        else:
            text = f"{text} {after}"
    if text.endswith(SOFT_HYPHEN):
        text = f"{text[:-1]}-"
    return " ".join(text.split())


def _join_word(text: str, after: str) -> str:
    """Join a text that ends in a hyphen to the next line; the hyphen goes if it only cut a word."""
    start, end = text[:-1], text.split()[-1][:-1]
    following = re.split(r"[^\w]", after, maxsplit=1)[0]
    if following in _CONJUNCTIONS:
        return f"{start}- {after}"
    is_capital = after[:1].isupper() and not (
        len(end) > 1 and end.isupper() and after[:2].isupper()
    )
    if is_capital or not after[:1].isalpha():
        return f"{start}-{after}" if after[:1].isalnum() else f"{start}- {after}"
    is_marked = text.endswith(SOFT_HYPHEN)
    is_cut = is_marked or (end[-1:].islower() and after[:1].islower())
    return start + after if is_cut else f"{start}- {after}"


def _touches(line: Line, after: Line) -> bool:
    """Return True if a sign ends a printed line without a space, as behind a raised digit."""
    is_same = abs(line.y0 - after.y0) < 0.5 * line.size
    is_near = abs(after.x0 - line.x1) < _NO_GAP * line.size
    return is_same and is_near and after.text.startswith(_ENDS)


def _code(lines: Sequence[Line]) -> str:
    """Return lines of code, indented by their left edges; a hyphen at the end of a line stays."""
    left = min(line.x0 for line in lines)
    rows = []
    for line in lines:
        width = max((line.x1 - line.x0) / max(len(line.text), 1), 1.0)
        rows.append(" " * round((line.x0 - left) / width) + line.text.replace(SOFT_HYPHEN, "-"))
    return "\n".join(rows)
