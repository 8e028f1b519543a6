"""A session: the questions and replies of a chat, without passages and prompts; its file and log.

The file has InstructLab's form: a JSON list of ``{"role", "content"}``. The log is a file of JSON
lines, which only the user may read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

from kvasir.core.errors import RequestError, SettingsError
from kvasir.core.private_files import create_private_file, make_private_folder
from kvasir.core.text import has_surrogates
from kvasir.core.types import Answer, Message
from kvasir.core.wire import dumps

_ROLES = ("system", "user", "assistant")


@dataclass(frozen=True, slots=True)
class SessionTemplate:
    """The start of a session: a context, or a loaded file, with its name and first turns.

    An empty system message means none.
    """

    name: str
    system: str
    messages: tuple[Message, ...] = ()


class Session:
    """The turns so far: messages, oldest first, without the system message."""

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
        """Write the session; an existing file is replaced in one step."""
        system = [Message("system", self.system)] if self.system else []
        unfinished = path.with_name(path.name + ".part")
        try:
            text = dumps([*system, *self.messages], indent=4) + "\n"
            unfinished.unlink(missing_ok=True)
            with create_private_file(unfinished) as file:
                file.write(text.encode("utf-8"))
            unfinished.replace(path)
        except (OSError, ValueError) as error:
            with suppress(OSError, ValueError):
                unfinished.unlink(missing_ok=True)
            raise RequestError(f"cannot write '{path}': {error_reason(error)}") from error


def error_reason(error: OSError | ValueError) -> str:
    """Return why a file could not be read or written, without its name."""
    return (isinstance(error, OSError) and error.strerror) or str(error)


def read_session(path: Path) -> SessionTemplate:
    """Read a session's file; raise RequestError if it is missing, unreadable or no session."""
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
    unlike = f"'{path}' holds no session: "
    expected = 'a session is a list of {"role": "user", "content": "..."}'
    if not isinstance(turns, list):
        raise RequestError(f"{unlike}{expected}")
    messages = []
    for number, turn in enumerate(turns, 1):
        fields = turn if isinstance(turn, dict) else {}
        role, content = fields.get("role"), fields.get("content")
        if role not in _ROLES or not isinstance(content, str):
            raise RequestError(
                f"{unlike}message {number} is not one; {expected}, and a role is one of "
                f"{', '.join(_ROLES)}"
            )
        if has_surrogates(content):
            raise RequestError(
                f"{unlike}message {number} holds half a character, a lone surrogate; take it out "
                "of the file"
            )
        messages.append(Message(role, content))
    return messages


class Journal:
    """Writes the logs of a chat's sessions into a folder."""

    def __init__(self, folder: Path) -> None:
        """Keep the folder, which is created with the first log."""
        self._folder = folder
        self._path: Path | None = None

    def begin(self) -> None:
        """Begin another session, with its own file."""
        self._path = None

    def write(self, record: Mapping[str, Any], system: str) -> None:
        """Log a question or a reply; a log begins with the system message."""
        lines = [{"time": datetime.now().astimezone().isoformat(), **record}]
        try:
            if self._path is None:
                self._path = self._new()
                lines.insert(0, {"time": lines[0]["time"], "role": "system", "content": system})
            with self._path.open("a", encoding="utf-8") as log:
                log.writelines(dumps(line) + "\n" for line in lines)
        except (OSError, ValueError) as error:
            raise SettingsError(
                f"cannot write the log in '{self._folder}' ({error_reason(error)}): set "
                "chat.logs_dir to a folder that can be written"
            ) from error

    def _new(self) -> Path:
        make_private_folder(self._folder)
        stamp = datetime.now().strftime("%Y%m%dT%H%M%S")
        for number in count(1):
            path = self._folder / f"chat-{stamp}{'' if number == 1 else f'-{number}'}.jsonl"
            with suppress(FileExistsError):
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
                return path
        raise AssertionError("count() does not end")
