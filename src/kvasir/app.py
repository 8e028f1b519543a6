"""The composition root: settings in, a working application out.

``App`` hands the components that the settings choose (``kvasir.parts``) to the pipelines. Every
front door, and Python code through ``kvasir.open``, uses this class. What only some commands
need is imported by the method that needs it: a search must start within 1.5 seconds, and has no
use for the libraries of ingesting.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kvasir.answering.answers import Answerer, AnswerStream
from kvasir.answering.refusal import Calibration, EvidenceReader, Features
from kvasir.answering.retrieval import Retriever
from kvasir.core.errors import CollectionError, SettingsError, UserError
from kvasir.core.filters import Filter, all_of, parse_filter
from kvasir.core.ledger import CollectionRecord, DocumentRecord
from kvasir.core.protocols import (
    Droppable,
    Generator,
    Optimizable,
    VectorStore,
)
from kvasir.core.types import Answer, Hit, Metadata, Progress, SearchRequest, document_id
from kvasir.ingesting.publishing import check_embedder
from kvasir.ingesting.sources import Input, identity
from kvasir.parts import Parts, once
from kvasir.settings.schema import Settings, VectorDbSettings, load_settings

if TYPE_CHECKING:
    from kvasir.answering.chat import Conversation
    from kvasir.evaluation.calibration import Fitted
    from kvasir.ingesting.pipeline import IngestPipeline
    from kvasir.ingesting.preparing import OnConflict
    from kvasir.ingesting.publishing import Publisher
    from kvasir.ingesting.report import Event, IngestReport
    from kvasir.maintenance.copying import CopyReport
    from kvasir.maintenance.inspection import Findings, Repairs

FilterLike = str | Mapping[str, Any] | Filter | None

_TOO_LITTLE = 0.5
"""Dense score below which a chat refines where no threshold is set: no more than chance."""


def open_app(config: Path | str | None = None, **overrides: Any) -> App:
    """Opens an application, as ``kvasir.open``.

    Args:
        config: A settings file; default ``kvasir.yaml`` in the working directory, if any.
        overrides: Settings, with two underscores for each dot: ``rag__language="es"``.

    Raises:
        SettingsError: A key is unknown or a value unusable.
    """
    dotted = {key.replace("__", "."): value for key, value in overrides.items()}
    return App(load_settings(config, dotted))


class App(Parts):
    """One collection with everything that works on it; close it, or use it in a ``with``."""

    def __init__(
        self,
        settings: Settings,
        *,
        on_progress: Progress = lambda stage, done, total: None,
    ) -> None:
        """Opens nothing yet.

        Args:
            settings: The settings.
            on_progress: Told while a model is fetched: what is done, bytes done, bytes in all.
        """
        super().__init__(settings, on_progress=on_progress)
        self.collection = settings.collection

    # What users do

    def ingest(
        self,
        *inputs: Input,
        on_conflict: OnConflict | None = None,
        prune: bool = False,
        metadata: Metadata | None = None,
        on_event: Callable[[Event], None] = lambda _: None,
        build_graph: bool = True,
    ) -> IngestReport:
        """Reads files, folders, addresses or uploads into the collection.

        Where the settings name another store than before, or the old one is gone or has lost
        chunks, what the catalog knows of and the store lacks is written to it first.

        Args:
            inputs: Paths, ``http(s)://`` addresses, or a ``Source`` with its bytes.
            on_conflict: For a source that changed: ``replace``, ``skip`` or ``error``; by default
                what the settings say.
            prune: Remove documents under the given folders whose file is gone.
            metadata: Given to every document ingested now.
            on_event: Called with what happens, for a progress bar.
            build_graph: Build the search graph in the background where it is due; without,
                ``optimize`` is left to the caller.

        Returns:
            What was done and what failed; a file that cannot be read stops nothing.

        Raises:
            CollectionError: Another embedder made the collection.
            StoreLockedError: Another process holds the index.
        """
        report = self._ingesting.ingest(
            inputs,
            on_conflict=on_conflict or self.settings.rag.ingest.on_conflict,
            prune=prune,
            metadata=metadata,
            on_event=on_event,
        )
        if build_graph:
            self.optimize()
        return report

    def optimize(self, *, wait: bool = False) -> None:
        """Builds the search graph of the collection where it is due.

        Args:
            wait: Return only when it is in use; otherwise it is built in the background, and
                given up when the application is closed.
        """
        if isinstance(self._store, Optimizable):
            self._store.optimize(wait=wait)

    def search(
        self,
        query: str,
        *,
        top_k: int | None = None,
        min_score_threshold: float | None = None,
        filters: FilterLike = None,
    ) -> list[Hit]:
        """Finds the passages that belong to a query, best first.

        Args:
            query: The question or keywords.
            top_k: Most hits; by default what the settings say.
            min_score_threshold: Leave out hits whose ``dense_score`` is below.
            filters: ``"field=value,..."``, a mapping, or a ``Filter``; applied together with
                those of the settings, never in their place.

        Raises:
            UserError: The query is empty.
            CollectionError: There is no collection yet, or another embedder made it.
        """
        if not query.strip():
            raise UserError("the query is empty: type one")
        return self.retriever.retrieve(self._request(query, top_k, min_score_threshold, filters))

    def ask(
        self,
        question: str,
        *,
        top_k: int | None = None,
        min_score_threshold: float | None = None,
        filters: FilterLike = None,
    ) -> Answer:
        """Answers a question from the documents; arguments and errors as ``search``."""
        return self.answerer.ask(self._request(question, top_k, min_score_threshold, filters))

    def stream(
        self,
        question: str,
        *,
        top_k: int | None = None,
        min_score_threshold: float | None = None,
        filters: FilterLike = None,
    ) -> AnswerStream:
        """Answer as ``ask`` does, in events; close the stream, or use it in a ``with``."""
        return self.answerer.stream(self._request(question, top_k, min_score_threshold, filters))

    # Documents and collections

    def documents(self, prefix: str = "") -> Iterator[DocumentRecord]:
        """Yields the collection's documents whose source begins with a prefix.

        Args:
            prefix: The beginning of an address, of an upload's name or of a path; a relative
                path is one in the working directory, and one that ends in ``/`` a folder.
        """
        self._record()
        prefix = _sound(prefix)
        found = {
            record.id: record
            for beginning in {prefix, _full_prefix(prefix)}
            for record in self.catalog.documents(self.collection, prefix=beginning)
        }
        return iter(sorted(found.values(), key=lambda record: record.source_uri))

    def document(self, source: str) -> DocumentRecord:
        """Returns a document by its id or its source: an upload's name, a path or an address.

        Raises:
            CollectionError: There is no such document.
        """
        self._record()
        source = _sound(source)
        for candidate in (source, document_id(source), document_id(identity(source))):
            record = self.catalog.document(self.collection, candidate)
            if record is not None:
                return record
        raise CollectionError(
            f"there is no document '{source}' in collection '{self.collection}'; "
            "'kvasir documents list' shows what there is"
        )

    def text(self, source: str) -> str:
        """Returns the extracted text of a document, into which all offsets point."""
        return self.catalog.text(self.collection, self.document(source).id) or ""

    def delete(self, *sources: str) -> int:
        """Deletes documents from store and catalog; returns how many. Needs no model."""
        return self._publisher.remove([self.document(source).id for source in sources])

    def set_metadata(self, source: str, metadata: Metadata) -> None:
        """Replaces the metadata given for a document; nothing is embedded again."""
        self._publisher.set_metadata({self.document(source).id: metadata})

    def collections(self) -> list[CollectionRecord]:
        """Returns all collections."""
        return self.catalog.collections() if self.settings.has_catalog else []

    def delete_collection(self) -> None:
        """Deletes the collection with everything in it; its name is free for another model.

        Needs no model. After an interruption, doing it again does the rest.
        """
        record = self._record()
        ids = [document.id for document in self.catalog.documents(record.name)]
        if isinstance(self._store, Droppable):
            # First nothing answers any more; the record goes last, for it opens the store.
            with self.writing:
                self.catalog.retire(record.name, ids)
                self._store.drop()
        else:
            self._publisher.remove(ids)
        self.catalog.delete_collection(record.name)
        self.release_index()

    def copy_collection(
        self,
        to: VectorDbSettings,
        *,
        name: str | None = None,
        exact: bool = False,
        on_progress: Progress = lambda stage, done, total: None,
    ) -> CopyReport:
        """Copies the collection to another store, or another place; nothing is embedded again.

        The catalog does not record where the store is: with ``rag.vectordb`` set to ``to``
        everything goes on as before. Under another name, the catalog's records are copied, too.

        Args:
            to: Where it is to be; ``uri`` is needed.
            name: Its name there; the same by default.
            exact: Delete what is there beyond the collection.
            on_progress: Told the stage, how many chunks are done, and of how many.

        Raises:
            UserError: It would be copied onto itself, or the name is taken.
            CollectionError: There is no such collection, or the target's was made by another
                embedder.
        """
        from kvasir.maintenance.copying import copy_chunks

        record = self._record()
        uri = to.uri
        if not uri:
            raise SettingsError("say where to copy the collection to: a folder, file or address")
        name = name or record.name
        here = (self.settings.rag.vectordb.type, _place(self.settings.store_uri), record.name)
        if here == (to.type, _place(uri), name):
            raise UserError(
                f"collection '{name}' is there already: name another place, another kind of "
                "store, or another collection to copy it to"
            )
        due = name != record.name and self._must_be_recorded(name)
        with closing(self.open_store(to, uri, name, record)) as target:
            report = copy_chunks(self._store, target, exact=exact, on_progress=on_progress)
        if due and report.verified:
            self.catalog.copy_collection(record.name, name)
        return report

    def examine(self, *, on_progress: Progress = lambda stage, done, total: None) -> Findings:
        """Compares catalog and store; tells how many chunks are compared."""
        from kvasir.maintenance.inspection import examine

        self._record()
        return examine(self.catalog, self._store, self.collection, on_progress=on_progress)

    def repair(self, *, on_progress: Progress = lambda stage, done, total: None) -> Repairs:
        """Makes the store what the catalog says; a second time there is nothing to do.

        Args:
            on_progress: Told how many chunks are compared, and how many written again.
        """
        from kvasir.maintenance.inspection import repair

        self._record()
        with self.writing:
            return repair(
                self.catalog,
                self._store,
                self.embedder,
                self.collection,
                on_progress=on_progress,
            )

    def calibrate(
        self,
        answered: Sequence[str] | None = None,
        unanswered: Sequence[str] | None = None,
        *,
        apply: bool | None = None,
        progress: Progress | None = None,
    ) -> Fitted:
        """Fits the decision to refuse to the collection, and keeps it where it is better.

        Args:
            answered: Questions that the documents answer; made of their sentences by default.
            unanswered: Questions that they do not answer; made by default.
            apply: Keep it with the collection, so that it refuses by it from now on: always
                (True) or never (False). By default it is kept only where both kinds of questions
                were given and it refuses no more of the good ones, nor answers clearly more of
                the others. One that gained nothing is never kept.
            progress: Told the stage, how many questions are done, and of how many.

        Returns:
            The decision, what it does worse, and whether it is kept.

        Raises:
            UserError: There are too few questions, or too few sentences to make them of.
        """
        from kvasir.evaluation.calibration import (
            MOST_REFUSED,
            MOST_REFUSED_MADE,
            decide,
            fit,
            make_questions,
            read_features,
        )

        retriever = self.retriever
        made = None if answered and unanswered else make_questions(self._store)
        reader = EvidenceReader(self.analyzer, self.embedder)
        top_k = self.settings.chat.rag.retriever.top_k
        limit = MOST_REFUSED if answered else MOST_REFUSED_MADE

        def features(kind: str, given: Sequence[str] | None) -> Features:
            questions = given or (getattr(made, kind) if made else ())
            return read_features(
                questions, retriever, reader, top_k=top_k, progress=progress, stage=kind
            )

        calibration = fit(
            features("answered", answered), features("unanswered", unanswered), most_refused=limit
        )
        fitted = decide(calibration, all_given=made is None, apply=apply)
        if fitted.kept:
            self.keep_calibration(calibration)
        return fitted

    def keep_calibration(self, calibration: Calibration | None) -> None:
        """Keeps a decision to refuse with the collection; None brings the shipped one back."""
        self._record()
        kept = calibration.to_json() if calibration else None
        self.catalog.set_calibration(self.collection, kept)
        self.__dict__.pop("answerer", None)  # Made anew with the decision when next asked for.

    # What the above works with

    @once
    def retriever(self) -> Retriever:
        """Retrieval in the collection."""
        record = self._record()
        check_embedder(record, self.embedder)
        if self._store_was_lost():
            raise CollectionError(
                f"the store of collection '{record.name}' is empty, though documents were "
                "ingested: rag.vectordb names another store than then, or it was deleted; "
                "'kvasir doctor --repair' fills it from the catalog"
            )
        chosen = self.settings.chat.rag.retriever
        return Retriever(
            self.embedder,
            self._store,
            self.reranker,
            languages=lambda: self.catalog.languages(record.name),
            language=self.settings.rag.language,
            alpha=chosen.alpha,
            candidates=chosen.candidates,
            rerank_candidates=chosen.rerank_candidates,
        )

    @once
    def answerer(self) -> Answerer:
        """Answering from the collection."""
        return self._answerer_with(self.generator)

    def _answerer_with(self, generator: Generator) -> Answerer:
        record = self._record()
        return self.make_answerer(
            self.retriever,
            lambda document: self.catalog.text(record.name, document),
            Calibration.from_json(record.calibration) if record.calibration else None,
            generator=generator,
            languages=lambda: self.catalog.languages(record.name),
        )

    def make_conversation(self, model: str | None = None) -> Conversation:
        """Puts together what replies in a chat; the collection is opened when a question needs it.

        Args:
            model: A language model to use instead of ``generator.model``.

        Raises:
            UserError: A setting of the generator or of the refinement is missing or unusable.
        """
        from kvasir.answering.chat import Conversation
        from kvasir.answering.refinement import Refiner

        chosen = self.settings.generator
        if model is not None:
            chosen = chosen.model_copy(update={"model": model})
        generator = self.make_generator(chosen)
        rag = self.settings.chat.rag
        refiner, refinement = None, rag.context_refinement
        if refinement.enabled:
            below = refinement.threshold
            if below is None:
                below = rag.retriever.min_score_threshold or _TOO_LITTLE
            refiner = Refiner(
                self.make_generator(refinement.generator) if refinement.generator else generator,
                prompt=refinement.prompt,
                below=None if refinement.strategy == "always" else below,
            )
        return Conversation(
            generator,
            lambda: self._answerer_with(generator),
            search=self._request(),
            refiner=refiner,
        )

    def release_index(self) -> None:
        """Lets other processes have the index, until something here needs it again."""
        for name in ("answerer", "retriever", "_ingesting"):
            self.__dict__.pop(name, None)
        store = self.__dict__.pop("_store", None)
        if store is not None:
            store.close()

    @once
    def _store(self) -> VectorStore:
        # What the catalog knows of the embedder is enough: copying needs no model.
        made_by = self.catalog.collection(self.collection) or self.embedder
        store = self.open_store(
            self.settings.rag.vectordb, self.settings.store_uri, self.collection, made_by
        )
        self.opened.callback(store.close)
        return store

    @once
    def _ingesting(self) -> IngestPipeline:
        from kvasir.ingesting.extraction import ExtractionPool
        from kvasir.ingesting.fetching import fetch
        from kvasir.ingesting.pipeline import IngestPipeline

        chosen = self.settings.rag.ingest
        record = self.catalog.collection(self.collection)
        if record is not None:
            check_embedder(record, self.embedder)
        pool = self.opened.enter_context(
            ExtractionPool(chosen.workers, chosen.timeout, chosen.memory_mb, chosen.max_file_mb)
        )
        splitter = self.settings.rag.splitter
        return IngestPipeline(
            pool,
            self.splitter,
            self.embedder,
            self._store,
            self.catalog,
            self.collection,
            recipe=json.dumps([splitter.chosen, splitter.arguments], sort_keys=True),
            language=self.settings.rag.language,
            fetch=lambda url: fetch(
                url,
                allow_private=chosen.allow_private_urls,
                max_bytes=chosen.max_file_mb << 20,
            ),
            left_out=self.settings.own_paths,
            max_file_mb=chosen.max_file_mb,
            restore=self._restore,
            writing=self.writing,
        )

    @property
    def _publisher(self) -> Publisher:
        """What deletes and relabels documents: without a model."""
        from kvasir.ingesting.publishing import Publisher

        return Publisher(self._store, self.catalog, None, self.collection, writing=self.writing)

    def _restore(self, on_progress: Progress) -> int:
        from kvasir.maintenance.inspection import restore

        return restore(
            self.catalog, self._store, self.embedder, self.collection, on_progress=on_progress
        )

    def _store_was_lost(self) -> bool:
        """Says whether the store is empty though the catalog knows of chunks."""
        if self.catalog.collection(self.collection) is None:
            return False
        return self.catalog.chunk_count(self.collection) > 0 and self._store.count() == 0

    def _record(self) -> CollectionRecord:
        """Returns the collection's record; raises CollectionError where there is none."""
        if not self.settings.has_catalog:
            raise CollectionError(
                f"nothing was ingested yet into '{self.settings.data_dir.absolute()}': "
                "'kvasir ingest FOLDER' makes a collection; if you ingested in another folder, go "
                "there or name its data folder, --set data_dir=FOLDER/kvasir-data"
            )
        record = self.catalog.collection(self.collection)
        if record is None:
            others = ", ".join(each.name for each in self.catalog.collections())
            known = f" (there are: {others})" if others else ""
            raise CollectionError(
                f"there is no collection '{self.collection}' in "
                f"'{self.settings.data_dir.absolute()}'{known}; 'kvasir ingest FOLDER' makes one"
            )
        return record

    def _must_be_recorded(self, name: str) -> bool:
        """Says whether the catalog lacks a collection that a copy is to be called."""
        if self.catalog.unfinished(self.collection):
            raise UserError(
                f"collection '{self.collection}' has half-written documents: "
                "'kvasir doctor --repair' puts that right; copy it then"
            )
        if self.catalog.collection(name) is None:
            return True
        ids = [{each.id for each in self.catalog.every_chunk(n)} for n in (self.collection, name)]
        if ids[0] != ids[1]:
            raise CollectionError(
                f"there is a collection '{name}' already, of other documents: take another name"
            )
        return False

    def _request(
        self,
        query: str = "",
        top_k: int | None = None,
        threshold: float | None = None,
        filters: FilterLike = None,
    ) -> SearchRequest:
        chosen = self.settings.chat.rag.retriever
        return SearchRequest(
            _sound(query),
            chosen.top_k if top_k is None else top_k,
            chosen.min_score_threshold if threshold is None else threshold,
            all_of(parse_filter(chosen.filters), parse_filter(filters)),
        )


def _full_prefix(prefix: str) -> str:
    """Returns the beginning of a path in full, of a folder alone if it ends as one."""
    if not prefix:
        return ""
    full = identity(prefix)
    ends_as_folder = prefix.endswith(("/", os.sep)) and not full.endswith(("/", os.sep))
    return full + os.sep if ends_as_folder else full


def _sound(text: str) -> str:
    """Replaces what is no character: bytes that were not UTF-8 when the text was typed."""
    return text.encode("utf-8", "replace").decode()


def _place(uri: str) -> str:
    """Returns a store's place in a form in which the same place is always the same."""
    if uri.startswith(("http://", "https://")):
        return uri.rstrip("/").lower()
    return str(Path(uri.removeprefix("file://")).expanduser().resolve())
