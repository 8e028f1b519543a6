"""Runs graphs of BERT-family encoders on OpenVINO, for embedders and rerankers.

Texts are sorted by length and batched by a token budget, to limit padding. Batches run on several
streams, in bf16 where the processor has it.
"""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvasir.core.errors import ComponentError, SettingsError
from kvasir.core.machine import processors
from kvasir.core.types import Matrix
from kvasir.models.bert_graph import ov, why
from kvasir.models.encoder_files import Component
from kvasir.models.mapped_weights import Weights

PRECISIONS = ("auto", "bf16", "f32")
_MAX_STREAMS = 8


class Engine:
    """A compiled graph and a pool of its requests, shared by all threads.

    The pool grows on demand: requests are small, because the graph's streams hold the memory.
    """

    def __init__(
        self,
        graph: ov.Model,
        options: Mapping[str, str],
        parallel: int,
        weights: Weights,
        component: Component,
    ) -> None:
        """Compile a graph of ``bert_graph`` with OpenVINO's options, for ``parallel`` batches.

        Raises:
            ComponentError: OpenVINO cannot compile it.
        """
        try:
            with weights.read_in_passing():
                self._compiled = ov.Core().compile_model(graph, "CPU", dict(options))
        except RuntimeError as error:
            raise ComponentError(
                component.name,
                f"preparing the model in {weights.folder}",
                f"{why(error)}; fetch the model again, or {component.alternative}",
            ) from error
        self._component = component
        # The compiled graph reads the embeddings of tokens from the file. The other weights are
        # converted, some of them at the first call.
        self._weights = weights
        self._is_converted = False
        self._parallel = parallel
        self._free: queue.SimpleQueue[_Request] = queue.SimpleQueue()

    def start(
        self,
        inputs: Sequence[Sequence[Sequence[int]]],
        widths: Sequence[int],
        plan: Sequence[Sequence[int]],
        outputs: Matrix,
    ) -> Callable[[], None]:
        """Start computing the graph's output into ``outputs`` [rows, its size], batch by batch.

        The inputs are those of the graph without the mask: for each of them a sequence a row. A
        batch of the plan is padded to the largest of its rows' widths. The returned function
        waits for the last batch.
        """
        running: deque[tuple[_Request, Sequence[int]]] = deque()
        with self._computing(running):
            for rows in plan:
                if len(running) == self._parallel:
                    self._collect(running, outputs)
                request = self._take()
                running.append((request, rows))
                width = max(widths[row] for row in rows)
                request.start([[each[row] for row in rows] for each in inputs], width)

        def finish() -> None:
            converting = nullcontext() if self._is_converted else self._weights.read_in_passing()
            with self._computing(running), converting:
                while running:
                    self._collect(running, outputs)
            self._is_converted = True

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
                raise ComponentError(self._component.name, "inference", error) from error
            raise

    def _take(self) -> _Request:
        try:
            return self._free.get_nowait()
        except queue.Empty:
            return _Request(self._compiled)

    def _collect(self, running: deque[tuple[_Request, Sequence[int]]], outputs: Matrix) -> None:
        request, rows = running[0]
        request.inference.wait()
        outputs[rows] = request.inference.get_output_tensor(0).data
        running.popleft()
        self._free.put(request)


class _Request:
    """An inference request and its input arrays, for one batch at a time.

    The arrays stay bound from one batch to the next, which saves a tenth of a query's time.
    """

    def __init__(self, compiled: Any) -> None:
        self.inference = compiled.create_infer_request()
        self._mask = np.zeros((0, 0), np.float32)
        self._inputs: list[NDArray[np.int32]] = []

    def start(self, inputs: Sequence[Sequence[Sequence[int]]], width: int) -> None:
        """Start computing a batch, padded to a width: for each input, a sequence a row."""
        rows = inputs[0]
        if self._mask.shape != (len(rows), width):
            self._mask = np.zeros((len(rows), width), np.float32)
            self._inputs = [np.zeros((len(rows), width), np.int32) for _ in inputs]
            for number, array in enumerate([self._mask, *self._inputs]):
                self.inference.set_input_tensor(number, ov.Tensor(array, shared_memory=True))
        for index, row in enumerate(rows):
            self._mask[index, : len(row)] = 1.0
            self._mask[index, len(row) :] = 0.0
        for array, values in zip(self._inputs, inputs, strict=True):
            for index, row in enumerate(values):
                array[index, : len(row)] = row
                array[index, len(row) :] = 0
        self.inference.start_async()


def check_options(precision: str, batch_tokens: int, streams: int | None) -> None:
    """Raise SettingsError for an unknown precision, and for numbers below 1."""
    if precision not in PRECISIONS:
        raise SettingsError(f"precision must be one of {', '.join(PRECISIONS)}: '{precision}'")
    if batch_tokens < 1 or (streams is not None and streams < 1):
        raise SettingsError("batch_tokens and streams must be at least 1")


def default_streams() -> int:
    """Return the number of batches to compute at the same time: one a core, up to 8."""
    return min(processors(), _MAX_STREAMS)


def arithmetic(precision: str) -> str:
    """Return the arithmetic that a precision means on this processor, ``bf16`` or ``f32``."""
    if precision != "auto":
        return precision
    capabilities = ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "bf16" if "BF16" in capabilities else "f32"


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
