"""What ``kvasir ask`` says about questions that cannot be answered as they are."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cross_encoders import write_cross_encoder

from kvasir.components.rerankers.openvino import OpenVinoReranker
from kvasir.core.text import passage

Kvasir = Callable[..., Any]


def test_a_question_without_words_is_refused_in_one_line(ingested: Kvasir) -> None:
    assert "no letter or digit" in ingested("ask", "?!", code=2).err


def test_a_search_without_words_is_refused_in_one_line(ingested: Kvasir) -> None:
    assert ingested("search", " ", code=2).err == "error: the query is empty: type one\n"


def test_filters_that_match_nothing_are_named_as_the_reason(ingested: Kvasir) -> None:
    said = ingested("ask", "--filters", "language=xx", "How far away is the Moon?", code=5).out
    assert "No document matches the filters" in said


def test_a_collection_without_documents_says_so(kvasir: Kvasir, tmp_path: Path) -> None:
    (tmp_path / "broken.pdf").write_bytes(b"%PDF-1.7 and no more")
    kvasir("ingest", "broken.pdf", code=4)
    assert "The collection has no documents" in kvasir("ask", "How hot is tea?", code=5).out
    for options in ((), ("--json",)):
        said = kvasir("search", *options, "tea").err
        assert "collection 'default' has no documents: 'kvasir ingest FOLDER' adds some" in said
    kvasir("ask", "--filters", "year=1", "How hot is tea?", code=5)


def test_copies_of_a_file_take_one_place_and_are_named(kvasir: Kvasir, tmp_path: Path) -> None:
    (tmp_path / "tea").mkdir()
    for name in ("a.txt", "b.txt", "c.txt"):
        (tmp_path / "tea" / name).write_text("Green tea is brewed at eighty degrees.\n")
    (tmp_path / "tea" / "other.txt").write_text("Black tea is brewed with boiling water.\n")
    kvasir("ingest", "tea")
    question = "How hot is green tea brewed?"
    first, second = kvasir("search", "--json", question).json
    assert Path(second["chunk"]["metadata"]["source_uri"]).name == "other.txt"
    found = [first["chunk"]["metadata"]["source_uri"], *first["copies"]]
    assert {Path(each).name for each in found} == {"a.txt", "b.txt", "c.txt"}
    for command in ("search", "ask"):
        shown = kvasir(command, question).out
        assert shown.count("the same in") == 1
        assert all(name in shown for name in ("a.txt", "b.txt", "c.txt"))


def test_a_pasted_mail_with_one_question_is_answered(ingested: Kvasir) -> None:
    talk = " ".join(
        f"On day {n} my sister baked bread and sang in the kitchen." for n in range(190)
    )
    mail = f"Hello,\n\n{talk[:6000]}. How far away is the Moon? {talk[6000:]}\n\nKind regards"
    assert len(mail) > 10_000
    assert (
        ingested("ask", mail).out.split("[1]")[0]
        == (ingested("ask", "How far away is the Moon?").out.split("[1]")[0])
    )


def test_a_question_in_a_language_that_nobody_here_knows_gets_a_hint(ingested: Kvasir) -> None:
    asked = ingested("ask", "--json", "¿A qué distancia está la Luna de la Tierra?", code=None)
    assert "hint: the question seems to be in 'es'" in asked.err
    assert "multilingual" in asked.err
    assert asked.json["text"]
    assert "hint" not in ingested("ask", "How far away is the Moon?").err


def test_a_program_reads_one_document_when_the_guess_of_the_language_is_interrupted(
    kvasir: Kvasir, notes: Path, tmp_path: Path
) -> None:
    kvasir("ingest", "notes")
    interrupted = (
        "import kvasir.answering.answers as answers\n"
        "def detect(*_): raise KeyboardInterrupt\n"
        "answers.detect = detect\n"
        "from kvasir.frontends.cli.main import main; main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", interrupted, "ask", "--json", "¿A qué distancia está la Luna?"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert json.loads(done.stdout) == {
        "error": "interrupted",
        "code": "stopped",
        "exit_code": 130,
    }


def test_no_language_is_guessed_for_a_question_that_is_well_answered(
    ingested_process: Kvasir,
) -> None:
    guesser = "py3langid"
    answered = ingested_process("ask", "How far away is the Moon?", PYTHONPROFILEIMPORTTIME="1")
    assert "kvasir.language.detect" in answered.err, "no imports are listed"
    assert guesser not in answered.err
    refused = "Who composed the opera Carmen?"
    assert guesser in ingested_process("ask", refused, code=5, PYTHONPROFILEIMPORTTIME="1").err


def test_an_option_of_the_wrong_type_gets_one_line(ingested: Kvasir) -> None:
    said = ingested("--set", "generator.options.max_words=abc", "ask", "Who?", code=3).err
    assert "option max_words must be a whole number, not 'abc'" in said


def test_a_reranker_without_pytorch_orders_the_sources_of_an_answer(
    ingested: Kvasir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for library in ("torch", "transformers", "sentence_transformers"):
        monkeypatch.setitem(sys.modules, library, None)
    question = "How far away is the Moon?"
    model = write_cross_encoder(tmp_path / "model", [question])
    chosen = {"type": "openvino", "name": str(model)}
    options = [f"chat.rag.retriever.reranker.{key}={value}" for key, value in chosen.items()]
    settings = [part for option in options for part in ("--set", option)]
    plain = ingested("ask", "--json", question).json["hits"]
    hits = ingested("ask", "--json", question, *settings, code=None).json["hits"]
    texts = [passage(hit["chunk"]["headings"], hit["chunk"]["text"]) for hit in hits]
    scores = OpenVinoReranker(str(model)).scores(question, texts)
    assert [hit["score"] for hit in hits] == pytest.approx(scores.tolist(), abs=1e-3)
    assert scores.tolist() == sorted(scores, reverse=True)
    assert [hit["score"] for hit in hits] != [hit["score"] for hit in plain]
