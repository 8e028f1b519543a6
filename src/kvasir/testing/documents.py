"""Documents generated for tests."""

from __future__ import annotations

import random
from pathlib import Path

_NOUNS = ("river", "harbour", "engine", "library", "winter", "market", "garden", "signal", "copper")
_VERBS = ("carries", "opens", "needs", "hides", "follows", "measures", "colours", "answers")


def write_notes(folder: Path, count: int, seed: int = 0) -> list[Path]:
    """Write small text files, each with other text, and return their paths.

    The same seed gives the same texts; the folder is made if needed.
    """
    rng = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"note-{number:04d}.txt" for number in range(count)]
    for number, path in enumerate(paths):
        sentences = []
        for _ in range(4):
            first, second = rng.choices(_NOUNS, k=2)
            verb, value = rng.choice(_VERBS), rng.randrange(1000)
            sentences.append(f"The {first} of note {number} {verb} the {second} {value}.")
        path.write_text(" ".join(sentences) + "\n", "utf-8")
    return paths
