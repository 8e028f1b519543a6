"""Whether an answer of the extractive generator consists of the documents' text, to the letter."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from kvasir.core.markers import PROTECTION
from kvasir.core.types import Chunk, Hit
from kvasir.evaluation.datasets import RetrievalDataset

_JOINT = re.compile(r"\s*(?:\[\d+\])*\s*")
"""What stands between quotations: white space and markers."""
_OMISSION = re.compile(r"^… | …$|\n…(?: \(\d+/\d+\))?$")
_RULE = re.compile(r"[\s|:-]+")


def changed_pieces(pieces: Sequence[str], hits: Sequence[Hit]) -> list[str]:
    """Return the quotations that are not, but for white space, in one of the hits' texts.

    The header of a table that began in an earlier passage comes from the headings: its cells are
    compared one by one.
    """
    texts = [" ".join(hit.chunk.text.split()) for hit in hits]
    headings = {" ".join(h.split()) for hit in hits for h in hit.chunk.headings}
    cells = {cell.strip() for heading in headings for cell in heading.split("|")}
    changed = []
    for piece in pieces:
        if _JOINT.fullmatch(piece):
            continue
        quoted = " ".join(_OMISSION.sub("", piece.replace(PROTECTION, "")).split())
        if any(quoted in text for text in texts) or quoted in headings:
            continue
        lines = [line for line in piece.splitlines() if not _RULE.fullmatch(line)]
        own = [cell.strip() for line in lines for cell in line.strip("| ").split("|")]
        if not all(cell in cells for cell in own):
            changed.append(piece)
    return changed


def xquad_hits(data: RetrievalDataset) -> Iterator[tuple[str, list[Hit]]]:
    """Yield each question with its paragraph and the five after it as hits."""
    order = {passage.id: number for number, passage in enumerate(data.passages)}
    language = data.name.rsplit("-", 1)[-1]
    for query in data.queries:
        first = order[next(iter(data.qrels[query.id]))]
        chosen = data.passages[first : first + 6]
        yield (
            query.text,
            [
                Hit(
                    Chunk(p.id, p.title, p.text, 0, len(p.text), metadata={"language": language}),
                    1.0 - 0.1 * number,
                )
                for number, p in enumerate(chosen)
            ],
        )
