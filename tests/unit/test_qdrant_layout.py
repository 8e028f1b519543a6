"""How chunks and filters are said to Qdrant."""

from __future__ import annotations

import math

import pytest

from kvasir.components.stores.qdrant_points import chunk_of, metadata_payload, payloads_of, tag
from kvasir.testing.store_cases import make_chunk


def test_equal_entries_and_only_those_have_equal_tags():
    same = [("a", 1), ("a", 1.0)]
    others = [
        ("a", "1"),
        ("a", True),
        ("a", 2**53 + 1),
        ("a", float(2**53)),
        ("a", 1.5),
        ("a", "True"),
        ("a", ""),
        ("a", "x" * 10_000),
        ("a", "x" * 10_001),
        ("a", "nul\0"),
        ("a", "nul"),
        ("a=s:b", "c"),
        ("a", "b=s:c"),
        ("a%3Ds:b", "c"),
        ("", "a"),
        ("A", 1),
        ("a" * 300, "b"),
        ("a" * 301, "b"),
        ("a", math.inf),
        ("a", -math.inf),
    ]
    assert len({tag(*entry) for entry in same}) == 1
    assert len({tag(*entry) for entry in [same[0], *others]}) == 1 + len(others)
    assert max(len(tag(*entry)) for entry in others) <= 200


@pytest.mark.parametrize("value", [2**70, -(2**64), math.inf, 0.1, 10**18, True, "é", -0.0])
def test_metadata_that_json_cannot_hold_come_back_exactly(value):
    chunk = make_chunk(1, metadata={"before": 1, "value": value})
    (payload,) = payloads_of([chunk])
    again = chunk_of(chunk.id, payload)
    assert again == chunk
    assert type(again.metadata["value"]) is type(value)


@pytest.mark.parametrize("value", [632 / 7, 1e300, 4051629833211970.0, 1e-9, 5e-324])
def test_floats_that_the_engine_would_read_back_inexactly_are_kept_apart(value):
    payload = metadata_payload({"price": value, "year": 1999, "rate": 0.25})
    assert payload["metadata"] == {"year": 1999, "rate": 0.25}
    assert payload["numbers"] == {"price": value, "year": 1999.0, "rate": 0.25}


def test_only_numbers_that_can_be_compared_are_kept_for_ranges():
    metadata = {"a b": 1, "ok": 2.5, "yes": True, "text": "3", "far": math.inf, "large": 2**80}
    assert metadata_payload(metadata)["numbers"] == {"hex-612062": 1.0, "ok": 2.5}
