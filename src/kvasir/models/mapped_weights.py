"""The weights of an encoder, mapped from its safetensors files rather than read.

All graphs of a model share the mapped pages, and so do all processes. A weight that is no aligned
float32 is converted.

Source: https://github.com/huggingface/safetensors, "Format".
"""

from __future__ import annotations

import json
import mmap
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from kvasir.core.errors import ModelNotFoundError
from kvasir.models.encoder_files import Component
from kvasir.models.local import weight_files

_MARK = "embeddings.word_embeddings.weight"
"""Every encoder has a tensor whose name ends so; what stands before is the names' prefix."""
_READING_SECONDS = 0.01
_LENGTH_BYTES = 8
"""Bytes of the header's length, before it."""


class Weights:
    """Returns tensors, float32, by their names below the model's prefix."""

    def __init__(self, folder: Path, component: Component) -> None:
        """Map the weights of a folder for a component.

        Raises:
            ModelNotFoundError: They are missing or broken.
        """
        self.folder = folder
        files = [file for file in weight_files(folder) if file.suffix == ".safetensors"]
        if not files:
            raise ModelNotFoundError(
                f"{folder} holds no safetensors weights, which the {component.name} needs; "
                f"{component.alternative}"
            )
        try:
            self._files = [_File(file) for file in files]
        except SafetensorError as error:
            raise ModelNotFoundError(
                f"the weights in {folder} are broken ({error}); fetch the model again"
            ) from error
        self._where = {name: file for file in self._files for name in file.names}
        found = (name.removesuffix(_MARK) for name in self._where if name.endswith(_MARK))
        self._prefix = next(found, "")
        parent = self._prefix.removesuffix(".").rpartition(".")[0]
        self._head_prefix = f"{parent}." if parent else ""

    def __call__(self, name: str) -> NDArray[np.float32]:
        """Return a tensor; raise ModelNotFoundError if there is none of this name."""
        return self._read(self._prefix + name)

    def head(self, name: str) -> NDArray[np.float32]:
        """Return a tensor that stands beside the encoder, as ``__call__`` those of the encoder."""
        return self._read(self._head_prefix + name)

    def has_head(self, name: str) -> bool:
        """Return True if a tensor of this name stands beside the encoder."""
        return self._head_prefix + name in self._where

    def _read(self, name: str) -> NDArray[np.float32]:
        # Weights converted from TensorFlow keep its names for layer norms.
        other = name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta")
        full = name if name in self._where else other
        if full not in self._where:
            raise ModelNotFoundError(
                f"the weights in {self.folder} lack '{name}'; fetch the model again"
            )
        return self._where[full].tensor(full)

    def release(self) -> None:
        """Give the pages back that were read; what is needed again is read again."""
        for file in self._files:
            file.release()

    @contextmanager
    def read_in_passing(self) -> Iterator[None]:
        """Release the pages again and again, while the caller has all weights read once."""
        done = threading.Event()

        def release() -> None:
            while not done.wait(_READING_SECONDS):
                self.release()

        thread = threading.Thread(target=release, name="weights", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            self.release()


class _File:
    def __init__(self, path: Path) -> None:
        # The library checks the header, and reads what cannot be mapped.
        opened: Any = safe_open(path, framework="numpy")
        self._handle = opened
        self.names: list[str] = list(self._handle.keys())
        # Pages that nobody writes to stay those of the file. OpenVINO takes no read-only array.
        with path.open("rb") as file:
            self._pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        self._content = np.frombuffer(self._pages, np.uint8)
        length = int.from_bytes(self._content[:_LENGTH_BYTES].tobytes(), "little")
        self._first = _LENGTH_BYTES + length
        self._header = json.loads(self._content[_LENGTH_BYTES : self._first].tobytes())

    def release(self) -> None:
        if hasattr(mmap, "MADV_DONTNEED"):
            self._pages.madvise(mmap.MADV_DONTNEED)

    def tensor(self, name: str) -> NDArray[np.float32]:
        entry = self._header[name]
        begin, end = (self._first + offset for offset in entry["data_offsets"])
        if entry["dtype"] == "F32":
            mapped = self._content[begin:end].view("<f4").reshape(entry["shape"])
            if mapped.flags.aligned:
                return np.asarray(mapped)
        if entry["dtype"] == "BF16":
            # The upper half of a float32, for which numpy has no type.
            halves = self._content[begin:end].copy().view("<u2").astype(np.uint32)
            return (halves << 16).view(np.float32).reshape(entry["shape"])
        return np.asarray(self._handle.get_tensor(name), dtype=np.float32)
