"""The closed loop of tuning: rated answers -> training set -> tuning -> evaluation -> promotion.

A round has a folder with a record of its steps. A round that was interrupted goes on with the first
step that is not recorded, or within it: tuning from its checkpoint, an evaluation with the next
question. Until tuning has a checkpoint, the round begins again, with the log and the options of
then. What is used is changed at the very end, by replacing one small file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kvasir.app import App
from kvasir.core.errors import ComponentError, MissingExtraError, SettingsError
from kvasir.core.replaced_files import replace_text
from kvasir.core.run import Progress, Run
from kvasir.core.wire import from_json, to_json
from kvasir.derived_app import with_settings
from kvasir.evaluation.compare import Comparison, paired_bootstrap
from kvasir.evaluation.question_sets import JudgedQuestion, load_question_set
from kvasir.tuning import tune, work_folder
from kvasir.tuning_dataset import PromptForm, make_dataset

if TYPE_CHECKING:
    from kvasir.rwkv.promotion import Promoted

ROUNDS, RECORD, DATASET, RUN = "rounds", "record.json", "dataset.jsonl", "run"
INCUMBENT, CANDIDATE = "incumbent", "candidate"
_TUNED_OPTIONS = ("state", "adapter", "tuned")


@dataclass(frozen=True, slots=True)
class RoundResult:
    """The result of a round.

    Attributes:
        round: Its number, from 1.
        folder: Where its files are.
        examples, shortened, left_out: As in ``kvasir.tuning.TuningReport``; each example is an
            answer of the log.
        loss_before, loss: Of held-out examples, in nats a token.
        incumbent, candidate: Share of the judged questions that are answered well.
        questions: That were judged.
        comparison: Candidate against incumbent, question by question.
        promoted: True if the candidate is used from now on.
    """

    round: int
    folder: str
    examples: int
    shortened: int
    left_out: int
    loss_before: float
    loss: float
    incumbent: float
    candidate: float
    questions: int
    comparison: Comparison
    promoted: bool


@dataclass(frozen=True, slots=True)
class RoundOptions:
    """How a round is done.

    Attributes:
        kind: ``state``, ``lora`` or ``pissa``.
        questions: File of the questions that decide, as ``load_question_set`` reads it.
        context: Most tokens of an example; by default that of the round that goes on, or the window
            of the generator.
        device: Where the model is tuned; by default CUDA where there is one.
        tuning: Options of ``kvasir.rwkv.tuning.TuneOptions``.
    """

    kind: str
    questions: Path
    context: int | None = None
    device: str | None = None
    tuning: Mapping[str, Any] | None = None


class _Record:
    """The steps of a round that are done, in a file that is replaced with each."""

    def __init__(self, folder: Path, identity: Mapping[str, Any], *, goes_on: bool) -> None:
        """Read the record of a round that goes on, or begin one.

        Raises:
            SettingsError: The round was begun with other options.
        """
        self._path = folder / RECORD
        self._steps: dict[str, Any] = {}
        if goes_on and self._path.is_file():
            found = _recorded(self._path)
            differing = [key for key in identity if found["identity"].get(key) != identity[key]]
            if differing:
                raise SettingsError(
                    f"{folder} has a round that is not finished, with another "
                    f"{' and another '.join(differing)}: finish it, or delete the folder"
                )
            self._steps = found["steps"]
        else:
            folder.mkdir(parents=True, exist_ok=True)
        self._identity = dict(identity)
        self._write()

    def get(self, step: str) -> Any:
        """Return what is recorded of a step; None if it is not done."""
        return self._steps.get(step)

    def add(self, step: str, result: Mapping[str, Any]) -> Mapping[str, Any]:
        """Record a step that is done."""
        done = {**result, "at": datetime.now(UTC).isoformat(timespec="seconds")}
        self._steps[step] = done
        self._write()
        return done

    def _write(self) -> None:
        record = {"identity": self._identity, "steps": self._steps}
        content = json.dumps(record, indent=2) + "\n"
        replace_text(self._path, content)


def improve(
    app: App,
    folder: Path,
    options: RoundOptions,
    *,
    run: Run | None = None,
    report: Callable[[Mapping[str, Any]], None] = lambda _: None,
) -> RoundResult:
    """Do a round, or go on with the one that was interrupted.

    The candidate is promoted if it answers significantly more of the questions well than what was
    promoted last; otherwise it is refused and kept.

    Args:
        app: Its generator must be ``rwkv``, with the base that is tuned.
        folder: Of all rounds; the generator's option ``tuned`` names it.
        options: How the round is done.
        run: Stops it and takes its progress.
        report: Takes each line of the metrics of tuning.

    Raises:
        SettingsError: The generator is of another type, or the round was begun with other options.
        RequestError: The log has nothing to learn from, or the questions cannot be used.
        MissingExtraError: PyTorch is not installed.
        StoppedError: The run was stopped; the next call goes on.
    """
    try:
        from kvasir.models.rwkv_files import find_rwkv
        from kvasir.rwkv.promotion import Promoted, read_promoted, write_promoted
        from kvasir.rwkv.tuning import CHECKPOINT
        from kvasir.rwkv.weights import fingerprint, read_weights
    except ModuleNotFoundError as error:
        raise MissingExtraError("tuning", "torch") from error
    run = run or Run()
    chosen = app.settings.generator
    if chosen.type != "rwkv" or not chosen.model:
        raise SettingsError("the closed loop needs generator.type rwkv and generator.model")
    questions = load_question_set(options.questions)
    model = find_rwkv(chosen.model, app.settings.data_folder)
    base = fingerprint(read_weights(model).tensors)
    with work_folder(folder):
        number, place = _round(folder)
        goes_on = (place / RUN / CHECKPOINT).is_file()
        context = options.context or _default_context(app, place / RECORD, goes_on=goes_on)
        record = _Record(place, _identity(options, base, context), goes_on=goes_on)
        if not goes_on:
            for side in (INCUMBENT, CANDIDATE):
                (place / f"{side}.jsonl").unlink(missing_ok=True)
        start = record.get("start") or record.add(
            "start", {"promoted": to_json(read_promoted(folder)), "chosen": _chosen_files(app)}
        )
        before = from_json(Promoted | None, start["promoted"])
        if before is not None and before.base != base:
            raise SettingsError(f"{folder} belongs to another base than {chosen.model}")
        dataset = record.get("dataset") or record.add(
            "dataset", _collect(app, place / DATASET, questions, run)
        )
        tuned = record.get("tuning") or record.add(
            "tuning", _tune(app, place, options, str(model), context, run, report)
        )
        file = f"{ROUNDS}/{place.name}/{tuned['file']}"
        candidate = Promoted(options.kind, file, base, number)
        judged = {}
        # A record of an older version has neither this nor the counts of the examples.
        chosen_files = start["chosen"] if "chosen" in start else _chosen_files(app)
        used = chosen_files if before is None else _files_of(before, folder)
        for side, files in ((INCUMBENT, used), (CANDIDATE, _files_of(candidate, folder))):
            if record.get(side) is None:
                answered = _answer(app, place / f"{side}.jsonl", questions, files, run)
                record.add(side, {"satisfying": answered})
            judged[side] = record.get(side)["satisfying"]
        decided = record.get("decision") or record.add("decision", _decide(judged))
        if decided["promoted"]:
            # Also if an earlier attempt ended between the decision and this.
            write_promoted(folder, candidate)
        record.add("end", {})
    return RoundResult(
        number,
        str(place),
        tuned.get("examples", dataset["written"]),
        tuned.get("shortened", 0),
        tuned.get("left_out", 0),
        tuned["loss_before"],
        tuned["loss"],
        decided["incumbent"],
        decided["candidate"],
        decided["questions"],
        Comparison(**decided["comparison"]),
        decided["promoted"],
    )


def _default_context(app: App, record: Path, *, goes_on: bool) -> int:
    """Return the context that the round began with, or the window of the generator."""
    generator: Any = app.generator
    begun = _recorded(record)["identity"] if goes_on and record.is_file() else {}
    found: int = begun.get("context") or generator.context_tokens()
    return found


def _chosen_files(app: App) -> dict[str, str]:
    """Return the state and the adapter that the settings choose, as options of the generator."""
    options = app.settings.generator.options
    return {key: options[key] for key in _TUNED_OPTIONS if options.get(key)}


def _files_of(promoted: Promoted, folder: Path) -> dict[str, str]:
    """Return a state or an adapter of a round as an option of the generator."""
    return {"state" if promoted.kind == "state" else "adapter": str(folder / promoted.file)}


def _recorded(path: Path) -> dict[str, Any]:
    """Return the record of a round.

    Raises:
        ComponentError: It is damaged.
    """
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
        _ = {**found["identity"], **found["steps"]}
    except (ValueError, TypeError, KeyError) as error:
        why = f"{path} is damaged: delete its folder, and the round begins again"
        raise ComponentError("tuning", "reading a round", why) from error
    return found


def _round(folder: Path) -> tuple[int, Path]:
    """Return number and folder of the round that is not finished, or of the next one."""
    folders = (each for each in (folder / ROUNDS).glob("*") if each.is_dir())
    numbers = [int(each.name) for each in folders if each.name.isdecimal()]
    last = max(numbers, default=0)
    path = folder / ROUNDS / f"{last:04}" / RECORD
    if last and not (path.is_file() and "end" in _recorded(path)["steps"]):
        return last, path.parent
    return last + 1, folder / ROUNDS / f"{last + 1:04}"


def _identity(options: RoundOptions, base: str, context: int) -> dict[str, Any]:
    seen = hashlib.sha256(options.questions.read_bytes()).hexdigest()
    return {
        "base": base,
        "kind": options.kind,
        "context": context,
        "tuning": dict(options.tuning or {}),
        "questions": seen,
    }


def _collect(
    app: App, target: Path, questions: Sequence[JudgedQuestion], run: Run
) -> Mapping[str, Any]:
    with app.collection() as collection:
        done = make_dataset(
            app.services.answer_log.export(),
            collection.search,
            target,
            PromptForm.of_options(app.settings.generator.options),
            collection=collection.name,
            evaluation=[each.question for each in questions],
            run=run,
        )
    found: dict[str, Any] = to_json(done)
    return found


def _tune(
    app: App,
    place: Path,
    options: RoundOptions,
    model: str,
    context: int,
    run: Run,
    report: Callable[[Mapping[str, Any]], None],
) -> Mapping[str, Any]:
    done = tune(
        options.kind,
        model,
        place / DATASET,
        place / RUN,
        data_dir=app.settings.data_folder,
        context=context,
        device=options.device,
        options=options.tuning,
        run=run,
        report=report,
    )
    return {**to_json(done), "file": str(Path(done.file).relative_to(place))}


def _answer(
    app: App,
    target: Path,
    questions: Sequence[JudgedQuestion],
    files: Mapping[str, str],
    run: Run,
) -> list[bool | None]:
    """Ask the questions with a state or an adapter; go on after those that are in the file."""
    known = _read_lines(target)
    conversations = _conversations(questions)
    options = {
        key: value
        for key, value in app.settings.generator.options.items()
        if key not in _TUNED_OPTIONS
    }
    with (
        with_settings(app, {"generator.options": {**options, **files}}) as derived,
        derived.collection() as collection,
    ):
        for asked in conversations:
            if asked[-1].id in known:
                continue
            result = collection.evaluate(asked, run=Run(run.stop))
            lines = [
                {"id": case.id, "satisfying": case.satisfying, "answer": case.answer}
                for case in result.cases
            ]
            with target.open("a", encoding="utf-8") as stream:
                stream.write("".join(json.dumps(line) + "\n" for line in lines))
            known |= {case.id: case.satisfying for case in result.cases}
            run.progress(Progress(f"answering, {target.stem}", len(known), len(questions)))
    return [known[question.id] for question in questions]


def _conversations(questions: Sequence[JudgedQuestion]) -> list[list[JudgedQuestion]]:
    """Return each question with the follow-ups of it."""
    found: dict[str, list[JudgedQuestion]] = {}
    for question in questions:
        own = found.get(question.after, []) if question.after else []
        own.append(question)
        found[question.id] = own
    return list({id(each): each for each in found.values()}.values())


def _read_lines(path: Path) -> dict[str, bool | None]:
    """Return the judgements of a file; a last line that was cut off is taken out of it.

    Raises:
        ComponentError: Another line is damaged.
    """
    if not path.is_file():
        return {}
    found = {}
    kept = ""
    for line in path.read_text("utf-8", errors="replace").splitlines(keepends=True):
        if not line.endswith("\n"):
            break
        try:
            each = json.loads(line)
            found[each["id"]] = each["satisfying"]
        except (ValueError, TypeError, KeyError) as error:
            why = f"{path} is damaged: delete it, and its answers are judged again"
            raise ComponentError("tuning", "reading judgements", why) from error
        kept += line
    replace_text(path, kept)
    return found


def _decide(judged: Mapping[str, Sequence[bool | None]]) -> Mapping[str, Any]:
    """Compare the two on the questions that were judged."""
    pairs = list(_judged_pairs(judged))
    if not pairs:
        raise SettingsError("no question could be judged: name strings that an answer must have")
    incumbent, candidate = (np.array(side, dtype=np.float64) for side in zip(*pairs, strict=True))
    comparison = paired_bootstrap(incumbent, candidate)
    return {
        "incumbent": float(incumbent.mean()),
        "candidate": float(candidate.mean()),
        "questions": len(pairs),
        "comparison": {key: value for key, value in to_json(comparison).items() if key != "real"},
        "promoted": comparison.difference > 0 and comparison.real,
    }


def _judged_pairs(judged: Mapping[str, Sequence[bool | None]]) -> Iterator[tuple[bool, bool]]:
    for before, after in zip(judged[INCUMBENT], judged[CANDIDATE], strict=True):
        if before is not None and after is not None:
            yield before, after
