"""Runs brokers, workers and a Chroma server together, until it is stopped.

One thread starts, watches and ends processes. What a broker says of its queues is read in a thread
for each broker.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kvasir.core.errors import KvasirError, NotFoundError
from kvasir.core.run import StopToken
from kvasir.frontends.process import listen
from kvasir.frontends.services.control import ensure_keys
from kvasir.frontends.services.groups import Group
from kvasir.frontends.services.parts import Part, Say
from kvasir.frontends.services.plans import Plan
from kvasir.frontends.services.servers import QUEUE_SECONDS, BrokerPart, ServerPart
from kvasir.remote.zeromq.addresses import Address
from kvasir.remote.zeromq.curve_keys import BROKER, ROLES, load_keys

_LOOK_SECONDS = 0.1
_FILE_SECONDS = 1.0
"""Between two looks at the settings file."""
_DRAIN_SECONDS = 40.0
"""A broker that ends has 30 s for the requests that it has."""
_END_SECONDS = 15.0


class Starter:
    """Runs what a plan has; see ``run``."""

    def __init__(self, load: Callable[[], Plan], say: Say, *, file: Path | None = None) -> None:
        """Read the plan; start nothing yet.

        Args:
            load: Reads the settings and returns the plan.
            say: Gets the lines for the operator.
            file: The settings file, which is read again when it has changed.

        Raises:
            KvasirError: The settings cannot be used.
        """
        self._load, self._say, self._file = load, say, file
        self._stamp = _stamp(file)
        self.plan = load()
        self._lock = threading.RLock()
        self._stop = StopToken()
        self._since = time.time()
        self._servers = [ServerPart(each) for each in self.plan.servers]
        self._brokers = {each.name: BrokerPart(each) for each in self.plan.brokers}
        self._groups = {each.name: Group(each, say) for each in self.plan.groups}
        self._old: list[BrokerPart | ServerPart] = []
        """Those that were asked to end, until they have."""
        self._off: list[Group] = []
        """Groups that the settings no longer name, until their workers have ended."""
        self._off_brokers: dict[str, BrokerPart] = {}
        """Brokers that the settings no longer name, until they and their workers have ended."""
        self._unused: list[ServerPart] = []
        """Servers that the settings no longer name, until no worker uses them."""
        self._next_file = self._next_queue = 0.0

    def run(self, stop: StopToken, *, when_ready: Callable[[], object] = lambda: None) -> None:
        """Run everything until the token is set or ``stop`` was called, then end it in order.

        Args:
            stop: Ends it.
            when_ready: Called once, when every service has the workers that it should have.

        Raises:
            StorageError: A key or a folder cannot be made.
            SettingsError: A key cannot be used.
        """
        self._prepare(self.plan)
        was_ready = False
        with stop.calling(self._stop.set):
            try:
                while not self._stop.is_set():
                    with self._lock:
                        self._look_after()
                        is_ready = not was_ready and self._is_ready()
                    if is_ready:
                        was_ready = True
                        when_ready()
                    self._stop.wait(_LOOK_SECONDS)
                self._say("ending the services")
                self._end_in_order()
            finally:
                for part in self._parts():
                    if part.is_alive and part.process is not None:
                        part.process.kill()

    def check_ports(self) -> None:
        """Check that no other program has a port of a broker.

        Raises:
            StorageError: One has.
        """
        for broker in self.plan.brokers:
            ends = {"front_end": broker.front_ends, "back_end": broker.back_ends}
            for end, addresses in ends.items():
                for address in map(Address.parse, addresses):
                    if address.protocol == "tcp":
                        listen(address.host, address.port, f"{broker.name}.{end}.port").close()

    # What is asked from other threads.

    def status(self) -> Mapping[str, Any]:
        """Return the state of all as plain data, also of what the settings no longer name."""
        now = time.monotonic()
        with self._lock:
            services = []
            for name, broker in {**self._off_brokers, **self._brokers}.items():
                statistics = broker.statistics()
                services.append(
                    {
                        "name": name,
                        "front_ends": broker.plan.front_ends,
                        "back_ends": broker.plan.back_ends,
                        "keys": str(broker.plan.keys) if broker.plan.keys else None,
                        "broker": broker.state(now, is_ready=statistics is not None),
                        "groups": self._group_states(name, now),
                    }
                )
            old = [each for each in self._old if isinstance(each, ServerPart)]
            servers = [
                {**each.state(now, is_ready=each.was_ready), "address": each.plan.address}
                for each in self._servers
            ] + [
                {**_ending(each.state(now, is_ready=True)), "address": each.plan.address}
                for each in (*self._unused, *old)
                if each.is_alive
            ]
            return {
                "pid": os.getpid(),
                "since": self._since,
                "is_ending": self._stop.is_set(),
                "config": str(self._file) if self._file else None,
                "services": services,
                "servers": servers,
            }

    def _group_states(self, broker: str, now: float) -> list[Mapping[str, Any]]:
        """Return the states of the groups of a broker, with those that are off."""
        found = {
            group.plan.name: dict(group.state(now))
            for group in self._groups.values()
            if group.plan.broker == broker
        }
        for group in self._off:
            if group.plan.broker == broker:
                off = group.state(now)
                own = found.setdefault(
                    group.plan.name, {**off, "is_on": False, "wanted": 0, "workers": []}
                )
                own["workers"] = [*own["workers"], *map(_ending, off["workers"])]
        return list(found.values())

    def scale(self, service: str, workers: int) -> None:
        """Set how many workers a service has.

        Raises:
            NotFoundError: There is no such service.
            RequestError: It cannot have so many.
        """
        with self._lock:
            self._group(service).scale(workers)
            self._say(f"{service}: {workers} workers are wanted")

    def restart(self, services: list[str]) -> None:
        """Replace the workers of services one after the other, by default of all.

        Raises:
            NotFoundError: There is no such service.
        """
        with self._lock:
            for group in [self._group(name) for name in services or list(self._groups)]:
                group.restart()
                self._say(f"{group.plan.name}: the workers are started again, one after the other")

    def stop(self, services: list[str]) -> None:
        """End the workers of services; without names end everything.

        Raises:
            NotFoundError: There is no such service.
        """
        with self._lock:
            are_off = {each.plan.name for each in self._off} - self._groups.keys()
            for group in [self._group(name) for name in services if name not in are_off]:
                group.stop()
                self._say(f"{group.plan.name}: its workers end")
        if not services:
            self._stop.set()

    def _group(self, name: str) -> Group:
        if name not in self._groups:
            known = ", ".join(self._groups)
            raise NotFoundError(f"there is no service '{name}' (there are: {known})")
        return self._groups[name]

    # In the thread of ``run``.

    def _look_after(self) -> None:
        now = time.monotonic()
        if now >= self._next_file:
            self._next_file = now + _FILE_SECONDS
            self._reload()
        self._end_what_is_off(now)
        for server in self._servers:
            self._look_after_server(server, now)
        for broker in self._brokers.values():
            if broker.process is not None or self._has_room(broker):
                broker.look_after(now, self._say)
        if now >= self._next_queue:
            self._next_queue = now + QUEUE_SECONDS
            for group in self._groups.values():
                found = self._brokers[group.plan.broker].statistics()
                if found is not None:
                    group.take_statistics(found, now)
        if all(each.was_ready for each in self._servers):
            busy = {each.plan.name for each in self._off if each.plan.is_alone}
            for group in self._groups.values():
                if group.plan.name not in busy:
                    group.look_after(now)

    def _has_room(self, part: BrokerPart | ServerPart) -> bool:
        """Return True if no earlier part of that name still runs, which may have its address."""
        return not any(each.name == part.name for each in (*self._old, *self._unused))

    def _end_what_is_off(self, now: float) -> None:
        """End what the settings no longer name: a broker, then its workers, then their server."""
        self._old = [each for each in self._old if not each.has_ended(now)]
        ending = {each.plan.name for each in self._old}
        for group in self._off:
            # The broker gives out the requests that it has.
            if group.plan.broker not in ending:
                group.is_on = False
            group.look_after(now)
        self._off = [each for each in self._off if each.workers or each.leaving]
        ending |= {each.plan.broker for each in self._off}
        self._off_brokers = {
            name: each for name, each in self._off_brokers.items() if name in ending
        }
        are_used = self._off or any(each.has_old_workers for each in self._groups.values())
        if self._unused and not are_used:
            for server in self._unused:
                self._retire(server)
            self._unused = []

    def _look_after_server(self, server: ServerPart, now: float) -> None:
        if server.is_of_others or (server.process is None and not self._has_room(server)):
            return
        if server.process is None and server.answers():
            server.is_of_others = server.was_ready = True
            self._say(f"{server.name} answers at {server.plan.address} already, and is used")
            return
        server.look_after(now, self._say)
        if not server.was_ready and server.is_alive and server.answers():
            server.was_ready = True

    def _is_ready(self) -> bool:
        return all(
            sum(map(group.is_ready, group.workers)) >= group.wanted
            for group in self._groups.values()
            if group.is_on
        )

    def _reload(self) -> None:
        """Read the settings file if it has changed, and start again what it concerns."""
        stamp = _stamp(self._file)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            plan = self._load()
            self._prepare(plan)
        except KvasirError as error:
            self._say(f"the settings have changed and cannot be used: {error}; nothing is changed")
            return
        changed = list(self._change(plan))
        self.plan = plan
        said = ", ".join(changed) or "nothing that concerns the services"
        self._say(f"the settings have changed: {said}")

    def _prepare(self, plan: Plan) -> None:
        """Make the keys and folders of a plan, before anything is changed.

        Raises:
            StorageError: One cannot be made.
            SettingsError: A key cannot be used.
        """
        for broker in plan.brokers:
            if broker.keys is not None:
                ensure_keys(broker.keys)
                for name in (BROKER, *ROLES):
                    load_keys(broker.keys, name)
        own = {each.plan.address for each in self._servers if each.is_alive}
        for server in map(ServerPart, plan.servers):
            if server.plan.address in own or not server.answers():
                server.make_folder()

    def _change(self, plan: Plan) -> Iterator[str]:
        for broker in plan.brokers:
            known = self._brokers.get(broker.name)
            if known is not None and known.plan == broker:
                continue
            if known is not None:
                self._retire(known)
            self._brokers[broker.name] = BrokerPart(broker)
            yield f"{broker.name} has {'another' if known else 'a'} broker"
        for group in plan.groups:
            own = self._groups.get(group.name)
            if own is None:
                self._groups[group.name] = Group(group, self._say)
                yield f"{group.name} is on"
                continue
            before = own.wanted
            if own.change(group):
                yield f"{group.name} is started again"
            elif own.wanted != before:
                yield f"{group.name} has {own.wanted} workers"
        for name in set(self._brokers) - {each.name for each in plan.brokers}:
            self._off_brokers[name] = self._brokers.pop(name)
            self._retire(self._off_brokers[name])
        for name in sorted(set(self._groups) - {each.name for each in plan.groups}):
            self._off.append(self._groups.pop(name))
            yield f"{name} is off"
        yield from self._change_servers(plan)

    def _change_servers(self, plan: Plan) -> Iterator[str]:
        before = {each.plan: each for each in self._servers}
        known = {each.plan: each for each in (*self._unused, *self._servers)}
        names = {each.name for each in plan.servers}
        self._servers = [
            known.pop(each) if each in known else ServerPart(each) for each in plan.servers
        ]
        self._unused = []
        for each, server in known.items():
            if server.name in names:
                self._retire(server)  # The next one needs its address and its folder.
            else:
                self._unused.append(server)
            if each in before:
                yield f"{server.name} ends"
        for server in self._servers:
            if server.plan not in before:
                yield f"{server.name} is started"

    def _retire(self, part: BrokerPart | ServerPart) -> None:
        if isinstance(part, BrokerPart):
            part.forget()
        part.ask_to_end(_DRAIN_SECONDS)
        self._old.append(part)

    def _end_in_order(self) -> None:
        """End each service: its broker when it has answered what it has, then its workers.

        Those that call others end first.
        """
        _wait(self._old)
        _end_workers(self._off)
        for name in reversed(list(self._brokers)):
            broker = self._brokers[name]
            broker.forget()
            broker.ask_to_end(_DRAIN_SECONDS)
            _wait([broker])
            _end_workers([each for each in self._groups.values() if each.plan.broker == name])
        servers = [*self._servers, *self._unused]
        for part in servers:
            part.ask_to_end(_END_SECONDS)
        _wait(servers)

    def _parts(self) -> list[Part]:
        groups = (*self._groups.values(), *self._off)
        workers = [worker for group in groups for worker in (*group.workers, *group.leaving)]
        servers = (*self._servers, *self._unused)
        return [*workers, *self._brokers.values(), *servers, *self._old]


def _ending(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the state of a process that the settings no longer name."""
    return {**state, "state": "ending"}


def _end_workers(groups: list[Group]) -> None:
    workers = [worker for group in groups for worker in (*group.workers, *group.leaving)]
    for worker in workers:
        worker.is_ending = False
        worker.ask_to_end(_END_SECONDS)
    _wait(workers)


def _wait(parts: Sequence[Part]) -> None:
    while any([not each.has_ended(time.monotonic()) for each in parts]):  # noqa: C419 - ends all
        time.sleep(_LOOK_SECONDS)


def _stamp(file: Path | None) -> tuple[int, int, int]:
    try:
        status = file.stat() if file is not None else None
    except OSError:
        return 0, 0, 0
    return (status.st_mtime_ns, status.st_size, status.st_ino) if status else (0, 0, 0)
