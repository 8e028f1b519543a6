"""Prints pages of known text as pictures, and makes them look scanned: for tests of OCR."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

DPI = 200
_A4 = (1654, 2339)
"""Pixels of a page at 200 dpi."""
_MARGIN = 150
_LINE = 1.5
"""Height of a line, in font sizes."""
_QUALITY = 40

Picture = Image.Image
Noise = Literal["gaussian", "salt_and_pepper"]


def wrapped(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Break a paragraph into lines of at most ``width`` pixels, at spaces or Chinese characters."""
    parts = text.split(" ") if " " in text else re.findall(r"\S[，。；：、）]?", text)
    joint = " " if " " in text else ""
    lines = [parts[0]]
    for part in parts[1:]:
        longer = lines[-1] + joint + part
        if font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(part)
    return lines


def _built_in_font(pixels: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(pixels)
    assert isinstance(font, ImageFont.FreeTypeFont)
    return font


def print_page(
    paragraphs: Sequence[str],
    font_file: str = "",
    points: float = 11.0,
    size: tuple[int, int] = _A4,
    margin: int = _MARGIN,
) -> Picture:
    """Return a white page with paragraphs in black, at 200 dpi; the default font is Pillow's."""
    pixels = round(points * DPI / 72)
    font = ImageFont.truetype(font_file, pixels) if font_file else _built_in_font(pixels)
    page = Image.new("L", size, 255)
    pen = ImageDraw.Draw(page)
    y = float(margin)
    for paragraph in paragraphs:
        for line in wrapped(paragraph, font, size[0] - 2 * margin):
            pen.text((margin, y), line, font=font, fill=0)
            y += _LINE * font.size
        y += font.size
    return page


def degrade(page: Picture, seed: int = 0, noise: Noise = "gaussian", skew: float = 1.5) -> Picture:
    """Return a page as a bad scanner gives it: skewed, blurred by 1 pixel, 5 % noise, JPEG 40."""
    random = np.random.default_rng(seed)
    turned = page.rotate(skew, resample=Image.Resampling.BICUBIC, fillcolor=255)
    pixels = np.asarray(turned.filter(ImageFilter.GaussianBlur(1)), dtype=np.float64)
    if noise == "gaussian":
        pixels = pixels + random.normal(0, 0.05 * 255, pixels.shape)
    else:
        hit = random.random(pixels.shape) < 0.05
        pixels = np.where(hit, 255 * random.integers(0, 2, pixels.shape), pixels)
    noisy = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    return Image.open(io.BytesIO(encoded(noisy, "JPEG", quality=_QUALITY)))


def encoded(page: Picture, kind: str, **options: Any) -> bytes:
    """Return a picture's file; the kind is one of Pillow's names, such as ``PNG``."""
    stream = io.BytesIO()
    page.save(stream, kind, **options)
    return stream.getvalue()


def scanned_pdf(pages: Sequence[Picture]) -> bytes:
    """Return a PDF of pages that are pictures without text."""
    options = {"save_all": True, "append_images": list(pages[1:]), "resolution": float(DPI)}
    return encoded(pages[0], "PDF", quality=_QUALITY, **options)


def character_errors(wanted: str, got: str) -> int:
    """Return the Levenshtein distance of two texts without white space."""
    a, b = "".join(wanted.split()), "".join(got.split())
    codes = np.array([ord(sign) for sign in b])
    steps = np.arange(len(b) + 1)
    row = steps.copy()
    for index, sign in enumerate(a, 1):
        changed = np.empty_like(row)
        changed[0] = index
        changed[1:] = np.minimum(row[1:] + 1, row[:-1] + (codes != ord(sign)))
        # Insertions run along the row: the least of what came before, plus the steps since.
        row = np.minimum.accumulate(changed - steps) + steps
    return int(row[-1])
