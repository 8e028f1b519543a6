"""Questions about one table, read as a retrieved passage shows it."""

from kvasir.answering.table_answers import TableReader
from kvasir.components.analyzers.bm25 import Bm25Analyzer
from kvasir.components.extractors.document_builder import markdown_table
from kvasir.core.ledger import DocumentVersion
from kvasir.core.types import Chunk, Hit

ANALYZER = Bm25Analyzer()
SALES = [
    ["Shop", "Town", "Sales", "Returns (kg)"],
    ["North", "Rome", "1,200", "3"],
    ["South", "Rome", "980", ""],
    ["East", "Oslo", "2,310", "7"],
    ["West", "Bern", "-", "5"],
]


def found(rows, name="table.csv", language="en", first=0, around="", title=""):
    """Return the hit of a table's first lines, and its document's version."""
    text = f"{around}{rows if isinstance(rows, str) else markdown_table(rows)}"
    start = len(around)
    end = min(len(text), start + 200)
    metadata = {"language": language, "source_uri": f"/data/{name}", "title": title}
    chunk = Chunk(f"c{first}", f"d{first}", text[start:end], start, end, metadata=metadata)
    return Hit(chunk, 1.0, 0.8, 1.0), DocumentVersion(text, "hash")


def asked(question, *pairs):
    versions = {hit.chunk.document_id: version for hit, version in pairs}
    return TableReader(ANALYZER, versions.get).answer(question, [hit for hit, _ in pairs])


def said(question, rows, **options):
    answer = asked(question, found(rows, **options))
    return answer and answer.text
