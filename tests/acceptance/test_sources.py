"""What ``kvasir ingest`` takes in: addresses, within limits, and sources that changed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

Kvasir = Callable[..., Any]

PRIVATE = ["--set", "rag.ingest.allow_private_urls=true"]
PAGE = "<html><head><title>Mead</title></head><body><p>Mead is made of honey.</p></body></html>"


class Site(BaseHTTPRequestHandler):
    """A page about mead, and a text of more than a MiB."""

    def do_GET(self) -> None:
        kind, body = "text/html", PAGE.encode()
        if self.path == "/large.txt":
            kind, body = "text/plain", b"Much has been said of mead. " * 40_000
        self.send_response(200)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Keeps the test's output clean."""


class Server(ThreadingHTTPServer):
    """Serves the site on the loopback."""

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has enough and leaves is no fault."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    server = Server(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_page_is_fetched_and_answers_with_its_address(kvasir: Kvasir, site: str) -> None:
    address = f"{site}/mead"
    assert kvasir("ingest", "--json", *PRIVATE, address).json["added"] == [address]
    (document,) = kvasir("documents", "list", "--json").json
    assert (document["source_uri"], document["title"]) == (address, "Mead")
    answer = kvasir("ask", "--json", "What is mead made of?").json
    assert [citation["source_uri"] for citation in answer["citations"]] == [address]
    again = kvasir("ingest", "--json", *PRIVATE, address).json
    assert (again["unchanged"], again["chunks_embedded"]) == ([address], 0)


def test_an_address_of_the_own_network_is_refused_unless_allowed(
    kvasir: Kvasir, notes: Path, site: str
) -> None:
    run = kvasir("ingest", "--json", "notes", f"{site}/mead", code=4)
    (failed,) = run.json["failed"]
    assert (failed["source_uri"], failed["reason"]) == (f"{site}/mead", "fetch")
    assert "rag.ingest.allow_private_urls" in failed["message"]
    assert len(run.json["added"]) == 2


def test_a_page_or_file_above_the_limit_is_not_taken(
    kvasir: Kvasir, notes: Path, site: str
) -> None:
    (notes / "large.txt").write_text("Much has been said of tea. " * 40_000)
    limit = ["--set", "rag.ingest.max_file_mb=1"]
    large, small = f"{site}/large.txt", f"{site}/mead"
    report = kvasir("ingest", "--json", *PRIVATE, *limit, "notes", large, small, code=4).json
    assert len(report["added"]) == 3
    assert {(Path(each["source_uri"]).name, each["reason"]) for each in report["failed"]} == {
        ("large.txt", "fetch"),
        ("large.txt", "too_large"),
    }
    assert all("rag.ingest.max_file_mb" in each["message"] for each in report["failed"])


@pytest.mark.parametrize(
    ("conflict", "code", "became", "minutes"),
    [("replace", 0, "replaced", "four"), ("skip", 0, "skipped", "two"), ("error", 4, None, "two")],
)
def test_a_changed_file_is_replaced_skipped_or_reported_as_asked(
    kvasir: Kvasir, notes: Path, conflict: str, code: int, became: str | None, minutes: str
) -> None:
    kvasir("ingest", "notes")
    tea = notes / "tea.txt"
    tea.write_text("Green tea is steeped for four minutes at 80 degrees.\n")
    report = kvasir("ingest", "--json", "--on-conflict", conflict, "notes", code=code).json
    assert report["unchanged"] == [str(notes / "moon.md")]
    for outcome in ("replaced", "skipped"):
        assert report[outcome] == ([str(tea)] if outcome == became else [])
    conflicts = [] if became else [(str(tea), "conflict")]
    assert [(each["source_uri"], each["reason"]) for each in report["failed"]] == conflicts
    assert f"{minutes} minutes" in kvasir("documents", "show", "--text", "notes/tea.txt").out


GIF = b"GIF89a" + bytes(64)
ZIP = b"PK\x05\x06" + bytes(18)
SCRATCH = b"\x00\x01\x02\x03" * 8


def test_what_is_not_meant_to_be_read_is_counted_by_kind_and_no_failure(
    kvasir: Kvasir, notes: Path
) -> None:
    (notes.parent / "outside.md").write_text("Outside.\n")
    for name, content in {"a.gif": GIF, "b.GIF": GIF, "c.zip": ZIP, "scratch": SCRATCH}.items():
        (notes / name).write_bytes(content)
    for name in (".git/HEAD", ".hidden/a.md", "build/a.md", "draft.md", "x/old.md"):
        (notes / name).parent.mkdir(exist_ok=True)
        (notes / name).write_text("Not for readers.\n")
    (notes / "out.md").symlink_to(notes.parent / "outside.md")
    (notes / ".gitignore").write_text("build/\n")
    (notes / ".kvasirignore").write_text("draft.md\n")
    run = kvasir("ingest", "--exclude", "old.*", "notes")
    assert run.out.splitlines()[1].startswith("2 added;")
    counted = ".gif 2, .zip 1, application/octet-stream 1, excluded 1, hidden 2, ignored 2"
    assert f"not read: {counted}, link out of the folder 1; --verbose lists them" in run.out
    assert not run.err
    listed = kvasir("ingest", "--verbose", "--exclude", "old.*", "notes").out
    assert "not read: notes/build/: ignored" in listed
    assert "not read: notes/c.zip: .zip" in listed
    assert "2 unchanged" in listed
    everything = kvasir("ingest", "--json", "--no-ignore", "notes").json
    names = {Path(uri).name for uri in everything["added"]}
    assert (names, everything["failed"]) == ({"a.md", "draft.md", "old.md"}, [])


def test_a_file_that_ought_to_be_read_fails(kvasir: Kvasir, notes: Path) -> None:
    (notes / "a.gif").write_bytes(GIF)
    (notes / "report.pdf").write_bytes(SCRATCH)
    (notes / "tea.txt").write_bytes(SCRATCH)
    report = kvasir("ingest", "--json", "notes", "notes/a.gif", code=4).json
    reasons = {Path(each["source_uri"]).name: each["reason"] for each in report["failed"]}
    assert reasons == {"a.gif": "image_only", "report.pdf": "malformed", "tea.txt": "malformed"}


def test_failed_documents_are_listed_with_what_to_do(kvasir: Kvasir, notes: Path) -> None:
    kvasir("ingest", "notes")
    assert kvasir("documents", "list", "--failed").out == "no failed documents\n"
    (notes / "tea.txt").write_bytes(SCRATCH)
    (notes / "report.pdf").write_bytes(SCRATCH)
    (notes / "moon.md").write_text("The Moon is far away.\n")
    failures = kvasir("ingest", "notes", code=4).err.splitlines()
    new, former = kvasir("documents", "list", "--failed", "notes/").out.splitlines()
    assert f"failed: {new}" in failures
    assert "save it again" in new
    line, _, kept = former.rpartition(" (")
    assert f"failed: {line}" in failures
    assert kept.startswith("its version of 20")
    records = kvasir("documents", "list", "--failed", "--json").json
    assert [Path(each["source_uri"]).name for each in records] == ["report.pdf", "tea.txt"]
    assert {each["error_reason"] for each in records} == {"malformed"}


def test_only_matching_files_are_read_and_pruning_keeps_the_others(
    kvasir: Kvasir, notes: Path
) -> None:
    assert len(kvasir("ingest", "--json", "--include", "*.md", "notes").json["added"]) == 1
    assert len(kvasir("ingest", "--json", "notes").json["added"]) == 1
    (notes / "moon.md").unlink()
    report = kvasir("ingest", "--json", "--include", "*.md", "--prune", "notes").json
    assert report["removed"] == [str(notes / "moon.md")]
    assert "include pattern" in kvasir("ingest", "--include", "", "notes", code=2).err


def test_a_file_that_was_moved_keeps_its_metadata_and_nothing_is_embedded(
    kvasir: Kvasir, notes: Path
) -> None:
    kvasir("ingest", "--metadata", "term=2", "notes")
    lines = [f"Black tea number {number} is steeped for {number} minutes." for number in range(9)]
    (notes / "black.md").write_text("\n\n".join(f"# Tea {n}\n\n{t}" for n, t in enumerate(lines)))
    kvasir("ingest", "--metadata", "term=3", "notes/black.md")
    (notes / "old").mkdir()
    (notes / "moon.md").rename(notes / "old/moon.md")
    (notes / "tea.txt").rename(notes / "TEA.txt")
    report = kvasir("ingest", "--json", "notes").json
    assert {(Path(each["former_uri"]).name, each["source_uri"]) for each in report["moved"]} == {
        ("moon.md", str(notes / "old/moon.md")),
        ("tea.txt", str(notes / "TEA.txt")),
    }
    assert (report["added"], report["chunks_embedded"]) == ([], 0)
    (notes / "black.md").unlink()
    lines[4] = "Tea number four is not drunk."
    (notes / "new.md").write_text("\n\n".join(f"# Tea {n}\n\n{t}" for n, t in enumerate(lines)))
    run = kvasir("ingest", "--verbose", "notes")
    assert run.out.splitlines()[1].startswith("2 unchanged, 1 moved; ")
    assert "moved: notes/black.md -> notes/new.md" in run.out
    documents = kvasir("documents", "list", "--json").json
    assert {(Path(each["source_uri"]).name, each["metadata"]["term"]) for each in documents} == {
        ("TEA.txt", 2),
        ("moon.md", 2),
        ("new.md", 3),
    }
    assert kvasir("doctor", "--json").json["clean"]


def test_a_copy_is_another_document(kvasir: Kvasir, notes: Path) -> None:
    kvasir("ingest", "--metadata", "term=2", "notes")
    (notes / "copy.md").write_bytes((notes / "moon.md").read_bytes())
    report = kvasir("ingest", "--json", "notes").json
    assert (report["added"], report["moved"]) == ([str(notes / "copy.md")], [])
    assert report["chunks_embedded"] == 0
    (notes / "moon.md").unlink()
    (notes / "other.md").write_text("Something else altogether.\n")
    report = kvasir("ingest", "--json", "notes").json
    assert (report["added"], report["moved"]) == ([str(notes / "other.md")], [])
    assert len(kvasir("documents", "list", "--json").json) == 4


def test_a_collection_goes_on_to_split_as_it_began(kvasir: Kvasir, notes: Path) -> None:
    words = ("--split-by", "word", "--split-length", "4")
    kvasir("ingest", *words, "notes")
    before = kvasir("documents", "list", "--json").json
    report = kvasir("ingest", "--json", "notes").json
    assert (len(report["unchanged"]), report["chunks_embedded"]) == (2, 0)
    (notes / "new.txt").write_text("one two three four five six seven eight nine")
    kvasir("ingest", "notes")
    counts = {Path(each["source_uri"]).name: each["chunk_count"] for each in before}
    after = kvasir("documents", "list", "--json").json
    assert {Path(each["source_uri"]).name: each["chunk_count"] for each in after} == (
        counts | {"new.txt": 3}
    )
    kvasir("ingest", "--split-length", "4", "notes")
    refused = kvasir("ingest", "--split-length", "7", "notes", code=2).err
    assert "was split with rag.splitter.split_length 4, and 7 was given" in refused
    assert "--re-split" in refused
    assert "new --collection" in refused
    assert (
        "rag.language none, and es was given"
        in kvasir("ingest", "--language", "es", "notes", code=2).err
    )
    one = kvasir("ingest", "--re-split", "--split-length", "9", "notes/new.txt")
    assert "split as before are documents that were not ingested now: 2;" in one.err
    report = kvasir("ingest", "--json", "--re-split", "--split-length", "9", "notes").json
    assert (len(report["replaced"]), report["split_otherwise"]) == (2, 0)
    assert len(kvasir("ingest", "--json", "notes").json["unchanged"]) == 3
    assert len(kvasir("ingest", "--json", "--re-split", "notes").json["replaced"]) == 3
    kvasir("--collection", "other", "ingest", "--split-length", "7", "notes")


def test_values_of_environment_and_settings_file_are_given_by_name_too(
    kvasir: Kvasir, notes: Path
) -> None:
    kvasir("ingest", "notes")
    refused = kvasir("ingest", "notes", code=2, KVASIR__RAG__SPLITTER__SPLIT_BY="line").err
    assert "was split with rag.splitter.split_by none, and line was given" in refused
    (notes.parent / "kvasir.yaml").write_text("rag: {splitter: {options: {target_tokens: 50}}}")
    refused = kvasir("ingest", "notes", code=2).err
    assert "rag.splitter.options.target_tokens none, and 50 was given" in refused
    assert kvasir("config", "show", "--json").json["rag"]["splitter"]["type"] == "structure"
    assert "[default: none]" in kvasir("ingest", "--help").out


def test_sync_makes_the_collection_like_the_remembered_sources(kvasir: Kvasir, notes: Path) -> None:
    assert "'kvasir ingest FOLDER'" in kvasir("sync", code=2).err
    (notes.parent / "single.md").write_text("A single file.\n")
    (notes.parent / "other.md").write_text("Another single file.\n")
    for name in "abcd":
        (notes / f"{name}.md").write_text(f"This is note {name}.\n")
    (notes / "draft.txt").write_text("Not for readers.\n")
    kvasir("ingest", "--metadata", "term=2", "--exclude", "draft.*", "notes")
    kvasir("ingest", "single.md", "other.md", "gone.md", code=4)
    assert "8 unchanged" in kvasir("sync").out
    kvasir("documents", "metadata", "notes/b.md", "term=9")
    (notes / "new.md").write_text("A note that is new.\n")
    (notes / "a.md").write_text("This is another note altogether, about ducks.\n")
    (notes / "b.md").rename(notes / "B.md")
    (notes / "c.md").unlink()
    (notes.parent / "single.md").rename(notes / "single.md")
    (notes.parent / "other.md").unlink()
    (notes / "deep").mkdir()
    (notes / "deep" / "note.md").write_text("A note in a folder of its own.\n")
    (notes / "late.md").write_text("The last of the notes.\n")
    (notes / "copy.txt").write_bytes((notes / "tea.txt").read_bytes())
    (notes / "moon.md").write_text("# The Moon\n\nIt has no air.\n")
    report = kvasir("sync", "--json").json
    added = ["copy.txt", "late.md", "new.md", "note.md"]
    assert sorted(Path(uri).name for uri in report["added"]) == added
    assert sorted(Path(uri).name for uri in report["replaced"]) == ["a.md", "moon.md"]
    moved = {
        Path(each["former_uri"]).name: Path(each["source_uri"]).name for each in report["moved"]
    }
    assert moved == {"b.md": "B.md", "single.md": "single.md"}
    assert sorted(Path(uri).name for uri in report["removed"]) == ["c.md", "other.md"]
    assert (report["failed"], report["chunks_embedded"]) == ([], 5)
    documents = kvasir("documents", "list", "--json").json
    terms = {Path(each["source_uri"]).name: each["metadata"].get("term") for each in documents}
    assert terms == {
        **dict.fromkeys(("a.md", "d.md", "moon.md", "tea.txt", *added), 2),
        "B.md": 9,
        "single.md": None,
    }
    assert "10 unchanged" in kvasir("sync").out
    kvasir("documents", "delete", "notes/d.md")
    assert "1 added" in kvasir("sync").out
    kvasir("collections", "delete", "--yes")
    kvasir("sync", code=2)


def test_a_remembered_folder_that_is_missing_removes_nothing(kvasir: Kvasir, notes: Path) -> None:
    kvasir("ingest", "notes")
    notes.rename(notes.parent / "elsewhere")
    assert "no such file or folder" in kvasir("sync", code=4).err
    assert len(kvasir("documents", "list", "--json").json) == 2


def test_a_file_that_one_source_ignores_stays_where_another_one_has_it(
    kvasir: Kvasir, notes: Path
) -> None:
    (notes / "build").mkdir()
    (notes / "build/made.md").write_text("This was made.\n")
    (notes / ".gitignore").write_text("build/\n")
    kvasir("ingest", "--metadata", "term=1", "notes")
    kvasir("ingest", "--metadata", "term=2", "notes/build")
    report = kvasir("sync", "--json").json
    assert (len(report["unchanged"]), report["removed"], report["chunks_embedded"]) == (3, [], 0)
