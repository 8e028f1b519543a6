"""What keeps a collection in order: copies, comparisons, repairs, another embedding model."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, TypeVar

from kvasir.collection_lease import CollectionLease
from kvasir.core.run import Run
from kvasir.core.types import StoreAddress

if TYPE_CHECKING:
    from kvasir.core.reports import CopyReport, Findings, ModelChange, Repairs

T = TypeVar("T")


class CollectionMaintenance(CollectionLease):
    """The part of ``Collection`` that works on the whole of it."""

    def copy(
        self,
        to: StoreAddress,
        *,
        name: str | None = None,
        exact: bool = False,
        run: Run | None = None,
    ) -> CopyReport:
        """Copy the collection to another store; nothing is embedded again.

        Set ``rag.vectordb`` to ``to`` to use the copy: the catalog does not record the store. Under
        another name, its records are copied, too. An exact copy deletes other chunks there.

        Raises:
            StoppedError: The run was stopped; the next copy goes on from there.
            NameTakenError: It would be copied onto itself, or the name is taken.
            UnfinishedError: The collection has half-written documents.
            WrongEmbedderError: The target's collection was made by another embedder.
        """
        from kvasir.maintenance.copying import check_target_name, copy_chunks

        with self._call() as index:
            record, catalog = index.record(), index.components.catalog
            name = name or record.name
            with closing(index.components.open_copy(to, name, record)) as target:
                needs_records = name != record.name and check_target_name(catalog, record, name)
                report = copy_chunks(index.store, target, exact=exact, run=run)
            if needs_records and report.verified:
                catalog.copy_collection(record.name, name)
            return report

    def inspect(self, *, run: Run | None = None) -> Findings:
        """Compare catalog and store chunk by chunk; change nothing."""
        from kvasir.maintenance.repair import examine

        with self._call() as index:
            name = index.record().name  # First, because the others would be made.
            return examine(index.components.catalog, index.store, name, run=run)

    def repair(self, *, run: Run | None = None) -> Repairs:
        """Make the store equal to the catalog; a stop after the first repair raises nothing.

        Indexes that were replaced are deleted, too.
        """
        from kvasir.maintenance.repair import repair
        from kvasir.model_change import delete_unused

        repairs = self._put_right(repair, run)
        with self._call() as index:
            delete_unused(index, begun=False)
        return repairs

    def restore(self, *, run: Run | None = None) -> int:
        """Write the chunks that the store lacks, also part of them if stopped; return how many."""
        from kvasir.maintenance.repair import restore

        return self._put_right(restore, run)

    def _put_right(self, work: Callable[..., T], run: Run | None) -> T:
        with self._call() as index:
            index.record()
            opened = index.opened()
            embedder = (run or Run()).call(lambda: opened.embedder)
            with index.writing:
                return work(
                    index.components.catalog,
                    opened.store,
                    embedder,
                    self.name,
                    index=opened.name,
                    run=run,
                )

    def use_model(
        self, name: str, *, kind: str | None = None, run: Run | None = None
    ) -> ModelChange:
        """Embed the collection again by another model, and use it from then on.

        The model is fetched if it is not on this machine. The former one answers until the new
        index is complete; documents may be added, changed and deleted meanwhile.

        Args:
            name: A short name (``multilingual``), a model's folder, or its name on the hub.
            kind: The embedder that runs it; by default that of the settings.
            run: Stops it and receives its progress.

        Raises:
            StoppedError: The run was stopped; the next one goes on from there.
            ModelNotFoundError: The model is not here and cannot be fetched.
            SettingsError: The embedder cannot run the model.
            ConflictError: The collection is being embedded again already.
        """
        from kvasir.model_change import change_model

        with self._call() as index:
            return change_model(index, name, kind, run or Run())
