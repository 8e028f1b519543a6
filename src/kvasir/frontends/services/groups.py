"""The workers of one service: as many as are wanted, replaced one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any

from kvasir.core.errors import RequestError
from kvasir.frontends.services.parts import Part, Say
from kvasir.frontends.services.plans import ANSWER_SECONDS, GroupPlan, worker_name
from kvasir.settings.zeromq_schema import WorkerRange

_MOST_WORKERS = 256
_LOOKS = 2
"""Looks at a queue in a row at which requests wait, before a worker is added."""
_GRACE_SECONDS = 10.0
"""More than a worker takes for its answers."""


class Worker(Part):
    """A worker, and which change of the settings it was started after."""

    def __init__(self, number: int, plan: GroupPlan, generation: int) -> None:
        """Start nothing yet."""
        super().__init__(f"{plan.name} worker {number}", plan.command)
        self.number, self.generation = number, generation
        self.was_seen = False

    def leave(self) -> None:
        """Have it take no more requests, and end when it has answered those that it has."""
        self.ask_to_end(ANSWER_SECONDS + _GRACE_SECONDS)


class Group:
    """The workers of one service.

    Attributes:
        plan: What they are.
        wanted: How many there should be, while the service is on.
        is_on: False after ``stop``.
    """

    def __init__(self, plan: GroupPlan, say: Say) -> None:
        """Start nothing yet."""
        self.plan = plan
        self.range = plan.workers
        self.wanted = plan.workers.min
        self.is_on = True
        self.generation = 0
        self.workers: list[Worker] = []
        self.leaving: list[Worker] = []
        self._say = say
        self._statistics: Mapping[str, Any] = {}
        self._ready: frozenset[str] = frozenset()
        self._looks_with_queue = 0
        self._calm_since = 0.0

    def change(self, plan: GroupPlan) -> bool:
        """Take another plan; return True if its workers are started again."""
        must_restart = plan.key != self.plan.key
        if plan.workers != self.plan.workers:
            self.range = plan.workers
            self.wanted = min(max(self.wanted, self.range.min), self.range.max)
        self.plan = plan
        if must_restart:
            self.restart()
        return must_restart

    def restart(self) -> None:
        """Have every worker replaced, one after the other; turn the service on."""
        self.is_on = True
        self.generation += 1
        self._forget_deaths()

    def stop(self) -> None:
        """Have every worker end, and start none until ``restart`` or ``scale``."""
        self.is_on = False
        self._forget_deaths()

    def scale(self, workers: int) -> None:
        """Set how many workers there should be, from now on whatever the queue's length.

        Raises:
            RequestError: There cannot be so many.
        """
        if not 1 <= workers <= _MOST_WORKERS:
            raise RequestError(f"a service has from 1 to {_MOST_WORKERS} workers, not {workers}")
        if workers > 1 and self.plan.is_alone:
            raise RequestError(
                f"{self.plan.name} has one worker, which opens the folder of its store: more need "
                "a server of Chroma (index.chroma_host and index.chroma_port)"
            )
        self.range = WorkerRange(min=workers, max=workers)
        self.wanted, self.is_on = workers, True
        self._forget_deaths()

    def _forget_deaths(self) -> None:
        """Count from now on: who asked for a change waits for what comes after it."""
        for worker in self.workers:
            worker.deaths = 0

    def look_after(self, now: float) -> None:
        """Start, replace and end workers."""
        wanted = self.wanted if self.is_on else 0
        while len(self.workers) > wanted:
            worker = self.workers.pop()
            worker.leave()
            self.leaving.append(worker)
        self.leaving = [each for each in self.leaving if not each.has_ended(now)]
        while len(self.workers) < wanted and not (self.plan.is_alone and self.leaving):
            used = {each.number for each in (*self.workers, *self.leaving)}
            number = min(set(range(1, len(used) + 2)) - used)
            self.workers.append(Worker(number, self.plan, self.generation))
        for worker in self.workers:
            worker.look_after(now, self._say)
        self._replace(now)

    def _replace(self, now: float) -> None:
        """Replace one worker of before; the next one when this one serves."""
        for worker in self.workers:
            if worker.is_ending and worker.has_ended(now):
                worker.command, worker.generation = self.plan.command, self.generation
                worker.deaths, worker.was_seen = 0, False
                worker.start()
        old = [each for each in self.workers if each.generation < self.generation]
        for worker in old:
            if not worker.is_alive:
                # It serves nobody: nothing is lost.
                worker.command, worker.generation = self.plan.command, self.generation
                worker.deaths, worker.due = 0, 0.0
                worker.start()
        is_busy = any(
            each.is_ending or (each.generation == self.generation and self._is_coming(each))
            for each in self.workers
        )
        alive = [each for each in old if each.is_alive and not each.is_ending]
        if alive and not is_busy:
            alive[0].leave()

    def _is_coming(self, worker: Worker) -> bool:
        """Return True if a worker is starting and has not died yet."""
        return worker.is_alive and not self.is_ready(worker) and not worker.deaths

    @property
    def has_old_workers(self) -> bool:
        """True while a worker runs that another one replaces, or that was one too many."""
        return bool(self.leaving) or any(
            each.is_alive and each.generation < self.generation for each in self.workers
        )

    def is_ready(self, worker: Worker) -> bool:
        """Return True if the broker knows the worker."""
        return worker.process is not None and worker_name(worker.process.pid) in self._ready

    def take_statistics(self, statistics: Mapping[str, Any], now: float) -> None:
        """Take what the broker has said, and change the number of workers by it."""
        self._statistics = statistics
        self._ready = frozenset(
            each["name"]
            for each in statistics.get("workers", ())
            if not each["leaving"] and set(each["services"]) & set(self.plan.served)
        )
        if self.range.min != self.range.max and self.is_on:
            self._adapt(now)

    def _adapt(self, now: float) -> None:
        queues = self.queues()
        waiting = max((each["waiting"] for each in queues.values()), default=0)
        if waiting:
            self._calm_since = 0.0
            self._looks_with_queue += 1
            all_serve = all(map(self.is_ready, self.workers))
            if self._looks_with_queue >= _LOOKS and all_serve and self.wanted < self.range.max:
                self._looks_with_queue = 0
                self.wanted += 1
                self._say(f"{self.plan.name}: {waiting} requests wait; worker {self.wanted} comes")
            return
        self._looks_with_queue = 0
        needed = max(
            (
                ceil(each["running"] * max(each["workers"], 1) / max(each["slots"], 1))
                for each in queues.values()
            ),
            default=0,
        )
        if self.wanted <= max(needed, self.range.min):
            self._calm_since = 0.0
        elif not self._calm_since:
            self._calm_since = now
        elif now - self._calm_since >= self.range.idle_seconds:
            self._calm_since = now
            self.wanted -= 1
            self._say(f"{self.plan.name}: a worker has nothing to do and ends")

    def queues(self) -> Mapping[str, Mapping[str, Any]]:
        """Return what the broker says of each service that clients call."""
        known = self._statistics.get("services", {})
        return {name: known[name] for name in self.plan.served if name in known}

    def state(self, now: float) -> Mapping[str, Any]:
        """Return what ``status`` says of it."""
        return {
            "name": self.plan.name,
            "is_on": self.is_on,
            "wanted": self.wanted if self.is_on else 0,
            "min": self.range.min,
            "max": self.range.max,
            "is_replacing": any(each.generation < self.generation for each in self.workers),
            "workers": [
                each.state(now, is_ready=self.is_ready(each))
                for each in (*self.workers, *self.leaving)
            ],
            "remote_workers": sorted(self._ready - set(map(_name, self.workers))),
            "queues": self.queues(),
        }


def _name(worker: Worker) -> str:
    return worker_name(worker.process.pid) if worker.process is not None else ""
