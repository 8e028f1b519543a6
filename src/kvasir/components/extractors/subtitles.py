"""Subtitles (SubRip and WebVTT): what is said, in sentences, each with the time when it begins."""

from __future__ import annotations

import re
from html import unescape

from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.components.extractors.encodings import decode
from kvasir.core.types import BlockKind, Document, Source

_TIME = re.compile(r"(?:(\d+):)?(\d{1,2}):(\d{2})[.,]\d{1,3}\s*-->\s*(?:(\d+):)?(\d{1,2}):(\d{2})")
_CUES = re.compile(r"\n[^\S\n]*\n")
_VOICE = re.compile(r"<v(?:\.[\w.]*)?\s+([^>]+)>")
_TAG = re.compile(r"</?[A-Za-z][^>]*>|<[\d:.]+>|\{\\[^}]*\}")
_END = re.compile(r"[.!?…。！？؟][\"'”’»)\]]*\Z")
_PAUSE = 3
"""Seconds without words after which something else begins."""
_LONGEST = 500
"""Characters that stand under one time."""


class SubtitleExtractor:
    """Reads SRT and VTT files."""

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract the words without numbers, styles and notes; see ``Extractor``."""
        builder = DocumentBuilder(source)
        text = decode(data, source.charset, builder.warn).replace("\r\n", "\n")
        said: list[str] = []
        begun = ended = 0
        for cue in _CUES.split(text):
            time = _TIME.search(cue)
            if not time:
                continue
            first, last = _seconds(*time.groups()[:3]), _seconds(*time.groups()[3:])
            words = _words(cue[time.end() :].partition("\n")[2])
            is_over = said and (_END.search(said[-1]) or first - ended > _PAUSE)
            if said and (is_over or sum(map(len, said)) > _LONGEST):
                _add(builder, begun, said)
                said = []
            if words:
                begun = begun if said else first
                # A cue may repeat the one before it, as captions that roll up do.
                said += [words] if words not in said else []
                ended = last
        _add(builder, begun, said)
        return builder.build()


def _seconds(hours: str | None, minutes: str, seconds: str) -> int:
    return int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds)


def _words(cue: str) -> str:
    named = _VOICE.sub(r"\1: ", cue)
    return " ".join(unescape(_TAG.sub("", named)).split())


def _add(builder: DocumentBuilder, seconds: int, said: list[str]) -> None:
    if said:
        clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
        builder.add(BlockKind.PARAGRAPH, f"[{clock}] {' '.join(said)}")
