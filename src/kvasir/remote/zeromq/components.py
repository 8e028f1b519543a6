"""What all proxies of remote components have in common: a connection, and what the handshake said.

The first call of a proxy asks the service what it is: its role, its facts (such as the dimension of
an embedder) and its capabilities. The proxy becomes an instance of a class with exactly these
capabilities, so that ``isinstance(proxy, TokenCounter)`` is true if it is true at the service.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from kvasir.core.errors import ComponentError, SettingsError, WireError
from kvasir.core.wire import from_json
from kvasir.remote.zeromq.client import Client
from kvasir.remote.zeromq.curve_keys import load_keys
from kvasir.remote.zeromq.worker import Arguments, Operation

T = TypeVar("T")

TIMEOUT_SECONDS = 300.0
"""How long a call of a component may take by default; a dead worker is noticed much earlier."""
HANDSHAKE_SECONDS = 30.0
"""How long the first call may take at most: it computes nothing, and a service may be misspelt."""
_CLIENT_KEY = "client"

_lock = threading.Lock()
_shared: dict[tuple[str, str, str], tuple[Client, int]] = {}
"""Connections by address, folder of keys and name of the key; and how many proxies use each."""
_classes: dict[tuple[type, tuple[type, ...]], type] = {}


class RemoteComponent:
    """A component behind a broker; close it to give the connection back.

    Subclasses set ``role``, and ``capabilities``: the class that adds each optional capability.
    """

    role: ClassVar[str]
    capabilities: ClassVar[Mapping[str, type]] = {}

    def __init__(
        self,
        address: str,
        service: str,
        keys: str = "",
        key: str = _CLIENT_KEY,
        timeout: float = TIMEOUT_SECONDS,
        handshake: Mapping[str, Any] | None = None,
    ) -> None:
        """Connect, and ask the service what it is.

        Args:
            address: Of the broker's front end.
            service: Name of the service.
            keys: Folder with CURVE keys, if the broker has some.
            key: Name of the client's key in it.
            timeout: Seconds that a call may take; the first one has ``HANDSHAKE_SECONDS`` at most.
            handshake: Arguments of the first call.

        Raises:
            SettingsError: The service is of another role.
            ComponentError: It does not answer.
        """
        self._service, self._timeout = service, timeout
        self._lease = (address, keys, key)
        self._is_leased = True
        self._client = _lease(*self._lease)
        try:
            self.facts = self._handshake(handshake or {})
        except BaseException:
            RemoteComponent.close(self)
            raise

    def close(self) -> None:
        """Give the connection back; a second call does nothing."""
        with _lock:
            leased, self._is_leased = self._is_leased, False
        if leased:
            _release(*self._lease)

    def _handshake(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        seconds = min(self._timeout, HANDSHAKE_SECONDS)
        facts = self._read(dict[str, Any], self._call("describe", arguments, seconds))
        if facts.get("role") != self.role:
            raise SettingsError(
                f"service '{self._service}' of {self._client.name} is of the role "
                f"'{facts.get('role')}', not '{self.role}'"
            )
        found = self._read(list[str], facts.get("capabilities"))
        # A service of a later version may have capabilities that are not known here.
        mixins = tuple(each for name, each in self.capabilities.items() if name in found)
        if mixins:
            self.__class__ = _class_with(type(self), mixins)
        return facts

    def _call(
        self,
        operation: str,
        arguments: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Any:
        seconds = self._timeout if timeout is None else timeout
        return self._client.call(self._service, operation, arguments or {}, timeout=seconds)

    def _fact(self, name: str, declared: type[T]) -> T:
        return self._read(declared, self.facts.get(name))

    def _read(self, declared: type[T], data: Any) -> T:
        """Return what the service sent as a type.

        Raises:
            ComponentError: It is of another one.
        """
        try:
            found: T = from_json(declared, data)
        except WireError as error:
            raise self._malformed(error) from error
        return found

    def _malformed(self, cause: object) -> ComponentError:
        return ComponentError(self._service, "answering", f"its answer is malformed: {cause}")


def _class_with(cls: type, mixins: tuple[type, ...]) -> type:
    """Return one class for the same capabilities: whether it fulfils a protocol is remembered."""
    with _lock:
        made = _classes.get((cls, mixins))
        if made is None:
            made = type(cls.__name__, (*mixins, cls), {"__module__": cls.__module__})
            _classes[cls, mixins] = made
        return made


def _lease(address: str, keys: str, key: str) -> Client:
    """Return the one connection of this process to an address."""
    with _lock:
        found = _shared.get((address, keys, key))
        if found is not None and found[0].is_usable:
            client, leases = found
        else:
            pair = load_keys(Path(keys), key) if keys else None
            client, leases = Client(address, keys=pair), 0
        _shared[address, keys, key] = (client, leases + 1)
        return client


def _release(address: str, keys: str, key: str) -> None:
    with _lock:
        found = _shared.get((address, keys, key))
        if found is None:
            return
        client, leases = found
        if leases > 1:
            _shared[address, keys, key] = (client, leases - 1)
            return
        del _shared[address, keys, key]
    client.close()


def describing(role: str, capabilities: list[str], **facts: Any) -> Operation:
    """Return the operation that answers a handshake."""
    answer = {"role": role, "capabilities": capabilities, **facts}

    def describe(_: Arguments) -> Any:
        return answer

    return describe


def capabilities_of(component: Any, known: Mapping[str, type]) -> list[str]:
    """Return the names of the protocols that a component fulfils."""
    return [name for name, protocol in known.items() if isinstance(component, protocol)]
