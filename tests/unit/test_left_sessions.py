"""The memory of a session that was left is free after a while, also on a quiet server."""

import gc
import time
import weakref
from types import SimpleNamespace

from streamlit.runtime.memory_session_storage import MemorySessionStorage

from kvasir.frontends.ui.left_sessions import free


class State:
    """A session whose state refers to it."""

    def __init__(self, name):
        self.id = name
        self.state = {"session": self}


def test_a_session_is_freed_when_its_time_is_over_and_not_before():
    storage = MemorySessionStorage(ttl_seconds=0.3)
    session = State("one")
    seen = weakref.ref(session)
    storage.save(SimpleNamespace(session=session))
    del session
    free(storage)
    assert seen() is not None
    time.sleep(0.35)
    gc.disable()
    try:
        free(storage)
        assert seen() is None
    finally:
        gc.enable()
