"""Read the header of GGUF files, and choose one of several in a folder.

A GGUF file holds a language model for llama.cpp: tensors, tokenizer, chat template and context
length. Only the header is read, which takes milliseconds.
Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

from kvasir.core.errors import ComponentError, ModelNotFoundError, SettingsError

SUFFIX = ".gguf"
PREFERRED = ("Q4_K_M", "Q4_K_S", "Q4_0", "Q4_1", "Q5_K_M", "Q5_K_S", "Q6_K", "Q8_0", "BF16", "F16")
"""Words in the names of files, the best compromise of size and quality first."""

_MAGIC = b"GGUF"
_LONGEST = 1 << 26
"""Bytes of a text or entries of an array beyond which a header is damaged."""
_MOST_DIMENSIONS = 8
"""Of a tensor; ggml knows 4."""
_STRING, _ARRAY = 8, 9
_SCALARS = {
    0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d",
}  # fmt: skip
_BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210),
    16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110),
    22: (256, 82), 23: (256, 136), 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66),
    39: (32, 17),
}  # fmt: skip
"""Values and bytes of a block, by the number of a tensor's type."""
_PART = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z0-9_]+")


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """The header of a file: its metadata, and the bytes that the file must have."""

    metadata: dict[str, Any]
    """Values by key; None for an array."""
    needed: int

    @property
    def architecture(self) -> str:
        """The name of the model's architecture, such as ``llama``."""
        return str(self.metadata.get("general.architecture", ""))

    @property
    def is_language_model(self) -> bool:
        """True if it has a tokenizer and does not embed."""
        has_tokens = "tokenizer.ggml.tokens" in self.metadata
        return has_tokens and self._value("pooling_type") is None

    @property
    def context_length(self) -> int:
        """Tokens that the model was trained to read."""
        return self._value("context_length") or 2048

    @property
    def cache_bytes(self) -> int:
        """Bytes that the attention keeps of a token, in 16 bits."""
        layers, heads = self._value("block_count") or 0, self._value("attention.head_count") or 1
        of_keys = self._value("attention.head_count_kv") or heads  # Some have a list, one a layer.
        width = (self._value("embedding_length") or 0) // heads
        keys = self._value("attention.key_length") or width
        values = self._value("attention.value_length") or width
        return 2 * layers * of_keys * (keys + values)

    def _value(self, key: str) -> int | None:
        value = self.metadata.get(f"{self.architecture}.{key}")
        return value if isinstance(value, int) else None


@dataclass(frozen=True, slots=True)
class GgufModel:
    """A model in one file, or in the parts of a split one."""

    files: tuple[Path, ...]
    header: GgufHeader

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(file.stat().st_size for file in self.files)


def read_model(path: Path) -> GgufModel:
    """Read the header of a model and check that all of its files are there and whole.

    Raises:
        SettingsError: The file is not a GGUF file, or holds no language model.
        ModelNotFoundError: A part of the model is missing.
        ComponentError: A file is damaged or cut off.
    """
    files = tuple(path.with_name(name) for name in parts(path.name))
    for file in files:
        if not file.is_file():
            raise ModelNotFoundError(f"{file} is missing, a part of the model {path.name}")
    headers = [_read_header(file) for file in files]
    for file, header in zip(files, headers, strict=True):
        if (size := file.stat().st_size) < header.needed:
            raise _damaged(file, f"it is cut off: {size:,} of {header.needed:,} bytes are there")
    if not headers[0].is_language_model:
        raise SettingsError(f"{files[0]} holds no language model that writes text")
    return GgufModel(files, headers[0])


def parts(name: str) -> list[str]:
    """Return the file names of a model, given that of any part; usually only the name itself."""
    split = _PART.fullmatch(name)
    if split is None:
        return [name]
    return [f"{split[1]}-{n:05}-of-{split[3]}{SUFFIX}" for n in range(1, int(split[3]) + 1)]


def choose(names: Iterable[str]) -> str | None:
    """Return the file of a model to take out of several; None if there is no model.

    The first of ``PREFERRED`` that a name contains decides, then the order of names. Later parts of
    split models and projections of pictures (``mmproj``) are left out.
    """
    models = sorted(name for name in names if is_model(name))
    ranked = [(_rank(name), name) for name in models]
    return min(ranked)[1] if ranked else None


def find_file(folder: Path, name: str = "") -> Path | None:
    """Return the file of a model in a folder: that of a name in any case, else the chosen one."""
    files = folder.rglob(f"*{SUFFIX}")
    found = {file.relative_to(folder).as_posix(): file for file in files if file.is_file()}
    if name:
        return next((f for key, f in found.items() if key.casefold() == name.casefold()), None)
    chosen = choose(found)
    return found[chosen] if chosen else None


def is_model(name: str) -> bool:
    """Return True if a file name is that of a model, or of the first part of one."""
    last = name.rpartition("/")[2].casefold()
    split = _PART.fullmatch(last)
    first = split is None or int(split[2]) == 1
    return last.endswith(SUFFIX) and "mmproj" not in last and first


def _rank(name: str) -> int:
    words = {word.upper() for word in _WORD.findall(name)}
    return next((n for n, word in enumerate(PREFERRED) if word in words), len(PREFERRED))


def _read_header(path: Path) -> GgufHeader:
    """Return the header of one file; read once while the file does not change."""
    status = path.stat()
    return _header_of(path, status.st_size, status.st_mtime_ns)


@cache
def _header_of(path: Path, size: int, changed: int) -> GgufHeader:
    del size, changed  # They only tell versions of a file apart.
    with path.open("rb") as stream:
        if stream.read(4) != _MAGIC:
            raise SettingsError(f"{path} is not a GGUF file")
        try:
            return _Reader(stream).header()
        except (struct.error, ValueError, KeyError, MemoryError, RecursionError) as error:
            raise _damaged(path, "its header is damaged or cut off") from error


def _damaged(path: Path, why: str) -> ComponentError:
    return ComponentError("llama", "reading the model", f"{path}: {why}; fetch the file again")


class _Reader:
    """Reads a header, after the magic number."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def header(self) -> GgufHeader:
        version, tensors, entries = self._unpack("IQQ")
        if version not in (2, 3):
            raise ValueError(f"version {version}")
        metadata = {self._text(): self._value(self._number("I")) for _ in range(entries)}
        ends = [self._tensor_end() for _ in range(tensors)]
        alignment = metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment < 1:
            raise ValueError(f"an alignment of {alignment}")
        start = -(-self._stream.tell() // alignment) * alignment
        return GgufHeader(metadata, start + max(ends, default=0))

    def _tensor_end(self) -> int:
        self._text()
        dimensions = self._number("I")
        if dimensions > _MOST_DIMENSIONS:
            raise ValueError(f"a tensor of {dimensions} dimensions")
        shape = self._unpack("Q" * dimensions)
        values = 1
        for length in shape:
            values *= length
        kind, offset = self._unpack("IQ")
        # The end of a tensor of an unknown type is at least its beginning.
        count, size = _BLOCKS.get(kind, (1, 0))
        return int(offset + values // count * size)

    def _value(self, kind: int) -> Any:
        if kind == _STRING:
            return self._text()
        if kind != _ARRAY:
            return self._number(_SCALARS[kind])
        inner, length = self._unpack("IQ")
        if length > _LONGEST:
            raise ValueError(f"an array of {length}")
        if inner in _SCALARS:
            self._stream.seek(length * struct.calcsize(_SCALARS[inner]), 1)
        else:
            for _ in range(length):
                self._value(inner) if inner == _ARRAY else self._skip_text()
        return None

    def _text(self) -> str:
        return self._bytes(self._length()).decode("utf-8", "replace")

    def _skip_text(self) -> None:
        self._stream.seek(self._length(), 1)

    def _length(self) -> int:
        length: int = self._number("Q")
        if length > _LONGEST:
            raise ValueError(f"a text of {length} bytes")
        return length

    def _number(self, form: str) -> Any:
        return self._unpack(form)[0]

    def _unpack(self, form: str) -> Sequence[Any]:
        return struct.unpack(f"<{form}", self._bytes(struct.calcsize(f"<{form}")))

    def _bytes(self, count: int) -> bytes:
        data = self._stream.read(count)
        if len(data) < count:
            raise ValueError("the file ends within the header")
        return data
