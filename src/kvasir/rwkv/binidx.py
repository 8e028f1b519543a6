r"""Training data in the format of RWKV's trainers: a ``.bin`` of tokens, an ``.idx`` of documents.

The index is ``MMIDIDX\0\0``, the version 1 (u64), the type of tokens (u8, 8 is uint16), the
numbers of documents n and of document bounds m = n + 1 (u64), n sizes in tokens (int32), n places
in bytes (int64), and the m bounds 0..n (int64), all little-endian. The ``.bin`` has the tokens as
uint16; each document ends with 0.
Source: https://github.com/BlinkDL/RWKV-LM, RWKV-v5/src/binidx.py; Megatron-LM's indexed dataset
"""

from __future__ import annotations

import json
import struct
from codecs import BOM_UTF8
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache, partial
from itertools import chain, islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kvasir.core.errors import ComponentError, RequestError
from kvasir.core.operating_system import children_without_interrupts
from kvasir.core.run import Run
from kvasir.core.services.tuning import LONGEST_LINE
from kvasir.rwkv.tokenizer import END_OF_DOCUMENT, VOCABULARY, WorldTokenizer

Tokens = NDArray[np.uint16]

_MAGIC = b"MMIDIDX\x00\x00"
_HEADER = "<9sQBQQ"
_UINT16 = 8
_LINES = 256
"""Lines that a process tokenizes at a time."""


def prepare(
    sources: Iterable[Path],
    target: Path,
    *,
    vocabulary: Path = VOCABULARY,
    processes: int = 1,
    run: Run | None = None,
) -> int:
    """Write the texts of JSONL files as ``TARGET.bin`` and ``TARGET.idx``; return their number.

    Each line is ``{"text": "..."}``. The result does not depend on the number of processes. Files
    are written under other names first, so that an interrupted run leaves none. The caller sees to
    it that no two runs write one target.

    Raises:
        RequestError: A line has no text, or there is none; names file and line.
        ComponentError: A process has ended.
        StoppedError: The run was stopped.
    """
    run = run or Run()
    made = [_with_ending(target, ending) for ending in (".bin", ".idx")]
    partial_bin, partial_idx = (_with_ending(each, ".partial") for each in made)
    sizes: list[int] = []
    try:
        with partial_bin.open("wb") as stream:
            for tokens in _tokenized(read_texts(sources), vocabulary, processes):
                run.stop.raise_if_set()
                stream.write(tokens.tobytes())
                sizes.append(len(tokens))
                if len(sizes) % _LINES == 0:
                    run.report("tokenizing", len(sizes), 0, "documents")
        if not sizes:
            raise RequestError("there is no text in the files")
        _write_index(partial_idx, sizes)
        # An older index must never stand beside newer tokens, not even after a crash.
        made[1].unlink(missing_ok=True)
        partial_bin.replace(made[0])
        partial_idx.replace(made[1])
    finally:
        partial_bin.unlink(missing_ok=True)
        partial_idx.unlink(missing_ok=True)
    return len(sizes)


def _with_ending(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def read_texts(sources: Iterable[Path]) -> Iterator[str]:
    """Yield the texts of JSONL files.

    Raises:
        RequestError: A line has no text, or is too long.
    """
    for source in sources:
        with source.open("rb") as stream:
            for number, line in enumerate(iter(lambda: stream.readline(LONGEST_LINE + 1), b""), 1):
                if len(line) > LONGEST_LINE:
                    raise RequestError(
                        f"{source}:{number} has more than {LONGEST_LINE >> 20} MB: split the text"
                    )
                content = line.removeprefix(BOM_UTF8) if number == 1 else line
                if not content.strip():
                    continue
                try:
                    text = json.loads(content.decode())["text"]
                except (ValueError, TypeError, KeyError, RecursionError):
                    text = None
                if not isinstance(text, str):
                    form = '{"text": "..."} in UTF-8'
                    raise RequestError(f"{source}:{number} is not of the form {form}")
                yield text


def _tokenized(texts: Iterable[str], vocabulary: Path, processes: int) -> Iterator[Tokens]:
    waiting = iter(texts)
    parts = iter(lambda: tuple(islice(waiting, _LINES)), ())
    encode: Callable[[tuple[str, ...]], list[Tokens]] = partial(_encode, vocabulary)
    if processes == 1:
        yield from chain.from_iterable(map(encode, parts))
        return
    # Not forked: this process may have threads.
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        running: deque[Future[list[Tokens]]] = deque()
        try:
            for part in parts:
                with children_without_interrupts():
                    running.append(pool.submit(encode, part))
                if len(running) > 2 * processes:
                    yield from running.popleft().result()
            while running:
                yield from running.popleft().result()
        except BrokenProcessPool as error:
            why = "a process ended, such as for lack of memory: use fewer processes"
            raise ComponentError("rwkv", "tokenizing", why) from error
        finally:
            pool.shutdown(cancel_futures=True)


_tokenizers: dict[Path, WorldTokenizer] = {}


def _encode(vocabulary: Path, texts: tuple[str, ...]) -> list[Tokens]:
    if vocabulary not in _tokenizers:
        _tokenizers[vocabulary] = WorldTokenizer(vocabulary)
    encode = _tokenizers[vocabulary].encode
    return [np.array([*encode(text), END_OF_DOCUMENT], dtype="<u2") for text in texts]


def _write_index(path: Path, sizes: list[int]) -> None:
    lengths = np.array(sizes, dtype="<i4")
    places = np.zeros(len(sizes), dtype="<i8")
    np.cumsum(lengths[:-1], dtype="<i8", out=places[1:])
    with path.open("wb") as stream:
        count = len(sizes)
        stream.write(struct.pack(_HEADER, _MAGIC, 1, _UINT16, count, count + 1))
        stream.write(lengths.tobytes())
        stream.write((places * 2).tobytes())
        stream.write(np.arange(count + 1, dtype="<i8").tobytes())


class Documents:
    """The documents of a ``.bin`` and its ``.idx``, mapped into memory."""

    def __init__(self, path: Path) -> None:
        """Read the index; ``path`` is that of either file, or without its ending.

        Raises:
            ComponentError: A file is missing, damaged or cut off.
        """
        self.path = path.with_suffix("") if path.suffix in (".bin", ".idx") else path
        index, tokens = (_with_ending(self.path, ending) for ending in (".idx", ".bin"))
        try:
            data = index.read_bytes()
            self._tokens: Any = np.memmap(tokens, dtype="<u2", mode="r")
        except (OSError, ValueError) as error:
            raise _damaged(self.path, error) from error
        start = struct.calcsize(_HEADER)
        try:
            magic, version, kind, count, bounds = struct.unpack_from(_HEADER, data)
            if (magic, version, kind, bounds) != (_MAGIC, 1, _UINT16, count + 1):
                raise ValueError("it has another format")
            self._sizes = np.frombuffer(data, "<i4", count, start)
            self._places = np.frombuffer(data, "<i8", count, start + 4 * count) // 2
            np.frombuffer(data, "<i8", bounds, start + 12 * count)
        except (struct.error, ValueError, OverflowError) as error:
            raise _damaged(index, error) from error
        if (self._sizes < 0).any() or (self._places < 0).any():
            raise _damaged(index, "it has a document of negative length or place")
        if (self._places + self._sizes > len(self._tokens)).any():
            raise _damaged(tokens, "it is cut off")
        if self._sizes.sum(dtype=np.int64) != len(self._tokens):
            raise _damaged(index, "it belongs to other tokens than those beside it")

    def __len__(self) -> int:
        return len(self._sizes)

    @property
    def longest(self) -> int:
        """Tokens of the longest document; 0 if there is none."""
        return int(self._sizes.max(initial=0))

    def __getitem__(self, number: int) -> list[int]:
        start = int(self._places[number])
        found: list[int] = self._tokens[start : start + int(self._sizes[number])].tolist()
        return found


def longest_document(path: Path) -> int:
    """Return a bound of the tokens of the longest document of a JSONL file or of prepared data.

    A token of a JSONL file has a byte at least, so its longest line is one.
    """
    if path.suffix not in (".jsonl", ".json"):
        return Documents(path).longest
    status = path.stat()
    return _longest_line(path, status.st_mtime_ns, status.st_size)


@lru_cache
def _longest_line(path: Path, changed: int, size: int) -> int:
    del changed, size  # A file that has changed is read again.
    with path.open("rb") as stream:
        return max(map(len, stream), default=0)


def _damaged(path: Path, why: object) -> ComponentError:
    return ComponentError("rwkv", "reading training data", f"{path}: {why}")
