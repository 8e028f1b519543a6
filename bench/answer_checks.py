"""How many wrong sentences of a language model are marked, and how many true ones.

    python bench/answer_checks.py                     XQuAD in en, es, vi and zh, 500 of each kind
    python bench/answer_checks.py --half fit --show 5

The sentences are made from XQuAD (``tests/support/perturbed_answers.py``): true ones in other
words, and the same with a number, a name or "not" changed. Each is held against its paragraph. The
halves are of paragraphs: the rules were chosen on the half ``fit``.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))

from perturbed_answers import Statement, statements

from kvasir.answering.support import Support
from kvasir.core.registry import build
from kvasir.core.types import Chunk, Hit
from kvasir.evaluation.datasets import load_dataset

ROOT = Path(__file__).resolve().parent.parent
LANGUAGES = ("en", "es", "vi", "zh")
KINDS = ("number", "name", "negation", "true")


def main() -> None:
    """Print a table of the shares that are marked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/retrieval")
    parser.add_argument("--half", choices=("fit", "report"))
    parser.add_argument("--most", type=int, default=500, help="sentences of a kind")
    parser.add_argument("--show", type=int, default=0, help="print so many errors of each kind")
    chosen = parser.parse_args()
    print("| language | " + " | ".join(f"{kind} marked" for kind in KINDS) + " |")
    print("|---" * (len(KINDS) + 1) + "|")
    for language in LANGUAGES:
        data = load_dataset(chosen.data / f"xquad-{language}")
        made = [s for s in statements(data, language) if _is_chosen(s, chosen.half)]
        print(_row(language, made, chosen.most, chosen.show))


def _is_chosen(statement: Statement, half: str | None) -> bool:
    return half is None or (sum(statement.paragraph.encode()) % 2 == 0) == (half == "fit")


def _row(language: str, made: Iterable[Statement], most: int, show: int) -> str:
    analyzer = build("analyzers", "bm25", {})
    counts: Counter[str] = Counter()
    marked: Counter[str] = Counter()
    shown: dict[str, list[str]] = defaultdict(list)
    for statement in made:
        if counts[statement.kind] == most:
            continue
        counts[statement.kind] += 1
        chunk = Chunk("1", "1", statement.paragraph, 0, 1, metadata={"language": language})
        missing = Support(statement.question, [Hit(chunk, 1.0)], analyzer).missing(
            statement.text, [1]
        )
        marked[statement.kind] += bool(missing)
        if bool(missing) == (statement.kind == "true"):
            shown[statement.kind].append(f"{statement.text}  -> {', '.join(missing) or 'nothing'}")
    for kind in KINDS:
        for line in shown[kind][:show]:
            print(f"{language} {kind}: {line}", file=sys.stderr)
    cells = (f"{100 * marked[k] / max(1, counts[k]):.1f} % of {counts[k]}" for k in KINDS)
    return f"| {language} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
