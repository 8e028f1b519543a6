"""Components for services under load and under faults, which settings name."""

from __future__ import annotations

import os
import time
from pathlib import Path

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
