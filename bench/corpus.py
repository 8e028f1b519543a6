"""What the benchmarks of stores write and ask, and how they measure: the same for every store.

Vectors are 384-dimensional around cluster centres, texts have 60 words of a Zipf distribution.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kvasir.core.types import Chunk, Matrix, chunk_id, document_id

DIMENSION = 384
WORDS = 60
BATCH = 500
QUERIES = 200
VOCABULARY = 50_000


class Corpus:
    """Chunks and vectors made from seeds: the same for the same size."""

    def __init__(self, size: int) -> None:
        self.size = size
        rng = np.random.default_rng(size)
        self._centres = rng.normal(size=(max(10, size // 200), DIMENSION)).astype(np.float32)
        syllables = [a + b for a in "bdfgklmnprstvz" for b in ("a", "e", "i", "o", "u", "an", "er")]
        picks = rng.integers(0, len(syllables), (VOCABULARY, 4))
        self._words = [
            "".join(syllables[i] for i in row[: 2 + n % 3]) for n, row in enumerate(picks)
        ]
        weights = 1 / np.arange(1, VOCABULARY + 1)
        self._odds = weights / weights.sum()

    def vectors(self, seed: int, count: int) -> Matrix:
        """Return vectors [count, dimension] around the centres."""
        rng = np.random.default_rng((self.size, seed))
        near = self._centres[rng.integers(0, len(self._centres), count)]
        made = near + rng.normal(size=(count, DIMENSION)).astype(np.float32)
        return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)

    def texts(self, seed: int, count: int, words: int) -> list[str]:
        """Return texts of so many words."""
        rng = np.random.default_rng((self.size, seed))
        rows = rng.choice(VOCABULARY, size=(count, words), p=self._odds)
        return [" ".join(self._words[i] for i in row) for row in rows]

    def batches(self) -> Iterator[tuple[list[Chunk], Matrix]]:
        """Yield all chunks with their vectors."""
        for start in range(0, self.size, BATCH):
            count = min(BATCH, self.size - start)
            texts = self.texts(start, count, WORDS)
            chunks = [make_chunk(start + i, text) for i, text in enumerate(texts)]
            yield chunks, self.vectors(start, count)

    def queries(self) -> tuple[Matrix, list[str]]:
        """Return query vectors and texts that are not in the corpus."""
        return self.vectors(-1 % 2**32, QUERIES), self.texts(-2 % 2**32, QUERIES, 6)


def make_chunk(number: int, text: str) -> Chunk:
    """Return the chunk of a number: of one book in twenty pieces, of one shelf of books."""
    uri = f"/library/shelf-{number // 2000}/book-{number // 20}.md"
    document, start = document_id(uri), number % 20 * 400
    metadata = {
        "source_uri": uri,
        "title": f"Book {number // 20}",
        "language": ("en", "es", "vi", "zh")[number // 20 % 4],
        "year": 1900 + number // 20 % 125,
        "part": number % 20,
    }
    return Chunk(
        chunk_id(document, text, start, start + len(text)),
        document,
        text,
        start,
        start + len(text),
        number % 20 + 1,
        (f"Book {number // 20}", f"Section {number % 20}"),
        metadata,
    )


def latency(call: Callable[[int], Any], calls: int = QUERIES) -> dict[str, float]:
    """Return p50 and p99 in milliseconds, after a warm-up."""
    for i in range(min(20, calls)):
        call(i)
    return percentiles([timed(call, i) for i in range(calls)])


def timed(call: Callable[[int], Any], argument: int) -> float:
    """Return the seconds of one call."""
    start = time.perf_counter()
    call(argument)
    return time.perf_counter() - start


def percentiles(seconds: list[float]) -> dict[str, float]:
    """Return p50, p99 and the longest in milliseconds."""
    p50, p99, top = np.percentile(np.array(seconds) * 1000, [50, 99, 100])
    return {"p50": round(float(p50), 3), "p99": round(float(p99), 3), "max": round(float(top), 1)}


def memory() -> dict[str, int]:
    """Return this process's memory in MB: its own, and mapped files that can be let go."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {
        name: int(fields[key].split()[0]) // 1024
        for name, key in (("own", "RssAnon"), ("mapped", "RssFile"), ("peak", "VmHWM"))
    }
