import sys
import textwrap
import time
import zipfile
from pathlib import Path

import pytest

from kvasir.core import registry
from kvasir.core.errors import ExtractionError
from kvasir.core.types import Document, Source, document_id
from kvasir.frontends.cli.remedies import explain_source
from kvasir.ingesting.extraction import ExtractionPool, OcrLimits, Outcome
from kvasir.testing import scans

# A plug-in whose extractor does to its process what a broken parser would.
_PLUGIN = """
    import os, time

    class Rogue:
        def extract(self, source, data):
            word = data.split()[1]
            if word == b"hang":
                time.sleep(600)
            if word == b"die":
                os._exit(3)
            if word == b"tells":
                os.write(2, b"a warning\\nthe table of fonts is broken\\n")
                os._exit(3)
            if word == b"full":
                os.write(2, b"terminate called after throwing an instance of 'std::bad_alloc'\\n")
                os.abort()
            if word == b"killed":
                os.kill(os.getpid(), 9)
            if word == b"silent":
                os.closerange(3, 100)
                time.sleep(600)
            if word == b"crash":
                os.abort()
            if word == b"eat":
                bytearray(4 << 30)
            if word == b"print":
                print("noise that must not get between the frames", flush=True)
            if word == b"tell":
                told = [n for n in os.environ if n.startswith(("HF_", "KVASIR", "LANG"))]
                raise ValueError(str({n: os.environ[n] for n in told}))
            raise ValueError("no use")
"""


@pytest.fixture
def rogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    plugin = tmp_path / "plugin"
    info = plugin / "rogue-1.0.dist-info"
    info.mkdir(parents=True)
    (plugin / "rogue.py").write_text(textwrap.dedent(_PLUGIN))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rogue\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[kvasir.extractors]\nimage/gif = rogue:Rogue\n")
    monkeypatch.setattr(sys, "path", [*sys.path, str(plugin)])
    folder = tmp_path / "files"
    folder.mkdir()
    return folder


def _write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def _reason(outcome: Outcome) -> str:
    assert isinstance(outcome, ExtractionError), outcome
    assert "\n" not in str(outcome)
    assert "Traceback" not in str(outcome)
    return outcome.reason


def test_documents_come_in_order_with_ids_made_from_their_sources(tmp_path: Path) -> None:
    paths = [_write(tmp_path, f"{n}.txt", f"text {n}") for n in range(20)]
    with ExtractionPool(workers=2) as pool:
        results = list(pool.map(paths))
    assert [source.uri for source, _ in results] == [str(path) for path in paths]
    for number, (source, outcome) in enumerate(results):
        assert isinstance(outcome, Document)
        assert outcome.id == document_id(source.uri)
        assert outcome.text == f"text {number}"


def test_bytes_without_a_file_are_read_by_their_content() -> None:
    item = (Source("https://example.org/page", ""), b"<html><h1>Title</h1><p>Words</p></html>")
    with ExtractionPool(workers=1) as pool:
        source, outcome = pool.extract(item)
    assert source.media_type == "text/html"
    assert isinstance(outcome, Document)
    assert outcome.title == "Title"


def test_a_file_that_breaks_a_limit_is_reported_and_the_rest_go_on(rogue: Path) -> None:
    words = ["hang", "die", "crash", "eat", "print"]
    paths = [_write(rogue, f"{word}.gif", f"GIF89a\0 {word} ") for word in words]
    paths += [_write(rogue, f"{n}.md", f"# Good {n}") for n in range(4)]
    with ExtractionPool(workers=2, timeout=8, memory_mb=512) as pool:
        outcomes = {Path(source.uri).name: outcome for source, outcome in pool.map(paths)}
    assert _reason(outcomes["hang.gif"]) == "timeout"
    assert _reason(outcomes["die.gif"]) == "crash"
    assert _reason(outcomes["crash.gif"]) == "crash"
    if sys.platform == "linux":
        assert _reason(outcomes["eat.gif"]) == "memory"
    assert _reason(outcomes["print.gif"]) == "malformed"
    assert "no use" in str(outcomes["print.gif"])
    good = [outcomes[f"{n}.md"] for n in range(4)]
    assert all(isinstance(outcome, Document) for outcome in good), good


def test_a_crash_is_reported_with_its_real_cause(rogue: Path) -> None:
    words = ["die", "tells", "crash", "killed", "silent", "full"]
    paths = [_write(rogue, f"{word}.gif", f"GIF89a\0 {word} ") for word in words]
    with ExtractionPool(workers=2) as pool:
        found = {Path(source.uri).stem: outcome for source, outcome in pool.map(paths)}
    causes = {
        "die": "(exit 3);",
        "tells": "(exit 3: the table of fonts is broken);",
        "crash": "(SIGABRT: Aborted in rogue.extract);",
        "killed": "(the system killed it, most likely because the machine has no memory left);",
        "silent": "(it ended its answers);",
    }
    for word, cause in causes.items():
        assert _reason(found[word]) == "crash"
        assert cause in str(found[word])
    assert _reason(found["full"]) == "memory"
    assert "rag.ingest.memory_mb" in str(found["full"])


def test_closing_while_files_are_read_does_not_wait_for_them(rogue: Path) -> None:
    paths = [_write(rogue, f"{n}.gif", "GIF89a\0 hang ") for n in range(4)]
    started = time.monotonic()
    with ExtractionPool(workers=2, timeout=300) as pool:
        results = pool.map([_write(rogue, "first.txt", "words"), *paths])
        assert isinstance(next(results)[1], Document)
        children = [child._process for child in pool._children]
    assert time.monotonic() - started < 60
    assert all(process.poll() is not None for process in children)
    pool.close()


def test_too_large_empty_and_missing_files_have_their_own_reasons(tmp_path: Path) -> None:
    large = _write(tmp_path, "large.txt", b"x" * (2 << 20))
    with ExtractionPool(workers=1, max_file_mb=1) as pool:
        assert _reason(pool.extract(large)[1]) == "too_large"
        assert _reason(pool.extract(_write(tmp_path, "empty.txt", b""))[1]) == "empty"
        assert _reason(pool.extract(_write(tmp_path, "blank.md", b" \n\n "))[1]) == "empty"
        assert _reason(pool.extract(tmp_path / "missing.txt")[1]) == "unreadable"
        assert _reason(pool.extract(tmp_path)[1]) == "unreadable"


def test_xml_entities_are_never_expanded(tmp_path: Path) -> None:
    secret = _write(tmp_path, "secret.txt", "do not show")
    declaration = f'<!DOCTYPE a [<!ENTITY x SYSTEM "file://{secret}">]>'
    office = tmp_path / "entity.odt"
    with zipfile.ZipFile(office, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.text")
        archive.writestr("content.xml", f"{declaration}<a>&x;</a>")
    page = _write(tmp_path, "entity.xhtml", f"{declaration}<html><p>Seen &x;</p></html>")
    with ExtractionPool(workers=1) as pool:
        assert _reason(pool.extract(office)[1]) == "malformed"
        outcome = pool.extract(page)[1]
    assert isinstance(outcome, Document)
    assert "do not show" not in outcome.text


def test_a_name_that_promises_another_format_is_not_believed(tmp_path: Path) -> None:
    with ExtractionPool(workers=1) as pool:
        garbage = pool.extract(_write(tmp_path, "broken.pdf", bytes(range(256)) * 4))[1]
        source, page = pool.extract(_write(tmp_path, "page.docx", "<html><p>Hello</p></html>"))
        for name in ("README", "server.log", "words.pdf"):
            text = pool.extract(_write(tmp_path, name, "plain words"))
            assert text[0].media_type == "text/plain"
            assert isinstance(text[1], Document)
    assert _reason(garbage) == "malformed"
    assert source.media_type == "text/html"
    assert isinstance(page, Document)


@pytest.mark.parametrize("name", ["cut.docx", "cut.epub", "cut.xlsx", "cut.odt"])
def test_a_broken_archive_named_as_a_document_is_damaged(name: str, tmp_path: Path) -> None:
    with ExtractionPool(workers=1) as pool:
        outcome = pool.extract(_write(tmp_path, name, b"PK\x03\x04" + bytes(range(200)) * 20))[1]
        archive = pool.extract(_write(tmp_path, "cut.zip", b"PK\x03\x04" + bytes(200)))[1]
    assert _reason(outcome) == "malformed"
    assert "unpack" not in str(outcome)
    assert _reason(archive) == "unsupported"


def test_messages_say_what_is_read_and_what_to_do_with_pictures(tmp_path: Path) -> None:
    with ExtractionPool(workers=1) as pool:
        random = pool.extract(_write(tmp_path, "random.bin", bytes(range(256)) * 4))[1]
        image = pool.extract(_write(tmp_path, "scan.png", b"\x89PNG\r\n\x1a\n" + bytes(99)))[1]
    assert "PDF, Word, PowerPoint" in str(random)
    assert _reason(image) == "malformed"
    told = explain_source("image_only", "it is an image")
    assert "pip install '.[ocr]' in Kvasir's source folder" in told


def test_the_working_directory_cannot_replace_a_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('taken over')")
    monkeypatch.chdir(tmp_path)
    with ExtractionPool(workers=1) as pool:
        assert isinstance(pool.extract(_write(tmp_path, "a.txt", "words"))[1], Document)


def test_children_inherit_no_secret(rogue: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_hidden")
    monkeypatch.setenv("KVASIR__RAG__VECTORDB__PASSWORD", "hidden")
    monkeypatch.setenv("LANG", "C.UTF-8")
    with ExtractionPool(workers=1) as pool:
        outcome = pool.extract(_write(rogue, "tell.gif", "GIF89a\0 tell "))[1]
    assert "LANG" in str(outcome)
    assert "hidden" not in str(outcome)
    assert "HF_TOKEN" not in str(outcome)


def test_every_media_type_names_an_extractor_that_loads() -> None:
    for name in registry.names("extractors"):
        assert hasattr(registry.build("extractors", name, {}), "extract"), name


@pytest.mark.parametrize(
    "answer", [b"no json", b"{}", b"[1]", b'{"media_type": "", "document": {}}']
)
def test_an_answer_that_cannot_be_read_costs_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: bytes
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("words")
    with ExtractionPool(workers=1) as pool:
        with monkeypatch.context() as patch:
            patch.setattr("kvasir.ingesting.extraction.read_frame", lambda *_: answer)
            _, outcome = pool.extract(path)
        assert isinstance(outcome, ExtractionError)
        assert outcome.reason == "crash"
        _, outcome = pool.extract(path)
        assert isinstance(outcome, Document)


def test_a_page_that_is_a_picture_has_its_own_allowance_and_is_announced(tmp_path: Path) -> None:
    picture = scans.print_page(["Fees are due within 30 days."], size=(500, 400), margin=30)
    path = tmp_path / "scan.pdf"
    path.write_bytes(scans.scanned_pdf([picture, picture]))
    pages: list[tuple[str, int, int]] = []
    # The file's own memory is too little for the models.
    with ExtractionPool(workers=1, memory_mb=256) as pool:
        outcome = pool.extract(path, on_page=lambda *page: pages.append(page))[1]
    assert isinstance(outcome, Document)
    assert outcome.text.count("Fees are due") == 2
    assert pages == [(str(path), 1, 2), (str(path), 2, 2)]


def test_a_page_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "scan.png"
    path.write_bytes(scans.encoded(scans.print_page(["Fees are due."]), "PNG"))
    with ExtractionPool(workers=1, timeout=1.0, ocr=OcrLimits(0.01)) as pool:
        outcome = pool.extract(path)[1]
    assert _reason(outcome) == "timeout"
    assert "rag.ingest.timeout" in str(outcome) or "rag.ingest.ocr_page_timeout" in str(outcome)


def test_without_ocr_nothing_is_recognized(tmp_path: Path) -> None:
    path = tmp_path / "scan.png"
    path.write_bytes(scans.encoded(scans.print_page(["Fees."], size=(200, 200)), "PNG"))
    with ExtractionPool(workers=1, ocr=None) as pool:
        assert _reason(pool.extract(path)[1]) == "ocr_off"


def test_too_little_memory_for_a_page_names_the_setting(tmp_path: Path) -> None:
    path = tmp_path / "scan.png"
    path.write_bytes(scans.encoded(scans.print_page(["Fees are due."]), "PNG"))
    with ExtractionPool(workers=1, ocr=OcrLimits(memory_mb=1100)) as pool:
        outcome = pool.extract(path)[1]
    assert _reason(outcome) == "memory"
    assert "rag.ingest.ocr_memory_mb" in str(outcome)
