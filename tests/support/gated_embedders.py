"""Fake embedding models, of which one waits in its calls until the test lets it go on."""

from __future__ import annotations

import threading
from typing import ClassVar

from kvasir.testing.fakes import NamedEmbedder


class GatedEmbedder(NamedEmbedder):
    """A fake with a name; the model ``held`` waits at the gate before it embeds documents."""

    gate: ClassVar[threading.Event] = threading.Event()
    arrived: ClassVar[threading.Event] = threading.Event()
    held: ClassVar[str] = ""
    calls: ClassVar[list[tuple[str, int]]] = []

    def embed_documents(self, texts):
        if self.name == self.held and texts:
            self.arrived.set()
            assert self.gate.wait(60)
        self.calls.append((self.name, len(texts)))
        return super().embed_documents(texts)

    @classmethod
    def hold(cls, name):
        """Hold a model at the gate."""
        cls.held = name
        cls.gate.clear()
        cls.arrived.clear()
        cls.calls.clear()
