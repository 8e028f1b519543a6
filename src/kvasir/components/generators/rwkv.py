"""An RWKV-6 or RWKV-7 model in this process: PyTorch, on the processor or CUDA.

The model keeps a state of fixed size instead of all tokens. Prompts have the passages first, and
the state after each passage is kept on disk, so that a question costs only its own tokens when its
passages were read before. Answers of several threads are written in one batch. Embedder and
reranker ``rwkv`` use the same weights if they name the same file.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from kvasir.core.deadline import check
from kvasir.core.errors import ComponentError, SettingsError
from kvasir.core.leases import Lazy
from kvasir.core.pieces import CutReason, Incomplete
from kvasir.core.run import Run
from kvasir.core.types import Message, Prompt
from kvasir.models.rwkv_files import find_rwkv, named_path
from kvasir.rwkv.bases import AUTO
from kvasir.rwkv.batching import Request
from kvasir.rwkv.composition import APPROXIMATE, PassageReader, passage_numbers
from kvasir.rwkv.engine import Engine
from kvasir.rwkv.promotion import promoted_files
from kvasir.rwkv.prompts import (
    STOPS,
    SYSTEM,
    TEMPLATE,
    Renumbering,
    best_supported,
    check_template,
    segments,
    stable_order,
)
from kvasir.rwkv.sampling import Sampling
from kvasir.rwkv.state import State
from kvasir.rwkv.state_cache import prefix_keys, stored
from kvasir.rwkv.tuned import TunedBase, cache_of, load_tuned

PREFIX, ROWS, COMPOSED = "prefix", "rows", "composed"
READINGS = (PREFIX, ROWS, COMPOSED)
_CONTEXT = 4096
"""Tokens of prompt and answer if the name of the file does not say it."""
_NAMED_CONTEXT = re.compile(r"ctx(\d{3,7})")
_TURN_TOKENS = 8
"""Most tokens that a turn needs beside its text."""


@dataclass(frozen=True, slots=True)
class _Files:
    model: str
    state: str | None
    adapter: str | None
    tuned: str | None


@dataclass(frozen=True, slots=True)
class _Loaded:
    tuned: TunedBase
    engine: Engine


class RwkvGenerator:
    """Generates answers with an RWKV model."""

    def __init__(
        self,
        model: str = "",
        state: str | None = None,
        adapter: str | None = None,
        tuned: str | None = None,
        device: str | None = None,
        precision: str = AUTO,
        temperature: float = 0.0,
        top_p: float = 1.0,
        presence_penalty: float = 0.0,
        frequency_penalty: float = 0.0,
        penalty_decay: float = 0.996,
        seed: int | None = None,
        max_tokens: int = 512,
        context_window: int | None = None,
        parallel: int = 8,
        stop: Sequence[str] = STOPS,
        template: str = TEMPLATE,
        system: str = SYSTEM,
        reading: str = PREFIX,
        cache_mb: int = 2048,
        cache_precision: str = "f16",
        data_dir: Path | None = None,
    ) -> None:
        """Set the model; it is loaded for the first answer, or by ``prepare``.

        Args:
            model: A ``.pth`` or safetensors file, a folder with one, or ``OWNER/NAME/FILE`` of what
                was downloaded.
            state: A tuned state (State-Tune) of the model.
            adapter: A LoRA or PiSSA adapter of the model.
            tuned: A folder of tuning, whose promoted state or adapter is used, if there is one.
            device: ``cpu``, ``cuda``, ``cuda:1``, ...; by default CUDA where there is one.
            precision: ``f32``, ``bf16``, ``f16``, or ``auto``: bf16 on CUDA, f32 elsewhere.
            temperature: 0 for the likeliest words.
            top_p: Only the likeliest tokens that together have this probability are drawn.
            presence_penalty: Makes tokens that were written less likely.
            frequency_penalty: Makes them less likely with each time.
            penalty_decay: Part of that count that is left with each later token.
            seed: Makes answers repeatable at a temperature above 0.
            max_tokens: Most tokens of an answer.
            context_window: Tokens of prompt and answer that the model is used for; by default what
                it was trained with, if the name of its file says it, else 4096.
            parallel: Answers that are written at the same time; others wait.
            stop: An answer ends before the first of these texts.
            template: The prompt with ``{{system}}``, ``{{context}}``, ``{{history}}`` and
                ``{{question}}``.
            system: What ``{{system}}`` stands for.
            reading: ``prefix``: the passages one after the other. ``rows``: each passage alone, and
                of the answers the one that has most support. ``composed``: each passage alone, and
                one answer from the composed states, which is approximate.
            cache_mb: Most megabytes of the states kept on disk; 0 keeps none.
            cache_precision: ``f32``, ``f16`` or ``int8``.
            data_dir: The folder below which models and kept states are.

        Raises:
            SettingsError: The model is missing, or a value unusable.
        """
        if not model:
            raise SettingsError("generator 'rwkv' needs generator.model, an RWKV model's file")
        window = 1 if context_window is None else context_window
        if min(max_tokens, parallel, window) < 1:
            raise SettingsError("max_tokens, context_window and parallel must be at least 1")
        if reading not in READINGS:
            raise SettingsError(f"reading must be {', '.join(READINGS)}, not '{reading}'")
        check_template(template)
        self.answer_tokens = max_tokens
        self.approximation = APPROXIMATE if reading == COMPOSED else ""
        self._reloading = threading.Lock()
        if tuned and (state or adapter):
            raise SettingsError("tuned takes the place of state and adapter: set one of them")
        self._files = _Files(model, state, adapter, tuned)
        self._device, self._precision = device, precision
        self._sampling = Sampling(
            temperature, top_p, presence_penalty, frequency_penalty, penalty_decay, seed
        )
        self._window = context_window
        self._parallel = parallel
        self._stops = tuple([stop] if isinstance(stop, str) else stop)
        self._template, self._system, self._reading = template, system, reading
        self._data_dir = data_dir
        self.cache = cache_of(data_dir, "generator", cache_mb, cache_precision)
        self._use(self._files)

    def _use(self, files: _Files, loaded: _Loaded | None = None) -> None:
        self._files = files
        self._path = Lazy(lambda: find_rwkv(files.model, self._data_dir))
        self._loaded = Lazy(lambda: loaded or self._load(files))

    def prepare(self, run: Run) -> None:
        """Load the model."""
        run.call(self._loaded.get)

    def reload(
        self, model: str | None = None, state: str | None = None, adapter: str | None = None
    ) -> None:
        """Load other files and use them from then on, as ``Reloadable.reload``.

        A folder of tuning is read again if neither state nor adapter is named.
        """
        with self._reloading:
            files = replace(self._files, model=model or self._files.model)
            if state is not None or adapter is not None:
                files = replace(
                    files,
                    state=files.state if state is None else state or None,
                    adapter=files.adapter if adapter is None else adapter or None,
                    tuned=None,
                )
            loaded, former = self._load(files), self._loaded
            self._use(files, loaded)
            self._loaded.get()
            if (old := former.take()) is not None:
                old.engine.retire()

    def model_fingerprint(self) -> str:
        """Return the fingerprint of base, state and adapter."""
        return self._loaded.get().tuned.fingerprint

    def prompt_tokens(self) -> Mapping[str, int]:
        """Return the tokens of prompts so far; nothing if no states are kept."""
        if not self.cache.keeps:
            return {}
        return {"kept": self.cache.kept_tokens, "read": self.cache.read_tokens}

    def context_tokens(self) -> int:
        """Return the tokens of prompt and answer.

        Raises:
            ModelNotFoundError: The model is not there.
        """
        if self._window is not None:
            return self._window
        named = _NAMED_CONTEXT.search(self._path.get().name)
        return int(named[1]) if named else _CONTEXT

    def count_prompt_tokens(self, messages: Sequence[Message]) -> int:
        """Return the most tokens that messages have in a prompt."""
        tokenizer = self._loaded.get().tuned.base.tokenizer
        return sum(len(tokenizer.encode(m.content)) + _TURN_TOKENS for m in messages)

    def generate(self, prompt: Prompt) -> Generator[str, None, None]:
        """Yield the answer as the model writes it; closing it stops the generation."""
        check("answering")
        loaded = self._loaded.get()
        order = stable_order(prompt.hits)
        if self._reading == ROWS and len(order) > 1:
            yield from self._best_of_rows(loaded, prompt)
            return
        if self._reading == COMPOSED and order:
            numbers = dict(zip(passage_numbers(prompt.hits), range(len(order)), strict=True))
            request = self._composed(loaded, prompt, numbers)
        else:
            numbers = dict(enumerate(order, 1))
            request = self._request(loaded, segments(prompt, self._template, self._system, order))
        renumbering, is_first = Renumbering(numbers), True
        end: Incomplete | None = None
        with closing(loaded.engine.write(request)) as pieces:
            for piece in pieces:
                if isinstance(piece, Incomplete):
                    end = piece
                text = renumbering.feed(piece.lstrip() if is_first else piece)
                is_first = is_first and not piece.strip()
                if text:
                    yield text
        if rest := renumbering.finish():
            yield rest
        if end is not None:
            yield end

    def _best_of_rows(self, loaded: _Loaded, prompt: Prompt) -> Generator[str, None, None]:
        """Yield the answer that has most support, of one for each passage."""
        requests = []
        for hit in prompt.hits:
            own = replace(prompt, hits=(hit,))
            parts = segments(own, self._template, self._system, [0])
            requests.append(replace(self._request(loaded, parts), is_scored=True))
        answers = loaded.engine.write_together(requests)
        best = best_supported([(each.text, each.score) for each in answers])
        numbers = Renumbering({1: best})
        yield (numbers.feed(answers[best].text) + numbers.finish()).lstrip()
        if answers[best].is_cut:
            yield Incomplete(CutReason.LENGTH)

    def _composed(self, loaded: _Loaded, prompt: Prompt, numbers: Mapping[int, int]) -> Request:
        """Return what is to be read after the composed states of the passages."""
        tuned, parts = loaded.tuned, list[list[str]]()
        for number, place in numbers.items():
            own = replace(prompt, hits=(prompt.hits[place],))
            parts.append(segments(own, self._template, self._system, [0], number))
        encode = tuned.base.tokenizer.encode
        (before, _, rest), passages = parts[0], [encode(passage) for _, passage, _ in parts]
        reader = PassageReader(tuned.base.model, tuned.state, self.cache, tuned.identity)
        try:
            with tuned.applied():
                state = reader.read(encode(before), passages)
        except (RuntimeError, ArithmeticError) as error:
            raise ComponentError("generator 'rwkv'", "reading the passages", error) from error
        self.cache.count(0, len(encode(rest)))
        return self._asked(encode(rest), state)

    def close(self) -> None:
        """Unload the model, unless another component uses it; answers break off."""
        loaded = self._loaded.take()
        if loaded is not None:
            loaded.engine.close()

    def _request(self, loaded: _Loaded, parts: Sequence[str]) -> Request:
        """Return what is still to be read after the longest prefix that is kept."""
        tokens = [loaded.tuned.base.tokenizer.encode(part) for part in parts]
        state = loaded.tuned.state
        keys = prefix_keys(loaded.tuned.identity, tokens[:-1])
        done, found = self.cache.longest(keys)
        state = found.moved(state) if found else state
        rest = tokens[done:]
        self.cache.count(sum(map(len, tokens[:done])), sum(map(len, rest)))
        asked = self._asked([token for part in rest for token in part], state)
        marks = _ends(rest[:-1])
        return replace(asked, marks=marks, reached=stored(self.cache, keys[done:], marks))

    def _asked(self, tokens: Sequence[int], state: State) -> Request:
        return Request(tokens, self.answer_tokens, state, self._sampling, self._stops)

    def _load(self, files: _Files) -> _Loaded:
        path = find_rwkv(files.model, self._data_dir)
        state, adapter = files.state, files.adapter
        if files.tuned:
            state, adapter = promoted_files(named_path(files.tuned))
        tuned = load_tuned(
            str(path),
            self._data_dir,
            state=state,
            adapter=adapter,
            device=self._device,
            precision=self._precision,
        )
        base = tuned.base
        if not hasattr(base.model.head, "weight"):
            raise SettingsError(f"{path} is an embedding model, which cannot write answers")
        return _Loaded(tuned, Engine(base, tuned.adapter, rows=self._parallel))


def _ends(parts: Sequence[Sequence[int]]) -> list[int]:
    """Return the number of tokens after each part."""
    ends, total = [], 0
    for part in parts:
        total += len(part)
        ends.append(total)
    return ends
