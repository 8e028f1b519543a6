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
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from kvasir.components.embedders.bert_graph import build_graph, check_supported
from kvasir.components.embedders.openvino_runtime import ov
from kvasir.components.embedders.sentence_model import SentenceModel, read_sentence_model
from kvasir.core.errors import ComponentError, ModelNotFoundError, SettingsError
from kvasir.core.types import Matrix
from kvasir.models.cards import languages
from kvasir.models.finding import find

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
PRECISIONS = ("auto", "bf16", "f32")
_SMALL_CALL_TOKENS = 256
_MAX_STREAMS = 8


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
        on_progress: Callable[[str, int, int], None] | None = None,
    ) -> None:
        """Finds the model and reads its configuration; weights are loaded on first use.

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
            on_progress: Told while the model is fetched: the file, bytes done, bytes in all.

        Raises:
            ModelNotFoundError: The model is nowhere to be found.
            SettingsError: An option is unusable, or the engine cannot run this model.
        """
        if precision not in PRECISIONS:
            raise SettingsError(f"precision must be one of {', '.join(PRECISIONS)}: '{precision}'")
        if batch_tokens < 1 or (streams is not None and streams < 1):
            raise SettingsError("batch_tokens and streams must be at least 1")
        folder = find(name, token, data_dir, on_progress)
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
        """Returns float32 [n, dimension], unit length, in the order of the texts."""
        return self._embed(texts, self._model.document_prompt)

    def embed_queries(self, texts: Sequence[str]) -> Matrix:
        """The same for queries, with the model's query prompt if it has one."""
        return self._embed(texts, self._model.query_prompt)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Returns the tokens of each text as a document, special tokens and prompt included.

        Nothing is cut off before counting: a count above ``max_tokens`` is a text whose end
        does not reach the model.
        """
        prompt = self._model.document_prompt
        encodings = self._counter.encode_batch_fast([self._prepare(t, prompt) for t in texts])
        return [len(encoding) for encoding in encodings]

    def _prepare(self, text: str, prompt: str) -> str:
        text = prompt + text
        if not text.isascii():
            # Half a surrogate pair, as broken files have them, is no Unicode for the tokenizer.
            text = text.encode("utf-8", "replace").decode("utf-8")
        return text.lower() if self._model.lowercase else text

    def _embed(self, texts: Sequence[str], prompt: str) -> Matrix:
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        if not texts:
            return vectors
        encodings = self._tokenizer.encode_batch_fast([self._prepare(t, prompt) for t in texts])
        ids = [encoding.ids for encoding in encodings]
        lengths = [len(row) for row in ids]
        engine = self._engine(small=sum(lengths) <= _SMALL_CALL_TOKENS)
        engine.run(ids, batches(lengths, self._batch_tokens), vectors)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors

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
                self._quick = self._compile("LATENCY", 1)
            if not small and self._bulk is None:
                self._bulk = self._compile("THROUGHPUT", self._streams)
            engine = self._quick if small else self._bulk
        assert engine is not None
        return engine

    def _compile(self, hint: str, streams: int) -> _Engine:
        core = ov.Core()
        bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        precision = ("bf16" if bf16 else "f32") if self._precision == "auto" else self._precision
        options = {
            "PERFORMANCE_HINT": hint,
            "NUM_STREAMS": str(streams),
            "INFERENCE_PRECISION_HINT": precision,
        }
        model = self._model
        graph = build_graph(model.folder.path, model.config, model.pooling)
        return _Engine(core.compile_model(graph, "CPU", options), streams)


class _Engine:
    """A compiled graph and its requests, shared by all threads."""

    def __init__(self, compiled: Any, requests: int) -> None:
        self._free: queue.SimpleQueue[Any] = queue.SimpleQueue()
        for _ in range(requests):
            self._free.put(compiled.create_infer_request())

    def run(self, ids: list[list[int]], plan: list[list[int]], vectors: Matrix) -> None:
        """Computes batches of rows into their places in ``vectors``.

        A thread gives back a finished request before it waits for another one, so threads
        cannot block each other for good.
        """
        running: deque[tuple[Any, list[int]]] = deque()
        try:
            for rows in plan:
                request = self._take(running, vectors)
                running.append((request, rows))
                request.start_async(_pad([ids[row] for row in rows]), share_inputs=False)
            while running:
                self._collect(running, vectors)
        except RuntimeError as error:
            raise ComponentError("embedder 'openvino'", "inference", error) from error
        finally:
            for request, _ in running:
                # The first failure is on its way up; a second would only hide it.
                with suppress(RuntimeError):
                    request.wait()
                self._free.put(request)

    def _take(self, running: deque[tuple[Any, list[int]]], vectors: Matrix) -> Any:
        try:
            return self._free.get(block=not running)
        except queue.Empty:
            self._collect(running, vectors)
            return self._free.get()

    def _collect(self, running: deque[tuple[Any, list[int]]], vectors: Matrix) -> None:
        request, rows = running[0]
        request.wait()
        vectors[rows] = request.get_output_tensor(0).data
        running.popleft()
        self._free.put(request)


def batches(lengths: Sequence[int], budget: int) -> list[list[int]]:
    """Groups rows of similar length so that rows times the longest stays within a budget.

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


def _pad(rows: list[list[int]]) -> list[Any]:
    width = max(len(row) for row in rows)
    ids = np.zeros((len(rows), width), dtype=np.int32)
    mask = np.zeros((len(rows), width), dtype=np.float32)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
        mask[index, : len(row)] = 1.0
    return [ids, mask]


def _read_tokenizer(model: SentenceModel) -> Tokenizer:
    file = model.folder.path / "tokenizer.json"
    if not file.is_file():
        raise ModelNotFoundError(
            f"{model.folder.path} has no tokenizer.json, which the embedder 'openvino' needs; "
            "set the embedder to 'sentence-transformers' for this model"
        )
    tokenizer: Tokenizer = Tokenizer.from_file(str(file))
    # The file may ask for a fixed length; padding to it would be computed in vain.
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
