"""Builds a shard's search graph (HNSW) in a process of its own.

The engine's ``optimize`` blocks and holds the interpreter's lock until the graph is finished,
half a minute and more, so it must not run in a process that answers questions. Here a child process
of low priority runs it on a copy of the shard's folder; ``qdrant_shard`` makes the copy and
puts the result into use.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Self

from qdrant_edge import (
    Distance,
    EdgeConfig,
    EdgeOptimizersConfig,
    EdgeShard,
    EdgeSparseVectorParams,
    EdgeVectorParams,
    HnswIndexConfig,
    Memory,
    Modifier,
    ScalarQuantizationConfig,
    ScalarType,
)

from kvasir.components.stores.qdrant_points import BM25, DENSE
from kvasir.core.child_process import arguments, environment, module_command

GRAPH_M = 16
"""Edges of a node; what these three values reach: docs/decisions/0007."""
GRAPH_EF_CONSTRUCT = 128
SEARCH_EF = 256
"""Of 50 candidates it misses 0.2 % where a question is like the texts, 5 % where it is not;
with 128 that is 0.7 % and 11 % (docs/decisions/0007)."""

_QUANTILE = 0.99
"""Share of the numbers that one byte tells apart; the few beyond are cut off."""
_PLAIN_SCAN = 20_000
"""Up to so many vectors, all or those that fulfil a filter, are compared one by one: 1 ms."""
BACKGROUND = 15
"""Niceness of a build that nobody waits for."""
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of Linux


class GraphBuildError(Exception):
    """The child process ended without a graph."""


def edge_config(dimension: int, threads: int = 1) -> EdgeConfig:
    """Return the engine's configuration of a collection.

    Args:
        dimension: Length of the dense vectors.
        threads: How many build the graph.
    """
    bytes_of_a_vector = 4 * dimension
    return EdgeConfig(
        vectors={DENSE: EdgeVectorParams(size=dimension, distance=Distance.Cosine)},
        sparse_vectors={BM25: EdgeSparseVectorParams(modifier=Modifier.Idf)},
        # The graph is walked over one byte a number in two thirds of the time, and built in half.
        quantization_config=ScalarQuantizationConfig(
            ScalarType.Int8, quantile=_QUANTILE, memory=Memory.Pinned
        ),
        # The number of search threads stays the engine's: with one, searches keep writers out.
        hnsw_config=HnswIndexConfig(
            m=GRAPH_M,
            ef_construct=GRAPH_EF_CONSTRUCT,
            full_scan_threshold=max(1, _PLAIN_SCAN * bytes_of_a_vector // 1024),
            max_indexing_threads=threads,
            # No graphs of their own for common values of the metadata: what they would gain is
            # compared one by one anyway, and at 300,000 chunks they took ten minutes and 4 GB.
            payload_m=0,
        ),
        # One segment with a graph and one for what was written since: more would be searched
        # one after the other. The threshold says that whatever is copied gets its graph.
        optimizers=EdgeOptimizersConfig(default_segment_number=1, indexing_threshold=1),
    )


class GraphBuild:
    """One run of the child process, which ends at the latest with the ``with`` block."""

    def __init__(self, shard: Path, dimension: int, threads: int, niceness: int) -> None:
        """Start building the graph of a shard that nobody else has open."""
        module = "kvasir.components.stores.qdrant_edge_graph"
        self._child = subprocess.Popen(
            module_command(module, shard, dimension, threads, niceness, os.getpid()),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment(),
        )

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """End the child process if it still runs, and wait for its end."""
        self._child.kill()
        self._child.__exit__(None, None, None)

    def wait(self) -> None:
        """Return when the graph is built and on disk.

        Raises:
            GraphBuildError: It could not be built; gives the child's last words.
        """
        pipe = self._child.stderr
        said = pipe.read() if pipe else b""
        if self._child.wait() != 0:
            last = said.decode("utf-8", "replace").strip().splitlines()[-1:] or ["no message"]
            raise GraphBuildError(f"exit code {self._child.returncode}: {last[0]}")

    def stop(self) -> None:
        """End the child process; ``wait`` then raises."""
        self._child.kill()


def _build(shard: str, dimension: int, threads: int, niceness: int, parent: int) -> None:
    """Run the child process."""
    if sys.platform == "linux":
        # An owner that is killed cannot stop its child. Elsewhere the child finishes in vain:
        # the next owner removes the folder.
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
        if os.getppid() != parent:
            raise SystemExit("the owner of the index is gone")
    if hasattr(os, "nice"):
        os.nice(niceness)
    opened = EdgeShard.load(shard, edge_config(dimension, threads))
    opened.optimize()
    opened.flush()
    opened.close()


if __name__ == "__main__":
    path, *numbers = arguments()
    _build(path, *map(int, numbers))
