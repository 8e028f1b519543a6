"""The JSON form of every public type, derived from its fields and their types.

    dataclass          object of its fields under their own names
    tuple, list        array
    Mapping            object
    Enum, Path         text
    datetime           text in ISO 8601
    numpy array        ``{"dtype": "float32", "shape": [2, 3], "base64": "..."}``, little-endian,
                       which keeps every bit of a vector
    float              a number; ``{"float": "nan"}``, ``"inf"`` or ``"-inf"``, which JSON lacks
    Filter             Haystack's filter syntax, as ``core.filters`` reads and writes it

If a field is a union of several dataclasses, its object has the additional entry ``"type"``, the
name of the class. Two declarations change the form of a class:

- ``computed``, a class variable, names properties that are written, too, and ignored in reading;
- ``field(metadata=OMITTED)`` leaves out a field that has a default.

``from_json`` refuses wrong types, missing fields and unknown fields.
"""

from __future__ import annotations

import base64
import json
import math
import reprlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime
from enum import Enum
from functools import cache
from pathlib import PurePath
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints, overload

from kvasir.core.errors import FilterError, WireError
from kvasir.core.filters import NOT_FINITE, Comparison, Logical, parse_filter, to_mapping

OMITTED = {"omitted": True}
"""Metadata of a dataclass field that the JSON form leaves out."""

_TYPE = "type"
_FILTERS = (Comparison, Logical)
_SCALARS = {str: "text", int: "a whole number", bool: "true or false", NoneType: "null"}
_CONTAINERS: dict[Any, str] = {dict: "an object", list: "an array", str: "text"}
_ARRAY = ("numpy", "ndarray")
"""Module and name of arrays; numpy is imported only if there are any."""
_TOO_LARGE = 2**1023
"""Integers from here on may not fit into a float."""

T = TypeVar("T")
Decoder = Callable[[Any], Any]


def to_json(value: Any, declared: Any = None) -> Any:
    """Return a value as plain data: dict, list, str, int, finite float, bool and None.

    Its declared type is needed only for a union of dataclasses, to write ``"type"``.

    Raises:
        TypeError: The value has no JSON form.
    """
    return _encode(value, _is_tagged(declared))


@overload
def from_json(declared: type[T], data: Any) -> T: ...
@overload
def from_json(declared: Any, data: Any) -> Any: ...
def from_json(declared: Any, data: Any) -> Any:
    """Return the value of a type from the plain data that ``to_json`` made of it.

    Raises:
        WireError: The data does not fit the type; the message names the place.
    """
    return _decoder(declared)(data)


def dumps(value: Any, *, indent: int | None = None) -> str:
    """Return ``to_json(value)`` as JSON text; compact if no indent is given."""
    separators = (",", ":") if indent is None else None
    return json.dumps(
        to_json(value), ensure_ascii=False, allow_nan=False, indent=indent, separators=separators
    )


@overload
def loads(declared: type[T], text: str | bytes) -> T: ...
@overload
def loads(declared: Any, text: str | bytes) -> Any: ...
def loads(declared: Any, text: str | bytes) -> Any:
    """Return the value of a type from JSON text.

    Raises:
        WireError: The text is not JSON, or does not fit the type.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WireError(f"not valid JSON: {error}") from error
    try:
        return from_json(declared, data)
    except RecursionError:
        raise WireError("it is nested too deeply") from None


def _encode(value: Any, tagged: bool = False) -> Any:
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is float:
        return value if math.isfinite(value) else {"float": str(value)}
    if kind in _FILTERS:
        return to_mapping(value)
    if is_dataclass(kind):
        form = {name: _encode(getattr(value, name), tag) for name, tag in _written(kind)}
        return {_TYPE: kind.__name__, **form} if tagged else form
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("a mapping whose keys are not text has no JSON form")
        return {str(key): _encode(item, tagged) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_encode(item, tagged) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, PurePath):
        return str(value)
    if (kind.__module__, kind.__name__) == _ARRAY:
        raw = value.astype(value.dtype.newbyteorder("<")).tobytes()
        content = base64.b64encode(raw).decode("ascii")
        return {"dtype": value.dtype.name, "shape": list(value.shape), "base64": content}
    raise TypeError(f"{kind.__name__} has no JSON form")


@cache
def _written(kind: type) -> tuple[tuple[str, bool], ...]:
    """Return the written names of a dataclass, and whether their objects have a ``"type"``."""
    hints = get_type_hints(kind)
    names = [each.name for each in fields(kind) if "omitted" not in each.metadata]
    computed: Iterable[str] = getattr(kind, "computed", ())
    return (*((name, _is_tagged(hints[name])) for name in names), *((n, False) for n in computed))


def _is_tagged(declared: Any) -> bool:
    """Return True if a type is or contains a union of several dataclasses."""
    members = get_args(declared)
    return (_is_union(declared) and len(_classes(members)) > 1) or any(map(_is_tagged, members))


def _is_union(declared: Any) -> bool:
    return get_origin(declared) in (Union, UnionType)


def _classes(members: Sequence[Any]) -> dict[str, Any]:
    found = (m for m in members if isinstance(m, type) and m not in _FILTERS)
    return {member.__name__: member for member in found if is_dataclass(member)}


@cache
def _decoder(declared: Any) -> Decoder:
    """Return the function that reads plain data as a type."""
    origin, members = get_origin(declared), get_args(declared)
    if declared is Any:
        return _read_plain
    if declared in _SCALARS:
        return lambda data: data if type(data) is declared else _refuse(_SCALARS[declared], data)
    if declared is float:
        return _read_float
    if _is_union(declared):
        return _union(members)
    if declared in _FILTERS:
        return lambda data: _read_filter((declared,), data)
    if is_dataclass(declared):
        return _dataclass(declared)
    if isinstance(declared, type) and issubclass(declared, Enum):
        return _constructed(declared, f"one of {', '.join(each.value for each in declared)}")
    if declared is datetime:
        return _constructed(datetime.fromisoformat, "a time in ISO 8601")
    if isinstance(declared, type) and issubclass(declared, PurePath):
        return _constructed(declared, "a path")
    if isinstance(origin, type) and (origin.__module__, origin.__name__) == _ARRAY:
        return _array(get_args(members[1])[0])
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping(_decoder(members[1]))
    if isinstance(origin, type) and issubclass(origin, Collection):
        return _sequence(origin, members)
    raise TypeError(f"{declared} has no JSON form")


def _refuse(expected: str, data: Any) -> Any:
    raise WireError(f"expected {expected}, not {reprlib.repr(data)}")


def _is(kind: type, data: Any) -> Any:
    return data if isinstance(data, kind) else _refuse(_CONTAINERS[kind], data)


def _at(place: object, decode: Decoder, item: Any) -> Any:
    """Decode a part of a value; add the place of the part to an error."""
    try:
        return decode(item)
    except WireError as error:
        raise error.within(place) from None


def _read_plain(data: Any) -> Any:
    if isinstance(data, dict):
        if _is_not_finite(data):
            return float(data["float"])
        return {key: _read_plain(item) for key, item in data.items()}
    return [_read_plain(item) for item in data] if isinstance(data, list) else data


def _is_not_finite(data: Any) -> bool:
    is_marked = isinstance(data, dict) and data.keys() == {"float"}
    return is_marked and isinstance(data["float"], str) and data["float"] in NOT_FINITE


def _read_float(data: Any) -> float:
    if _is_not_finite(data):
        return float(data["float"])
    is_number = type(data) is float or (type(data) is int and abs(data) < _TOO_LARGE)
    return float(data) if is_number else _refuse("a number", data)


def _constructed(make: Callable[[str], Any], expected: str) -> Decoder:
    def read(data: Any) -> Any:
        try:
            return make(_is(str, data))
        except ValueError:
            return _refuse(expected, data)

    return read


def _read_filter(kinds: tuple[type, ...], data: Any) -> Any:
    try:
        found = parse_filter(_is(dict, data))
    except FilterError as error:
        raise WireError(str(error)) from error
    except RecursionError as error:
        raise WireError("the filter is nested too deeply") from error
    return found if isinstance(found, kinds) else _refuse(kinds[0].__name__, data)


def _union(members: Sequence[Any]) -> Decoder:
    classes = _classes(members)
    if len(classes) > 1:
        rest = tuple(each for each in members if each not in classes.values())
        return _tagged({name: _decoder(each) for name, each in classes.items()}, rest)
    kinds = tuple(each for each in members if each in _FILTERS)
    decoders = [_decoder(each) for each in members if each not in (NoneType, *kinds)]
    scalars = frozenset(each for each in members if each in _SCALARS or each is float)
    if kinds:
        decoders.append(lambda data: _read_filter(kinds, data))

    def read(data: Any) -> Any:
        if type(data) in scalars:
            return data
        if len(decoders) == 1:
            return decoders[0](data)
        for decode in decoders:
            try:
                return decode(data)
            except WireError:
                continue
        return _refuse(" or ".join(getattr(m, "__name__", str(m)) for m in members), data)

    return read


def _tagged(classes: Mapping[str, Decoder], rest: tuple[Any, ...]) -> Decoder:
    decode_rest = _decoder(Union[rest]) if rest else None  # noqa: UP007 - made at run time

    def read(data: Any) -> Any:
        name = data.get(_TYPE) if isinstance(data, dict) else None
        if isinstance(name, str) and name in classes:
            return classes[name]({key: data[key] for key in data if key != _TYPE})
        if decode_rest is not None:
            return decode_rest(data)
        return _refuse(f"an object whose type is one of {', '.join(classes)}", data)

    return read


def _sequence(origin: type, members: tuple[Any, ...]) -> Decoder:
    make = list if origin is list else tuple
    if origin is tuple and members[-1] is not Ellipsis:
        decoders = [_decoder(member) for member in members]

        def read_fixed(data: Any) -> Any:
            if len(_is(list, data)) != len(decoders):
                return _refuse(f"an array of {len(decoders)}", data)
            return tuple(_at(n, decoders[n], item) for n, item in enumerate(data))

        return read_fixed
    decode = _decoder(members[0])

    def read(data: Any) -> Any:
        _is(list, data)
        try:
            return make(map(decode, data))
        except WireError:
            return make(_at(n, decode, item) for n, item in enumerate(data))

    return read


def _mapping(decode: Decoder) -> Decoder:
    def read(data: Any) -> Any:
        _is(dict, data)
        try:
            return {key: decode(item) for key, item in data.items()}
        except WireError:
            return {key: _at(key, decode, item) for key, item in data.items()}

    return read


def _array(scalar: Any) -> Decoder:
    import numpy as np  # noqa: PLC0415 - most commands need no array

    dtype = np.dtype(scalar)

    def read(data: Any) -> Any:
        try:
            if data["dtype"] != dtype.name:
                raise ValueError(f"it is one of {data['dtype']}")
            raw = base64.b64decode(data["base64"], validate=True)
            found = np.frombuffer(raw, dtype.newbyteorder("<")).reshape(data["shape"])
        except (ValueError, TypeError, KeyError) as error:
            raise WireError(f"not an array of {dtype.name}: {error}") from error
        return found.astype(dtype)

    return read


def _dataclass(declared: Any) -> Decoder:
    hints = get_type_hints(declared)
    read_fields = [each for each in fields(declared) if "omitted" not in each.metadata]
    decoders = {each.name: _decoder(hints[each.name]) for each in read_fields}
    required = {f.name for f in read_fields if f.default is f.default_factory is MISSING}
    computed = frozenset(getattr(declared, "computed", ()))

    def explain(data: Any) -> Any:
        given = {key: item for key, item in _is(dict, data).items() if key not in computed}
        if unknown := given.keys() - decoders.keys():
            raise WireError(f"{declared.__name__} has no field {', '.join(sorted(unknown))}")
        if missing := required - given.keys():
            raise WireError(f"{declared.__name__} lacks {', '.join(sorted(missing))}")
        return declared(**{key: _at(key, decoders[key], item) for key, item in given.items()})

    def read(data: Any) -> Any:
        # Valid data is read without further checks, because searches read many chunks.
        try:
            return declared(**{key: decoders[key](item) for key, item in data.items()})
        except (WireError, KeyError, TypeError, AttributeError):
            return explain(data)

    return read
