"""The environment variables of requirement documents, where ``environment`` says so.

``classroom`` reads those of document 004: ``DB_*`` make ``database.url`` and ``MONGO_*`` make
``questions.queue``; each of the others is one setting. ``celery`` reads those of document 002's
public implementation, ``CELERY_NAMES``, and ``lambda`` those of document 003's, ``LAMBDA_NAMES``.

They stand above the settings file and below the variables that begin with ``KVASIR__``. An empty
variable counts as missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import quote

from kvasir.core.errors import SettingsError

CLASSROOM, CELERY, LAMBDA = "classroom", "celery", "lambda"
"""The values of ``environment`` that read such names, too."""

CELERY_NAMES: Mapping[str, tuple[str, ...]] = {
    "UPLOAD_DIR": ("server.spool",),
    # Beside accounts and jobs, workers on several machines share what is indexed.
    "DATABASE_URL": ("database.url", "catalog.url"),
    "CELERY_BROKER_URL": ("jobs.broker",),
    "QDRANT_CLIENT_URL": ("rag.vectordb.uri",),
    "QDRANT_CLIENT_API_KEY": ("rag.vectordb.token",),
    "LLM_BASE_MODEL": ("rag.embedding_model.name",),
    "LLM_AGENT_HOST": ("generator.base_url",),
    "LLM_AGENT_BASE_MODEL": ("generator.model",),
}
"""The settings that a variable of document 002 sets.

Its base model is the sentence transformer, its agent the language model at an Ollama server.
"""

LAMBDA_NAMES: Mapping[str, tuple[str, ...]] = {
    "QDRANT_URL": ("rag.vectordb.uri",),
    "QDRANT_SECRET_KEY": ("rag.vectordb.token",),
    "HF_URL": ("generator.base_url",),
    "HF_SECRET_KEY": ("generator.api_key",),
    "MODEL_PATH": ("rag.embedding_model.name",),
    "PROJECT_NAME": ("server.title",),
    "DEBUG": ("server.debug",),
}
"""The settings that a variable of document 003 sets."""

_BY_ENVIRONMENT: Mapping[object, Mapping[str, tuple[str, ...]]] = {
    CELERY: CELERY_NAMES,
    LAMBDA: LAMBDA_NAMES,
}

_PLAIN = {
    "SECRET_KEY": "server.signing_key",
    "ACCESS_TOKEN_EXPIRE_MINUTES": "server.token_minutes",
    "DOCUMENT_LOCATION": "server.folder",
    "API_URL": "questions.server",
    "RECOVERY_REPLACE_IMMEDIATELY": "accounts.recovery_replace_immediately",
}
_DATABASE = ("DB_NAME", "DB_USER", "DB_PASS", "DB_HOST", "DB_PORT")
_QUEUE = ("MONGO_DB_NAME", "MONGO_USER", "MONGO_PASS", "MONGO_HOST", "MONGO_PORT")

NAMES = (*_PLAIN, *_DATABASE, *_QUEUE)
"""Every name that is read."""


def read_document_names(
    variables: Mapping[str, str], environment: object = CLASSROOM
) -> dict[str, tuple[str, str]]:
    """Return value and name of the variable by the dotted key of the setting.

    Args:
        variables: The environment.
        environment: The setting of that name; for ``kvasir`` there are none.

    Raises:
        SettingsError: A part of an address is missing or no port.
    """
    if (settings_of := _BY_ENVIRONMENT.get(environment)) is not None:
        return {
            key: (text, name)
            for name, keys in settings_of.items()
            if (text := variables.get(name, "").strip())
            for key in keys
        }
    if environment != CLASSROOM:
        return {}
    given = {name: text for name in NAMES if (text := variables.get(name, "").strip())}
    found = {key: (given[name], name) for name, key in _PLAIN.items() if name in given}
    for key, names, make in (
        ("database.url", _DATABASE, _mysql_url),
        ("questions.queue", _QUEUE, _mongodb_url),
    ):
        own = [given.get(name, "") for name in names]
        if any(own):
            found[key] = (_address(names, own, make), "/".join(n for n in names if n in given))
    return found


def _address(
    names: tuple[str, ...], values: list[str], make: Callable[[str, str, str, str, str], str]
) -> str:
    name, user, password, host, port = values
    if not name:
        given = next(each for each, value in zip(names, values, strict=True) if value)
        raise SettingsError(f"{given} is set, but {names[0]} is not: set both, or neither")
    if password and not user:
        raise SettingsError(f"{names[2]} is set, but {names[1]} is not: set both, or neither")
    if port and not port.isdecimal():
        raise SettingsError(f"{names[4]} must be the number of a port, not '{port}'")
    return make(name, user, password, host or "localhost", port)


def _mysql_url(name: str, user: str, password: str, host: str, port: str) -> str:
    return f"mysql://{_login(user, password)}{host}:{port or '3306'}/{quote(name, safe='')}"


def _mongodb_url(name: str, user: str, password: str, host: str, port: str) -> str:
    # The document's user is one of the database "admin", where MongoDB's images make it.
    source = "?authSource=admin" if user else ""
    return f"mongodb://{_login(user, password)}{host}:{port or '27017'}/{quote(name)}{source}"


def _login(user: str, password: str) -> str:
    if not user:
        return ""
    secret = f":{quote(password, safe='')}" if password else ""
    return f"{quote(user, safe='')}{secret}@"
