"""Arguments and results of the tools, as the protocol's clients see them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from kvasir.core.types import MetadataValue, PageBox


class Arguments(BaseModel):
    """Arguments of a tool; others are refused."""

    model_config = ConfigDict(extra="forbid")


Filters = Annotated[
    str | None,
    Field(
        max_length=4000,
        description="only documents with this metadata: field=value pairs joined by commas, also "
        'with !=, <, <=, > or >=, such as `year>=2020,tags=pump,title="Rules, part 2"`; `source` '
        "is the document's source, with * for any text, `type` the file type, such as pdf",
    ),
]


Explain = Annotated[
    bool,
    Field(description="say what gave each passage its place, and how it was decided to answer"),
]


class SearchArguments(Arguments):
    """Arguments of ``search``."""

    query: str = Field(
        min_length=1, max_length=20_000, description="a question or keywords, in any language"
    )
    filters: Filters = None
    explain: Explain = False


class FetchArguments(Arguments):
    """Arguments of ``fetch``."""

    id: str = Field(
        min_length=1,
        max_length=500,
        description="the id of a result of search, of a citation, or of a listed document",
    )


class AskArguments(Arguments):
    """Arguments of ``ask``."""

    question: str = Field(min_length=1, max_length=20_000, description="a question in words")
    collection: str | None = Field(
        None, max_length=64, description="by default the collection of the best passage"
    )
    filters: Filters = None
    explain: Explain = False


class ListArguments(Arguments):
    """Arguments of ``list_documents``."""

    collection: str | None = Field(None, max_length=64, description="by default all of them")
    after: str | None = Field(None, max_length=9000, description="`next` of the page before")
    limit: int = Field(100, ge=1, le=500, description="most documents of a page")


class Place(BaseModel):
    """Where a passage stands; a line only where the file is on this machine."""

    page: int | None
    headings: list[str]
    line: int | None
    box: PageBox | None


class SearchResult(BaseModel):
    """A passage that was found."""

    id: str
    title: str
    url: str
    place: Place
    copies: list[str] = []
    """Sources of other documents with the same passage."""


class SearchResults(BaseModel):
    """The passages that belong to a query, best first."""

    results: list[SearchResult]
    explanations: dict[str, dict[str, Any]] | None = None
    """If they were asked for: by collection, how its passages were found."""


class FetchedDocument(BaseModel):
    """A document, or the part of a long one around a passage."""

    id: str
    title: str
    text: str
    url: str
    metadata: dict[str, MetadataValue]


class ListedDocument(BaseModel):
    """A document; it is not readable if none of its versions could be turned into text."""

    id: str
    title: str
    url: str
    collection: str
    source: str
    language: str
    readable: bool


class DocumentList(BaseModel):
    """A page of documents; ``next`` is there if more follow."""

    documents: list[ListedDocument]
    next: str | None = None


class Cited(BaseModel):
    """The passage behind a marker such as ``[1]`` of an answer.

    It is checked if the quote was found in the stored text, letter by letter.
    """

    marker: int
    id: str
    title: str
    url: str
    quote: str
    page: int | None
    place: Place
    checked: bool


class GivenAnswer(BaseModel):
    """An answer from the documents; refused if they do not have one.

    ``certainty`` is "sure", "not sure" or "no"; but for the first, the nearest passages are named.
    ``doubt`` says why it is not sure, where the reason is not the confidence.
    """

    answer: str
    refused: bool
    certainty: Literal["sure", "not sure", "no"]
    confidence: float
    doubt: str = ""
    nearest: list[SearchResult]
    collection: str
    citations: list[Cited]
    notes: list[str]
    explanation: dict[str, Any] | None = None
    """If it was asked for: how the answer was decided and found."""
