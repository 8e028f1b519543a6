"""Which files the service llm can run, which it runs, and the change to another one.

The change is one of the settings file of the running services: their starter notices it, and
replaces the workers of llm one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from kvasir.core.errors import ConflictError, ModelNotFoundError, NotFoundError, RequestError
from kvasir.core.services.jobs import Job, JobState
from kvasir.models.language_models import PTH, list_models
from kvasir.models.language_models import find_local as find_gguf
from kvasir.models.local import GGUF
from kvasir.models.rwkv_files import BASE, STATE, SUFFIXES, file_kind, find_downloaded
from kvasir.settings.changing import change_section
from kvasir.settings.running_services import FOLDER, read_record
from kvasir.settings.schema import Settings
from kvasir.settings.zeromq_schema import LlmSettings, TuningSettings
from kvasir.tuning_files import FILE_NAME, list_files, tuning_folder

ADAPTER = "adapter"
RWKV = "rwkv"
_OF_JOB = "job/"
"""Before the id of a job, as the name of its result."""
_LLM = "llm"


@dataclass(frozen=True, slots=True)
class LanguageModelFile:
    """A file that llm can run, or that changes one.

    Attributes:
        name: By which it is chosen: a name on the hub, a file in the folder of tuning, or
            ``job/ID``.
        kind: ``base``, ``state`` or ``adapter``.
        format: ``gguf`` or ``rwkv``.
        size: Bytes; None if unknown.
        base: The base that it was tuned for; empty if unknown, and of bases.
    """

    name: str
    kind: str
    format: str
    size: int | None
    base: str = ""


@dataclass(frozen=True, slots=True)
class ChosenModel:
    """What the settings have llm run.

    Attributes:
        base: The base; empty where answers quote the documents.
        state: A tuned state of it; empty if there is none.
        adapter: A LoRA or PiSSA adapter of it; empty if there is none.
        can_change: False if no services run, or a component of its own is set in their file.
    """

    base: str
    state: str
    adapter: str
    can_change: bool


def model_files(data_folder: Path, files: Path, jobs: list[Job]) -> list[LanguageModelFile]:
    """Return the bases and states on this machine, and the results of jobs of ``ft``.

    Args:
        data_folder: That of the services.
        files: The folder of tuning.
        jobs: Those of ``ft``.
    """
    return [*_downloaded(data_folder), *_in_folder(files), *_results(jobs)]


def _downloaded(data_folder: Path) -> Iterator[LanguageModelFile]:
    for each in list_models(data_folder):
        if each.format == GGUF:
            yield LanguageModelFile(each.name, BASE, GGUF, each.size)
        elif each.path.suffix == PTH and (kind := file_kind(each.path)):
            yield LanguageModelFile(each.name, kind, RWKV, each.size)


def _in_folder(folder: Path) -> Iterator[LanguageModelFile]:
    for each in list_files(folder):
        if each.kind in (BASE, STATE):
            yield LanguageModelFile(each.name, each.kind, RWKV, each.size)


def _results(jobs: list[Job]) -> Iterator[LanguageModelFile]:
    for job in jobs:
        if job.state is JobState.DONE and (kind := _kind_of_result(job)):
            base = str(job.arguments.get("base", ""))
            yield LanguageModelFile(f"{_OF_JOB}{job.id}", kind, RWKV, None, base)


def _kind_of_result(job: Job) -> str:
    """Return the kind of a job's result; empty if it is none of ours."""
    kind = {"state": STATE, "lora": ADAPTER, "pissa": ADAPTER}.get(job.task, "")
    result = job.result
    return kind if isinstance(result, dict) and isinstance(result.get("file"), str) else ""


def job_of(tuned: str) -> str:
    """Return the id of the job whose result a name is; empty if it is a file."""
    return tuned.removeprefix(_OF_JOB) if tuned.startswith(_OF_JOB) else ""


def chosen_model(settings: Settings, services: Settings | None) -> ChosenModel:
    """Return what llm runs.

    Args:
        settings: Of this process.
        services: Of the services that run, if any do.
    """
    used = services or settings
    llm = used.service_of(LlmSettings)
    if not used.uses(_LLM):
        model = used.generator.model if used.has_language_model else None
        return ChosenModel(model or "", "", "", can_change=False)
    if llm.generator is not None:
        return ChosenModel(llm.generator.model or llm.generator.type, "", "", can_change=False)
    runs = read_record(settings.data_folder) is not None
    folder = tuning_folder(settings.data_folder, used.service_of(TuningSettings).folder)
    return ChosenModel(
        _short(llm.base_model_file, folder),
        _short(llm.state_path, settings.data_folder / FOLDER / "ft"),
        _short(llm.adapter_path, settings.data_folder / FOLDER / "ft"),
        can_change=runs,
    )


def _short(name: str | None, folder: Path) -> str:
    """Return a file's name as it was chosen: that of a job for a result below its folder."""
    path = Path(name or "")
    if not path.is_absolute():
        return name or ""
    if not path.is_relative_to(folder):
        return path.name
    parts = path.relative_to(folder).parts
    return f"{_OF_JOB}{parts[0]}" if len(parts) > 1 else parts[0]


def choose_model(
    data_folder: Path, files: Path, base: str, tuned: str = "", job: Job | None = None
) -> None:
    """Have the running services use another model.

    Args:
        data_folder: Of the services.
        files: The folder of tuning.
        base: A name of ``model_files``; empty to quote the documents.
        tuned: The name of a state; empty for none.
        job: In place of it, the job whose result is used.

    Raises:
        RequestError: The names are none, or do not belong together.
        NotFoundError: There is no such file.
        ConflictError: No services run, or their file has a component of its own.
        SettingsError: The settings file cannot be changed.
    """
    record = read_record(data_folder)
    if record is None:
        raise ConflictError("no services run for this data folder: only their model can be changed")
    values: dict[str, str | None] = {
        "base_model_file": _base(data_folder, files, base) if base else None,
        "state_path": None,
        "adapter_path": None,
    }
    if job is not None:
        kind, path = _result(data_folder, job)
        if base != job.arguments.get("base"):
            raise RequestError(f"job {job.id} tuned the base {job.arguments.get('base')}")
        values["state_path" if kind == STATE else "adapter_path"] = str(path)
    elif tuned:
        values["state_path"] = _found(data_folder, files, tuned, STATE)
    if (job is not None or tuned) and not str(values["base_model_file"]).endswith(SUFFIXES):
        raise RequestError("a tuned state or adapter needs a base of RWKV")
    change_section(Path(record.config), _LLM, values, other_names=LlmSettings.later_names)


def _base(data_folder: Path, files: Path, name: str) -> str:
    if name.casefold().endswith(f".{GGUF}"):
        found = find_gguf(name, data_folder) if _is_hub_name(name) else None
        if found is None or found.format != GGUF:
            raise NotFoundError(f"there is no model '{name}' on this machine")
        return name
    return _found(data_folder, files, name, BASE)


def _found(data_folder: Path, files: Path, name: str, kind: str) -> str:
    """Return a file of the folder of tuning, or the name of a downloaded one."""
    if FILE_NAME.fullmatch(name):
        path = files / name
        chosen = str(path)
    elif _is_hub_name(name):
        try:
            path = find_downloaded(name, data_folder)
        except ModelNotFoundError as error:
            raise NotFoundError(f"there is no file '{name}' on this machine") from error
        if path.is_dir():
            path = _only_file(path, name)
        names_file = name.count("/") > 1
        chosen = name if names_file else f"{name}/{path.name}"
    else:
        raise RequestError(f"'{name}' is the name of no file")
    if not path.is_file() or file_kind(path) != kind:
        raise NotFoundError(f"there is no {kind} '{name}' on this machine")
    return chosen


def _only_file(folder: Path, name: str) -> Path:
    """Return the only file of weights of a downloaded model; llm names a file."""
    found = sorted(folder.glob("*.safetensors"))
    if len(found) != 1:
        raise RequestError(f"llm runs RWKV models of one file, and '{name}' has {len(found)}")
    return found[0]


def _is_hub_name(name: str) -> bool:
    parts = name.split("/")
    return len(parts) > 1 and all(map(FILE_NAME.fullmatch, parts))


def _result(data_folder: Path, job: Job) -> tuple[str, Path]:
    kind = _kind_of_result(job)
    if job.state is not JobState.DONE or not kind:
        raise ConflictError(f"job {job.id} has no result that llm could use")
    file = Path(job.result["file"])
    path = data_folder / FOLDER / "ft" / job.id / file
    if file.is_absolute() or ".." in file.parts or not path.exists():
        raise NotFoundError(f"the result of job {job.id} is not on this machine any more")
    return kind, path
