"""Mailboxes in the mbox format: every mail as a section of one document.

A mail begins with a line "From ", an address and a time. Not every program writes ">" before
another line that begins with "From ", which has no time then. Source: RFC 4155.
"""

from __future__ import annotations

import re

from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.components.extractors.mail import EmlExtractor
from kvasir.core.errors import ExtractionError
from kvasir.core.types import Document, Source

_FROM = re.compile(rb"^From \S[^\n]*\n(?=[!-9;-~]+:)", re.MULTILINE)
_TIME = re.compile(
    rb"\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)\b.{1,40}?\d:\d\d.{0,40}?\b\d{4}\b"
    rb"|\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), .{1,40}?\b\d{4}\b.{1,40}?\d:\d\d"
)
"""A time as of ``asctime`` or as in a header."""
_QUOTED = re.compile(rb"^>(>*From )", re.MULTILINE)


class MboxExtractor:
    """Reads mailboxes."""

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract the mails in order; see ``Extractor``.

        Raises:
            ExtractionError: No mail of it can be read.
        """
        builder = DocumentBuilder(source)
        lines = list(_FROM.finditer(data))
        starts = [line for line in lines if _TIME.search(line[0])] or lines
        if not starts:
            raise ExtractionError("malformed", "there is no mail in it; export the mailbox again")
        ends = [found.start() for found in starts[1:]] + [len(data)]
        read = 0
        for number, (found, end) in enumerate(zip(starts, ends, strict=True), 1):
            mail = _QUOTED.sub(rb"\1", data[found.end() : end])
            with builder.part(f"mail {number} of it"):
                builder.absorb(EmlExtractor().extract(source, mail), f"mail {number}")
                read += 1
        builder.title = re.split(r"[/\\]", source.uri)[-1]
        builder.set_metadata(mails=read)
        return builder.build()
