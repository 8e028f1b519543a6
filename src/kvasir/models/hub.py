"""Download models from the Hugging Face hub to ``DATA_DIR/models``.

huggingface_hub does the transfer (``http_get``): requests, redirects, retries and ranges. Its
``snapshot_download`` is not used, because it deletes an unfinished file; here the next run resumes
it. Only the files of an encoder are fetched, each is checked against the hub's hash (SHA-256 for
large files, git's SHA-1 for small ones), and only complete models are moved to the models folder.
A repository without an encoder may have GGUF files or ``.pth`` files of RWKV; one is fetched.
``HF_ENDPOINT``, ``HF_HUB_OFFLINE`` and ``HF_TOKEN`` work as in huggingface_hub.
Source: https://huggingface.co/docs/hub/api, huggingface_hub 2.4
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from threading import Event

import httpx2
from filelock import AcquireReturnProxy, FileLock, Timeout
from huggingface_hub import HfApi, ModelInfo, constants, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled
from huggingface_hub.file_download import http_get
from huggingface_hub.hf_api import RepoSibling

from kvasir.core.errors import ModelNotFoundError
from kvasir.core.private_files import make_private_folder
from kvasir.core.run import Run, StopToken
from kvasir.models import gguf
from kvasir.models.language_models import PTH, split_name
from kvasir.models.local import NO_OWNER, PARTIAL, ModelFolder, full_names, models_dir

ENDPOINT = "https://huggingface.co"
LOCK_NOTICE_SECONDS = 1.0
"""Seconds to wait for the lock before reporting it."""
CLOSE_SECONDS = 1.0
"""Seconds to wait until a stopped transfer has closed its file."""

PART = ".part"
ENCODER, LANGUAGE_MODEL = "encoder", "language model"
"""Kinds of models: of embedders and rerankers, and of the generator ``llama``."""
_FILES: Mapping[str, str] = {ENCODER: "config.json with weights", LANGUAGE_MODEL: "GGUF file"}

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?")
_SETTINGS = re.compile(
    r"(?:\d+_\w+/)?[\w.-]+\.json|README\.md|vocab\.txt|merges\.txt|bpe\.codes|[\w.-]+\.model"
)
_SAFETENSORS = re.compile(r"(?:\d+_\w+/)?model[\w.-]*\.safetensors")
_PICKLED = re.compile(r"(?:\d+_\w+/)?pytorch_model[\w.-]*\.bin")
_GGUF = re.compile(r"(?:\w[\w.-]*/)*\w[\w.-]*\.gguf", re.IGNORECASE)
_PTH = re.compile(r"(?:\w[\w.-]*/)*\w[\w.-]*\.pth")

# A broken connection loses a partial block; the default is 10 MB.
constants.DOWNLOAD_CHUNK_SIZE = 1 << 16
# Its log of breaks and retries would disturb the progress on the terminal.
for _module in ("file_download", "utils._http"):
    logging.getLogger(f"huggingface_hub.{_module}").setLevel(logging.ERROR)


def pull(
    name: str,
    token: str | None = None,
    data_dir: Path | str | None = None,
    run: Run | None = None,
    *,
    kinds: Collection[str] = (ENCODER, LANGUAGE_MODEL),
) -> ModelFolder:
    """Download a model, unless it is complete and the same as on the hub.

    A name is ``OWNER/NAME``, or ``OWNER/NAME/FILE`` for one GGUF or ``.pth`` file of a language
    model; of a repository with GGUF files and no encoder, ``gguf.choose`` takes the file, and the
    only ``.pth`` file of one without both is fetched. The token is by
    default ``HF_TOKEN``. A stopped download can be resumed. The progress comes in the thread that
    receives the bytes: the file, bytes done of the whole model and its size. A model of none of the
    ``kinds`` is not downloaded.

    Raises:
        ModelNotFoundError: It cannot be downloaded. The message never shows the token.
        StoppedError: The run was stopped.
    """
    for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        if os.environ.get(variable, "").upper() in constants.ENV_VARS_TRUE_VALUES:
            raise ModelNotFoundError(f"not asked, because {variable} is set")
    wanted, file = split_name(name)
    if not _NAME.fullmatch(wanted) or ".." in name:
        raise ModelNotFoundError(f"'{name}' is not a name on the hub (OWNER/MODEL)")
    hub = _Hub(
        os.environ.get("HF_ENDPOINT", "").rstrip("/") or ENDPOINT,
        token or os.environ.get("HF_TOKEN") or None,
    )
    # A separate token: a failed transfer sets it, which must not stop the caller's other work.
    own = Run(StopToken(run.stop), run.progress) if run else Run()
    repository, listing = _look_up(hub, wanted, own)
    siblings = listing.siblings or ()
    files = _needed(siblings) if ENCODER in kinds and not file else []
    if not _is_encoder(files):
        found = siblings if LANGUAGE_MODEL in kinds else ()
        files = _rwkv_file(repository, found, file)
        files = files or _language_model(repository, found, file, kinds)
    return _Download(hub, repository, listing, files, models_dir(data_dir), own).fetch()


def _needed(files: Iterable[RepoSibling]) -> list[RepoSibling]:
    """Return the files of an encoder; pickled weights only where there are no safetensors."""
    ordered = sorted(files, key=lambda file: file.rfilename)
    settings, weights, pickled = (
        [file for file in ordered if pattern.fullmatch(file.rfilename)]
        for pattern in (_SETTINGS, _SAFETENSORS, _PICKLED)
    )
    folders = {Path(file.rfilename).parent for file in weights}
    weights += [file for file in pickled if Path(file.rfilename).parent not in folders]
    return settings + weights


def _is_encoder(files: Iterable[RepoSibling]) -> bool:
    names = [file.rfilename for file in files]
    return "config.json" in names and not all(map(_SETTINGS.fullmatch, names))


def _language_model(
    repository: str, files: Iterable[RepoSibling], wanted: str, kinds: Collection[str]
) -> list[RepoSibling]:
    """Return a GGUF file, or the parts of one: the wanted one, else the chosen one."""
    found = {file.rfilename: file for file in files if _GGUF.fullmatch(file.rfilename)}
    models = sorted(filter(gguf.is_model, found))
    chosen = gguf.choose(models)
    if wanted:
        folder, slash, last = wanted.rpartition("/")
        first = f"{folder}{slash}{gguf.parts(last)[0]}".casefold()
        chosen = next((name for name in models if name.casefold() == first), None)
    if chosen is None and models:
        raise ModelNotFoundError(
            f"'{repository}' has no file '{wanted}' on the hub; it has {', '.join(models)}"
        )
    if chosen is None:
        raise ModelNotFoundError(
            f"'{repository}' has no {' and no '.join(_FILES[kind] for kind in kinds)} on the hub"
        )
    folder, slash, last = chosen.rpartition("/")
    names = [folder + slash + part for part in gguf.parts(last)]
    if missing := [name for name in names if name not in found]:
        raise ModelNotFoundError(f"'{repository}' lacks {', '.join(missing)} on the hub")
    return [found[name] for name in names]


def _rwkv_file(repository: str, files: Iterable[RepoSibling], wanted: str) -> list[RepoSibling]:
    """Return the wanted ``.pth`` file, or the only one where there is no GGUF file."""
    listed = list(files)
    found = {file.rfilename: file for file in listed if _PTH.fullmatch(file.rfilename)}
    is_named = wanted.endswith(PTH)
    if not is_named and (wanted or any(_GGUF.fullmatch(file.rfilename) for file in listed)):
        return []
    names = [wanted] if is_named else sorted(found)
    if found and (len(names) > 1 or names[0] not in found):
        lacks = f"no file '{wanted}'" if is_named else "several models"
        raise ModelNotFoundError(
            f"'{repository}' has {lacks} on the hub; it has {', '.join(sorted(found))}: name one "
            f"as {repository}/FILE"
        )
    return [found[name] for name in names if name in found]


class _Hub:
    """A hub and its token; turns HTTP errors into readable ones."""

    def __init__(self, endpoint: str, token: str | None) -> None:
        self.endpoint = endpoint
        # Bytes must arrive as they are stored, or ranges and sizes would not match.
        self._headers = {"user-agent": "kvasir", "Accept-Encoding": "identity"}
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

    def fetch(self, name: str, commit: str, file: RepoSibling, part: Path, bar: _Bar) -> None:
        """Append the rest of a file; retry as long as every attempt brings some bytes."""
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
                    # Without errno it is http_get's size check; the caller checks the hash.
                    if error.errno is not None:
                        raise
                    return

    @contextmanager
    def _readable(self, name: str) -> Iterator[None]:
        """Explain an HTTP status; the hub answers 401 for unknown names, too."""
        try:
            yield
        except HfHubHTTPError as error:
            status = error.response.status_code
            why = f"answered {status} for '{name}': try again later"
            if status == 401 and "authorization" in self._headers:
                why = "does not accept the token (401): make a new one in the hub's settings"
            elif status == 401:
                why = (
                    f"does not show '{name}' without a token (401): check the name, or set "
                    "rag.embedding_model.token or HF_TOKEN if the model is private or gated"
                )
            elif status == 403:
                why = (
                    f"does not let this token read '{name}' (403): accept the model's terms on "
                    "its page and give the token read access"
                )
            elif status == 404:
                why = f"has no model '{name}' (404): check the name"
            raise ModelNotFoundError(f"{self.endpoint} {why}") from error


def _look_up(hub: _Hub, name: str, run: Run) -> tuple[str, ModelInfo]:
    """Return the first repository that a name may stand for, and its listing."""
    failure = ModelNotFoundError(f"'{name}' is not there")
    for candidate in full_names(name):
        try:
            info = run.call(partial(hub.model_info, candidate))
            if info.siblings is None:
                raise ValueError("no list of files")
            return candidate, info
        except ModelNotFoundError as error:
            failure = error
        except HFValidationError as error:
            raise ModelNotFoundError(f"'{name}' is not a name on the hub ({error})") from error
        except (httpx2.HTTPError, httpx2.InvalidURL, OfflineModeIsEnabled) as error:
            cause = f"{hub.endpoint} cannot be reached ({_reason(error)})"
            raise ModelNotFoundError(cause, name) from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ModelNotFoundError(f"{hub.endpoint} did not answer as a hub does") from error
    raise failure


class _Bar:
    """Counts the bytes of a download, in place of huggingface_hub's progress bar."""

    def __init__(self, run: Run, total: int) -> None:
        self.run = run
        self.total = total
        self.file = ""
        self._before = 0
        self._received = 0
        self._reported = -1

    def __call__(self, *, initial: int = 0, **_: object) -> AbstractContextManager[_Bar]:
        """Begin at the number of bytes that an earlier attempt left."""
        self._received = initial
        return nullcontext(self)

    def update(self, count: int) -> None:
        """Count bytes before they are written; after a stop, raise instead."""
        self.run.check()
        self._received += count
        self._report()

    def finish(self, size: int) -> None:
        """Count a whole file, fetched now or earlier."""
        self._before += size
        self._received = 0
        self._report()

    def _report(self) -> None:
        done = self._before + self._received
        if done != self._reported:
            self._reported = done
            self.run.download(self.file, done, self.total)


class _Download:
    def __init__(
        self,
        hub: _Hub,
        name: str,
        listing: ModelInfo,
        files: list[RepoSibling],
        root: Path,
        run: Run,
    ) -> None:
        self._hub = hub
        self._name = name
        self._commit = listing.sha or constants.DEFAULT_REVISION
        self._files = files
        self._target = root.joinpath(*name.split("/")) if "/" in name else root / NO_OWNER / name
        first = files[0].rfilename
        self._model = first if gguf.is_model(first) or first.endswith(PTH) else ""
        """The file of a language model; empty for an encoder."""
        own = f"{name}/{first}" if self._model else name
        self._partial = root / PARTIAL / own.replace("/", "--")
        self._bar = _Bar(run, sum(file.size or 0 for file in self._files))
        self._run = run

    def fetch(self) -> ModelFolder:
        make_private_folder(self._partial.parent)
        with self._locked():
            # Another process may have fetched it during the wait.
            if self._run.call(self._is_complete):
                self._run.download(self._name, self._bar.total, self._bar.total)
            else:
                self._fetch_all()
        if self._model:
            name, path = f"{self._name}/{self._model}", self._target / self._model
            return ModelFolder(name, path, "downloaded")
        return ModelFolder(self._name, self._target, "downloaded")

    def _locked(self) -> AcquireReturnProxy[FileLock]:
        lock = FileLock(self._partial.with_name(self._partial.name + ".lock"))
        while True:
            try:
                return lock.acquire(timeout=LOCK_NOTICE_SECONDS)
            except Timeout:
                self._run.check()
                self._run.download(f"waiting for another program that fetches {self._name}", 0, 0)

    def _is_complete(self) -> bool:
        return all(_intact(self._target / file.rfilename, file) for file in self._files)

    def _fetch_all(self) -> None:
        self._partial.mkdir(exist_ok=True)
        free, missing = shutil.disk_usage(self._partial).free, self._missing_bytes()
        if free < missing:
            raise ModelNotFoundError(
                f"'{self._name}' needs {missing >> 20} MB and only {free >> 20} MB are free "
                f"at {self._partial.parent.parent}"
            )
        for file in self._files:
            self._bar.file = file.rfilename
            path = self._partial / file.rfilename
            if not self._check(path, file):
                self._fetch(file, path)
            self._bar.finish(file.size or 0)
        self._publish()

    def _missing_bytes(self) -> int:
        """Return the size of the model less what an earlier run has fetched."""
        sizes = {self._partial / file.rfilename: file.size or 0 for file in self._files}
        parts = {path: path.with_name(path.name + PART) for path in sizes}
        return sum(max(0, sizes[at] - _size(at) - _size(part)) for at, part in parts.items())

    def _publish(self) -> None:
        """Move the files to the models folder; other language models there stay."""
        self._target.mkdir(parents=True, exist_ok=True)
        if self._model:
            _move(self._partial, self._target, [file.rfilename for file in self._files])
            shutil.rmtree(self._partial)
            return
        kept = [file for file in self._target.rglob("*") if _is_alone(file)]
        _move(self._target, self._partial, [str(file.relative_to(self._target)) for file in kept])
        shutil.rmtree(self._target)
        self._partial.rename(self._target)

    def _fetch(self, file: RepoSibling, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + PART)
        if part.is_file() and part.stat().st_size > (file.size or 0):
            part.unlink()
        # The rest of an earlier run may belong to another version of the model.
        for _ in range(2 if part.is_file() else 1):
            self._transfer(file, part)
            if self._check(part, file):
                part.replace(path)
                return
            part.unlink()
        raise ModelNotFoundError(
            f"{file.rfilename} of '{self._name}' arrived damaged (its hash differs); run it again"
        )

    def _transfer(self, file: RepoSibling, part: Path) -> None:
        closed = Event()

        def fetch() -> None:
            try:
                self._hub.fetch(self._name, self._commit, file, part, self._bar)
            finally:
                closed.set()

        try:
            self._run.call(fetch)
        except BaseException:
            self._run.stop.set()  # Ctrl-C in this thread: the other must write nothing more.
            closed.wait(CLOSE_SECONDS)
            raise

    def _check(self, path: Path, file: RepoSibling) -> bool:
        return self._run.call(partial(_intact, path, file))


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _is_alone(file: Path) -> bool:
    """Return True if a file is a model of its own, beside an encoder in the same folder."""
    return bool(_GGUF.fullmatch(file.name) or _PTH.fullmatch(file.name))


def _move(source: Path, target: Path, names: Iterable[str]) -> None:
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).replace(target / name)


def _intact(path: Path, file: RepoSibling) -> bool:
    """Return True if a file is there with the size and the hash that the hub states."""
    if not path.is_file() or path.stat().st_size != file.size:
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
    """Return the error's message; httpx2's contain no headers, so no token."""
    return str(error) or type(error).__name__
