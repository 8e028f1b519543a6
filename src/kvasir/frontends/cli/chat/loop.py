"""The loop of a chat: read a message, and run it as a command or ask it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kvasir.core.errors import KvasirError, RequestError
from kvasir.core.leases import Lazy
from kvasir.core.matches import MatchFinder
from kvasir.core.places import LineFinder
from kvasir.core.text import replace_surrogates
from kvasir.frontends.cli.chat.chat import Chat
from kvasir.frontends.cli.chat.screen import Screen
from kvasir.frontends.cli.chat.session import Journal, read_session
from kvasir.frontends.cli.chat.shared_conversation import SharedConversation
from kvasir.frontends.cli.chat.slash_commands import LeaveChat, dispatch
from kvasir.frontends.cli.main import EXIT_REFUSED, exit_code_of, fail
from kvasir.frontends.cli.options import server_of
from kvasir.frontends.cli.places import Places
from kvasir.frontends.cli.remedies import explain, explain_in_chat
from kvasir.frontends.cli.services import Service, Services

if TYPE_CHECKING:
    from kvasir.app import App

NO_QUESTION = "there is no question: kvasir chat -qq 'your question', or leave -qq out and chat"


def run_chat(
    app: App,
    services: Services,
    first: str,
    *,
    session: Path | None,
    quick: bool,
    lines: Iterable[str] = (),
) -> int:
    """Chat until the user leaves, or answer the messages given; return the exit code.

    Args:
        app: The application of this process.
        services: Where its collections are.
        first: The first message; may be empty, unless ``quick``.
        session: File of a session to begin with.
        quick: Answer ``first`` alone, or ``lines`` if it is empty.
        lines: Messages that nobody types, one a line.
    """
    settings = app.settings
    screen = Screen(
        history=settings.data_folder / "chat-history",
        vi_mode=settings.chat.vi_mode,
        places=lambda terminal: Places(
            terminal, settings.collection, server_of(click.get_current_context())
        ),
        locate=LineFinder(partial(_text, services)).answer,
        matches=lambda question: MatchFinder(app.analyzer, question),
    )
    is_one = quick and bool(first)
    with closing(_open_chat(app, services, screen, explain=not is_one)) as opened:
        if session is not None:
            opened.load(read_session(session), keep=True)
        if is_one:
            return EXIT_REFUSED if opened.ask(first.strip()).refused else 0
        if quick:
            return answer_lines(opened, lines)
        opened.greet()
        converse(opened, first)
    return 0


def _text(services: Services, document_id: str) -> str:
    """Return the text of a document of the chat's collection."""

    def read(service: Service) -> str:
        with service.collection() as collection:
            return collection.text(document_id)

    return services.run(read, may_repeat=True)


def _open_chat(app: App, services: Services, screen: Screen, *, explain: bool) -> Chat:
    """Open a chat, in which ``explain`` keeps for each reply how it was made."""
    chosen = app.settings.chat
    lease = Lazy(app.collection)  # held while RAG is on

    def release() -> None:
        held = lease.take()
        if held is not None:
            held.close()

    def converse_with(model: str | None) -> SharedConversation:
        conversation = app.conversation(lease.get, model)
        conversation.search = replace(conversation.search, explain=explain)
        return SharedConversation(conversation, services, model, release)

    return Chat(
        screen,
        converse_with,
        model=app.settings.generator.model,
        rag=chosen.rag.enabled,
        multiline=chosen.multiline,
        context=chosen.context,
        contexts=chosen.contexts,
        journal=Journal(app.settings.chat_logs_dir),
        release=release,
    )


def answer_lines(chat: Chat, lines: Iterable[str]) -> int:
    """Answer one message a line, in one conversation; return the exit code of the last one.

    An error is reported, and the next line is answered.
    """
    code, has_message, is_answered = 0, False, False
    for line in lines:
        message = replace_surrogates(line).strip()
        if not message:
            continue
        has_message = True
        try:
            if dispatch(chat, message):
                continue
            if is_answered:
                click.echo()
            is_answered = True
            code = EXIT_REFUSED if chat.ask(message).refused else 0
        except LeaveChat:
            return code
        except KvasirError as error:
            code = fail(f"error: {explain(error)}", exit_code_of(error), error.code)
    if not has_message:
        raise RequestError(NO_QUESTION)
    return code


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
        chat.screen.fail(explain_in_chat(error, has_model=chat.has_model))
    except KeyboardInterrupt:
        chat.screen.note("broken off: neither the question nor the reply is kept in the session")
