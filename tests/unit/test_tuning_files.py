"""The folder of tuning: examples that are sent or taken from answers, and what jobs may name."""

import io
import json
import struct
import zipfile
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from kvasir import language_models
from kvasir.core.errors import ConflictError, RequestError, TooLargeError
from kvasir.core.services.answer_log import LoggedAnswer
from kvasir.core.services.jobs import Job, JobState
from kvasir.settings.zeromq_schema import TuningSettings
from kvasir.tuning_files import (
    TuningFile,
    example_line,
    keep_answers,
    keep_examples,
    list_files,
    tuning_folder,
)

LINE = b'{"text": "User: a\\n\\nAssistant: b"}\n'


@pytest.fixture
def folder(tmp_path):
    return tuning_folder(tmp_path)


def keep(folder, content, name="tea.jsonl", most=1000):
    return keep_examples(folder, name, io.BytesIO(content), most_bytes=most)


def test_a_file_is_kept_and_listed(folder):
    assert list_files(folder) == []
    kept = keep(folder, LINE + b"\n" + LINE)
    assert (kept.name, kept.examples) == ("tea.jsonl", 2)
    (file,) = list_files(folder)
    assert (file.name, file.kind) == ("tea.jsonl", "jsonl")
    with pytest.raises(ConflictError):
        keep(folder, LINE)


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
def test_a_file_with_a_bad_line_is_refused_as_a_whole(folder, content, error, told):
    with pytest.raises(error, match=told):
        keep(folder, content)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["../a.jsonl", "a.txt", ".a.jsonl", "a b.jsonl", "", "x" * 200])
def test_a_name_that_leads_elsewhere_is_refused(folder, name):
    with pytest.raises(RequestError):
        keep(folder, LINE, name)
    assert not folder.exists()


def test_answers_become_turns_of_a_conversation(folder):
    answer = LoggedAnswer(
        *("1", 1, "tea", "How hot?\n\nReally?", "80 degrees.\n\n\nNo more. [1]", False, ()),
        *("extractive", 0.1, datetime.now(UTC)),
    )
    assert keep_answers(folder, "answers.jsonl", [answer]).examples == 1
    (line,) = (folder / "answers.jsonl").read_text("utf-8").splitlines()
    text = "User: How hot?\nReally?\n\nAssistant: 80 degrees.\nNo more. [1]"
    assert json.loads(line) == {"text": text}


def test_half_of_a_character_is_kept_as_a_question_mark(folder):
    line = b'{"text": "User: a\\ud83d\\n\\nAssistant: b", "\\udc00": ["\\ud800", "\\ud83d\\ude00"]}'
    assert keep(folder, line).examples == 1
    (kept,) = (folder / "tea.jsonl").read_text("utf-8").splitlines()
    assert json.loads(kept) == {"text": "User: a?\n\nAssistant: b", "?": ["?", "😀"]}
    assert "\ud83d" not in example_line("a", "b", answer="\ud83d")


def test_bases_states_and_prepared_data_are_told_apart(folder):
    folder.mkdir()
    for name, key in (("base.pth", "emb.weight"), ("state.pth", "blocks.0.att.time_state")):
        with zipfile.ZipFile(folder / name, "w") as content:
            content.writestr("archive/data.pkl", f"...{key}...")
    (folder / "other.pth").write_bytes(b"PK nothing")
    for name, key in (("own", "emb.weight"), ("fla", "model.embeddings.weight"), ("bert", "x")):
        header = json.dumps({key: {}}).encode()
        (folder / f"{name}.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    (folder / "cut.safetensors").write_bytes(b"12")
    (folder / "tea.bin").write_bytes(b"12")
    (folder / "tea.idx").write_bytes(b"3")
    (folder / "lonely.idx").write_bytes(b"3")
    found = {each.name: each.kind for each in list_files(folder)}
    bases = dict.fromkeys(("base.pth", "own.safetensors", "fla.safetensors"), "base")
    assert found == {**bases, "state.pth": "state", "tea": "prepared"}
    assert TuningFile("tea", "prepared", 3) in list_files(folder)


def test_the_folder_is_that_of_the_runners(tmp_path):
    assert tuning_folder(tmp_path / "data") == tmp_path / "data" / "tuning"
    assert tuning_folder(tmp_path / "data", "own") == tmp_path / "own"
    own = {"options": {"folder": "own"}}
    ft = {"runners": {name: {"type": name, **own} for name in ("state", "lora", "pissa")}}
    j2b = {"runners": {"j2b": {"type": "j2b", **own}}}
    assert TuningSettings(ft=ft, j2b=j2b).folder == "own"
    assert TuningSettings(ft=ft, j2b={"enabled": False}).folder == "own"
    assert TuningSettings().folder is None
    with pytest.raises(ValueError, match="must have the same option 'folder'"):
        TuningSettings(ft=ft)


def write_safetensors(folder):
    folder.mkdir(parents=True)
    header = json.dumps({"model.embeddings.weight": {}}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)


@pytest.mark.parametrize(
    ("base", "name"),
    [
        ("model.safetensors", "{files}/model.safetensors"),
        ("owner/name", "owner/name/model.safetensors"),
        ("owner/name/model.safetensors", "owner/name/model.safetensors"),
        ("owner/name/sub/model.safetensors", "owner/name/sub/model.safetensors"),
    ],
)
def test_a_base_of_safetensors_is_used_with_what_was_tuned_for_it(
    base, name, tmp_path, monkeypatch
):
    files = tmp_path / "files"
    write_safetensors(files)
    write_safetensors(tmp_path / "models" / "owner" / "name")
    write_safetensors(tmp_path / "models" / "owner" / "name" / "sub")
    result = tmp_path / "services" / "ft" / "1" / "state.pth"
    result.parent.mkdir(parents=True)
    result.touch()
    found = {}
    record = SimpleNamespace(config="ragq.yml")
    monkeypatch.setattr(language_models, "read_record", lambda _: record)
    monkeypatch.setattr(
        language_models, "change_section", lambda _, __, values, **___: found.update(values)
    )
    job = Job(
        *("1", "state", {"base": base}, 1, "", JobState.DONE, datetime.now(UTC)),
        result={"file": "state.pth"},
    )
    language_models.choose_model(tmp_path, files, base, job=job)
    expected = {"base_model_file": name.format(files=files), "state_path": str(result)}
    assert found == {**expected, "adapter_path": None}
