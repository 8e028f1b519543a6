"""The log of a session: a file of JSON lines, which only the user may read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

from kvasir.core.errors import SettingsError
from kvasir.core.types import Answer
from kvasir.core.wire import dumps
from kvasir.frontends.cli.chat.session import error_reason


class Journal:
    """Writes the logs of a chat's sessions into a folder."""

    def __init__(self, folder: Path) -> None:
        """Keep the folder, which is created with the first log."""
        self._folder = folder
        self._path: Path | None = None

    def begin(self) -> None:
        """Begin another session, with its own file."""
        self._path = None

    def asked(self, question: str, *, model: str, rag: bool, system: str) -> None:
        """Log a question."""
        self._write({"role": "user", "content": question, "model": model, "rag": rag}, system)

    def replied(self, reply: Answer, seconds: float, *, rag: bool) -> None:
        """Log a reply with its sources."""
        record: dict[str, Any] = {"role": "assistant", "content": reply.text}
        if reply.searched:
            record["searched"] = reply.searched
        if rag:
            record["refused"] = reply.refused
            record["citations"] = reply.citations
        self._write({**record, "notes": list(reply.notes), "seconds": round(seconds, 3)})

    def broken_off(self, shown: str, reason: str) -> None:
        """Log an incomplete reply."""
        self._write({"role": "assistant", "content": shown, "broken_off": reason})

    def _write(self, record: Mapping[str, Any], system: str = "") -> None:
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
        self._folder.mkdir(parents=True, exist_ok=True)
        stamp = datetime.now().strftime("%Y%m%dT%H%M%S")
        for number in count(1):
            path = self._folder / (
                f"chat-{stamp}.jsonl" if number == 1 else f"chat-{stamp}-{number}.jsonl"
            )
            try:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            except FileExistsError:
                continue
            return path
        raise AssertionError("count() does not end")
