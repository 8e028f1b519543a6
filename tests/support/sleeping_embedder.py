"""A fake embedding model that takes seconds for one text."""

import time

from kvasir.testing.fakes import FakeEmbedder

SECONDS = 4.0


class SleepingEmbedder(FakeEmbedder):
    """A fake that sleeps before it embeds documents that say so."""

    def embed_documents(self, texts):
        if any("take your time" in text for text in texts):
            time.sleep(SECONDS)
        return super().embed_documents(texts)
