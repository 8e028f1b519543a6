"""Tune RWKV models: training data, a state or an adapter, and files for other programs.

The work is that of ``kvasir.rwkv``, which is imported when it is needed: it needs the extra
``torch``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from kvasir.core.errors import ConflictError, MissingExtraError, SettingsError, StorageError
from kvasir.core.operating_system import return_freed_memory
from kvasir.core.run import Run
from kvasir.core.services.tuning import MemoryNeed

_LEAST_TOKENS = 2
"""Of an example: the first token follows no other, so it is not learnt."""


@dataclass(frozen=True, slots=True)
class TuningReport:
    """What a tuning came to."""

    file: str  # The state, or the folder of the adapter: the best so far.
    steps: int
    loss_before: float  # Of the held-out examples, in nats a token.
    loss: float
    ended_early: bool  # The held-out loss got no better.
    examples: int  # With those that were held out, without those that were left out.
    shortened: int  # Examples that were longer than the context.
    left_out: int  # Documents in which there is nothing to learn.


@dataclass(slots=True)
class _Examples:
    """The examples of a file, and what became of its other documents."""

    examples: list[Any] = field(default_factory=list)
    shortened: int = 0
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class PreparedData:
    """Training data that was written."""

    file: str  # Without ``.bin`` and ``.idx``.
    documents: int


def prepare_data(
    sources: Sequence[Path], target: Path, *, processes: int = 1, run: Run | None = None
) -> PreparedData:
    """Write JSONL files of ``{"text": ...}`` as ``TARGET.bin`` and ``TARGET.idx``.

    Raises:
        RequestError: A line has no text.
        ConflictError: Another process writes this target.
        StorageError: The folder cannot be written.
        MissingExtraError: PyTorch is not installed.
        StoppedError: The run was stopped.
    """
    try:
        from kvasir.rwkv.binidx import prepare
    except ModuleNotFoundError as error:
        raise MissingExtraError("tuning", "torch") from error
    with _only_writer(target):
        count = prepare(sources, target, processes=processes, run=run)
    return PreparedData(str(target), count)


def tune(
    kind: str,
    model: str,
    data: Path,
    folder: Path,
    *,
    data_dir: Path,
    context: int = 512,
    device: str | None = None,
    options: Mapping[str, Any] | None = None,
    run: Run | None = None,
    report: Callable[[Mapping[str, Any]], None] = lambda _: None,
) -> TuningReport:
    """Tune a base, or go on with the run in the folder.

    Args:
        kind: ``state``, ``lora`` or ``pissa``.
        model: The base, as ``generator.model``.
        data: A JSONL file, or the ``.bin`` and ``.idx`` that were made of some.
        folder: Where checkpoint, metrics and result are written.
        data_dir: The folder below which downloaded models are.
        context: Most tokens of an example; a longer one is shortened.
        device: By default CUDA where there is one.
        options: Those of ``kvasir.rwkv.tuning.TuneOptions``.
        run: Stops and reports it.
        report: Takes each line of the metrics, such as ``{"step": 10, "loss": 2.5}``.

    Raises:
        SettingsError: The base, the data or an option is unusable.
        ComponentError: There is too little memory, or a file is damaged.
        MissingExtraError: PyTorch or peft is not installed.
        StorageError: The folder cannot be written.
        ConflictError: Another process works in the folder.
        StoppedError: The run was stopped.
    """
    # The peak is a third lower, and the same each time.
    return_freed_memory()
    try:
        import peft as _peft  # noqa: F401 - Said before the model is read.

        from kvasir.models.devices import usable_device
        from kvasir.models.rwkv_files import find_rwkv
        from kvasir.rwkv import memory, tune_options, tuning, weights
    except ModuleNotFoundError as error:
        raise MissingExtraError("tuning", "torch") from error
    run = run or Run()
    chosen = tune_options.TuneOptions(kind, **(options or {}))
    path = find_rwkv(model, data_dir)
    on = usable_device(device)
    with work_folder(folder):
        found = weights.read_weights(path)
        read = _examples(data, path, context, run)
        examples = read.examples
        memory.check(memory.estimate(found, chosen, examples), on, str(path))
        run.check()
        made = weights.make_model(found, path, device=on)
        if max(max(example.tokens) for example in examples) >= made.emb.num_embeddings:
            raise SettingsError(f"{data} was made for a larger vocabulary than that of {path.name}")
        base = weights.fingerprint(found.tensors)
        result = tuning.Tuning(made, base, examples, folder, chosen, report).run(run)
    return TuningReport(
        str(result.file),
        result.steps,
        result.before,
        result.best,
        result.ended_early,
        len(examples),
        read.shortened,
        read.left_out,
    )


@contextmanager
def work_folder(folder: Path) -> Iterator[None]:
    """Make a folder, and let one process at a time work in it.

    A folder that was made, and in which nothing came to be, is removed when the work fails.

    Raises:
        StorageError: It cannot be made or written.
        ConflictError: Another process works in it.
    """
    with _locked(folder / ".lock", f"another process works in {folder}"):
        yield


@contextmanager
def _only_writer(target: Path) -> Iterator[None]:
    """Let one process at a time write a target; its folder is made.

    A folder that was made, and in which nothing came to be, is removed when the work fails.

    Raises:
        SettingsError: The target has no name.
        StorageError: The folder cannot be made or written.
        ConflictError: Another process writes it.
    """
    if not target.name:
        raise SettingsError(f"{target} is a folder: name what is to be written in it")
    with _locked(target.with_name(f".{target.name}.lock"), f"another process writes {target}"):
        yield


@contextmanager
def _locked(file: Path, conflict: str) -> Iterator[None]:
    """Hold a lock; raise ``ConflictError`` with this message if another process has it.

    If the work fails, its folder is removed if it was made here and has nothing else.
    """
    lock, is_new = FileLock(file, timeout=0), not file.parent.exists()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as error:
        raise ConflictError(conflict) from error
    except OSError as error:
        why = f"nothing can be written in {file.parent}: {error.strerror}"
        raise StorageError(why) from error
    try:
        yield
    except BaseException:
        if is_new and list(file.parent.iterdir()) == [file]:
            file.unlink()
            file.parent.rmdir()
        raise
    finally:
        lock.release()


def memory_for_tuning(
    kind: str,
    model: str,
    data: Path,
    *,
    data_dir: Path,
    context: int = 512,
    device: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> MemoryNeed:
    """Return the memory that ``tune`` would need with these arguments, and what is free.

    Raises:
        SettingsError: The base, the data or an option is unusable.
        ComponentError: A file is damaged.
        MissingExtraError: PyTorch is not installed.
    """
    try:
        from kvasir.models.devices import usable_device
        from kvasir.models.rwkv_files import find_rwkv
        from kvasir.rwkv import memory, tune_options, weights
        from kvasir.rwkv.binidx import longest_document
        from kvasir.rwkv.tuning_data import Example
    except ModuleNotFoundError as error:
        raise MissingExtraError("tuning", "torch") from error
    on = usable_device(device)
    path = find_rwkv(model, data_dir)
    chosen = tune_options.TuneOptions(kind, **(options or {}))
    # As if all examples were as long as the longest, of which every token is learnt.
    tokens = min(context + 1, longest_document(data))
    if tokens < _LEAST_TOKENS:
        raise _nothing_to_learn(data)
    example = Example((0,) * tokens, (True,) * tokens)
    examples = [example] * chosen.micro_batch
    needed = memory.estimate(weights.read_weights(path), chosen, examples)
    return MemoryNeed(needed.total, memory.free_memory(on), on)


def _examples(data: Path, model: Path, context: int, run: Run) -> _Examples:
    from kvasir.rwkv.binidx import Documents, read_texts
    from kvasir.rwkv.tokenizer import END_OF_DOCUMENT, tokenizer_of
    from kvasir.rwkv.tuning_data import example_of

    tokenizer = tokenizer_of(model)
    if data.suffix in (".jsonl", ".json"):
        texts = read_texts([data])
        documents: Any = ([*tokenizer.encode(text), END_OF_DOCUMENT] for text in texts)
    else:
        stored = Documents(data)
        documents = (stored[number] for number in range(len(stored)))
    found = _Examples()
    for tokens in documents:
        run.check()
        example = example_of(tokens, tokenizer, context)
        if example is None:
            found.left_out += 1
        else:
            found.examples.append(example)
            found.shortened += len(example.tokens) < len(tokens)
    if not found.examples:
        raise _nothing_to_learn(data)
    return found


def _nothing_to_learn(data: Path) -> SettingsError:
    return SettingsError(f"{data} has nothing to learn")


def export_model(model: str, target: Path, *, data_dir: Path, adapter: str | None = None) -> Path:
    """Write a model as a ``.pth`` file or, for any other name, as a folder in the layout of fla.

    ``adapter`` is merged into the weights.

    Raises:
        SettingsError: The model or the adapter is unusable, the target is there already, or its
            layout cannot hold the model.
        ConflictError: Another process writes this target.
        StorageError: The folder cannot be written.
        MissingExtraError: PyTorch is not installed.
    """
    try:
        from kvasir.models.rwkv_files import find_rwkv
        from kvasir.rwkv import adapter_files, weights
    except ModuleNotFoundError as error:
        raise MissingExtraError("tuning", "torch") from error
    # Nothing is made for a model that is refused.
    _check_is_free(target)
    path = find_rwkv(model, data_dir)
    found, is_folder = weights.read_weights(path), target.suffix != ".pth"
    if is_folder and (found.time_state or found.layout == weights.EMBEDDING):
        has = "a tuned state" if found.time_state else "heads for embedding"
        raise SettingsError(
            f"{path} has {has}, which the layout of fla cannot hold: write it as a .pth file"
        )
    if adapter:
        made = weights.make_model(found, path)
        loaded = adapter_files.load_adapter(
            find_rwkv(adapter, data_dir), made, weights.fingerprint(found.tensors)
        )
        found = replace(found, tensors=adapter_files.merge(found.tensors, loaded))
    with _only_writer(target):
        _check_is_free(target)
        if is_folder:
            weights.save_fla(found.tensors, target)
        else:
            weights.save_pth(found.named_as_pth(), target)
    return target


def _check_is_free(target: Path) -> None:
    if target.exists():
        raise SettingsError(f"{target} is there already")
