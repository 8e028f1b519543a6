"""``kvasir ask`` and ``kvasir search``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kvasir.core.text import heading_path, one_line, printable
from kvasir.core.types import Answer, PageBox, Text
from kvasir.frontends.cli.main import EXIT_REFUSED
from kvasir.frontends.cli.options import SettingRow, setting_options, with_collection
from kvasir.frontends.cli.paths import location
from kvasir.frontends.cli.rendering import printed_json, wants_json

if TYPE_CHECKING:
    from kvasir.collection import Collection

_RETRIEVAL: tuple[SettingRow, ...] = (
    ("--top-k", "chat.rag.retriever.top_k", "Most passages."),
    (
        "--min-score",
        "chat.rag.retriever.min_score_threshold",
        "Leave out hits whose dense score is below.",
    ),
    (
        "--filters",
        "chat.rag.retriever.filters",
        "Only documents with 'tags=a,date>=2024,source=DIR/*'.",
    ),
)


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="QUERY")
@setting_options(*_RETRIEVAL)
@with_collection
def search(collection: Collection, words: tuple[str, ...]) -> None:
    """Find the passages that match a query."""
    hits = collection.search(" ".join(words))
    is_empty = not hits and not collection.chunk_count()
    if is_empty:
        add = "'kvasir ingest FOLDER' adds some"
        click.echo(f"collection '{collection.name}' has no documents: {add}", err=True)
    if printed_json(hits):
        return
    if not hits and not is_empty:
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
@with_collection
def ask(collection: Collection, words: tuple[str, ...]) -> int:
    """Answer a question from the documents, with citations.

    Ends with 5 when the documents do not hold the answer.
    """
    with collection.stream(" ".join(words)) as stream:
        if not wants_json():
            for event in stream:
                if isinstance(event, Text):
                    click.echo(printable(event.text), nl=False)
            click.echo()
        answer = stream.answer
    if not printed_json(answer):
        _print_citations(answer)
    for note in answer.notes:
        click.echo(f"hint: {note}", err=True)
    return EXIT_REFUSED if answer.refused else 0


def _on_page(box: PageBox | None) -> str:
    """Return where recognized text stands on its page, in percent from the upper left corner."""
    if box is None:
        return ""
    edges = box.left, box.right, box.top, box.bottom
    left, right, top, bottom = (round(100 * edge) for edge in edges)
    sure = f"recognized with {box.confidence:.0%} confidence"
    return f", {left}-{right} % from the left and {top}-{bottom} % from the top ({sure})"


def _print_citations(answer: Answer) -> None:
    if answer.citations:
        click.echo()
    for citation in answer.citations:
        where = location(citation.source_uri, citation.page)
        click.secho(f"[{citation.marker}] {where}", bold=True, nl=False)
        click.echo(f", characters {citation.start}-{citation.end}{_on_page(citation.box)}")
        click.secho(f'    "{one_line(citation.quote)}"', dim=True)
    if answer.removed_citations:
        click.echo(f"{answer.removed_citations} citations pointed nowhere and were removed")
