"""Prove that a tuned reranker ``rwkv`` is better than none, on questions with known passages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kvasir.app import App
from kvasir.core import registry
from kvasir.core.errors import MissingExtraError, RequestError
from kvasir.core.run import Run
from kvasir.core.types import Hit
from kvasir.derived_app import with_settings
from kvasir.evaluation.compare import paired_bootstrap
from kvasir.evaluation.metrics import per_query
from kvasir.evaluation.question_sets import JudgedQuestion
from kvasir.evaluation.questions import holds_passage

_METRIC = "ndcg@10"


@dataclass(frozen=True, slots=True)
class ProofReport:
    """A reranker against none.

    Attributes:
        file: The proof, which the reranker needs to be used.
        questions: That were searched with.
        with_reranker, without: nDCG@10, 0..1.
        p_value: That the difference is due to chance.
        is_better: True if the reranker may be used.
    """

    file: str
    questions: int
    with_reranker: float
    without: float
    p_value: float
    is_better: bool


def prove_reranker(
    app: App,
    questions: Sequence[JudgedQuestion],
    model: str,
    *,
    state: str | None = None,
    adapter: str | None = None,
    device: str | None = None,
    run: Run | None = None,
) -> ProofReport:
    """Search the collection with questions, rerank what is found, and write the proof.

    Args:
        app: Its collection has the passages; its own reranker is not used.
        questions: Those without passages are left out; nothing may have been trained with them.
        model: The base.
        state: A tuned state.
        adapter: A LoRA or PiSSA adapter; one of the two is needed.
        device: By default CUDA where there is one.
        run: Stops it and takes its progress.

    Raises:
        RequestError: No question has a passage, or neither state nor adapter is named.
        MissingExtraError: PyTorch is not installed.
        StoppedError: The run was stopped.
    """
    try:
        from kvasir.models.rwkv_files import find_rwkv
        from kvasir.rwkv.relevance import Proof, proof_file, write_proof
    except ModuleNotFoundError as error:
        raise MissingExtraError("tuning", "torch") from error
    run = run or Run()
    asked = [each for each in questions if each.passages]
    tuned = adapter or state
    if not asked or tuned is None:
        lacking = "a state or an adapter" if asked else "questions with passages"
        raise RequestError(f"a proof needs {lacking}")
    data_dir = app.settings.data_folder
    options = {
        "name": model, "state": state, "adapter": adapter, "device": device,
        "without_proof": True,
    }  # fmt: skip
    reranker = registry.build("rerankers", "rwkv", options, {"data_dir": data_dir})
    candidates = app.settings.chat.rag.retriever.rerank_candidates
    qrels: dict[str, dict[str, int]] = {}
    plain: dict[str, dict[str, float]] = {}
    reranked: dict[str, dict[str, float]] = {}
    without = {"chat.rag.retriever.reranker.type": None}
    with with_settings(app, without) as derived, derived.collection() as collection:
        for number, question in enumerate(asked, 1):
            run.check()
            hits = collection.search(question.question, top_k=candidates)
            # A passage that was not found counts, too: it is missing on both sides.
            qrels[question.id] = {_missing(n): 1 for n in _unfound(hits, question)} | {
                hit.chunk.id: 1 for hit in hits if _is_gold(hit, question)
            }
            plain[question.id] = _by_rank(hits)
            best = reranker.rerank(question.question, hits, len(hits))
            reranked[question.id] = _by_rank(best)
            run.report("searching", number, len(asked), "questions")
    before, after = (per_query(qrels, ranking)[_METRIC] for ranking in (plain, reranked))
    proof = Proof(
        reranker.fingerprint,
        len(asked),
        float(after.mean()),
        float(before.mean()),
        paired_bootstrap(before, after).p_value,
    )
    file = find_rwkv(tuned, data_dir)
    write_proof(proof, file)
    return ProofReport(
        str(proof_file(file)),
        proof.questions,
        proof.with_reranker,
        proof.without,
        proof.p_value,
        proof.is_better,
    )


def _is_gold(hit: Hit, question: JudgedQuestion) -> bool:
    return any(holds_passage(hit, each) for entry in question.passages for each in entry)


def _unfound(hits: Sequence[Hit], question: JudgedQuestion) -> list[int]:
    """Return the numbers of the passages of which no alternative was found."""
    return [
        number
        for number, entry in enumerate(question.passages)
        if not any(holds_passage(hit, each) for hit in hits for each in entry)
    ]


def _missing(number: int) -> str:
    return f"not found {number}"


def _by_rank(hits: Sequence[Hit]) -> dict[str, float]:
    """Return a score for each hit that says its rank: two may have the same score."""
    return {hit.chunk.id: 1.0 / rank for rank, hit in enumerate(hits, 1)}
