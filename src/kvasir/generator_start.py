"""Prepares the generator when a service starts; the answering threads wait for it.

On the first start Ollama may not run yet and its model may not be there. Questions are accepted
meanwhile and wait in their queue; none is tried, and so none fails.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from kvasir.core import registry
from kvasir.core.errors import KvasirError, StoppedError
from kvasir.core.protocols import Preparable
from kvasir.core.run import Progress, Run, StopToken

if TYPE_CHECKING:
    from kvasir.app import App

logger = logging.getLogger(__name__)

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0
_STEP = 10
"""Percent between two lines of the log."""


def prepare_generator(app: App, run: Run) -> None:
    """Fetch what the generator lacks for its first answer, such as a model of Ollama.

    Raises:
        KvasirError: It could not be fetched; a later try may succeed.
    """
    kind = registry.load("generators", app.settings.generator.type)
    # Another one is not made before it is needed.
    if hasattr(kind, "prepare"):
        cast(Preparable, app.generator).prepare(run)


class GeneratorStart:
    """Prepares the generator in a thread, again and again until it succeeds."""

    def __init__(self, prepare: Callable[[Run], None], stop: StopToken) -> None:
        """Call nothing yet; ``prepare`` is ``prepare_generator``, and the token ends it."""
        self._prepare = prepare
        self._stop = stop
        self._changed = threading.Event()
        self._is_ready = False
        self._logged = -1
        self._state = "starting"

    @property
    def state(self) -> str:
        """The state in a few words; ``ok`` when answers can be generated."""
        return "ok" if self._is_ready else self._state

    def run(self) -> None:
        """Prepare the generator; return when it is ready, or when the token is set."""
        pause = _FIRST_PAUSE
        while not self._stop.is_set() and not self._is_ready:
            try:
                self._prepare(Run(self._stop, self._report))
                self._is_ready = True
            except StoppedError:
                return
            except KvasirError as error:
                self._state = error.code
                logger.error("questions wait, because the generator is not ready: %s", error)
            except Exception:
                self._state = KvasirError.code
                logger.exception("questions wait, because the generator is not ready")
            if not self._is_ready:
                self._stop.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
        self._changed.set()

    def wait(self) -> bool:
        """Wait until the generator is ready; False if the token was set before."""
        with self._stop.calling(self._changed.set):
            self._changed.wait()
        return self._is_ready

    def _report(self, progress: Progress) -> None:
        percent = 100 * progress.done // progress.total if progress.total else 0
        self._state = f"fetching the model: {percent} %"
        # A model has several files, each of which begins at 0.
        if percent // _STEP != self._logged:
            self._logged = percent // _STEP
            logger.info("fetching the model: %s, %d %%", progress.item, percent)
