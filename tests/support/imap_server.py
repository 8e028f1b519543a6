"""A small IMAP server on loopback: one account, one folder, the commands that reading needs.

Source: RFC 3501.
"""

from __future__ import annotations

import re
import socketserver
import ssl
import threading
from contextlib import suppress
from dataclasses import dataclass, field

_COMMAND = re.compile(rb"^(\S+) (UID )?(\S+) ?(.*?)\r?\n$", re.IGNORECASE | re.DOTALL)


@dataclass
class StoredMail:
    """A mail of the folder."""

    content: bytes
    flags: set[str] = field(default_factory=set)


class ImapServer:
    """The server; ``mails`` is its folder, by UID from 1."""

    def __init__(
        self,
        username="kvasir@example.org",
        password="a secret",
        *,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.username, self.password = username, password
        self.mails: list[StoredMail] = []
        self.commands: list[str] = []
        self.is_broken_after_fetch = False
        self.withheld: dict[int, str] = {}
        """UIDs that are not handed out: answered with NO, or by an end of the connection (BYE)."""
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with suppress(OSError):  # such as a client that does not trust us
                    _Session(outer, self.rfile, self.wfile).run()

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls is not None:
            # Each connection shakes hands in its own thread, when it first reads.
            plain = self._server.socket
            self._server.socket = tls.wrap_socket(
                plain, server_side=True, do_handshake_on_connect=False
            )
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def __enter__(self) -> ImapServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def add(self, content: bytes | str) -> None:
        raw = content.encode() if isinstance(content, str) else content
        self.mails.append(StoredMail(raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")))

    @property
    def unseen(self) -> int:
        return sum("\\Seen" not in mail.flags for mail in self.mails)


class _Session:
    def __init__(self, server: ImapServer, reading, writing) -> None:
        self._server, self._reading, self._writing = server, reading, writing

    def run(self) -> None:
        self._send(b"* OK [CAPABILITY IMAP4rev1] ready")
        while line := self._reading.readline():
            found = _COMMAND.match(line)
            if not found:
                self._send(b"* BAD what?")
                continue
            tag, uid, name, rest = found[1], bool(found[2]), found[3].upper().decode(), found[4]
            self._server.commands.append(f"{'UID ' if uid else ''}{name} {rest.decode()}".strip())
            handler = getattr(self, f"_{name.lower()}", None)
            if handler is None:
                self._send(tag + b" BAD unknown command")
                continue
            ends = handler(tag, rest.decode())
            if ends:
                return

    def _send(self, line: bytes) -> None:
        self._writing.write(line + b"\r\n")
        self._writing.flush()

    def _capability(self, tag: bytes, _: str) -> None:
        self._send(b"* CAPABILITY IMAP4rev1")
        self._send(tag + b" OK done")

    def _login(self, tag: bytes, rest: str) -> None:
        given = re.findall(r'"((?:[^"\\]|\\.)*)"|(\S+)', rest)
        words = [quoted or plain for quoted, plain in given]
        if words == [self._server.username, self._server.password]:
            self._send(tag + b" OK logged in")
        else:
            self._send(tag + b" NO [AUTHENTICATIONFAILED] wrong")

    def _select(self, tag: bytes, _: str) -> None:
        self._send(b"* %d EXISTS" % len(self._server.mails))
        self._send(b"* FLAGS (\\Seen \\Answered)")
        self._send(tag + b" OK [READ-WRITE] selected")

    def _search(self, tag: bytes, rest: str) -> None:
        wanted = "UNSEEN" in rest.upper()
        uids = [
            str(number)
            for number, mail in enumerate(self._server.mails, 1)
            if not wanted or "\\Seen" not in mail.flags
        ]
        self._send(("* SEARCH " + " ".join(uids)).strip().encode())
        self._send(tag + b" OK done")

    def _fetch(self, tag: bytes, rest: str) -> bool:
        number = int(rest.split()[0])
        if reply := self._server.withheld.get(number):
            self._send((b"* BYE" if reply == "BYE" else tag + b" NO") + b" [SERVERBUG] broken")
            return reply == "BYE"
        mail = self._server.mails[number - 1]
        only_head = "HEADER" in rest.upper()
        head, _, _ = mail.content.partition(b"\r\n\r\n")
        part = head + b"\r\n\r\n" if only_head else mail.content
        name = b"BODY[HEADER]" if only_head else b"BODY[]"
        flags = " ".join(sorted(mail.flags)).encode()
        self._writing.write(
            b"* %d FETCH (UID %d FLAGS (%s) RFC822.SIZE %d %s {%d}\r\n"
            % (number, number, flags, len(mail.content), name, len(part))
        )
        self._writing.write(part + b")\r\n")
        self._send(tag + b" OK done")
        return self._server.is_broken_after_fetch and not only_head

    def _store(self, tag: bytes, rest: str) -> None:
        uids, sign, flags = re.match(r"(\S+) ([+-])FLAGS \((.*)\)", rest).groups()
        for uid in uids.split(","):
            mail = self._server.mails[int(uid) - 1]
            change = set(flags.split())
            mail.flags = mail.flags | change if sign == "+" else mail.flags - change
        self._send(tag + b" OK done")

    def _expunge(self, tag: bytes, _: str) -> None:
        self._send(tag + b" OK done")

    def _noop(self, tag: bytes, _: str) -> None:
        self._send(tag + b" OK done")

    def _logout(self, tag: bytes, _: str) -> bool:
        self._send(b"* BYE")
        self._send(tag + b" OK done")
        return True
