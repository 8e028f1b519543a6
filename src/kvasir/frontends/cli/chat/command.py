"""``kvasir chat``: the options of InstructLab's RAG chat, over the chat of ``frontends.chat``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from kvasir.frontends.cli.chat.loop import run_chat
from kvasir.frontends.cli.main import EXIT_REFUSED
from kvasir.frontends.cli.options import setting_option, with_settings
from kvasir.settings.schema import Settings

F = TypeVar("F", bound=Callable[..., Any])

_SETTINGS: list[Callable[[Any], Any]] = [
    setting_option(
        "--rag/--no-rag",
        key="chat.rag.enabled",
        help_text="Answer from your documents, with sources.",
        is_flag=True,
    ),
    setting_option(
        "--rag-context-refinement/--no-rag-context-refinement",
        key="chat.rag.context_refinement.enabled",
        help_text="Let the language model rewrite questions for the search.",
        is_flag=True,
    ),
    setting_option(
        "--rag-context-prompt",
        key="chat.rag.context_refinement.prompt",
        help_text="Prompt for that, with {{user_query}}.",
    ),
    setting_option(
        "--retriever-top-k",
        key="chat.rag.retriever.top_k",
        help_text="Most passages for a question.",
        type=int,
    ),
    setting_option(
        "--retriever-min-score-threshold",
        key="chat.rag.retriever.min_score_threshold",
        help_text="Leave out passages whose dense score is below.",
        type=float,
    ),
    setting_option(
        "--retriever-filters",
        key="chat.rag.retriever.filters",
        help_text="Only passages with this metadata: field=value,...",
    ),
    setting_option(
        "--rag-prompt",
        key="chat.rag.prompt",
        help_text="Prompt of an answer, with {{context}} and {{question}}.",
    ),
    setting_option("-c", "--context", key="chat.context", help_text="Context to begin with."),
    setting_option("--generator", key="generator.type", help_text="What writes the answers."),
    setting_option(
        "-m", "--llm", key="generator.model", help_text="The language model, at its server."
    ),
    setting_option("--base-url", key="generator.base_url", help_text="That server's address."),
    setting_option("--vectordb-type", key="rag.vectordb.type", help_text="The store."),
    setting_option("--vectordb-uri", key="rag.vectordb.uri", help_text="Where the store is."),
    setting_option("--vectordb-token", key="rag.vectordb.token", help_text="The store's token."),
    setting_option(
        "--vectordb-username", key="rag.vectordb.username", help_text="The store's user."
    ),
    setting_option(
        "--vectordb-password", key="rag.vectordb.password", help_text="The store's password."
    ),
    setting_option("--model", key="rag.embedding_model.name", help_text="The embedding model."),
    setting_option(
        "--model-token", key="rag.embedding_model.token", help_text="Token for private models."
    ),
]


def _setting_options(command: F) -> F:
    for option in reversed(_SETTINGS):
        command = option(command)
    return command


@click.command()
@click.argument("question", nargs=-1)
@_setting_options
@click.option(
    "-s",
    "--session",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Begin with a saved session.",
)
@click.option("-qq", "--quick-question", is_flag=True, help="Answer the question and end.")
@with_settings
def chat(
    settings: Settings, question: tuple[str, ...], session: Path | None, quick_question: bool
) -> int:
    """Chat on this terminal, with a language model, your documents, or both.

    A QUESTION is asked at once. Type /h in the chat for its commands. Where input or output is
    no terminal, one question is answered, from the arguments or from standard input.
    """
    reply = run_chat(settings, question=" ".join(question), session=session, quick=quick_question)
    return EXIT_REFUSED if reply and reply.refused else 0
