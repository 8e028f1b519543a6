"""Where passages stand, for a reader: page, slide, sheet or line, headings, and a link there."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from rich.text import Text

from kvasir.core.links import passage_url
from kvasir.core.media_types import extension
from kvasir.core.text import has_scheme, heading_path, one_line
from kvasir.core.types import Citation, Hit, PageBox
from kvasir.frontends.cli.passages import FindMatches, highlighted, passage_lines
from kvasir.frontends.cli.paths import location
from kvasir.frontends.cli.terminal import Terminal
from kvasir.frontends.cli.wrapping import hanging

if TYPE_CHECKING:
    from collections.abc import Sequence

_WEB = ("http://", "https://")
_IN_ADDRESS = "/:?&=#%~+,;@!$'()*[]"
"""Characters that stay as they are in an address of the web."""


class Places:
    """Shows where hits and citations of one collection stand."""

    def __init__(self, terminal: Terminal, collection: str, server: str | None = None) -> None:
        """Read the environment.

        ``server`` is the address of the server that has the collection; its links open the
        server's pages. ``KVASIR_FILE_LINK`` is a form of links to files, for an editor, such as
        ``vscode://file{path}:{line}``.
        """
        self._terminal = terminal
        self._collection = collection
        self._server = server
        self._form = os.environ.get("KVASIR_FILE_LINK", "")

    def of_hit(self, hit: Hit) -> Text:
        """Return file and page, slide, sheet or line of a hit, as a link where possible."""
        chunk = hit.chunk
        uri = str(chunk.metadata.get("source_uri", chunk.document_id))
        page = hit.box.page if hit.box else chunk.page
        link = self._link(uri, chunk.document_id, chunk.start, chunk.end, page, hit.line)
        return self._terminal.linked(Text(location(uri, page, hit.line), "bold"), link)

    def of_citation(self, citation: Citation) -> Text:
        """Return file and page, slide, sheet or line of a citation, as a link where possible."""
        uri, page, line = citation.source_uri, citation.page, citation.line
        span = citation.start, citation.end
        link = self._link(uri, citation.document_id, *span, page, line)
        return self._terminal.linked(Text(location(uri, page, line), "bold"), link)

    def _link(
        self,
        source_uri: str,
        document_id: str,
        start: int,
        end: int,
        page: int | None,
        line: int | None,
    ) -> str:
        if source_uri.startswith(_WEB):
            return quote(source_uri, safe=_IN_ADDRESS)
        if self._server:
            return passage_url(self._server, self._collection, document_id, start, end)
        if has_scheme(source_uri):
            return ""
        return file_link(source_uri, page, line, self._form)


def file_link(path: str, page: int | None, line: int | None, form: str = "") -> str:
    """Return the address of a place in a file of this machine; empty if there is no such file.

    Page and line stand in the fragment: ``#page=3``, which browsers and viewers of PDF know, and
    ``#12``, which terminals hand to editors. The host is named, as terminals want it.
    Source: https://gist.github.com/egmontkob/eb114294efbcd5adb1944c9f3cb5feda
    """
    try:
        file = Path(path)
        if not file.is_absolute() or not file.exists():
            return ""
        address = file.as_uri()
    except (OSError, ValueError):
        return ""
    quoted, host = address.removeprefix("file://"), quote(platform.node())
    if form:
        for name, value in (("host", host), ("path", quoted), ("line", line or 1)):
            form = form.replace(f"{{{name}}}", str(value))
        return form.replace("{page}", str(page or 1))
    is_pdf = extension(path) == "pdf"
    fragment = f"#page={page}" if page and is_pdf else f"#{line}" if line else ""
    return f"file://{host}{quoted}{fragment}"


def headings_of(headings: Sequence[str]) -> str:
    """Return the path of headings in one line."""
    return one_line(heading_path(headings))


def quote_lines(
    quote: str,
    width: int | None,
    find: FindMatches | None = None,
    *,
    most: int = 0,
    rule: str = "─",
) -> list[Text]:
    """Return a quote as lines below its citation: in quotation marks, or as a drawn table.

    A text of more than ``most`` characters, if given, is cut behind a word.
    """
    indent = "    "
    if width and quote.lstrip().startswith("|"):
        return passage_lines(quote, width, indent=indent, find=find, rule=rule)
    return hanging(highlighted(f'"{one_line(quote, most)}"', find, "dim"), width, indent)


def on_page(box: PageBox | None) -> str:
    """Return where recognized text stands on its page, in percent from the upper left corner."""
    if box is None:
        return ""
    edges = box.left, box.right, box.top, box.bottom
    left, right, top, bottom = (round(100 * edge) for edge in edges)
    sure = f"recognized with {box.confidence:.0%} confidence"
    return f", {left}-{right} % from the left and {top}-{bottom} % from the top ({sure})"
