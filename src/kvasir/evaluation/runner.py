"""Runs evaluations with the components and options that the settings choose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from kvasir.answering.answers import Answerer
from kvasir.answering.citations import FindVersion
from kvasir.answering.retrieval import Retriever
from kvasir.core.errors import SettingsError
from kvasir.core.protocols import Embedder, Reranker, Splitter, VectorStore
from kvasir.core.run import Run
from kvasir.evaluation.answers import AnswerCase, AnswersResult, evaluate_answers
from kvasir.evaluation.chunking import (
    ChunkingDataset,
    ChunkingResult,
    StoreSearch,
    evaluate_chunking,
    load_chunking_dataset,
)
from kvasir.evaluation.compare import (
    MetricComparison,
    PerQuestion,
    answers_per_question,
    compare_runs,
    conclude,
)
from kvasir.evaluation.datasets import RetrievalDataset, load_dataset
from kvasir.evaluation.judges import Judge, Judgement, judge_answers
from kvasir.evaluation.retrieval import RetrievalOptions, RetrievalResult, evaluate_retrieval

LEADING = {"retrieval": "ndcg@10", "answers": "answer_recall"}
"""The figure that the conclusion of a comparison is about, by what is measured."""


class EvaluationComponents(Protocol):
    """What evaluations need of the process that they run in."""

    @property
    def embedder(self) -> Embedder:
        """What makes vectors."""

    @property
    def splitter(self) -> Splitter:
        """What cuts documents."""

    @property
    def reranker(self) -> Reranker | None:
        """What reads the best hits again, if anything."""

    @property
    def judge(self) -> Judge | None:
        """What grades answers, if anything."""

    def temporary_stores(self) -> AbstractContextManager[Callable[[], VectorStore]]:
        """Give a function that opens empty collections, which are gone afterwards."""

    def make_answerer(self, retriever: Retriever, find_version: FindVersion) -> Answerer:
        """Put the chosen generator behind a retriever."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One side of a comparison.

    Attributes:
        per_question: The figures of each question, by metric.
        seconds: Time by stage.
        chunks: How many chunks the collection held, where that was counted.
    """

    per_question: PerQuestion
    seconds: dict[str, float]
    chunks: int | None = None


@dataclass(frozen=True, slots=True)
class ComparisonResult:
    """Two settings on the same questions.

    Attributes:
        what: What was measured: retrieval or answers.
        dataset: The data set's name.
        a: The first side.
        b: The second side.
        metrics: How the sides differ, by metric.
        leading: The metric that the conclusion is about.
        conclusion: One sentence.
    """

    what: str
    dataset: str
    a: Measured
    b: Measured
    metrics: dict[str, MetricComparison]
    leading: str
    conclusion: str


class EvaluationRunner:
    """Measures what users of the settings get, in temporary collections."""

    def __init__(
        self, components: EvaluationComponents, options: RetrievalOptions, *, has_filters: bool
    ) -> None:
        """Keep what is needed; nothing is loaded yet.

        Args:
            components: The components that the settings choose.
            options: How questions are searched for, but for the reranker.
            has_filters: The settings limit searches by a filter.

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
        parts, run = self._components, run or Run()
        with parts.temporary_stores() as make_store:
            embedder = run.call(lambda: parts.embedder)
            return evaluate_retrieval(
                datasets,
                embedder,
                make_store,
                parts.splitter,
                options=self.options,
                run=run,
            )

    def answers(
        self,
        dataset: RetrievalDataset,
        off_topic: Sequence[str] = (),
        *,
        run: Run | None = None,
    ) -> AnswersResult:
        """Measure answers: gold answers found, citations true, questions refused."""
        parts, run = self._components, run or Run()
        with parts.temporary_stores() as make_store:
            embedder = run.call(lambda: parts.embedder)
            return evaluate_answers(
                dataset,
                embedder,
                make_store,
                parts.splitter,
                parts.make_answerer,
                off_topic=off_topic,
                options=self.options,
                run=run,
            )

    def chunking(
        self, dataset: ChunkingDataset, *, top_k: int = 5, run: Run | None = None
    ) -> ChunkingResult:
        """Measure the splitter: token-level recall, precision and IoU of what is retrieved."""
        parts, run = self._components, run or Run()
        with parts.temporary_stores() as make_store:
            embedder = run.call(lambda: parts.embedder)
            search = StoreSearch(embedder, make_store, options=self.options, run=run)
            return evaluate_chunking(dataset, parts.splitter, search, top_k=top_k, run=run)

    def check_judge(self) -> bool:
        """Return True if answers are judged; raise what is wrong with the judge."""
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
        metrics = compare_runs(a.per_question, b.per_question)
        leading = LEADING[what] if LEADING[what] in metrics else next(iter(metrics))
        conclusion = conclude(leading, metrics[leading])
        return ComparisonResult(what, dataset, a, b, metrics, leading, conclusion)
