"""``kvasir chat``: the options of InstructLab's RAG chat."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from kvasir.core.errors import RequestError
from kvasir.core.run import Run
from kvasir.frontends.cli.long_work import download
from kvasir.frontends.cli.options import (
    STORE_AND_MODEL,
    make_app,
    server_option,
    services_of,
    setting_options,
    with_settings,
)
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
        "Only documents with 'tags=a,date>=2024,source=DIR/*'.",
    ),
    ("--rag-prompt", "chat.rag.prompt", "Prompt of an answer, with {{context}} and {{question}}."),
    ("-c --context", "chat.context", "Context to begin with."),
    ("--generator", "generator.type", "What writes the answers."),
    ("-m --llm", "generator.model", "The language model: its name at the server, or a GGUF file."),
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
    # Imported here, because the help needs no terminal.
    from kvasir.frontends.cli.chat.loop import run_chat

    with (
        download() as show,
        make_app(settings, run=Run(progress=show)) as app,
        services_of(click.get_current_context(), app) as services,
    ):
        return run_chat(app, services, first, session=session, quick=quick)
