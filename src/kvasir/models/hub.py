"""Download models from the Hugging Face hub into Kvasir's own folder.

huggingface_hub does the transfer (``http_get``): requests, redirects, retries and ranges. Its
``snapshot_download`` is not used, because it deletes an unfinished file when a run ends. Here such
a file is kept, and the next run goes on from there. Only the files that an encoder needs are
fetched. Each is checked against the hash that the hub states (SHA-256 for large files, git's own
SHA-1 for small ones), and a model appears in ``DATA_DIR/models`` only when it is complete.
``HF_ENDPOINT``, ``HF_HUB_OFFLINE`` and ``HF_TOKEN`` mean what they mean to huggingface_hub.
Source: https://huggingface.co/docs/hub/api, huggingface_hub 2.4
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Thread
from typing import TypeVar

import httpx2
from filelock import FileLock, Timeout
from huggingface_hub import HfApi, ModelInfo, constants, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled
from huggingface_hub.file_download import http_get
from huggingface_hub.hf_api import RepoSibling

from kvasir.core.errors import ModelNotFoundError, StoppedError
from kvasir.core.run import Run
from kvasir.models.local import NO_OWNER, PARTIAL, ModelFolder, full_names, models_dir

ENDPOINT = "https://huggingface.co"
LOCK_NOTICE_SECONDS = 1.0
"""Seconds to wait for the lock before reporting it."""
POLL_SECONDS = 0.1
"""Seconds between two reports of progress, and between two looks at whether to stop."""
JOIN_SECONDS = 1.0
"""Seconds that a stopped transfer gets to close its file."""

T = TypeVar("T")

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?")
_SETTINGS = re.compile(r"(?:[\w.-]+\.json|README\.md|vocab\.txt|merges\.txt|[\w.-]+\.model)")
_STEP_SETTINGS = re.compile(r"\d+_\w+/[\w.-]+\.json")
_SAFETENSORS = re.compile(r"(?:\d+_\w+/)?model[\w.-]*\.safetensors")
_PICKLED = re.compile(r"(?:\d+_\w+/)?pytorch_model[\w.-]*\.bin")

# What arrived of a block of 10 MB, its default, is lost when the connection breaks.
constants.DOWNLOAD_CHUNK_SIZE = 1 << 16
# It logs every break and retry to the terminal, which shows the progress.
for _module in ("file_download", "utils._http"):
    logging.getLogger(f"huggingface_hub.{_module}").setLevel(logging.ERROR)


def pull(
    name: str,
    token: str | None = None,
    data_dir: Path | str | None = None,
    run: Run | None = None,
) -> ModelFolder:
    """Download a model, unless it is already complete and as the hub has it.

    Args:
        name: Its name on the hub; the owner ``sentence-transformers`` may be left out.
        token: Access token; ``HF_TOKEN`` is used without one.
        data_dir: The model goes to ``models/OWNER/NAME`` below it.
        run: Stops the download, which can be resumed: it is looked at every ``POLL_SECONDS``. Its
            progress comes in this thread while bytes arrive: the file, bytes done of the whole
            model and its size.

    Raises:
        ModelNotFoundError: The hub does not give it; says why. Never shows the token.
        StoppedError: The run was stopped.
    """
    for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        if os.environ.get(variable, "").upper() in constants.ENV_VARS_TRUE_VALUES:
            raise ModelNotFoundError(f"not asked, because {variable} is set")
    if not _NAME.fullmatch(name) or ".." in name:
        raise ModelNotFoundError(f"'{name}' is not a name on the hub (OWNER/MODEL)")
    hub = _Hub(
        os.environ.get("HF_ENDPOINT", "").rstrip("/") or ENDPOINT,
        token or os.environ.get("HF_TOKEN") or None,
    )
    task = _Task(run or Run())
    repository, listing = _look_up(hub, name, task)
    return _Download(hub, repository, listing, models_dir(data_dir), task).run()


def needed(files: Iterable[RepoSibling]) -> list[RepoSibling]:
    """Return the files that an encoder needs; pickled weights only if there are no others."""
    wanted, weights, pickled = [], [], []
    for file in sorted(files, key=lambda file: file.rfilename):
        path = file.rfilename
        if _SETTINGS.fullmatch(path) or _STEP_SETTINGS.fullmatch(path):
            wanted.append(file)
        elif _SAFETENSORS.fullmatch(path):
            weights.append(file)
        elif _PICKLED.fullmatch(path):
            pickled.append(file)
    folders = {Path(file.rfilename).parent for file in weights}
    weights += [file for file in pickled if Path(file.rfilename).parent not in folders]
    return wanted + weights


class _Hub:
    """One hub and the token for it; turns refusals into readable errors."""

    def __init__(self, endpoint: str, token: str | None) -> None:
        self.endpoint = endpoint
        # Bytes must arrive as they are stored, or ranges and sizes would not match.
        self._headers = {"user-agent": "kvasir", "Accept-Encoding": "identity"}
        self._has_token = token is not None
        if token is not None:
            self._headers["authorization"] = f"Bearer {token}"

    def model_info(self, name: str) -> ModelInfo:
        # No token: huggingface_hub would send that of its own login.
        api = HfApi(self.endpoint, token=False, headers=self._headers)
        with self._readable(name):
            return api.model_info(
                name,
                revision=constants.DEFAULT_REVISION,
                files_metadata=True,
                timeout=constants.HF_HUB_ETAG_TIMEOUT,
            )

    def fetch(self, name: str, commit: str, file: RepoSibling, part: Path, bar: _Task) -> None:
        """Append what is missing of a file, as long as every attempt brings some of it."""
        url = hf_hub_url(name, file.rfilename, revision=commit, endpoint=self.endpoint)
        while True:
            with part.open("ab") as stream:
                have = stream.tell()
                try:
                    with self._readable(name):
                        http_get(
                            url,
                            stream,
                            resume_size=have,
                            headers=self._headers,
                            expected_size=file.size,
                            tqdm_class=bar,  # type: ignore[arg-type]
                        )
                    return
                except httpx2.RequestError as error:
                    # http_get has tried again already, but not after a reset connection.
                    if stream.tell() <= have:
                        raise ModelNotFoundError(
                            f"the connection to {self.endpoint} broke at {file.rfilename} and the "
                            f"retries failed ({_reason(error)}); run it again to go on from there"
                        ) from error
                except OSError as error:
                    # Without a number it is http_get's check of the size, as the hash's is ours.
                    if error.errno is not None:
                        raise
                    return

    @contextmanager
    def _readable(self, name: str) -> Iterator[None]:
        """Explain an HTTP status; the hub answers 401 for names that do not exist, too."""
        try:
            yield
        except HfHubHTTPError as error:
            status = error.response.status_code
            if status == 401:
                why = (
                    "does not accept the token (401): make a new one in the hub's settings"
                    if self._has_token
                    else f"does not show '{name}' without a token (401): check the name, or set "
                    "rag.embedding_model.token or HF_TOKEN if the model is private or gated"
                )
            elif status == 403:
                why = (
                    f"does not let this token read '{name}' (403): accept the model's terms on "
                    "its page and give the token read access"
                )
            elif status == 404:
                why = f"has no model '{name}' (404): check the name"
            else:
                why = f"answered {status} for '{name}': try again later"
            raise ModelNotFoundError(f"{self.endpoint} {why}") from error


def _look_up(hub: _Hub, name: str, task: _Task) -> tuple[str, ModelInfo]:
    """Return the first repository of that name, and what the hub says of it.

    Raises:
        ModelNotFoundError: No such repository, or the hub cannot be asked.
    """
    failure = ModelNotFoundError(f"'{name}' is not there")
    for candidate in full_names(name):
        try:
            info = task.run(partial(hub.model_info, candidate))
        except ModelNotFoundError as error:
            failure = error
        except HFValidationError as error:
            raise ModelNotFoundError(f"'{name}' is not a name on the hub ({error})") from error
        except (httpx2.HTTPError, httpx2.InvalidURL, OfflineModeIsEnabled) as error:
            raise ModelNotFoundError(
                f"{hub.endpoint} cannot be reached ({_reason(error)})"
            ) from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ModelNotFoundError(f"{hub.endpoint} did not answer as a hub does") from error
        else:
            if info.siblings is None:
                raise ModelNotFoundError(f"{hub.endpoint} did not answer as a hub does")
            return candidate, info
    raise failure


class _Task:
    """Runs blocking work in a thread, and meanwhile reports progress and looks for a stop.

    A thread whose connection hangs is left behind; it writes nothing after the stop. The object
    also takes the place of huggingface_hub's progress bar, to count the bytes that arrive.
    """

    def __init__(self, run: Run) -> None:
        self.file = ""
        self.total = 0
        self.before = 0
        self._received = 0
        self._stopped = False
        self._run = run
        self._reported: tuple[str, int, int] | None = None

    def __call__(self, *, initial: int = 0, **_: object) -> _Task:
        """Begin a bar at the number of bytes that an earlier attempt left."""
        self._received = initial
        return self

    def __enter__(self) -> _Task:
        return self

    def __exit__(self, *_: object) -> None:
        return

    def begin(self, file: str) -> None:
        """Report the progress of this file from now on."""
        self.file, self._received = file, 0

    def update(self, count: int) -> None:
        """Count bytes before they are written."""
        if self._stopped:
            raise StoppedError
        self._received += count

    def report(self, stage: str, done: int, total: int) -> None:
        if self._reported != (stage, done, total):
            self._reported = (stage, done, total)
            self._run.download(stage, done, total)

    def check(self) -> None:
        self._run.check()

    def run(self, work: Callable[[], T]) -> T:
        """Return what the work returns, or raise what it raises."""
        outcome: Future[T] = Future()

        def target() -> None:
            try:
                outcome.set_result(work())
            except BaseException as error:  # noqa: BLE001 - raised again in the waiting thread
                outcome.set_exception(error)

        # A daemon: a connection that hangs must not keep the program from ending.
        thread = Thread(target=target, daemon=True, name="kvasir-download")
        thread.start()
        try:
            self.check()
            while not wait([outcome], POLL_SECONDS).done:
                if self.file:
                    self.report(self.file, self.before + self._received, self.total)
                self.check()
        except BaseException:
            self._stopped = True
            thread.join(JOIN_SECONDS)
            raise
        return outcome.result()


class _Download:
    """One model on its way into the models folder."""

    def __init__(self, hub: _Hub, name: str, listing: ModelInfo, root: Path, task: _Task) -> None:
        self._hub = hub
        self._name = name
        self._commit = listing.sha or constants.DEFAULT_REVISION
        self._files = needed(listing.siblings or ())
        self._target = root.joinpath(*name.split("/")) if "/" in name else root / NO_OWNER / name
        self._partial = root / PARTIAL / name.replace("/", "--")
        self._task = task
        task.total = sum(file.size or 0 for file in self._files)

    def run(self) -> ModelFolder:
        if not any(f.rfilename == "config.json" for f in self._files) or not any(
            _SAFETENSORS.fullmatch(f.rfilename) or _PICKLED.fullmatch(f.rfilename)
            for f in self._files
        ):
            raise ModelNotFoundError(f"'{self._name}' has no config.json with weights on the hub")
        self._partial.parent.mkdir(parents=True, exist_ok=True)
        with self._exclusive():
            # Another process may have fetched it while this one waited.
            if self._task.run(self._is_complete):
                self._task.report(self._name, self._task.total, self._task.total)
            else:
                self._fetch_all()
        return ModelFolder(self._name, self._target, "downloaded")

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        lock = FileLock(self._partial.with_name(self._partial.name + ".lock"))
        while not lock.is_locked:
            try:
                lock.acquire(timeout=LOCK_NOTICE_SECONDS)
            except Timeout:
                self._task.check()
                self._task.report(f"waiting for another program that fetches {self._name}", 0, 0)
        try:
            yield
        finally:
            lock.release()

    def _is_complete(self) -> bool:
        paths = [(self._target / file.rfilename, file) for file in self._files]
        return all(path.is_file() and _intact(path, file) for path, file in paths)

    def _fetch_all(self) -> None:
        self._partial.mkdir(exist_ok=True)
        self._check_space()
        for file in self._files:
            self._fetch(file)
        self._target.parent.mkdir(parents=True, exist_ok=True)
        if self._target.exists():
            shutil.rmtree(self._target)
        self._partial.rename(self._target)

    def _check_space(self) -> None:
        free, total = shutil.disk_usage(self._partial).free, self._task.total
        if free < total:
            raise ModelNotFoundError(
                f"'{self._name}' needs {total >> 20} MB and only {free >> 20} MB are free "
                f"at {self._partial.parent.parent}"
            )

    def _fetch(self, file: RepoSibling) -> None:
        task, path = self._task, self._partial / file.rfilename
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        if not (path.is_file() and self._check(path, file)):
            if part.is_file() and part.stat().st_size > (file.size or 0):
                part.unlink()
            resumed = part.is_file()
            self._transfer(file, part)
            intact = self._check(part, file)
            if resumed and not intact:
                # What an earlier run left may be of another version of the model.
                part.unlink()
                self._transfer(file, part)
                intact = self._check(part, file)
            if not intact:
                part.unlink()
                raise ModelNotFoundError(
                    f"{file.rfilename} of '{self._name}' arrived damaged (its hash differs); "
                    "run it again"
                )
            part.replace(path)
        task.before += file.size or 0
        task.begin("")
        task.report(file.rfilename, task.before, task.total)

    def _transfer(self, file: RepoSibling, part: Path) -> None:
        fetch = partial(self._hub.fetch, self._name, self._commit, file, part, self._task)
        self._task.begin(file.rfilename)
        self._task.run(fetch)

    def _check(self, path: Path, file: RepoSibling) -> bool:
        return self._task.run(partial(_intact, path, file))


def _intact(path: Path, file: RepoSibling) -> bool:
    """Return True if a file has the size and the hash that the hub states."""
    if path.stat().st_size != file.size:
        return False
    if file.lfs is not None:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == file.lfs.sha256
    if file.blob_id is None:
        return True
    content = path.read_bytes()
    header = f"blob {len(content)}\0".encode()
    return hashlib.sha1(header + content, usedforsecurity=False).hexdigest() == file.blob_id


def _reason(error: Exception) -> str:
    """Return what went wrong; httpx2 puts no headers, so no token, into its messages."""
    return str(error) or type(error).__name__
