"""CURVE keys: they encrypt connections, and let only known clients and workers connect.

A folder of keys has

    broker.key, broker.key_secret     of the broker
    client.key_secret, ...            one of each client
    worker.key_secret, ...            one of each worker
    clients/*.key, workers/*.key      public keys that the broker lets in at its front and back end

A client or worker on another machine needs ``broker.key`` and its own ``.key_secret`` file alone.
The broker reads the public keys again when they change. A client's key opens no back end.

Source: https://rfc.zeromq.org/spec/26/
"""

from __future__ import annotations

import logging
import re
import threading
from dataclasses import dataclass, field
from pathlib import Path

import zmq
import zmq.auth
from zmq.auth.thread import ThreadAuthenticator

from kvasir.core.errors import ConflictError, SettingsError, StorageError
from kvasir.core.private_files import make_private_folder

logger = logging.getLogger(__name__)

BROKER = "broker"
ROLES = {"client": "clients", "worker": "workers"}
"""The folder of the public keys of each role."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_Z85 = re.compile(rb"[0-9A-Za-z.:+=^!/*?&<>()\[\]{}@%$#-]{40}")
_SECRET = ".key_secret"


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A public and a secret key, Z85 text as bytes, and the public key of the broker."""

    public: bytes
    secret: bytes = field(repr=False)
    broker: bytes = b""


def make_keys(folder: Path, role: str, name: str = "") -> list[Path]:
    """Make the keys of a client or worker, and those of the broker if there are none.

    Args:
        folder: Of the keys.
        role: client or worker.
        name: Name of its files; by default that of the role.

    Returns:
        The new files.

    Raises:
        ConflictError: There is such a key already.
        SettingsError: The name is not one of a file.
        StorageError: The folder cannot be written.
    """
    name = name or role
    if not _NAME.fullmatch(name) or name == BROKER:
        raise SettingsError(f"'{name}' cannot name a key: use letters, digits, '-', '_' and '.'")
    if (folder / (name + _SECRET)).exists():
        raise ConflictError(f"there is a key '{name}' in '{folder}' already")
    try:
        for each in (folder, *(folder / known for known in ROLES.values())):
            make_private_folder(each)
        made = []
        if not (folder / (BROKER + _SECRET)).exists():
            made += _make(folder, BROKER)
        public, secret = _make(folder, name)
        allowed = folder / ROLES[role] / public.name
        public.replace(allowed)
    except OSError as error:
        raise StorageError(f"'{folder}' cannot be written: {error.strerror}") from error
    return [*made, allowed, secret]


def _make(folder: Path, name: str) -> list[Path]:
    files = [Path(each) for each in zmq.auth.create_certificates(folder, name)]
    files[1].chmod(0o600)
    return files


def load_keys(folder: Path, name: str) -> KeyPair:
    """Return the keys of a broker, client or worker.

    Raises:
        SettingsError: A file is missing or is no key.
    """
    public, secret = _read(folder / (name + _SECRET))
    if secret is None:
        raise SettingsError(f"'{folder / (name + _SECRET)}' has no secret key")
    broker = public if name == BROKER else _read(folder / f"{BROKER}.key")[0]
    return KeyPair(public, secret, broker)


def _read(file: Path) -> tuple[bytes, bytes | None]:
    try:
        public, secret = zmq.auth.load_certificate(file)
    except (OSError, ValueError) as error:
        raise SettingsError(f"'{file}' is no CURVE key: {error}") from error
    if not all(_Z85.fullmatch(each) for each in (public, secret) if each is not None):
        raise SettingsError(f"'{file}' is no CURVE key: it must have 40 characters of Z85")
    return public, secret


class AllowedKeys:
    """The public keys of a folder, which are let in; read again when a file has changed.

    pyzmq's own reader keeps its old keys, and says so in the log alone, if one file is no key.
    """

    def __init__(self, folder: Path) -> None:
        """Read the keys.

        Raises:
            SettingsError: A file is no key.
        """
        self._folder = folder
        self._stamp: frozenset[tuple[str, int, int]] = frozenset()
        self._keys: frozenset[bytes] = frozenset()
        for error in self._read():
            raise error

    def callback(self, domain: str, key: bytes) -> bool:
        """Return True if a key, Z85 text as bytes, is let in; called by the authenticator."""
        return key in self._keys

    def refresh(self) -> None:
        """Read what has changed; a file that is no key is named in the log and lets nobody in."""
        for error in self._read():
            logger.error("%s; who has this key is not let in", error)

    def _read(self) -> list[SettingsError]:
        files = sorted(self._folder.glob("*.key"))
        # Before the reading: what is written meanwhile is read the next time.
        stamp = frozenset(map(_stamp, files))
        if stamp == self._stamp:
            return []
        keys, bad = set(), []
        for file in files:
            try:
                keys.add(_read(file)[0])
            except SettingsError as error:
                bad.append(error)
        self._stamp, self._keys = stamp, frozenset(keys)
        return bad


def _stamp(file: Path) -> tuple[str, int, int]:
    try:
        status = file.stat()
    except OSError:
        return file.name, 0, 0  # It was deleted just now.
    return file.name, status.st_mtime_ns, status.st_size


class Authenticators:
    """Decides for the brokers of a context who may connect: at most one thread for each context."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: tuple[zmq.Context[zmq.Socket[bytes]], ThreadAuthenticator] | None = None

    def allow(
        self, context: zmq.Context[zmq.Socket[bytes]], domain: str, keys: AllowedKeys
    ) -> None:
        """Let in at a domain whoever has one of the keys, and nobody else."""
        with self._lock:
            if self._running is None or self._running[0] is not context:
                authenticator = ThreadAuthenticator(context)
                authenticator.start()
                self._running = (context, authenticator)
            self._running[1].configure_curve_callback(domain, keys)


AUTHENTICATORS = Authenticators()
