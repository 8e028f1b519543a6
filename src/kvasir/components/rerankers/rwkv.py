"""Reranks with an RWKV base and a state or an adapter that was trained for it.

A plain base ranks worse than no reranker, so this one is used only if there is a proof that it was
better on a held-out set of questions, for exactly this base, state and adapter. States of passages
are kept on disk; a question costs only its own tokens then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from kvasir.core.errors import ComponentError, SettingsError
from kvasir.core.types import Hit
from kvasir.rwkv.bases import AUTO
from kvasir.rwkv.relevance import Relevance, proof_file, read_proof
from kvasir.rwkv.tuned import cache_of, load_tuned


class RwkvReranker:
    """Scores query and chunk with an RWKV model: the probability of "yes", 0..1."""

    def __init__(
        self,
        name: str,
        data_dir: Path | str | None = None,
        state: str | None = None,
        adapter: str | None = None,
        max_tokens: int = 1024,
        device: str | None = None,
        precision: str = AUTO,
        cache_mb: int = 2048,
        cache_precision: str = "f32",
        without_proof: bool = False,
    ) -> None:
        """Find the model and load it.

        Args:
            name: A ``.pth`` or safetensors file, a folder with one, or ``OWNER/NAME/FILE``.
            data_dir: The folder below which downloaded models and kept states are.
            state: A tuned state of the model.
            adapter: A LoRA or PiSSA adapter of the model.
            max_tokens: The end of longer passages is cut off.
            device: ``cpu``, ``cuda``, ...; by default CUDA where there is one.
            precision: ``f32``, ``bf16``, ``f16``, or ``auto``: bf16 on CUDA, f32 elsewhere.
            cache_mb: Most megabytes of the states of passages on disk; 0 keeps none.
            cache_precision: ``f32``, ``f16`` or ``int8``.
            without_proof: Use it although nothing shows that it is better than none, such as to
                measure it.

        Raises:
            ModelNotFoundError: There is no such file.
            SettingsError: There is no proof, or an option is unusable.
            ComponentError: The file is damaged, or there is too little memory.
        """
        if max_tokens < 1:
            raise SettingsError("max_tokens must be at least 1")
        cache = cache_of(data_dir, "reranker", cache_mb, cache_precision)
        if not (state or adapter or without_proof):
            raise SettingsError(
                f"reranker 'rwkv' needs a state or an adapter that was trained for reranking: the "
                f"plain base {name} ranks worse than no reranker"
            )
        self._tuned = load_tuned(
            name, data_dir, state=state, adapter=adapter, device=device, precision=precision
        )
        self.name, self.fingerprint = name, self._tuned.fingerprint
        if not without_proof:
            _check_proof(self.fingerprint, self._tuned.file)
        self._relevance = Relevance(
            self._tuned.base, self._tuned.state, max_tokens, cache, self._tuned.identity
        )

    def rerank(self, query: str, hits: Sequence[Hit], top_k: int) -> list[Hit]:
        """Return the best hits, best first, with ``score`` replaced (0..1)."""
        if not hits or top_k < 1:
            return []
        try:
            with self._tuned.applied():
                scores = self._relevance.scores(query, [hit.chunk.passage for hit in hits])
        except (RuntimeError, ArithmeticError) as error:
            raise ComponentError("reranker 'rwkv'", "inference", error) from error
        rated = zip(hits, scores.tolist(), strict=True)
        ordered = sorted(rated, key=lambda pair: -pair[1])
        return [replace(hit, score=float(score)) for hit, score in ordered[:top_k]]


def _check_proof(fingerprint: str, tuned: Path | None) -> None:
    """Raise ``SettingsError`` unless the state or the adapter was shown to rank better."""
    if tuned is None:
        return
    proof = read_proof(tuned)
    if proof is None or proof.fingerprint != fingerprint:
        raise SettingsError(
            f"nothing shows that {tuned} ranks better than no reranker: {proof_file(tuned)} is "
            "missing or of another model"
        )
    if not proof.is_better:
        raise SettingsError(
            f"{tuned} does not rank better than no reranker: nDCG@10 {proof.with_reranker:.3f} "
            f"against {proof.without:.3f} on {proof.questions} questions, p = {proof.p_value:.3f}"
        )
