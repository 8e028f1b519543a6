"""Recognizes the text of a page that is a picture, by RapidOCR on OpenVINO.

The models (PP-OCRv6) are in RapidOCR's wheel. A page may be turned by any number of quarters: the
detector finds lines in any direction, but the recognizer needs them upright, so a page whose text
is not recognized well is tried in the other directions, too.
"""

from __future__ import annotations

import importlib
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SURE = 0.9
"""Mean confidence from which a page counts as upright."""
_UPRIGHT = 0.5
"""Share of the text that is in horizontal lines on an upright page."""
_CHANNELS = 3
_OUT_OF_MEMORY = re.compile("alloc|Resource temporarily unavailable", re.I)
"""OpenVINO reports a lack of memory as any other error; threads need some, too."""
_MOST_THREADS = 4
"""Each thread takes memory, and several children may be at work."""

Pixels = NDArray[np.uint8]
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class ReadLine:
    """A line of recognized text.

    Attributes:
        text: The text.
        confidence: Of the recognition, 0..1.
        corners: From the upper left corner of the text clockwise, in shares of the width and
            height of the page as it is displayed.
        turned: The corners on the page turned upright.
    """

    text: str
    confidence: float
    corners: tuple[Point, ...]
    turned: tuple[Point, ...]

    @property
    def edges(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom edge on the page as it is displayed, 0..1."""
        xs, ys = zip(*self.corners, strict=True)
        return min(xs), min(ys), max(xs), max(ys)


@dataclass(frozen=True, slots=True)
class ReadPage:
    """The lines of a page, and the width and height of the page turned upright, in pixels."""

    lines: tuple[ReadLine, ...]
    width: int
    height: int

    @property
    def score(self) -> float:
        """Mean confidence of the characters in horizontal lines, times their share."""
        characters = sum(len(line.text) for line in self.lines)
        level = (line for line in self.lines if self._is_level(line))
        return sum(line.confidence * len(line.text) for line in level) / max(characters, 1)

    def _is_level(self, line: ReadLine) -> bool:
        (left, top), (right, _), _, (_, bottom) = line.turned
        width, height = abs(right - left) * self.width, abs(bottom - top) * self.height
        # A short text may be as high as wide.
        return width >= height or len(line.text) <= 2

    @property
    def skew(self) -> float:
        """The angle of the text, in radians, clockwise; 0 without text."""
        angles = []
        for line in self.lines:
            (x0, y0), (x1, y1), *_ = line.turned
            dx, dy = (x1 - x0) * self.width, (y1 - y0) * self.height
            if dx > 0:
                angles.append(math.atan2(dy, dx))
        return median(angles) if angles else 0.0


def recognize(pixels: Pixels) -> ReadPage:
    """Return the text of a page; ``pixels`` is uint8 [height, width], or with 3 channels (RGB)."""
    read = _read(pixels, 0)
    if not read.lines or read.score >= _SURE:
        return read
    best = read
    for turns in (2, 1, 3) if read.score > _UPRIGHT else (1, 3, 2):
        read = _read(pixels, turns)
        best = max(best, read, key=lambda page: page.score)
        if best.score >= _SURE:
            break
    return best


def _read(pixels: Pixels, turns: int) -> ReadPage:
    """Read a page after turning it left by quarters."""
    turned = np.ascontiguousarray(np.rot90(pixels, turns))
    if turned.ndim == _CHANNELS:
        turned = np.ascontiguousarray(turned[..., ::-1])
    height, width = turned.shape[:2]
    try:
        found = _engine()(turned, use_det=True, use_cls=False, use_rec=True)
    except Exception as error:
        if _OUT_OF_MEMORY.search(str(error)):
            raise MemoryError from error
        raise
    lines = []
    if found.boxes is not None:
        for box, text, confidence in zip(found.boxes, found.txts, found.scores, strict=True):
            corners = tuple((float(x) / width, float(y) / height) for x, y in box)
            shown = tuple(_turned_back(point, turns) for point in corners)
            lines.append(ReadLine(str(text), float(confidence), shown, corners))
    return ReadPage(tuple(lines), width, height)


def _turned_back(point: Point, turns: int) -> Point:
    """Return where a point of a page that was turned left by quarters is on the page itself."""
    x, y = (min(max(value, 0.0), 1.0) for value in point)
    for _ in range(turns):
        x, y = 1 - y, x
    return x, y


@cache
def _engine() -> Any:
    """Return RapidOCR's engine; models are loaded at its first call."""
    rapidocr = importlib.import_module("rapidocr")
    openvino = rapidocr.EngineType.OPENVINO
    return rapidocr.RapidOCR(
        params={
            "Global.log_level": "critical",
            "Det.engine_type": openvino,
            "Cls.engine_type": openvino,
            "Rec.engine_type": openvino,
            "EngineConfig.openvino.inference_num_threads": min(_MOST_THREADS, os.cpu_count() or 1),
        }
    )


def straightened(page: ReadPage) -> Sequence[tuple[ReadLine, tuple[float, float, float, float]]]:
    """Return each line with its box (left, lower, right, upper edge) on the straightened page.

    In pixels, y upwards; the height of a box is that of its line, however the line slopes.
    """
    cosine, sine = math.cos(page.skew), math.sin(page.skew)
    placed = []
    for line in page.lines:
        points = [(x * page.width, y * page.height) for x, y in line.turned]
        xs = [x * cosine + y * sine for x, y in points]
        ys = [page.height - (y * cosine - x * sine) for x, y in points]
        (top_left, top_right, bottom_right, bottom_left) = ys
        lower, upper = (bottom_left + bottom_right) / 2, (top_left + top_right) / 2
        placed.append((line, (min(xs), lower, max(xs), upper)))
    return placed
