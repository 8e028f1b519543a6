"""``kvasir chat``: the options of InstructLab's RAG chat, on this terminal."""

from __future__ import annotations

from pathlib import Path

import click

from kvasir.frontends.cli.chat.loop import run_chat
from kvasir.frontends.cli.main import EXIT_REFUSED
from kvasir.frontends.cli.options import STORE_AND_MODEL, SettingRow, setting_options, with_settings
from kvasir.settings.schema import Settings

_SETTINGS: tuple[SettingRow, ...] = (
    (
        "--rag/--no-rag",
        "chat.rag.enabled",
        "Answer from your documents, with sources.",
        {"is_flag": True},
    ),
    (
        "--rag-context-refinement/--no-rag-context-refinement",
        "chat.rag.context_refinement.enabled",
        "Let the language model rewrite questions for the search.",
        {"is_flag": True},
    ),
    (
        "--rag-context-prompt",
        "chat.rag.context_refinement.prompt",
        "Prompt for that, with {{user_query}}.",
    ),
    (
        "--retriever-top-k",
        "chat.rag.retriever.top_k",
        "Most passages for a question.",
        {"type": int},
    ),
    (
        "--retriever-min-score-threshold",
        "chat.rag.retriever.min_score_threshold",
        "Leave out passages whose dense score is below.",
        {"type": float},
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


@click.command()
@click.argument("question", nargs=-1)
@setting_options(*_SETTINGS)
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
