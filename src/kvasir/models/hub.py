"""Fetches models from the Hugging Face hub into Kvasir's own folder.

Only the files that an encoder needs are fetched, each is checked against the hash that the hub
states (SHA-256 for large files, git's own SHA-1 for small ones), and a model appears in
``DATA_DIR/models`` only when all of it is there. A broken connection is resumed where it broke,
in the same run or the next. ``HF_ENDPOINT``, ``HF_HUB_OFFLINE`` and ``HF_TOKEN`` mean what they
mean to huggingface_hub. Source: https://huggingface.co/docs/hub/api
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from filelock import FileLock, Timeout

from kvasir.core.errors import ModelNotFoundError
from kvasir.core.types import Progress
from kvasir.models.local import NO_OWNER, PARTIAL, ModelFolder, full_names, models_dir

ENDPOINT = "https://huggingface.co"
ATTEMPTS = 5
TIMEOUT = httpx.Timeout(30.0, connect=10.0)
BLOCK = 1 << 18
PATIENCE = 1.0
"""Seconds until it is told that another process fetches the same model."""
PAUSE = 0.2
"""Seconds to wait after a break, doubled with every one that follows without progress."""

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?")
_SETTINGS = re.compile(r"(?:[\w.-]+\.json|README\.md|vocab\.txt|merges\.txt|[\w.-]+\.model)")
_STEP_SETTINGS = re.compile(r"\d+_\w+/[\w.-]+\.json")
_SAFETENSORS = re.compile(r"(?:\d+_\w+/)?model[\w.-]*\.safetensors")
_PICKLED = re.compile(r"(?:\d+_\w+/)?pytorch_model[\w.-]*\.bin")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a model on the hub.

    Attributes:
        path: Its path in the repository.
        size: Bytes.
        sha256: Hash of a large file's content, or None.
        blob: Git's SHA-1 of a small file, or None.
    """

    path: str
    size: int
    sha256: str | None
    blob: str | None


def pull(
    name: str,
    token: str | None = None,
    data_dir: Path | str | None = None,
    progress: Progress | None = None,
) -> ModelFolder:
    """Downloads a model, unless all of it is there as the hub has it.

    Args:
        name: Its name on the hub; the owner ``sentence-transformers`` may be left out.
        token: Access token; ``HF_TOKEN`` is used without one.
        data_dir: The model goes to ``models/OWNER/NAME`` below it.
        progress: Called after every block that arrived: the file, bytes done of the whole model
            and its size.

    Raises:
        ModelNotFoundError: It cannot be had; says why and what to do. Never shows the token.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise ModelNotFoundError("not asked, because HF_HUB_OFFLINE is set")
    if not _NAME.fullmatch(name) or ".." in name:
        raise ModelNotFoundError(f"'{name}' is not a name on the hub (OWNER/MODEL)")
    token = token or os.environ.get("HF_TOKEN") or None
    endpoint = os.environ.get("HF_ENDPOINT", "").rstrip("/") or ENDPOINT
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with httpx.Client(
        base_url=endpoint, headers=headers, timeout=TIMEOUT, follow_redirects=True
    ) as client:
        repository, listing = _look_up(client, name, bool(token))
        return _Download(client, repository, listing, models_dir(data_dir), progress).run()


def needed(files: Iterable[RemoteFile]) -> list[RemoteFile]:
    """Returns the files that an encoder needs; pickled weights only where nothing else is."""
    files = list(files)
    wanted = [f for f in files if _SETTINGS.fullmatch(f.path) or _STEP_SETTINGS.fullmatch(f.path)]
    weights = [f for f in files if _SAFETENSORS.fullmatch(f.path)]
    folders = {Path(f.path).parent for f in weights}
    pickled = [f for f in files if _PICKLED.fullmatch(f.path)]
    weights += [f for f in pickled if Path(f.path).parent not in folders]
    return sorted(wanted, key=lambda f: f.path) + sorted(weights, key=lambda f: f.path)


def _look_up(client: httpx.Client, name: str, has_token: bool) -> tuple[str, dict[str, Any]]:
    """Returns the first repository of that name, and what the hub says of it."""
    failure = ModelNotFoundError(f"'{name}' is not there")
    for candidate in full_names(name):
        try:
            reply = client.get(f"/api/models/{candidate}/revision/main", params={"blobs": "true"})
        except httpx.HTTPError as error:
            raise ModelNotFoundError(
                f"{client.base_url} cannot be reached ({_reason(error)})"
            ) from error
        if reply.is_success:
            return candidate, _object(reply, client)
        failure = _refusal(reply.status_code, candidate, client, has_token)
    raise failure


def _object(reply: httpx.Response, client: httpx.Client) -> dict[str, Any]:
    try:
        value = reply.json()
    except ValueError as error:
        raise ModelNotFoundError(f"{client.base_url} did not answer as a hub does") from error
    if not isinstance(value, dict) or "siblings" not in value:
        raise ModelNotFoundError(f"{client.base_url} did not answer as a hub does")
    return value


def _refusal(status: int, name: str, client: httpx.Client, token: bool) -> ModelNotFoundError:
    """Explains an HTTP status; the hub answers 401 for names that do not exist, too."""
    if status == 401:
        why = (
            "does not accept the token (401): make a new one in the hub's settings"
            if token
            else f"does not show '{name}' without a token (401): check the name, or set "
            "rag.embedding_model.token or HF_TOKEN if the model is private or gated"
        )
    elif status == 403:
        why = (
            f"does not let this token read '{name}' (403): accept the model's terms on its page "
            "and give the token read access"
        )
    elif status == 404:
        why = f"has no model '{name}' (404): check the name"
    else:
        why = f"answered {status} for '{name}': try again later"
    return ModelNotFoundError(f"{client.base_url} {why}")


class _Download:
    """One model on its way into the models folder."""

    def __init__(
        self,
        client: httpx.Client,
        name: str,
        listing: dict[str, Any],
        root: Path,
        progress: Progress | None,
    ) -> None:
        self._client = client
        self._name = name
        self._commit = str(listing.get("sha") or "main")
        self._files = needed(_remote_file(entry) for entry in listing["siblings"])
        self._target = root.joinpath(*name.split("/")) if "/" in name else root / NO_OWNER / name
        self._partial = root / PARTIAL / name.replace("/", "--")
        self._progress = progress
        self._total = sum(file.size for file in self._files)
        self._done = 0

    def run(self) -> ModelFolder:
        if not any(f.path == "config.json" for f in self._files) or not any(
            _SAFETENSORS.fullmatch(f.path) or _PICKLED.fullmatch(f.path) for f in self._files
        ):
            raise ModelNotFoundError(f"'{self._name}' has no config.json with weights on the hub")
        self._partial.parent.mkdir(parents=True, exist_ok=True)
        with self._alone():
            # Another process may have fetched it while this one waited.
            if self._is_there():
                self._tell(self._name, self._total, self._total)
            else:
                self._fetch_all()
        return ModelFolder(self._name, self._target, "downloaded")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        lock = FileLock(self._partial.with_name(self._partial.name + ".lock"))
        try:
            lock.acquire(timeout=PATIENCE)
        except Timeout:
            self._tell(f"waiting for another program that fetches {self._name}", 0, 0)
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _is_there(self) -> bool:
        paths = [(self._target / file.path, file) for file in self._files]
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
        free = shutil.disk_usage(self._partial).free
        if free < self._total:
            raise ModelNotFoundError(
                f"'{self._name}' needs {self._total >> 20} MB and only {free >> 20} MB are free "
                f"at {self._partial.parent.parent}"
            )

    def _fetch(self, file: RemoteFile) -> None:
        path = self._partial / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        before = self._done
        if not (path.is_file() and _intact(path, file)):
            resumed = part.is_file()
            self._insist(file, part, before)
            if resumed and not _intact(part, file):
                # What an earlier run left may be of another version of the model.
                part.unlink()
                self._insist(file, part, before)
            if not _intact(part, file):
                part.unlink()
                raise ModelNotFoundError(
                    f"{file.path} of '{self._name}' arrived damaged (its hash differs); "
                    "run it again"
                )
            part.replace(path)
        self._done = before + file.size
        self._tell(file.path, self._done, self._total)

    def _insist(self, file: RemoteFile, part: Path, before: int) -> None:
        """Streams a file, going on after breaks as long as there is progress."""
        failures, furthest = 0, 0
        while True:
            self._done = before
            try:
                return self._stream(file, part)
            except httpx.TransportError as error:
                size = part.stat().st_size if part.is_file() else 0
                failures = 1 if size > furthest else failures + 1
                furthest = max(furthest, size)
                if failures == ATTEMPTS:
                    raise ModelNotFoundError(
                        f"the connection to {self._client.base_url} broke {ATTEMPTS} times "
                        f"at {file.path} ({_reason(error)}); run it again to go on from there"
                    ) from error
            time.sleep(min(PAUSE * 2**failures, 5.0))

    def _stream(self, file: RemoteFile, part: Path) -> None:
        have = part.stat().st_size if part.is_file() else 0
        if have >= file.size:
            # Nothing to ask for; a full part that is not intact must start anew.
            if have == file.size and _intact(part, file):
                return
            have = 0
        headers = {"Range": f"bytes={have}-"} if have else {}
        # Bytes must arrive as they are stored, or ranges and sizes would not mean them.
        headers["Accept-Encoding"] = "identity"
        url = f"/{self._name}/resolve/{self._commit}/{file.path}"
        with self._client.stream("GET", url, headers=headers) as reply:
            if not reply.is_success:
                token = "Authorization" in self._client.headers
                raise _refusal(reply.status_code, self._name, self._client, token)
            resumed = reply.status_code == httpx.codes.PARTIAL_CONTENT
            self._done += have if resumed else 0
            with part.open("ab" if resumed else "wb") as stream:
                for block in reply.iter_bytes(BLOCK):
                    stream.write(block)
                    self._done += len(block)
                    self._tell(file.path, self._done, self._total)

    def _tell(self, what: str, done: int, total: int) -> None:
        if self._progress is not None:
            self._progress(what, done, total)


def _remote_file(entry: dict[str, Any]) -> RemoteFile:
    large = entry.get("lfs") or {}
    return RemoteFile(
        path=str(entry["rfilename"]),
        size=int(large.get("size") or entry.get("size") or 0),
        sha256=large.get("sha256"),
        blob=None if large else entry.get("blobId"),
    )


def _intact(path: Path, file: RemoteFile) -> bool:
    if path.stat().st_size != file.size:
        return False
    if file.sha256:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == file.sha256
    if file.blob:
        content = path.read_bytes()
        header = f"blob {len(content)}\0".encode()
        return hashlib.sha1(header + content, usedforsecurity=False).hexdigest() == file.blob
    return True


def _reason(error: httpx.HTTPError) -> str:
    """Returns what went wrong; httpx puts no headers, hence no token, into its messages."""
    return str(error) or type(error).__name__
