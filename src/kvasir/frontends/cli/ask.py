"""``kvasir ask`` and ``kvasir search``."""

from __future__ import annotations

import click

from kvasir.collection import Collection
from kvasir.core.text import heading_path, one_line, printable
from kvasir.core.types import Answer, Text
from kvasir.frontends.cli.main import EXIT_REFUSED
from kvasir.frontends.cli.options import SettingRow, json_option, setting_options, with_collection
from kvasir.frontends.cli.rendering import print_json
from kvasir.frontends.cli.terminal import location

_RETRIEVAL: tuple[SettingRow, ...] = (
    ("--top-k", "chat.rag.retriever.top_k", "Most passages.", {"type": int}),
    (
        "--min-score",
        "chat.rag.retriever.min_score_threshold",
        "Leave out hits whose dense score is below.",
        {"type": float},
    ),
    ("--filters", "chat.rag.retriever.filters", "Only chunks with this metadata: field=value,..."),
)


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="QUERY")
@setting_options(*_RETRIEVAL)
@json_option
@with_collection
def search(collection: Collection, words: tuple[str, ...], as_json: bool) -> None:
    """Find the passages that match a query."""
    hits = collection.search(" ".join(words))
    if as_json:
        print_json(hits)
        return
    if not hits:
        click.echo("nothing found", err=True)
    for number, hit in enumerate(hits, 1):
        chunk = hit.chunk
        where = location(str(chunk.metadata.get("source_uri", chunk.document_id)), chunk.page)
        click.secho(f"{number}. {where}", bold=True, nl=False)
        click.echo(f"  (score {hit.score:.2f}, dense {hit.dense_score or 0.0:.2f})")
        if chunk.headings:
            click.secho(f"   {one_line(heading_path(chunk.headings))}", dim=True)
        click.echo(f"   {one_line(chunk.text, 300)}")


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="QUESTION")
@setting_options(
    *_RETRIEVAL,
    ("--generator", "generator.type", "What writes the answer."),
    ("--llm", "generator.model", "The language model, at its server."),
)
@json_option
@with_collection
def ask(collection: Collection, words: tuple[str, ...], as_json: bool) -> int:
    """Answer a question from the documents, with citations.

    Ends with 5 when the documents do not hold the answer.
    """
    with collection.stream(" ".join(words)) as stream:
        if not as_json:
            for event in stream:
                if isinstance(event, Text):
                    click.echo(printable(event.text), nl=False)
            click.echo()
        answer = stream.answer
    if as_json:
        print_json(answer)
    else:
        _print_citations(answer)
    for note in answer.notes:
        click.echo(f"hint: {note}", err=True)
    return EXIT_REFUSED if answer.refused else 0


def _print_citations(answer: Answer) -> None:
    if answer.citations:
        click.echo()
    for citation in answer.citations:
        click.secho(
            f"[{citation.marker}] {location(citation.source_uri, citation.page)}",
            bold=True,
            nl=False,
        )
        click.echo(f", characters {citation.start}-{citation.end}")
        click.secho(f'    "{one_line(citation.quote)}"', dim=True)
    if answer.removed_citations:
        click.echo(f"{answer.removed_citations} citations pointed nowhere and were removed")
