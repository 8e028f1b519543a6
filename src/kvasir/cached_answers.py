"""Gives the answer to a question again that was asked before in the same or nearly the same words.

An answer is served again if everything that it depends on is the same: the collection, the search,
the language model, the prompt, and the content and metadata of each document among its hits. Off by
default, since a document that was added later is not looked at until the answer's age ends.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Generator, Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from kvasir.answering.same_question import QuestionForm, asks_the_same, exact_form, form_of
from kvasir.app import App
from kvasir.collection import Collection
from kvasir.core.answer_stream import AnswerStream
from kvasir.core.errors import KvasirError
from kvasir.core.filters import SOURCE_URI
from kvasir.core.ledger import CollectionRecord
from kvasir.core.protocols import Generator as Generates
from kvasir.core.protocols import IdentifiesModel
from kvasir.core.services.answer_cache import CachedQuestion, KeptAnswer
from kvasir.core.types import (
    ASKED_BEFORE,
    Answer,
    AnswerEvent,
    Certainty,
    Finished,
    Hit,
    Matrix,
    Retrieved,
    Text,
    document_id,
)
from kvasir.core.wire import to_json
from kvasir.settings.loading import plain_values

logger = logging.getLogger(__name__)

_MOST_SCOPES = 64
_SETTINGS = ("answer.", "chat.rag.", "generator.", "llm", "rag.embedding_model.", "rag.language")
"""Beginnings of the keys on which an answer depends."""
_MODEL_SETTINGS = ("generator.", "llm")
"""Those of the keys on which it depends which model answers."""
_PAUSE = 10.0
"""Seconds until a model that could not be identified is asked again: each question would wait."""


@dataclass
class _Known:
    """The questions of one scope that were read from the database."""

    questions: list[CachedQuestion] = field(default_factory=list)
    forms: list[QuestionForm] = field(default_factory=list)
    last: int = 0

    def without(self, number: int) -> _Known:
        """Return the others; what was read is not read again."""
        kept = [at for at, each in enumerate(self.questions) if each.number != number]
        # SQLite gives the highest number again when its row was deleted.
        last = self.last - 1 if number == self.last else self.last
        return _Known([self.questions[at] for at in kept], [self.forms[at] for at in kept], last)


@dataclass(frozen=True)
class _Asked:
    """A question, and everything beside it on which its answer depends."""

    app: App  # With the settings of the request.
    collection: Collection
    record: CollectionRecord
    question: str
    scope: str

    @property
    def name(self) -> str:
        return self.collection.name

    def embed(self) -> Matrix:
        """Return the question's vector, by the model of the record."""
        embedder = self.app.embedder_of(self.record)
        vector: Matrix = embedder.embed_queries([self.question])[0]
        return vector


@dataclass(frozen=True)
class _Model:
    """What is known of the model that some settings choose."""

    fingerprint: str | None = None  # The last one; None if it was never reached.
    failed: float | None = None  # When it could not be identified, if it could not.

    @property
    def is_current(self) -> bool:
        """True if the model itself has just said so."""
        return self.failed is None

    @property
    def is_to_be_asked(self) -> bool:
        """False for a while after it could not be identified."""
        return self.failed is None or time.monotonic() - self.failed >= _PAUSE


class CachedAnswers:
    """The cache of one process; what others keep is found, too."""

    def __init__(self, app: App) -> None:
        """Use an application's settings, models and database; nothing is opened yet."""
        self._app = app
        self._known: OrderedDict[tuple[str, str], _Known] = OrderedDict()
        self._models: OrderedDict[str, _Model] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def is_enabled(self) -> bool:
        """Whether the settings want a cache."""
        return self._app.settings.answer.cache.enabled

    def stream(
        self,
        app: App,
        collection: Collection,
        question: str,
        options: Mapping[str, Any],
        make: Any,
        *,
        fresh: bool = False,
    ) -> tuple[AnswerStream, bool]:
        """Return the events of an answer, and True if it is one that was kept.

        Args:
            app: The process, with the settings of the request.
            collection: A lease, which stays open until the stream is closed.
            question: The question.
            options: As of ``Collection.stream``.
            make: Starts the answer if none is kept.
            fresh: Answer again, and keep that.
        """
        if not self.is_enabled or options.get("explain"):
            return make(), False
        settings = plain_values(app.settings)
        model = self._model(app, settings)
        if model.fingerprint is None:
            return make(), False
        record = collection.record()
        scope = _scope(settings, record, options, model.fingerprint)
        asked = _Asked(app, collection, record, question, scope)
        if not fresh and (kept := self._find(asked)) is not None:
            return AnswerStream(_events(kept)), True
        if not model.is_current:
            # Another model may write the answer, when one can be reached again.
            return make(), False
        return AnswerStream(self._keeping(make(), asked)), False

    def _model(self, app: App, settings: Mapping[str, Any]) -> _Model:
        """Identify the model; return what was known of it before if it cannot be identified."""
        key = json.dumps(_chosen(settings, _MODEL_SETTINGS), sort_keys=True, default=str)
        with self._lock:
            model = self._models.get(key, _Model())
        if not model.is_to_be_asked:
            return model
        try:
            model = _Model(_fingerprint(app.generator))
        except KvasirError as error:
            logger.warning("the model cannot be identified, so no answers are kept: %s", error)
            model = _Model(model.fingerprint, time.monotonic())
        with self._lock:
            self._models[key] = model
            self._models.move_to_end(key)
            while len(self._models) > _MOST_SCOPES:
                self._models.popitem(last=False)
        return model

    def _find(self, asked: _Asked) -> KeptAnswer | None:
        """Return a kept answer that still holds; a cache that fails is passed over."""
        try:
            number = self._app.services.answer_cache.find_exact(
                asked.name, asked.scope, exact_form(asked.question)
            )
            if number is not None and (kept := self._valid(asked, number)) is not None:
                return kept
            found = (self._valid(asked, each.number, each.date) for each in self._near(asked))
            return next((kept for kept in found if kept is not None), None)
        except KvasirError as error:
            logger.warning("the cache of answers cannot be asked: %s", error)
            return None

    def _near(self, asked: _Asked) -> Generator[CachedQuestion, None, None]:
        """Yield the questions that ask the same, nearest first."""
        known = self._read(asked.name, asked.scope)
        if not known.questions:
            return
        cosines = np.stack([each.vector for each in known.questions]) @ asked.embed()
        threshold = self._app.settings.answer.cache.threshold
        form = form_of(asked.question, self._app.analyzer)
        for at in np.argsort(-cosines):
            if cosines[at] < threshold:
                return
            if asks_the_same(form, known.forms[at]):
                yield known.questions[at]

    def _read(self, name: str, scope: str) -> _Known:
        """Return the questions of a scope, with those that were kept since the last time."""
        with self._lock:
            known = self._known.setdefault((name, scope), _Known())
            self._known.move_to_end((name, scope))
            while len(self._known) > _MOST_SCOPES:
                self._known.popitem(last=False)
            new = self._app.services.answer_cache.questions(name, scope, known.last)
            forms = [form_of(each.question, self._app.analyzer) for each in new]
            last = new[-1].number if new else known.last
            fresh = _Known([*known.questions, *new], [*known.forms, *forms], last)
            self._known[name, scope] = fresh
            return fresh

    def _forget(self, asked: _Asked, number: int) -> None:
        with self._lock:
            if (known := self._known.get((asked.name, asked.scope))) is not None:
                self._known[asked.name, asked.scope] = known.without(number)

    def _valid(self, asked: _Asked, number: int, date: datetime | None = None) -> KeptAnswer | None:
        """Return an answer if it is not too old and its documents are as they were.

        One of another ``date`` answers another question, which got the number of a deleted one.
        """
        cache = self._app.services.answer_cache
        kept = cache.answer(number)
        if kept is not None and date in (None, kept.date):
            days = self._app.settings.answer.cache.max_age_days
            oldest = datetime.now(UTC) - timedelta(days=days)
            if kept.date >= oldest and kept.sources == _states(self._app, asked.name, kept.sources):
                return kept
            cache.delete(number)
        self._forget(asked, number)
        return None

    def _keeping(self, stream: AnswerStream, asked: _Asked) -> Generator[AnswerEvent, None, None]:
        """Yield the events of an answer, and keep it if it is sure and cites documents."""
        before: Mapping[str, str] = {}
        with closing(stream):
            for event in stream:
                if isinstance(event, Retrieved):
                    # Before the model writes: a document may be replaced or deleted meanwhile.
                    before = self._states_of(event.hits, asked)
                yield event
                if isinstance(event, Finished):
                    self._keep(event.answer, asked, before)

    def _states_of(self, hits: Iterable[Hit], asked: _Asked) -> Mapping[str, str]:
        try:
            return _states(self._app, asked.name, _sources(hits))
        except KvasirError as error:
            logger.warning("an answer will not be kept: %s", error)
            return {}

    def _keep(self, answer: Answer, asked: _Asked, before: Mapping[str, str]) -> None:
        """Keep an answer, unless one of its documents has changed since ``before``."""
        if answer.certainty is not Certainty.SURE or not answer.citations or answer.notes:
            return
        if answer.unsupported_sentences:
            return
        used = _sources(answer.hits) | {citation.source_uri for citation in answer.citations}
        try:
            states = _states(self._app, asked.name, used)
            if states.keys() != used or not states.items() <= before.items():
                return
            self._app.services.answer_cache.keep(
                asked.name,
                asked.scope,
                exact_form(asked.question),
                asked.question,
                asked.embed(),
                answer,
                states,
            )
        except KvasirError as error:
            # The answer itself must not fail with the cache.
            logger.warning("an answer cannot be kept: %s", error)


def _scope(
    settings: Mapping[str, Any],
    record: CollectionRecord,
    options: Mapping[str, Any],
    fingerprint: str,
) -> str:
    # A filter may be text, a mapping or a Filter.
    request = {key: to_json(value) for key, value in sorted(options.items())}
    parts = [record.fingerprint, _chosen(settings, _SETTINGS), request, fingerprint]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def _chosen(settings: Mapping[str, Any], beginnings: tuple[str, ...]) -> dict[str, Any]:
    """Return the settings whose keys begin so."""
    return {key: value for key, value in settings.items() if key.startswith(beginnings)}


def _fingerprint(generator: Generates) -> str:
    """Return the fingerprint of a generator's model; empty where its settings identify it."""
    return generator.model_fingerprint() if isinstance(generator, IdentifiesModel) else ""


def _sources(hits: Iterable[Hit]) -> set[str]:
    """Return the source URIs of all documents that hits show."""
    found = set[str]()
    for hit in hits:
        found |= {str(hit.chunk.metadata[SOURCE_URI]), *hit.copies}
    return found


def _states(app: App, collection: str, sources: Iterable[str]) -> dict[str, str]:
    """Return a hash of each document's content and metadata; without those that are gone."""
    uris = {document_id(uri): uri for uri in sources}
    found = {}
    for key, (content_hash, metadata) in app.catalog.live_contents(collection, uris).items():
        state = json.dumps([content_hash, to_json(metadata)], sort_keys=True)
        found[uris[key]] = hashlib.sha256(state.encode()).hexdigest()
    return found


def _events(kept: KeptAnswer) -> Generator[AnswerEvent, None, None]:
    age = max(0, int((datetime.now(UTC) - kept.date).total_seconds()))
    note = f"answered {_ago(age)} {ASKED_BEFORE}"
    answer = replace(kept.answer, timings={"total": 0.0}, notes=(*kept.answer.notes, note))
    yield Retrieved(answer.hits)
    yield Text(answer.text)
    yield Finished(answer)


def _ago(seconds: int) -> str:
    for name, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {name}"
    return f"{seconds} seconds"
