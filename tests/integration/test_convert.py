"""Conversion by docling itself, of documents made here, and ingesting what comes out."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import kvasir
from kvasir.core.errors import ExtractionError, MissingExtraError, RequestError
from kvasir.core.registry import build
from kvasir.core.reports import ConversionReport
from kvasir.core.run import Run, StopToken
from kvasir.core.types import Conversion, Source
from kvasir.frontends.cli.folder_options import FolderOptions
from kvasir.frontends.cli.main import cli
from kvasir.frontends.cli.paths import files
from kvasir.frontends.cli.remedies import explain
from kvasir.ingesting.conversion import convert

Make = Callable[[Path], None]


def make_docx(path: Path) -> None:
    docx = pytest.importorskip("docx")
    document = docx.Document()
    document.add_heading("Harbours", 1)
    document.add_paragraph("The harbour of Bergen was founded in 1070.")
    document.save(path)


def make_pptx(path: Path) -> None:
    presentation = pytest.importorskip("pptx").Presentation()
    slide = presentation.slides.add_slide(presentation.slide_layouts[1])
    slide.shapes.title.text = "Harbours"
    slide.placeholders[1].text = "The harbour of Bergen was founded in 1070."
    presentation.save(path)


def make_xlsx(path: Path) -> None:
    workbook = pytest.importorskip("openpyxl").Workbook()
    for row in (("harbour", "founded"), ("Bergen", 1070)):
        workbook.active.append(row)
    workbook.save(path)


def writing(text: str) -> Make:
    return lambda path: path.write_text(text, "utf-8") and None


DOCUMENTS: dict[str, Make] = {
    "harbour.docx": make_docx,
    "harbour.pptx": make_pptx,
    "harbour.xlsx": make_xlsx,
    "harbour.html": writing("<h1>Harbours</h1><p>Bergen was founded in 1070.</p>"),
    "harbour.md": writing("# Harbours\n\nBergen was founded in 1070.\n"),
    "harbour.csv": writing("harbour,founded\nBergen,1070\n"),
    "harbour.adoc": writing("= Harbours\n\nBergen was founded in 1070.\n"),
}


@pytest.fixture
def docling() -> None:
    """Needs docling, or its slim variant."""
    pytest.importorskip("docling.document_converter", reason="the extra docling is not installed")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DOCLING_ARTIFACTS_PATH", raising=False)
    made = tmp_path / "docs"
    made.mkdir()
    return made


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli, ["convert", *arguments], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.return_value, result.stdout, result.stderr


@pytest.mark.usefixtures("docling")
def test_documents_of_every_kind_that_needs_no_model_become_docling_json_that_is_ingested(
    folder: Path,
) -> None:
    for name, make in DOCUMENTS.items():
        make(folder / name)
    code, out, _ = run("docs", "--to", "converted", "--json")
    assert code == 0, out
    written = sorted(path.name for path in Path("converted").iterdir())
    assert written == sorted(f"{name}.json" for name in DOCUMENTS)
    for name in written:
        tree = json.loads((Path("converted") / name).read_text("utf-8"))
        assert tree["schema_name"] == "DoclingDocument"
        assert "1070" in json.dumps(tree)
    with kvasir.open(data_dir=folder / "data") as kb:
        report = kb.ingest(*files("converted"))
        assert len(report.added) == len(DOCUMENTS)
        assert report.failed == []
        hits = kb.search("Bergen", top_k=20)
        uris = {uri for hit in hits for uri in (hit.chunk.metadata["source_uri"], *hit.copies)}
        assert {Path(str(uri)).name for uri in uris} == set(written)


def test_a_bucket_is_not_converted(folder: Path) -> None:
    with pytest.raises(click.UsageError, match="a bucket cannot be converted"):
        run("docs", "s3://course/texts", "--to", "converted")
    assert not Path("converted").exists()


@pytest.mark.usefixtures("docling")
def test_what_cannot_be_converted_is_listed_and_the_rest_goes_on(folder: Path) -> None:
    make_docx(folder / "good.docx")
    (folder / "broken.docx").write_bytes(b"PK\x03\x04 this is no archive")
    (folder / "empty.html").write_bytes(b"")
    (folder / "program.exe").write_bytes(b"MZ\x00\x01\x02")
    code, out, err = run("docs", "missing.docx", "--to", "converted")
    assert code == 4
    assert "1 converted, 4 failed" in out
    for name in ("broken.docx", "empty.html", "program.exe", "missing.docx"):
        assert name in err
    assert [path.name for path in Path("converted").iterdir()] == ["good.docx.json"]


@pytest.mark.usefixtures("docling")
def test_the_name_of_what_is_not_converted_does_not_act_on_the_terminal(folder: Path) -> None:
    (folder / "empty\x1b]0;yours\x07.html").write_bytes(b"")
    code, _, err = run("docs", "--to", "converted")
    assert code == 4
    assert "empty\\x1b]0;yours\\x07.html" in err


@pytest.mark.usefixtures("docling")
def test_pages_without_docling_models_say_which_files_to_put_where(folder: Path) -> None:
    (folder / "scan.png").write_bytes(b"\x89PNG\r\n\x1a\n....")
    code, out, _ = run("docs", "--to", "converted", "--models", "the-models", "--json")
    assert code == 4
    (failure,) = json.loads(out)["failed"]
    assert failure["reason"] == "missing_models"
    assert "'the-models' lacks docling-project--docling-layout-heron" in failure["message"]


@pytest.mark.usefixtures("docling")
def test_a_presentation_with_broken_pictures_is_converted_with_a_warning(
    folder: Path,
) -> None:
    hostile = Path(__file__).parents[2].parent / "shared" / "data" / "hostile"
    if not hostile.is_dir():
        pytest.skip(f"there are no documents at {hostile}")
    presentation = hostile / "powerpoint_malformed_pictures.pptx"
    code, out, err = run(str(presentation), "--to", "converted")
    assert code == 0
    assert "1 of them in part" in out
    assert f"warning: {presentation}: Skipping malformed picture" in err
    assert (Path("converted") / "powerpoint_malformed_pictures.pptx.json").is_file()


def test_without_docling_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in sys.modules if each.split(".")[0] == "docling"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "kvasir.components.converters.docling", raising=False)
    monkeypatch.setitem(sys.modules, "docling", None)
    with pytest.raises(MissingExtraError, match="the extra 'docling'") as refused:
        build("converters", "docling", {})
    assert "pip install '.[docling]' in Kvasir's source folder" in explain(refused.value)


class Shouting:
    """Converts text to text in capitals; refuses what begins with a question mark."""

    def __init__(self, stop_at: str = "", stop: StopToken | None = None) -> None:
        self.stop_at = stop_at
        self.stop = stop or StopToken()

    def convert(self, source: Source, data: bytes) -> Conversion:
        text = data.decode()
        if self.stop_at and source.uri.endswith(self.stop_at):
            self.stop.set()
        if text.startswith("?"):
            raise ExtractionError("malformed", "it is a question")
        return Conversion(text.upper(), ("page 2 is missing",) if "partial" in text else ())


def shout(*inputs: Path | str, converter: Shouting | None = None) -> ConversionReport:
    def fetch(url: str) -> tuple[Source, bytes]:
        return Source(url, "text/html"), b"fetched"

    to = Path("converted").absolute()
    converter = converter or Shouting()
    run, given = Run(converter.stop), FolderOptions().sources(tuple(map(str, inputs)))
    return convert(given, to, converter, fetch=fetch, max_bytes=1000, run=run)


def test_files_keep_their_place_under_the_folder(folder: Path) -> None:
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "one.txt").write_text("one")
    (folder / "two.txt").write_text("two")
    report = shout(folder, "https://example.org/x/page.html?q=1")
    written = [
        str(each.path.relative_to(Path("converted").absolute())) for each in report.converted
    ]
    assert written == ["a/b/one.txt.json", "two.txt.json", "page.html.json"]
    assert Path("converted/a/b/one.txt.json").read_text() == "ONE"


def test_a_partial_conversion_is_kept_with_its_warning(folder: Path) -> None:
    (folder / "half.txt").write_text("a partial text")
    report = shout(folder)
    assert report.converted[0].warnings == ("page 2 is missing",)
    assert report.converted[0].path.is_file()


def test_a_failure_leaves_the_file_of_an_earlier_conversion_alone(folder: Path) -> None:
    (folder / "note.txt").write_text("fine")
    shout(folder)
    (folder / "note.txt").write_text("? now broken")
    assert [each.reason for each in shout(folder).failed] == ["malformed"]
    assert Path("converted/note.txt.json").read_text() == "FINE"


def test_two_sources_never_share_a_file(folder: Path) -> None:
    (folder / "other").mkdir()
    for path in (folder / "note.txt", folder / "other" / "note.txt"):
        path.write_text("x")
    report = shout(folder / "note.txt", folder / "other" / "note.txt")
    assert len(report.converted) == 1
    assert [each.reason for each in report.failed] == ["conflict"]


def test_what_was_converted_into_the_source_folder_is_not_converted_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "note.txt").write_text("x")
    monkeypatch.chdir(folder)
    for _ in range(2):
        assert len(shout(folder).converted) == 1


def test_an_interruption_keeps_what_is_finished_and_names_the_rest(folder: Path) -> None:
    for name in ("a.txt", "b.txt", "c.txt"):
        (folder / name).write_text(name)
    report = shout(folder, converter=Shouting(stop_at="b.txt"))
    assert report.interrupted
    assert [Path(each.source_uri).name for each in report.converted] == ["a.txt"]
    assert [Path(uri).name for uri in report.left] == ["b.txt", "c.txt"]
    assert [path.name for path in Path("converted").iterdir()] == ["a.txt.json"]


def test_a_file_over_the_limit_and_an_empty_folder_are_told(folder: Path) -> None:
    with pytest.raises(RequestError, match="no file to convert"):
        shout(folder)
    (folder / "long.txt").write_text("x" * 2000)
    assert [each.reason for each in shout(folder).failed] == ["too_large"]
