"""``kvasir ask`` and ``kvasir search``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

import click
from rich.text import Text

from kvasir.core.matches import MatchFinder
from kvasir.core.places import LineFinder, is_source_code
from kvasir.core.protocols import KeepsPrompts
from kvasir.core.text import one_line, printable
from kvasir.core.types import Answer, Citation, Hit, Retrieved
from kvasir.core.types import Text as TextPiece
from kvasir.frontends.cli.explanations import answer_lines, hit_lines, search_lines
from kvasir.frontends.cli.main import EXIT_REFUSED
from kvasir.frontends.cli.options import (
    GENERATORS,
    SettingRow,
    current_app,
    server_of,
    setting_options,
    with_collection,
)
from kvasir.frontends.cli.passages import StreamedLines, excerpt, passage_lines
from kvasir.frontends.cli.paths import location
from kvasir.frontends.cli.places import Places, headings_of, on_page, quote_lines
from kvasir.frontends.cli.remedies import explain_note
from kvasir.frontends.cli.rendering import nearest_title, printed_json, unsupported, wants_json
from kvasir.frontends.cli.terminal import Terminal, echo
from kvasir.frontends.cli.wrapping import Span, hanging

if TYPE_CHECKING:
    from kvasir.collection import Collection
    from kvasir.core.answer_stream import AnswerStream
    from kvasir.core.explanations import HitExplanation, SearchExplanation

_EXCERPT = 400
"""Characters of a hit that are shown."""
_QUOTE = 300
"""Characters of a line about a passage where there is no terminal."""

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
@click.option("--explain", is_flag=True, help="Say what gave each passage its place.")
@with_collection
def search(collection: Collection, words: tuple[str, ...], explain: bool) -> None:
    """Find the passages that match a query."""
    query = " ".join(words)
    explained = collection.explain(query) if explain else None
    hits = list(explained.hits) if explained else collection.search(query)
    hits = LineFinder(collection.text).hits(hits)
    is_empty = not hits and not collection.chunk_count()
    if is_empty:
        add = "'kvasir ingest FOLDER' adds some"
        echo(f"collection '{collection.name}' has no documents: {add}", err=True)
    if printed_json(replace(explained, hits=tuple(hits)) if explained else hits):
        return
    if not hits and not is_empty:
        echo("nothing found", err=True)
    page = _Page(collection, query)
    for number, hit in enumerate(hits, 1):
        page.show_hit(number, hit)
        if explained:
            page.show_parts(explained.explanation.hits[number - 1], explained.explanation)
    if explained:
        page.show_search(explained.explanation)


@click.command()
@click.argument("words", nargs=-1, required=True, metavar="QUESTION")
@setting_options(
    *_RETRIEVAL,
    ("--generator", "generator.type", f"What writes the answer: {GENERATORS}."),
    ("--llm", "generator.model", "The language model: its name at the server, or a GGUF file."),
)
@click.option("--why", is_flag=True, help="Say how it was decided whether to answer.")
@click.option("--fresh", is_flag=True, help="Make a new answer where the server kept one.")
@with_collection
def ask(collection: Collection, words: tuple[str, ...], why: bool, fresh: bool) -> int:
    """Answer a question from the documents, with citations.

    Ends with 5 when the documents do not hold the answer.
    """
    question = " ".join(words)
    page = _Page(collection, question)
    with collection.stream(question, explain=why, fresh=fresh) as stream:
        if not wants_json():
            page.show_stream(stream)
        answer = LineFinder(collection.text).answer(stream.answer)
    answer = replace(answer, notes=tuple(map(explain_note, answer.notes)))
    if not printed_json(answer):
        page.show_citations(answer)
        page.show_why(answer)
    for note in answer.notes:
        echo(f"hint: {note}", err=True)
    if why:
        _say_what_was_kept(collection)
    return EXIT_REFUSED if answer.refused else 0


def _say_what_was_kept(collection: Collection) -> None:
    """Say how much of the prompt was in kept states, where this process wrote the answer."""
    from kvasir.remote.collection import RemoteCollection

    if isinstance(collection, RemoteCollection):
        return
    generator = current_app().generator
    tokens = generator.prompt_tokens() if isinstance(generator, KeepsPrompts) else {}
    if any(tokens.values()):
        said = f"{tokens['kept']:,} tokens from kept states, {tokens['read']:,} read"
        echo(f"prompt: {said}", err=True)


class _Page:
    """Shows hits and answers on this terminal, or as plain text elsewhere."""

    def __init__(self, collection: Collection, question: str) -> None:
        self._terminal = Terminal()
        server = server_of(click.get_current_context())
        self._places = Places(self._terminal, collection.name, server)
        self._question = question
        self._languages: dict[str, str] = {}  # Of documents, by their ids.

    @cached_property
    def _matches(self) -> MatchFinder:
        return MatchFinder(current_app().analyzer, self._question)

    def _note_languages(self, hits: Iterable[Hit]) -> None:
        for hit in hits:
            language = str(hit.chunk.metadata.get("language", ""))
            self._languages[hit.chunk.document_id] = language

    def _find(self, text: str, document_id: str | None = None) -> list[Span]:
        """Return the spans of the question's words, by default in the language of the best hit."""
        if not self._terminal.has_styles:
            return []
        best = next(iter(self._languages.values()), "")
        return self._matches.spans(text, self._languages.get(document_id or "", best))

    def show_hit(self, number: int, hit: Hit) -> None:
        """Show where a hit stands, and the part of it that belongs to the question."""
        chunk, terminal = hit.chunk, self._terminal
        self._note_languages([hit])
        find = partial(self._find, document_id=chunk.document_id)
        scores = f"  (score {hit.score:.2f}, dense {hit.dense_score or 0.0:.2f})"
        where = Text().append(f"{number}. ", "bold").append_text(self._places.of_hit(hit))
        where.append(f"{on_page(hit.box)}{scores}")
        terminal.lines(hanging(where, terminal.width, more="   "))
        if chunk.headings:
            headings = Text(headings_of(chunk.headings), "dim")
            terminal.lines(hanging(headings, terminal.width, "   "))
        self._show_copies(hit.copies, "   ")
        if terminal.width is None:
            terminal.write(Text(f"   {one_line(chunk.text, _QUOTE)}"))
            return
        shown = excerpt(chunk.text, find(chunk.text), _EXCERPT)
        terminal.lines(
            passage_lines(
                shown,
                terminal.width,
                indent="   ",
                find=find,
                is_code=is_source_code(str(chunk.metadata.get("source_uri", ""))),
                rule=terminal.rule,
            )
        )

    def show_parts(self, hit: HitExplanation, search: SearchExplanation) -> None:
        """Show below a hit what gave it its place."""
        self._terminal.lines(hit_lines(hit, search, self._terminal.width, "   "))

    def show_search(self, search: SearchExplanation) -> None:
        """Show how a search was made."""
        echo()
        self._terminal.lines(search_lines(search, self._terminal.width))

    def show_why(self, answer: Answer) -> None:
        """Show how an answer was decided and found, if it says that."""
        if answer.explanation is not None:
            echo()
            self._terminal.lines(answer_lines(answer, self._terminal.width))

    def _show_copies(self, copies: Sequence[str], indent: str) -> None:
        """Name the other documents that hold the same passage."""
        if copies:
            names = Text(f"the same in {', '.join(map(location, copies))}", "dim")
            self._terminal.lines(hanging(names, self._terminal.width, indent))

    def show_stream(self, stream: AnswerStream) -> None:
        """Show an answer while it comes."""
        terminal = self._terminal
        if terminal.width is None:
            for event in stream:
                if isinstance(event, TextPiece):
                    click.echo(printable(event.text), nl=False)
            click.echo()
            return
        lines = StreamedLines(
            terminal.width,
            lambda text: terminal.write(text, nl=False),
            find=self._find,
            rule=terminal.rule,
        )
        for event in stream:
            if isinstance(event, Retrieved):
                self._note_languages(event.hits)
            elif isinstance(event, TextPiece):
                lines.feed(event.text)
        lines.finish()

    def show_citations(self, answer: Answer) -> None:
        """Show where each quote stands, and the nearest passages where it is not sure."""
        terminal = self._terminal
        if answer.citations:
            echo()
        for citation in answer.citations:
            where = Text().append(f"[{citation.marker}] ", "bold")
            where.append_text(self._places.of_citation(citation))
            where.append(f", characters {citation.start}-{citation.end}{on_page(citation.box)}")
            terminal.lines(hanging(where, terminal.width, more="    "))
            if citation.headings:
                headings = Text(headings_of(citation.headings), "dim")
                terminal.lines(hanging(headings, terminal.width, "    "))
            self._show_copies(_copies_of(citation, answer), "    ")
            find = partial(self._find, document_id=citation.document_id)
            terminal.lines(quote_lines(citation.quote, terminal.width, find, rule=terminal.rule))
        if answer.nearest:
            echo()
            echo(nearest_title(answer))
        for hit in answer.nearest:
            where = Text("  ").append_text(self._places.of_hit(hit)).append(on_page(hit.box))
            terminal.lines(hanging(where, terminal.width, more="    "))
            if hit.chunk.headings:
                headings = Text(headings_of(hit.chunk.headings), "dim")
                terminal.lines(hanging(headings, terminal.width, "    "))
        if answer.removed_citations:
            echo(f"{answer.removed_citations} citations pointed nowhere and were removed")
        if answer.unsupported_sentences:
            echo(unsupported(answer))


def _copies_of(citation: Citation, answer: Answer) -> tuple[str, ...]:
    """Return the other sources of the passage that a citation quotes."""
    for hit in answer.hits:
        chunk = hit.chunk
        if chunk.document_id == citation.document_id and (
            chunk.start <= citation.start and citation.end <= chunk.end
        ):
            return hit.copies
    return ()
