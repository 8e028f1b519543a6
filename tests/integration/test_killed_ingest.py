"""An ingest is killed or stopped in the middle: what was embedded is not embedded again.

Run as a program, this file does the ingests, each in a process of its own. It forks them before
anything is opened, so that ten of them take no longer than one.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from kvasir.catalog.sql import SqlCatalog
from kvasir.components.splitters.window import WindowSplitter
from kvasir.components.stores.qdrant_edge import QdrantStore
from kvasir.core.run import Run, StopToken
from kvasir.core.types import Document, Source, document_id
from kvasir.frontends.cli.paths import files
from kvasir.ingesting.pipeline import IngestPipeline
from kvasir.maintenance.repair import examine
from kvasir.testing.fakes import FakeAnalyzer, FakeEmbedder

CALLS = (1, 2, 7, 15, 24)
"""The calls of the embedder in which a run ends."""
LINES = {"a.txt": 3, "b.txt": 4, "long.txt": 180, "y.txt": 5, "z.txt": 40}
TOTAL = sum(LINES.values())


class Pool:
    def map(self, items, *, ordered=True, stop=None, on_page=None):
        for path in items:
            text = Path(path).read_text("utf-8")
            yield Source(path, "text/plain"), Document(document_id(path), path, path, text)


class EndingEmbedder(FakeEmbedder):
    """Ends the run in one of its calls."""

    def __init__(self, call, end):
        super().__init__(16)
        self._left, self._end = call, end

    def embed_documents(self, texts):
        self._left -= 1
        if self._left == 0:
            self._end()
        return super().embed_documents(texts)


def ingest(state, docs, embedder, stop):
    catalog = SqlCatalog(f"sqlite:///{state}/catalog.db")
    store = QdrantStore(str(state / "store"), "test", 16, FakeAnalyzer(), lock_timeout=10)
    with closing(catalog), closing(store):
        pipeline = IngestPipeline(
            Pool(),
            WindowSplitter(split_by="line", split_length=1),
            embedder,
            store,
            catalog,
            "test",
            batch_chunks=10,
            hold_seconds=0,
        )
        report = pipeline.ingest(files(docs), run=Run(stop))
        clean = examine(catalog, store, "test").clean
        return {
            "embedded": embedder.embedded,
            "chunks": store.count(),
            "clean": clean,
            "left": len(report.left),
        }


def in_child(work):
    pid = os.fork()
    if pid == 0:
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def main(folder):
    docs = folder / "docs"
    docs.mkdir()
    for name, count in LINES.items():
        (docs / name).write_text("".join(f"{name} line {number}\n" for number in range(count)))
    # Its tables are made once; a child does it, for this process opens nothing.
    assert in_child(lambda: SqlCatalog(f"sqlite:///{folder}/new.db").close()) == 0
    for how in ("killed", "stopped"):
        for call in CALLS:
            state = folder / f"{how}{call}"
            state.mkdir()
            shutil.copy(folder / "new.db", state / "catalog.db")

            def end(how=how, state=state, call=call):
                stop = StopToken()
                kill = lambda: os.kill(os.getpid(), signal.SIGKILL)  # noqa: E731
                embedder = EndingEmbedder(call, kill if how == "killed" else stop.set)
                ingest(state, docs, embedder, stop)

            def again(how=how, state=state, call=call):
                found = ingest(state, docs, FakeEmbedder(16), StopToken())
                print(json.dumps({"how": how, "call": call, **found}), flush=True)

            assert in_child(end) == (-signal.SIGKILL if how == "killed" else 0)
            assert in_child(again) == 0


@pytest.fixture(scope="module")
def second_runs(tmp_path_factory):
    command = [sys.executable, __file__, str(tmp_path_factory.mktemp("killed"))]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_second_run_embeds_the_rest_alone(second_runs):
    assert [(each["how"], each["call"]) for each in second_runs] == [
        (how, call) for how in ("killed", "stopped") for call in CALLS
    ]
    for run in second_runs:
        # All calls but the one in which it ended are kept; one call takes at most ten passages.
        assert run["embedded"] <= TOTAL - 10 * (run["call"] - 3), run
        assert run["embedded"] >= TOTAL - 10 * run["call"], run


def test_the_index_is_whole_after_the_second_run(second_runs):
    assert [(run["chunks"], run["clean"], run["left"]) for run in second_runs] == [
        (TOTAL, True, 0) for _ in second_runs
    ]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
