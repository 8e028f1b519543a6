"""``/v1/evaluation``: measure retrieval, answers and chunking, with the server's settings.

The data set is sent along and indexed in a temporary collection: for retrieval and answers in
BEIR's layout, for chunking in that of ``kvasir.evaluation.chunking``.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, TypeVar

from fastapi import APIRouter, File, Form, Request, Response, UploadFile

from kvasir.core.errors import RequestError
from kvasir.frontends.api.callers import Admin, Chosen, UploadRoute
from kvasir.frontends.api.operations import EVENTS, long_work

T = TypeVar("T")

_MARKDOWN_NAME = re.compile(r"[\w -][\w .-]{0,199}\.md")

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
    dataset = _loaded(runner.load_dataset, _beir(corpus, queries, qrels))
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
    dataset = _loaded(runner.load_dataset, _beir(corpus, queries, qrels))
    return long_work(request, caller, lambda run: runner.answers(dataset, off_topic, run=run))


@router.post("/chunking", responses=EVENTS)
def measure_chunking(
    request: Request,
    kvasir: Chosen,
    caller: Admin,
    questions: Annotated[
        UploadFile, File(description="`corpus_id`, `question` and `references` a line")
    ],
    corpora: Annotated[
        list[UploadFile], File(description="the documents, each named `CORPUS_ID.md`")
    ],
    top_k: Annotated[int, Form(ge=1, le=1000, description="chunks retrieved for a question")] = 5,
) -> Response:
    """Measure the splitter: recall, precision and IoU of the retrieved chunks."""
    runner = kvasir.evaluation()
    files = {"questions.jsonl": questions} | {_markdown_name(each): each for each in corpora}
    if len(files) <= len(corpora):
        raise RequestError("two of the corpora have the same name")
    dataset = _loaded(runner.load_chunking_dataset, files)
    return long_work(request, caller, lambda run: runner.chunking(dataset, top_k=top_k, run=run))


def _markdown_name(corpus: UploadFile) -> str:
    """Return the name of a corpus, which is a plain file name: others may lead elsewhere."""
    name = corpus.filename or ""
    if not _MARKDOWN_NAME.fullmatch(name):
        raise RequestError(
            f"'{name}' cannot be the name of a corpus: send CORPUS_ID.md, without a folder"
        )
    return name


def _beir(corpus: UploadFile, queries: UploadFile, qrels: UploadFile) -> dict[str, UploadFile]:
    """Return the files of a data set by their fixed names, whatever they were called."""
    return {"corpus.jsonl": corpus, "queries.jsonl": queries, "qrels/test.tsv": qrels}


def _loaded(load: Callable[[Path], T], files: Mapping[str, UploadFile]) -> T:
    """Read a data set that was sent."""
    with TemporaryDirectory(prefix="kvasir-") as temporary:
        folder = Path(temporary) / "dataset"
        for name, sent in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                shutil.copyfileobj(sent.file, file)
        try:
            return load(folder)
        except RequestError as error:
            raise RequestError(str(error).replace(f"{folder}{os.sep}", "")) from error
