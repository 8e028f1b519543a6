"""Fixtures of unit tests."""

import pytest
from ingest_world import World


@pytest.fixture
def world(tmp_path):
    made = World(tmp_path / "docs")
    yield made
    made.catalog.close()
