"""Which mails are questions, and what they ask.

Mails that a program wrote are no questions, so that two programs never answer each other.

Source: RFC 3834, sections 2 and 5 (automatic replies), RFC 2919 and 2369 (mailing lists).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from email.message import Message
from email.utils import parseaddr
from html.parser import HTMLParser

from kvasir.core.text import one_line, replace_control_characters

_BULK = frozenset({"bulk", "junk", "list", "auto_reply", "auto-reply"})
_PRESENT = (
    "x-autoreply",
    "x-autorespond",
    "x-auto-reply-from",
    "x-mail-autoreply",
    "list-id",
    "list-unsubscribe",
    "list-post",
    "feedback-id",
    "x-failed-recipients",
)
_PROGRAMS = re.compile(
    r"^(mailer-daemon|postmaster|no-?reply|do-?not-?reply|bounces?|root|daemon)([+-].*)?@",
    re.IGNORECASE,
)
_MESSAGE_ID = re.compile(r"<[^<>\s]{1,990}>")
_QUOTES_BEGIN = re.compile(
    r"^(-{2,}\s*(original message|mensaje original|forwarded message)\s*-{2,}|_{20,}"
    r"|(on|el|em|am|le)\b.{0,200}(wrote|escribió|escreveu|schrieb|écrit)\s*:)\s*$",
    re.IGNORECASE,
)
_SIGNATURE = re.compile(r"^-- ?$")
_LONGEST = 20_000


def why_automatic(headers: Mapping[str, str], own: str) -> str:
    """Return why a mail was not written by a person; empty if it seems that one wrote it.

    Args:
        headers: The mail's headers, by name in small letters.
        own: The address that our own mails come from.
    """
    sender = parseaddr(headers.get("from", ""))[1].casefold()
    submitted = headers.get("auto-submitted", "no").partition(";")[0].strip().lower()
    if submitted != "no":
        return f"Auto-Submitted is {submitted}"
    if headers.get("precedence", "").strip().lower() in _BULK:
        return "its Precedence is that of automatic mail"
    for name in _PRESENT:
        if name in headers:
            return f"it has the header {name}"
    if headers.get("return-path", "?").strip() in ("", "<>"):
        return "it has no return path"
    if headers.get("content-type", "").strip().lower().startswith("multipart/report"):
        return "it is a report of a mail server"
    if sender == own.casefold():
        return "it is our own"
    if _PROGRAMS.match(sender):
        return "its address is that of a program"
    return ""


def message_id_of(headers: Mapping[str, str]) -> str:
    """Return the Message-ID for the header of a reply; empty if there is no usable one."""
    found = _MESSAGE_ID.search(headers.get("message-id", ""))
    return found[0] if found else ""


def key_of(message_id: str, content: bytes) -> str:
    """Return the key by which the same mail is known again."""
    return f"mail {hashlib.sha256(message_id.encode() or content).hexdigest()}"


def sender_of(headers: Mapping[str, str]) -> str:
    """Return the address of the sender."""
    return parseaddr(headers.get("from", ""))[1]


def question_in(text: str, html: str, subject: str) -> str:
    """Return what a mail asks: its own text, without quoted mails and the signature.

    A mail without text asks what its subject says.
    """
    body = text if text.strip() else _text_of(html)
    own: list[str] = []
    for line in body.splitlines():
        if _QUOTES_BEGIN.match(line.strip()) or _SIGNATURE.match(line.rstrip("\r\n")):
            break
        if not line.lstrip().startswith(">"):
            own.append(line.rstrip())
    asked = "\n".join(own).strip() or one_line(subject)
    return replace_control_characters(asked)[:_LONGEST]


def headers_of(message: Message) -> dict[str, str]:
    """Return the first value of each header, by name in small letters."""
    found: dict[str, str] = {}
    for name, value in message.items():
        found.setdefault(name.lower(), " ".join(str(value).split()))
    return found


class _Text(HTMLParser):
    """Collects the text of a page."""

    _HIDDEN = ("script", "style", "head", "title")
    _BREAKING = ("p", "br", "div", "li", "tr", "blockquote", "h1", "h2", "h3")

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[str] = []
        self._hidden = 0
        self._quoted = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Break the line at blocks; skip what is hidden or quoted."""
        self._hidden += tag in self._HIDDEN
        self._quoted += tag == "blockquote"
        if tag in self._BREAKING:
            self.pieces.append("\n")

    def handle_endtag(self, tag: str) -> None:
        """End a block."""
        self._hidden -= tag in self._HIDDEN and self._hidden > 0
        self._quoted -= tag == "blockquote" and self._quoted > 0
        if tag in self._BREAKING:
            self.pieces.append("\n")

    def handle_data(self, data: str) -> None:
        """Keep text that is shown."""
        if not self._hidden and not self._quoted:
            self.pieces.append(data)


def _text_of(html: str) -> str:
    parser = _Text()
    parser.feed(html[: _LONGEST * 10])
    parser.close()
    return "".join(parser.pieces)
