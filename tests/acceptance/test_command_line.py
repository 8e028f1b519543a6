"""What a user does in the first hour, and the mistakes made on the way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from kvasir.app import App, open_collection
from kvasir.core.services.accounts import CollectionAccess, Visibility
from kvasir.core.services.jobs import JobState, NewJob
from kvasir.core.types import Source
from kvasir.settings.schema import Settings
from kvasir.testing.documents import write_notes

Kvasir = Callable[..., Any]


def test_an_answer_cites_words_that_stand_in_the_file(ingested: Kvasir) -> None:
    answer = ingested("ask", "--json", "How far away is the Moon?").json
    assert not answer["refused"]
    assert "384,400" in answer["text"]
    for citation in answer["citations"]:
        text = Path(citation["source_uri"]).read_text()
        assert text[citation["start"] : citation["end"]] == citation["quote"]
    shown = ingested("ask", "How far away is the Moon?").out
    assert "[1]" in shown
    assert "moon.md" in shown


def test_a_question_that_the_documents_do_not_answer_is_refused(
    ingested_process: Kvasir,
) -> None:
    answer = ingested_process("ask", "--json", "Who composed the opera Carmen?", code=5).json
    assert answer["refused"]
    assert answer["citations"] == []


def test_ingesting_again_embeds_nothing_and_says_so(kvasir: Kvasir, notes: Path) -> None:
    first = kvasir("ingest", "--json", "notes").json
    assert (len(first["added"]), first["chunks_embedded"]) == (2, 2)
    again = kvasir("ingest", "notes").out
    assert "2 unchanged" in again
    assert "0 chunks embedded" in again


def test_only_the_changed_file_is_embedded_and_a_deleted_one_is_pruned(
    kvasir: Kvasir, notes: Path
) -> None:
    kvasir("ingest", "notes")
    (notes / "tea.txt").write_text("Black tea is steeped for four minutes.\n")
    (notes / "moon.md").unlink()
    report = kvasir("ingest", "--json", "--prune", "notes").json
    assert [Path(uri).name for uri in report["replaced"]] == ["tea.txt"]
    assert [Path(uri).name for uri in report["removed"]] == ["moon.md"]
    assert report["chunks_embedded"] == 1
    found = kvasir("search", "--json", "craters of the Moon").json
    assert all("moon" not in hit["chunk"]["metadata"]["source_uri"] for hit in found)
    assert kvasir("doctor", "--json").json["clean"]


def test_documents_can_be_listed_shown_changed_and_deleted(kvasir: Kvasir, notes: Path) -> None:
    kvasir("ingest", "notes", "--metadata", "course=astronomy", "--metadata", "year=2026")
    listed = kvasir("documents", "list", "--json").json
    assert [Path(row["source_uri"]).name for row in listed] == ["moon.md", "tea.txt"]
    shown = kvasir("documents", "show", "--text", "notes/moon.md").out
    assert "384,400" in shown
    assert '"course":"astronomy"' in shown
    no_match = kvasir("ingest", "--include", "*.zzz", "notes").err
    assert no_match == "no files to read in notes\n"
    found = kvasir("search", "--json", "--filters", "course=astronomy", "tea").json
    assert found[0]["chunk"]["metadata"]["year"] == 2026
    kvasir("documents", "metadata", "notes/tea.txt", "course=cooking")
    found = kvasir("search", "--json", "--filters", "course=astronomy", "tea").json
    assert {Path(hit["chunk"]["metadata"]["source_uri"]).name for hit in found} == {"moon.md"}
    kvasir("documents", "delete", "notes/moon.md")
    assert len(kvasir("documents", "list", "--json").json) == 1
    missing = kvasir("documents", "show", "notes/moon.md", code=2)
    assert "there is no document 'notes/moon.md'" in missing.err
    assert kvasir("documents", "list", "notes/moon.md").out == "no documents\n"


def test_a_document_is_named_by_its_file_or_the_beginning_of_its_name(
    kvasir: Kvasir, notes: Path
) -> None:
    (notes / "moonlight.md").write_text("Moonlight is sunlight that the Moon reflects.\n")
    kvasir("ingest", "notes")
    assert "384,400" in kvasir("documents", "show", "--text", "moon.md").out
    document = kvasir("documents", "show", "--json", "te").json
    assert kvasir("documents", "show", "--json", document["id"][:8]).json == document
    several = kvasir("documents", "delete", "notes/moon", code=2).err
    assert "'notes/moon' fits 2 documents" in several
    assert "'notes/moon.md', 'notes/moonlight.md': type more of the name" in several
    near = kvasir("documents", "delete", "te", "notes/moonligth.md", code=2).err
    assert "did you mean 'notes/moonlight.md'" in near
    assert "did you mean 'notes/moon.md'" in kvasir("documents", "list", "mooon.md").out
    assert len(kvasir("documents", "list", "--json").json) == 3
    deleted = kvasir("documents", "delete", "--all", "moon", "notes/moon.md").out.splitlines()
    assert deleted[-1] == "2 deleted"
    assert "deleted: notes/moon.md" in deleted
    assert [row["id"] for row in kvasir("documents", "list", "--json").json] == [document["id"]]


def test_a_command_of_other_programs_proposes_ours(kvasir: Kvasir) -> None:
    assert "did you mean 'documents list'?" in kvasir("ls", code=2).err
    assert "did you mean 'config init'?" in kvasir("init", code=2).err
    assert "did you mean 'ingest'?" in kvasir("ingset", code=2).err


def test_what_python_uploaded_is_addressed_by_its_name(kvasir: Kvasir, tmp_path: Path) -> None:
    with open_collection(data_dir=str(tmp_path / "kvasir-data")) as kb:
        kb.ingest((Source("upload:notes", "text/plain"), b"The exam is on Friday at nine."))
    assert kvasir("documents", "list", "upload:", "--json").json[0]["source_uri"] == "upload:notes"
    assert "Friday at nine" in kvasir("documents", "show", "--text", "upload:notes").out
    kvasir("documents", "metadata", "upload:notes", "course=physics")
    shown = kvasir("documents", "show", "--json", "upload:notes").json
    assert shown["metadata"]["course"] == "physics"
    assert "1 deleted" in kvasir("documents", "delete", "upload:notes").out


def test_collections_are_listed_and_deleted(kvasir: Kvasir, notes: Path) -> None:
    kvasir("--collection", "one", "ingest", "notes")
    kvasir("ingest", "--collection", "two", "notes/tea.txt")
    rows = kvasir("collections", "list", "--json").json
    assert [(row["name"], row["chunk_count"]) for row in rows] == [("one", 2), ("two", 1)]
    kvasir("collections", "delete", "--yes", "--collection", "one")
    assert [row["name"] for row in kvasir("collections", "list", "--json").json] == ["two"]
    assert "there are: two" in kvasir("search", "--collection", "one", "tea", code=2).err


def test_a_deleted_collection_leaves_no_rights_and_no_jobs(kvasir: Kvasir, notes: Path) -> None:
    kvasir("ingest", "notes/tea.txt")
    with App(Settings(data_dir=notes.parent / "kvasir-data")) as app:
        services = app.services
        services.accounts.set_access(CollectionAccess("default", 0, Visibility.PUBLIC))
        job = services.jobs.add(NewJob("ingest_upload", {}, collection="default"))
    kvasir("collections", "delete", "--yes")
    with App(Settings(data_dir=notes.parent / "kvasir-data")) as app:
        assert app.services.accounts.collections_of() == []
        assert app.services.jobs.job(job.id).state is JobState.CANCELLED


def test_a_collection_is_not_deleted_unless_the_answer_is_yes(
    kvasir: Kvasir, kvasir_process: Kvasir, notes: Path
) -> None:
    kvasir("ingest", "notes/tea.txt")
    for answer in ("n\n", "\n", ""):
        declined = kvasir_process("collections", "delete", typed=answer, code=6)
        assert declined.err.endswith("nothing deleted\n")
        assert declined.out == ""
    declined = kvasir("collections", "delete", "--json", typed="n\n", code=6).json
    assert declined == {"collection": "default", "deleted": False}
    assert "tea.txt" in kvasir("search", "tea").out
    done = kvasir("collections", "delete", "--json", typed="y\n").json
    assert done == {"collection": "default", "deleted": True}
    assert kvasir("collections", "list", "--json").json == []


def test_ctrl_c_at_the_question_is_no_answer(kvasir: Kvasir, notes: Path, tmp_path: Path) -> None:
    kvasir("ingest", "notes/tea.txt")
    with subprocess.Popen(
        [sys.executable, "-m", "kvasir", "collections", "delete"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stderr is not None
        asked = b""
        while not asked.endswith(b"[y/N]:"):
            asked += process.stderr.read(1)
        # The question is shown before the program waits for the answer.
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert "tea.txt" in kvasir("search", "tea").out


def test_before_anything_was_ingested_the_next_step_is_named_and_nothing_is_written(
    kvasir: Kvasir, tmp_path: Path
) -> None:
    for command in (["search", "x"], ["ask", "x"], ["doctor"], ["documents", "list"]):
        assert "'kvasir ingest FOLDER' makes a collection" in kvasir(*command, code=2).err
    assert kvasir("collections", "list", "--json").json == []
    assert list(tmp_path.iterdir()) == []


def test_a_program_that_asked_for_json_gets_errors_as_json(kvasir_process: Kvasir) -> None:
    for arguments, complaint, code, exit_code in (
        (["search", "x"], "nothing was ingested yet", "collection_not_found", 2),
        (["search"], "Missing argument 'QUERY", "invalid_request", 2),
        (["search", "x", "--nonsense"], "No such option", "invalid_request", 2),
        (["serch", "x"], "did you mean 'search'?", "invalid_request", 2),
        (
            ["config", "check"],
            "there is no settings file 'kvasir.yaml'",
            "settings_file_not_found",
            3,
        ),
    ):
        run = kvasir_process(*arguments, "--json", code=exit_code)
        assert complaint in run.json["error"]
        assert run.json["code"] == code
        assert run.json["exit_code"] == exit_code
        assert complaint in run.err


def test_a_program_is_told_which_metadata_a_document_has_now(kvasir: Kvasir, notes: Path) -> None:
    kvasir("ingest", "notes/tea.txt")
    row = kvasir("documents", "metadata", "--json", "notes/tea.txt", "course=cooking").json
    assert Path(row["source_uri"]).name == "tea.txt"
    assert row["metadata"]["course"] == "cooking"


def test_people_read_paths_from_where_they_stand_and_programs_whole_ones(
    kvasir: Kvasir, notes: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    far = tmp_path_factory.mktemp("far") / "sun.txt"
    far.write_text("The Sun is a star.")
    missing = kvasir("ingest", "notes", "notes/none.md", str(far), code=4)
    assert "failed: notes/none.md: " in missing.err
    commands = (("documents", "list"), ("search", "tea"), ("ask", "How long is tea steeped?"))
    for command in commands:
        shown = kvasir(*command).out
        assert "notes/tea.txt" in shown
        assert str(notes) not in shown
        assert str(notes / "tea.txt") in kvasir(*command, "--json").out
    assert str(far) in kvasir("documents", "list").out


def test_numbers_in_metadata_are_found_by_what_is_typed(kvasir: Kvasir, notes: Path) -> None:
    kvasir("ingest", "notes/tea.txt", "--metadata", "year=2026")
    assert len(kvasir("search", "--json", "--filters", "year=2026", "green", "tea").json) == 1
    later = '{"field": "year", "operator": ">", "value": 2026}'
    assert kvasir("search", "--json", "--filters", later, "tea").json == []


def test_ingesting_the_working_directory_leaves_out_the_index(kvasir: Kvasir, notes: Path) -> None:
    assert len(kvasir("ingest", "--json", ".").json["added"]) == 2
    again = kvasir("ingest", "--json", ".").json
    assert (len(again["unchanged"]), again["failed"]) == (2, [])


@pytest.mark.parametrize(
    ("arguments", "complaint", "code"),
    [
        (["serch", "x"], "did you mean 'search'?", 2),
        (
            ["search", "x", "--set", "rag.vectordb.typ=qdrant"],
            "did you mean 'rag.vectordb.type'?",
            3,
        ),
        (["search", "x", "--set", "rag.vectordb.type=qdrantt"], "unknown store 'qdrantt'", 3),
        (["search", "x", "--top-k", "0"], "must be from 1 to 1000, not 0", 2),
        (["search", "x", "--set", "chat.rag.retriever.top_k=0"], "from 1 to 1000, not '0'", 3),
        (["search", "x", "--min-score", "1.5"], "must be from 0 to 1, not 1.5", 2),
        (["search", "x", "--filters", "nonsense"], "field=value", 2),
        (["search", "x", "--config", "none.yaml"], "there is no settings file 'none.yaml'", 3),
        (["ask", "x", "--generator", "openai"], "generator.model", 3),
        (["ingest", "notes", "--split-by", "chapter"], "split_by", 2),
        (["ingest", "notes", "--metadata", "x"], "key=value", 2),
        (["ingest", "notes", "--metadata", "x=NaN"], "finite", 2),
        (["documents", "metadata", "notes/tea.txt", "x=1e999"], "finite", 2),
        (["ingest", "notes", "--language", "klingon"], "ISO 639-1", 2),
        (["search", "x", "--filters", "year>=abc"], "needs a number or a date", 2),
        (["ask", "x", "--set", "chat.rag.prompt=none"], "{{context}}", 3),
        (["config", "init", "nowhere/x.yaml"], "cannot be written", 2),
        (["search", "x", "--set", "rag.embedding_model.name=/none"], "/none", 3),
    ],
)
def test_a_mistake_gets_one_line_that_says_what_to_do(
    ingested: Kvasir, arguments: list[str], complaint: str, code: int
) -> None:
    run = ingested(*arguments, code=code)
    assert complaint in run.err
    assert run.out == ""
    assert run.err.count("\n") <= 4


def test_a_missing_path_fails_alone(kvasir_process: Kvasir, notes: Path) -> None:
    run = kvasir_process("ingest", "notes", "none", code=4)
    assert "2 added, 1 failed" in run.out
    assert "none" in run.err


def test_another_embedding_model_is_refused_in_one_sentence(ingested: Kvasir) -> None:
    other = ["--set", "rag.embedding_model.options={max_tokens: 64}"]
    for command in (["search", "x"], ["ingest", "notes"]):
        error = ingested(*command, *other, code=3).err
        assert "embedding model" in error
        assert error.count("\n") == 1


def test_a_catalog_that_another_program_writes_to_is_told_in_one_line(
    kvasir: Kvasir, notes: Path, tmp_path: Path
) -> None:
    kvasir("ingest", "notes")
    other = sqlite3.connect(tmp_path / "kvasir-data/catalog.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    impatient = (
        "import kvasir.database.engine as engine; engine.BUSY_SECONDS = 0\n"
        "from kvasir.frontends.cli.main import main; main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", impatient, "documents", "delete", "notes/tea.txt"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    other.close()
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("error: catalog: writing failed: database is locked")
    assert done.stderr.count("\n") == 1


def has_live_documents(catalog: Path) -> bool:
    address = f"file:{catalog}?mode=ro"
    # An error as long as the tables are not made yet.
    with suppress(sqlite3.OperationalError), closing(sqlite3.connect(address, uri=True)) as opened:
        query = "SELECT count(*) FROM versions WHERE status = 'live'"
        return bool(opened.execute(query).fetchone()[0])
    return False


def test_ctrl_c_keeps_what_is_finished_and_the_next_run_does_the_rest(
    kvasir: Kvasir, tmp_path: Path
) -> None:
    write_notes(tmp_path / "many", 1200)
    process = subprocess.Popen(
        [sys.executable, "-m", "kvasir", "--data-dir", "kvasir-data", "ingest", "--json", "many"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    # The first batch is live; hundreds of notes are still to come.
    catalog = tmp_path / "kvasir-data" / "catalog.db"
    while process.poll() is None and not has_live_documents(catalog):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert "Traceback" not in err
    assert process.returncode == 130, out + err
    report = json.loads(out)
    assert report["interrupted"]
    assert report["left"]
    rest = kvasir("ingest", "--json", "many").json
    assert len(rest["added"]) + len(rest["unchanged"]) == 1200
    assert set(report["added"]) <= set(rest["unchanged"])
    assert kvasir("doctor", "--json").json["clean"]


def test_ctrl_c_while_the_graph_is_built_leaves_one_report(
    kvasir: Kvasir, kvasir_process: Kvasir, notes: Path
) -> None:
    (notes.parent / "interrupted.py").write_text(
        "from kvasir.components.stores.qdrant_edge import QdrantStore\n"
        "class Interrupted(QdrantStore):\n"
        "    def optimize(self, *, wait=False, stop=None):\n"
        "        raise KeyboardInterrupt\n"
    )
    store = ["--set", "rag.vectordb.type=interrupted:Interrupted"]
    here = {"PYTHONPATH": str(notes.parent)}
    run = kvasir_process("ingest", "--json", "notes", *store, code=130, **here)
    assert len(run.json["added"]) == 2
    assert "the next ingest builds the search graph" in run.err
    assert kvasir("doctor", "--json").json["clean"]


def test_settings_are_written_checked_and_shown(kvasir: Kvasir, tmp_path: Path) -> None:
    kvasir("config", "init")
    assert "exists already" in kvasir("config", "init", code=2).err
    assert "usable" in kvasir("config", "check").out
    shown = kvasir("config", "show", "--json", KVASIR__RAG__VECTORDB__PASSWORD="hush").json
    assert shown["rag"]["vectordb"]["password"] == "**********"
    # What is used for a setting that the file leaves out.
    assert shown["rag"]["vectordb"]["uri"] == str(tmp_path / "kvasir-data" / "store")
    assert shown["catalog"]["url"] == f"sqlite:///{tmp_path}/kvasir-data/catalog.db"
    assert shown["questions"]["collection"] == "default"
    assert shown["rag"]["splitter"]["type"] == "structure"
    of_server = kvasir("config", "show", KVASIR__CATALOG__URL="postgresql://a:hush@h/d").out
    assert of_server.count("postgresql://a:**********@h/d") == 2
    (tmp_path / "kvasir.yaml").write_text("rag: {vectordb: {type: nosuch}}")
    assert "unknown store 'nosuch'" in kvasir("config", "check", code=3).err
    (tmp_path / "kvasir.yaml").write_text("generator: {options: {max_wrods: 9}}")
    assert "did you mean 'max_words'?" in kvasir("config", "check", code=3).err


def test_the_settings_file_that_is_checked_and_written_is_the_one_named_before(
    kvasir: Kvasir, tmp_path: Path
) -> None:
    kvasir("--config", "my.yaml", "config", "init")
    assert not (tmp_path / "kvasir.yaml").exists()
    checked = kvasir("--config", "my.yaml", "config", "check", "--json").json
    assert checked == {"file": "my.yaml", "usable": True}
    (tmp_path / "my.yaml").write_text("collecton: books")
    kvasir("config", "init")
    said = kvasir("--config", "my.yaml", "config", "check", code=3).err
    assert "unknown setting 'collecton' in 'my.yaml'" in said
    assert "kvasir.yaml: all settings" in kvasir("config", "check").out
    assert (
        "kvasir.yaml: all settings"
        in kvasir("--config", "my.yaml", "config", "check", "kvasir.yaml").out
    )
    assert "from --set" in kvasir("--set", "rag.languag=es", "config", "check", code=3).err


def test_the_generator_that_refines_is_checked_too(kvasir: Kvasir, tmp_path: Path) -> None:
    refining = "chat: {rag: {context_refinement: {generator: %s}}}"
    (tmp_path / "kvasir.yaml").write_text(refining % "{type: olama}")
    assert "did you mean 'ollama'?" in kvasir("config", "check", code=3).err
    (tmp_path / "kvasir.yaml").write_text(refining % "{options: {max_wrods: 9}}")
    assert "did you mean 'max_words'?" in kvasir("config", "check", code=3).err


def test_a_wrong_setting_is_blamed_on_what_gave_it(kvasir: Kvasir, tmp_path: Path) -> None:
    (tmp_path / "kvasir.yaml").write_text("rag: {language: es}\n")
    for options, blamed, code in (
        (["--set", "rag.ingest.workers=0"], "'rag.ingest.workers' from --set: ", 3),
        (["--top-k", "0"], "'chat.rag.retriever.top_k' from --top-k: ", 2),
        (["--collection", "../up"], "'collection' from --collection: ", 2),
    ):
        said = kvasir("search", "x", *options, code=code).err
        assert blamed in said
        assert "kvasir.yaml" not in said
    said = kvasir("search", "x", code=3, KVASIR__RAG__LANGUAGE="klingon").err
    assert "'rag.language' from KVASIR__RAG__LANGUAGE: " in said


def test_completion_scripts_are_printed(ingested: Kvasir) -> None:
    for shell in ("bash", "zsh", "fish"):
        assert "_KVASIR_COMPLETE" in ingested("completion", shell).out


def test_the_reader_of_the_output_may_leave_early(kvasir: Kvasir, notes: Path) -> None:
    kvasir("ingest", "notes")
    head = shutil.which("head")
    if head is None:
        pytest.skip("there is no head command")
    line = f"{sys.executable} -m kvasir search tea --json | {head} -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", line], cwd=notes.parent, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 141)


@pytest.mark.skipif(os.name != "posix", reason="closes streams by the shell")
@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_command_whose_streams_are_closed_ends_as_usual(
    kvasir: Kvasir, notes: Path, closed: str
) -> None:
    kvasir("ingest", "notes")
    line = f"{sys.executable} -m kvasir search tea {closed}"
    done = subprocess.run(
        ["bash", "-c", line], cwd=notes.parent, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "tea.txt" in kvasir("search", "tea").out


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_output_that_cannot_encode_a_character_is_complete(
    kvasir: Kvasir, notes: Path, encoding: str
) -> None:
    text = "Новогодняя ёлка стоит на площади. \U0001f384"
    (notes / "ёлка.md").write_text(text, encoding="utf-8")
    kvasir("ingest", "notes")

    def searched(*options: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "kvasir", "search", "ёлка", *options],
            cwd=notes.parent,
            env={**os.environ, "PYTHONUTF8": "0", "PYTHONIOENCODING": encoding},
            capture_output=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout.decode(encoding)

    assert "\\u0451\\u043b\\u043a\\u0430" in searched()
    hits = json.loads(searched("--json"))
    assert text in [hit["chunk"]["text"] for hit in hits]


@pytest.mark.skipif(os.name != "posix", reason="locales of POSIX")
def test_arguments_and_file_names_are_utf8_in_the_posix_locale(notes: Path) -> None:
    (notes / "ёлка.md").write_text("Новогодняя ёлка стоит на площади.", encoding="utf-8")
    names = {"PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "LC_ALL": "POSIX"}

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "kvasir", *arguments],
            cwd=notes.parent,
            env={**os.environ, **names},
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.decode("utf-8")

    run("ingest", "notes/ёлка.md")
    assert "площади" in run("search", "Где стоит ёлка?")
    assert "ёлка.md" in run("documents", "list")


def test_the_default_path_needs_no_network_and_no_torch(notes: Path) -> None:
    program = (
        "import sys\n"
        "def refuse(event, arguments):\n"
        "    if event in ('socket.connect', 'socket.getaddrinfo', 'socket.sendto'):\n"
        "        raise RuntimeError(f'network used: {event} {arguments}')\n"
        "sys.addaudithook(refuse)\n"
        "import kvasir\n"
        "with kvasir.open() as kb:\n"
        "    report = kb.ingest(*kvasir.files('notes'))\n"
        "    assert not report.failed, report.failed\n"
        "    answer = kb.ask('How long is green tea steeped?')\n"
        "assert answer.citations, answer\n"
        "heavy = {'torch', 'transformers', 'haystack'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=notes.parent,
        env={**os.environ, "PYTHONPATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_question_that_is_not_utf8_is_asked_all_the_same(ingested_process: Kvasir) -> None:
    assert ingested_process("search", "--json", "green tea \udcff").json


def test_a_name_that_is_not_utf8_is_no_documents(ingested_process: Kvasir) -> None:
    missing = ingested_process("documents", "show", "caf\udce9", code=2)
    assert "there is no document" in missing.err
    assert ingested_process("documents", "list", "--json", "caf\udce9").json == []
