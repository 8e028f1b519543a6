"""Jupyter notebooks: text and code of the cells, and what they printed, without pictures.

Source: nbformat 4; older notebooks have their cells in worksheets.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.components.extractors.encodings import decode
from kvasir.components.extractors.html import add_page
from kvasir.components.extractors.markdown import MarkdownExtractor
from kvasir.core.errors import ExtractionError
from kvasir.core.text import clean_text
from kvasir.core.types import BlockKind, Document, Source

_LONGEST_OUTPUT = 2000
"""Characters of what a cell printed; the rest is left out."""
_NAMELESS = re.compile(r"<[\w.]+ object(?: at 0x[\da-f]+)?>")
"""What stands for an object that is shown in another form."""


class NotebookExtractor:
    """Reads ``.ipynb`` files."""

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract the cells in order; see ``Extractor``."""
        builder = DocumentBuilder(source)
        try:
            notebook: Any = json.loads(decode(data))
            sheets = [notebook, *notebook.get("worksheets", [])]
            cells = [cell for sheet in sheets for cell in sheet.get("cells", [])]
        except (ValueError, AttributeError, TypeError, RecursionError) as error:
            raise ExtractionError(
                "malformed", f"it is no valid notebook ({error}); save it again in Jupyter"
            ) from error
        markdown = MarkdownExtractor()
        for number, cell in enumerate(cells, 1):
            with builder.part(f"cell {number}"):
                _add_cell(builder, markdown, source, cell, f"cell {number}")
        with builder.part("the metadata"):
            language = notebook.get("metadata", {}).get("kernelspec", {}).get("language")
            if isinstance(language, str):
                builder.set_metadata(programming_language=language)
        return builder.build()


def _add_cell(
    builder: DocumentBuilder, markdown: MarkdownExtractor, source: Source, cell: Any, name: str
) -> None:
    text = _joined(cell.get("source", cell.get("input", "")))
    if not text.strip():
        return
    kind = cell.get("cell_type")
    if kind == "heading":
        level = cell.get("level")
        words = " ".join(text.split())
        builder.add(BlockKind.HEADING, words, level=level if isinstance(level, int) else 1)
    elif kind == "raw":
        for paragraph in text.split("\n\n"):
            builder.add(BlockKind.PARAGRAPH, paragraph)
    elif kind != "code":
        _add_markdown(builder, markdown, source, text, name)
    else:
        builder.add(BlockKind.CODE, text)
        for output in _outputs(cell, source):
            builder.add(BlockKind.CODE, output)


def _add_markdown(
    builder: DocumentBuilder, markdown: MarkdownExtractor, source: Source, text: str, name: str
) -> None:
    try:
        inner = markdown.extract(source, text.encode("utf-8", "replace"))
    except ExtractionError as error:
        if error.reason != "empty":
            raise
        return
    if any(block.kind is BlockKind.HEADING for block in inner.blocks):
        builder.title = builder.title or inner.title
    builder.absorb(inner, name)


def _joined(text: Any) -> str:
    return "".join(map(str, text)) if isinstance(text, list) else str(text)


def _outputs(cell: dict[str, Any], source: Source) -> Iterator[str]:
    """Yield what a cell printed as text, shortened."""
    for output in cell.get("outputs", []):
        if output.get("output_type") in ("error", "pyerr"):
            text = f"{output.get('ename', '')}: {output.get('evalue', '')}"
        else:
            text = _shown(output.get("data", output), source)
        text = clean_text(text).strip("\n")
        if len(text) > _LONGEST_OUTPUT:
            text = text[:_LONGEST_OUTPUT] + " …"
        if text.strip():
            yield f"Output:\n{text}"


def _shown(data: dict[str, Any], source: Source) -> str:
    """Return the text of an output: as such, else as Markdown or of a page, else its LaTeX."""
    forms = {kind.rpartition("/")[2]: _joined(value) for kind, value in data.items()}
    plain = forms.get("plain", forms.get("text", ""))
    if plain.strip() and not _NAMELESS.fullmatch(plain.strip()):
        return plain
    page = _page_text(forms["html"], source) if "html" in forms else ""
    return forms.get("markdown") or page or forms.get("latex", "")


def _page_text(page: str, source: Source) -> str:
    builder = DocumentBuilder(source)
    has_text = add_page(page.encode("utf-8", "replace"), builder, "utf-8")
    return builder.build().text if has_text else ""
