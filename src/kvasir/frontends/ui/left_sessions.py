"""Frees the memory of sessions whose pages were left.

Streamlit keeps the state of a page that was left for ``server.disconnectedSessionTTL`` seconds, and
looks for what is older only when another page breaks off: on a quiet server never.
Source: https://github.com/streamlit/streamlit/issues/12506
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from streamlit import config
from streamlit.runtime import get_instance

_SHARE = 0.5
"""Of the time that a session is kept, between two looks."""


@asynccontextmanager
async def freeing(_: Any) -> AsyncIterator[None]:
    """Free the memory of left sessions during the block; a lifespan of ``st.App``."""
    task = asyncio.create_task(_free_again_and_again())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _free_again_and_again() -> None:
    kept: float = config.get_option("server.disconnectedSessionTTL")
    while True:
        await asyncio.sleep(max(0.5, kept * _SHARE))
        running: Any = get_instance()
        free(running._session_mgr._session_storage)


def free(storage: Any) -> None:
    """Delete the sessions that were left for too long."""
    if storage._cache.expire():
        # A session and its state refer to each other.
        gc.collect()
