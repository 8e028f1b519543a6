"""Addresses of brokers: ``tcp://host:port``, ``ipc:///path/of/a/socket`` or ``inproc://name``.

Without CURVE a broker listens only where no other machine can reach it: within the process, on a
socket in a folder of its user alone, or on loopback, which every user of the machine reaches. So
services that give access to stored data need keys on loopback too.
"""

from __future__ import annotations

import ipaddress
import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from kvasir.core.errors import SettingsError, StorageError
from kvasir.core.private_files import make_private_folder

PROTOCOLS = ("tcp", "ipc", "inproc")
_LONGEST_PATH = 100
"""Of a Unix socket, in bytes; Linux takes 107, macOS 103."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a broker listens.

    Attributes:
        protocol: tcp, ipc or inproc.
        host: The host of tcp, the absolute path of ipc, or the name of inproc.
        port: Of tcp; 0 lets the system choose one when it is bound.
    """

    protocol: str
    host: str
    port: int = 0

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise SettingsError(
                f"'{self.protocol}' is no protocol of a service: there are {', '.join(PROTOCOLS)}"
            )
        if not self.host:
            raise SettingsError(f"an address of {self.protocol} needs a host, a path or a name")
        if self.protocol == "tcp" and not 0 <= self.port < 2**16:
            raise SettingsError(f"{self.port} is no port: it must be from 0 to 65535")
        if self.protocol == "ipc":
            if not self.host.startswith("/"):
                raise SettingsError(f"the path of 'ipc://{self.host}' must be absolute")
            if len(os.fsencode(self.host)) > _LONGEST_PATH:
                raise SettingsError(
                    f"the path of 'ipc://{self.host}' has more than {_LONGEST_PATH} bytes, which a "
                    "socket cannot have"
                )

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the address of a text such as ``tcp://127.0.0.1:7781``.

        Raises:
            SettingsError: It is none.
        """
        protocol, found, rest = text.partition("://")
        if not found:
            raise SettingsError(
                f"'{text}' is no address of a service, such as tcp://127.0.0.1:7781"
            )
        if protocol != "tcp":
            return cls(protocol, rest)
        host, found, port = rest.rpartition(":")
        if not found or not (port.isascii() and port.isdigit()) or len(port) > 5:
            raise SettingsError(f"'{text}' has no port")
        return cls(protocol, host.removeprefix("[").removesuffix("]"), int(port))

    def __str__(self) -> str:
        if self.protocol != "tcp":
            return f"{self.protocol}://{self.host}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"tcp://{host}:{self.port}"

    @property
    def is_of_one_user(self) -> bool:
        """True if other users of this machine cannot connect, whether there are keys or not."""
        return self.protocol != "tcp"

    @property
    def is_private(self) -> bool:
        """True if only processes of this machine can connect."""
        if self.protocol != "tcp":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def check_bind(address: Address, *, has_keys: bool) -> None:
    """Refuse to listen where strangers can connect; make the folder of an ``ipc`` socket.

    Raises:
        SettingsError: The address is reached from other machines, and there are no CURVE keys.
        StorageError: The folder of the socket cannot be made, or others may enter it.
    """
    if not (address.is_private or has_keys):
        raise SettingsError(
            f"{address} can be reached from other machines, which needs CURVE keys: "
            "name a folder with keys, or listen at 127.0.0.1"
        )
    if address.protocol != "ipc":
        return
    folder = Path(address.host).parent
    try:
        make_private_folder(folder)
        status = folder.stat()
    except OSError as error:
        raise StorageError(f"'{folder}' cannot be made: {error.strerror}") from error
    if has_keys or sys.platform == "win32":
        return
    if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o077:
        raise StorageError(
            f"'{folder}', the folder of the socket '{address.host}', must be this user's alone "
            "(mode 0700)"
        )
