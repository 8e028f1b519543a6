"""Weights are mapped, not read, and are what the file holds."""

import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from kvasir.core.errors import ModelNotFoundError
from kvasir.models.encoder_files import Component
from kvasir.models.mapped_weights import Weights

ENCODER = Component("embedder 'openvino'", "choose another one")
MARK = "embeddings.word_embeddings.weight"


def write(folder, prefix="bert."):
    table = np.arange(12, dtype=np.float32).reshape(3, 4)
    tensors = {
        f"{prefix}{MARK}": table,
        f"{prefix}layer.LayerNorm.gamma": np.ones(4, np.float32),
        f"{prefix}layer.bias": np.linspace(0, 1, 4).astype(np.float16),
    }
    save_file(tensors, folder / "model.safetensors")
    return table


@pytest.mark.parametrize("prefix", ["", "bert.", "0.auto_model."])
def test_tensors_are_found_below_the_models_prefix(tmp_path, prefix):
    table = write(tmp_path, prefix)
    weights = Weights(tmp_path, ENCODER)
    np.testing.assert_array_equal(weights(MARK), table)
    np.testing.assert_array_equal(weights("layer.LayerNorm.weight"), np.ones(4))
    with pytest.raises(ModelNotFoundError, match=r"lack '.*nothing'.*fetch the model again"):
        weights("nothing")


def test_every_reader_gets_the_same_memory_unless_it_must_be_converted(tmp_path):
    write(tmp_path)
    weights = Weights(tmp_path, ENCODER)
    assert np.shares_memory(weights(MARK), weights(MARK))
    converted = weights("layer.bias")
    assert converted.dtype == np.float32
    assert not np.shares_memory(converted, weights("layer.bias"))
    np.testing.assert_allclose(converted, np.linspace(0, 1, 4), atol=1e-3)


def test_writing_to_a_tensor_does_not_change_the_file(tmp_path):
    table = write(tmp_path)
    Weights(tmp_path, ENCODER)(MARK)[0, 0] = 99
    np.testing.assert_array_equal(Weights(tmp_path, ENCODER)(MARK), table)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc shows the pages")
def test_what_is_read_in_passing_takes_no_memory(tmp_path):
    numbers = np.arange(1 << 20, dtype=np.float32)
    save_file({f"bert.{MARK}": numbers}, tmp_path / "model.safetensors")
    weights = Weights(tmp_path, ENCODER)

    def resident():
        entries = Path("/proc/self/smaps").read_text().split("VmFlags")
        own = (each for each in entries if str(tmp_path) in each)
        return sum(int(each.partition("Rss:")[2].split()[0]) for each in own)

    np.testing.assert_array_equal(weights(MARK), numbers)
    assert resident() > 2000
    with weights.read_in_passing():
        end = time.monotonic() + 30
        while resident() > 100 and time.monotonic() < end:
            time.sleep(0.02)
        assert resident() < 100
    np.testing.assert_array_equal(weights(MARK), numbers)


def test_missing_and_broken_weights_say_what_to_do(tmp_path):
    with pytest.raises(ModelNotFoundError, match="no safetensors"):
        Weights(tmp_path, ENCODER)
    (tmp_path / "model.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{no header}")
    with pytest.raises(ModelNotFoundError, match=r"broken.*fetch the model again"):
        Weights(tmp_path, ENCODER)


def test_tensors_of_the_head_stand_beside_the_encoder(tmp_path):
    tensors = {f"model.bert.{MARK}": np.ones((2, 2), np.float32)}
    tensors["model.classifier.weight"] = np.full((1, 2), 5, np.float32)
    save_file(tensors, tmp_path / "model.safetensors")
    weights = Weights(tmp_path, ENCODER)
    np.testing.assert_array_equal(weights.head("classifier.weight"), [[5, 5]])
    assert weights.has_head("classifier.weight")
    assert not weights.has_head("classifier.dense.weight")
    with pytest.raises(ModelNotFoundError, match=r"lack 'model\.other'"):
        weights.head("other")


def test_weights_in_bf16_are_converted(tmp_path):
    header = {MARK: {"dtype": "BF16", "shape": [1, 2], "data_offsets": [0, 4]}}
    content = json.dumps(header).encode()
    values = np.array([1.5, -3.0], np.float32).view(np.uint32) >> 16
    data = len(content).to_bytes(8, "little") + content + values.astype("<u2").tobytes()
    (tmp_path / "model.safetensors").write_bytes(data)
    np.testing.assert_array_equal(Weights(tmp_path, ENCODER)(MARK), [[1.5, -3.0]])
