"""The embedders of a process: that of the settings, and those that were chosen for collections."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from pathlib import Path

from kvasir.core.errors import MissingExtraError, ModelNotFoundError
from kvasir.core.ledger import CollectionRecord, EmbeddingModel
from kvasir.core.protocols import Embedder
from kvasir.core.run import Run
from kvasir.core.wire import dumps
from kvasir.models.local import find_local, is_path
from kvasir.models.named import NAMED_MODELS
from kvasir.settings import components
from kvasir.settings.schema import Settings


def convert_weights(name: str, data_folder: Path, run: Run) -> list[Path]:
    """Write pickled weights as safetensors, as ``kvasir.models.conversion.convert``.

    Args:
        name: An absolute path of a folder or file, or a model's name on the hub that is here.
        data_folder: Where models are looked for.
        run: Stops and reports it.

    Raises:
        ModelNotFoundError: There is no such model here.
        MissingExtraError: PyTorch is not installed.
    """
    found = None if Path(name).exists() else find_local(name, data_folder)
    if found is None and not Path(name).exists():
        raise ModelNotFoundError(f"there is no model or file '{name}' on this machine", name)
    try:
        conversion = importlib.import_module("kvasir.models.conversion")
    except ModuleNotFoundError as error:
        if error.name == "torch":
            raise MissingExtraError("reading pickled weights", "torch") from error
        raise
    made: list[Path] = conversion.convert(found.path if found else Path(name), run)
    return made


class EmbeddingModels:
    """Makes each embedder once. Safe to use from several threads."""

    def __init__(
        self,
        settings: Settings,
        run: Run,
        default: Callable[[], Embedder],
        *,
        shared: EmbeddingModels | None = None,
    ) -> None:
        """Load nothing yet.

        Args:
            settings: They choose the model of new collections.
            run: Stops and reports the download of a model.
            default: Returns the embedder of the settings.
            shared: Has embedders that need not be made again.
        """
        self._settings, self._run, self._default = settings, run, default
        self._lock: threading.Lock = shared._lock if shared else threading.Lock()
        self._making: dict[str, threading.Lock] = shared._making if shared else {}
        self._made: dict[str, Embedder] = shared._made if shared else {}

    def choose(self, name: str, kind: str | None) -> EmbeddingModel:
        """Return the model of a name: a short one, a folder, or a name on the hub.

        Its embedder is ``kind``, by default that of the settings. Their options are used only for
        the model that they name.
        """
        chosen = self._settings.rag.embedding_model
        named = NAMED_MODELS.get(name.casefold())
        if named is not None:
            runs = chosen.type in named.embedders
            kind = kind or (chosen.type if runs else named.embedders[0])
        name = named.name if named else self._settings.model_name(name)
        own = self._own
        if (kind or own.type, name) == (own.type, own.name):
            return own
        return EmbeddingModel(kind or own.type, name)

    def load(self, model: EmbeddingModel, run: Run | None = None) -> Embedder:
        """Return the embedder of a model; fetch the model if it is not on this machine.

        Raises:
            ModelNotFoundError: It is not here and cannot be fetched.
            SettingsError: The embedder cannot run it.
            StoppedError: The run was stopped.
        """
        if model == self._own:
            return self._default()
        key = dumps(model)
        with self._lock:
            making = self._making.setdefault(key, threading.Lock())
        with making:
            if key not in self._made:
                made = components.make_embedder(self._settings, run or self._run, model)
                self._made[key] = made
            return self._made[key]

    def of(self, record: CollectionRecord | None) -> Embedder:
        """Return the embedder of a collection: the one that was chosen for it, else the settings'.

        The settings may name the same model with another engine.

        Raises:
            ModelNotFoundError: Its model is not here and cannot be fetched.
        """
        if record is None or record.model is None:
            return self._default()
        if record.model.name == self._own.name and record.model != self._own:
            own = self._default()
            if own.fingerprint == record.fingerprint:
                return own
        try:
            return self.load(record.model)
        except ModelNotFoundError as error:
            error.of_collection = True
            raise

    @property
    def _own(self) -> EmbeddingModel:
        chosen = self._settings.rag.embedding_model
        name = self._settings.model_name(chosen.name)
        return EmbeddingModel(chosen.type, name, chosen.options)


def names_folder(settings: Settings, name: str, working_folder: Path) -> bool:
    """Return True if a model's name is a path, or that of a folder of this machine.

    A short name and the model of the settings are none.
    """
    if name.casefold() in NAMED_MODELS or name == settings.rag.embedding_model.name:
        return False
    return is_path(name, settings.found_data_folder.parent, working_folder)
