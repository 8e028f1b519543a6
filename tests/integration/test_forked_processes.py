"""What was opened before a fork is refused in the child, in one sentence, and nothing hangs."""

import subprocess
import sys

import pytest

PREPARE = """
import os, sys, threading, time
import kvasir
from kvasir.core.errors import ForkedProcessError
from kvasir.core.types import Source

def main(folder):
    collection = kvasir.open(
        data_dir=folder,
        rag__embedding_model__type="kvasir.testing.fakes:FakeEmbedder",
        answer__refuse=False,
    )
    collection.ingest((Source("upload:mead", "text/plain"), b"Two dwarfs brewed mead."))
    assert len(collection.search("mead")) == 1
    app = collection.index.components
    stream = collection.stream("Who brewed mead?")
    next(stream)
    calls = [
        lambda: collection.search("mead"),
        lambda: collection.ask("Who brewed mead?"),
        lambda: list(collection.stream("Who brewed mead?")),
        lambda: collection.ingest((Source("upload:tea", "text/plain"), b"Tea.")),
        lambda: collection.documents(),
        lambda: collection.drop(),
        lambda: app.collection("other").search("mead"),
        lambda: app.collections(),
        lambda: app.conversation(lambda: collection),
        lambda: app.embedder,
        lambda: list(stream),
    ]

    def in_child(shown):
        for call in calls:
            try:
                call()
            except ForkedProcessError as error:
                assert error.code == "forked_process"
                assert "\\n" not in str(error), error
                assert "open one in each process" in str(error), error
            else:
                raise AssertionError("a call in the child is not refused")
        collection.close()
        app.close()
        print(shown, flush=True)
"""

END = """
    assert len(collection.search("mead")) == 1
    stream.close()
    collection.close()
    print("parent", flush=True)

main(sys.argv[1])
"""

PLAIN = """
    child = os.fork()
    if not child:
        status = 1
        try:
            in_child("child")
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
"""

WHILE_BUSY = """
    over = threading.Event()

    def search():
        while not over.is_set():
            collection.search("mead")

    threads = [threading.Thread(target=search) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        child = os.fork()
        if not child:
            status = 1
            try:
                in_child("child")
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
    over.set()
    for thread in threads:
        thread.join()
"""

MULTIPROCESSING = """
    import multiprocessing
    for _ in range(3):
        process = multiprocessing.get_context("fork").Process(target=in_child, args=("child",))
        process.start()
        process.join(60)
        assert process.exitcode == 0, process.exitcode
"""

EXITING = """
    child = os.fork()
    if not child:
        in_child("child")
        sys.exit(0)  # Through everything that runs at the interpreter's end.
    assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.parametrize(
    ("fork", "children"),
    [(PLAIN, 1), (WHILE_BUSY, 20), (MULTIPROCESSING, 3), (EXITING, 1)],
    ids=["plain", "while searching", "multiprocessing", "interpreter exit"],
)
def test_a_forked_child_gets_one_sentence_and_the_parent_goes_on(tmp_path, fork, children):
    done = subprocess.run(
        [sys.executable, "-c", PREPARE + fork + END, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["child"] * children + ["parent"]
    assert done.stderr == ""
