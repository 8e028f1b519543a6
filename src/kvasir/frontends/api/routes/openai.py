"""``/v1/chat/completions``, ``/v1/embeddings`` and ``/v1/models`` for clients of OpenAI.

A collection is a model: whatever talks to OpenAI's interface talks to documents here.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain
from typing import Any
from uuid import uuid4

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from kvasir.app import App
from kvasir.core.errors import CollectionNotFoundError, KvasirError, StoppedError
from kvasir.core.ledger import CollectionRecord, check_embedder
from kvasir.core.protocols import Embedder, TokenCounter
from kvasir.core.services.accounts import Caller
from kvasir.core.types import Answer, AnswerEvent, Finished, Matrix, Text
from kvasir.frontends.api.answer_records import record
from kvasir.frontends.api.callers import Kvasir, Reader, check_may_read, readable_collections
from kvasir.frontends.api.explained import advised
from kvasir.frontends.api.generation import open_stream
from kvasir.frontends.api.openai_errors import (
    ERRORS,
    OpenAIFault,
    OpenAIRoute,
    error_body,
    error_response,
    unknown_model,
)
from kvasir.frontends.api.openai_replies import (
    ChatCompletion,
    CompletionWriter,
    Usage,
    error_event,
)
from kvasir.frontends.api.openai_requests import (
    SOURCES_SUFFIX,
    Chat,
    ChatBody,
    EmbeddingsBody,
    read_chat,
    read_inputs,
)
from kvasir.frontends.api.sources import (
    CitedSource,
    NearPassage,
    base_url,
    cited_sources,
    markdown_list,
    near_passages,
)
from kvasir.frontends.api.streaming import event_stream, whole_response

router = APIRouter(prefix="/v1", tags=["openai"], route_class=OpenAIRoute, responses=ERRORS)

_OWNER = "kvasir"
_CHARACTERS_PER_TOKEN = 4
"""For embedding models that do not count tokens."""


class Model(BaseModel):
    """A collection, or the embedding model."""

    id: str
    object: str
    created: int
    owned_by: str


class ModelList(BaseModel):
    """The models that the caller may use."""

    object: str
    data: list[Model]


class Embedding(BaseModel):
    """The vector of one input: numbers, or little-endian float32 in Base64."""

    object: str
    index: int
    embedding: list[float] | str


class EmbeddingList(BaseModel):
    """Vectors in the order of the inputs."""

    object: str
    data: list[Embedding]
    model: str
    usage: dict[str, int]


Finish = Callable[[Answer], tuple[Answer, list[CitedSource], list[NearPassage], Usage]]
"""Completes an answer with its list of sources, and adds it to the log."""


@router.post(
    "/chat/completions",
    response_model=ChatCompletion,
    responses={200: {"content": {"text/event-stream": {}}}},
)
def create_chat_completion(
    body: ChatBody, request: Request, kvasir: Kvasir, caller: Reader
) -> Response:
    """Answer the last message of a chat from a collection.

    With `stream`, the answer comes as server-sent events, of which `[DONE]` is the last one.
    """
    collection, adds_list = _collection(kvasir, caller, body.model)
    chat = read_chat(body)
    include_usage = body.stream_options is not None and body.stream_options.include_usage
    writer = CompletionWriter(str(uuid4()), int(time.time()), body.model, include_usage)
    headers = {"Kvasir-Answer": writer.answer_id}

    def finish(answer: Answer) -> tuple[Answer, list[CitedSource], list[NearPassage], Usage]:
        base = base_url(kvasir, request)
        sources = cited_sources(answer, collection, base)
        nearest = near_passages(answer, collection, base)
        if adds_list:
            answer = replace(answer, text=answer.text + markdown_list(sources, nearest))
        record(request, kvasir, caller, writer.answer_id, collection, chat.question, answer)
        usage = _usage(_embedder_of(kvasir, collection), chat, answer)
        return advised(caller, answer), sources, nearest, usage

    with ExitStack() as opened:
        lease = opened.enter_context(kvasir.collection(collection))
        conversation = kvasir.conversation(lambda: lease, generator=kvasir.generator)
        opened.callback(conversation.close)
        stream = open_stream(
            request,
            kvasir,
            lambda: conversation.stream(chat.question, chat.history, rag=True, system=chat.system),
        )
        opened.enter_context(stream)
        # A fault of the search has a status of its own.
        first = next(stream)
        until_end = opened.pop_all()

    def make() -> Response:
        try:
            with until_end:
                return JSONResponse(writer.completion(*finish(stream.answer)), headers=headers)
        except KvasirError as error:
            return error_response(error, caller)

    def render(events: Iterator[AnswerEvent]) -> Iterator[str]:
        try:
            with until_end:
                yield from _rendered(chain([first], events), writer, finish)
        except StoppedError:
            raise
        except Exception as error:  # noqa: BLE001 - the client must see that it failed
            yield error_event(error_body(error, caller))

    return event_stream(stream, render, headers) if body.stream else whole_response(make)


@router.post("/embeddings", response_model=EmbeddingList)
def create_embeddings(body: EmbeddingsBody, kvasir: Kvasir, caller: Reader) -> JSONResponse:
    """Embed texts by the model that embeds the documents."""
    embedder = _embedder(kvasir, caller, body.model)
    texts = read_inputs(body)
    counts = _count_tokens(embedder, texts)
    if isinstance(embedder, TokenCounter):
        for number, count in enumerate(counts):
            if count > embedder.max_tokens:
                message = (
                    f"This model's maximum context length is {embedder.max_tokens} tokens, "
                    f"however input {number} has {count}."
                )
                raise OpenAIFault(message, "input", "context_length_exceeded")
    is_query = body.input_type == "query"
    vectors = embedder.embed_queries(texts) if is_query else embedder.embed_documents(texts)
    encode = _as_base64 if body.encoding_format == "base64" else _as_numbers
    data = [
        {"object": "embedding", "index": number, "embedding": encode(vector)}
        for number, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": sum(counts), "total_tokens": sum(counts)}
    return JSONResponse({"object": "list", "data": data, "model": embedder.name, "usage": usage})


@router.get("/models", response_model=ModelList)
def list_models(kvasir: Kvasir, caller: Reader) -> JSONResponse:
    """List the collections that you may read."""
    readable = set(readable_collections(kvasir, caller))
    records = sorted(kvasir.collections(), key=lambda record: record.name)
    data = [_model(each.name, each) for each in records if each.name in readable]
    return JSONResponse({"object": "list", "data": data})


@router.get("/models/{model:path}", response_model=Model)
def retrieve_model(model: str, kvasir: Kvasir, caller: Reader) -> JSONResponse:
    """Show a collection that you may read, or the embedding model."""
    # A collection is shown without the embedder, which may have to be loaded.
    is_collection = any(each.name == model for each in kvasir.collections())
    if not is_collection and _is_embedding_model(kvasir, model):
        return JSONResponse(_model(model, None))
    collection, _ = _collection(kvasir, caller, model)
    for each in kvasir.collections():
        if each.name == collection:
            return JSONResponse(_model(model, each))
    raise unknown_model(model)


def _rendered(
    events: Iterator[AnswerEvent], writer: CompletionWriter, finish: Finish
) -> Iterator[str]:
    yield writer.begin()
    for event in events:
        if isinstance(event, Text):
            yield writer.text(event.text)
        elif isinstance(event, Finished):
            answer, sources, nearest, usage = finish(event.answer)
            if added := answer.text[len(event.answer.text) :]:
                yield writer.text(added)
            yield from writer.end(answer, sources, nearest, usage)


def _collection(kvasir: App, caller: Caller, model: str) -> tuple[str, bool]:
    """Return the collection of a model's name, and whether a list of sources is wanted."""
    names = {each.name for each in kvasir.collections()}
    name = model if model in names else model.removesuffix(SOURCES_SUFFIX)
    try:
        check_may_read(kvasir, caller, name)
    except CollectionNotFoundError as error:
        raise unknown_model(model) from error
    return name, name != model


def _embedder(kvasir: App, caller: Caller, model: str) -> Embedder:
    if _is_embedding_model(kvasir, model):
        return kvasir.embedder
    collection, _ = _collection(kvasir, caller, model)
    return _embedder_of(kvasir, collection)


def _is_embedding_model(kvasir: App, model: str) -> bool:
    """Return True for the name in the settings, and for the one by which vectors are returned."""
    return model == kvasir.settings.rag.embedding_model.name or model == kvasir.embedder.name


def _embedder_of(kvasir: App, collection: str) -> Embedder:
    for each in kvasir.collections():
        if each.name == collection:
            embedder = kvasir.embedder_of(each)
            check_embedder(each, embedder)
            return embedder
    return kvasir.embedder


def _model(name: str, found: CollectionRecord | None) -> dict[str, Any]:
    created = int(found.created.timestamp()) if found else 0
    return {"id": name, "object": "model", "created": created, "owned_by": _OWNER}


def _usage(embedder: Embedder, chat: Chat, answer: Answer) -> Usage:
    *asked, replied = _count_tokens(embedder, [*chat.texts, answer.text])
    prompt = sum(asked)
    return Usage(prompt_tokens=prompt, completion_tokens=replied, total_tokens=prompt + replied)


def _count_tokens(embedder: Embedder, texts: Sequence[str]) -> list[int]:
    if isinstance(embedder, TokenCounter):
        return embedder.count_tokens(texts)
    return [-(-len(text) // _CHARACTERS_PER_TOKEN) for text in texts]


def _as_numbers(vector: Matrix) -> list[float]:
    numbers: list[float] = vector.tolist()
    return numbers


def _as_base64(vector: Matrix) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()
