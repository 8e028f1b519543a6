"""Build a shard's search graph (HNSW) in a child process.

The engine's ``optimize`` holds the interpreter's lock until the graph is finished, half a minute or
more. So a child process of low priority runs it on a copy of the shard's folder;
``qdrant_edge_shard`` makes the copy and switches to the result.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Self

import qdrant_edge as edge

from kvasir.components.stores.qdrant_edge_opening import end_with_owner
from kvasir.components.stores.qdrant_points import BM25, DENSE
from kvasir.core.environment import arguments, environment, module_command

GRAPH_M = 16
"""Edges of a node. Measured with the next two: docs/decisions/0007."""
GRAPH_EF_CONSTRUCT = 128
SEARCH_EF = 256
"""Misses 0.2 % of 50 candidates where questions resemble the texts, else 5 %; 128: 0.7, 11 %."""

_QUANTILE = 0.99
"""Share of the numbers that quantization keeps apart; the others are cut off."""
_PLAIN_SCAN = 20_000
"""Up to this many vectors, after the filter, are scanned: 1 ms."""
_SEARCH_THREADS = 3
"""A search has work for two: a part with the graph and one for later chunks."""
BACKGROUND = 15
"""Niceness of a build in the background."""


class GraphBuildError(Exception):
    """The child process ended without a graph."""


def edge_config(dimension: int, threads: int = 1) -> edge.EdgeConfig:
    """Return the engine's configuration of a collection; ``threads`` build the graph."""
    bytes_of_a_vector = 4 * dimension
    return edge.EdgeConfig(
        vectors={DENSE: edge.EdgeVectorParams(size=dimension, distance=edge.Distance.Cosine)},
        sparse_vectors={BM25: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)},
        # One byte a number: searches take two thirds of the time, and building takes half.
        quantization_config=edge.ScalarQuantizationConfig(
            edge.ScalarType.Int8, quantile=_QUANTILE, memory=edge.Memory.Pinned
        ),
        # With one thread, searches keep writers out; with the engine's eight, they wake each other
        # for nothing, a third of a search's processor time.
        max_search_threads=_SEARCH_THREADS,
        hnsw_config=edge.HnswIndexConfig(
            m=GRAPH_M,
            ef_construct=GRAPH_EF_CONSTRUCT,
            full_scan_threshold=max(1, _PLAIN_SCAN * bytes_of_a_vector // 1024),
            max_indexing_threads=threads,
            # No extra graphs for metadata values: at 300,000 chunks they took ten minutes and
            # 4 GB, and the scan of filtered chunks is fast enough.
            payload_m=0,
        ),
        # One segment with a graph and one for later chunks: segments are searched one by one.
        # The threshold lets every copy get its graph. Whatever was deleted is left out of it, with
        # its terms.
        optimizers=edge.EdgeOptimizersConfig(
            default_segment_number=1,
            indexing_threshold=1,
            deleted_threshold=1e-9,
            vacuum_min_vector_number=1,
        ),
    )


class GraphBuild:
    """One run of the child process, which the end of the ``with`` block kills."""

    def __init__(self, shard: Path, dimension: int, threads: int, niceness: int) -> None:
        """Start building the graph of a shard that is not open elsewhere."""
        module = "kvasir.components.stores.qdrant_edge_graph"
        self._child = subprocess.Popen(
            module_command(module, shard, dimension, threads, niceness, os.getpid()),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment(),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._child.kill()
        self._child.__exit__(None, None, None)

    def wait(self) -> None:
        """Return when the graph is on disk; raise ``GraphBuildError`` if it cannot be built."""
        pipe = self._child.stderr
        output = pipe.read() if pipe else b""
        if self._child.wait() != 0:
            last = output.decode("utf-8", "replace").strip().splitlines()[-1:] or ["no message"]
            raise GraphBuildError(f"exit code {self._child.returncode}: {last[0]}")

    def stop(self) -> None:
        """End the child process; ``wait`` then raises."""
        self._child.kill()


def _build(shard: str, dimension: int, threads: int, niceness: int, parent: int) -> None:
    """Run the child process."""
    # A killed owner cannot stop its child. On other systems the child finishes, and the next owner
    # removes the folder.
    end_with_owner(parent)
    if hasattr(os, "nice"):
        os.nice(niceness)
    opened = edge.EdgeShard.load(shard, edge_config(dimension, threads))
    opened.optimize()
    opened.flush()
    opened.close()


if __name__ == "__main__":
    path, *numbers = arguments()
    _build(path, *map(int, numbers))
