"""A language model in this process, by llama.cpp: a GGUF file is all that it needs.

llama.cpp serves a model over HTTP, also within a process. Here it listens on a Unix socket in a
private folder (where there can be none, at a free port of the loopback, with a key), so that no
other user reaches it, and a generation ends when its connection is closed, even before its first
token. The server batches the requests of all threads, and keeps the keys and values of each slot's
last prompt, so that a prompt with the same beginning is read from where it differs.
Source: https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md
"""

from __future__ import annotations

import json
import secrets
import shutil
import socket
import tempfile
import weakref
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx

from kvasir.components.generators.llm_server import chat_messages
from kvasir.components.generators.openai import OpenAIGenerator
from kvasir.core.deadline import check
from kvasir.core.environment import passive_openmp
from kvasir.core.errors import ComponentError, SettingsError
from kvasir.core.leases import Lazy
from kvasir.core.machine import available_memory, processors
from kvasir.core.run import Run
from kvasir.core.types import Message, Prompt
from kvasir.models import language_models
from kvasir.models.gguf import GgufModel, read_model

try:
    with passive_openmp() as threads_wait_passively:
        import xllamacpp
except ModuleNotFoundError:
    raise
except ImportError as error:  # A library of the system that the wheel expects.
    raise ComponentError(
        "llama", "loading llama.cpp", f"{error}; on Debian and Ubuntu install libgomp1"
    ) from error

_LOADING = "loading the model"
_BATCH = 64
"""Tokens of a prompt that are computed in one step; a generation is stopped between two steps."""
_BUFFERS = 256 << 20
"""Bytes, beside the weights and the cache of keys and values."""
_CONTEXT_STEP = 256
"""llama.cpp rounds a context up to a multiple of this."""
_LONGEST_SOCKET = 100
"""Bytes of the path of a Unix socket; systems allow 103 or 107."""
_SILENT = -1
"""The library's messages would stand on the terminal, between ours."""


class LlamaGenerator:
    """Generates answers with a model in a GGUF file."""

    def __init__(
        self,
        model: str = "",
        temperature: float = 0.0,
        max_tokens: int = 1024,
        context_window: int = 8192,
        parallel: int = 2,
        threads: int | None = None,
        grammar: str | None = None,
        pull: bool = False,
        timeout: float = 600.0,
        data_dir: Path | None = None,
        run: Run | None = None,
    ) -> None:
        """Set the model; it is loaded for the first answer, or by ``prepare``.

        Args:
            model: The path of a GGUF file or of a folder with some, or a name on the hub.
            temperature: 0 for the likeliest words.
            max_tokens: Most tokens of an answer, which are reserved in the context window.
            context_window: Most tokens of prompt and answer; a model's own limit may be lower.
            parallel: Answers that are generated at the same time; others wait. Each has a context
                window of its own, which takes memory.
            threads: Processor threads; by default one for each processor, or for each second one
                where waiting threads would take the processors from other programs.
            grammar: A grammar in llama.cpp's GBNF that every answer follows.
            pull: Fetch the model if it is not there.
            timeout: Longest wait for a token, in seconds.
            data_dir: The folder below which downloaded models are.
            run: Stops a download, and gets its progress.

        Raises:
            SettingsError: The model is missing, or a value unusable.
        """
        if not model:
            raise SettingsError(
                "generator 'llama' needs generator.model, a GGUF file or a model's name on the hub"
            )
        least = {
            "max_tokens": max_tokens,
            "context_window": context_window,
            "parallel": parallel,
            "threads": 1 if threads is None else threads,
        }
        for name, value in least.items():
            if value < 1:
                raise SettingsError(f"{name} must be at least 1, not {value}")
        if timeout <= 0:
            raise SettingsError("timeout must be above 0")
        self.answer_tokens = max_tokens
        self._model = model
        self._temperature = temperature
        self._wanted_window = context_window
        self._parallel = parallel
        self._threads = threads or _threads()
        self._grammar = grammar
        self._fetches = pull
        self._timeout = timeout
        self._data_dir = data_dir
        self._run = run or Run()
        self._file = Lazy(self._find)
        self._loaded = Lazy(self._load)

    def prepare(self, run: Run) -> None:
        """Fetch the model if it is missing and may be fetched, and load it."""
        language_models.find(self._model, self._data_dir, fetch=self._fetches, run=run)
        run.call(self._loaded.get)

    def context_tokens(self) -> int:
        """Return the smaller of the model's and the settings' context length.

        Raises:
            ModelNotFoundError: The model is not there.
            SettingsError: The file holds no language model.
            ComponentError: The file is damaged.
        """
        return min(self._wanted_window, self._file.get().header.context_length)

    def count_prompt_tokens(self, messages: Sequence[Message]) -> int:
        """Return the tokens of a prompt in the model's chat template, by its own tokenizer."""
        return self._loaded.get().count_prompt_tokens(messages)

    def generate(self, prompt: Prompt) -> Generator[str, None, None]:
        """Yield the answer as the model writes it; closing it stops the generation."""
        check("answering")
        with closing(self._loaded.get().generate(prompt)) as pieces:
            yield from pieces

    def close(self) -> None:
        """Unload the model."""
        loaded = self._loaded.take()
        if loaded is not None:
            loaded.close()

    def _find(self) -> GgufModel:
        found = language_models.find(
            self._model, self._data_dir, fetch=self._fetches, run=self._run
        )
        return read_model(found.path)

    def _load(self) -> _LoadedModel:
        model, window = self._file.get(), self.context_tokens()
        context = self._parallel * -(-window // _CONTEXT_STEP) * _CONTEXT_STEP
        needed = model.size + context * model.header.cache_bytes + _BUFFERS
        available = available_memory()
        if available is not None and needed > available:
            raise ComponentError(
                "llama",
                _LOADING,
                f"'{self._model}' needs about {needed >> 20:,} MB of memory, of which "
                f"{available >> 20:,} MB are free: use a smaller model, or lower "
                "generator.options.context_window or generator.options.parallel",
            )
        params = xllamacpp.CommonParams()
        params.model.path = str(model.files[0])
        params.n_ctx, params.n_parallel = context, self._parallel
        params.n_batch = params.n_ubatch = _BATCH
        for threads in (params.cpuparams, params.cpuparams_batch):
            threads.n_threads = self._threads
        loaded = _LoadedModel(
            params, self._model, self._temperature, self.answer_tokens, self._timeout
        )
        loaded.grammar = self._grammar
        return loaded


class _LoadedModel(OpenAIGenerator):
    """A model in memory, and llama.cpp's server in this process."""

    component = "llama"
    remedy = "start the program again"
    grammar: str | None = None

    def __init__(
        self, params: Any, model: str, temperature: float, max_tokens: int, timeout: float
    ) -> None:
        """Load the model.

        Raises:
            ComponentError: llama.cpp cannot load it.
        """
        folder = tempfile.mkdtemp(prefix="kvasir-llama-")
        key = secrets.token_urlsafe()
        path = f"{folder}/llama.sock"
        is_usable = hasattr(socket, "AF_UNIX") and len(path.encode()) <= _LONGEST_SOCKET
        self._socket = path if is_usable else None
        params.hostnames, params.port = [self._socket or "127.0.0.1"], 0
        params.api_keys = [key]
        params.verbosity = _SILENT
        params.ui = params.endpoint_slots = params.fit_params = params.warmup = False
        # Otherwise up to 8 GB of earlier prompts are kept beside those of the slots.
        params.cache_ram_mib = 0
        served: list[Any] = []
        self._unload = weakref.finalize(self, _unload, served, folder)
        try:
            served.append(xllamacpp.Server(params))
        except RuntimeError as error:
            self._unload()
            raise ComponentError(
                self.component,
                _LOADING,
                f"llama.cpp cannot load {params.model.path}: the file is damaged, or this version "
                f"({version('xllamacpp')}) does not know its architecture",
            ) from error
        address = "http://localhost" if self._socket else served[0].listening_address
        super().__init__(
            model,
            address,
            key,
            temperature,
            max_tokens,
            timeout=timeout,
            retries=0,
            backoff=0.0,
        )

    def count_prompt_tokens(self, messages: Sequence[Message]) -> int:
        """Return the tokens of messages in the model's chat template."""
        body = {"messages": chat_messages(messages)}
        found = "".join(self._lines("/chat/completions/input_tokens", body, "counting tokens"))
        return int(json.loads(found)["input_tokens"])

    def close(self) -> None:
        """Unload the model; answers that are generated break off."""
        super().close()
        self._unload()

    def _make_client(self, headers: Mapping[str, str]) -> httpx.Client:
        # Without the environment's proxies: the server is in this process.
        transport = httpx.HTTPTransport(uds=self._socket)
        return httpx.Client(headers=headers, transport=transport, trust_env=False)

    def _body(self, prompt: Prompt) -> dict[str, Any]:
        grammar = {"grammar": self.grammar} if self.grammar else {}
        return super()._body(prompt) | grammar

    def _failure(self, operation: str, cause: str, kind: str = "failed") -> ComponentError:
        return ComponentError(self.component, operation, self._clean(cause), kind=kind)


def _threads() -> int:
    return processors() if threads_wait_passively else max(1, processors() // 2)


def _unload(served: list[Any], folder: str) -> None:
    """Stop the server, which frees the model, and remove the folder of its socket."""
    served.clear()
    shutil.rmtree(folder, ignore_errors=True)
