"""The jobs of a tuning service, and their proxy.

Nothing here takes as long as a job. A follower asks for what is new, and each of these calls ends
within seconds and may be repeated: so followers go on when a worker dies or a broker is restarted.
They have a service of their own, so that they do not keep others from submitting and cancelling.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import uuid4

from kvasir.core.deadline import check
from kvasir.core.services.jobs import Job
from kvasir.core.services.tuning import JobEvent, JobNews, MemoryNeed, TuningJobs
from kvasir.core.wire import to_json
from kvasir.remote.zeromq.components import TIMEOUT_SECONDS, RemoteComponent
from kvasir.remote.zeromq.worker import Arguments, Service

ROLE = "tuning"
_FOLLOWERS = "-events"
_FOLLOWER_SLOTS = 32
_WAIT_SECONDS = 5.0
"""How long a call waits for the next event."""
_MOST_WAIT_SECONDS = 30.0


class RemoteTuningJobs(RemoteComponent):
    """The jobs of ``j2b`` or ``ft`` at a service."""

    role = ROLE

    def __init__(
        self,
        address: str,
        service: str,
        keys: str = "",
        key: str = "client",
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        """Connect; arguments and errors as of ``RemoteComponent``."""
        super().__init__(address, service, keys, key, timeout)

    @property
    def runners(self) -> Sequence[str]:
        """The names of what could be run when this proxy was made."""
        return self._fact("runners", list[str])

    def submit(self, runner: str, arguments: Mapping[str, Any], *, key: str = "") -> Job:
        """Add a job, as ``TuningJobs.submit``; it is added once, also if the call is repeated."""
        asked = {"runner": runner, "arguments": dict(arguments), "key": key or uuid4().hex}
        return self._read(Job, self._call("submit", asked))

    def memory(self, runner: str, arguments: Mapping[str, Any]) -> MemoryNeed | None:
        """Return the memory that a job would need, as ``TuningJobs.memory``."""
        asked = {"runner": runner, "arguments": dict(arguments)}
        found = self._call("memory", asked)
        return None if found is None else self._read(MemoryNeed, found)

    def job(self, job_id: str) -> Job:
        """Return a job; raise NotFoundError if there is none."""
        return self._read(Job, self._call("job", {"id": job_id}))

    def jobs(self, *, limit: int = 100, before: str = "") -> list[Job]:
        """Return jobs, newest first."""
        return self._read(list[Job], self._call("jobs", {"limit": limit, "before": before}))

    def cancel(self, job_id: str) -> Job:
        """Cancel a job: at once if it waits, soon if it runs."""
        return self._read(Job, self._call("cancel", {"id": job_id}))

    def news(self, job_id: str, after: int, wait_seconds: float = _WAIT_SECONDS) -> JobNews:
        """Return the events after a number; wait for the next one if there are none."""
        asked = {"id": job_id, "after": after, "wait_seconds": wait_seconds}
        service = self._service + _FOLLOWERS
        return self._read(JobNews, self._client.call(service, "news", asked, timeout=self._timeout))

    def follow(self, job_id: str, after: int = 0) -> Iterator[JobEvent]:
        """Yield the events of a job after a number, as they come, until it has ended."""
        while True:
            check("following a job")
            news = self.news(job_id, after)
            for event in news.events:
                after = event.number
                yield event
            if news.is_over:
                return


def tuning_services(jobs: TuningJobs, name: str, slots: int = 4) -> list[Service]:
    """Return the services of jobs: one to change them, one for followers."""

    def describe(_: Arguments) -> Any:
        return {"role": ROLE, "capabilities": [], "runners": list(jobs.runners)}

    def submit(given: Arguments) -> Any:
        arguments = given.get("arguments", dict[str, Any])
        runner, key = given.get("runner", str), given.get("key", str)
        return to_json(jobs.submit(runner, arguments, key=key))

    def memory(given: Arguments) -> Any:
        arguments = given.get("arguments", dict[str, Any])
        found = jobs.memory(given.get("runner", str), arguments)
        return None if found is None else to_json(found)

    def page(given: Arguments) -> Any:
        return to_json(jobs.jobs(limit=given.get("limit", int), before=given.get("before", str)))

    def news(given: Arguments) -> Any:
        seconds = min(given.get("wait_seconds", float), _MOST_WAIT_SECONDS)
        return to_json(jobs.news(given.get("id", str), given.get("after", int), seconds))

    operations = {
        "describe": describe,
        "submit": submit,
        "memory": memory,
        "job": lambda given: to_json(jobs.job(given.get("id", str))),
        "jobs": page,
        "cancel": lambda given: to_json(jobs.cancel(given.get("id", str))),
    }
    return [
        Service(name, operations, slots, is_guarded=True),
        Service(name + _FOLLOWERS, {"news": news}, _FOLLOWER_SLOTS, is_guarded=True),
    ]
