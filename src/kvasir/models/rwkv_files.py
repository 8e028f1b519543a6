"""Find the files of RWKV models on this machine.

The order: the path of a file or a folder, Kvasir's own folder (``DATA_DIR/models``), the Hugging
Face cache. A name is ``OWNER/NAME/FILE``, or ``OWNER/NAME`` if it has one model.
"""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

from kvasir.core.errors import ModelNotFoundError, SettingsError
from kvasir.models.local import cache_dir, cached, downloads, models_dir

SUFFIXES = (".pth", ".safetensors")
BASE, STATE = "base", "state"
FILE_KINDS = (BASE, STATE)
_MOST_NAMES = 64 << 20
"""Bytes of the names and shapes of a file's tensors."""


def named_path(name: str) -> Path:
    """Return the path that an operator has named; ``~`` is the home folder."""
    return Path(name).expanduser()


def find_rwkv(name: str, data_dir: Path | str | None = None) -> Path:
    """Return the file of a model or of a state, or the folder of a model of several files.

    Raises:
        ModelNotFoundError: There is none of that name.
        SettingsError: The name is that of a folder with several models.
    """
    path = named_path(name)
    if path.is_file():
        return path.resolve()
    if path.is_dir():
        return _model(path.resolve(), name)
    return find_downloaded(name, data_dir)


def find_downloaded(name: str, data_dir: Path | str | None = None) -> Path:
    """Return the file or the folder of a model that was downloaded, as ``find_rwkv``; no path."""
    owner, _, rest = name.partition("/")
    repository, _, file = rest.partition("/")
    for folder in _folders(f"{owner}/{repository}", data_dir):
        if file and (folder / file).is_file():
            return folder / file
        if not file and any(folder.glob(f"*{suffix}") for suffix in SUFFIXES):
            return _model(folder, name)
    raise ModelNotFoundError(
        f"no RWKV file '{name}' is here: no file or folder of that path, not in "
        f"{models_dir(data_dir)}, and not in the Hugging Face cache {cache_dir()}"
    )


def _folders(repository: str, data_dir: Path | str | None) -> list[Path]:
    wanted = repository.casefold()
    found = [f for name, f in downloads(models_dir(data_dir)) if name.casefold() == wanted]
    for name, snapshots in cached(cache_dir()):
        if name.casefold() == wanted:
            found += snapshots
    return found


def _model(folder: Path, name: str) -> Path:
    """Return the only ``.pth`` file of a folder, or the folder if it has safetensors."""
    if next(folder.glob("*.safetensors"), None) is not None:
        return folder
    files = sorted(folder.glob("*.pth"))
    if not files:
        raise ModelNotFoundError(f"'{name}' has no .pth and no .safetensors file")
    if len(files) > 1:
        shown = ", ".join(file.name for file in files[:4])
        raise SettingsError(f"'{name}' has several models: name one of {shown}")
    return files[0]


def file_kind(path: Path) -> str | None:
    """Return ``base`` or ``state`` for a file of RWKV, by the names of its tensors.

    None for any other file. Nothing of it is unpickled.
    """
    if path.suffix not in SUFFIXES:
        return None
    names = _names_of_pth(path) if path.suffix == ".pth" else _names_of_safetensors(path)
    if b"emb.weight" in names or b"model.embeddings.weight" in names:
        return BASE
    return STATE if b"time_state" in names else None


def _names_of_pth(path: Path) -> bytes:
    """Return the part of a ``.pth`` file that has the names of its tensors; empty if none has."""
    try:
        with zipfile.ZipFile(path) as content:
            names = [name for name in content.namelist() if name.rpartition("/")[2] == "data.pkl"]
            if len(names) != 1 or content.getinfo(names[0]).file_size > _MOST_NAMES:
                return b""
            return content.read(names[0])
    except zipfile.BadZipFile:
        return b""  # It is damaged, or of before PyTorch 1.6.


def _names_of_safetensors(path: Path) -> bytes:
    """Return the header of a safetensors file; empty if it has none."""
    size = struct.Struct("<Q")
    with path.open("rb") as stream:
        start = stream.read(size.size)
        length = size.unpack(start)[0] if len(start) == size.size else 0
        return stream.read(length) if length <= _MOST_NAMES else b""
