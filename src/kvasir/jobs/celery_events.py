"""Events of Celery from tasks in threads, none of which is lost.

Celery keeps the events of tasks in a list, which the thread of its event loop publishes and then
clears. An event that a task's thread adds between the two is lost: of twelve short tasks on
RabbitMQ, which confirms each message, two were seen to start. A full list is published by the
thread of a task, beside that of the event loop, over a connection that is made for one thread.

Source: ``celery.events.dispatcher`` of Celery 5.6.
"""

from __future__ import annotations

from typing import Any

from celery.app.events import Events
from celery.events.dispatcher import EventDispatcher
from celery.events.event import group_from

EVENTS = "kvasir.jobs.celery_events:ThreadEvents"


class ThreadEventDispatcher(EventDispatcher):  # type: ignore[misc]
    """Publishes what the threads of tasks add, in the thread of the event loop alone."""

    def __init__(self, *given: Any, **named: Any) -> None:
        """Arguments as of ``EventDispatcher``."""
        super().__init__(*given, **named)
        self.buffer_limit = float("inf")

    def send(self, type: str, *given: Any, **named: Any) -> Any:
        """Send an event; that of a task waits for the event loop, a heartbeat at the latest."""
        sent = super().send(type, *given, **named)
        if self.enabled and self.buffer_group and group_from(type) not in self.buffer_group:
            self.flush(errors=False)
        return sent

    def flush(self, errors: bool = True, groups: bool = True) -> None:
        """Publish what was added until now, and keep what is added meanwhile."""
        super().flush(errors=errors, groups=False)
        if not groups:
            return
        with self.mutex:
            for group, events in list(self._group_buffer.items()):
                if now := events[:]:
                    self._publish(now, self.producer, f"{group}.multi")
                    del events[: len(now)]


class ThreadEvents(Events):  # type: ignore[misc]
    """Celery's events with this dispatcher."""

    dispatcher_cls = "kvasir.jobs.celery_events:ThreadEventDispatcher"
