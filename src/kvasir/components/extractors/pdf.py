"""PDF by PDFium: paragraphs, headings, lists and tables, with page numbers.

A PDF holds positioned characters; the structure is derived from positions and fonts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from contextlib import closing

import pypdfium2 as pdfium
from pypdfium2 import raw

from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.components.extractors.pdf_blocks import body_size, region_pieces, set_levels
from kvasir.components.extractors.pdf_lines import Line, page_lines, reading_order
from kvasir.core.errors import ExtractionError
from kvasir.core.types import BlockKind, Document, Source

_MARGIN = 0.1
"""Share of the page's height, at top and bottom, that holds running heads."""
_FEWEST_REPEATS = 3
_DIGITS = re.compile(r"\d+")
_PAGE_NUMBER = re.compile(
    r"[\s\-–—|]*(?:page|seite|página|trang|第)?\s*\d{1,4}[\s\-–—|页頁]*", re.I
)


class PdfExtractor:
    """Reads PDF; permissions are ignored if the document opens without a password."""

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract the blocks of all pages; see ``Extractor``."""
        try:
            pdf = pdfium.PdfDocument(data)
        except pdfium.PdfiumError as error:
            raise _opening_error(error) from error
        with pdf:
            return _read(source, pdf)


def _read(source: Source, pdf: pdfium.PdfDocument) -> Document:
    pages: list[list[Line]] = []
    heights: list[float] = []
    has_picture = False
    for page in pdf:
        with closing(page), closing(page.get_textpage()) as text_page:
            pages.append(page_lines(page, text_page))
            heights.append(page.get_height())
            has_picture = has_picture or (not pages[-1] and _has_picture(page))
    if not any(pages):
        raise _textless_error(has_picture)
    builder = DocumentBuilder(source)
    _write(builder, _without_running_heads(pages, heights))
    described = pdf.get_metadata_dict()
    title = described.get("Title", "").strip()
    builder.title = title if _is_title(title) else builder.title
    textless = [str(number) for number, lines in enumerate(pages, 1) if not lines]
    builder.set_metadata(
        author=described.get("Author"),
        subject=described.get("Subject"),
        keywords=described.get("Keywords"),
        pages=len(pages),
        pages_without_text=", ".join(textless),
    )
    return builder.build()


def _opening_error(error: pdfium.PdfiumError) -> ExtractionError:
    if "password" in str(error).lower() or "security" in str(error).lower():
        return ExtractionError(
            "encrypted", "it is encrypted; save a copy without its password and ingest that"
        )
    return ExtractionError(
        "malformed", f"it is damaged ({error}); open it in a PDF program and save it again"
    )


def _textless_error(has_picture: bool) -> ExtractionError:
    if has_picture:
        return ExtractionError("image_only", "its pages are images without text")
    return ExtractionError("empty", "none of its pages has any text; nothing to index")


def _has_picture(page: pdfium.PdfPage) -> bool:
    kinds = (raw.FPDF_PAGEOBJ_IMAGE, raw.FPDF_PAGEOBJ_PATH, raw.FPDF_PAGEOBJ_SHADING)
    return any(True for _ in page.get_objects(filter=kinds, max_depth=3))


def _is_title(title: str) -> bool:
    """Return False for titles that programs set: a file name, the program's own name."""
    return bool(title) and not re.search(r"\.\w{2,4}$|^untitled|^microsoft|^\W*$", title, re.I)


def _without_running_heads(
    pages: Sequence[Sequence[Line]], heights: Sequence[float]
) -> list[list[Line]]:
    """Remove page numbers, and all but the first of lines repeated in many pages' margins."""
    found: Counter[str] = Counter()
    for lines, height in zip(pages, heights, strict=True):
        found.update({_key(line) for line in lines if _in_margin(line, height)})
    often = max(_FEWEST_REPEATS, len(pages) // 3)
    repeated = {key for key, count in found.items() if count >= often}
    seen: set[str] = set()
    kept: list[list[Line]] = []
    for lines, height in zip(pages, heights, strict=True):
        kept.append([])
        for line in lines:
            if _in_margin(line, height) and len(lines) > 1:
                key = _key(line)
                if _PAGE_NUMBER.fullmatch(line.text) or key in seen:
                    continue
                if key in repeated:
                    seen.add(key)
            kept[-1].append(line)
    return kept


def _key(line: Line) -> str:
    return _DIGITS.sub("0", line.text)


def _in_margin(line: Line, height: float) -> bool:
    return line.y1 < height * _MARGIN or line.y0 > height * (1 - _MARGIN)


def _write(builder: DocumentBuilder, pages: Sequence[Sequence[Line]]) -> None:
    body = body_size(pages)
    blocks = [
        [piece for region in reading_order(lines) for piece in region_pieces(region, body)]
        for lines in pages
    ]
    set_levels(blocks)
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
