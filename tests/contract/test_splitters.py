"""What holds for every splitter."""

import pytest

from kvasir.core import registry
from kvasir.testing.fakes import FakeEmbedder
from kvasir.testing.splitters import SplitterContract

WINDOWS = [
    {},
    {"split_by": "word", "split_length": 7, "split_overlap": 3, "split_threshold": 4},
    {"split_by": "sentence", "split_length": 3, "split_overlap": 1},
    {"split_by": "line", "split_length": 5},
    {"split_by": "passage", "split_length": 1},
    {"split_by": "page", "split_length": 1},
]
STRUCTURES = [
    {},
    {"max_tokens": 32, "target_tokens": 20},
    {"target_tokens": 60, "overlap_tokens": 30},
]


@pytest.mark.parametrize("options", WINDOWS, ids=str)
class TestWindowSplitter(SplitterContract):
    @pytest.fixture
    def splitter(self, options):
        return registry.build("splitters", "window", options)


@pytest.mark.parametrize("options", STRUCTURES, ids=str)
@pytest.mark.parametrize("embedder", [None, FakeEmbedder()], ids=["estimate", "counter"])
class TestStructureSplitter(SplitterContract):
    @pytest.fixture
    def splitter(self, options, embedder):
        return registry.build("splitters", "structure", options, {"embedder": embedder})
