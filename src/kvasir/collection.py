"""One collection: what users call to ingest, search, ask and maintain it.

Public methods take and return plain values; paths, settings, terminals and permissions belong to
the front doors. Methods import what only some callers need: a search must start within 1.5 s.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

from kvasir.collection_maintenance import CollectionMaintenance
from kvasir.collection_web import WebIngesting
from kvasir.core.answer_stream import AnswerStream
from kvasir.core.errors import RequestError
from kvasir.core.filters import Filter, parse_filter
from kvasir.core.ledger import CollectionRecord, DocumentRecord
from kvasir.core.protocols import Optimizable
from kvasir.core.run import Run
from kvasir.core.text import replace_surrogates
from kvasir.core.types import Answer, AnswerEvent, ExplainedSearch, Hit, Metadata, SearchRequest

if TYPE_CHECKING:
    from kvasir.answering.refusal import Calibration as Calibration
    from kvasir.core.reports import IngestReport
    from kvasir.evaluation.calibration import Fitted as Fitted
    from kvasir.evaluation.datasets import load_questions as load_questions
    from kvasir.evaluation.question_sets import JudgedQuestion as JudgedQuestion
    from kvasir.evaluation.question_sets import load_question_set as load_question_set
    from kvasir.evaluation.questions import QuestionFigures as QuestionFigures
    from kvasir.evaluation.questions import QuestionsResult as QuestionsResult
    from kvasir.evaluation.questions import Share as Share
    from kvasir.ingesting.preparing import OnConflict
    from kvasir.ingesting.sources import Input

T = TypeVar("T")
FilterLike = str | Mapping[str, Any] | Filter | None
_EXPORTED = {
    "Calibration": "kvasir.answering.refusal",
    "load_questions": "kvasir.evaluation.datasets",
    "JudgedQuestion": "kvasir.evaluation.question_sets",
    "load_question_set": "kvasir.evaluation.question_sets",
}


def __getattr__(name: str) -> Any:
    """Import what other modules define when it is first needed."""
    if name not in _EXPORTED:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(import_module(_EXPORTED[name]), name)


class Collection(CollectionMaintenance, WebIngesting):
    """A lease on one collection; close it, or use it in a ``with``.

    Safe to use from several threads. Errors of every method: ``CollectionNotFoundError`` where
    the collection is needed and does not exist, ``ClosedError`` after ``close``,
    ``ForkedProcessError`` in a process forked from the one that opened it, ``ComponentError`` where
    store, model or database fail, and ``StoppedError`` where a ``run`` was stopped.

    Attributes:
        name: The collection's name.
        index: The state that the leases share in this process; not part of the service.
    """

    def source_uri(self, path: str) -> str:
        """Return the source URI of a file of this machine: its absolute path."""
        return path

    def search(
        self,
        query: str,
        *,
        top_k: int | None = None,
        min_score_threshold: float | None = None,
        filters: FilterLike = None,
    ) -> list[Hit]:
        """Find the passages that belong to a query, best first.

        Args:
            query: The question or keywords.
            top_k: Most hits; by default what the settings say.
            min_score_threshold: Leave out hits whose ``dense_score`` is below, 0..1.
            filters: ``"field=value,..."``, a mapping in Haystack's syntax, or a ``Filter``; holds
                beside the settings' filter.

        Raises:
            RequestError: The query is empty.
            WrongEmbedderError: Another embedder made the collection.
        """
        with self._call() as index:
            return index.retrieve(self._search(query, top_k, min_score_threshold, filters))

    def explain(
        self,
        query: str,
        *,
        top_k: int | None = None,
        min_score_threshold: float | None = None,
        filters: FilterLike = None,
    ) -> ExplainedSearch:
        """Return the hits of ``search``, and how they were found; arguments and errors as there."""
        with self._call() as index:
            return index.explain(self._search(query, top_k, min_score_threshold, filters))

    def ask(
        self,
        question: str,
        *,
        top_k: int | None = None,
        min_score_threshold: float | None = None,
        filters: FilterLike = None,
        explain: bool = False,
        fresh: bool = False,
    ) -> Answer:
        """Answer a question from the documents; arguments and errors as ``search``.

        With ``explain`` the answer has an explanation: why it is sure or refused. With ``fresh`` a
        server makes a new answer in the place of one that it kept; this process keeps none.
        """
        with self._call() as index:
            asked = self._request(question, top_k, min_score_threshold, filters)
            return index.answerer().ask(replace(asked, explain=explain))

    def stream(
        self,
        question: str,
        *,
        top_k: int | None = None,
        min_score_threshold: float | None = None,
        filters: FilterLike = None,
        explain: bool = False,
        fresh: bool = False,
    ) -> AnswerStream:
        """Answer as ``ask`` does, in events; close the stream, or use it in a ``with``."""
        from kvasir.answering.answers import check_question

        asked = self._request(question, top_k, min_score_threshold, filters)
        check_question(asked.query)
        return AnswerStream(self._events(replace(asked, explain=explain)))

    def _search(
        self, query: str, top_k: int | None, threshold: float | None, filters: FilterLike
    ) -> SearchRequest:
        if not query.strip():
            raise RequestError("the query is empty: type one")
        return self._request(query, top_k, threshold, filters)

    def _request(
        self, query: str, top_k: int | None, threshold: float | None, filters: FilterLike
    ) -> SearchRequest:
        return self.index.options.request(query, top_k, threshold, parse_filter(filters))

    def _events(self, asked: SearchRequest) -> Generator[AnswerEvent, None, None]:
        # Each step is a call of its own, so that an unread stream does not block other calls.
        with self.index.leases.lease():
            with self._call() as index:
                answerer = index.answerer()
            with closing(answerer.generate_answer(asked)) as events:
                while True:
                    with index.leases.call():
                        event = next(events, None)
                    if event is None:
                        return
                    yield event

    def record(self) -> CollectionRecord:
        """Return the collection's record in the catalog."""
        with self._call() as index:
            index.forget_record()
            return index.record()

    def chunk_count(self) -> int:
        """Return how many chunks the collection's documents have."""
        with self._call() as index:
            index.record()
            return index.components.catalog.chunk_count(self.name)

    def documents(
        self, prefix: str = "", *, after: str = "", limit: int | None = None
    ) -> list[DocumentRecord]:
        """Return documents, ordered by source URI, which begins with ``prefix``.

        At most ``limit`` of them, those behind the source URI ``after``, the last one of a page.
        """
        with self._call() as index:
            index.record()
            prefix, catalog = replace_surrogates(prefix), index.components.catalog
            return list(catalog.documents(self.name, prefix=prefix, after=after, limit=limit))

    def document(self, source: str) -> DocumentRecord:
        """Return a document by its id or source URI; raise DocumentNotFoundError if unknown."""
        with self._call() as index:
            return index.document(source)

    def match(self, *typed: str) -> list[DocumentRecord]:
        """Return the documents that something typed means, ordered by source URI.

        By id or source URI it is one. Otherwise those with that file name or end of the path; if
        there are none, those whose URI, id, file name, or path from some folder on begins so.

        Args:
            typed: Spellings of the same name, such as a relative path and the absolute one.

        Raises:
            DocumentNotFoundError: There is none; ``near`` has what is spelled alike.
        """
        with self._call() as index:
            return index.match(typed)

    def text(self, source: str) -> str:
        """Return the extracted text of a document, into which all offsets point."""
        with self._call() as index:
            return index.components.catalog.text(self.name, index.document(source).id) or ""

    def ingest(
        self,
        *sources: Input,
        on_conflict: OnConflict | None = None,
        prune: bool = False,
        metadata: Metadata | None = None,
        metadata_of_new: Metadata | None = None,
        gone: Sequence[str] = (),
        re_split: bool = False,
        run: Run | None = None,
        build_graph: bool = True,
    ) -> IngestReport:
        """Read files, addresses and uploads into the collection; it is made if it is new.

        Args:
            sources: Local files and folders (``LocalFile``), ``http(s)://`` addresses, or a
                ``Source`` with its bytes.
            on_conflict: For a source that changed: ``replace``, ``skip`` or ``error``; by default
                what the settings say.
            prune: Remove documents under the given folders whose file is gone.
            metadata: For every document ingested now; None keeps what each one has.
            metadata_of_new: Without ``metadata``, that of documents that are new.
            gone: Source URIs of documents whose file does not exist any more: a new source with
                most of the text of one takes its place. Local paths are looked at anyway.
            re_split: Split as the settings say, not as the collection remembers; it remembers that
                from now on. Documents that are not ingested now stay as they are; the report
                counts them.
            run: Stops the ingest and receives its progress.
            build_graph: Build the search graph in the background where it is due.

        Returns:
            What was done and what failed; an unreadable source does not stop the others.

        Raises:
            WrongEmbedderError: Another embedder made the collection.
            SplitConflictError: The settings name another way to split than it remembers.
            StoreLockedError: Another process holds the index.
            StoppedError: The run was stopped before the first source was looked at.
        """
        run = run or Run()
        with self._call() as index:
            # Loading a model may take longer than a run that is stopped may wait.
            run.call(lambda: index.embedder)
            pipeline = index.make_pipeline(re_split=re_split)
            report = pipeline.ingest(
                sources,
                on_conflict=on_conflict or index.options.on_conflict,
                prune=prune,
                metadata=metadata,
                metadata_of_new=metadata_of_new,
                gone=gone,
                run=run,
            )
            if re_split and not report.interrupted:
                report.split_otherwise = pipeline.count_split_otherwise()
            index.forget_record()
            is_due = build_graph and not report.interrupted
            if is_due and isinstance(index.store, Optimizable):
                index.store.optimize()
            return report

    def optimize(self, *, wait: bool = False, run: Run | None = None) -> None:
        """Build the search graph where it is due, in the background until the store is closed.

        With ``wait`` it is in use when the method returns.
        """
        with self._call() as index:
            if isinstance(index.store, Optimizable):
                index.store.optimize(wait=wait, stop=run.stop if run else None)

    def delete(self, *sources: str) -> int:
        """Delete documents, by id or source URI; return how many. Needs no model."""
        with self._call() as index:
            ids = dict.fromkeys(index.document(source).id for source in sources)
            return index.publisher.remove(list(ids))

    def split_check(self) -> Callable[[DocumentRecord], bool]:
        """Return what tells whether an ingest of now would split a document as it is."""
        with self._call() as index:
            settings_hash = index.make_pipeline().settings_hash
        return lambda record: record.state.settings_hash == settings_hash(record.state.media_type)

    def set_metadata(self, source: str, metadata: Metadata) -> None:
        """Replace the metadata given for a document; nothing is embedded again."""
        with self._call() as index:
            index.publisher.set_metadata({index.document(source).id: metadata})

    def drop(self) -> None:
        """Delete the collection with everything in it; its name is free for another model.

        Calls in progress end first, later ones wait; a change of its model is stopped. A second
        call completes an interrupted one.

        Raises:
            WriterConflictError: Another process writes to it; nothing was deleted then.
        """
        from kvasir.model_change import delete_unused

        self._check_open()
        index = self.index
        # It would go on for hours, and searches wait for the deletion.
        index.changing_model.stop()
        with index.leases.call_alone():
            index.forget_record()
            index.record()
            delete_unused(index)
            index.publisher.delete_collection()

    def calibrate(
        self,
        answered: Sequence[str] | None = None,
        unanswered: Sequence[str] | None = None,
        *,
        apply: bool | None = None,
        run: Run | None = None,
    ) -> Fitted:
        """Fit the decision to refuse to the collection, and keep it where it is better.

        Args:
            answered: Questions that the documents answer; made of their sentences by default.
            unanswered: Questions that they do not answer; made by default.
            apply: Keep it always (True) or never (False). By default only if both kinds of
                questions were given, and it does better: refuses no more of the first kind, and
                does not answer clearly more of the second. One without a gain is never kept.
            run: Stops it and receives its progress.

        Raises:
            TooFewQuestionsError: There are too few questions, or too few sentences to make them of.
            StoppedError: The run was stopped; nothing was changed.
            IndexReplacedError: The collection was embedded again meanwhile; nothing was changed.
        """
        from kvasir.answering.evidence import EvidenceReader
        from kvasir.evaluation.calibration import calibrate

        run = run or Run()
        with self._call() as index:
            opened = index.opened()
            embedder = run.call(lambda: opened.embedder)
            fitted = calibrate(
                opened.store,
                index.searches(opened.retriever),
                EvidenceReader(index.components.analyzer, embedder),
                answered,
                unanswered,
                top_k=index.options.top_k,
                apply=apply,
                run=run,
            )
            if fitted.kept:
                index.keep_calibration(fitted.calibration, fitted_to=opened.name)
            return fitted

    def keep_calibration(self, calibration: Calibration | None) -> None:
        """Store a decision to refuse with the collection; None restores the shipped one."""
        with self._call() as index:
            index.keep_calibration(calibration)

    def evaluate(
        self,
        questions: Sequence[JudgedQuestion],
        *,
        half: str | None = None,
        run: Run | None = None,
    ) -> QuestionsResult:
        """Ask questions as ``load_question_set`` reads them, and judge the answers.

        ``half``: ``fit`` or ``report``. Raises RequestError if there is no question.
        """
        from kvasir.evaluation.questions import evaluate_questions

        with self._call() as index:
            parts = index.components
            conversation = parts.conversation(lambda: self, generator=parts.generator)
        with closing(conversation):  # Each question is a call of its own: others need not wait.
            return evaluate_questions(questions, self.ask, conversation, half=half, run=run)
