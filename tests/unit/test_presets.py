"""Presets are complete settings, and hold what the proposal says."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from kvasir.app import App
from kvasir.core.errors import SettingsError
from kvasir.settings.loading import keys, load_settings
from kvasir.settings.presets import PRESETS, preset, render_preset
from kvasir.settings.schema import Settings

FOLDER = Path(__file__).parents[2] / "presets"

PROPOSED = {
    "rag.splitter.split_by": "word",
    "rag.splitter.split_length": 200,
    "rag.splitter.split_overlap": 0,
    "rag.splitter.split_threshold": 0,
    "rag.vectordb.type": "milvuslite",
    "rag.vectordb.uri": "./rag-output.db",
    "rag.vectordb.token": None,
    "rag.vectordb.username": None,
    "rag.vectordb.password": None,
    "rag.embedding_model.name": "sentence-transformers/all-minilm-l6-v2",
    "rag.embedding_model.token": None,
    "chat.rag.enabled": False,
    "chat.rag.context_refinement.enabled": False,
    "chat.rag.retriever.top_k": 10,
    "chat.rag.retriever.min_score_threshold": 0.5,
    "chat.rag.retriever.filters": None,
}
"""Both tables of the proposal, but for the prompts."""


def value(settings: Settings, key: str) -> Any:
    found: Any = settings
    for part in key.split("."):
        found = getattr(found, part)
    return found


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_the_file_of_a_preset_is_what_the_script_writes(name: str) -> None:
    written = (FOLDER / f"{name}.yaml").read_text("utf-8")
    assert written == render_preset(name), "run scripts/write_presets.py"


def test_every_file_is_a_preset() -> None:
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(PRESETS)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_a_preset_is_complete_and_its_components_are_there(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # The file that a preset may name.
    Path("passwords.json").write_text("{}")
    Path("passwords.json").chmod(0o600)
    tree = yaml.safe_load(render_preset(name))
    for key in keys():
        section = tree
        for part in key.split("."):
            assert part in section, key
            section = section[part]
    with App(load_settings(FOLDER / f"{name}.yaml", {}, {})) as app:
        app.check_components()


def test_the_default_preset_changes_nothing() -> None:
    settings = load_settings(FOLDER / "default.yaml", {}, {})
    assert settings.rag.splitter.chosen == Settings().rag.splitter.chosen
    dumped = settings.model_dump()
    dumped["rag"]["splitter"]["type"] = None
    assert Settings.model_validate(dumped) == Settings()


@pytest.mark.parametrize(("key", "expected"), PROPOSED.items())
def test_the_instructlab_preset_has_the_defaults_of_the_proposal(key: str, expected: Any) -> None:
    assert value(load_settings(FOLDER / "instructlab.yaml", {}, {}), key) == expected


def test_the_instructlab_preset_has_the_prompts_of_the_proposal() -> None:
    rag = load_settings(FOLDER / "instructlab.yaml", {}, {}).chat.rag
    assert rag.prompt == (
        "Given the following information, answer the question.\n"
        "Context:\n{{context}}\nQuestion: {{question}}\nAnswer:\n"
    )
    lines = rag.context_refinement.prompt.splitlines()
    assert lines[0] == (
        "You are an assistant helping refine user queries for retrieval from a vector database."
    )
    assert lines[-3:] == ["User query:", "{{user_query}}", "Refined query:"]
    assert len(lines) == 9


def test_the_yaml_documents_of_the_proposal_are_settings() -> None:
    ingest = """
        rag:
          splitter: {split_by: word, split_length: 200, split_overlap: 0, split_threshold: 0}
          vectordb:
            type: milvuslite
            uri: ./rag-output.db
            token: _DB_TOKEN_
            username: _DB_USERNAME_
            password: _DB_PASSWORD_
          embedding_model:
            name: sentence-transformers/all-MiniLM-L6-v2
            token: _MODEL_TOKEN_
        chat:
          rag:
            enabled: false
            context_refinement: {enabled: true, prompt: "Refine: {{user_query}}"}
            retriever: {top_k: 10, min_score_threshold: 0.5, filters: 'url=doc.pdf'}
            prompt: "{{context}} {{question}}"
    """
    settings = load_settings(yaml.safe_load(ingest), {}, {})
    assert settings.rag.splitter.chosen == "window"
    assert settings.chat.rag.retriever.filters == "url=doc.pdf"


def test_a_unit_on_the_command_line_stands_over_the_splitter_of_the_file() -> None:
    settings = load_settings(FOLDER / "default.yaml", {"rag.splitter.split_length": 7}, {})
    assert settings.rag.splitter.chosen == "window"
    assert settings.rag.splitter.arguments["split_length"] == 7
    environment = {"KVASIR__RAG__SPLITTER__SPLIT_BY": "line"}
    assert load_settings(FOLDER / "default.yaml", {}, environment).rag.splitter.chosen == "window"


def test_an_unknown_preset_is_named_with_the_nearest_known_one() -> None:
    with pytest.raises(SettingsError, match=r"did you mean 'instructlab'\?"):
        preset("instruct-lab")
