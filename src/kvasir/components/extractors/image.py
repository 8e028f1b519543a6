"""Pictures of text (PNG, JPEG, TIFF of several pages, WebP, HEIC), read by Pillow and OCR."""

from __future__ import annotations

import importlib
import io
import warnings
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Any

from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.components.extractors.pdf import write_pages
from kvasir.components.extractors.pdf_glyphs import Line
from kvasir.components.extractors.scanned_pages import ScannedPages
from kvasir.core.errors import ExtractionError
from kvasir.core.types import Document, Source

if TYPE_CHECKING:
    from kvasir.components.extractors.ocr import Pixels

_MOST_PIXELS = 89_000_000
"""A page of A3 at 600 dpi has 70 million; Pillow warns of more than 89 million."""
_MOST_PAGES = 2_000
_LONGEST_SIDE = 4_000
"""Larger pictures are reduced to this many pixels."""
_IMAGE = "it is an image"
_POINTS_PER_PIXEL = 72 / 200


class ImageExtractor:
    """Reads the text of pictures, each frame as a page."""

    def extract(self, source: Source, data: bytes) -> Document:
        """Recognize the text of all frames; see ``Extractor``."""
        if not ScannedPages(1).can_recognize:
            raise ScannedPages.unread_error(_IMAGE)
        pillow = _pillow(source.media_type)
        try:
            with warnings.catch_warnings(), _open(pillow, data) as image:
                return _read(source, image)
        except (pillow.DecompressionBombWarning, pillow.DecompressionBombError) as error:
            raise _too_many_pixels() from error
        except (OSError, SyntaxError, ValueError) as error:
            message = "it is damaged and cannot be opened; save it again"
            raise ExtractionError("malformed", message) from error


def _open(pillow: ModuleType, data: bytes) -> Any:
    warnings.simplefilter("error", pillow.DecompressionBombWarning)
    return pillow.open(io.BytesIO(data))


def _too_many_pixels() -> ExtractionError:
    fact = f"it has more than {_MOST_PIXELS // 10**6} million pixels"
    return ExtractionError("too_large", f"{fact}; save it with fewer")


def _read(source: Source, image: Any) -> Document:
    count = getattr(image, "n_frames", 1)
    if count > _MOST_PAGES:
        raise ExtractionError("too_large", f"it has {count} pages, more than {_MOST_PAGES}")
    scanned = ScannedPages(count)
    pages: list[list[Line]] = []
    heights = []
    for index in range(count):
        image.seek(index)
        draw = partial(_pixels, image)
        lines, height = scanned.lines(draw, index + 1, _POINTS_PER_PIXEL)
        pages.append(lines)
        heights.append(height)
    if not any(pages):
        raise scanned.textless_error(_IMAGE)
    builder = DocumentBuilder(source)
    write_pages(builder, pages, heights, [[] for _ in pages])
    builder.set_metadata(pages=count)
    return scanned.finish(builder)


def _pixels(image: Any) -> Pixels:
    """Return a frame, turned as its camera says, on white ground."""
    numpy = importlib.import_module("numpy")
    width, height = image.size
    if width * height > _MOST_PIXELS:
        raise _too_many_pixels()
    operations = importlib.import_module("PIL.ImageOps")
    frame = operations.exif_transpose(image)
    if frame.mode.startswith("I;16"):
        # 16 bits of grey, which Pillow would cut off at 255.
        frame = _image_module().fromarray((numpy.asarray(frame) >> 8).astype("uint8"))
    if frame.has_transparency_data:
        frame = frame.convert("RGBA")
        ground = _image_module().new("RGBA", frame.size, "white")
        frame = _image_module().alpha_composite(ground, frame)
    frame = frame.convert("RGB")
    frame.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE))
    pixels: Pixels = numpy.asarray(frame)
    return pixels


def _image_module() -> ModuleType:
    return importlib.import_module("PIL.Image")


def _pillow(media_type: str) -> ModuleType:
    if media_type == "image/heic":
        importlib.import_module("pi_heif").register_heif_opener()
    return _image_module()
