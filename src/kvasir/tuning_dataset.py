"""Training data from the answers log: what users rated as good, in the form of the prompts.

A line has the prompt that the generator ``rwkv`` would have now, with the passages that a search
finds for the question, and the answer that was rated. Questions of the evaluation set, and those
that are nearly the same, are left out, because a measurement would be worth nothing otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kvasir.core.errors import MissingExtraError, RequestError
from kvasir.core.replaced_files import replace_text
from kvasir.core.run import Run
from kvasir.core.services.answer_log import LoggedAnswer
from kvasir.core.text import CJK, SOUTHEAST_ASIAN
from kvasir.core.types import Hit, Message, Prompt
from kvasir.language.normalization import normalize
from kvasir.tuning_files import example_line, is_good

_UNSPACED = CJK + SOUTHEAST_ASIAN
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
"""A word; in a script without spaces, a character."""
_MARKER = re.compile(r"\[(\d{1,4})\]")
_ALIKE = 0.7
"""Share of common runs of words from which on two questions count as the same."""
_RUN = 3

Search = Callable[[str], Sequence[Hit]]


@dataclass(slots=True)
class DatasetReport:
    """What became of the records of the log."""

    file: str
    written: int = 0
    not_rated_good: int = 0
    refused: int = 0
    of_other_collections: int = 0
    repeated: int = 0  # The same question was rated again later.
    leaking: int = 0  # Too much like a question of the evaluation set.
    without_source: int = 0  # A cited document is no longer found for the question.
    leaking_questions: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class PromptForm:
    """The form of the prompts of the generator ``rwkv``."""

    template: str
    system: str

    @classmethod
    def of_options(cls, options: Mapping[str, Any]) -> PromptForm:
        """Return the form that a generator's options give.

        Raises:
            MissingExtraError: PyTorch is not installed.
        """
        try:
            from kvasir.rwkv.prompts import SYSTEM, TEMPLATE
        except ModuleNotFoundError as error:
            raise MissingExtraError("tuning", "torch") from error
        return cls(str(options.get("template", TEMPLATE)), str(options.get("system", SYSTEM)))


class LeakageCheck:
    """Finds the questions that an evaluation set has, too."""

    def __init__(self, questions: Iterable[str]) -> None:
        """Take the questions of the evaluation set."""
        self._words, self._runs = set(), []
        for question in questions:
            words = _words(question)
            self._words.add(tuple(sorted(words)))
            self._runs.append(_runs(words))

    def leaks(self, question: str) -> bool:
        """Return True if a question has the same words, or nearly the same runs of words."""
        words = _words(question)
        if tuple(sorted(words)) in self._words:
            return True
        runs = _runs(words)
        return any(len(runs & each) >= _ALIKE * len(runs | each) for each in self._runs)


def make_dataset(
    log: Iterable[LoggedAnswer],
    search: Search,
    target: Path,
    form: PromptForm,
    *,
    collection: str,
    evaluation: Iterable[str] = (),
    run: Run | None = None,
) -> DatasetReport:
    """Write the answers that were rated as good as lines to tune with.

    Args:
        log: Its records, oldest first.
        search: Finds the passages of a question, as an answer has them.
        target: The JSONL file to write.
        form: That of the prompts.
        collection: Records of other collections are left out.
        evaluation: Questions that must not be learnt.
        run: Stops it.

    Raises:
        RequestError: Nothing is left to learn from.
        StorageError: The file cannot be written.
        StoppedError: The run was stopped; nothing was written.
    """
    run = run or Run()
    report, check = DatasetReport(str(target)), LeakageCheck(evaluation)
    chosen: dict[str, LoggedAnswer] = {}
    for answer in log:
        if answer.collection != collection:
            report.of_other_collections += 1
        elif answer.rating != 1:
            report.not_rated_good += 1
        elif not is_good(answer):
            report.refused += 1
        elif check.leaks(answer.question):
            report.leaking += 1
            report.leaking_questions.append(answer.question)
        else:
            key = " ".join(_words(answer.question))
            report.repeated += key in chosen
            chosen[key] = answer
    lines = []
    for number, answer in enumerate(chosen.values(), 1):
        run.check()
        text = _text(answer, search(answer.question), form)
        if text is None:
            report.without_source += 1
        else:
            lines.append(example_line(*text, answer=answer.id))
        run.report("collecting", number, len(chosen), "answers")
    report.written = len(lines)
    if not lines:
        raise RequestError(
            f"the log has nothing to learn from: {report.not_rated_good} answers are not rated as "
            f"good, {report.refused} refused, {report.leaking} of the evaluation set, "
            f"{report.without_source} without their sources, {report.of_other_collections} of "
            "other collections"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    replace_text(target, "".join(f"{line}\n" for line in lines))
    return report


def _text(answer: LoggedAnswer, hits: Sequence[Hit], form: PromptForm) -> tuple[str, str] | None:
    """Return prompt and answer; None if a source of the answer is not among the hits."""
    from kvasir.rwkv.prompts import segments, stable_order

    order = stable_order(hits)
    numbers = {place: number for number, place in enumerate(order, 1)}
    uris = [str(hit.chunk.metadata.get("source_uri", "")) for hit in hits]
    if any(source not in uris for source in answer.sources):
        return None
    marked = list(dict.fromkeys(_MARKER.findall(answer.answer)))
    if len(answer.sources) == 1:
        by_marker = dict.fromkeys(marked, answer.sources[0])
    elif len(marked) == len(answer.sources):
        # Sources are in the order in which the answer cites them.
        by_marker = dict(zip(marked, answer.sources, strict=True))
    else:
        return None

    def renumbered(marker: re.Match[str]) -> str:
        return f"[{numbers[uris.index(by_marker[marker[1]])]}]"

    question = answer.question
    prompt = Prompt(question, tuple(hits), (Message("user", question),))
    asked = "".join(segments(prompt, form.template, form.system, order))
    return asked, _MARKER.sub(renumbered, answer.answer)


def _words(text: str) -> list[str]:
    return _WORD.findall(normalize(text).casefold())


def _runs(words: Sequence[str]) -> set[tuple[str, ...]]:
    padded = ["", *words, ""]
    return {tuple(padded[i : i + _RUN]) for i in range(max(1, len(padded) - _RUN + 1))}
