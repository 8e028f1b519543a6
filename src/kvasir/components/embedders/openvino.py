"""The default embedder: BERT-family sentence encoders on OpenVINO, without PyTorch.

Texts are sorted by length and batched by a token budget, to limit padding. Batches run on several
streams of one core each, in bf16 where the processor has it. The graph is compiled a second time,
tuned for latency, for single queries. ``bench/embedding.py`` measures both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from kvasir.components.embedders.sentence_model import SentenceModel, read_sentence_model
from kvasir.core.errors import SettingsError
from kvasir.core.leases import Lazy
from kvasir.core.protocols import PendingVectors
from kvasir.core.recent_vectors import RecentVectors
from kvasir.core.run import Run
from kvasir.core.types import Matrix
from kvasir.models.bert_graph import POOLINGS, build_graph, layer_weights, unsupported
from kvasir.models.encoder_files import (
    Component,
    TextEncoding,
    TextTokenizer,
    read_text_tokenizer,
)
from kvasir.models.local import find
from kvasir.models.mapped_weights import Weights
from kvasir.models.openvino_engine import (
    Engine,
    arithmetic,
    batches,
    check_options,
    default_streams,
)

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
_COMPONENT = Component(
    "embedder 'openvino'", "set the embedder to 'sentence-transformers' for this model"
)
_SMALL_CALL_TOKENS = 512
_MEDIUM_CALL_TOKENS, _MEDIUM_CALLS = 4096, 3
"""The first calls of such a size do without the second graph, which takes longer to compile.

A question from the command line is one such call, for the sentences of its sources.
"""
_ONE_CORE_WEIGHTS = 30_000_000
"""Up to this many layer weights, one core computes single queries in bf16."""
_QUICK_STEP = 8
"""Small calls are padded to a multiple, because planning the graph for a new width is slow.

Their rows are computed beside rows of the same width only: padding to the longest sentence of an
answer would cost a fifth of the time, and a vector would depend on the texts beside it.
"""
_REMEMBERED_QUERIES = 1024
"""An answer needs its question's vector again; and a class asks the same question many times."""


class OpenVinoEmbedder:
    """Embeds with a BERT-family sentence encoder: config, tokenizer and safetensors weights."""

    def __init__(
        self,
        name: str = DEFAULT_MODEL,
        token: str | None = None,
        data_dir: Path | str | None = None,
        max_tokens: int | None = None,
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        segmenter: str = "auto",
        precision: str = "auto",
        batch_tokens: int = 2048,
        streams: int | None = None,
        run: Run | None = None,
    ) -> None:
        """Find the model as ``kvasir.models.local.find`` does; weights are loaded on first use.

        ``max_tokens`` and the prompts replace the model's own; ``segmenter`` is as of
        ``read_sentence_model``. The precision is ``bf16``, ``f32``,
        or ``auto``: bf16 where the processor computes in it. ``batch_tokens`` counts the tokens of
        a batch with its padding; ``streams`` batches are computed at the same time, by default
        one a core, up to 8.

        Raises:
            ModelNotFoundError: The model is nowhere to be found.
            SettingsError: An option is unusable, or the engine cannot run this model.
        """
        check_options(precision, batch_tokens, streams)
        folder = find(name, token, data_dir, run)
        model = read_sentence_model(folder, max_tokens, query_prompt, document_prompt, segmenter)
        _check_supported(model)
        self.name = folder.name
        self.dimension = int(model.config.get("hidden_size", model.config.get("dim", 0)))
        self.fingerprint = model.fingerprint
        self.languages = folder.languages
        self.max_tokens = model.max_tokens
        self.model = model
        self._batch_tokens = batch_tokens
        self._recent = RecentVectors(_REMEMBERED_QUERIES)
        self._tokenizer = Lazy(lambda: read_text_tokenizer(folder, _COMPONENT))
        self._truncating_tokenizer = Lazy(
            lambda: read_text_tokenizer(folder, _COMPONENT, model.max_tokens)
        )
        # Functions of the module: a reference to ``self`` would keep the engines in memory.
        weights = Lazy(lambda: Weights(folder.path, _COMPONENT))
        compiled = partial(_compile, model, weights, precision, streams or default_streams())
        self._quick_engine = Lazy(partial(compiled, is_small=True))
        self._engine = Lazy(partial(compiled, is_small=False))
        self._medium_calls_left = _MEDIUM_CALLS

    def embed_documents(self, texts: Sequence[str]) -> Matrix:
        """Return float32 [n, dimension], unit length, in the order of the texts."""
        return self._start(texts, self.model.document_prompt)()

    def embed_queries(self, texts: Sequence[str]) -> Matrix:
        """Embed queries, with the model's query prompt if it has one."""
        return self._start_queries(texts)()

    def start_queries(self, texts: Sequence[str]) -> PendingVectors:
        """Start embedding queries in the background.

        Raises:
            ComponentError: The engine failed; ``result`` may raise it as well.
        """
        return _Pending(self._start_queries(texts))

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return the tokens of each document, uncut, special tokens and prompt included."""
        encodings = self._encode(texts, self.model.document_prompt, self._tokenizer.get())
        return [len(encoding) for encoding in encodings]

    def _encode(
        self, texts: Sequence[str], prompt: str, tokenizer: TextTokenizer
    ) -> Sequence[TextEncoding]:
        prompted = [prompt + text for text in self.model.prepared(texts)]
        if self.model.lowercase:
            prompted = [text.lower() for text in prompted]
        return tokenizer.encode_batch_fast(prompted)

    def _start_queries(self, texts: Sequence[str]) -> Callable[[], Matrix]:
        """Start embedding queries; a single one that was asked for recently is remembered."""
        if len(texts) != 1:
            return self._start(texts, self.model.query_prompt)
        if known := self._recent.find(texts):
            return lambda: np.stack([known[texts[0]]])
        wait = self._start(texts, self.model.query_prompt)

        def finish() -> Matrix:
            vectors = wait()
            self._recent.keep({texts[0]: vectors[0].copy()})
            return vectors

        return finish

    def _start(self, texts: Sequence[str], prompt: str) -> Callable[[], Matrix]:
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        if not texts:
            return lambda: vectors
        encodings = self._encode(texts, prompt, self._truncating_tokenizer.get())
        ids = [encoding.ids for encoding in encodings]
        lengths = [len(row) for row in ids]
        padded = [min(-(-n // _QUICK_STEP) * _QUICK_STEP, self.max_tokens) for n in lengths]
        is_quick = self._is_quick(sum(padded))
        widths = padded if is_quick else lengths
        plan = batches(widths, self._batch_tokens, mixed=not is_quick)
        engine = (self._quick_engine if is_quick else self._engine).get()
        finish = engine.start([ids], widths, plan, vectors)

        def wait() -> Matrix:
            finish()
            np.divide(vectors, np.linalg.norm(vectors, axis=1, keepdims=True), out=vectors)
            return vectors

        return wait

    def _is_quick(self, tokens: int) -> bool:
        """Return True if a call is for the graph that is tuned for latency."""
        if tokens <= _SMALL_CALL_TOKENS:
            return True
        if self._engine.is_made or tokens > _MEDIUM_CALL_TOKENS or not self._medium_calls_left:
            return False
        self._medium_calls_left -= 1
        return True


class _Pending(Lazy[Matrix]):
    """Vectors that are being computed."""

    def result(self) -> Matrix:
        """Wait for the vectors."""
        return self.get()


def _check_supported(model: SentenceModel) -> None:
    """Raise SettingsError, naming the alternative, for a model that the engine cannot run."""
    extra = sorted(set(model.modules) - {"Transformer", "Pooling", "Normalize"})
    reason = unsupported(model.config)
    if not reason and model.pooling not in POOLINGS:
        reason = f"the pooling '{model.pooling}' (it runs {', '.join(POOLINGS)})"
    elif not reason and extra:
        reason = f"the extra step '{extra[0]}'"
    if reason:
        raise SettingsError(f"the {_COMPONENT.name} cannot run {reason}; {_COMPONENT.alternative}")


def _compile(
    model: SentenceModel, weights: Lazy[Weights], precision: str, streams: int, *, is_small: bool
) -> Engine:
    computed_in = arithmetic(precision)
    streams = 1 if is_small else streams
    options = {
        "PERFORMANCE_HINT": "LATENCY" if is_small else "THROUGHPUT",
        "NUM_STREAMS": str(streams),
        "INFERENCE_PRECISION_HINT": computed_in,
    }
    if is_small and computed_in == "bf16" and layer_weights(model.config) <= _ONE_CORE_WEIGHTS:
        # A second core would gain 0.3 ms, and is needed for the keyword search.
        options |= {"INFERENCE_NUM_THREADS": "1", "ENABLE_CPU_PINNING": "NO"}
    mapped = weights.get()
    graph = build_graph(mapped, model.config, model.pooling)
    return Engine(graph, options, streams, mapped, _COMPONENT)
