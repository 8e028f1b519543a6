"""``/v1/collections/{name}/documents``: upload, list, show, change and delete documents."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import (
    APIRouter,
    File,
    Form,
    Header,
    Path,
    Query,
    Request,
    Response,
    UploadFile,
)
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from kvasir.app import App
from kvasir.core.document_metadata import check_metadata
from kvasir.core.errors import (
    CollectionNotFoundError,
    ConflictError,
    DocumentNotFoundError,
    NotFoundError,
    RequestError,
)
from kvasir.core.ledger import DocumentRecord
from kvasir.core.services.accounts import Caller
from kvasir.core.services.jobs import Job, NewJob
from kvasir.core.types import Metadata, PageBox
from kvasir.core.wire import to_json
from kvasir.frontends.api.caching import cached
from kvasir.frontends.api.callers import (
    Kvasir,
    Reader,
    UploadRoute,
    Writer,
    check_may_read,
    check_may_write,
)
from kvasir.frontends.api.routes.jobs import Wait, described, respond
from kvasir.frontends.api.sources import public_path
from kvasir.tasks import document_page, release

router = APIRouter(prefix="/v1/collections/{name}/documents", tags=["documents"])
uploads = APIRouter(
    prefix="/v1/collections/{name}/documents", tags=["documents"], route_class=UploadRoute
)

OnConflict = Literal["replace", "skip", "error"]
IdempotencyKey = Annotated[
    str | None,
    Header(alias="Idempotency-Key", max_length=255, description="the same key adds nothing twice"),
]
_Scalar = str | int | float | bool
MetadataValues = dict[str, _Scalar | list[_Scalar]]
_NOT_IN_NAMES = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_PIECE = 1 << 20
_LONGEST_URI = 4096
_SAFE = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox"}
"""Of documents' contents: nothing in them runs with the rights of our own pages."""


@uploads.post("", status_code=202, responses={202: {"model": Job}})
def upload(
    name: str,
    request: Request,
    kvasir: Kvasir,
    caller: Writer,
    file: Annotated[UploadFile, File(description="the document")],
    source: Annotated[
        str, Form(description="its identity; default: upload:USER/NAME", max_length=_LONGEST_URI)
    ] = "",
    metadata: Annotated[
        str, Form(description='a JSON object such as {"year": 2026}', max_length=100_000)
    ] = "",
    on_conflict: Annotated[OnConflict | None, Form()] = None,
    key: IdempotencyKey = None,
    wait: Wait = 0.0,
) -> Response:
    """Upload a document; it is indexed by a job, whose state shows when it is ready.

    Uploading a document with the same identity again replaces it.
    """
    check_may_write(kvasir, caller, name)
    check_takes_jobs(request)
    uri = checked_uri(source or f"upload:{_user(caller)}/{_file_name(file.filename)}")
    uri = _known_spelling(kvasir, caller, name, uri)
    arguments: dict[str, Any] = {"uri": uri, "metadata": _metadata(metadata)}
    arguments["on_conflict"] = on_conflict
    limit, spool = kvasir.settings.rag.ingest.max_file_mb << 20, kvasir.services.spool
    while True:
        digest, size = spool.put(file.file, max_bytes=limit)
        # Under the lock, nothing deletes these bytes with another document that had the same.
        with spool.lock():
            if spool.has(digest):
                arguments |= {"digest": digest, "size": size}
                new = NewJob("ingest_upload", arguments, caller.user_id, name, key or "", digest)
                return add_job(request, kvasir, caller, new, wait)
        file.file.seek(0)


class AddressBody(BaseModel):
    """An address to fetch and index."""

    model_config = ConfigDict(extra="forbid")
    url: str = Field(
        pattern="^https?://", max_length=_LONGEST_URI, examples=["https://example.org/a.html"]
    )
    metadata: MetadataValues | None = None
    on_conflict: OnConflict | None = None


@router.post("/from-url", status_code=202, responses={202: {"model": Job}})
def upload_address(
    name: str,
    body: AddressBody,
    request: Request,
    kvasir: Kvasir,
    caller: Writer,
    key: IdempotencyKey = None,
    wait: Wait = 0.0,
) -> Response:
    """Fetch and index a web page or file; addresses of private networks are refused."""
    check_may_write(kvasir, caller, name)
    checked_uri(body.url)
    check_metadata(body.metadata or {})
    new = NewJob("ingest_address", body.model_dump(), caller.user_id, name, key or "")
    return add_job(request, kvasir, caller, new, wait)


@router.get("", responses={200: {"model": list[DocumentRecord]}})
def list_documents(
    name: str,
    request: Request,
    kvasir: Kvasir,
    caller: Reader,
    prefix: Annotated[str, Query(description="the beginning of their source URI")] = "",
    source: Annotated[str, Query(description="the source URI of one document")] = "",
    match: Annotated[
        list[str] | None,
        Query(
            description="all that it means: an id, a source URI, a file name, the end of a path, "
            "or the beginning of one; several are spellings of the same",
            max_length=10,
        ),
    ] = None,
    after: Annotated[str, Query(description="the last source URI of the page before")] = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """List documents by source URI, or find some by what is known of their name."""
    check_may_read(kvasir, caller, name)
    with kvasir.collection(name) as collection:
        if match:
            found = collection.match(*match)
        elif source:
            found = [collection.document(source)]
        else:
            found = collection.documents(prefix, after=after, limit=limit)
    return cached(request, to_json(found))


@router.get("/{document_id}", responses={200: {"model": DocumentRecord}})
def show(name: str, document_id: str, request: Request, kvasir: Kvasir, caller: Reader) -> Response:
    """Show one document."""
    return cached(request, to_json(record_of(kvasir, caller, name, document_id)))


@router.get("/{document_id}/text", responses={200: {"content": {"text/plain": {}}}})
def text(name: str, document_id: str, kvasir: Kvasir, caller: Reader) -> Response:
    """Return the extracted text, into which all offsets point."""
    record = record_of(kvasir, caller, name, document_id)
    with kvasir.collection(name) as collection:
        content = collection.text(record.id)
    return Response(content, media_type="text/plain; charset=utf-8", headers=_SAFE)


class Passage(BaseModel):
    """A passage of a document, with the text around it."""

    document_id: str
    source_uri: str
    title: str
    start: int
    end: int
    before: str
    quote: str
    after: str


@router.get("/{document_id}/passage", responses={200: {"model": Passage}})
def passage(
    name: str,
    document_id: str,
    kvasir: Kvasir,
    caller: Reader,
    start: Annotated[int, Query(ge=0)],
    end: Annotated[int, Query(ge=0)],
    around: Annotated[int, Query(ge=0, le=5000)] = 300,
) -> Passage:
    """Return the passage at a citation's offsets."""
    record = record_of(kvasir, caller, name, document_id)
    with kvasir.collection(name) as collection:
        content = collection.text(record.id)
    if not start < end <= len(content):
        raise RequestError(f"the document has the characters 0 to {len(content)}")
    return Passage(
        document_id=record.id,
        source_uri=record.source_uri,
        title=record.title,
        start=start,
        end=end,
        before=content[max(0, start - around) : start],
        quote=content[start:end],
        after=content[end : end + around],
    )


@router.get(
    "/{document_id}/original", responses={200: {"content": {"application/octet-stream": {}}}}
)
def original(name: str, document_id: str, kvasir: Kvasir, caller: Reader) -> StreamingResponse:
    """Download the bytes that were uploaded."""
    record = record_of(kvasir, caller, name, document_id)
    stream = kvasir.services.spool.open(record.state.content_hash)

    def pieces() -> Iterator[bytes]:
        with stream:
            while piece := stream.read(_PIECE):
                yield piece

    # Never shown in the page: an HTML upload must not run with our origin's rights.
    disposition = {"Content-Disposition": _attachment(record.source_uri)}
    return StreamingResponse(
        pieces(), media_type="application/octet-stream", headers=_SAFE | disposition
    )


@router.get("/{document_id}/pages/{page}", responses={200: {"content": {"image/png": {}}}})
def page_picture(
    name: str,
    document_id: str,
    page: Annotated[int, Path(ge=1)],
    kvasir: Kvasir,
    caller: Reader,
    start: Annotated[int, Query(ge=0, description="of the passage to mark")] = 0,
    end: Annotated[int, Query(ge=0)] = 0,
    box: Annotated[
        str,
        Query(
            pattern=r"^(|(0|1|0?\.\d+|1\.0+)(,(0|1|0?\.\d+|1\.0+)){3})$",
            description="left, top, right and bottom of the area to mark, as shares of the page",
        ),
    ] = "",
    width: Annotated[int, Query(ge=100, le=2000, description="in pixels")] = 900,
) -> Response:
    """Return a page of a PDF document that was uploaded, as a picture with the passage marked."""
    check_may_read(kvasir, caller, name)
    area = PageBox(page, *map(float, box.split(","))) if box else None
    with kvasir.collection(name) as collection:
        picture = document_page(
            kvasir, collection, document_id, page, start=start, end=end, box=area, width=width
        )
    return Response(picture, media_type="image/png", headers=_SAFE | {"Cache-Control": "private"})


class MetadataBody(BaseModel):
    """New metadata of a document."""

    model_config = ConfigDict(extra="forbid")
    metadata: MetadataValues = Field(examples=[{"year": 2026, "tags": ["pump", "oil"]}])


@router.put("/{document_id}/metadata", responses={200: {"model": DocumentRecord}})
def set_metadata(
    name: str, document_id: str, body: MetadataBody, kvasir: Kvasir, caller: Writer
) -> JSONResponse:
    """Replace the metadata given for a document; nothing is embedded again."""
    check_may_write(kvasir, caller, name)
    metadata = check_metadata(body.metadata)
    with kvasir.collection(name) as collection:
        collection.set_metadata(document_id, metadata)
        return JSONResponse(to_json(collection.document(document_id)))


@router.post("/{document_id}/reindex", status_code=202, responses={202: {"model": Job}})
def reindex(
    name: str,
    document_id: str,
    request: Request,
    kvasir: Kvasir,
    caller: Writer,
    wait: Wait = 0.0,
) -> Response:
    """Read an uploaded document again: one that failed, or was indexed with other settings.

    What did not change is not embedded again.
    """
    check_may_write(kvasir, caller, name)
    record = record_of(kvasir, caller, name, document_id)
    state, spool = record.state, kvasir.services.spool
    given: dict[str, Any] = {"metadata": to_json(record.given) or None, "on_conflict": "replace"}
    if record.source_uri.startswith(("http://", "https://")):
        new = NewJob("ingest_address", given | {"url": record.source_uri}, caller.user_id, name)
        return add_job(request, kvasir, caller, new, wait)
    with spool.lock():
        if not state.content_hash or not spool.has(state.content_hash):
            raise NotFoundError("the bytes of this document are not kept: upload it again")
        given |= {"uri": record.source_uri, "digest": state.content_hash, "size": state.size}
        new = NewJob("ingest_upload", given, caller.user_id, name, digest=state.content_hash)
        return add_job(request, kvasir, caller, new, wait)


@router.delete("/{document_id}", status_code=204)
def delete(name: str, document_id: str, kvasir: Kvasir, caller: Writer) -> Response:
    """Delete a document from the index, and its uploaded bytes."""
    check_may_write(kvasir, caller, name)
    with kvasir.collection(name) as collection:
        record = collection.document(document_id)
        collection.delete(record.id)
    if record.state.content_hash:
        release(kvasir, record.state.content_hash)
    return Response(status_code=204)


def check_takes_jobs(request: Request) -> None:
    """Check that what this server is sent will be indexed.

    Raises:
        RequestError: Nobody would do its jobs.
    """
    if not request.app.state.takes_jobs:
        raise RequestError(
            "this server only answers: send documents to the function that indexes, or into its "
            "bucket"
        )


def add_job(
    request: Request, kvasir: App, caller: Caller, new: NewJob, wait: float = 0.0
) -> Response:
    """Add a job to the queue; return it as a response, at its end if that is soon enough."""
    check_takes_jobs(request)
    new = replace(new, arguments={**new.arguments, **request.app.state.job_arguments})
    job = kvasir.services.jobs.add(new)
    if job.collection != new.collection or dict(job.arguments) != dict(new.arguments):
        raise ConflictError(f"the idempotency key '{new.key}' was used for another request")
    request.app.state.wake_workers()
    headers = {"Location": public_path(kvasir, request, f"/v1/jobs/{job.id}")}
    return respond(
        request,
        kvasir,
        job,
        wait,
        lambda found: JSONResponse(described(caller, found), 202, headers=headers),
    )


def record_of(kvasir: App, caller: Caller, name: str, document_id: str) -> DocumentRecord:
    """Return the record of a document that the caller may read."""
    check_may_read(kvasir, caller, name)
    with kvasir.collection(name) as collection:
        return collection.document(document_id)


def _known_spelling(kvasir: App, caller: Caller, name: str, uri: str) -> str:
    """Return the source URI of the document of this name in any Unicode form, else the composed."""
    if uri.isascii():
        return uri
    try:
        return record_of(kvasir, caller, name, uri).source_uri
    except (CollectionNotFoundError, DocumentNotFoundError):
        return unicodedata.normalize("NFC", uri)


def _user(caller: Caller) -> str:
    return caller.user.username if caller.user else "owner"


def _file_name(given: str | None) -> str:
    """Return the last part of a name; it is a label only, and never opened."""
    last = re.split(r"[/\\]", given or "")[-1]
    cleaned = _NOT_IN_NAMES.sub("", last).strip()
    if cleaned in ("", ".", ".."):
        raise RequestError("the upload has no file name: name it, or give 'source'")
    return cleaned[:255]


def checked_uri(uri: str) -> str:
    """Return a source URI that can be shown anywhere."""
    if _NOT_IN_NAMES.search(uri):
        raise RequestError("the source has a control character: leave it out")
    return uri


def _attachment(uri: str) -> str:
    """Return the header that makes a browser save a document, under its name. Source: RFC 6266."""
    name = _NOT_IN_NAMES.sub("", re.split(r"[/\\]", uri)[-1]).strip()[:255] or "document"
    plain = re.sub(r"[^\w.() -]", "_", name, flags=re.ASCII)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _metadata(given: str) -> Metadata | None:
    if not given:
        return None
    try:
        found = json.loads(given)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"metadata is not a JSON object: {error}") from error
    if not isinstance(found, dict):
        raise RequestError("metadata is not a JSON object")
    check_metadata(found)
    return found
