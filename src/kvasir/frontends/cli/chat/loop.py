"""The loop of a chat: read a message, run it as a command or ask it."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

from kvasir.app import App
from kvasir.collection import Collection
from kvasir.core.errors import KvasirError, RequestError
from kvasir.core.run import Run
from kvasir.core.types import Answer
from kvasir.frontends.cli.chat.chat import Chat
from kvasir.frontends.cli.chat.journal import Journal
from kvasir.frontends.cli.chat.screen import Screen
from kvasir.frontends.cli.chat.session import read_session
from kvasir.frontends.cli.chat.slash_commands import LeaveChat, dispatch
from kvasir.frontends.cli.progress import download
from kvasir.frontends.cli.remedies import explain_in_chat
from kvasir.settings.schema import Settings


def run_chat(
    settings: Settings, *, question: str = "", session: Path | None = None, quick: bool = False
) -> Answer | None:
    """Chat on this terminal until the user leaves.

    If input or output is no terminal, answer one question: the given one, or standard input.

    ``question`` is asked before the first prompt; if ``quick``, its reply is returned without a
    chat. ``session`` is a saved session to begin with; ``/n`` returns to it.

    Raises:
        KvasirError: A setting or the session is unusable, there is no question, or a quick
            question could not be answered.
    """
    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    quick = quick or not interactive
    if quick and not question.strip():
        question = "" if sys.stdin.isatty() else sys.stdin.read()
        if not question.strip():
            raise RequestError(
                "there is no question: kvasir chat -qq 'your question', or leave -qq out and chat"
            )
    with download() as show, App(settings, run=Run(progress=show)) as app:
        screen = Screen(
            history=settings.data_folder / "chat-history", vi_mode=settings.chat.vi_mode
        )
        with closing(open_chat(app, screen)) as chat:
            if session is not None:
                chat.load(read_session(session), keep=True)
            if quick:
                return chat.ask(question.strip())
            chat.greet()
            converse(chat, question)
    return None


class _Lease:
    """The chat's lease on its collection, held while RAG is on."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._held: Collection | None = None

    def get(self) -> Collection:
        if self._held is None:
            self._held = self._app.collection()
        return self._held

    def release(self) -> None:
        if self._held is not None:
            self._held.close()
            self._held = None


def open_chat(app: App, screen: Screen) -> Chat:
    """Make a chat with an application's settings."""
    chosen = app.settings.chat
    lease = _Lease(app)
    return Chat(
        screen,
        lambda model: app.conversation(lease.get, model),
        model=app.settings.generator.model,
        rag=chosen.rag.enabled,
        multiline=chosen.multiline,
        context=chosen.context,
        contexts=chosen.contexts,
        journal=Journal(app.settings.chat_logs_dir),
        release=lease.release,
    )


def converse(chat: Chat, first: str = "") -> None:
    """Read and answer messages, beginning with ``first``, until the user leaves."""
    message: str | None = first if first.strip() else None
    while True:
        try:
            if message is None:
                message = chat.screen.read(lambda: chat.status, multiline=chat.reads_lines)
            _take(chat, message)
        except (EOFError, LeaveChat):
            return
        except KeyboardInterrupt:
            pass  # Show a new prompt.
        message = None


def _take(chat: Chat, message: str) -> None:
    if not message.strip() or dispatch(chat, message):
        return
    chat.message_accepted()
    try:
        chat.ask(message.strip())
    except KvasirError as error:
        chat.screen.fail(explain_in_chat(error))
    except KeyboardInterrupt:
        chat.screen.note("broken off: neither the question nor the reply is kept in the session")
