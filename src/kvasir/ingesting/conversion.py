"""Converts documents to docling JSON files, which can be ingested.

A file keeps its path below the given folder: when ``docs`` is converted, ``docs/a/report.docx``
becomes ``a/report.docx.json`` in the target folder. Files are written completely or not at all.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from kvasir.core.errors import (
    ExtractionError,
    KvasirError,
    RequestError,
    StoppedError,
    describe_unexpected,
)
from kvasir.core.media_types import by_name
from kvasir.core.protocols import Converter
from kvasir.core.reports import ConversionReport, Converted, Failed
from kvasir.core.run import Run
from kvasir.core.types import Conversion, Source
from kvasir.ingesting.local_files import read_file
from kvasir.ingesting.sources import Discovery, Fetch, Input, discover, is_address

CONVERTING = "converting"
"""The stage that is reported."""


def convert(
    inputs: Iterable[Input],
    to: Path,
    converter: Converter,
    *,
    fetch: Fetch,
    max_bytes: int,
    run: Run | None = None,
) -> ConversionReport:
    """Convert files, the files of folders, and addresses.

    The target folder is an absolute path; it is created if missing, and files in it are not
    converted. Files of more than ``max_bytes`` are refused. The run can be stopped within a
    document, too: then the report lists the rest in ``left``.

    Raises:
        StoppedError: The run was stopped while it listed the sources.
        RequestError: There is nothing to convert, or the folder cannot be written to.
    """
    run = run or Run()
    found = discover(inputs, stop=run.stop)
    own = str(to) + os.sep
    sources = [uri for uri in found.items if not uri.startswith(own)]
    report = ConversionReport()
    report.failed += [replace(lost, reason="unreadable") for lost in found.missing]
    if not sources and not report.failed:
        raise RequestError("there is no file to convert; name files, or folders that hold some")
    _make_folder(to)
    taken: dict[Path, str] = {}
    for done, uri in enumerate(sources):
        path = to / _name(uri, found)
        try:
            run.step(CONVERTING, done, len(sources), "documents")
            if path in taken:
                raise ExtractionError(
                    "conflict",
                    f"'{taken[path]}' has the same name: convert one of them to another folder",
                )
            taken[path] = uri
            conversion = run.call(partial(_convert, uri, converter, fetch, max_bytes))
            _write(path, conversion.json)
        except RequestError as error:
            report.failed.append(Failed(uri, getattr(error, "reason", "unreadable"), str(error)))
        except StoppedError:
            report.interrupted = True
            report.left = sources[done:]
            break
        except (KvasirError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - parsers of hostile files raise anything
            detail = describe_unexpected(error)
            message = f"it is damaged and cannot be converted ({detail}); open it and save it again"
            report.failed.append(Failed(uri, "malformed", message))
        else:
            report.converted.append(Converted(uri, path, conversion.warnings))
    run.report(CONVERTING, len(sources) - len(report.left), len(sources), "documents")
    return report


def _convert(uri: str, converter: Converter, fetch: Fetch, max_bytes: int) -> Conversion:
    source, data = fetch(uri) if is_address(uri) else _read(uri, max_bytes)
    return converter.convert(source, data)


def _name(uri: str, found: Discovery) -> PurePosixPath:
    """Return the path of a source's JSON file in the target folder."""
    if is_address(uri):
        parts = urlsplit(uri)
        return PurePosixPath(f"{PurePosixPath(unquote(parts.path)).name or parts.hostname}.json")
    path = Path(uri)
    above = [Path(folder) for folder in found.folders if path.is_relative_to(folder)]
    # If nested folders were given, the outer one keeps more of the path.
    root = min(above, key=lambda folder: len(folder.parts), default=path.parent)
    return PurePosixPath(f"{path.relative_to(root).as_posix()}.json")


def _read(uri: str, max_bytes: int) -> tuple[Source, bytes]:
    try:
        return Source(uri, by_name(uri)), read_file(uri, max_bytes)
    except OSError as error:
        message = f"it cannot be read ({error.strerror}): check its permissions"
        raise ExtractionError("unreadable", message) from error


def _make_folder(to: Path) -> None:
    try:
        to.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"cannot make the folder '{to}' ({error.strerror}): choose another"
        raise RequestError(message) from error


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, "utf-8")
        partial.replace(path)
    except OSError as error:
        raise RequestError(f"cannot write '{path}' ({error.strerror})") from error
    finally:
        with suppress(OSError):
            partial.unlink()
