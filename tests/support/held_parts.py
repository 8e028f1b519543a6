"""Components of settings that a test holds, by files of a folder, while they work in a process."""

import os
import signal
import time
from pathlib import Path

from kvasir.testing.fakes import FakeEmbedder

VARIABLE = "KVASIR_TEST_HOLD"
POISON = "a poison document"


class Hold:
    """The test's side: ``on`` holds every process that arrives, ``off`` lets them go on."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir()

    @property
    def environment(self):
        return {VARIABLE: str(self.folder)}

    def on(self):
        (self.folder / "hold").touch()

    def off(self):
        (self.folder / "hold").unlink(missing_ok=True)

    def arrived(self, pid):
        """Return True if a process is held, or was."""
        return (self.folder / f"held-{pid}").exists()


def _wait_here():
    folder = os.environ.get(VARIABLE)
    if folder is None:
        return
    gate = Path(folder) / "hold"
    end = time.monotonic() + 300
    while gate.exists() and time.monotonic() < end:
        (Path(folder) / f"held-{os.getpid()}").touch()
        time.sleep(0.02)


class HeldEmbedder(FakeEmbedder):
    """Waits before it embeds documents; a poison document ends its process."""

    def embed_documents(self, texts):
        if any(POISON in text for text in texts):
            os.kill(os.getpid(), signal.SIGKILL)
        _wait_here()
        return super().embed_documents(texts)


class HeldGenerator:
    """Waits before it answers."""

    def generate(self, prompt):
        _wait_here()
        yield "Green tea is brewed at 80 degrees. [1]"
