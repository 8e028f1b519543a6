"""The folder of tuning: examples that are sent or taken from answers, and what jobs may name."""

import io
import json
import zipfile
from datetime import UTC, datetime

import pytest

from kvasir.core.errors import ConflictError, RequestError, TooLargeError
from kvasir.core.services.answer_log import LoggedAnswer
from kvasir.tuning_files import (
    TuningFile,
    example_line,
    keep_answers,
    keep_examples,
    list_files,
    tuning_folder,
)

LINE = b'{"text": "User: a\\n\\nAssistant: b"}\n'


def keep(folder, content, name="tea.jsonl", most=1000):
    return keep_examples(folder, name, io.BytesIO(content), most_bytes=most)


def test_a_file_is_kept_and_listed(tmp_path):
    assert list_files(tmp_path) == []
    kept = keep(tmp_path, LINE + b"\n" + LINE)
    assert (kept.name, kept.examples) == ("tea.jsonl", 2)
    (file,) = list_files(tmp_path)
    assert (file.name, file.kind) == ("tea.jsonl", "jsonl")
    with pytest.raises(ConflictError):
        keep(tmp_path, LINE)


@pytest.mark.parametrize(
    ("content", "error", "told"),
    [
        (b"", RequestError, "no example"),
        (LINE + b"{", RequestError, "line 2 is no JSON"),
        (LINE + b'{"text": 1}', RequestError, "line 2 has no text"),
        (b"[]", RequestError, "line 1 has no text"),
        (LINE * 100, TooLargeError, "MB"),
    ],
)
def test_a_file_with_a_bad_line_is_refused_as_a_whole(tmp_path, content, error, told):
    with pytest.raises(error, match=told):
        keep(tmp_path, content)
    assert list(tuning_folder(tmp_path).iterdir()) == []


@pytest.mark.parametrize("name", ["../a.jsonl", "a.txt", ".a.jsonl", "a b.jsonl", "", "x" * 200])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path, name):
    with pytest.raises(RequestError):
        keep(tmp_path, LINE, name)
    assert not tuning_folder(tmp_path).exists()


def test_answers_become_turns_of_a_conversation(tmp_path):
    answer = LoggedAnswer(
        *("1", 1, "tea", "How hot?\n\nReally?", "80 degrees.\n\n\nNo more. [1]", False, ()),
        *("extractive", 0.1, datetime.now(UTC)),
    )
    assert keep_answers(tmp_path, "answers.jsonl", [answer]).examples == 1
    (line,) = (tuning_folder(tmp_path) / "answers.jsonl").read_text("utf-8").splitlines()
    text = "User: How hot?\nReally?\n\nAssistant: 80 degrees.\nNo more. [1]"
    assert json.loads(line) == {"text": text}


def test_half_of_a_character_is_kept_as_a_question_mark(tmp_path):
    line = b'{"text": "User: a\\ud83d\\n\\nAssistant: b", "\\udc00": ["\\ud800", "\\ud83d\\ude00"]}'
    assert keep(tmp_path, line).examples == 1
    (kept,) = (tuning_folder(tmp_path) / "tea.jsonl").read_text("utf-8").splitlines()
    assert json.loads(kept) == {"text": "User: a?\n\nAssistant: b", "?": ["?", "😀"]}
    assert "\ud83d" not in example_line("a", "b", answer="\ud83d")


def test_bases_states_and_prepared_data_are_told_apart(tmp_path):
    folder = tuning_folder(tmp_path)
    folder.mkdir()
    for name, key in (("base.pth", "emb.weight"), ("state.pth", "blocks.0.att.time_state")):
        with zipfile.ZipFile(folder / name, "w") as content:
            content.writestr("archive/data.pkl", f"...{key}...")
    (folder / "other.pth").write_bytes(b"PK nothing")
    (folder / "tea.bin").write_bytes(b"12")
    (folder / "tea.idx").write_bytes(b"3")
    (folder / "lonely.idx").write_bytes(b"3")
    found = {each.name: each.kind for each in list_files(tmp_path)}
    assert found == {"base.pth": "base", "state.pth": "state", "tea": "prepared"}
    assert TuningFile("tea", "prepared", 3) in list_files(tmp_path)
