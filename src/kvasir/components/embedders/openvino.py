"""The default embedder: BERT-family sentence encoders on OpenVINO, without PyTorch.

Texts are sorted by length and batched by a token budget, to limit padding. Batches run on several
streams of one core each, in bf16 where the processor has it. The graph is compiled a second time,
tuned for latency, for single queries. ``bench/embedding.py`` measures both.
"""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Encoding, Tokenizer

from kvasir.components.embedders.bert_graph import (
    build_graph,
    check_supported,
    layer_weights,
    ov,
    why,
)
from kvasir.components.embedders.mapped_weights import Weights
from kvasir.components.embedders.sentence_model import SentenceModel, read_sentence_model
from kvasir.core.errors import ComponentError, ModelNotFoundError, SettingsError
from kvasir.core.leases import Lazy
from kvasir.core.machine import processors
from kvasir.core.protocols import PendingVectors
from kvasir.core.recent_vectors import RecentVectors
from kvasir.core.run import Run
from kvasir.core.text import replace_surrogates
from kvasir.core.types import Matrix
from kvasir.models.local import find

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
PRECISIONS = ("auto", "bf16", "f32")
_SMALL_CALL_TOKENS = 512
_MEDIUM_CALL_TOKENS, _MEDIUM_CALLS = 4096, 3
"""The first calls of such a size do without the second graph, which takes longer to compile.

A question from the command line is one such call, for the sentences of its sources.
"""
_MAX_STREAMS = 8
_ONE_CORE_WEIGHTS = 30_000_000
"""Up to this many layer weights, one core computes single queries in bf16."""
_QUICK_STEP = 16
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
        precision: str = "auto",
        batch_tokens: int = 2048,
        streams: int | None = None,
        run: Run | None = None,
    ) -> None:
        """Find the model as ``kvasir.models.local.find`` does; weights are loaded on first use.

        ``max_tokens`` and the prompts replace the model's own. The precision is ``bf16``, ``f32``,
        or ``auto``: bf16 where the processor computes in it. ``batch_tokens`` counts the tokens of
        a batch with its padding; ``streams`` batches are computed at the same time, by default
        one a core, up to 8.

        Raises:
            ModelNotFoundError: The model is nowhere to be found.
            SettingsError: An option is unusable, or the engine cannot run this model.
        """
        if precision not in PRECISIONS:
            raise SettingsError(f"precision must be one of {', '.join(PRECISIONS)}: '{precision}'")
        if batch_tokens < 1 or (streams is not None and streams < 1):
            raise SettingsError("batch_tokens and streams must be at least 1")
        folder = find(name, token, data_dir, run)
        model = read_sentence_model(folder, max_tokens, query_prompt, document_prompt)
        check_supported(model.config, model.pooling, model.modules)
        self.name = folder.name
        self.dimension = int(model.config.get("hidden_size", model.config.get("dim", 0)))
        self.fingerprint = model.fingerprint
        self.languages = folder.languages
        self.max_tokens = model.max_tokens
        self.model = model
        self._batch_tokens = batch_tokens
        self._streams = streams or min(processors(), _MAX_STREAMS)
        self._recent = RecentVectors(_REMEMBERED_QUERIES)
        self._tokenizer = Lazy(lambda: _read_tokenizer(model))
        self._truncating_tokenizer = Lazy(lambda: _read_tokenizer(model, model.max_tokens))
        # Functions of the module: a reference to ``self`` would keep the engines in memory.
        weights = Lazy(lambda: Weights(model.folder.path))
        compiled = partial(_compile, model, weights, precision, self._streams)
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

    def _encode(self, texts: Sequence[str], prompt: str, tokenizer: Tokenizer) -> list[Encoding]:
        prompted = [replace_surrogates(prompt + text) for text in texts]
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
        finish = engine.start(ids, widths, plan, vectors)

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


class _Engine:
    """A compiled graph and a pool of its requests, shared by all threads.

    The pool grows on demand: requests are small, because the graph's streams hold the memory.
    """

    def __init__(self, compiled: Any, parallel: int, weights: Weights) -> None:
        self._compiled = compiled
        # The compiled graph reads the embeddings of tokens from the file. The other weights are
        # converted, some of them at the first call.
        self._weights = weights
        self._is_converted = False
        self._parallel = parallel
        self._free: queue.SimpleQueue[_Request] = queue.SimpleQueue()

    def start(
        self,
        ids: Sequence[Sequence[int]],
        widths: Sequence[int],
        plan: Sequence[Sequence[int]],
        vectors: Matrix,
    ) -> Callable[[], None]:
        """Start computing pooled states into ``vectors`` [rows, dimension], batch by batch.

        A batch of the plan is padded to the largest of its rows' widths. The returned function
        waits for the last batch.
        """
        running: deque[tuple[_Request, Sequence[int]]] = deque()
        with self._computing(running):
            for rows in plan:
                if len(running) == self._parallel:
                    self._collect(running, vectors)
                request = self._take()
                running.append((request, rows))
                request.start([ids[row] for row in rows], max(widths[row] for row in rows))

        def finish() -> None:
            with self._computing(running):
                while running:
                    self._collect(running, vectors)
            if not self._is_converted:
                self._is_converted = True
                self._weights.release()

        return finish

    @contextmanager
    def _computing(self, running: deque[tuple[_Request, Sequence[int]]]) -> Iterator[None]:
        """After a failure or an interrupt, wait for all requests and discard them."""
        try:
            yield
        except BaseException as error:
            for request, _ in running:
                # A second failure must not hide the first.
                with suppress(RuntimeError):
                    request.inference.wait()
            if isinstance(error, RuntimeError):
                raise ComponentError("embedder 'openvino'", "inference", error) from error
            raise

    def _take(self) -> _Request:
        try:
            return self._free.get_nowait()
        except queue.Empty:
            return _Request(self._compiled)

    def _collect(self, running: deque[tuple[_Request, Sequence[int]]], vectors: Matrix) -> None:
        request, rows = running[0]
        request.inference.wait()
        vectors[rows] = request.inference.get_output_tensor(0).data
        running.popleft()
        self._free.put(request)


class _Request:
    """An inference request and its input arrays, for one batch at a time.

    The arrays stay bound from one batch to the next, which saves a tenth of a query's time.
    """

    def __init__(self, compiled: Any) -> None:
        self.inference = compiled.create_infer_request()
        self._ids = np.zeros((0, 0), np.int32)
        self._mask = np.zeros((0, 0), np.float32)

    def start(self, rows: Sequence[Sequence[int]], width: int) -> None:
        """Start computing a batch of token ids, padded to a width."""
        if self._ids.shape != (len(rows), width):
            self._ids = np.zeros((len(rows), width), np.int32)
            self._mask = np.zeros((len(rows), width), np.float32)
            self.inference.set_input_tensor(0, ov.Tensor(self._ids, shared_memory=True))
            self.inference.set_input_tensor(1, ov.Tensor(self._mask, shared_memory=True))
        for index, row in enumerate(rows):
            self._ids[index, : len(row)] = row
            self._ids[index, len(row) :] = 0
            self._mask[index, : len(row)] = 1.0
            self._mask[index, len(row) :] = 0.0
        self.inference.start_async()


def _arithmetic(precision: str) -> str:
    if precision != "auto":
        return precision
    capabilities = ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "bf16" if "BF16" in capabilities else "f32"


def _compile(
    model: SentenceModel, weights: Lazy[Weights], precision: str, streams: int, *, is_small: bool
) -> _Engine:
    arithmetic = _arithmetic(precision)
    streams = 1 if is_small else streams
    options = {
        "PERFORMANCE_HINT": "LATENCY" if is_small else "THROUGHPUT",
        "NUM_STREAMS": str(streams),
        "INFERENCE_PRECISION_HINT": arithmetic,
    }
    if is_small and arithmetic == "bf16" and layer_weights(model.config) <= _ONE_CORE_WEIGHTS:
        # A second core would gain 0.3 ms, and is needed for the keyword search.
        options |= {"INFERENCE_NUM_THREADS": "1", "ENABLE_CPU_PINNING": "NO"}
    mapped = weights.get()
    graph = build_graph(mapped, model.config, model.pooling)
    try:
        engine = _Engine(ov.Core().compile_model(graph, "CPU", options), streams, mapped)
    except RuntimeError as error:
        raise ComponentError(
            "embedder 'openvino'",
            f"preparing the model in {model.folder.path}",
            f"{why(error)}; fetch the model again, or set the embedder to "
            "'sentence-transformers' for it",
        ) from error
    mapped.release()
    return engine


def batches(lengths: Sequence[int], budget: int, *, mixed: bool = True) -> list[list[int]]:
    """Group rows of similar length so that rows times the longest stays within a budget.

    Lengths and budget are in tokens. Returns row numbers by batch, the longest rows first; a row
    above the budget is a batch by itself. Without ``mixed`` all rows of a batch have one length.
    """
    plan: list[list[int]] = []
    longest = 0
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        has_room = plan and (len(plan[-1]) + 1) * longest <= budget
        if has_room and (mixed or lengths[row] == longest):
            plan[-1].append(row)
        else:
            plan.append([row])
            longest = lengths[row]
    return plan


def _read_tokenizer(model: SentenceModel, max_tokens: int | None = None) -> Tokenizer:
    file = model.folder.path / "tokenizer.json"
    if not file.is_file():
        raise ModelNotFoundError(
            f"{model.folder.path} has no tokenizer.json, which the embedder 'openvino' needs; "
            "set the embedder to 'sentence-transformers' for this model"
        )
    try:
        tokenizer: Tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises no narrower one
        raise ModelNotFoundError(f"{file} is broken ({error}); fetch the model again") from error
    # The file may set a fixed length; its padding would be computed for nothing.
    tokenizer.no_padding()
    tokenizer.no_truncation()
    if max_tokens is not None:
        tokenizer.enable_truncation(max_tokens)
    return tokenizer
