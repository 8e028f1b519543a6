"""A folder, a catalog and a store in memory, and an ingest between them."""

from pathlib import Path

from kvasir.catalog.sql import SqlCatalog
from kvasir.core.errors import ExtractionError
from kvasir.core.text import has_scheme
from kvasir.core.types import Chunk, Document, Source, chunk_id, document_id
from kvasir.frontends.cli.paths import files
from kvasir.ingesting.pipeline import IngestPipeline
from kvasir.ingesting.publishing import Publisher
from kvasir.maintenance.repair import examine, restore
from kvasir.testing.fakes import FakeEmbedder, MemoryStore


def is_wire(each):
    return isinstance(each, tuple) or has_scheme(str(each))


class PowerCut(BaseException):
    """Ends the run wherever it is; no code may catch it and go on."""


class PlainPool:
    """Extracts text in this process; content that begins with ``!`` cannot be read."""

    def __init__(self):
        self.extracted = []

    def map(self, items, *, ordered=True, stop=None, on_page=None):
        for item in items:
            source, data = item if isinstance(item, tuple) else (Source(item, "text/plain"), None)
            data = Path(source.uri).read_bytes() if data is None else data
            self.extracted.append(source.uri)
            if data.startswith(b"!"):
                yield source, ExtractionError("malformed", "it is broken; save it again")
            else:
                title = Path(source.uri).name
                yield (
                    source,
                    Document(
                        document_id(source.uri),
                        source.uri,
                        title,
                        data.decode(),
                        metadata={"author": "Ada"},
                    ),
                )


class LineSplitter:
    """Makes a chunk of each line."""

    def split(self, document):
        start = 0
        for line in document.text.splitlines(keepends=True):
            text = line.rstrip("\n")
            if text:
                name = chunk_id(document.id, text, start, start + len(text))
                yield Chunk(name, document.id, text, start, start + len(text))
            start += len(line)


class World:
    def __init__(self, folder, **options):
        self.folder = folder
        self.folder.mkdir()
        self.catalog = SqlCatalog("sqlite://")
        self.store = MemoryStore()
        self.embedder = FakeEmbedder()
        self.pool = PlainPool()
        self.pipeline = self.make(**options)

    def make(self, **options):
        parts = {
            "pool": self.pool,
            "splitter": LineSplitter(),
            "embedder": self.embedder,
            "store": self.store,
            "catalog": self.catalog,
            "collection": "test",
            "language": "en",
        }
        return IngestPipeline(**{**parts, **options})

    @property
    def publisher(self):
        return Publisher(self.store, self.catalog, "test")

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    def ingest(self, *inputs, **options):
        given = [each if is_wire(each) else files(each)[0] for each in inputs or [self.folder]]
        return self.pipeline.ingest(given, **options)

    def texts(self):
        return sorted(chunk.text for batch in self.store.scroll() for chunk, _ in batch)

    def chunks(self):
        return {chunk.id: chunk for batch in self.store.scroll() for chunk, _ in batch}

    def restore(self, run):
        return restore(self.catalog, self.store, self.embedder, "test", run=run)

    def is_clean(self):
        return examine(self.catalog, self.store, "test").clean


def names(uris):
    return [Path(uri).name for uri in uris]


def moved(report):
    return [(Path(each.former_uri).name, Path(each.source_uri).name) for each in report.moved]
