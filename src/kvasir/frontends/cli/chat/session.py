"""A session: the questions and replies of a chat, without passages and prompts, and its file.

The file has InstructLab's form: a JSON list of ``{"role", "content"}``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from kvasir.core.errors import RequestError
from kvasir.core.text import has_surrogates
from kvasir.core.types import Answer, Message
from kvasir.core.wire import dumps

_ROLES = ("system", "user", "assistant")


@dataclass(frozen=True, slots=True)
class SessionTemplate:
    """The start of a session: a context, or a loaded file.

    Attributes:
        name: The context's or the file's name, shown beside the prompt.
        system: The system message; empty for none.
        messages: The first turns.
    """

    name: str
    system: str
    messages: tuple[Message, ...] = ()


class Session:
    """The turns so far.

    Attributes:
        name: The name of its template.
        system: Its system message.
        messages: The turns, oldest first, without the system message.
    """

    def __init__(self, template: SessionTemplate) -> None:
        self.name = template.name
        self.system = template.system
        self.messages = list(template.messages)
        self._replies: dict[int, Answer] = {}

    def add(self, question: str, reply: Answer) -> None:
        """Add a turn: the question as typed, and its reply."""
        self.messages += [Message("user", question), Message("assistant", reply.text)]
        self._replies[len(self.messages) - 1] = reply

    def responses(self) -> list[Answer]:
        """Return the assistant's replies, oldest first; those of a file are plain text."""
        return [
            self._replies.get(number) or Answer(message.content)
            for number, message in enumerate(self.messages)
            if message.role == "assistant"
        ]

    def save(self, path: Path) -> None:
        """Write the session; an existing file is replaced in one step.

        Raises:
            RequestError: The file cannot be written.
        """
        system = [Message("system", self.system)] if self.system else []
        try:
            text = dumps([*system, *self.messages], indent=4) + "\n"
            _write(path, text.encode("utf-8"))
        except (OSError, ValueError) as error:
            raise RequestError(f"cannot write '{path}': {error_reason(error)}") from error


def error_reason(error: OSError | ValueError) -> str:
    """Return why a file could not be read or written, without its name."""
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _write(path: Path, content: bytes) -> None:
    unfinished = path.with_name(path.name + ".part")
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    except OSError:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise


def read_session(path: Path) -> SessionTemplate:
    """Read a session's file.

    Raises:
        RequestError: The file is missing, unreadable or not a session.
    """
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise RequestError(f"there is no file '{path}'") from None
    except UnicodeDecodeError as error:
        raise RequestError(f"'{path}' holds no session: it is not UTF-8 text") from error
    except (OSError, ValueError) as error:
        raise RequestError(f"cannot read '{path}': {error_reason(error)}") from error
    try:
        turns = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"'{path}' holds no session: it is not valid JSON ({error})") from error
    messages = _messages(path, turns)
    system = messages.pop(0).content if messages and messages[0].role == "system" else ""
    return SessionTemplate(path.name, system, tuple(messages))


def _messages(path: Path, turns: object) -> list[Message]:
    expected = 'a session is a list of {"role": "user", "content": "..."}'
    if not isinstance(turns, Sequence) or isinstance(turns, str):
        raise RequestError(f"'{path}' holds no session: {expected}")
    messages = []
    for number, turn in enumerate(turns, 1):
        role = turn.get("role") if isinstance(turn, dict) else None
        content = turn.get("content") if isinstance(turn, dict) else None
        if role not in _ROLES or not isinstance(content, str):
            raise RequestError(
                f"'{path}' holds no session: message {number} is not one; {expected}, and a role "
                f"is one of {', '.join(_ROLES)}"
            )
        if has_surrogates(content):
            raise RequestError(
                f"'{path}' holds no session: message {number} holds half a character, a lone "
                "surrogate; take it out of the file"
            )
        messages.append(Message(role, content))
    return messages
