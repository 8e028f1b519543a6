"""Ingest the library, ask its questions, and print how well they are answered.

    python bench/questions/run.py                       both halves
    python bench/questions/run.py --half fit --details fit.jsonl
    python bench/questions/run.py --set rag.embedding_model.name=intfloat/multilingual-e5-small
    python bench/questions/run.py --second              another set, for work on the answers

The library is built once (see build.py) and ingested once for each choice of settings, into
``bench/work/questions``. Settings may be fitted to the half ``fit`` alone: look at no question of
the other half, whose figures are the ones to report. The second set asks about sheets, pages and
mails of ``bench/questions/second`` and about pages that the half ``fit`` does not ask about; its
questions may be read, so its figures are no measure of quality.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable
from hashlib import sha256
from itertools import chain
from pathlib import Path

from build import HERE, LIBRARY, WORK, build

import kvasir
from kvasir.core.run import Progress, Run
from kvasir.core.wire import dumps
from kvasir.evaluation.question_sets import HALVES, load_question_set
from kvasir.evaluation.questions import AskedQuestion, QuestionFigures, Share, figures
from kvasir.settings.loading import parse_assignment

HEADS = (
    "asked",
    "top 1",
    "top 3",
    "top 10",
    "satisfying",
    "words",
    "refused rightly",
    "refused wrongly",
    "unsure rightly",
    "unsure wrongly",
)


def measure(
    assignments: list[str], half: str | None, *, second: bool = False
) -> tuple[AskedQuestion, ...]:
    """Ask the questions; build and ingest first what is not there."""
    if not LIBRARY.is_dir():
        build()
    settings = dict(parse_assignment(text) for text in assignments)
    name = sha256(dumps(sorted(assignments)).encode()).hexdigest()[:8]
    overrides = {key.replace(".", "__"): value for key, value in settings.items()}
    overrides["data_dir"] = str(WORK / "indexes" / (f"{name}-second" if second else name))
    folders = (LIBRARY, HERE / "second") if second else (LIBRARY,)
    with kvasir.open(**overrides) as collection:
        files = chain.from_iterable(map(kvasir.files, folders))
        report = collection.ingest(*files, prune=True, run=Run(progress=_show()))
        if report.failed:
            sys.exit("\n".join(failure.line for failure in report.failed))
        collection.optimize(wait=True)
        documents = len(collection.documents())
        print(f"\n{documents} documents, {collection.chunk_count()} passages", file=sys.stderr)
        asked = load_question_set(HERE / ("second.jsonl" if second else "questions.jsonl"))
        return collection.evaluate(asked, half=half, run=Run(progress=_show())).cases


def _show() -> Callable[[Progress], None]:
    def show(progress: Progress) -> None:
        if progress.done % 20 == 0 or progress.done == progress.total:
            line = f"\r{progress.stage} {progress.done} of {progress.total} "
            print(line, end="", file=sys.stderr, flush=True)

    return show


def render(cases: list[AskedQuestion], attribute: str) -> str:
    """Return the figures of a half as a Markdown table, one row for each group."""
    groups: dict[str, list[AskedQuestion]] = {}
    for case in cases:
        groups.setdefault(getattr(case, attribute), []).append(case)
    rows = [(name, figures(group)) for name, group in sorted(groups.items())]
    rows.append(("all", figures(cases)))
    lines: list[tuple[object, ...]] = [(attribute, *HEADS), ("---", *("---:" for _ in HEADS))]
    lines += ((name, *_cells(each)) for name, each in rows)
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def _cells(each: QuestionFigures) -> tuple[object, ...]:
    shares = (each.top_1, each.top_3, each.top_10, each.satisfying)
    refused = (each.refused_rightly, each.refused_wrongly)
    refused += (each.unsure_rightly, each.unsure_wrongly)
    words = f"{each.words:.0f}"
    return each.questions, *map(_percent, shares), words, *map(_percent, refused)


def _percent(share: Share) -> str:
    if share.share is None:
        return "-"
    return f"{share.share:.0%} ({share.low:.0%}-{share.high:.0%})"


def main() -> None:
    """Measure, and print two tables for each half."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--half", choices=HALVES, help="ask one half alone")
    parser.add_argument("--second", action="store_true", help="ask the second set")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--details", type=Path, metavar="FILE", help="answers, as JSON lines")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    cases = measure(options.set, options.half, second=options.second)
    if options.details:
        lines = (dumps(case) + "\n" for case in cases)
        options.details.write_text("".join(lines), "utf-8")
    for half in HALVES:
        chosen = [case for case in cases if case.half == half]
        if chosen:
            seconds = sum(case.seconds for case in chosen) / len(chosen)
            print(f"\nHalf `{half}`, {seconds:.2f} s a question:\n")
            print(render(chosen, "kind"))
            print(render(chosen, "language"))


if __name__ == "__main__":
    main()
