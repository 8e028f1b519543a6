"""``/v1/collections/{name}/documents/batch`` and ``.../delete``: many documents in one request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Request, Response, UploadFile
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kvasir.core.document_metadata import check_metadata
from kvasir.core.errors import RequestError
from kvasir.core.services.jobs import BATCH, Job, NewJob
from kvasir.derived_app import check_overrides
from kvasir.frontends.api.callers import (
    Kvasir,
    Overrides,
    UploadRoute,
    Writer,
    check_may_write,
)
from kvasir.frontends.api.routes.documents import (
    MetadataValues,
    OnConflict,
    add_job,
    check_takes_jobs,
    checked_uri,
)
from kvasir.settings.masking import names_a_secret

router = APIRouter(
    prefix="/v1/collections/{name}/documents", tags=["documents"], route_class=UploadRoute
)

_MOST = 1000
_KEPT = {"uri", "media_type", "in_folder", "modified", "known"}
"""What a job has to know about a file."""


class BatchSource(BaseModel):
    """A source of a batch: a file that is sent along, or an address."""

    model_config = ConfigDict(extra="forbid")
    uri: str = Field(min_length=1, max_length=4096)
    media_type: str = Field("", max_length=200)
    file: str | None = Field(None, description="the name under which the file is sent")
    in_folder: bool = Field(False, description="found in a folder: its kind may be one not read")
    modified: float | None = Field(
        None, allow_inf_nan=False, description="time of its last change, seconds since 1970"
    )
    known: MetadataValues = Field(
        {}, description="metadata from elsewhere than its bytes; the document's own override it"
    )


class Batch(BaseModel):
    """Sources to index in one job."""

    model_config = ConfigDict(extra="forbid")
    sources: list[BatchSource] = Field(max_length=_MOST)
    metadata: MetadataValues | None = None
    metadata_of_new: MetadataValues | None = None
    on_conflict: OnConflict | None = None
    build_graph: bool = True
    re_split: bool = Field(False, description="split as the settings say from now on")
    gone: list[str] = Field(
        [], max_length=100_000, description="sources that do not exist any more"
    )


@router.post("/batch", status_code=202, responses={202: {"model": Job}})
def upload_batch(
    name: str,
    request: Request,
    kvasir: Kvasir,
    caller: Writer,
    overrides: Overrides,
    batch: Annotated[
        str,
        Form(
            description="a JSON object: `sources`, each with `uri` and the name of its `file`, "
            "`metadata`, `on_conflict`",
            examples=['{"sources": [{"uri": "upload:ana/tea.txt", "file": "0"}]}'],
        ),
    ],
    files: Annotated[list[UploadFile], File(description="the files, by name")] = [],  # noqa: B006
) -> Response:
    """Upload documents that one job indexes; its result is the report on each of them."""
    check_may_write(kvasir, caller, name)
    check_takes_jobs(request)
    try:
        given = Batch.model_validate_json(batch)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise RequestError(f"batch.{place}: {first['msg']}") from error
    sent = _by_name(files, given.sources)
    check_metadata({**(given.metadata_of_new or {}), **(given.metadata or {})})
    for each in given.sources:
        check_metadata(each.known)
    for each in given.sources if caller.user is not None else ():
        # Files of the data folder's own user may have any name.
        checked_uri(each.uri)
    limit = check_overrides(kvasir, overrides).rag.ingest.max_file_mb << 20
    arguments = given.model_dump(exclude={"sources"}) | {"settings": job_settings(overrides)}
    spool = kvasir.services.spool
    while True:
        sources = [_store(kvasir, each, sent, limit) for each in given.sources]
        digests = [source["digest"] for source in sources if "digest" in source]
        # Under the lock, nothing deletes these bytes with other documents that had the same.
        with spool.lock():
            if all(map(spool.has, digests)):
                needed = BATCH if digests else ""
                content = arguments | {"sources": sources, "size": _size(sources)}
                new = NewJob("ingest_batch", content, caller.user_id, name, digest=needed)
                return add_job(request, kvasir, caller, new)
        for file in files:
            file.file.seek(0)


def _by_name(
    files: Sequence[UploadFile], sources: Sequence[BatchSource]
) -> dict[str | None, UploadFile]:
    """Return the files of a batch by name; none may be lost."""
    sent: dict[str | None, UploadFile] = {}
    for file in files:
        if file.filename in sent:
            raise RequestError(f"two files have the name '{file.filename}': number them")
        sent[file.filename] = file
    if unused := sorted(map(str, sent.keys() - {source.file for source in sources})):
        raise RequestError(f"no source of the batch names the file '{unused[0]}'")
    return sent


def job_settings(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a request that its job has: no secret belongs in the database."""
    return {
        key: value
        for key, value in overrides.items()
        if key.startswith("rag.") and not names_a_secret(key)
    }


def _size(sources: Sequence[Mapping[str, Any]]) -> int:
    return sum(source.get("size", 0) for source in sources)


class DeletedDocuments(BaseModel):
    """Documents to delete, by id or source URI."""

    model_config = ConfigDict(extra="forbid")
    documents: list[str] = Field(max_length=10_000)


class Deleted(BaseModel):
    """How many documents were deleted."""

    deleted: int


@router.post("/delete")
def delete_documents(
    name: str, body: DeletedDocuments, request: Request, kvasir: Kvasir, caller: Writer
) -> Deleted:
    """Delete documents; none is deleted if one of them is unknown."""
    check_may_write(kvasir, caller, name)
    with kvasir.collection(name) as collection:
        deleted = collection.delete(*body.documents)
    # The uploaded bytes are deleted soon.
    request.app.state.tidy_up()
    return Deleted(deleted=deleted)


def _store(
    kvasir: Kvasir,
    source: BatchSource,
    sent: Mapping[str | None, UploadFile],
    limit: int,
) -> dict[str, Any]:
    """Return the source of a job; the bytes of a file go into the spool."""
    if source.file is None:
        if not source.uri.lower().startswith(("http://", "https://")):
            raise RequestError(f"'{source.uri}' is no address, and no file of it is sent")
        return {"url": source.uri}
    if source.file not in sent:
        raise RequestError(f"the file '{source.file}' of '{source.uri}' is not sent")
    digest, size = kvasir.services.spool.put(sent[source.file].file, max_bytes=limit)
    stored = {"digest": digest, "size": size}
    return source.model_dump(include=_KEPT) | stored
