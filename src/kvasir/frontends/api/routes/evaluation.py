"""``/v1/evaluation``: measure retrieval and answers on a data set, with the server's settings.

The data set is sent along in BEIR's layout, and indexed in a temporary collection.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Request, Response, UploadFile

from kvasir.app import App
from kvasir.core.errors import RequestError
from kvasir.frontends.api.callers import Admin, Chosen, UploadRoute
from kvasir.frontends.api.operations import EVENTS, long_work

router = APIRouter(prefix="/v1/evaluation", tags=["maintenance"], route_class=UploadRoute)

Corpus = Annotated[UploadFile, File(description="documents: `_id`, `title` and `text` a line")]
Queries = Annotated[UploadFile, File(description="questions: `_id`, `text` and `answers` a line")]
Qrels = Annotated[UploadFile, File(description="query-id, corpus-id and score, by tabs")]


@router.post("/retrieval", responses=EVENTS)
def measure_retrieval(
    request: Request, kvasir: Chosen, caller: Admin, corpus: Corpus, queries: Queries, qrels: Qrels
) -> Response:
    """Measure retrieval on a data set."""
    runner = kvasir.evaluation()
    dataset = _loaded(kvasir, corpus, queries, qrels)
    return long_work(request, caller, lambda run: runner.retrieval([dataset], run=run))


@router.post("/answers", responses=EVENTS)
def measure_answers(
    request: Request,
    kvasir: Chosen,
    caller: Admin,
    corpus: Corpus,
    queries: Queries,
    qrels: Qrels,
    off_topic: Annotated[
        list[str], Form(description="questions that the documents do not answer")
    ] = [],  # noqa: B006 - FastAPI copies it
) -> Response:
    """Measure answers on a data set: gold answers found, citations true, questions refused."""
    runner = kvasir.evaluation()
    dataset = _loaded(kvasir, corpus, queries, qrels)
    return long_work(request, caller, lambda run: runner.answers(dataset, off_topic, run=run))


def _loaded(kvasir: App, corpus: UploadFile, queries: UploadFile, qrels: UploadFile) -> Any:
    """Read a data set that was sent; its files have fixed names, whatever they were called."""
    with TemporaryDirectory(prefix="kvasir-") as temporary:
        folder = Path(temporary) / "dataset"
        (folder / "qrels").mkdir(parents=True)
        for name, sent in (
            ("corpus.jsonl", corpus),
            ("queries.jsonl", queries),
            ("qrels/test.tsv", qrels),
        ):
            with (folder / name).open("wb") as file:
                shutil.copyfileobj(sent.file, file)
        try:
            return kvasir.evaluation().load_dataset(folder)
        except RequestError as error:
            raise RequestError(str(error).replace(f"{folder}{os.sep}", "")) from error
