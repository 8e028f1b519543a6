"""Files, settings and data that nobody means well with: one sentence each, and nothing is lost."""

import json
import logging
import math
import multiprocessing
import os
import pickle
import resource
import signal
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from libraries import library
from small_rwkv import byte_tokenizer, one_thread, random_model, random_tokens, write_model

from kvasir import language_models, tuning_loop, tuning_runners
from kvasir.core import registry
from kvasir.core.environment import environment
from kvasir.core.errors import (
    ComponentError,
    ConflictError,
    KvasirError,
    RequestError,
    SettingsError,
    StorageError,
)
from kvasir.core.run import Run
from kvasir.core.types import Chunk, Hit, Message, Prompt, chunk_id, document_id
from kvasir.tuning import prepare_data, work_folder
from kvasir.tuning import tune as kvasir_tune

torch = library("torch", extra="torch")
adapter_files = library("kvasir.rwkv.adapter_files", "torch", extra="torch")
binidx = library("kvasir.rwkv.binidx", "torch", extra="torch")
sampling = library("kvasir.rwkv.sampling", "torch", extra="torch")
state_cache = library("kvasir.rwkv.state_cache", "torch", extra="torch")
state_files = library("kvasir.rwkv.state_files", "torch", extra="torch")
tokenizer = library("kvasir.rwkv.tokenizer", "torch", extra="torch")
tune_options = library("kvasir.rwkv.tune_options", "torch", extra="torch")
weights = library("kvasir.rwkv.weights", "torch", extra="torch")


@pytest.fixture(scope="module", autouse=True)
def on_one_thread():
    with one_thread():
        yield


def make_model(**options):
    return random_model(
        7, **{"vocabulary": 257, "layers": 2, "width": 64, "head_size": 32, **options}
    )


@pytest.fixture(scope="module")
def model():
    return make_model()


def refused(error, told, call, *arguments, **named):
    """Checks that a call is refused in one sentence."""
    with pytest.raises(error, match=told) as raised:
        call(*arguments, **named)
    assert "\n" not in str(raised.value)


def load(path):
    return weights.make_model(weights.read_weights(path), path)


def without(tensors, key):
    return {name: value for name, value in tensors.items() if name != key}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t | {"emb.weight": t["emb.weight"].long()}, "no floating-point numbers: emb"),
        (lambda t: t | {"emb.weight": t["emb.weight"] * 1j}, "no floating-point numbers: emb"),
        (lambda t: t | {"emb.weight": t["emb.weight"].to_sparse()}, "no floating-point numbers"),
        (lambda t: t | {"emb.weight": t["emb.weight"].to("meta")}, "no floating-point numbers"),
        (lambda t: t | {7: t["emb.weight"]}, "no tensors by name"),
        (lambda t: t | {"blocks.999.att.odd": torch.zeros(1)}, "incomplete: it lacks blocks.2"),
        (lambda t: t | {"blocks.99999999999.att.odd": torch.zeros(1)}, "not known: blocks.9999"),
        (lambda t: t | {"emb.weight": torch.zeros(257)}, "shapes make no model"),
        (lambda t: t | {"blocks.0.att.r_k": torch.zeros(64)}, "shapes make no model"),
        (lambda t: t | {"blocks.0.att.r_k": torch.zeros(2, 0)}, "shapes make no model"),
        (lambda t: t | {"blocks.0.att.r_k": torch.zeros(1, 48)}, "shapes make no model"),
        (lambda t: t | {"blocks.0.att.r_k": torch.zeros(1, 512)}, "shapes make no model"),
        (lambda t: without(t, "blocks.0.att.w1"), "incomplete: 'blocks.0.att.w1' is missing"),
    ],
)
def test_a_model_of_other_numbers_or_shapes_is_refused(change, told, model, tmp_path):
    torch.save(change(model.state_dict()), tmp_path / "m.pth")
    refused(SettingsError, told, load, tmp_path / "m.pth")


@pytest.mark.parametrize("version", [6, 7])
def test_a_cut_file_is_refused_and_a_changed_one_raises_nothing_but_errors_of_ours(
    version, tmp_path
):
    small = random_model(version, vocabulary=20, layers=1, width=32, head_size=32)
    path = write_model(small, tmp_path / "m.pth")
    data = path.read_bytes()
    index = data.index(b"data.pkl") + 8
    places = [*range(index, index + 600, 7), *range(0, len(data), len(data) // 40)]
    for place in places:
        path.write_bytes(data[:place])
        with pytest.raises(KvasirError) as raised:
            load(path)
        assert "\n" not in str(raised.value)
        changed = bytearray(data)
        changed[place] ^= 0x5A
        path.write_bytes(changed)
        try:
            load(path)  # A changed weight is a weight.
        except KvasirError as error:
            assert "\n" not in str(error)


class Harmful:
    def __reduce__(self):
        return os.mkdir, ("harm-was-done",)


@pytest.mark.parametrize("kind", ["state", "adapter", "checkpoint"])
def test_a_pickled_program_in_any_file_is_not_run(kind, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / ("checkpoint.pt" if kind == "checkpoint" else "x.pth")
    path.write_bytes(pickle.dumps({"blocks.0.att.time_state": Harmful()}, protocol=2))
    if kind == "checkpoint":
        refused(ComponentError, "damaged: delete it", tune_small, tmp_path)
    elif kind == "state":
        refused(SettingsError, "could run programs", state_files.load_time_state, path, model)
    else:
        refused(SettingsError, "could run programs", adapter_files.load_adapter, path, model)
    assert not (tmp_path / "harm-was-done").exists()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_state_or_an_adapter_with_numbers_that_are_not_finite_is_refused(value, model, tmp_path):
    tensors = state_files.time_state(model.zero_state())
    tensors["blocks.1.att.time_state"][0, 3, 5] = value
    torch.save(tensors, tmp_path / "s.pth")
    told = r"not finite, in blocks\.1\.att\.time_state"
    refused(SettingsError, told, state_files.load_time_state, tmp_path / "s.pth", model)
    a, b = torch.zeros(4, 64), torch.zeros(64, 4)
    b[3, 1] = value
    key = "blocks.0.att.key"
    torch.save({f"{key}.lora_A": a, f"{key}.lora_B": b}, tmp_path / "a.pth")
    told = r"not finite, in blocks\.0\.att\.key\.lora_B"
    refused(SettingsError, told, adapter_files.load_adapter, tmp_path / "a.pth", model)


@pytest.mark.parametrize("note", ["{", "[]", "{}", '"x"', "\xff"])
def test_a_damaged_note_of_a_state_is_named(note, model, tmp_path):
    path = tmp_path / "s.pth"
    state_files.save_time_state(state_files.time_state(model.zero_state()), path, "this")
    (tmp_path / "s.pth.json").write_text(note, "latin-1")
    told = r"s\.pth\.json is damaged: delete it"
    refused(ComponentError, told, state_files.load_time_state, path, model, "this")


@pytest.mark.parametrize(
    ("tensors", "config", "told"),
    [
        ({"lora_A": (4, 64), "lora_B": (64, 3)}, {}, "no adapter: .* has matrices of"),
        ({"lora_A": (64,), "lora_B": (64, 4)}, {}, "no adapter: .* has matrices of"),
        ({"lora_A": (0, 64), "lora_B": (64, 0)}, {}, "no adapter: .* has matrices of"),
        ({"lora_A": (4, 32), "lora_B": (64, 4)}, {}, "an adapter of another model"),
        ({"lora_A": (4, 64)}, {}, "only one of its two"),
        (
            {"lora_A": (4, 64), "lora_B": (64, 4), "init_lora_A": (4, 64)},
            {},
            "only one matrix of its start",
        ),
        ({}, {"r": 0}, "lora_alpha and r are no numbers"),
        ({}, {"lora_alpha": "many"}, "lora_alpha and r are no numbers"),
        ({}, {"lora_alpha": None}, "lora_alpha and r are no numbers"),
        ({}, {"lora_alpha": math.inf}, "lora_alpha and r are no numbers"),
        ({}, {"alpha_pattern": {"key": 8}}, "alpha_pattern, which is not supported"),
        ({}, {"use_dora": True}, "use_dora, which is not supported"),
        ({}, {"lora_bias": True}, "lora_bias, which is not supported"),
        *(
            ({}, {"init_lora_weights": start}, "path_initial_model_for_weight_conversion")
            for start in ("pissa", "pissa_niter_16", "OLoRA", "corda", "loftq", "lora_ga")
        ),
        ({"lora_A": (4, 64), "lora_B.bias": (64,), "lora_B": (64, 4)}, {}, "it has .*bias"),
        ({}, [], "no configuration of an adapter"),
    ],
)
def test_an_adapter_of_other_shapes_or_scales_is_refused(tensors, config, told, model, tmp_path):
    chosen = tensors or {"lora_A": (4, 64), "lora_B": (64, 4)}
    made = {f"blocks.0.att.key.{name}": torch.zeros(shape) for name, shape in chosen.items()}
    torch.save(made, tmp_path / "a.pth")
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    refused(SettingsError, told, adapter_files.load_adapter, tmp_path / "a.pth", model)


@pytest.mark.parametrize("start", [True, "gaussian", "eva", "orthogonal"])
def test_an_adapter_whose_start_left_the_base_unchanged_is_read(start, model, tmp_path):
    made = {"lora_A": torch.ones(4, 64), "lora_B": torch.ones(64, 4)}
    torch.save({f"blocks.0.att.key.{k}": v for k, v in made.items()}, tmp_path / "a.pth")
    (tmp_path / "adapter_config.json").write_text(json.dumps({"init_lora_weights": start}))
    found = adapter_files.load_adapter(tmp_path / "a.pth", model)
    assert found.parts["blocks.0.att.key"].delta()[0, 0] == 4


def test_the_scale_of_rank_stabilized_lora_is_that_of_peft(model, tmp_path):
    made = {"lora_A": torch.zeros(4, 64), "lora_B": torch.zeros(64, 4)}
    torch.save({f"blocks.0.att.key.{k}": v for k, v in made.items()}, tmp_path / "a.pth")
    config = {"lora_alpha": 8, "r": 4, "use_rslora": True}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    found = adapter_files.load_adapter(tmp_path / "a.pth", model)
    assert found.parts["blocks.0.att.key"].scale == 4.0


VOCABULARY = [f"{byte + 1} {bytes([byte])!r} 1" for byte in range(256)]


@pytest.mark.parametrize(
    "line",
    [
        "257 5 1",
        "257 ['a', 'b'] 2",
        "257 '' 0",
        "257 'ab' 3",
        "-1 'ab' 2",
        "0 'ab' 2",
        "1 'ab' 2",
        "99999999999999 'ab' 2",
        "257 '\\ud800' 3",
        "257 'a', 'b' 1",
        "257 '" + "(" * 300 + " 300",
        "257 " + "(" * 300 + ")" * 300 + " 1",
        "257 " + "-" * 100_000 + "1 1",
        "257 'a\0b' 3",
        "x 'ab' 2",
    ],
)
def test_a_damaged_vocabulary_is_refused(line, tmp_path):
    path = tmp_path / "rwkv_vocab_x.txt"
    path.write_text("\n".join([*VOCABULARY, line]) + "\n", "utf-8")
    refused(SettingsError, "is no vocabulary of RWKV", tokenizer.WorldTokenizer, path)


def test_a_vocabulary_that_cannot_be_read_is_refused(tmp_path):
    (tmp_path / "rwkv_vocab_x.txt").symlink_to(tmp_path / "nowhere")
    told = r"rwkv_vocab_x\.txt cannot be read: No such file"
    refused(SettingsError, told, tokenizer.tokenizer_of, tmp_path / "m.pth")
    (tmp_path / "rwkv_vocab_x.txt").unlink()
    (tmp_path / "rwkv_vocab_x.txt").mkdir()
    told = r"rwkv_vocab_x\.txt cannot be read: Is a directory"
    refused(SettingsError, told, tokenizer.tokenizer_of, tmp_path / "m.pth")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"temperature": math.nan}, "temperature must be a number"),
        ({"temperature": math.inf}, "temperature must be a number"),
        ({"top_p": math.nan}, "top_p 0 to 1"),
        ({"presence_penalty": math.nan}, "presence_penalty and frequency_penalty"),
        ({"frequency_penalty": -1e308}, "presence_penalty and frequency_penalty"),
        ({"penalty_decay": 1.5}, "penalty_decay"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"context_window": 0}, "at least 1"),
        ({"cache_mb": -1}, "cache_mb must be at least 0"),
        ({"parallel": -3}, "at least 1"),
        ({"threads": 0}, "has no option 'threads'"),
        ({"top_k": 10**9}, "has no option 'top_k'"),
    ],
)
def test_unusable_settings_of_the_generator_are_refused(options, told, tmp_path):
    named = {"model": str(tmp_path / "m.pth")} | options
    data = {"data_dir": tmp_path}
    refused(SettingsError, told, registry.build, "generators", "rwkv", named, data)


@pytest.mark.parametrize("device", ["meta", "toaster", "", "cuda:", "cpu:7:7", "mps", "cpu\n"])
def test_an_unusable_device_is_refused(device, model, tmp_path):
    byte_tokenizer(tmp_path)
    options = {"name": str(write_model(model, tmp_path / "m.pth")), "device": device}
    refused(SettingsError, "set device to cpu", registry.build, "embedders", "rwkv", options)


def test_limits_of_no_token_are_refused(model, tmp_path):
    byte_tokenizer(tmp_path)
    named = {"name": str(write_model(model, tmp_path / "m.pth")), "max_tokens": 0}
    refused(SettingsError, "max_tokens must be", registry.build, "embedders", "rwkv", named)
    named["without_proof"] = True
    refused(SettingsError, "max_tokens must be", registry.build, "rerankers", "rwkv", named)


@pytest.mark.parametrize("temperature", [1e9, 1e-320])
def test_extreme_temperatures_draw_a_token(temperature):
    chosen = sampling.Sampling(temperature=temperature, presence_penalty=1000, seed=1)
    logits = torch.randn(1000).numpy()
    drawn = [sampling.Sampler(chosen).choose(logits) for _ in range(5)]
    assert all(0 <= token < 1000 for token in drawn)
    assert (drawn[0] == logits.argmax()) == (temperature < 1)


@pytest.fixture
def generator_of(tmp_path):
    """Makes generators with a model of the bytes; closes them."""
    byte_tokenizer(tmp_path)
    made = []

    def make(model, **options):
        path = write_model(model, tmp_path / f"m{len(made)}.pth")
        given = {"model": str(path), "max_tokens": 12} | options
        made.append(registry.build("generators", "rwkv", given, {"data_dir": tmp_path / "data"}))
        return made[-1]

    yield make
    for each in made:
        each.close()


def asked(question, *passages):
    hits = []
    for number, text in enumerate(passages):
        document = document_id(f"/{number}.md")
        chunk = Chunk(chunk_id(document, text, 0, len(text)), document, text, 0, len(text))
        hits.append(Hit(chunk, 0.9, 0.9, None))
    return Prompt(question, tuple(hits), (Message("user", question),))


def test_a_model_whose_numbers_are_not_finite_says_so(generator_of):
    broken = make_model()
    broken.head.weight[200, 3] = math.nan
    told = "not finite: its file is damaged"
    refused(ComponentError, told, list, generator_of(broken).generate(asked("What?")))


@pytest.mark.parametrize("stop", [[""], ["", "x" * 5000], "\ud800", ["\0"]])
def test_stop_strings_of_any_kind_end_no_answer_too_early(stop, generator_of, model):
    expected = "".join(generator_of(model, stop=[]).generate(asked("What?")))
    found = "".join(generator_of(model, stop=stop).generate(asked("What?")))
    assert found == expected


def test_surrogates_and_bytes_that_are_no_text_do_no_harm(generator_of, model):
    """A model of random weights writes bytes of no UTF-8."""
    prompt = asked("a\ud800b \udfff?", "c", "\0\x1b[31m")
    for reading in ("prefix", "rows", "composed"):
        text = "".join(generator_of(model, reading=reading, max_tokens=200).generate(prompt))
        text.encode("utf-8")


def test_a_template_that_begins_with_the_passages_is_read(generator_of, model):
    template = "{{context}}\n\nUser: {{question}}\n\nAssistant:"
    prompt = asked("What?", "one", "two")
    for reading in ("prefix", "rows", "composed"):
        made = generator_of(model, reading=reading, template=template)
        assert len({"".join(made.generate(prompt)) for _ in range(2)}) == 1


def key_of(number):
    return state_cache.prefix_keys("model", [[number]])[0]


@pytest.fixture(scope="module")
def state(model):
    with torch.inference_mode():
        return model(torch.tensor([random_tokens(20, 257)]))[1]


def test_an_answer_is_written_though_its_states_cannot_be_kept(
    generator_of, model, tmp_path, caplog
):
    folder = tmp_path / "data" / "rwkv-states"
    expected = "".join(generator_of(model, cache_mb=0).generate(asked("What?", "one", "two")))
    folder.parent.mkdir()
    folder.write_text("a file of somebody")
    made = generator_of(model)
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            assert "".join(made.generate(asked("What?", "one", "two"))) == expected
    assert folder.read_text() == "a file of somebody"
    (record,) = [each for each in caplog.records if "not kept" in each.message]
    assert "rwkv-states" in record.message


def test_a_full_disk_leaves_no_part_of_a_state(tmp_path, state, caplog):
    cache = state_cache.StateCache(tmp_path / "states", 1 << 30)
    cache.put(key_of(1), state)
    size = cache.used
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, before[1]))
    try:
        cache.put(key_of(2), state)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert "not kept" in caplog.text
    assert [path.is_file() for path in (tmp_path / "states").rglob("*.*")] == [True]
    cache.put(key_of(2), state)
    assert cache.get(key_of(2)) is not None


def test_a_budget_below_one_state_is_said_once(tmp_path, state, caplog):
    cache = state_cache.StateCache(tmp_path, 1000)
    for number in range(3):
        cache.put(key_of(number), state)
    assert caplog.text.count("more than cache_mb allows") == 1
    assert not list(tmp_path.iterdir())


def test_what_stands_in_the_place_of_a_state_is_a_miss(tmp_path, state):
    cache = state_cache.StateCache(tmp_path, 1 << 30)
    path = cache._path(key_of(1))
    path.mkdir(parents=True)
    (path / "mine.txt").write_text("mine")
    assert cache.get(key_of(1)) is None
    cache.put(key_of(1), state)
    assert (path / "mine.txt").read_text() == "mine"


def test_what_a_killed_process_left_is_counted_and_deleted_and_nothing_else(tmp_path, state):
    cache = state_cache.StateCache(tmp_path, 1 << 30)
    cache.put(key_of(1), state)
    size = cache.used
    left = cache._path(key_of(1)).with_name("tmp123.partial")
    left.write_bytes(bytes(size))
    os.utime(left, (1, 1))
    mine = left.with_name("notes.txt")
    mine.write_text("mine")
    os.utime(mine, (1, 1))
    small = state_cache.StateCache(tmp_path, 2 * size + size // 2)
    small.put(key_of(2), state)
    assert not left.exists()
    assert mine.read_text() == "mine"
    assert all(small.get(key_of(number)) is not None for number in (1, 2))


def write_lines(path, lines):
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


LINE = b'{"text": "User: a\\n\\nAssistant: b"}'


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + LINE + b"\n" + LINE,
        LINE + b"\r\n" + LINE + b"\r\n",
        b"\n \n" + LINE + b"\n" + LINE,
    ],
)
def test_byte_order_marks_and_ends_of_lines_of_other_systems_are_read(content, tmp_path):
    (tmp_path / "a.jsonl").write_bytes(content)
    assert list(binidx.read_texts([tmp_path / "a.jsonl"])) == ["User: a\n\nAssistant: b"] * 2


@pytest.mark.parametrize(
    "line",
    [
        b'{"text": "\xff\xfe"}',
        b"[" * 100_000,
        b'{"txt": "a"}',
        LINE.decode().encode("utf-16"),
        b"\0",
        b'{"text": 1e999}',
    ],
)
def test_lines_that_hold_no_text_are_named(line, tmp_path):
    source = write_lines(tmp_path / "a.jsonl", [LINE, line])
    told = r"a\.jsonl:2 is not of the form"
    refused(RequestError, told, binidx.prepare, [source], tmp_path / "data")
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def test_a_line_of_many_megabytes_is_refused_before_it_is_read(tmp_path):
    source = tmp_path / "a.jsonl"
    with source.open("wb") as stream:
        stream.write(LINE + b"\n" + b'{"text": "')
        stream.truncate(100 << 20)
    told = r"a\.jsonl:2 has more than 16 MB: split the text"
    refused(RequestError, told, binidx.prepare, [source], tmp_path / "data")


def test_files_without_a_line_make_no_data(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b"\n")
    told = "there is no text"
    refused(RequestError, told, binidx.prepare, [tmp_path / "a.jsonl"], tmp_path / "data")
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


def test_prepared_data_with_dots_in_their_names_stay_apart(tmp_path):
    for number in (1, 2):
        source = write_lines(tmp_path / f"{number}.jsonl", [LINE] * number)
        prepare_data([source], tmp_path / f"data.v{number}")
    counts = [len(binidx.Documents(tmp_path / f"data.v{number}")) for number in (1, 2)]
    assert counts == [1, 2]
    assert len(binidx.Documents(tmp_path / "data.v1.bin")) == 1


@pytest.mark.parametrize(
    "header",
    [
        struct.pack("<9sQBQQ", b"MMIDIDX\0\0", 1, 8, (1 << 64) - 2, (1 << 64) - 1),
        struct.pack("<9sQBQQ", b"MMIDIDX\0\0", 1, 8, 1, 2) + struct.pack("<iqqq", -5, 0, 0, 1),
        struct.pack("<9sQBQQ", b"MMIDIDX\0\0", 1, 8, 1, 2) + struct.pack("<iqqq", 1, -2, 0, 1),
        struct.pack("<9sQBQQ", b"MMIDIDX\0\0", 1, 8, 2, 3)
        + struct.pack("<iiqqqqq", 999, 1, 0, 0, 0, 1, 2),
    ],
)
def test_an_index_that_lies_is_damaged(header, tmp_path):
    (tmp_path / "data.idx").write_bytes(header)
    (tmp_path / "data.bin").write_bytes(bytes(20))
    refused(ComponentError, "reading training data", binidx.Documents, tmp_path / "data")


def test_a_killed_process_of_a_preparation_is_reported(tmp_path, monkeypatch):
    source = write_lines(tmp_path / "a.jsonl", [LINE] * 3000)
    ending = threading.Event()

    def kill():
        while not ending.wait(0.01):
            for child in multiprocessing.active_children():
                child.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        told = "use fewer processes"
        refused(ComponentError, told, binidx.prepare, [source], tmp_path / "data", processes=2)
    finally:
        ending.set()
        killer.join()
    assert [path.name for path in tmp_path.iterdir()] == ["a.jsonl"]


INTERRUPTED = """
import os, signal, sys, threading
from pathlib import Path
from kvasir.core.errors import StoppedError
from kvasir.core.run import Run, StopToken
from kvasir.tuning import prepare_data

stop = StopToken()
signal.signal(signal.SIGINT, lambda *_: stop.set())
if __name__ == "__main__":
    for delay in (0.2, 1.0):
        threading.Timer(delay, os.killpg, (0, signal.SIGINT)).start()
    try:
        prepare_data([Path("a.jsonl")], Path("data"), processes=2, run=Run(stop))
    except StoppedError:
        print("stopped")
"""


def test_ctrl_c_while_processes_start_leaves_no_traceback_and_no_file(tmp_path):
    write_lines(tmp_path / "a.jsonl", [LINE] * 200_000)
    (tmp_path / "main.py").write_text(INTERRUPTED)
    done = subprocess.run(
        [sys.executable, "main.py"], cwd=tmp_path, capture_output=True, text=True, timeout=100,
        start_new_session=True, check=False, env=environment(),
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("stopped\n", "")
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == [".data.lock", "a.jsonl", "main.py"]


@pytest.mark.parametrize(
    "changed",
    [
        {"learning_rate": math.nan},
        {"learning_rate": -1.0},
        {"learning_rate": 1e300},
        {"alpha": math.inf},
        {"alpha": 0.0},
        {"micro_batch": 10**12},
        {"batch": 10**12},
        {"rank": 10**9},
        {"steps": 10**400},
        {"evaluate_every": 10**400},
        {"patience": -1},
        {"warmup": -1},
        {"seed": -1},
        {"seed": 1 << 64},
        {"final_rate": 2.0},
        {"held_out": math.nan},
        {"pack": 10**9},
    ],
)
def test_options_of_tuning_beyond_all_measure_are_refused(changed):
    refused(SettingsError, next(iter(changed)), tune_options.TuneOptions, "lora", **changed)


def tune_small(folder, kind="state", data=None, **options):
    """Tunes a small base for a few steps; returns the report."""
    byte_tokenizer(folder)
    model = write_model(make_model(), folder / "m.pth")
    if data is None:
        lines = [f"User: tea {n}?\n\nAssistant: {n % 7} minutes" for n in range(24)]
        data = write_lines(folder / "tea.jsonl", [json.dumps({"text": x}).encode() for x in lines])
    chosen = {"steps": 4, "batch": 4, "evaluate_every": 2, "rank": 2} | options
    return kvasir_tune(kind, str(model), data, folder, data_dir=folder, options=chosen)


def test_a_loss_that_is_no_number_ends_a_run_and_keeps_the_best(tmp_path):
    library("peft", extra="torch")
    refused(
        ComponentError, "use a lower learning rate", tune_small, tmp_path,
        learning_rate=1000.0, steps=400, warmup=1, patience=0, kind="lora", alpha=60_000.0,
    )  # fmt: skip
    model = make_model()
    assert adapter_files.load_adapter(tmp_path / "adapter", model).parts
    lines = (tmp_path / "metrics.jsonl").read_text()
    assert "NaN" not in lines
    assert "Infinity" not in lines


def test_a_base_that_is_broken_is_not_tuned(tmp_path):
    library("peft", extra="torch")
    byte_tokenizer(tmp_path)
    broken = make_model()
    broken.head.weight[:, 3] = math.nan
    data = write_lines(tmp_path / "tea.jsonl", [LINE, LINE.replace(b"a", b"c")])
    told = "the loss after 0 steps is no finite number: check the base"
    refused(
        ComponentError, told, kvasir_tune, "state", str(write_model(broken, tmp_path / "b.pth")),
        data, tmp_path / "run", data_dir=tmp_path, options={"held_out": 0.5},
    )  # fmt: skip
    assert not (tmp_path / "run" / "state.pth").exists()


def test_another_text_of_the_same_number_of_examples_is_another_run(tmp_path):
    library("peft", extra="torch")
    tune_small(tmp_path)
    before = (tmp_path / "state.pth").read_bytes()
    lines = [f"User: beer {n}?\n\nAssistant: {n % 7} minutes" for n in range(24)]
    data = write_lines(tmp_path / "b.jsonl", [json.dumps({"text": x}).encode() for x in lines])
    refused(SettingsError, "choose another folder", tune_small, tmp_path, data=data)
    assert (tmp_path / "state.pth").read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"x" * 100, None])
def test_a_damaged_checkpoint_is_named(content, tmp_path):
    library("peft", extra="torch")
    tune_small(tmp_path)
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:-300] if content is None else content)
    refused(ComponentError, r"checkpoint\.pt is damaged: delete it", tune_small, tmp_path)
    path.unlink()
    assert tune_small(tmp_path).steps == 4


def test_lines_of_metrics_that_are_none_are_left_out(tmp_path):
    library("peft", extra="torch")
    tune_small(tmp_path)
    with (tmp_path / "metrics.jsonl").open("ab") as stream:
        stream.write(b"[1]\n\xff\n")
    assert tune_small(tmp_path).steps == 4


def test_a_folder_has_one_run_at_a_time(tmp_path):
    library("peft", extra="torch")
    with work_folder(tmp_path):
        refused(ConflictError, "another process works in", tune_small, tmp_path)


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_read(tmp_path):
    library("peft", extra="torch")
    (tmp_path / "taken").write_text("mine")
    for folder in (tmp_path / "taken", tmp_path / "taken" / "run"):
        refused(
            StorageError, "nothing can be written in", kvasir_tune, "state",
            str(write_model(make_model(), tmp_path / "m.pth")), Path("none.jsonl"), folder,
            data_dir=tmp_path,
        )  # fmt: skip
    assert (tmp_path / "taken").read_text() == "mine"


def test_a_disk_that_fills_up_leaves_the_files_as_they_were(model, tmp_path):
    tensors = state_files.time_state(model.zero_state())
    state_files.save_time_state(tensors, tmp_path / "s.pth", "this")
    before = (tmp_path / "s.pth").read_bytes()
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, limit[1]))
    try:
        told = r"s\.pth' cannot be written: File too large"
        refused(StorageError, told, state_files.save_time_state, tensors, tmp_path / "s.pth")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    assert (tmp_path / "s.pth").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s.pth", "s.pth.json"]


@pytest.mark.parametrize(
    "name", ["x" * 5000, "../../x", "; rm -rf /", "a\0", "", None, ["a"], "a\n", "\ud800", ".", "/"]
)
def test_jobs_name_files_of_the_folder_and_nothing_else(name, tmp_path):
    made = tuning_runners.StateTuning(tmp_path)
    (tmp_path / "tuning").mkdir()
    (tmp_path / "tuning" / "base.pth").write_bytes(b"")
    for key in ("base", "data"):
        told = f"{key} must be the name of a file"
        given = {"base": "base.pth", "data": "base.pth"} | {key: name}
        refused(RequestError, told, made.check, given)
    told = "name must be the name of a file"
    given = {"files": ["base.pth"], "name": name or ""}
    refused(RequestError, told, tuning_runners.JsonlPreparation(tmp_path).check, given)


def test_a_name_too_long_for_any_file_is_the_name_of_no_model(tmp_path):
    for name in ("x" * 300, "a/" + "b" * 300):
        refused(
            RequestError,
            "is the name of no file",
            language_models._found,
            tmp_path,
            tmp_path,
            name,
            "base",
        )


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"steps": {}}', '{"identity": 1, "steps": {}}', ""]
)
def test_a_damaged_record_of_a_round_is_named(content, tmp_path):
    library("peft", extra="torch")
    record = tmp_path / "rounds" / "0001" / "record.json"
    record.parent.mkdir(parents=True)
    (tmp_path / "rounds" / "1 of somebody").mkdir()
    assert tuning_loop._round(tmp_path) == (1, record.parent)
    record.write_text(content)
    told = r"record\.json is damaged: delete its folder"
    refused(ComponentError, told, tuning_loop._round, tmp_path)
    refused(ComponentError, told, tuning_loop._Record, record.parent, {}, goes_on=True)


def test_a_damaged_line_of_judgements_is_named(tmp_path):
    path = tmp_path / "base.jsonl"
    path.write_bytes(b'{"id": "1", "satisfying": true}\n\x00\x00\xff\n{"id": "2"')
    refused(ComponentError, "base.jsonl is damaged", tuning_loop._read_lines, path)
    path.write_text('{"id": "1", "satisfying": true}\n{"id": "2"')
    assert tuning_loop._read_lines(path) == {"1": True}


def test_a_round_that_ended_before_its_record_was_written_goes_on(tmp_path):
    number, folder = tuning_loop._round(tmp_path)
    folder.mkdir(parents=True)
    assert tuning_loop._round(tmp_path) == (number, folder)
    tuning_loop._Record(folder, {"base": "b"}, goes_on=False).add("start", {})
    assert tuning_loop._Record(folder, {"base": "b"}, goes_on=True).get("start")


def test_a_runner_tunes_on_the_device_of_its_options(tmp_path, monkeypatch):
    (tmp_path / "tuning").mkdir()
    for name in ("base.pth", "data.jsonl"):
        (tmp_path / "tuning" / name).write_bytes(b"{}")
    given, seen = {"base": "base.pth", "data": "data.jsonl"}, []

    def record(*_, device, **__):
        seen.append(device)
        raise StorageError("enough")

    made = registry.build("tuners", "lora", {"device": "cuda:7"}, {"data_dir": tmp_path})
    with monkeypatch.context() as patched:
        for name in ("tune", "memory_for_tuning"):
            patched.setattr(tuning_runners, name, record)
        refused(StorageError, "enough", made.memory, given)
        refused(StorageError, "enough", made.run, given, tmp_path, Run(), print)
    assert seen == ["cuda:7", "cuda:7"]
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    told = "no CUDA device is usable here; set device to cpu"
    refused(SettingsError, told, made.memory, given)
