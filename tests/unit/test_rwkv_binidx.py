"""Training data: the bytes of the reference layout, whatever the number of processes."""

import json
import random
import struct
from pathlib import Path

import numpy as np
import pytest
from libraries import library
from small_rwkv import random_model, write_model

from kvasir.core.errors import (
    ComponentError,
    ConflictError,
    RequestError,
    SettingsError,
    StoppedError,
)
from kvasir.core.run import Run, StopToken
from kvasir.tuning import export_model, prepare_data

binidx = library("kvasir.rwkv.binidx", "torch", extra="torch")
tokenizer = library("kvasir.rwkv.tokenizer", "torch", extra="torch")

TEXTS = ["User: q\n\nAssistant: a", "", "图书馆早上八点开门。", "word " * 400, "🙂\n\n"]


def write_lines(path, texts):
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")
    return path


def test_the_files_are_those_of_the_reference_layout_byte_for_byte(tmp_path):
    source = write_lines(tmp_path / "a.jsonl", TEXTS)
    assert binidx.prepare([source], tmp_path / "data") == len(TEXTS)
    coder = tokenizer.WorldTokenizer()
    documents = [[*coder.encode(text), 0] for text in TEXTS]
    tokens = b"".join(struct.pack(f"<{len(d)}H", *d) for d in documents)
    assert (tmp_path / "data.bin").read_bytes() == tokens
    sizes, starts, at = [len(d) for d in documents], [], 0
    for size in sizes:
        starts.append(at)
        at += 2 * size
    expected = b"MMIDIDX\x00\x00" + struct.pack("<QB", 1, 8)
    expected += struct.pack("<QQ", len(TEXTS), len(TEXTS) + 1)
    expected += np.array(sizes, dtype=np.int32).tobytes()
    expected += np.array(starts, dtype=np.int64).tobytes()
    expected += np.arange(len(TEXTS) + 1, dtype=np.int64).tobytes()
    assert (tmp_path / "data.idx").read_bytes() == expected
    found = binidx.Documents(tmp_path / "data.idx")
    assert [found[number] for number in range(len(found))] == documents


def test_one_and_four_processes_write_equal_bytes(tmp_path):
    rng = random.Random(0)
    words = ["tea", "Moon", "图书馆", "\n\n", "User:", " answer", "🙂"]
    texts = [" ".join(rng.choices(words, k=rng.randint(0, 40))) for _ in range(1500)]
    sources = [write_lines(tmp_path / "a.jsonl", texts[:700])]
    sources.append(write_lines(tmp_path / "b.jsonl", texts[700:]))
    for processes in (1, 4):
        count = binidx.prepare(sources, tmp_path / str(processes), processes=processes)
        assert count == 1500
    for kind in ("bin", "idx"):
        one, four = (tmp_path / f"{n}.{kind}" for n in (1, 4))
        assert one.read_bytes() == four.read_bytes()


@pytest.mark.parametrize("line", ["{", '{"txt": "a"}', '{"text": 5}', '["text"]', "null"])
def test_a_line_without_text_is_named_and_leaves_no_files(line, tmp_path):
    source = write_lines(tmp_path / "a.jsonl", TEXTS)
    with source.open("a") as stream:
        stream.write(f"\n{line}\n")
    with pytest.raises(RequestError, match=r"a\.jsonl:7"):
        binidx.prepare([source], tmp_path / "data")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl"]


def test_a_stopped_run_leaves_no_files(tmp_path):
    source = write_lines(tmp_path / "a.jsonl", TEXTS)
    stop = StopToken()
    stop.set()
    with pytest.raises(StoppedError):
        binidx.prepare([source], tmp_path / "data", run=Run(stop))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jsonl"]


def test_damaged_files_are_named(tmp_path):
    source = write_lines(tmp_path / "a.jsonl", TEXTS)
    binidx.prepare([source], tmp_path / "data")
    index, tokens = tmp_path / "data.idx", tmp_path / "data.bin"
    good_index, good_tokens = index.read_bytes(), tokens.read_bytes()
    for path, data in (
        (index, good_index[:-3]), (index, b"x" + good_index[1:]), (index, b""),
        (tokens, good_tokens[:10]),
    ):  # fmt: skip
        path.write_bytes(data)
        with pytest.raises(ComponentError, match="data"):
            binidx.Documents(tmp_path / "data")
        index.write_bytes(good_index)
        tokens.write_bytes(good_tokens)
    index.unlink()
    with pytest.raises(ComponentError):
        binidx.Documents(tmp_path / "data")


def test_an_index_that_belongs_to_other_tokens_is_refused(tmp_path):
    for name, texts in (("old", TEXTS[:2]), ("new", TEXTS)):
        binidx.prepare([write_lines(tmp_path / f"{name}.jsonl", texts)], tmp_path / name)
    (tmp_path / "new.idx").write_bytes((tmp_path / "old.idx").read_bytes())
    with pytest.raises(ComponentError, match="belongs to other tokens"):
        binidx.Documents(tmp_path / "new")


def test_a_crash_never_leaves_an_older_index_beside_newer_tokens(tmp_path, monkeypatch):
    source = write_lines(tmp_path / "a.jsonl", TEXTS)
    binidx.prepare([source], tmp_path / "data")
    replace = Path.replace

    def crash(path, target):
        if path.name == "data.idx.partial":
            raise SystemExit
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", crash)
    # As many tokens in other documents.
    source = write_lines(tmp_path / "a.jsonl", TEXTS[::-1])
    with pytest.raises(SystemExit):
        binidx.prepare([source], tmp_path / "data")
    with pytest.raises(ComponentError, match=r"data\.idx"):
        binidx.Documents(tmp_path / "data")


def test_a_target_has_one_writer_at_a_time(tmp_path):
    """Another one is refused, whether it prepares data or exports a model."""
    source, target = write_lines(tmp_path / "a.jsonl", TEXTS), tmp_path / "data"
    base = write_model(random_model(7), tmp_path / "base.pth")
    refused = []

    class Reporting(Run):
        def report(self, *arguments, **named):
            super().report(*arguments, **named)
            for write in (
                lambda: prepare_data([source], target),
                lambda: export_model(str(base), target, data_dir=tmp_path),
            ):
                with pytest.raises(ConflictError, match=f"another process writes {target}"):
                    write()
                refused.append(write)
            prepare_data([source], tmp_path / "other")

    many = write_lines(tmp_path / "many.jsonl", TEXTS * 60)
    prepare_data([many], target, run=Reporting())
    assert len(refused) == 2
    assert len(binidx.Documents(target)) == len(TEXTS) * 60
    assert prepare_data([source], target).documents == len(TEXTS)


def test_data_that_is_refused_makes_no_folder(tmp_path):
    (tmp_path / "a.jsonl").write_text("no text\n", "utf-8")
    with pytest.raises(RequestError, match="is not of the form"):
        prepare_data([tmp_path / "a.jsonl"], tmp_path / "new" / "data")
    with pytest.raises(SettingsError, match="is a folder: name what"):
        prepare_data([tmp_path / "a.jsonl"], Path())
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]
