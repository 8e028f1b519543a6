"""Subtitles (SubRip and WebVTT): what is said, in sentences, each with the time when it begins.

Automatic captions roll up: a cue shows the last lines of the cue before it and a new line.

Source: WebVTT (W3C). SubRip has no standard; a blank line may miss between cues, or be in one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import unescape

from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.components.extractors.encodings import decode
from kvasir.core.types import BlockKind, Document, Source

_TIME = re.compile(
    r"(?:(\d+):)?(\d{1,2}):(\d{2}[.,]\d{1,3})\s*-->\s*(?:(\d+):)?(\d{1,2}):(\d{2}[.,]\d{1,3})"
)
_LINE_BREAK = re.compile(r"\r\n?")
_VOICE = re.compile(r"<v(?:\.[\w.]*)?\s+([^>]+)>")
_TAG = re.compile(r"</?[A-Za-z][^>]*>|<[\d:.]+>|\{\\[^}]*\}")
_END = re.compile(r"[.!?…。！？؟][\"'”’»)\]]*\Z")
_PAUSE = 3
"""Seconds without words after which something else begins."""
_LONGEST = 500
"""Characters that stand under one time."""
_SEAMLESS = 0.1
"""Seconds between two cues that are shown as one."""


@dataclass(frozen=True, slots=True)
class _Cue:
    first: float
    last: float
    """Seconds at which it begins and ends."""
    lines: tuple[str, ...]


class SubtitleExtractor:
    """Reads SRT and VTT files."""

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract the words without numbers, styles and notes; see ``Extractor``."""
        builder = DocumentBuilder(source)
        text = _LINE_BREAK.sub("\n", decode(data, source.charset, builder.warn))
        said: list[str] = []
        begun = ended = 0.0
        for cue in _without_repetitions(_cues(text)):
            is_over = said and (_END.search(said[-1]) or cue.first - ended > _PAUSE)
            if said and (is_over or sum(map(len, said)) > _LONGEST):
                _add(builder, begun, said)
                said = []
            if cue.lines:
                begun = begun if said else cue.first
                said += cue.lines
                ended = cue.last
        _add(builder, begun, said)
        return builder.build()


def _cues(text: str) -> Iterator[_Cue]:
    lines = text.split("\n")
    ends_at_blank = lines[0].lstrip("\ufeff").startswith("WEBVTT")
    found = [(at, time) for at, line in enumerate(lines) if (time := _TIME.search(line))]
    ends = [at for at, _ in found[1:]] + [len(lines)]
    for (at, time), end in zip(found, ends, strict=True):
        inside = lines[at + 1 : end]
        if end < len(lines) and inside and inside[-1].strip().isdecimal():
            inside.pop()  # The number of the next cue.
        if ends_at_blank and "" in inside:
            inside = inside[: inside.index("")]
        first, last = _seconds(*time.groups()[:3]), _seconds(*time.groups()[3:])
        yield _Cue(first, last, tuple(filter(None, map(_words, inside))))


def _without_repetitions(cues: Iterator[_Cue]) -> Iterator[_Cue]:
    """Take the lines out of each cue that are still shown from the cue before it."""
    before = _Cue(0.0, -1.0, ())
    for cue in cues:
        kept = _overlap(before.lines, cue.lines) if cue.first - before.last <= _SEAMLESS else 0
        if kept == len(cue.lines) == len(before.lines) and cue.last - cue.first > _SEAMLESS:
            kept = 0  # The same words are said again.
        yield _Cue(cue.first, cue.last, cue.lines[kept:])
        before = cue


def _overlap(before: Sequence[str], after: Sequence[str]) -> int:
    """Return the number of lines with which one cue ends and the next one begins."""
    most = min(len(before), len(after))
    return next((count for count in range(most, 0, -1) if before[-count:] == after[:count]), 0)


def _seconds(hours: str | None, minutes: str, seconds: str) -> float:
    return int(hours or 0) * 3600 + int(minutes) * 60 + float(seconds.replace(",", "."))


def _words(line: str) -> str:
    named = _VOICE.sub(r"\1: ", line)
    return " ".join(unescape(_TAG.sub("", named)).split())


def _add(builder: DocumentBuilder, begun: float, said: list[str]) -> None:
    if said:
        seconds = int(begun)
        clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        builder.add(BlockKind.PARAGRAPH, f"[{clock}] {' '.join(said)}")
