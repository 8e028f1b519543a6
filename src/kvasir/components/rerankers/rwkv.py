"""Reranks with an RWKV base and a state or an adapter that was trained for it.

A plain base ranks worse than no reranker, so this one is used only if there is a proof that it was
better on a held-out set of questions, for exactly this base, state and adapter. States of passages
are kept on disk; a question costs only its own tokens then.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from kvasir.core.errors import ComponentError, SettingsError
from kvasir.core.types import Hit
from kvasir.models.rwkv_files import find_rwkv
from kvasir.rwkv.adapter_files import load_adapter
from kvasir.rwkv.adapters import Adapter, accept_adapters, applied
from kvasir.rwkv.bases import AUTO, shared_base
from kvasir.rwkv.relevance import Relevance, proof_file, read_proof
from kvasir.rwkv.state_cache import PRECISIONS, StateCache


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
        if cache_precision not in PRECISIONS:
            raise SettingsError(f"cache_precision must be {', '.join(PRECISIONS)}")
        if not (state or adapter or without_proof):
            raise SettingsError(
                f"reranker 'rwkv' needs a state or an adapter that was trained for reranking: the "
                f"plain base {name} ranks worse than no reranker"
            )
        base = shared_base(find_rwkv(name, data_dir), device, precision)
        state_path = find_rwkv(state, data_dir) if state else None
        initial = base.initial_state(state_path)
        self._adapter: Adapter | None = None
        adapter_path = find_rwkv(adapter, data_dir) if adapter else None
        if adapter_path:
            found = load_adapter(adapter_path, base.model, base.fingerprint)
            self._adapter = found.to(base.device, base.model.emb.weight.dtype)
            accept_adapters(base.model)
        digest = hashlib.sha256(initial.wkv.float().cpu().numpy().tobytes())
        digest.update(f"{base.fingerprint} {self._adapter and self._adapter.fingerprint}".encode())
        self.name, self.fingerprint = name, digest.hexdigest()[:32]
        if not without_proof:
            _check_proof(self.fingerprint, adapter_path or state_path)
        cache = None
        if cache_mb and data_dir is not None:
            folder = Path(data_dir) / "rwkv-states"
            cache = StateCache(folder, cache_mb << 20, cache_precision)
        dtype = base.model.emb.weight.dtype
        identity = f"reranker {self.fingerprint} {dtype} {base.device.type} {cache_precision}"
        self._relevance = Relevance(base, initial, max_tokens, cache, identity)

    def rerank(self, query: str, hits: Sequence[Hit], top_k: int) -> list[Hit]:
        """Return the best hits, best first, with ``score`` replaced (0..1)."""
        if not hits or top_k < 1:
            return []
        try:
            with applied(self._adapter):
                scores = self._relevance.scores(query, [hit.chunk.passage for hit in hits])
        except RuntimeError as error:
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
