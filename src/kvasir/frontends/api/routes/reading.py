"""``/read/...``: the pages behind the links of citations, in mails and in other programs' answers.

They show the passage in the text around it, and lead to the original document.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, StreamingResponse

from kvasir.core.errors import RequestError
from kvasir.core.ledger import DocumentRecord
from kvasir.core.links import page_path
from kvasir.core.text import one_line, printable
from kvasir.frontends.api.callers import Kvasir, PageReader
from kvasir.frontends.api.pages import PageRoute, html_page
from kvasir.frontends.api.registration import language_of
from kvasir.frontends.api.routes.documents import original, record_of
from kvasir.frontends.api.routes.sign_in import sign_out_form
from kvasir.frontends.api.sources import path_prefix

router = APIRouter(prefix="/read", include_in_schema=False, route_class=PageRoute)

_AROUND = 1500
"""Characters shown before and after a passage."""
_LONGEST_TITLE = 300
_TEXTS: Mapping[str, Mapping[str, str]] = {
    "en": {"original": "Original document", "part": "Characters {} to {} of {}"},
    "es": {"original": "Documento original", "part": "Caracteres {} a {} de {}"},
}


@router.get("/{name}/{document_id}")
def show_passage(
    name: str,
    document_id: str,
    request: Request,
    kvasir: Kvasir,
    caller: PageReader,
    start: Annotated[int, Query(ge=0)] = 0,
    end: Annotated[int, Query(ge=0)] = 0,
) -> HTMLResponse:
    """Show a passage with the text around it; without offsets, the beginning of the document."""
    record = record_of(kvasir, caller, name, document_id)
    with kvasir.collection(name) as collection:
        content = collection.text(record.id)
    if (start or end) and not start < end <= len(content):
        raise RequestError(f"the document has the characters 0 to {len(content)}")
    text = _TEXTS[language_of(request)]
    first, last = max(0, start - _AROUND), min(len(content), end + _AROUND)
    before, quote, after = content[first:start], content[start:end], content[end:last]
    marked = f"<mark>{_shown(quote)}</mark>" if quote else ""
    passage = f'<div class="passage">{_shown(before)}{marked}{_shown(after)}</div>'
    part = text["part"].format(first, last, len(content))
    prefix = path_prefix(kvasir, request)
    link = ""
    if record.state.content_hash and kvasir.services.spool.has(record.state.content_hash):
        address = f"{prefix}{page_path(name, record.id)}/original"
        link = f'<p><a href="{escape(address)}">{text["original"]}</a></p>'
    source = f"<p>{_shown(one_line(record.source_uri))}<br><small>{part}</small></p>"
    body = f"{source}{link}{passage}{sign_out_form(request, kvasir)}"
    return html_page(request, _title(record), body, wide=True)


@router.get("/{name}/{document_id}/original")
def download_original(
    name: str, document_id: str, kvasir: Kvasir, caller: PageReader
) -> StreamingResponse:
    """Download the bytes that were uploaded."""
    return original(name, document_id, kvasir, caller)


def _title(record: DocumentRecord) -> str:
    return printable(one_line(record.title or record.source_uri, _LONGEST_TITLE)) or "Kvasir"


def _shown(text: str) -> str:
    return escape(printable(text))
