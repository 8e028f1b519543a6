"""Rerank with BERT-family cross-encoders on OpenVINO, without PyTorch.

Runs ``bert``, ``roberta``, ``xlm-roberta``, ``camembert`` and ``distilbert`` with one score a pair,
such as BAAI/bge-reranker-v2-m3 and cross-encoder/ms-marco-MiniLM-L6-v2, with the engine of the
default embedder. ``bench/reranking.py`` measures it against sentence-transformers.

Source: Nogueira and Cho 2019, arXiv 1901.04085.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from kvasir.core.errors import SettingsError
from kvasir.core.leases import Lazy
from kvasir.core.run import Run
from kvasir.core.text import replace_surrogates
from kvasir.core.types import Hit, Matrix
from kvasir.models.bert_graph import SCORE, build_graph, has_types, label_count, unsupported
from kvasir.models.encoder_files import (
    Component,
    gives_types,
    max_tokens_of,
    pipeline_steps,
    read_tokenizer,
)
from kvasir.models.local import find, read_json
from kvasir.models.mapped_weights import Weights
from kvasir.models.openvino_engine import (
    Engine,
    arithmetic,
    batches,
    check_options,
    default_streams,
)
from kvasir.models.text_pairs import PairTokenizer

DEFAULT_MODEL = "BAAI/bge-reranker-v2-m3"
_COMPONENT = Component("reranker 'openvino'", "set the reranker to 'cross-encoder' for this model")


class OpenVinoReranker:
    """Scores query and chunk with one cross-encoder; the score is its sigmoid, 0..1."""

    def __init__(
        self,
        name: str = DEFAULT_MODEL,
        token: str | None = None,
        data_dir: Path | str | None = None,
        max_tokens: int | None = None,
        precision: str = "f32",
        batch_tokens: int = 2048,
        streams: int | None = None,
        run: Run | None = None,
    ) -> None:
        """Find the model as ``kvasir.models.local.find`` does; the graph is made on first use.

        Query and chunk together are cut to ``max_tokens`` instead of the model's maximum, the
        longer of the two first. The precision is ``f32``, ``bf16``, or ``auto``: bf16 where the
        processor computes in it, which is faster and changes scores by some thousandths.
        ``batch_tokens`` counts the tokens of a batch with its padding;
        ``streams`` batches are computed at the same time, by default one a core, up to 8.

        Raises:
            ModelNotFoundError: The model is nowhere to be found, or a file of it is missing.
            SettingsError: An option is unusable, the model is not a cross-encoder with one score
                a pair, or the engine cannot run it.
        """
        check_options(precision, batch_tokens, streams)
        folder = find(name, token, data_dir, run)
        config = read_json(folder.path / "config.json")
        if reason := unsupported(config):
            raise _cannot_run(reason)
        weights = Weights(folder.path, _COMPONENT)
        labels = label_count(weights, config)
        if labels != 1:
            fault = f"gives {labels} scores a pair" if labels else "is not a cross-encoder"
            raise SettingsError(
                f"'{folder.name}' {fault}, a reranker needs one score a pair; choose a reranking "
                f"model such as {DEFAULT_MODEL}"
            )
        if extra := sorted(set(pipeline_steps(folder.path)) - {"Transformer"}):
            raise _cannot_run(f"the extra step '{extra[0]}'")
        sentence = read_json(folder.path / "sentence_bert_config.json")
        limit = max_tokens_of(folder, config, sentence, max_tokens)
        streams = streams or default_streams()
        self.name = folder.name
        self._lowercase = bool(sentence.get("do_lower_case", False))
        self._with_types = with_types = has_types(config) and gives_types(folder.path)
        self._batch_tokens = batch_tokens
        self._streams = streams
        self._tokenizer = PairTokenizer(read_tokenizer(folder, _COMPONENT), limit)

        def make_engine() -> Engine:
            options = {
                "PERFORMANCE_HINT": "THROUGHPUT",
                "NUM_STREAMS": str(streams),
                "INFERENCE_PRECISION_HINT": arithmetic(precision),
            }
            graph = build_graph(weights, config, SCORE, with_types=with_types)
            return Engine(graph, options, streams, weights, _COMPONENT)

        self._engine = Lazy(make_engine)

    def rerank(self, query: str, hits: Sequence[Hit], top_k: int) -> list[Hit]:
        """Return the best hits, best first, with ``score`` replaced (0..1)."""
        if not hits or top_k < 1:
            return []
        scores = self.scores(query, [hit.chunk.passage for hit in hits])
        rated = zip(hits, scores.tolist(), strict=True)
        ordered = sorted(rated, key=lambda pair: -pair[1])
        return [replace(hit, score=float(score)) for hit, score in ordered[:top_k]]

    def scores(self, query: str, texts: Sequence[str]) -> Matrix:
        """Return the score of the query with each text, float32 [n], 0..1.

        Raises:
            ComponentError: The engine failed.
        """
        logits = np.empty((len(texts), 1), dtype=np.float32)
        query, *texts = (replace_surrogates(text) for text in (query, *texts))
        if self._lowercase:
            query, *texts = (text.lower() for text in (query, *texts))
        pairs = self._tokenizer.encode(query, texts)
        inputs = [[pair.ids for pair in pairs]]
        if self._with_types:
            inputs.append([pair.types for pair in pairs])
        lengths = [len(row) for row in inputs[0]]
        # No stream should wait for another one that has the last batch alone.
        share = -(-sum(lengths) // self._streams)
        plan = batches(lengths, min(self._batch_tokens, share))
        self._engine.get().start(inputs, lengths, plan, logits)()
        scores = 1.0 / (1.0 + np.exp(-logits[:, 0].astype(np.float64)))
        return np.asarray(scores, dtype=np.float32)


def _cannot_run(reason: str) -> SettingsError:
    return SettingsError(f"the {_COMPONENT.name} cannot run {reason}; {_COMPONENT.alternative}")
