"""One tree from file, environment and command line; mistakes are named."""

from itertools import product
from operator import attrgetter
from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from kvasir.core.errors import SettingsError
from kvasir.settings.loading import keys, load_settings, parse_assignment
from kvasir.settings.presets import template
from kvasir.settings.schema import Settings


def write(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / "kvasir.yaml"
    path.write_text(text, "utf-8")
    return path


def test_environment_stands_over_the_file_and_the_command_line_over_both(tmp_path: Path) -> None:
    path = write(tmp_path, "rag:\n  vectordb: {uri: from-file, type: from-file, username: file}\n")
    environment = {"KVASIR__RAG__VECTORDB__URI": "env", "KVASIR__RAG__VECTORDB__TYPE": "env"}
    settings = load_settings(path, {"rag.vectordb.type": "line"}, environment)
    chosen = settings.rag.vectordb
    assert (chosen.type, chosen.uri, chosen.username) == ("line", "env", "file")


@pytest.mark.parametrize(
    ("dotted", "nearest"),
    [
        ("rag.vectordb.url", "rag.vectordb.uri"),
        ("chat.rag.retriever.topk", "chat.rag.retriever.top_k"),
        ("generater.type", "generator.type"),
        ("rag.top_k", "chat.rag.retriever.top_k"),
    ],
)
def test_an_unknown_setting_is_named_with_the_nearest_known_one(dotted: str, nearest: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(None, {dotted: "x"}, {})
    message = str(caught.value)
    assert dotted.split(".")[0] in message
    assert nearest in message


def test_an_unknown_setting_in_the_environment_is_an_error() -> None:
    with pytest.raises(SettingsError, match=r"unknown setting 'rag\.vectordb\.urri'"):
        load_settings(None, None, {"KVASIR__RAG__VECTORDB__URRI": "x"})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("- a\n- b\n", "keys and values"),
        ("a: [1\n", r"not valid YAML \(line 2, column 1\): expected ',' or ']', but got '<stream"),
        ("a:\n\tb: 1\n", "not valid YAML.* indent with spaces, not tabs"),
        (
            "mail:\n  port: 25\nmail:\n  port: 26\n",
            r"not valid YAML \(line 3.*key mail stands there a second time",
        ),
        ("mail: {port: 25, port: 26}", "not valid YAML.*key port stands there a second time"),
        ("rag: {splitter: {split_length: 0}}", "split_length"),
        ("rag: {splitter: {split_length: 5, split_overlap: 5}}", "smaller than split_length"),
        ("rag: {splitter: {split_by: chapter}}", "split_by"),
        ("collection: '../up'", r"'collection'.*letters, digits, .* alone, not '\.\./up'"),
        ("rag: 3", "setting 'rag'"),
    ],
)
def test_a_bad_file_gets_one_line_that_names_the_fault(
    tmp_path: Path, text: str, complaint: str
) -> None:
    with pytest.raises(SettingsError, match=complaint) as caught:
        load_settings(write(tmp_path, text), None, {})
    if "YAML" not in complaint:
        assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="there is no settings file"):
        load_settings(tmp_path / "none.yaml", None, {})


def complaint(
    path: Path, overrides: dict[str, object], environment: dict[str, str], **origins: str
) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(path, overrides, environment, origins=origins)
    return str(caught.value)


def test_a_wrong_setting_is_blamed_on_the_layer_that_gave_it(tmp_path: Path) -> None:
    path = write(tmp_path, "generator: {typ: ollama}\nrag: {ingest: {workers: 0}}\n")
    right = write(tmp_path / "right", "rag: {ingest: {workers: 2}}\n")
    of_file = complaint(path, {}, {"KVASIR__RAG__LANGUAGE": "es"})
    assert f"setting 'rag.ingest.workers' in '{path}': " in of_file
    assert f"unknown setting 'generator.typ' in '{path}' (did you mean" in of_file
    wrong = {"KVASIR__RAG__INGEST__WORKERS": "0", "KVASIR__RAG__LANGUAG": "es"}
    of_variables = complaint(right, {}, wrong)
    assert "setting 'rag.ingest.workers' from KVASIR__RAG__INGEST__WORKERS: " in of_variables
    assert "unknown setting 'rag.languag' from KVASIR__RAG__LANGUAG (did you" in of_variables
    of_option = complaint(right, {"collection": "../up"}, {}, collection="--collection")
    assert "setting 'collection' from --collection: " in of_option
    assert str(right) not in of_variables + of_option


def test_a_value_that_was_laid_over_is_not_blamed_on_what_lies_below(tmp_path: Path) -> None:
    path = write(tmp_path, "generator: {type: ollama}\n")
    said = complaint(path, {}, {"KVASIR__GENERATOR": "{type: [ollama], modl: mistral}"})
    assert said.count(" from KVASIR__GENERATOR") == 2
    assert str(path) not in said


def test_settings_that_do_not_go_together_are_blamed_on_all_who_gave_them(tmp_path: Path) -> None:
    path = write(tmp_path, "collection: books\nrag: {splitter: {split_length: 5}}\n")
    overrides = {"rag.splitter.split_overlap": 5}
    said = complaint(path, overrides, {}, **{"rag.splitter.split_overlap": "--split-overlap"})
    assert f"setting 'rag.splitter' in '{path}' and from --split-overlap: " in said


def test_a_wrong_setting_given_from_python_needs_no_origin() -> None:
    with pytest.raises(SettingsError, match=r"^setting 'rag\.ingest\.workers': "):
        load_settings(None, {"rag.ingest.workers": 0}, {})


def test_secrets_appear_neither_in_dumps_nor_in_errors() -> None:
    settings = load_settings(None, {"rag.vectordb.password": "s3cret"}, {})
    assert settings.rag.vectordb.password is not None
    assert "s3cret" not in yaml.safe_dump(settings.dump())
    with pytest.raises(SettingsError) as caught:
        load_settings(None, {"rag.vectordb.password": ["s3cret"]}, {})
    assert "s3cret" not in str(caught.value)


def test_naming_a_unit_chooses_the_window_splitter() -> None:
    assert load_settings(None, {}, {}).rag.splitter.chosen == "structure"
    settings = load_settings(None, {"rag.splitter.split_by": "line"}, {})
    assert settings.rag.splitter.chosen == "window"
    assert settings.rag.splitter.arguments["split_by"] == "line"


def test_the_template_has_every_key_and_is_read_back_to_the_defaults() -> None:
    lines = [line[1:] for line in template().splitlines() if line.startswith("#")]
    plain = "\n".join(line for line in lines if not line.startswith(" Settings"))
    tree = yaml.safe_load(plain)
    assert Settings.model_validate(tree) == Settings()
    for key in keys():
        section = tree
        for part in key.split("."):
            assert part in section, key
            section = section[part]


def test_assigned_text_stays_text_until_the_setting_says_otherwise() -> None:
    given = ["rag.ingest.workers=3", "rag.language=no", "rag.vectordb.password=0123"]
    settings = load_settings(None, dict(parse_assignment(text) for text in given), {})
    assert settings.rag.ingest.workers == 3
    assert settings.rag.language == "no"
    assert settings.rag.vectordb.password is not None
    assert settings.rag.vectordb.password.get_secret_value() == "0123"
    assert parse_assignment("generator.options={temperature: 0.5}")[1] == {"temperature": 0.5}
    with pytest.raises(SettingsError, match="key=value"):
        parse_assignment("nonsense")


@pytest.mark.parametrize("secret", ["{s3cret", "[s3cret", "s3cret]: {", "null", "[s3cret]"])
@pytest.mark.parametrize(
    "key",
    ["rag.vectordb.password", "server.signing_key", "mail.recovery_password", "generator.api_key"],
)
def test_a_secret_is_taken_as_it_is_whatever_its_characters(key: str, secret: str) -> None:
    environment = {f"KVASIR__{key.replace('.', '__').upper()}": secret}
    for settings in (
        load_settings(None, None, environment),
        load_settings(None, dict([parse_assignment(f"{key}={secret}")]), {}),
    ):
        assert attrgetter(key)(settings).get_secret_value() == secret


def test_a_broken_line_of_a_file_is_not_quoted_since_it_may_hold_a_secret(tmp_path: Path) -> None:
    for broken, place in (("'s3cret", "line 4, column 1"), ("*s3cret", "line 3, column 15")):
        path = write(tmp_path, f"rag:\n  vectordb:\n    password: {broken}\n")
        with pytest.raises(SettingsError, match=place) as caught:
            load_settings(path, None, {})
        assert "s3cret" not in str(caught.value)


def test_secrets_inside_options_are_masked_at_any_depth() -> None:
    options = {
        "api_key": "s3cret",
        "max_tokens": 7,
        "use_token": True,
        "token": None,
        "headers": [{"Authorization": "Bearer s3cret", "X-API-Key": "s3cret"}],
        "init_parameters": {"client_secret": {"type": "token", "token": "s3cret"}},
    }
    settings = load_settings(None, {"rag.vectordb.options": options}, {})
    shown = settings.dump()["rag"]["vectordb"]["options"]
    assert "s3cret" not in yaml.safe_dump(shown)
    assert (shown["max_tokens"], shown["use_token"], shown["token"]) == (7, True, None)
    assert settings.rag.vectordb.options == options


def test_the_name_of_a_variable_that_holds_a_secret_is_shown() -> None:
    secret = {"type": "env_var", "env_vars": ["PG_TOKEN"], "strict": True}
    settings = load_settings(None, {"rag.vectordb.options": {"token": secret}}, {})
    assert settings.dump()["rag"]["vectordb"]["options"]["token"] == secret


def test_the_passwords_of_addresses_are_masked() -> None:
    settings = load_settings(
        None,
        {
            "catalog.url": "postgresql://kvasir:s3cret@db/kvasir",
            "rag.vectordb.uri": "http://user:s3cret@localhost:19530",
        },
        {},
    )
    shown = yaml.safe_dump(settings.dump())
    assert "s3cret" not in shown
    assert "kvasir:**********@db/kvasir" in shown
    assert settings.catalog_url == "postgresql://kvasir:s3cret@db/kvasir"


def test_settings_do_not_change_after_they_are_loaded() -> None:
    settings = load_settings({}, {}, {})
    with pytest.raises(ValidationError):
        settings.rag.splitter.type = "window"
    with pytest.raises(ValidationError):
        settings.collection = "other"


def test_places_are_absolute_paths_or_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    settings = load_settings({}, {"data_dir": "kvasir-data"}, {})
    assert settings.data_folder == tmp_path / "kvasir-data"
    assert settings.store_uri == str(tmp_path / "kvasir-data/store")
    assert settings.catalog_url == f"sqlite:///{tmp_path}/kvasir-data/catalog.db"
    at_home = load_settings({}, {"data_dir": "~/kept", "chat.logs_dir": "logs"}, {})
    assert at_home.store_uri == str(tmp_path / "home/kept/store")
    assert at_home.chat_logs_dir == tmp_path / "home/logs"
    for given, expected in (
        ("rag.db", str(tmp_path / "rag.db")),
        ("~/rag.db", str(tmp_path / "home/rag.db")),
        ("file://index", str(tmp_path / "index")),
        ("http://localhost:6333", "http://localhost:6333"),
        ("localhost:6333", "localhost:6333"),
        ("chroma://localhost", "chroma://localhost"),
    ):
        assert load_settings({}, {"rag.vectordb.uri": given}, {}).store_uri == expected


def test_a_number_out_of_range_is_refused_with_the_range() -> None:
    refused = 0
    for key, number in product(keys(), (-(10**9), 10**15)):
        try:
            load_settings({}, {key: number}, {})
        except SettingsError as error:
            refused += 1
            assert "must be ," not in str(error)
    assert refused > 50


def test_the_range_of_a_setting_that_may_be_left_out_is_named() -> None:
    key = "chat.rag.context_refinement.threshold"
    with pytest.raises(SettingsError, match=f"'{key}': must be from 0 to 1, not 2"):
        load_settings({}, {key: 2}, {})
