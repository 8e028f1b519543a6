"""The environment of requirement document 004 is read where the settings say so."""

from __future__ import annotations

from pathlib import Path

import pytest

from kvasir.core.errors import SettingsError
from kvasir.settings.component_schema import reveal
from kvasir.settings.known_passwords import known_passwords
from kvasir.settings.loading import load_settings
from kvasir.settings.schema import Settings

PRESET = Path(__file__).parents[2] / "presets" / "classroom.yaml"
LAMBDA_PRESET = PRESET.with_name("lambda.yaml")

PRINTED = {
    "DB_NAME": "test_sql",
    "DB_USER": "rag-system",
    "DB_PASS": "rag-system",
    "DB_HOST": "localhost",
    "DB_PORT": "3306",
    "ACCESS_TOKEN_EXPIRE_MINUTES": "1440",
    "SECRET_KEY": "6b3d75e968f26f3be3443503efefd761e22d5e173fea95646a3659e673ebb97b",
    "MONGO_HOST": "localhost",
    "MONGO_PORT": "27017",
    "MONGO_USER": "mongoadmin",
    "MONGO_PASS": "secret",
    "MONGO_DB_NAME": "test_nosql",
    "API_URL": "http://127.0.0.1:8000",
    "DOCUMENT_LOCATION": "resources/files",
    "PYTHONUNBUFFERED": "1",
}


def classroom(**environment: str) -> Settings:
    return load_settings(PRESET, {}, environment)


def test_the_printed_environment_becomes_settings() -> None:
    settings = classroom(**PRINTED)
    assert settings.database_url == "mysql://rag-system:rag-system@localhost:3306/test_sql"
    assert settings.questions.queue == (
        "mongodb://mongoadmin:secret@localhost:27017/test_nosql?authSource=admin"
    )
    assert settings.server.token_minutes == 1440
    assert reveal(settings.server.signing_key) == PRINTED["SECRET_KEY"]
    assert settings.folder == Path.cwd() / "resources" / "files"
    assert settings.generator.model == "mistral"
    assert settings.question_collection == "course"
    assert settings.questions.server == "http://127.0.0.1:8000"


def test_without_the_variables_the_preset_needs_no_database_server() -> None:
    settings = classroom(DB_HOST="", MONGO_HOST=" ")
    assert settings.database_url.startswith("sqlite:///")
    assert settings.questions.queue is None
    assert str(settings.server.folder) == "resources/files"


def test_the_queue_stays_in_the_database_where_mongodb_is_not_wanted() -> None:
    assert classroom(**PRINTED, KVASIR__QUESTIONS__QUEUE="null").questions.queue is None


def test_other_settings_do_not_read_the_names() -> None:
    assert load_settings({}, {}, PRINTED).model_dump() == Settings().model_dump()


def test_the_names_can_be_switched_on_by_every_layer() -> None:
    by_environment = load_settings({}, {}, {**PRINTED, "KVASIR__ENVIRONMENT": "classroom"})
    by_option = load_settings({}, {"environment": "classroom"}, PRINTED)
    assert (
        by_environment.database_url == by_option.database_url == classroom(**PRINTED).database_url
    )


def test_our_own_variables_stand_above_the_document_s() -> None:
    settings = classroom(**PRINTED, KVASIR__DATABASE__URL="sqlite:////srv/own.db")
    assert settings.database_url == "sqlite:////srv/own.db"


def test_signs_in_passwords_are_escaped() -> None:
    settings = classroom(DB_NAME="course", DB_USER="a@b", DB_PASS="p:/@?#ñ", DB_HOST="db")
    assert settings.database_url == "mysql://a%40b:p%3A%2F%40%3F%23%C3%B1@db:3306/course"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"DB_HOST": "db"}, "DB_HOST is set, but DB_NAME is not"),
        ({"DB_NAME": "course", "DB_PASS": "p"}, "DB_PASS is set, but DB_USER is not"),
        ({"DB_NAME": "course", "DB_PORT": "x"}, "DB_PORT must be the number of a port, not 'x'"),
        ({"MONGO_USER": "u"}, "MONGO_USER is set, but MONGO_DB_NAME is not"),
        (
            {"ACCESS_TOKEN_EXPIRE_MINUTES": "soon"},
            "'server.token_minutes' from ACCESS_TOKEN_EXPIRE_MINUTES",
        ),
    ],
)
def test_an_unusable_variable_is_named(given: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        classroom(**given)


@pytest.mark.parametrize(("text", "expected"), [("true", True), ("0", False), ("", False)])
def test_recovery_can_replace_the_password_at_once(text: str, expected: bool) -> None:
    settings = classroom(RECOVERY_REPLACE_IMMEDIATELY=text)
    assert settings.accounts.recovery_replace_immediately is expected


def test_known_database_passwords_are_warned_of() -> None:
    assert known_passwords(classroom(**PRINTED)) == ["database.url", "questions.queue"]
    good = classroom(**PRINTED | {"DB_PASS": "k3-Yb!x9", "MONGO_PASS": "q8=Lw#2m"})
    assert known_passwords(good) == []


def test_the_names_of_document_003_are_settings_of_the_preset_lambda() -> None:
    given = {
        "QDRANT_URL": "https://qdrant.example:6333",
        "QDRANT_SECRET_KEY": "a key",
        "HF_URL": "https://endpoint.example/models/google/flan-t5-xxl",
        "HF_SECRET_KEY": "hf_x",
        "MODEL_PATH": "/opt/model",
        "PROJECT_NAME": "scalable-rag",
        "DEBUG": "True",
    }
    found = load_settings(LAMBDA_PRESET, {}, given)
    assert found.store_uri == given["QDRANT_URL"]
    assert reveal(found.rag.vectordb.token) == "a key"
    assert found.generator.base_url == given["HF_URL"]
    assert reveal(found.generator.api_key) == "hf_x"
    assert found.rag.embedding_model.name == "/opt/model"
    assert (found.server.title, found.server.debug) == ("scalable-rag", True)
    assert load_settings(PRESET.with_name("default.yaml"), {}, given).server.title == "Kvasir"
    with pytest.raises(SettingsError, match="from DEBUG"):
        load_settings(LAMBDA_PRESET, {}, {"DEBUG": "perhaps"})
