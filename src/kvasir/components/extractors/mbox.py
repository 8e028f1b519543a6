"""Mailboxes in the mbox format: every mail as a section of one document.

Source: RFC 4155; a line of a mail that begins with "From " is written with ">" before it.
"""

from __future__ import annotations

import re

from kvasir.components.extractors.document_builder import DocumentBuilder
from kvasir.components.extractors.mail import EmlExtractor
from kvasir.core.errors import ExtractionError
from kvasir.core.types import Document, Source

_FROM = re.compile(rb"^From \S+[^\n]*\d{4}[^\n]*\r?\n", re.MULTILINE)
_QUOTED = re.compile(rb"^>(>*From )", re.MULTILINE)


class MboxExtractor:
    """Reads mailboxes."""

    def extract(self, source: Source, data: bytes) -> Document:
        """Extract the mails in order; see ``Extractor``.

        Raises:
            ExtractionError: No mail of it can be read.
        """
        builder = DocumentBuilder(source)
        starts = list(_FROM.finditer(data))
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
