"""Forms with files: all files of a form are kept in one file on the disk until they are used.

Starlette keeps each file of less than 1 MB in memory, and opens a file of the system for each
larger one: a thousand files would take a gigabyte, or more open files than a process may have.

FastAPI takes the last of two values of one field, and no file of an unknown field. Such a form is
refused, so that no file is lost.
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any, BinaryIO, cast

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser

_MOST_FIELD_BYTES = 16 << 20
"""Of a field that is no file: a batch names thousands of documents."""


class UploadRequest(Request):
    """A request whose form may have many files."""

    def __init__(self, request: Request, fields: Mapping[str, bool]) -> None:
        """Take over a request whose body is not read yet.

        Args:
            request: The request.
            fields: The names of the form's fields; True for one that may come several times.
        """
        super().__init__(request.scope, request.receive)
        self._fields = fields

    async def form(self, **limits: Any) -> FormData:  # type: ignore[override]
        """Return the form; ``limits`` as of ``Request.form``, except that of a field's size."""
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "multipart/form-data":
            return await super().form(**limits)
        if self._form is None:
            limits |= {"max_part_size": _MOST_FIELD_BYTES}
            try:
                async with aclosing(self.stream()) as stream:
                    form = await FormParser(self.headers, stream, **limits).parse()
            except MultiPartException as error:
                raise HTTPException(400, error.message) from error
            if fault := _lost_values(form, self._fields):
                await form.close()
                raise HTTPException(400, fault)
            self._form = form
        return self._form


def _lost_values(form: FormData, fields: Mapping[str, bool]) -> str:
    """Return what is wrong with a form of which a value would be lost; empty if none would."""
    seen: set[str] = set()
    for name, value in form.multi_items():
        if name not in fields:
            if isinstance(value, UploadFile) and value.filename:
                known = ", ".join(f"'{each}'" for each in fields)
                return f"the form has no field '{name}' for a file; its fields: {known}"
        elif name in seen and not fields[name]:
            is_file = isinstance(value, UploadFile)
            hint = ": send each file in a request of its own" if is_file else ""
            return f"the field '{name}' comes twice, and takes one value{hint}"
        seen.add(name)
    return ""


class FormParser(MultiPartParser):
    """Writes the files of a form one after the other into one file."""

    def __init__(self, headers: Any, stream: AsyncIterator[bytes], **limits: Any) -> None:
        """Read nothing yet; arguments as of ``MultiPartParser``."""
        super().__init__(headers, cast(Any, stream), **limits)
        self._shared = _SharedFile()

    def on_headers_finished(self) -> None:
        """Give a file its place in the shared file."""
        super().on_headers_finished()
        upload = self._current_part.file
        if upload is not None:
            upload.file.close()
            upload.file = cast(BinaryIO, FormFile(self._shared))
            self._files_to_close_on_error[-1] = cast(Any, upload.file)


class _SharedFile:
    """A file on the disk that is deleted when the last part of it is closed."""

    def __init__(self) -> None:
        self._file: BinaryIO | None = None
        self._users = 0
        self.size = 0

    def open(self) -> None:
        if self._file is None:
            self._file = cast(BinaryIO, tempfile.TemporaryFile(prefix="kvasir-"))  # noqa: SIM115
        self._users += 1

    def close(self) -> None:
        self._users -= 1
        if self._users == 0 and self._file is not None:
            self._file.close()
            self._file, self.size = None, 0

    def append(self, data: bytes) -> None:
        assert self._file is not None
        self._file.seek(self.size)
        self._file.write(data)
        self.size += len(data)

    def read(self, start: int, size: int) -> bytes:
        assert self._file is not None
        self._file.seek(start)
        return self._file.read(size)


class FormFile(io.RawIOBase):
    """A part of the shared file; all of it is written before anything of the next one."""

    def __init__(self, shared: _SharedFile) -> None:
        """Begin where the file ends at the first write."""
        super().__init__()
        shared.open()
        self._shared = shared
        self._start = self._size = self._position = 0

    def writable(self) -> bool:
        """Return True."""
        return True

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: Any) -> int:
        """Append bytes."""
        if not self._size:
            self._start = self._shared.size
        self._shared.append(data)
        self._size += len(data)
        self._position = self._size
        return len(data)

    def readinto(self, buffer: Any) -> int:
        """Read the next bytes of this part."""
        most = min(len(buffer), self._size - self._position)
        data = self._shared.read(self._start + self._position, most) if most > 0 else b""
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place, counted from the beginning of this part."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        """Return the place."""
        return self._position

    def close(self) -> None:
        """Give up this part; a second call does nothing."""
        if not self.closed:
            self._shared.close()
        super().close()
