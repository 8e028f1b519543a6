"""How much memory, disk, time and how many processes a load needs: a model of measured figures.

The figures are those of ``bench/RESULTS.md`` (the default model and store on two cores: of a Xeon
with AMX, and for the speed of ``bf16`` of an AMD EPYC). Memory and disk grow with the chunks in a
straight line, the slowest searches with their logarithm; the lines go through the measured points
at 10,000 and 300,000 chunks. Waiting is that of a queue with several servers (Erlang 1917). A test
holds the predictions against measured points that were not used here.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from kvasir.core.protocols import Embedder

Kind = Literal["search", "answer"]

TOKENS_PER_SECOND: Mapping[str, float] = {"amx": 42_630, "bf16": 12_840, "avx2": 6_930}
"""Of the default model on two cores, by what the processor computes with.

``amx`` is the speed of embedding alone, ``bf16`` that of a whole ingest (26,326 passages in 254 s
on an AMD EPYC), ``avx2`` an estimate: 1.3 times sentence-transformers. Processors of one kind
differ by a factor of two and more, so that a machine's own figure (``tokens_per_second``) is better
where it is to be had.
"""
CHUNKS_WRITTEN_PER_SECOND = 5_372
WORDS_PER_CHUNK, TOKENS_PER_WORD = 90, 1.35
"""Of English text by the default splitter."""
CPU_SECONDS: Mapping[str, float] = {"search": 0.015, "answer": 0.057}
"""Processor time of a whole request; an answer is one without a language model."""
SECONDS_PER_DAY = 86_400
MOST_BUSY = 0.7
"""Share of the processors that is used at the peak; beyond, waiting grows quickly."""
_FIT = (10_000, 300_000)
_DISK_MB = (104.0, 1_222.0)
_STORE_MB = (154.0, 1_202.0)
_PEAK_MB = (740.0, 3_080.0)
_SEARCH_P99 = (0.00405, 0.00721)
_LEAST_CHUNKS = 1_000
_MEASURED_TOGETHER = 64
_MEASURED_SECONDS = 3.0
_TEXT = """
    The harvest of green tea begins in spring, when young leaves are soft, and each basket is
    weighed before noon. Then the leaves rest on bamboo trays until their moisture has gone, and the
    master of the house turns them by hand over a low fire, because heat ends the fermentation.
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What is to be served.

    Attributes:
        documents: Number of documents.
        words: Words of a document, on average.
        requests_per_day: Requests.
        peak: The busiest hour's rate by the daily mean.
        kind: What a request is.
        cores: Processor cores of a server process's machine.
        tokens_per_second: What a machine embeds.
    """

    documents: int
    requests_per_day: float
    words: int = 600
    peak: float = 5.0
    kind: Kind = "search"
    cores: int = 2
    tokens_per_second: float = TOKENS_PER_SECOND["bf16"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a load needs.

    Attributes:
        chunks: Passages.
        disk_mb: Of the index.
        store_mb: Memory of the store, mapped files included.
        memory_mb: Most memory of a process that searches and ingests.
        ingest_seconds: For all documents, by one machine.
        requests_per_second: At the peak.
        processes: Server processes that take the peak, each on ``cores``.
        p99_seconds: The slowest of a hundred requests at the peak, without a language model.
    """

    chunks: int
    disk_mb: float
    store_mb: float
    memory_mb: float
    ingest_seconds: float
    requests_per_second: float
    processes: int
    p99_seconds: float


def plan(load: Load) -> Plan:
    """Return what a load needs."""
    chunks = load.documents * max(1, math.ceil(load.words / WORDS_PER_CHUNK))
    rate = load.requests_per_day / SECONDS_PER_DAY * load.peak
    needed = rate * CPU_SECONDS[load.kind] / (load.cores * MOST_BUSY)
    processes = max(1, math.ceil(needed))
    # Each process has a queue of its own.
    waiting = waiting_p99(rate / processes, CPU_SECONDS[load.kind], load.cores)
    others = CPU_SECONDS[load.kind] - CPU_SECONDS["search"]
    return Plan(
        chunks,
        _line(_DISK_MB, chunks),
        _line(_STORE_MB, chunks),
        _line(_PEAK_MB, chunks),
        ingest_seconds(chunks, load.tokens_per_second),
        rate,
        processes,
        search_p99(chunks) + others + waiting,
    )


def ingest_seconds(chunks: int, tokens_per_second: float) -> float:
    """Return the seconds for embedding and writing chunks; reading goes on beside that."""
    tokens = chunks * WORDS_PER_CHUNK * TOKENS_PER_WORD
    return tokens / tokens_per_second + chunks / CHUNKS_WRITTEN_PER_SECOND


def tokens_per_second(embedder: Embedder, clock: Callable[[], float] = time.perf_counter) -> float:
    """Return how many tokens of English an embedder embeds in a second on this machine.

    It takes some three seconds, after the first call, which loads the model.
    """
    embedder.embed_documents(_passages(0))
    started, seconds, calls = clock(), 0.0, 0
    while seconds < _MEASURED_SECONDS:
        calls += 1
        embedder.embed_documents(_passages(calls))
        seconds = clock() - started
    return calls * _MEASURED_TOGETHER * WORDS_PER_CHUNK * TOKENS_PER_WORD / seconds


def _passages(seed: int) -> list[str]:
    """Return passages of the usual length."""
    choose, words = random.Random(seed), _TEXT.split()
    return [" ".join(choose.choices(words, k=WORDS_PER_CHUNK)) for _ in range(_MEASURED_TOGETHER)]


def search_p99(chunks: int) -> float:
    """Return the seconds of the slowest of a hundred searches that wait for no other."""
    low, high = _SEARCH_P99
    steps = math.log10(max(chunks, _LEAST_CHUNKS) / _FIT[0]) / math.log10(_FIT[1] / _FIT[0])
    return max(low / 2, low + (high - low) * steps)


def waiting_p99(rate: float, seconds: float, servers: int) -> float:
    """Return how long the slowest of a hundred requests waits for a processor.

    Source: Erlang's formula C for requests that come at random and take a random time.
    """
    if rate <= 0:
        return 0.0
    busy = rate * seconds
    if busy >= servers:
        return math.inf
    # Erlang's formula B by its recursion, which does not overflow.
    blocked = 1.0
    for count in range(1, servers + 1):
        blocked = busy * blocked / (count + busy * blocked)
    share = servers * blocked / (servers - busy * (1 - blocked))
    if share <= 0.01:
        return 0.0
    return math.log(share / 0.01) / (servers / seconds - rate)


def _line(values: tuple[float, float], chunks: int) -> float:
    low, high = values
    slope = (high - low) / (_FIT[1] - _FIT[0])
    return max(0.0, low + slope * (chunks - _FIT[0]))
