"""Ingesting with the real extraction processes, the real store and a database on disk.

Run as a program, this file is an ingest that is interrupted with Ctrl-C.
"""

import json
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from kvasir.catalog.sql import SqlCatalog
from kvasir.components.splitters.window import WindowSplitter
from kvasir.components.stores.qdrant_edge import QdrantStore
from kvasir.core.run import Run, StopToken
from kvasir.core.types import document_id
from kvasir.frontends.cli.long_work import set_by_interrupt
from kvasir.frontends.cli.paths import files
from kvasir.ingesting.extraction import ExtractionPool
from kvasir.ingesting.pipeline import IngestPipeline
from kvasir.maintenance.repair import examine, repair
from kvasir.testing.fakes import FakeAnalyzer, FakeEmbedder

DATA = Path(__file__).parents[2].parent / "shared/data"


class Running:
    """Everything that an ingest needs, in one folder; reopen it by making it again."""

    def __init__(self, folder):
        self._open = ExitStack()
        self.catalog = self._open.enter_context(closing(SqlCatalog(f"sqlite:///{folder}/c.db")))
        self.store = self._open.enter_context(
            closing(QdrantStore(str(folder / "store"), "test", 64, FakeAnalyzer(), lock_timeout=10))
        )
        self.pool = self._open.enter_context(ExtractionPool(workers=2))
        self.embedder = FakeEmbedder()
        self.pipeline = IngestPipeline(
            self.pool,
            WindowSplitter(split_by="word", split_length=50),
            self.embedder,
            self.store,
            self.catalog,
            "test",
            batch_chunks=16,
        )

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._open.close()


def write_files(folder, count):
    folder.mkdir()
    for number in range(count):
        words = " ".join(f"word{number}x{i}" for i in range(150))
        (folder / f"{number:03}.md").write_text(f"# File {number}\n\n{words}\n")


def test_chunks_agree_with_the_stored_text_letter_by_letter_also_after_reopening(tmp_path):
    write_files(tmp_path / "docs", 5)
    with Running(tmp_path) as running:
        assert len(running.pipeline.ingest(files(tmp_path / "docs")).added) == 5
    with Running(tmp_path) as running:
        assert examine(running.catalog, running.store, "test").clean
        for batch in running.store.scroll():
            for chunk, _ in batch:
                text = running.catalog.text("test", chunk.document_id)
                assert text[chunk.start : chunk.end] == chunk.text
        report = running.pipeline.ingest(files(tmp_path / "docs"))
        assert (len(report.unchanged), running.embedder.embedded) == (5, 0)


def test_the_doctor_repairs_the_real_store(tmp_path):
    write_files(tmp_path / "docs", 5)
    with Running(tmp_path) as running:
        running.pipeline.ingest(files(tmp_path / "docs"))
        chunks = [chunk for batch in running.store.scroll() for chunk, _ in batch]
        running.store.delete([chunk.id for chunk in chunks[:3]])
        running.store.set_metadata([chunks[4].id], {"wrong": True})
        found = examine(running.catalog, running.store, "test")
        assert (len(found.missing), len(found.mislabelled)) == (3, 1)
        done = repair(running.catalog, running.store, running.embedder, "test")
        assert (done.rewritten, done.relabelled) == (3, 1)
        assert examine(running.catalog, running.store, "test").clean


@pytest.mark.skipif(not (DATA / "hostile").is_dir(), reason="the shared test data is not here")
def test_files_that_cannot_be_read_are_listed_and_recorded_and_the_rest_is_ingested(tmp_path):
    shutil.copytree(DATA / "hostile", tmp_path / "docs")
    with Running(tmp_path) as running:
        report = running.pipeline.ingest(files(tmp_path / "docs"))
        reasons = {Path(each.source_uri).name: each.reason for each in report.failed}
        assert reasons["encrypted.pdf"] == "encrypted"
        assert [Path(each.source_uri).name for each in report.not_read] == ["random.bin"]
        assert {Path(uri).name for uri in report.added} >= {"multipage.pdf"}
        record = running.catalog.document("test", document_id(str(tmp_path / "docs/encrypted.pdf")))
        assert (record.status, record.error_reason) == ("failed", "encrypted")
        assert examine(running.catalog, running.store, "test").clean


def test_ctrl_c_ends_a_real_run_with_a_report_and_the_next_run_does_the_rest(tmp_path):
    write_files(tmp_path / "docs", 60)
    child = subprocess.Popen(
        [sys.executable, __file__, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    with child:
        assert child.stdout.readline() == "ready\n"
        child.send_signal(signal.SIGINT)
        report = json.loads(child.stdout.read())
    assert child.returncode == 0
    assert report["interrupted"]
    assert report["added"] + report["left"] == 60
    assert min(report["added"], report["left"]) > 0
    with Running(tmp_path) as running:
        assert examine(running.catalog, running.store, "test").clean
        again = running.pipeline.ingest(files(tmp_path / "docs"))
        assert again.recovered == 0
        assert (len(again.unchanged), len(again.added)) == (report["added"], report["left"])
        assert examine(running.catalog, running.store, "test").clean


def run_and_tell(folder):
    embedded = set()
    stop = StopToken()

    def wait_for_the_signal(event):
        if event.stage == "passages" and event.done not in embedded:
            embedded.add(event.done)
            if len(embedded) == 5:  # nothing, and four batches
                print("ready", flush=True)
                stop.wait(60)

    with Running(folder) as running, set_by_interrupt(stop):
        run = Run(stop, wait_for_the_signal)
        report = running.pipeline.ingest(files(folder / "docs"), run=run)
    counts = {name: len(getattr(report, name)) for name in ("added", "left")}
    print(json.dumps({"interrupted": report.interrupted, **counts}), flush=True)


if __name__ == "__main__":
    run_and_tell(Path(sys.argv[1]))
