"""Limits on how often something may be tried."""

from __future__ import annotations

from enum import StrEnum
from typing import Protocol


class LimitedAction(StrEnum):
    """What is limited; the settings have a limit for each."""

    LOGIN = "login"
    REGISTRATION = "registration"
    RECOVERY = "recovery"
    QUESTIONS = "questions"


class RateLimits(Protocol):
    """Counts actions by a key, such as a client's address or a user."""

    def hit(self, action: LimitedAction, key: str, *, times: int = 1) -> None:
        """Count an action, which is allowed ``times`` as often as the settings say.

        Raises:
            RateLimitedError: There were too many; it says when the next one is allowed.
            ComponentError: The storage that servers share does not answer.
        """
