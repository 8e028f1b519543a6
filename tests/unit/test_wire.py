"""Every public type survives to JSON text and back."""

import dataclasses
import inspect
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, ClassVar, Union, get_args, get_origin, get_type_hints

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from kvasir.core import collection_records, explanations, filters, ledger, reports, types
from kvasir.core.errors import WireError
from kvasir.core.filters import COMPARISONS, Comparison, Filter, Logical, all_of, matches
from kvasir.core.run import Progress
from kvasir.core.services import (
    accounts,
    answer_cache,
    answer_log,
    jobs,
    mail,
    questions,
    tuning,
)
from kvasir.core.types import Block, BlockKind, Chunk, Document, Hit, Matrix, SparseVector
from kvasir.core.wire import OMITTED, dumps, from_json, loads, to_json

MODULES = (
    *(types, ledger, collection_records, explanations, reports),
    *(accounts, answer_cache, answer_log, jobs, mail, questions, tuning),
)
PUBLIC = [
    kind
    for module in MODULES
    for _, kind in inspect.getmembers(module, dataclasses.is_dataclass)
    # Who calls is found by the credential, and never sent.
    if kind.__module__ == module.__name__ and kind is not accounts.Caller
] + [Progress]
FEW = settings(max_examples=40, deadline=None)
TEXT = st.text(st.characters(exclude_categories=()), max_size=8)  # surrogates as well
UTF8 = st.text(max_size=8)  # a filter with surrogates is refused
SCALARS = TEXT | st.integers() | st.floats() | st.booleans()
FILTERED = UTF8 | st.integers() | st.floats() | st.booleans()


def comparisons() -> st.SearchStrategy[Comparison]:
    numbers = st.integers() | st.floats()
    return st.one_of(
        st.builds(Comparison, UTF8, st.sampled_from(("==", "!=")), FILTERED),
        st.builds(Comparison, UTF8, st.sampled_from((">", ">=", "<", "<=")), numbers),
        st.builds(
            Comparison,
            UTF8,
            st.sampled_from((">", ">=", "<", "<=")),
            st.sampled_from(("2024", "2024-03", "2024-03-15", "2024-03-15T08:30:00+01:00")),
        ),
        st.builds(Comparison, st.just("source_uri"), st.just("under"), st.just("/notes/")),
        st.builds(
            Comparison,
            UTF8,
            st.sampled_from(("in", "not in")),
            st.lists(FILTERED, max_size=3).map(tuple),
        ),
    )


FILTERS = st.recursive(
    comparisons(),
    lambda inner: st.builds(
        Logical,
        st.sampled_from(filters.LOGICAL),
        st.lists(inner, min_size=1, max_size=3).map(tuple),
    ),
    max_leaves=6,
)


def values(declared: Any) -> st.SearchStrategy[Any]:
    """Makes values of a declared type, by the same rules as ``core.wire`` reads them."""
    origin, members = get_origin(declared), get_args(declared)
    if origin in (Union, UnionType):
        return st.one_of(*map(values, members))
    if declared is Comparison:
        return comparisons()
    if declared is Logical:
        return FILTERS.filter(lambda made: isinstance(made, Logical))
    if dataclasses.is_dataclass(declared):
        hints = get_type_hints(declared)
        return st.builds(
            declared, **{f.name: values(hints[f.name]) for f in dataclasses.fields(declared)}
        )
    if origin is np.ndarray:
        dtype = np.dtype(get_args(members[1])[0])
        return arrays(
            dtype, st.tuples(st.integers(0, 3)) | st.tuples(st.integers(0, 3), st.integers(0, 3))
        )
    if origin is tuple:
        if members[-1] is Ellipsis:
            return st.lists(values(members[0]), max_size=3).map(tuple)
        return st.tuples(*map(values, members))
    if origin is list:
        return st.lists(values(members[0]), max_size=3)
    if origin is Sequence:
        return st.lists(values(members[0]), max_size=3).map(tuple)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return st.dictionaries(TEXT, values(members[1]), max_size=3)
    if isinstance(declared, type) and issubclass(declared, StrEnum):
        return st.sampled_from(declared)
    return {
        str: TEXT,
        int: st.integers(),
        float: st.floats(),
        bool: st.booleans(),
        NoneType: st.none(),
        datetime: st.datetimes(timezones=st.just(UTC) | st.none()),
        Path: st.just(Path("a/b.json")),
        Any: SCALARS,
    }[declared]


def same(left: Any, right: Any) -> bool:
    """Equality that knows arrays and NaN, and tells 1, 1.0 and True apart."""
    if isinstance(left, Mapping):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    if type(left) is not type(right):
        return False
    if isinstance(left, np.ndarray):
        equal = left.tobytes() == right.tobytes()
        return left.dtype == right.dtype and left.shape == right.shape and equal
    if dataclasses.is_dataclass(left):
        names = [each.name for each in dataclasses.fields(left)]
        return all(same(getattr(left, name), getattr(right, name)) for name in names)
    if isinstance(left, (tuple, list)):
        return len(left) == len(right) and all(map(same, left, right))
    return left == right or (isinstance(left, float) and math.isnan(left) and math.isnan(right))


def as_text_and_back(declared: Any, value: Any) -> Any:
    text = json.dumps(to_json(value, declared), allow_nan=False)
    return loads(declared, text)


@pytest.mark.parametrize("declared", PUBLIC, ids=lambda kind: kind.__name__)
@FEW
@given(st.data())
def test_every_public_type_survives_to_json_and_back(declared, data):
    value = data.draw(values(declared))
    assert same(as_text_and_back(declared, value), value)


@FEW
@given(values(types.AnswerEvent))
def test_an_event_of_an_answer_survives_with_the_name_of_its_class(event):
    assert to_json(event, types.AnswerEvent)["type"] == type(event).__name__
    assert same(as_text_and_back(types.AnswerEvent, event), event)


@pytest.mark.parametrize("declared", [Filter, Filter | None], ids=["filter", "optional"])
@FEW
@given(FILTERS)
def test_a_filter_survives_to_json_and_back(declared, condition):
    assert same(as_text_and_back(declared, condition), condition)
    assert same(as_text_and_back(declared, condition), filters.parse_filter(to_json(condition)))


@FEW
@given(st.lists(FILTERS | st.none(), max_size=3), st.dictionaries(TEXT, SCALARS, max_size=3))
def test_all_of_several_filters_holds_where_each_of_them_does(conditions, metadata):
    joined = all_of(*conditions)
    present = [each for each in conditions if each is not None]
    assert (joined is None) == (not present)
    holds = joined is None or matches(joined, metadata)
    assert holds == all(matches(each, metadata) for each in present)


def test_a_filter_is_written_in_the_syntax_of_haystack():
    condition = Logical(
        "AND", (Comparison("year", ">=", 2020), Comparison("tag", "in", ("a", "b")))
    )
    assert to_json(condition) == {
        "operator": "AND",
        "conditions": [
            {"field": "meta.year", "operator": ">=", "value": 2020},
            {"field": "meta.tag", "operator": "in", "value": ["a", "b"]},
        ],
    }
    assert {"==", "in"} < set(COMPARISONS)


def test_fields_have_the_names_that_the_types_have():
    chunk = Chunk("i", "d", "text", 0, 4, None, ("A",), {"year": 2020})
    assert to_json(Hit(chunk, 0.5)) == {
        "chunk": {
            "id": "i",
            "document_id": "d",
            "text": "text",
            "start": 0,
            "end": 4,
            "page": None,
            "headings": ["A"],
            "metadata": {"year": 2020},
        },
        "score": 0.5,
        "dense_score": None,
        "lexical_score": None,
        "box": None,
        "line": None,
        "copies": [],
    }


def test_a_field_with_a_default_may_be_left_out():
    data = {"id": "i", "document_id": "d", "text": "t", "start": 0, "end": 1}
    assert from_json(Chunk, data) == Chunk("i", "d", "t", 0, 1)


@FEW
@given(arrays(np.float32, (2, 3)))
def test_vectors_come_back_bit_by_bit(vectors):
    found = as_text_and_back(Matrix, vectors)
    assert found.tobytes() == vectors.tobytes()
    found[0] = 1.0  # can be written to


@dataclass(frozen=True, slots=True)
class Started:
    at: int


@dataclass(frozen=True, slots=True)
class Ended:
    at: int
    why: str | None = None


Event = Started | Ended


@dataclass(frozen=True, slots=True)
class Log:
    computed: ClassVar[tuple[str, ...]] = ("length",)
    events: tuple[Event, ...]
    last: Event | None = None
    details: NDArray[np.float64] | None = field(default=None, metadata=OMITTED)

    @property
    def length(self) -> int:
        return len(self.events)


def test_of_several_dataclasses_the_name_tells_which():
    assert to_json(Started(1)) == {"at": 1}
    assert to_json(Started(1), Event) == {"type": "Started", "at": 1}
    assert from_json(Event, {"type": "Ended", "at": 2}) == Ended(2)
    log = Log((Started(1), Ended(2, "done")), Ended(2))
    assert to_json(log)["last"] == {"type": "Ended", "at": 2, "why": None}
    assert as_text_and_back(Log, log) == log
    assert as_text_and_back(Log, Log(())) == Log(())
    with pytest.raises(WireError, match=r"events\.0: .*type is one of Started, Ended"):
        from_json(Log, {"events": [{"at": 1}]})


def test_computed_properties_are_written_and_omitted_fields_are_not():
    log = Log((Started(1),), details=np.zeros(3))
    assert to_json(log) == {
        "events": [{"type": "Started", "at": 1}],
        "last": None,
        "length": 1,
    }
    assert as_text_and_back(Log, log) == Log((Started(1),))


NESTED: dict[str, Any] = {"field": "a", "operator": "==", "value": 1}
for _ in range(2000):
    NESTED = {"operator": "NOT", "conditions": [NESTED]}
CHUNK = {"id": "i", "document_id": "d", "text": "t", "start": 0, "end": 1}


@pytest.mark.parametrize(
    ("declared", "data", "message"),
    [
        (Chunk, CHUNK | {"title": "x"}, "Chunk has no field title"),
        (Chunk, {"id": "i", "text": "t"}, "Chunk lacks document_id, end, start"),
        (Chunk, CHUNK | {"start": "0"}, "start: expected a whole number, not '0'"),
        (Chunk, CHUNK | {"start": True}, "start: expected a whole number, not True"),
        (Chunk, CHUNK | {"start": 1.0}, "start: expected a whole number, not 1.0"),
        (Chunk, CHUNK | {"headings": "A"}, "headings: expected an array, not 'A'"),
        (Chunk, CHUNK | {"headings": [1]}, "headings.0: expected text, not 1"),
        (Chunk, CHUNK | {"metadata": {"a": {}}}, r"metadata.a: expected str or int or float"),
        (Chunk, [CHUNK], "expected an object, not"),
        (Hit, {"chunk": CHUNK | {"end": None}, "score": 1}, "chunk.end: expected a whole"),
        (Hit, {"chunk": CHUNK, "score": "nan"}, "score: expected a number, not 'nan'"),
        (Block, {"kind": "song", "start": 0, "end": 1}, "kind: expected one of heading, parag"),
        (
            ledger.MetadataUpdate,
            {"document_id": "d", "chunk_ids": None},
            "chunk_ids: expected an array",
        ),
        (datetime, "yesterday", "expected a time in ISO 8601, not 'yesterday'"),
        (Filter, {"field": "a", "operator": "~", "value": 1}, "unknown operator '~'"),
        (Event, {"type": [], "at": 1}, "an object whose type is one of Started, Ended"),
        (float, 10**400, "expected a number"),
        (Filter, NESTED, "nested more than"),
        (Filter, "a=1", "expected an object, not 'a=1'"),
        (Logical, {"field": "a", "operator": "==", "value": 1}, "expected Logical"),
        (Matrix, {"dtype": "float64", "shape": [0], "base64": ""}, "not an array of float32"),
        (Matrix, {"dtype": "float32", "shape": [2], "base64": "AAAA"}, "not an array of float32"),
        (Matrix, [1.0, 2.0], "not an array of float32"),
        (tuple[int, int], [1], "expected an array of 2, not"),
    ],
)
def test_data_that_does_not_fit_is_refused_with_its_place(declared, data, message):
    with pytest.raises(WireError, match=message):
        from_json(declared, data)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"id": tru'])
def test_text_that_is_not_json_is_refused(text):
    with pytest.raises(WireError, match="not valid JSON"):
        loads(Chunk, text)


@pytest.mark.parametrize("value", [object(), {1: 2}, b"bytes", lambda: None])
def test_what_has_no_json_form_is_not_written_as_something_else(value):
    with pytest.raises(TypeError, match="has no JSON form"):
        dumps(value)


def test_text_is_written_as_it_is_and_numbers_in_full():
    assert dumps({"ü": 0.1 + 0.2, "n": math.nan}) == '{"ü":0.30000000000000004,"n":{"float":"nan"}}'
    assert dumps([1], indent=2) == "[\n  1\n]"


def test_blocks_and_sparse_vectors_are_read_as_their_types():
    document = Document("i", "u", "t", "text", (Block(BlockKind.LIST, 0, 4),), {"n": 1.0})
    assert as_text_and_back(Document, document) == document
    vector = SparseVector(np.array([1, 2], np.uint32), np.array([0.5, 1], np.float32))
    assert same(as_text_and_back(SparseVector, vector), vector)
