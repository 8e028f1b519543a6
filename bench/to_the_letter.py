"""Check that extractive answers consist of the documents' text, character by character.

    python bench/to_the_letter.py                         XQuAD, 14,280 answers
    python bench/to_the_letter.py --data-dir DIR FILE     and the questions of a file

Each question of XQuAD in four languages is answered from its paragraph and the five after it, with
one, three and five sentences; what is quoted does not depend on the embedding model, so a fast one
is used. The questions of FILE are asked of the collection in DIR, through its own search.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

from quoted_text import changed_pieces, xquad_hits

import kvasir
from kvasir.core.protocols import Generator
from kvasir.core.registry import build
from kvasir.core.types import Hit, Prompt
from kvasir.evaluation.datasets import load_dataset
from kvasir.evaluation.question_sets import load_question_set, of_half
from kvasir.testing.fakes import FakeEmbedder

ROOT = Path(__file__).resolve().parent.parent
LANGUAGES = ("en", "es", "vi", "zh")


def asked(data: Path, folder: Path | None, file: Path | None) -> Iterator[tuple[str, list[Hit]]]:
    """Yield questions with their hits."""
    for language in LANGUAGES:
        yield from xquad_hits(load_dataset(data / f"xquad-{language}"))
    if folder and file:
        with kvasir.open(data_dir=str(folder.resolve())) as collection:
            for question in of_half(load_question_set(file), "fit"):
                yield question.question, list(collection.search(question.question, top_k=8))


def main() -> None:
    """Print how many answers were read, and every quotation that was changed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/retrieval")
    parser.add_argument("--data-dir", type=Path, metavar="DIR")
    parser.add_argument("file", type=Path, nargs="?", metavar="FILE")
    options = parser.parse_args()
    analyzer = build("analyzers", "bm25", {})
    generators: Sequence[Generator] = [
        build(
            "generators",
            "extractive",
            {"max_sentences": sentences},
            {"embedder": FakeEmbedder(), "analyzer": analyzer},
        )
        for sentences in (1, 3, 5)
    ]
    answers = changed = 0
    for question, hits in asked(options.data, options.data_dir, options.file):
        for generator in generators:
            pieces = list(generator.generate(Prompt(question, tuple(hits), ())))
            answers += 1
            for piece in changed_pieces(pieces, hits):
                changed += 1
                print(f"{question}\n  {piece!r}")
    print(f"{answers} answers, {changed} quotations that are not in the documents")
    sys.exit(changed > 0)


if __name__ == "__main__":
    main()
