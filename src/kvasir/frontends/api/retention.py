"""Deletes old records of the answers log, once a day while the server runs."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from kvasir.app import App
from kvasir.core.errors import KvasirError
from kvasir.core.run import StopToken

logger = logging.getLogger(__name__)

DAY_SECONDS = 86_400.0
_RETRY_SECONDS = 300.0
_MOST_DAYS = 365_000.0


class Retention:
    """Deletes records older than ``answer_log.retention_days``; a thread runs it."""

    def __init__(self, app: App, stop: StopToken) -> None:
        """Delete nothing yet; ``stop`` ends ``run``."""
        self._app = app
        self._stop = stop

    def run(self) -> None:
        """Delete now and then every day; return when stopped, or if everything is kept."""
        if self._app.settings.answer_log.retention_days is None:
            return
        while not self._stop.is_set():
            seconds = DAY_SECONDS
            try:
                self.delete_old()
            except KvasirError as error:
                logger.error("old answers were not deleted: %s", error)
                seconds = _RETRY_SECONDS
            if self._stop.wait(seconds):
                return

    def delete_old(self) -> int:
        """Delete old records; return how many."""
        days = self._app.settings.answer_log.retention_days
        if days is None:
            return 0
        before = datetime.now(UTC) - timedelta(days=min(days, _MOST_DAYS))
        deleted = self._app.services.answer_log.delete_before(before)
        if deleted:
            logger.info("%d answers older than %g days were deleted", deleted, days)
        return deleted
