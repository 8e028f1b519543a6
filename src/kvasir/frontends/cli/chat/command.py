"""``kvasir chat``: the options of InstructLab's RAG chat, and the loop of a chat.

The loop reads a message, and runs it as a command or asks it.
"""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path

import click

from kvasir.app import App
from kvasir.core.errors import KvasirError, RequestError
from kvasir.core.leases import Lazy
from kvasir.core.run import Run
from kvasir.frontends.cli.chat.chat import Chat
from kvasir.frontends.cli.chat.screen import Screen
from kvasir.frontends.cli.chat.session import Journal, read_session
from kvasir.frontends.cli.chat.shared_conversation import SharedConversation
from kvasir.frontends.cli.chat.slash_commands import LeaveChat, dispatch
from kvasir.frontends.cli.long_work import download
from kvasir.frontends.cli.main import EXIT_REFUSED
from kvasir.frontends.cli.options import (
    STORE_AND_MODEL,
    server_option,
    services_of,
    setting_options,
    with_settings,
)
from kvasir.frontends.cli.remedies import explain_in_chat
from kvasir.frontends.cli.services import Services
from kvasir.settings.schema import Settings


@click.command()
@click.argument("question", nargs=-1)
@setting_options(
    ("--rag/--no-rag", "chat.rag.enabled", "Answer from your documents, with sources."),
    (
        "--rag-context-refinement/--no-rag-context-refinement",
        "chat.rag.context_refinement.enabled",
        "Let the language model rewrite questions for the search.",
    ),
    (
        "--rag-context-prompt",
        "chat.rag.context_refinement.prompt",
        "Prompt for that, with {{user_query}}.",
    ),
    ("--retriever-top-k", "chat.rag.retriever.top_k", "Most passages for a question."),
    (
        "--retriever-min-score-threshold",
        "chat.rag.retriever.min_score_threshold",
        "Leave out passages whose dense score is below.",
    ),
    (
        "--retriever-filters",
        "chat.rag.retriever.filters",
        "Only passages with this metadata: field=value,...",
    ),
    ("--rag-prompt", "chat.rag.prompt", "Prompt of an answer, with {{context}} and {{question}}."),
    ("-c --context", "chat.context", "Context to begin with."),
    ("--generator", "generator.type", "What writes the answers."),
    ("-m --llm", "generator.model", "The language model, at its server."),
    ("--base-url", "generator.base_url", "That server's address."),
    ("--vectordb-type", "rag.vectordb.type", "The store."),
    ("--vectordb-uri", "rag.vectordb.uri", "Where the store is."),
    *STORE_AND_MODEL,
)
@click.option(
    "-s",
    "--session",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Begin with a saved session.",
)
@click.option("-qq", "--quick-question", is_flag=True, help="Answer the question and end.")
@server_option
@with_settings
def chat(
    settings: Settings, question: tuple[str, ...], session: Path | None, quick_question: bool
) -> int:
    """Chat on this terminal, with a language model, your documents, or both.

    A QUESTION is asked at once. Type /h in the chat for its commands. Where input or output is
    no terminal, one question is answered, from the arguments or from standard input.
    """
    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    quick = quick_question or not interactive
    first = " ".join(question)
    if quick and not first.strip():
        first = "" if sys.stdin.isatty() else sys.stdin.read()
        if not first.strip():
            raise RequestError(
                "there is no question: kvasir chat -qq 'your question', or leave -qq out and chat"
            )
    with (
        download() as show,
        App(settings, run=Run(progress=show)) as app,
        services_of(click.get_current_context(), app) as services,
    ):
        screen = Screen(
            history=settings.data_folder / "chat-history", vi_mode=settings.chat.vi_mode
        )
        with closing(_open_chat(app, services, screen)) as opened:
            if session is not None:
                opened.load(read_session(session), keep=True)
            if quick:
                return EXIT_REFUSED if opened.ask(first.strip()).refused else 0
            opened.greet()
            converse(opened, first)
    return 0


def _open_chat(app: App, services: Services, screen: Screen) -> Chat:
    chosen = app.settings.chat
    lease = Lazy(app.collection)  # held while RAG is on

    def release() -> None:
        held = lease.take()
        if held is not None:
            held.close()

    def converse_with(model: str | None) -> SharedConversation:
        return SharedConversation(app.conversation(lease.get, model), services, model, release)

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
