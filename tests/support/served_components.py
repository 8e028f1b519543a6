"""Components for services under load and under faults, which settings name."""

from __future__ import annotations

import os
import time
from pathlib import Path

from kvasir.core.errors import RequestError
from kvasir.testing.fakes import FakeEmbedder


class SlowEmbedder(FakeEmbedder):
    """Takes a while for each call."""

    def __init__(self, seconds: float = 0.2) -> None:
        super().__init__()
        self._seconds = seconds

    def embed_documents(self, texts):
        time.sleep(self._seconds)
        return super().embed_documents(texts)


class DyingEmbedder(FakeEmbedder):
    """Ends its process at once while a file is there."""

    def __init__(self, file: str) -> None:
        super().__init__()
        if Path(file).exists():
            os._exit(7)


class CountingRunner:
    """Counts to a number, which it keeps in a file; goes on where an attempt before it ended."""

    def __init__(self, seconds: float = 0.05) -> None:
        self._seconds = seconds

    def check(self, arguments):
        if not isinstance(arguments.get("most"), int):
            raise RequestError("most must be a whole number")

    def run(self, arguments, folder, run, report):
        file = folder / "count"
        count = int(file.read_text()) if file.exists() else 0
        if arguments.get("fails"):
            raise RequestError("it cannot be done")
        while count < arguments["most"]:
            run.step("counting", count, arguments["most"], "steps")
            time.sleep(self._seconds)
            count += 1
            draft = folder / "count.new"
            draft.write_text(str(count))
            draft.replace(file)
            report({"step": count, "loss": 1 / count})
        return {"count": count}
