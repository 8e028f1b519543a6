"""The runners of tuning jobs: they prepare training data and tune RWKV models.

A job names its files: they lie in the folder of the runner, where the operator puts them and where
prepared data are written. A base may also be named as ``OWNER/NAME/FILE`` if it was downloaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar

from kvasir.core.errors import MissingExtraError, RequestError, SettingsError
from kvasir.core.run import Run
from kvasir.core.services.tuning import MemoryNeed, Report
from kvasir.core.wire import to_json
from kvasir.models.rwkv_files import find_downloaded
from kvasir.tuning import memory_for_tuning, prepare_data, tune
from kvasir.tuning_files import FILE_NAME, tuning_folder

_MOST_CONTEXT = 65_536
_MOST_PROCESSES = 64


class _Runner:
    """Checks the arguments of jobs, and looks up the files that they name."""

    def __init__(self, data_dir: Path, folder: str | None = None) -> None:
        """Keep the places.

        Args:
            data_dir: Below it are the downloaded models.
            folder: The files that jobs may name; by default ``tuning`` in the data folder.
        """
        self._data_dir = data_dir
        self._folder = tuning_folder(data_dir, folder)

    def _place(self, arguments: Mapping[str, Any], key: str, name: Any = None) -> Path:
        """Return the path of a name, which need not exist."""
        name = arguments.get(key) if name is None else name
        if not isinstance(name, str) or not FILE_NAME.fullmatch(name):
            raise RequestError(f"{key} must be the name of a file in the folder of tuning")
        return self._folder / name

    def _file(self, arguments: Mapping[str, Any], key: str, name: Any = None) -> Path:
        path = self._place(arguments, key, name)
        if not path.is_file() and not path.with_name(path.name + ".idx").is_file():
            raise RequestError(f"{key}: there is no file '{path.name}' in the folder of tuning")
        return path


def _number(arguments: Mapping[str, Any], key: str, default: int, most: int) -> int:
    value = arguments.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise RequestError(f"{key} must be a whole number from 1 to {most}")
    return value


def _refuse_unknown(arguments: Mapping[str, Any], known: set[str]) -> None:
    if unknown := sorted(set(arguments) - known):
        raise RequestError(
            f"unknown arguments: {', '.join(unknown)} (there are: {', '.join(sorted(known))})"
        )


class JsonlPreparation(_Runner):
    """J2B: writes JSONL files as binary training data.

    Arguments: ``files`` (names), ``name`` (of the data that are written), ``processes``.
    """

    def check(self, arguments: Mapping[str, Any]) -> None:
        """Check the arguments of a new job, as ``TuningRunner.check``."""
        _refuse_unknown(arguments, {"files", "name", "processes"})
        self._sources(arguments)
        if "." in self._place(arguments, "name").name:
            raise RequestError("name must be without a dot: .bin and .idx are added to it")
        _number(arguments, "processes", 1, _MOST_PROCESSES)

    def run(
        self, arguments: Mapping[str, Any], folder: Path, run: Run, report: Report
    ) -> Mapping[str, Any]:
        """Write the data, as ``TuningRunner.run``."""
        del folder
        target = self._place(arguments, "name")
        processes = _number(arguments, "processes", 1, _MOST_PROCESSES)
        done = prepare_data(self._sources(arguments), target, processes=processes, run=run)
        report({"documents": done.documents})
        return {"name": target.name, "documents": done.documents}

    def _sources(self, arguments: Mapping[str, Any]) -> list[Path]:
        names = arguments.get("files")
        if not isinstance(names, list) or not names:
            raise RequestError("files must be a list of names of JSONL files")
        return [self._file(arguments, "files", name) for name in names]


class _Training(_Runner):
    """Tunes a base; reports each step's loss.

    Arguments: ``base``, ``data`` (names), ``context``, and the fields of ``TuneOptions``.
    """

    kind: ClassVar[str]

    def __init__(
        self, data_dir: Path, folder: str | None = None, device: str | None = None
    ) -> None:
        """Keep the places, and the device.

        Args:
            data_dir: Below it are the downloaded models.
            folder: The files that jobs may name; by default ``tuning`` in the data folder.
            device: ``cpu``, ``cuda``, ``cuda:1``, ...; by default CUDA where there is one.
        """
        super().__init__(data_dir, folder)
        self._device = device

    def check(self, arguments: Mapping[str, Any]) -> None:
        """Check the arguments of a new job, as ``TuningRunner.check``."""
        self._options(arguments)
        self._base(arguments)
        self._file(arguments, "data")
        _number(arguments, "context", 512, _MOST_CONTEXT)

    def run(
        self, arguments: Mapping[str, Any], folder: Path, run: Run, report: Report
    ) -> Mapping[str, Any]:
        """Tune, or go on with what an earlier attempt left, as ``TuningRunner.run``."""
        done = tune(
            self.kind,
            str(self._base(arguments)),
            self._file(arguments, "data"),
            folder / self.kind,
            data_dir=self._data_dir,
            context=_number(arguments, "context", 512, _MOST_CONTEXT),
            device=self._device,
            options=self._options(arguments),
            run=run,
            report=report,
        )
        return {**to_json(done), "file": str(Path(done.file).relative_to(folder))}

    def memory(self, arguments: Mapping[str, Any]) -> MemoryNeed:
        """Return the memory that a job needs, as ``MemoryEstimator.memory``."""
        return memory_for_tuning(
            self.kind,
            str(self._base(arguments)),
            self._file(arguments, "data"),
            data_dir=self._data_dir,
            context=_number(arguments, "context", 512, _MOST_CONTEXT),
            device=self._device,
            options=self._options(arguments),
        )

    def _base(self, arguments: Mapping[str, Any]) -> Path:
        name = arguments.get("base")
        if isinstance(name, str) and FILE_NAME.fullmatch(name):
            return self._file(arguments, "base")
        if not isinstance(name, str) or not all(map(FILE_NAME.fullmatch, name.split("/"))):
            raise RequestError("base must be the name of a file or of a model on the hub")
        return find_downloaded(name, self._data_dir)

    def _options(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        try:
            from kvasir.rwkv.tune_options import TuneOptions
        except ModuleNotFoundError as error:
            raise MissingExtraError("tuning", "torch") from error
        known = {each.name: each.type for each in fields(TuneOptions) if each.name != "kind"}
        _refuse_unknown(arguments, {*known, "base", "data", "context"})
        chosen = {key: arguments[key] for key in known if key in arguments}
        for key, value in chosen.items():
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            fits = isinstance(value, bool) if known[key] == "bool" else is_number
            if not fits or (known[key] == "int" and not isinstance(value, int)):
                raise RequestError(f"{key} has a value of another type than {known[key]}")
        try:
            TuneOptions(self.kind, **chosen)
        except SettingsError as error:
            raise RequestError(str(error)) from error
        return chosen


class StateTuning(_Training):
    """State-Tune: trains the state before the first token."""

    kind = "state"


class LoraTuning(_Training):
    """Trains a LoRA adapter."""

    kind = "lora"


class PissaTuning(_Training):
    """Trains a PiSSA adapter, which starts from the strongest directions."""

    kind = "pissa"
