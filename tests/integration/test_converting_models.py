"""Pickled weights become safetensors once, and what could run code is refused."""

from __future__ import annotations

import json
import pickle
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from libraries import library
from small_models import write_sentence_model

from kvasir.components.embedders.openvino import OpenVinoEmbedder
from kvasir.core.errors import ModelNotFoundError, StoppedError
from kvasir.core.run import Run, StopToken
from kvasir.frontends.cli.main import cli

torch = library("torch", extra="torch")
safetensors = library("safetensors.torch")
conversion = library("kvasir.models.conversion", "torch", extra="torch")
TEXTS = ["the mead of poetry", "owls hunt at night"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A model of the family of bge-m3, as safetensors and as its hub has it."""
    folder = write_sentence_model(tmp_path_factory.mktemp("model"), "xlm-roberta", "cls")
    pickled = folder.with_name("pickled")
    shutil.copytree(folder, pickled)
    (weights,) = pickled.rglob("model.safetensors")
    torch.save(safetensors.load_file(weights), weights.with_name("pytorch_model.bin"))
    weights.unlink()
    return folder, pickled


def run(*arguments):
    return CliRunner().invoke(cli, ["models", "convert", *arguments], obj={})


def test_a_converted_model_gives_the_same_vectors(model):
    folder, pickled = model
    with pytest.raises(ModelNotFoundError, match="no safetensors weights"):
        OpenVinoEmbedder(str(pickled)).embed_queries(TEXTS)
    done = run(str(pickled))
    assert done.exit_code == 0, done.output
    (made,) = pickled.rglob("model.safetensors")
    assert done.output.splitlines()[-1] == str(made)
    found = OpenVinoEmbedder(str(pickled)).embed_queries(TEXTS)
    expected = OpenVinoEmbedder(str(folder)).embed_queries(TEXTS)
    np.testing.assert_array_equal(found, expected)
    stamp = made.stat().st_mtime_ns
    again = run(str(pickled))
    assert again.output.splitlines()[-1] == "there are safetensors already"
    assert made.stat().st_mtime_ns == stamp


def test_shards_have_an_index_and_shared_tensors_are_written_each(tmp_path):
    tensor = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    torch.save({"one": tensor, "tied": tensor}, tmp_path / "pytorch_model-00001-of-00002.bin")
    torch.save({"two": tensor.T}, tmp_path / "pytorch_model-00002-of-00002.bin")
    (tmp_path / "pytorch_model.bin.index.json").write_text("{}")
    made = conversion.convert(tmp_path)
    assert [path.name for path in made] == [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
        "model.safetensors.index.json",
    ]
    first, second = (safetensors.load_file(path) for path in made[:2])
    assert torch.equal(first["one"], tensor)
    assert torch.equal(first["tied"], tensor)
    assert torch.equal(second["two"], tensor.T)
    index = json.loads(made[2].read_text("utf-8"))
    assert index["weight_map"] == {
        "one": made[0].name,
        "tied": made[0].name,
        "two": made[1].name,
    }
    assert index["metadata"]["total_size"] == 3 * 24


def test_a_conversion_that_was_interrupted_writes_the_index_of_all_shards(tmp_path):
    for number in (1, 2):
        weights = {f"tensor{number}": torch.ones(number, 2)}
        torch.save(weights, tmp_path / f"pytorch_model-0000{number}-of-00002.bin")
    (tmp_path / "pytorch_model.bin.index.json").write_text("{}")
    whole = conversion.convert(tmp_path)
    expected = whole[-1].read_bytes()
    assert json.loads(expected)["metadata"]["total_size"] == 3 * 8
    for gone in (whole[1:], whole[2:]):
        for path in gone:
            path.unlink()
        assert conversion.convert(tmp_path) == gone
        assert whole[-1].read_bytes() == expected
    assert conversion.convert(tmp_path) == []
    whole[-1].unlink()
    whole[0].write_bytes(b"broken")
    with pytest.raises(ModelNotFoundError, match="delete it and convert again"):
        conversion.convert(tmp_path)


def test_a_file_of_rwkv_or_of_a_training_program_is_read(tmp_path):
    file = tmp_path / "rwkv.pth"
    torch.save({"state_dict": {"emb.weight": torch.ones(2, 2, dtype=torch.bfloat16)}}, file)
    (made,) = conversion.convert(file)
    assert made == tmp_path / "rwkv.safetensors"
    assert safetensors.load_file(made)["emb.weight"].dtype == torch.bfloat16
    # The format of PyTorch before 1.6.
    old = tmp_path / "old.pth"
    torch.save({"a": torch.ones(1)}, old, _use_new_zipfile_serialization=False)
    assert conversion.convert(old) == [tmp_path / "old.safetensors"]


class Evil:
    def __reduce__(self):
        return (print, ("run",))


def test_what_could_run_code_or_is_no_model_is_refused(tmp_path, capsys):
    evil = tmp_path / "evil.pth"
    evil.write_bytes(pickle.dumps({"a": Evil()}, protocol=2))
    torch.save({"a": Evil()}, tmp_path / "zipped.pth")
    torch.save({"a": 1}, tmp_path / "number.pth")
    torch.save([torch.ones(1)], tmp_path / "list.pth")
    (tmp_path / "short.pth").write_bytes(b"PK\x03\x04")
    (tmp_path / "empty.pth").write_bytes(b"")
    for name, said in (
        ("evil", "could run code"),
        ("zipped", "could run code"),
        ("number", "holds 'a', which is no tensor"),
        ("list", "holds no weights by name"),
        ("short", "is broken"),
        ("empty", "is broken"),
    ):
        with pytest.raises(ModelNotFoundError, match=said):
            conversion.convert(tmp_path / f"{name}.pth")
    assert "run" not in capsys.readouterr().out.split()
    assert list(tmp_path.glob("*.safetensors")) == []
    none = tmp_path / "none"
    none.mkdir()
    with pytest.raises(ModelNotFoundError, match="no pickled weights"):
        conversion.convert(none)
    missing = run("owner/model-that-is-nowhere")
    assert isinstance(missing.exception, ModelNotFoundError)


def test_a_stop_leaves_no_half_file(tmp_path):
    torch.save({"a": torch.ones(1)}, tmp_path / "pytorch_model.bin")
    stop = StopToken()
    stop.set()
    with pytest.raises(StoppedError):
        conversion.convert(tmp_path, Run(stop))
    assert [path.name for path in tmp_path.iterdir()] == ["pytorch_model.bin"]
