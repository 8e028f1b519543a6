"""The interface of requirement document 002: ``POST /uploadfile/`` and ``POST /completion/``.

Names, shapes and titles are those of its public implementation, whose ``GET /health`` is in
``routes/health.py``. Unlike there, errors are problem documents with a status of their own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import PurePosixPath
from typing import Annotated, Literal
from uuid import uuid4

from fastapi import APIRouter, File, Request, Response, UploadFile
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from kvasir.core.types import AnswerEvent, Finished, Text
from kvasir.frontends.api.answer_records import record
from kvasir.frontends.api.callers import Kvasir, Reader, UploadRoute, Writer, check_may_read
from kvasir.frontends.api.generation import open_answer
from kvasir.frontends.api.routes import documents
from kvasir.frontends.api.streaming import text_stream

router = APIRouter(tags=["completion"])
uploads = APIRouter(tags=["completion"], route_class=UploadRoute)


class UploadedFile(BaseModel):
    """An accepted upload; ``new_file_path`` is the address of the job that indexes it."""

    status: Literal["success"]
    original_filename: str
    new_filename: str
    new_file_path: str = Field(examples=["/v1/jobs/6f1c6a86-8f0c-5a43-9d1e-0f6b1f3f5a11"])


class SearchQuery(BaseModel):
    """A question."""

    query: str = Field(min_length=1, max_length=20_000, examples=["How hot is green tea?"])


@uploads.post("/uploadfile/", response_model=UploadedFile)
def upload_file(
    request: Request, kvasir: Kvasir, caller: Writer, file: Annotated[UploadFile, File()]
) -> JSONResponse:
    """Upload a document; it is indexed by a job."""
    accepted = documents.upload(kvasir.settings.question_collection, request, kvasir, caller, file)
    job = json.loads(bytes(accepted.body))
    address, original = accepted.headers["Location"], PurePosixPath(job["arguments"]["uri"])
    content = {
        "status": "success",
        "original_filename": original.name,
        "new_filename": job["id"] + original.suffix,
        "new_file_path": address,
    }
    return JSONResponse(content, headers={"Location": address})


@router.post(
    "/completion/",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
def search_similar(
    search_query: SearchQuery, request: Request, kvasir: Kvasir, caller: Reader
) -> Response:
    """Answer a question from the documents, as a stream of text."""
    name = kvasir.settings.question_collection
    check_may_read(kvasir, caller, name)
    answer_id = str(uuid4())
    with ExitStack() as opened:
        lease = opened.enter_context(kvasir.collection(name))
        stream = open_answer(request, kvasir, lease, search_query.query)
        opened.enter_context(stream)
        # A fault of the search has a status of its own; a later one breaks the text off.
        next(stream)
        until_end = opened.pop_all()

    def render(events: Iterator[AnswerEvent]) -> Iterator[str]:
        with until_end:
            for event in events:
                if isinstance(event, Text):
                    yield event.text
                elif isinstance(event, Finished):
                    asked = search_query.query
                    record(request, kvasir, caller, answer_id, name, asked, event.answer)

    return text_stream(stream, render, {"Kvasir-Answer": answer_id})
