"""Many files in one form: on the disk, not in memory, and few open files."""

import asyncio
import io
import json
import tracemalloc
from pathlib import Path

import pytest
from account_client import OWNER
from service_client import make_settings, running, wait_for
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartException

from kvasir.app import App
from kvasir.core.run import Run
from kvasir.core.services.jobs import NewJob
from kvasir.frontends.api.uploads import FormParser
from kvasir.tasks import perform

ROOT = {"Authorization": f"Bearer {OWNER}"}
FILES, SIZE = 200, 250_000
PIECE = 64 << 10


def form_of(files, size):
    """Yield the pieces of a form as they arrive; each file has other bytes."""
    for number in range(files):
        head = f'--x\r\nContent-Disposition: form-data; name="f"; filename="{number}"\r\n\r\n'
        yield head.encode()
        for start in range(0, size, PIECE):
            yield bytes([number % 256]) * min(PIECE, size - start)
        yield b"\r\n"
    yield b"--x--\r\n"


async def stream(pieces):
    for piece in pieces:
        yield piece


HEADERS = Headers({"content-type": "multipart/form-data; boundary=x"})


def open_files():
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


def test_the_files_of_a_form_take_one_open_file_and_no_memory():
    before = open_files()

    async def read():
        tracemalloc.start()
        try:
            form = await FormParser(HEADERS, stream(form_of(FILES, SIZE))).parse()
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 4 << 20
        uploads = form.getlist("f")
        assert len(uploads) == FILES
        assert open_files() < before + 20
        for number in (0, 7, FILES - 1):
            content = bytes([number]) * SIZE
            assert uploads[number].size == SIZE
            assert await uploads[number].read() == content
            uploads[number].file.seek(-1, io.SEEK_END)
            assert uploads[number].file.read(9) == content[:1]
            assert uploads[number].file.read(9) == b""
        await form.close()

    asyncio.run(read())


def test_a_form_that_breaks_off_leaves_no_file_open():
    whole = list(form_of(2, 10))
    pieces = [*whole[:-1], b"--x\r\nContent-Disposition: form-data\r\n\r\n"]
    parser = FormParser(HEADERS, stream(pieces))
    with pytest.raises(MultiPartException):
        asyncio.run(parser.parse())
    assert parser._shared._file is None


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with running(make_settings(tmp_path_factory.mktemp("uploads"))) as made:
        yield made


def test_a_batch_is_indexed_without_having_all_its_bytes_in_memory(tmp_path):
    with App(make_settings(tmp_path)) as app:
        spool, sources = app.services.spool, []
        for number in range(FILES):
            # Of a kind that is not read, so that extracting and embedding take no time.
            data = b"\x00\x01" + bytes([number]) * SIZE
            digest, size = spool.put(io.BytesIO(data), max_bytes=1 << 20)
            source = {"uri": f"upload:{number}.xyz", "media_type": "", "in_folder": True}
            sources.append(source | {"digest": digest, "size": size})
        job = app.services.jobs.add(NewJob("ingest_batch", {"sources": sources}, 0, "course"))
        tracemalloc.start()
        try:
            report = perform(app, job, Run())
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert len(report["not_read"]) == FILES
    assert peak < 12 << 20


def test_every_file_of_a_batch_arrives_as_it_was_sent(client, app):
    client.post("/v1/collections", json={"name": "notes"}, headers=ROOT)
    texts = [f"Note {number} is about tea. " * (number + 1) for number in range(5)]
    sources = [{"uri": f"upload:{n}.txt", "file": f"{n}"} for n in range(5)]
    # A field of more than a megabyte.
    gone = [f"upload:{n:04}{'a' * 4000}.txt" for n in range(300)]
    answer = client.post(
        "/v1/collections/notes/documents/batch",
        data={"batch": json.dumps({"sources": sources, "gone": gone})},
        files=[("files", (f"{n}", text)) for n, text in enumerate(texts)],
        headers=ROOT,
    )
    assert answer.status_code == 202, answer.text
    job = wait_for(client, ROOT, answer.json())
    assert len(job["result"]["added"]) == 5, job
    with app.collection("notes") as notes:
        assert [notes.text(f"upload:{n}.txt") for n in range(5)] == texts


ONE_FILE = ("/v1/collections/notes/documents", "/uploadfile/", "/v1/tuning/files")


@pytest.mark.parametrize(
    ("path", "twice", "others"),
    [(path, "file", ()) for path in ONE_FILE]
    + [
        ("/v1/evaluation/retrieval", "corpus", ("queries", "qrels")),
        ("/v1/evaluation/answers", "qrels", ("corpus", "queries")),
        ("/v1/evaluation/chunking", "questions", ("corpora",)),
    ],
)
def test_no_file_of_a_form_is_dropped_without_a_word(client, path, twice, others):
    files = [(name, (f"{name}.md", "x")) for name in others]
    pair = [(twice, ("a.txt", "Green tea.")), (twice, ("b.txt", "Black tea."))]
    answer = client.post(path, files=files + pair, headers=ROOT)
    assert answer.status_code == 400, answer.text
    assert f"the field '{twice}' comes twice" in answer.json()["detail"]
    other = [pair[0], ("other", ("b.txt", "Black tea."))]
    answer = client.post(path, files=files + other, headers=ROOT)
    assert answer.status_code == 400, answer.text
    assert "no field 'other' for a file" in answer.json()["detail"]


def test_a_field_of_an_upload_has_one_value(client):
    files = [
        ("file", ("a.txt", "Green tea.")),
        ("metadata", (None, '{"year": 2025}')),
        ("metadata", (None, '{"year": 2026}')),
    ]
    answer = client.post(ONE_FILE[0], files=files, headers=ROOT)
    assert (answer.status_code, "'metadata' comes twice" in answer.text) == (400, True)


@pytest.mark.parametrize(("second", "word"), [("a.txt", "two files"), ("b.txt", "names the file")])
def test_no_file_of_a_batch_is_dropped_without_a_word(client, second, word):
    files = [("files", ("a.txt", "Green tea.")), ("files", (second, "Black tea."))]
    batch = json.dumps({"sources": [{"uri": "upload:a.txt", "file": "a.txt"}]})
    path = "/v1/collections/notes/documents/batch"
    answer = client.post(path, data={"batch": batch}, files=files, headers=ROOT)
    assert answer.status_code == 400, answer.text
    assert word in answer.json()["detail"]
