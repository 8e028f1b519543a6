"""Run evaluations with the components and options that the settings choose."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

from kvasir.answering.answers import Answerer
from kvasir.answering.citations import FindVersion
from kvasir.answering.retrieval import Retriever
from kvasir.core.errors import SettingsError
from kvasir.core.protocols import Embedder, Splitter, VectorStore
from kvasir.core.run import Run
from kvasir.evaluation.answers import AnswerCase, AnswersResult, evaluate_answers
from kvasir.evaluation.chunking import (
    ChunkingDataset,
    ChunkingResult,
    StoreSearch,
    evaluate_chunking,
    load_chunking_dataset,
)
from kvasir.evaluation.compare import ComparisonResult, Measured, answers_per_question, compare
from kvasir.evaluation.datasets import RetrievalDataset, load_dataset
from kvasir.evaluation.judges import Judge, Judgement, judge_answers
from kvasir.evaluation.retrieval import RetrievalOptions, RetrievalResult, evaluate_retrieval


class EvaluationComponents(Protocol):
    """The components of the process that evaluations use."""

    @property
    def embedder(self) -> Embedder:
        """The embedder."""

    @property
    def splitter(self) -> Splitter:
        """The splitter."""

    @property
    def judge(self) -> Judge | None:
        """The judge of answers, if any."""

    def temporary_stores(self) -> AbstractContextManager[Callable[[], VectorStore]]:
        """Return a context with a function that opens temporary, empty collections."""

    def make_answerer(self, retriever: Retriever, find_version: FindVersion) -> Answerer:
        """Put the chosen generator behind a retriever."""


class EvaluationRunner:
    """Measures retrieval, answers and chunking in temporary collections."""

    def __init__(
        self, components: EvaluationComponents, options: RetrievalOptions, *, has_filters: bool
    ) -> None:
        """Keep the components; nothing is loaded yet.

        Raises:
            SettingsError: There is a filter: the documents of a data set lack the metadata.
        """
        if has_filters:
            raise SettingsError(
                "chat.rag.retriever.filters cannot be measured, because the documents of a data "
                "set lack your metadata: set chat.rag.retriever.filters=null"
            )
        self._components = components
        self.options = options

    @staticmethod
    def load_dataset(folder: Path | str) -> RetrievalDataset:
        """Read a data set in BEIR's layout from a folder, given by its absolute path."""
        return load_dataset(folder)

    def load_chunking_dataset(self, folder: Path | str) -> ChunkingDataset:
        """Read a data set of chunking, in the language of the settings."""
        return load_chunking_dataset(folder, language=self.options.language)

    def retrieval(
        self, datasets: Sequence[RetrievalDataset], *, run: Run | None = None
    ) -> RetrievalResult:
        """Measure retrieval on data sets, which share one collection."""
        with self._prepared(run) as parts:
            return evaluate_retrieval(datasets, *parts, options=self.options, run=run)

    def answers(
        self, dataset: RetrievalDataset, off_topic: Sequence[str] = (), *, run: Run | None = None
    ) -> AnswersResult:
        """Measure answers: gold answers found, citations true, questions refused."""
        make_answerer = self._components.make_answerer
        with self._prepared(run) as parts:
            return evaluate_answers(
                dataset, *parts, make_answerer, off_topic=off_topic, options=self.options, run=run
            )

    def chunking(
        self, dataset: ChunkingDataset, *, top_k: int = 5, run: Run | None = None
    ) -> ChunkingResult:
        """Measure the splitter: recall, precision and IoU of the retrieved chunks."""
        run = run or Run()
        with self._prepared(run) as (embedder, make_store, splitter):
            search = StoreSearch(embedder, make_store, options=self.options, run=run)
            return evaluate_chunking(dataset, splitter, search, top_k=top_k, run=run)

    @contextmanager
    def _prepared(
        self, run: Run | None
    ) -> Iterator[tuple[Embedder, Callable[[], VectorStore], Splitter]]:
        components = self._components
        with components.temporary_stores() as make_store:
            embedder = (run or Run()).call(lambda: components.embedder)
            yield embedder, make_store, components.splitter

    def check_judge(self) -> bool:
        """Return True if the settings name a judge, after checking that it can be used."""
        judge = self._components.judge
        if judge:
            judge.check()
        return judge is not None

    def judge(self, cases: Sequence[AnswerCase], *, run: Run | None = None) -> Judgement:
        """Grade answers by the judge of the settings.

        Raises:
            SettingsError: The settings name no judge.
        """
        judge = self._components.judge
        if judge is None:
            raise SettingsError("the settings name no judge: set evaluation.judge.type")
        return judge_answers(cases, judge, run=run)

    def measure(
        self,
        what: str,
        dataset: RetrievalDataset,
        off_topic: Sequence[str] = (),
        *,
        run: Run | None = None,
    ) -> Measured:
        """Measure one side of a comparison: ``retrieval`` or ``answers``."""
        if what == "retrieval":
            found = self.retrieval([dataset], run=run)
            return Measured(found.datasets[0].per_query, dict(found.seconds), found.chunks)
        is_judged = self.check_judge()
        result = self.answers(dataset, off_topic, run=run)
        graded = self.judge(result.cases, run=run) if is_judged else None
        per_question = answers_per_question(result, len(off_topic), graded)
        return Measured(per_question, dict(result.seconds))

    @staticmethod
    def compare(what: str, dataset: str, a: Measured, b: Measured) -> ComparisonResult:
        """Compare two sides question by question, by a paired bootstrap."""
        return compare(what, dataset, a, b)
