"""What the version before ``core/wire.py`` stored is read; the texts are what it wrote."""

import json
import math

from kvasir.components.stores import qdrant_points, tagged_rows
from kvasir.core.types import Chunk

METADATA = {"source_uri": "/a.md", "title": "Ä", "year": 2020, "ratio": 0.5, "draft": False}
CHUNK = Chunk("i", "d", "text", 3, 7, 2, ("A", "B"), METADATA)
RECORD = (
    '{"document_id":"d","start":3,"end":7,"page":2,"headings":["A","B"],"metadata":'
    '{"source_uri":"/a.md","title":"Ä","year":2020,"ratio":0.5,"draft":false}}'
)


def test_the_record_of_a_chunk_in_milvus_and_chroma_is_what_it_was():
    assert tagged_rows.record(CHUNK) == RECORD
    assert tagged_rows.chunk("i", "text", RECORD) == CHUNK


def test_numbers_that_are_not_finite_were_written_as_python_spells_them():
    record = (
        '{"document_id":"d","start":0,"end":1,"page":null,"headings":[],"metadata":'
        '{"x":NaN,"y":-Infinity}}'
    )
    found = tagged_rows.chunk("i", "t", record)
    assert math.isnan(found.metadata["x"])
    assert found.metadata["y"] == -math.inf
    again = tagged_rows.record(found)
    json.loads(again, parse_constant=lambda word: 1 / 0)  # now it is JSON for every parser
    assert tagged_rows.chunk("i", "t", again).metadata["y"] == -math.inf


def test_the_payload_of_a_point_in_qdrant_is_what_it_was():
    (payload,) = qdrant_points.payloads_of([CHUNK])
    assert {name: payload[name] for name in qdrant_points.CHUNK_FIELDS} == {
        "document_id": "d",
        "text": "text",
        "start": 3,
        "end": 7,
        "page": 2,
        "headings": ["A", "B"],
        "metadata": METADATA,
        "exact": None,
    }
    assert qdrant_points.chunk_of("i", payload) == CHUNK


def test_a_payload_with_gaps_and_exact_numbers_is_read():
    payload = {
        "document_id": "d",
        "text": "t",
        "start": 0,
        "end": 1,
        "page": None,
        "headings": None,
        "metadata": {"a": "x"},
        "exact": '{"big": 123456789012345678901234567890, "inf": Infinity}',
    }
    expected = {"a": "x", "big": 123456789012345678901234567890, "inf": math.inf}
    assert qdrant_points.chunk_of("i", payload) == Chunk("i", "d", "t", 0, 1, metadata=expected)
