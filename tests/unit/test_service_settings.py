"""Sections llm, index and tuning: what they mean for the starter, its workers and all others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kvasir.core.errors import SettingsError
from kvasir.frontends.services.plans import make_plan
from kvasir.settings.loading import derive_settings, load_settings
from kvasir.settings.presets import preset
from kvasir.settings.running_services import StarterRecord, read_record, write_record
from kvasir.settings.serving import shares_index, worker_settings


def load(tmp_path, **sections):
    return load_settings({"data_dir": str(tmp_path / "data"), **sections}, {}, {})


def types(settings):
    rag = settings.rag
    reranker = settings.chat.rag.retriever.reranker.type
    return rag.embedding_model.type, reranker, settings.generator.type, rag.vectordb.type


def test_a_section_has_components_served_and_a_type_that_is_given_wins(tmp_path):
    assert types(load(tmp_path)) == ("openvino", None, "extractive", "qdrant")
    assert types(load(tmp_path, tuning={})) == ("remote", None, "remote", "remote")
    assert types(load(tmp_path, llm={"enabled": False})) == (
        "openvino",
        None,
        "extractive",
        "remote",
    )
    own = load(tmp_path, index={}, llm={"rerank_path": "r"}, generator={"type": "ollama"})
    assert types(own) == ("remote", "remote", "ollama", "remote")
    assert own.store_uri == "tcp://127.0.0.1:7783"
    assert own.store_options == {"keys": str(tmp_path / "data" / "services" / "keys")}
    again = derive_settings(own, {"rag.vectordb.type": "qdrant", "rag.vectordb.uri": "./x"})
    assert types(again) == ("remote", "remote", "ollama", "qdrant")
    assert again.store_options == {}


def test_later_names_are_read_and_two_names_of_one_key_refused(tmp_path):
    settings = load(
        tmp_path,
        llm={"base_model_path": "m.gguf", "embedding_path": "./e", "reranker_path": "./r"},
        index={"chroma_path": "./c", "service_module": "x", "spawn_method": "fork"},
    )
    assert settings.llm is not None
    assert settings.index is not None
    assert (settings.llm.base_model_file, settings.llm.bgem3_path) == ("m.gguf", "./e")
    assert (settings.llm.rerank_path, settings.index.chroma_db_path) == ("./r", "./c")
    with pytest.raises(SettingsError, match=r"'llm.bgem_path' \(did you mean 'llm.bgem3_path'\?\)"):
        load(tmp_path, llm={"bgem_path": "a"})
    with pytest.raises(SettingsError, match="two names of one key"):
        load(tmp_path, llm={"bgem3_path": "a", "embedding_path": "b"})


@pytest.mark.parametrize("number", [0, -1, 257, True, 1.5, "two", {"min": 2, "max": 1}, {"low": 1}])
def test_a_number_of_workers_that_cannot_be_is_one_sentence(tmp_path, number):
    with pytest.raises(SettingsError) as raised:
        load(tmp_path, llm={"num_workers": number})
    assert str(raised.value).startswith(
        "setting 'llm.num_workers': must be a number of workers, or {min: ..., max: ...}"
    )
    assert "\n" not in str(raised.value)


def test_ends_have_the_ports_of_the_document_and_any_host(tmp_path):
    settings = load(tmp_path, llm={"front_end": {"host": "0.0.0.0"}}, index={})
    assert settings.llm is not None
    assert settings.llm.front_end.bound(tmp_path) == "tcp://0.0.0.0:7781"
    assert settings.reach("llm")["address"] == "tcp://127.0.0.1:7781"
    sockets = {"protocol": "ipc", "host": "./run/front"}
    local = load(tmp_path, llm={"front_end": sockets, "back_end": {"protocol": "ipc", "host": "b"}})
    address = f"ipc://{tmp_path / 'run' / 'front'}"
    assert local.reach("llm") == {"address": address, "keys": ""}


def test_a_worker_of_llm_has_the_models_that_the_section_names(tmp_path):
    model = tmp_path / "bge"
    model.mkdir()
    (model / "config.json").write_text("{}")
    (tmp_path / "m.gguf").touch()
    llm = {"bgem3_path": "./bge", "rerank_path": "BAAI/bge", "base_model_file": "m.gguf"}
    own = worker_settings(load(tmp_path, llm=llm), "llm")
    assert types(own)[:3] == ("openvino", "openvino", "llama")
    assert own.rag.embedding_model.name == str(model)
    assert own.chat.rag.retriever.reranker.name == "BAAI/bge"
    assert own.generator.model == str(tmp_path / "m.gguf")
    cuda = worker_settings(load(tmp_path, llm=llm | {"device": "cuda:0"}), "llm")
    assert types(cuda)[:3] == ("sentence-transformers", "cross-encoder", "llama")
    assert cuda.rag.embedding_model.options == {"device": "cuda:0"}
    plain = worker_settings(load(tmp_path, llm={}), "llm")
    assert types(plain)[:3] == ("openvino", None, "extractive")
    (tmp_path / "rwkv.pth").touch()
    llm = {"base_model_file": "./rwkv.pth", "state_path": "BlinkDL/states/tea.pth"}
    rwkv = worker_settings(load(tmp_path, llm=llm | {"device": "cpu"}), "llm").generator
    assert (rwkv.type, rwkv.model) == ("rwkv", str(tmp_path / "rwkv.pth"))
    assert rwkv.options == {"state": "BlinkDL/states/tea.pth", "device": "cpu"}
    with pytest.raises(SettingsError, match="a component that the service has itself"):
        worker_settings(load(tmp_path, llm={"embedding_model": {"type": "remote"}}), "llm")


def test_a_worker_of_index_has_chroma_and_asks_llm(tmp_path):
    folder = load(tmp_path, index={"chroma_db_path": "./chroma", "sqlite_db_path": "./files.db"})
    own = worker_settings(folder, "index")
    assert types(own) == ("remote", None, "remote", "chroma")
    assert own.store_uri == str(tmp_path / "chroma")
    assert own.catalog_url == f"sqlite:///{tmp_path / 'files.db'}" == folder.catalog_url
    assert not shares_index(folder)
    server = load(tmp_path, index={"chroma_host": "0.0.0.0", "chroma_port": 9000})
    assert worker_settings(server, "index").store_uri == "http://127.0.0.1:9000"
    assert shares_index(server)
    far = load(tmp_path, index={"llm_front_end_url": "tcp://other:7781"})
    embedder = worker_settings(far, "index").rag.embedding_model
    assert embedder.options["address"] == "tcp://other:7781"
    assert embedder.options["keys"].endswith("services/keys")


def test_the_plan_has_every_service_unless_it_is_off(tmp_path):
    plan = make_plan(load(tmp_path), [])
    assert [each.name for each in plan.brokers] == ["llm", "index", "tuning"]
    assert [each.name for each in plan.groups] == ["llm", "index", "j2b", "ft"]
    ports = [address.rpartition(":")[2] for each in plan.brokers for address in each.front_ends]
    assert ports == ["7781", "7783", "7787"]
    assert plan.servers == ()
    off = make_plan(
        load(tmp_path, index={"enabled": False}, tuning={"j2b": {"enabled": False}}), []
    )
    assert [each.name for each in off.groups] == ["llm", "ft"]
    assert off.notes == ("index is off",)


def test_the_starter_runs_chroma_on_this_machine_alone(tmp_path):
    here = make_plan(load(tmp_path, index={"chroma_port": 9000, "num_workers": 4}), [])
    (server,) = here.servers
    assert server.address == "http://127.0.0.1:9000"
    assert server.command[-4:] == ("--host", "127.0.0.1", "--port", "9000")
    assert here.groups[1].workers.max == 4
    far = make_plan(load(tmp_path, index={"chroma_host": "db.example", "chroma_port": 9000}), [])
    assert far.servers == ()
    assert far.notes == (
        "Chroma at http://db.example:9000 is not started here: it is none of this machine's own",
    )
    alone = make_plan(load(tmp_path, index={"num_workers": 4}), [])
    assert alone.groups[1].workers.max == 1
    assert alone.notes[0].startswith("index has one worker")


def test_j2b_and_ft_have_ends_of_their_own_if_they_name_some(tmp_path):
    own = {"front_end": {"port": 7001}, "back_end": {"port": 7002}}
    plan = make_plan(load(tmp_path, tuning={"ft": own | {"num_workers": 2}}), [])
    broker = plan.brokers[2]
    assert broker.front_ends == ("tcp://127.0.0.1:7787", "tcp://127.0.0.1:7001")
    assert broker.back_ends == ("tcp://127.0.0.1:7788", "tcp://127.0.0.1:7002")
    assert [group.workers.max for group in plan.groups[2:]] == [1, 2]


def changed(tmp_path, before, after):
    """The names of the services that a change starts again."""
    one, two = (make_plan(load(tmp_path, **sections), []) for sections in (before, after))
    return [a.name for a, b in zip(one.groups, two.groups, strict=True) if a.key != b.key]


def test_a_change_concerns_the_services_that_read_it(tmp_path):
    base = {"llm": {}, "index": {}}
    assert changed(tmp_path, base, base | {"llm": {"bgem3_path": "x"}}) == ["llm"]
    assert changed(tmp_path, base, base | {"llm": {"num_workers": 2}}) == []
    assert changed(tmp_path, base, base | {"index": {"sqlite_db_path": "./f.db"}}) == ["index"]
    assert changed(tmp_path, base, base | {"rag": {"splitter": {"split_length": 9}}}) == ["index"]
    moved = {"llm": {"front_end": {"port": 7001}}, "index": {}}
    assert changed(tmp_path, base, moved) == ["llm", "index"]
    assert changed(tmp_path, base, base | {"ui": {"port": 1}}) == []
    runner = {"runners": {"mine": {"type": "a:B"}}}
    assert changed(tmp_path, base, base | {"tuning": {"ft": runner}}) == ["ft"]


def test_commands_without_a_settings_file_use_that_of_the_running_services(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "ragq.yml"
    file.write_text("index: {front_end: {port: 7001}}\n")
    kept = tmp_path / "kvasir-data"
    write_record(kept, StarterRecord(os.getpid(), "tcp://127.0.0.1:1", str(file)))
    found = load_settings(environment={})
    assert found.store_uri == "tcp://127.0.0.1:7001"
    assert found.data_folder == kept
    elsewhere = load_settings(environment={}, overrides={"data_dir": str(tmp_path / "other")})
    assert elsewhere.rag.vectordb.type == "qdrant"
    # A settings file of the folder comes first.
    (tmp_path / "kvasir.yaml").write_text("collection: mine\n")
    assert load_settings(environment={}).rag.vectordb.type == "qdrant"
    (tmp_path / "kvasir.yaml").unlink()
    # The process has ended.
    write_record(kept, StarterRecord(2**22 + 1, "tcp://127.0.0.1:1", str(file)))
    assert read_record(kept) is None
    assert load_settings(environment={}).rag.vectordb.type == "qdrant"


def test_the_preset_has_the_keys_of_the_document():
    settings = load_settings({}, preset("aiirwkv"), {})
    assert types(settings) == ("remote", None, "remote", "remote")
    for section, keys in {
        "llm": "base_model_file bgem3_path rerank_path state_path device",
        "index": "chroma_db_path chroma_port chroma_host sqlite_db_path llm_front_end_url",
    }.items():
        fields = type(getattr(settings, section)).model_fields
        assert set(keys.split()) <= set(fields)
        assert {"enabled", "front_end", "back_end", "num_workers"} <= set(fields)
    assert Path(__file__).parents[2].joinpath("presets", "aiirwkv.yaml").is_file()
