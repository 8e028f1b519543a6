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
    (
        "--rag/--no-rag",
        "chat.rag.enabled",
        "Answer from your documents, with sources; by default where no language model is set.",
    ),
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
    no terminal, the QUESTION is answered, or each line of standard input, in one conversation.
    With -qq standard input is one question.
    """
    # Imported here, because the help needs no terminal.
    from kvasir.frontends.cli.chat.loop import NO_QUESTION, run_chat

    is_piped = not sys.stdin.isatty()
    quick = quick_question or is_piped or not sys.stdout.isatty()
    first = " ".join(question).strip()
    if quick_question and is_piped and not first:
        first = sys.stdin.read().strip()
    if quick and not first and (quick_question or not is_piped):
        raise RequestError(NO_QUESTION)

    with (
        download() as show,
        make_app(settings, run=Run(progress=show)) as app,
        services_of(click.get_current_context(), app) as services,
    ):
        return run_chat(
            app, services, first, session=session, quick=quick, lines=sys.stdin if is_piped else ()
        )
