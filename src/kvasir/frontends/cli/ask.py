"""``kvasir ask`` and ``kvasir search``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from kvasir.answering.answers import REFUSALS
from kvasir.app import App
from kvasir.core.types import Answer
from kvasir.frontends.cli.main import EXIT_REFUSED
from kvasir.frontends.cli.options import json_option, setting_option, with_app
from kvasir.frontends.cli.rendering import answer_to_dict, hit_to_dict, one_line, print_json
from kvasir.frontends.cli.terminal import place, printable
from kvasir.language.detect import UNKNOWN, detect

F = TypeVar("F", bound=Callable[..., Any])

_DOUBTFUL = 0.5
"""Confidence below which the documents rather do not hold the answer."""


def _retrieval_options(command: F) -> F:
    """The options of everything that retrieves."""
    for option in _RETRIEVAL:
        command = option(command)
    return command


_RETRIEVAL: list[Callable[[Any], Any]] = [
    setting_option(
        "--filters",
        key="chat.rag.retriever.filters",
        help_text="Only chunks with this metadata: field=value,...",
    ),
    setting_option(
        "--min-score",
        key="chat.rag.retriever.min_score_threshold",
        help_text="Leave out hits whose dense score is below.",
        type=float,
    ),
    setting_option("--top-k", key="chat.rag.retriever.top_k", help_text="Most passages.", type=int),
]


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="QUERY")
@_retrieval_options
@json_option
@with_app
def search(app: App, words: tuple[str, ...], as_json: bool) -> None:
    """Find the passages that match a query."""
    hits = app.search(" ".join(words))
    if as_json:
        print_json([hit_to_dict(hit) for hit in hits])
        return
    if not hits:
        click.echo("nothing found", err=True)
    for number, hit in enumerate(hits, 1):
        chunk = hit.chunk
        where = place(str(chunk.metadata.get("source_uri", chunk.document_id)), chunk.page)
        click.secho(f"{number}. {where}", bold=True, nl=False)
        click.echo(f"  (score {hit.score:.2f}, dense {hit.dense_score or 0.0:.2f})")
        if chunk.headings:
            click.secho(f"   {one_line(' > '.join(chunk.headings))}", dim=True)
        click.echo(f"   {one_line(chunk.text, 300)}")


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="QUESTION")
@_retrieval_options
@setting_option("--generator", key="generator.type", help_text="What writes the answer.")
@setting_option("--llm", key="generator.model", help_text="The language model, at its server.")
@json_option
@with_app
def ask(app: App, words: tuple[str, ...], as_json: bool) -> int:
    """Answer a question from the documents, with citations.

    Ends with 5 when the documents do not hold the answer.
    """
    question = " ".join(words)
    if as_json:
        answer = app.ask(question)
        _hint_at_language(app, question, answer)
        print_json(answer_to_dict(answer))
    else:
        stream = app.stream(question)
        for piece in stream:
            click.echo(printable(piece), nl=False)
        click.echo()
        answer = stream.answer
        _print_citations(answer)
        _hint_at_language(app, question, answer)
    return EXIT_REFUSED if answer.refused else 0


def _hint_at_language(app: App, question: str, answer: Answer) -> None:
    """Says what helps where neither documents nor embedding model know the question's language."""
    if not answer.refused and answer.confidence >= _DOUBTFUL:
        return  # guessing a language may load a model, which takes half a second
    spoken = [record.languages for record in app.collections() if record.name == app.collection]
    languages = list(spoken[0]) if spoken else []
    if not languages or set(app.embedder.languages) != {"en"}:
        return
    language = detect(question, [*languages, *(code for code in REFUSALS if code not in languages)])
    if language in (*languages, "en", UNKNOWN):
        return
    click.echo(
        f"hint: the question seems to be in '{language}', the documents are in "
        f"{', '.join(languages)}, and the embedding model knows English only: ask in the "
        "documents' language, or ingest into another collection with a multilingual model "
        "such as intfloat/multilingual-e5-small",
        err=True,
    )


def _print_citations(answer: Answer) -> None:
    if answer.citations:
        click.echo()
    for citation in answer.citations:
        click.secho(
            f"[{citation.marker}] {place(citation.source_uri, citation.page)}", bold=True, nl=False
        )
        click.echo(f", characters {citation.start}-{citation.end}")
        click.secho(f'    "{one_line(citation.quote)}"', dim=True)
    if answer.removed_citations:
        click.echo(f"{answer.removed_citations} citations pointed nowhere and were removed")
