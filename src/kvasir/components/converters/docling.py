"""Conversion by docling, in this process, without any download.

Office documents, HTML, Markdown, AsciiDoc, CSV, EPUB and mail need no model. PDF files and
images need docling's models for layout, tables and text recognition, in one local folder.

Source: https://docling-project.github.io/docling (docling 2.142).
"""

from __future__ import annotations

import logging
import warnings
from io import BytesIO
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from docling.datamodel.base_models import ConversionStatus, DocumentStream, InputFormat
from docling.datamodel.document import ConversionResult
from docling.datamodel.pipeline_options import PdfPipelineOptions
from docling.document_converter import DocumentConverter, ImageFormatOption, PdfFormatOption
from docling_core.types.doc.document import DoclingDocument

from kvasir.core.errors import ExtractionError
from kvasir.core.types import Conversion, Source

_FORMATS = [
    InputFormat[name]
    for name in (
        "DOCX", "PPTX", "XLSX", "ODT", "ODS", "ODP", "HTML", "MD", "ASCIIDOC", "CSV", "EPUB",
        "EMAIL", "VTT", "LATEX", "XML_JATS", "XML_USPTO", "JSON_DOCLING", "PDF", "IMAGE",
    )
]  # fmt: skip
_PACKAGES = frozenset({"docling", "docling_core"})
_PAGE_SUFFIXES = (".pdf", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp")
"""Formats of page images, which need the models."""
MODEL_FOLDERS = (
    "docling-project--docling-layout-heron",
    "docling-project--docling-models",
    "RapidOcr",
)
"""Folders that ``docling-tools models download`` makes: layout, tables and text."""


class DoclingConverter:
    """Converts with docling."""

    def __init__(self, data_dir: Path | str, models: Path | str | None = None) -> None:
        """Args: the folder of docling's models is by default ``models/docling`` in ``data_dir``."""
        self._models = Path(models) if models else Path(data_dir) / "models" / "docling"
        # Docling's messages about a document are in its result.
        logging.getLogger("docling").setLevel(logging.CRITICAL)
        options = PdfPipelineOptions(artifacts_path=self._models)
        self._converter = DocumentConverter(
            allowed_formats=_FORMATS,
            format_options={
                InputFormat.PDF: PdfFormatOption(pipeline_options=options),
                InputFormat.IMAGE: ImageFormatOption(pipeline_options=options),
            },
        )

    def convert(self, source: Source, data: bytes) -> Conversion:
        """Convert one document; see ``Converter``."""
        name = PurePosixPath(unquote(urlsplit(source.uri).path)).name or "document.html"
        if not data:
            raise ExtractionError("empty", "it has no bytes")
        if name.lower().endswith(_PAGE_SUFFIXES):
            self._require_models()
        with warnings.catch_warnings(record=True) as noted:
            warnings.simplefilter("always")
            result = self._run(name, data)
        if result.status not in (ConversionStatus.SUCCESS, ConversionStatus.PARTIAL_SUCCESS):
            raise _failure(result)
        own = (each for each in noted if not _PACKAGES.isdisjoint(Path(each.filename).parts))
        problems = [each.error_message for each in result.errors]
        problems += [str(each.message) for each in own]
        return Conversion(_to_json(result.document), tuple(dict.fromkeys(problems)))

    def _run(self, name: str, data: bytes) -> ConversionResult:
        stream = DocumentStream(name=name, stream=BytesIO(data))
        try:
            return self._converter.convert(stream, raises_on_error=False)
        except ImportError as error:
            raise ExtractionError(
                "unsupported",
                f"docling lacks a library for it ({_first_line(error)}), of the extra 'docling'",
            ) from error
        except Exception as error:
            # The parsers of twenty formats raise anything; one file must not stop the run.
            raise _not_converted(_first_line(error)) from error

    def _require_models(self) -> None:
        missing = [name for name in MODEL_FOLDERS if not (self._models / name).is_dir()]
        if missing:
            raise ExtractionError(
                "missing_models",
                f"pages need docling's models, and '{self._models}' lacks {', '.join(missing)}: "
                "run 'docling-tools models download -o FOLDER' where there is a network and copy "
                "the folders there, or ingest the file itself if its text can be marked",
            )


def _failure(result: ConversionResult) -> ExtractionError:
    reasons = "; ".join(_first_line(each.error_message) for each in result.errors)
    if result.status == ConversionStatus.SKIPPED or "not allowed" in reasons:
        return ExtractionError("unsupported", "docling does not read this format; convert it first")
    return _not_converted(reasons or "no reason given")


def _not_converted(reason: str) -> ExtractionError:
    return ExtractionError(
        "malformed",
        f"docling cannot convert it ({reason}): open it in its program and save it again",
    )


def _to_json(document: DoclingDocument) -> str:
    """Return the document's JSON without its pictures, which cannot be searched."""
    for picture in document.pictures:
        picture.image = None
    for page in document.pages.values():
        page.image = None
    return document.model_dump_json(by_alias=True, exclude_none=True)


def _first_line(error: object) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
