"""The default embedder: BERT-family sentence encoders on OpenVINO, without PyTorch.

Texts are sorted by length and put into batches of a token budget, so little is spent on padding;
batches run on several streams of one core each, in bf16 where the processor has it. A second
compiled form of the same graph, tuned for latency, answers single queries. What that gains is
measured by ``bench/embedding.py``.
"""

from __future__ import annotations

import os
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from kvasir.components.embedders.bert_graph import build_graph, check_supported, layer_weights
from kvasir.components.embedders.openvino_runtime import ov, why
from kvasir.components.embedders.sentence_model import SentenceModel, read_sentence_model
from kvasir.core.errors import ComponentError, ModelNotFoundError, SettingsError
from kvasir.core.protocols import PendingVectors
from kvasir.core.run import Run
from kvasir.core.text import replace_surrogates
from kvasir.core.types import Matrix
from kvasir.models.cards import languages
from kvasir.models.local import find

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
PRECISIONS = ("auto", "bf16", "f32")
_SMALL_CALL_TOKENS = 256
_MAX_STREAMS = 8
_ONE_CORE_WEIGHTS = 30_000_000
"""Weights in the layers of a model whose single questions one core computes, in bf16."""
_QUICK_STEP = 16
"""Widths of small calls are multiples of it: planning the graph for a new one takes longer
than computing the padding."""


class OpenVinoEmbedder:
    """Embeds with a BERT-family sentence encoder given as config, tokenizer and safetensors.

    Attributes:
        name: The model's full name.
        dimension: Length of its vectors.
        fingerprint: Changes when the same text could get another vector.
        languages: ISO 639-1 codes from the model's card; empty when nothing says.
        max_tokens: Tokens of a text that count; what is longer is cut off.
        folder: Where the model is.
    """

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
        """Find the model and read its configuration; weights are loaded on first use.

        Args:
            name: A path, or a name on the Hugging Face hub.
            token: Access token for the hub, if the model must be fetched.
            data_dir: Kvasir's data directory; models are fetched to its ``models`` folder.
            max_tokens: Cut texts here instead of where the model's configuration says.
            query_prompt: Put before queries instead of the model's own prompt.
            document_prompt: Put before documents instead of the model's own prompt.
            precision: ``bf16``, ``f32``, or ``auto``: bf16 where the processor computes in it.
            batch_tokens: Tokens in a batch, padding included.
            streams: Batches computed at the same time; by default one a core, up to 8.
            run: Stops fetching the model, and is told how much of it is here.

        Raises:
            ModelNotFoundError: The model is nowhere to be found.
            SettingsError: An option is unusable, or the engine cannot run this model.
        """
        if precision not in PRECISIONS:
            raise SettingsError(f"precision must be one of {', '.join(PRECISIONS)}: '{precision}'")
        if batch_tokens < 1 or (streams is not None and streams < 1):
            raise SettingsError("batch_tokens and streams must be at least 1")
        folder = find(name, token, data_dir, run)
        model = read_sentence_model(
            folder,
            max_tokens=max_tokens,
            query_prompt=query_prompt,
            document_prompt=document_prompt,
        )
        check_supported(model.config, model.pooling, model.modules)
        self.name = folder.name
        self.dimension = int(model.config.get("hidden_size", model.config.get("dim", 0)))
        self.fingerprint = model.fingerprint
        self.languages = languages(folder.name, folder.path)
        self.max_tokens = model.max_tokens
        self.folder = folder.path
        self._model = model
        self._precision = precision
        self._batch_tokens = batch_tokens
        self._streams = streams or min(_cores(), _MAX_STREAMS)
        self._lock = threading.Lock()
        self._cutting: Tokenizer | None = None
        self._counting: Tokenizer | None = None
        self._quick: _Engine | None = None
        self._bulk: _Engine | None = None

    def embed_documents(self, texts: Sequence[str]) -> Matrix:
        """Return float32 [n, dimension], unit length, in the order of the texts."""
        return self._start(texts, self._model.document_prompt)()

    def embed_queries(self, texts: Sequence[str]) -> Matrix:
        """Embed queries, with the model's query prompt if it has one."""
        return self._start(texts, self._model.query_prompt)()

    def start_queries(self, texts: Sequence[str]) -> PendingVectors:
        """Start what ``embed_queries`` does.

        Raises:
            ComponentError: The engine failed; the result may raise it as well.
        """
        return _Pending(self._start(texts, self._model.query_prompt))

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return the tokens of each text as a document, special tokens and prompt included.

        Nothing is cut off before counting: a count above ``max_tokens`` is a text whose end
        does not reach the model.
        """
        prompt = self._model.document_prompt
        encodings = self._counter.encode_batch_fast([self._prepare(t, prompt) for t in texts])
        return [len(encoding) for encoding in encodings]

    def _prepare(self, text: str, prompt: str) -> str:
        text = replace_surrogates(prompt + text)  # no tokenizer accepts them
        return text.lower() if self._model.lowercase else text

    def _start(self, texts: Sequence[str], prompt: str) -> Callable[[], Matrix]:
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        if not texts:
            return lambda: vectors
        encodings = self._tokenizer.encode_batch_fast([self._prepare(t, prompt) for t in texts])
        ids = [encoding.ids for encoding in encodings]
        lengths = [len(row) for row in ids]
        padded = [min(-(-n // _QUICK_STEP) * _QUICK_STEP, self.max_tokens) for n in lengths]
        is_small = sum(padded) <= _SMALL_CALL_TOKENS
        widths = padded if is_small else lengths
        plan = batches(widths, self._batch_tokens)
        finish = self._engine(is_small).start(ids, widths, plan, vectors)

        def wait() -> Matrix:
            finish()
            np.divide(vectors, np.linalg.norm(vectors, axis=1, keepdims=True), out=vectors)
            return vectors

        return wait

    # functools.cached_property may compute twice when threads race; weights are too large for it.

    @property
    def _tokenizer(self) -> Tokenizer:
        with self._lock:
            if self._cutting is None:
                self._cutting = _read_tokenizer(self._model)
                self._cutting.enable_truncation(self.max_tokens)
            return self._cutting

    @property
    def _counter(self) -> Tokenizer:
        with self._lock:
            if self._counting is None:
                self._counting = _read_tokenizer(self._model)
            return self._counting

    def _engine(self, small: bool) -> _Engine:
        with self._lock:
            if small and self._quick is None:
                self._quick = self._compile_quick()
            if not small and self._bulk is None:
                self._bulk = self._compile_bulk()
            engine = self._quick if small else self._bulk
        assert engine is not None
        return engine

    def _compile_quick(self) -> _Engine:
        options = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1"}
        if self._arithmetic == "bf16" and layer_weights(self._model.config) <= _ONE_CORE_WEIGHTS:
            # Then a second core gains 0.3 ms, and has better things to do: the keyword leg.
            options |= {"INFERENCE_NUM_THREADS": "1", "ENABLE_CPU_PINNING": "NO"}
        return _Engine(self._compile(options), 1)

    def _compile_bulk(self) -> _Engine:
        options = {"PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": str(self._streams)}
        return _Engine(self._compile(options), self._streams)

    def _compile(self, options: dict[str, str]) -> Any:
        model = self._model
        graph = build_graph(model.folder.path, model.config, model.pooling)
        options = {**options, "INFERENCE_PRECISION_HINT": self._arithmetic}
        try:
            return ov.Core().compile_model(graph, "CPU", options)
        except RuntimeError as error:
            raise ComponentError(
                "embedder 'openvino'",
                f"preparing the model in {model.folder.path}",
                f"{why(error)}; fetch the model again, or set the embedder to "
                "'sentence-transformers' for it",
            ) from error

    @property
    def _arithmetic(self) -> str:
        if self._precision != "auto":
            return self._precision
        capabilities = ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        return "bf16" if "BF16" in capabilities else "f32"


class _Pending:
    """Vectors that the engine is computing; it need not be told that nobody wants them."""

    def __init__(self, wait: Callable[[], Matrix]) -> None:
        """Args: what waits for them, called once."""
        self._wait = wait
        self._lock = threading.Lock()
        self._vectors: Matrix | None = None

    def result(self) -> Matrix:
        """Return the vectors, when they are there."""
        with self._lock:
            if self._vectors is None:
                self._vectors = self._wait()
            return self._vectors


class _Engine:
    """A compiled graph and its requests, shared by all threads.

    A request is little more than its inputs, because the streams of the graph hold the rest. So
    no caller waits for those of another: who finds none gets a new one.
    """

    def __init__(self, compiled: Any, parallel: int) -> None:
        """Args: the graph, and how many batches of one call are computed at the same time."""
        self._compiled = compiled
        self._parallel = parallel
        self._free: queue.SimpleQueue[_Request] = queue.SimpleQueue()

    def start(
        self,
        ids: Sequence[Sequence[int]],
        widths: Sequence[int],
        plan: Sequence[Sequence[int]],
        vectors: Matrix,
    ) -> Callable[[], None]:
        """Start computing batches of rows into their places in ``vectors``.

        Args:
            ids: The token ids of each row.
            widths: What each is padded to, if the longest of its batch is.
            plan: The rows of each batch.
            vectors: Where the pooled states go [rows, dimension].

        Returns:
            Waits for the last of them.
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

        return finish

    @contextmanager
    def _computing(self, running: deque[tuple[_Request, Sequence[int]]]) -> Iterator[None]:
        """End all requests, without using them again, where the engine or the caller stops."""
        try:
            yield
        except BaseException as error:
            for request, _ in running:
                # The first failure is on its way up; a second would only hide it.
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
    """An inference request and the arrays that it reads, for one batch at a time.

    They stay bound from one batch to the next, which saves a tenth of a question's time.

    Attributes:
        inference: OpenVINO's request.
    """

    def __init__(self, compiled: Any) -> None:
        self.inference = compiled.create_infer_request()
        self._ids = np.zeros((0, 0), np.int32)
        self._mask = np.zeros((0, 0), np.float32)

    def start(self, rows: Sequence[Sequence[int]], width: int) -> None:
        """Start computing a batch of token ids, padded to a width."""
        if self._ids.shape != (len(rows), width):
            self._bind(len(rows), width)
        for index, row in enumerate(rows):
            self._ids[index, : len(row)] = row
            self._ids[index, len(row) :] = 0
            self._mask[index, : len(row)] = 1.0
            self._mask[index, len(row) :] = 0.0
        self.inference.start_async()

    def _bind(self, rows: int, width: int) -> None:
        self._ids = np.zeros((rows, width), np.int32)
        self._mask = np.zeros((rows, width), np.float32)
        self.inference.set_input_tensor(0, ov.Tensor(self._ids, shared_memory=True))
        self.inference.set_input_tensor(1, ov.Tensor(self._mask, shared_memory=True))


def batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Group rows of similar length so that rows times the longest stays within a budget.

    Args:
        lengths: Tokens of each row.
        budget: Tokens in a batch, padding included; a longer row is a batch of its own.

    Returns:
        Row numbers by batch, the longest rows first.
    """
    plan: list[list[int]] = []
    longest = 0
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        if plan and (len(plan[-1]) + 1) * longest <= budget:
            plan[-1].append(row)
        else:
            plan.append([row])
            longest = lengths[row]
    return plan


def _read_tokenizer(model: SentenceModel) -> Tokenizer:
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
    # The file may ask for a fixed length; padding to it would be computed in vain.
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
