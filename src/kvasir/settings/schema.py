"""One settings tree: a YAML file, the environment over it, the command line over that.

The keys that the requirement documents name are kept to the letter (``rag.splitter``,
``rag.vectordb``, ``rag.embedding_model``, ``chat.rag``). An environment variable spells a key
in capitals with two underscores for each dot: ``KVASIR__RAG__VECTORDB__URI``. Relative paths
are relative to the working directory.
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from kvasir.answering.prompts import DEFAULT_PROMPT, DEFAULT_REFINEMENT_PROMPT, missing_places
from kvasir.core.errors import SettingsError
from kvasir.core.registry import suggestion
from kvasir.core.text import hide_passwords
from kvasir.core.types import StoreAddress
from kvasir.language.codes import CODES

DEFAULT_FILE = Path("kvasir.yaml")
ENVIRONMENT_PREFIX = "KVASIR__"
DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"

_SECRETS = ("token", "password", "api_key")
# Options of components are not declared here: there the end of a key says what is secret.
_SECRET_ENDINGS = ("token", "password", "api_key", "apikey", "secret", "authorization")
_QUOTED = re.compile(r"'([^']*)'")
_WINDOW_OPTIONS = ("split_by", "split_length", "split_overlap", "split_threshold")


class Section(BaseModel):
    """A part of the tree; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", validate_assignment=True)


class SplitterSettings(Section):
    """How documents are cut into chunks."""

    type: str | None = Field(
        None, description="structure, window, or a plug-in; window when a split_* key is set"
    )
    split_by: Literal["page", "passage", "sentence", "word", "line"] = "word"
    split_length: int = Field(200, ge=1, description="most units in a chunk")
    split_overlap: int = Field(0, ge=0, description="units that neighbours share")
    split_threshold: int = Field(0, ge=0, description="fewest units in the last chunk")
    options: dict[str, Any] = Field(default_factory=dict, description="the splitter's own options")

    @property
    def chosen(self) -> str:
        """The splitter's name."""
        asked = self.model_fields_set.intersection(_WINDOW_OPTIONS)
        return self.type or ("window" if asked else "structure")

    @property
    def arguments(self) -> dict[str, Any]:
        """The splitter's constructor options."""
        if self.chosen != "window":
            return dict(self.options)
        return {key: getattr(self, key) for key in _WINDOW_OPTIONS} | self.options

    @model_validator(mode="after")
    def _overlap_is_shorter_than_a_chunk(self) -> SplitterSettings:
        if self.split_overlap >= self.split_length:
            raise ValueError("split_overlap must be smaller than split_length")
        return self


class VectorDbSettings(Section):
    """Where chunks and vectors are kept."""

    type: str = Field("qdrant", description="qdrant, or another installed store")
    uri: str | None = Field(None, description="folder, file or address; default: in data_dir")
    token: SecretStr | None = None
    username: str | None = None
    password: SecretStr | None = None
    options: dict[str, Any] = Field(default_factory=dict, description="the store's own options")


class EmbeddingModelSettings(Section):
    """The model that turns text into vectors."""

    type: str = Field("openvino", description="openvino, sentence-transformers, or a plug-in")
    name: str = Field(DEFAULT_MODEL, description="a folder, or a model's name on the hub")
    token: SecretStr | None = Field(None, description="for private models on the hub")
    options: dict[str, Any] = Field(default_factory=dict, description="the embedder's own options")


class RerankerSettings(Section):
    """An optional model that orders the best hits anew."""

    type: str | None = Field(None, description="cross-encoder, or a plug-in; none by default")
    name: str = "BAAI/bge-reranker-v2-m3"
    token: SecretStr | None = None
    options: dict[str, Any] = Field(default_factory=dict)


class IngestSettings(Section):
    """How sources are read."""

    workers: int = Field(2, ge=1, le=64, description="child processes that extract text")
    timeout: float = Field(120.0, gt=0, description="seconds for one file")
    memory_mb: int = Field(1024, ge=128, description="memory for the extraction of one file")
    max_file_mb: int = Field(200, ge=1, description="larger files are refused")
    on_conflict: Literal["skip", "replace", "error"] = "replace"
    allow_private_urls: bool = Field(False, description="fetch URLs of private networks too")


class RagSettings(Section):
    """Ingesting and storing."""

    language: str | None = Field(
        None, description="ISO 639-1 code of all documents and questions; detected by default"
    )
    splitter: SplitterSettings = SplitterSettings()
    vectordb: VectorDbSettings = VectorDbSettings()
    embedding_model: EmbeddingModelSettings = EmbeddingModelSettings()
    ingest: IngestSettings = IngestSettings()

    @field_validator("language")
    @classmethod
    def _language_is_known(cls, value: str | None) -> str | None:
        if value is not None and value not in CODES:
            raise ValueError("must be a two-letter code of ISO 639-1, such as en, es, vi or zh")
        return value


class GeneratorSettings(Section):
    """What writes the answers."""

    type: str = Field("extractive", description="extractive, openai, ollama, or a plug-in")
    model: str | None = Field(None, description="the model's name at the server")
    base_url: str | None = Field(None, description="the server, such as http://localhost:11434")
    api_key: SecretStr | None = None
    options: dict[str, Any] = Field(default_factory=dict, description="the generator's own options")

    @property
    def arguments(self) -> dict[str, Any]:
        """The generator's constructor options, those that are set."""
        given = {
            "model": self.model,
            "base_url": self.base_url,
            "api_key": reveal(self.api_key),
        }
        return {key: value for key, value in given.items() if value is not None} | self.options


class RefinementSettings(Section):
    """Rewriting the question for the search by the language model."""

    enabled: bool = False
    strategy: Literal["always", "below_threshold"] = Field(
        "always", description="below_threshold: only when the question as typed finds too little"
    )
    threshold: float | None = Field(
        None,
        ge=0.0,
        le=1.0,
        description="too little: no dense score as high; default: min_score_threshold, or 0.5",
    )
    prompt: str = DEFAULT_REFINEMENT_PROMPT
    generator: GeneratorSettings | None = Field(
        None, description="the language model that refines; by default the one that answers"
    )

    @field_validator("prompt")
    @classmethod
    def _prompt_has_its_place(cls, value: str) -> str:
        return _with_places(value, "user_query")


class RetrieverSettings(Section):
    """What is retrieved for a question."""

    top_k: int = Field(10, ge=1, le=1000)
    min_score_threshold: float = Field(
        0.0, ge=0.0, le=1.0, description="on the scale (1 + cosine) / 2"
    )
    filters: str | dict[str, Any] | None = Field(
        None, description="'field=value,...' or a mapping in Haystack's syntax"
    )
    alpha: float | None = Field(
        None, ge=0.0, le=1.0, description="share of the dense leg; by language by default"
    )
    candidates: int = Field(50, ge=1, le=10_000, description="depth of each leg before fusion")
    rerank_candidates: int = Field(
        30, ge=1, le=10_000, description="how many of the best hits the reranker reads"
    )
    reranker: RerankerSettings = RerankerSettings()


class ChatRagSettings(Section):
    """Retrieval in chats and answers."""

    enabled: bool = False
    context_refinement: RefinementSettings = RefinementSettings()
    retriever: RetrieverSettings = RetrieverSettings()
    prompt: str = DEFAULT_PROMPT

    @field_validator("prompt")
    @classmethod
    def _prompt_has_its_places(cls, value: str) -> str:
        return _with_places(value, "context", "question")


class ChatSettings(Section):
    """Chatting."""

    context: str = Field("default", description="the context that a chat begins with")
    contexts: dict[str, str] = Field(
        default_factory=dict, description="further contexts: a name and its system message"
    )
    multiline: bool = Field(False, description="messages end with Alt-Enter")
    vi_mode: bool = Field(False, description="edit as in vi")
    logs_dir: Path | None = Field(None, description="a log a session; default: in data_dir")
    rag: ChatRagSettings = ChatRagSettings()


class AnswerSettings(Section):
    """What counts as an answer."""

    refuse: bool = Field(True, description="say so when the documents do not hold the answer")


class JudgeSettings(Section):
    """A language model that grades answers in evaluations."""

    type: str | None = Field(None, description="ragas, or a plug-in; none by default")
    model: str | None = Field(None, description="the model's name at the server")
    base_url: str | None = Field(None, description="the server; default: the generator's")
    api_key: SecretStr | None = None
    options: dict[str, Any] = Field(default_factory=dict, description="the judge's own options")


class EvaluationSettings(Section):
    """How evaluations judge."""

    judge: JudgeSettings = JudgeSettings()


class CatalogSettings(Section):
    """The ledger of what is indexed."""

    url: str | None = Field(None, description="an SQLAlchemy URL; default: SQLite in data_dir")


class Settings(Section):
    """The whole tree."""

    data_dir: Path = Field(Path("kvasir-data"), description="where everything is kept")
    collection: str = Field("default", min_length=1, max_length=64, pattern=r"^[\w.-]+$")
    rag: RagSettings = RagSettings()
    chat: ChatSettings = ChatSettings()
    generator: GeneratorSettings = GeneratorSettings()
    answer: AnswerSettings = AnswerSettings()
    catalog: CatalogSettings = CatalogSettings()
    evaluation: EvaluationSettings = EvaluationSettings()

    @property
    def store_uri(self) -> str:
        """Where the vector store is."""
        return self.rag.vectordb.uri or str(self.data_dir / "store")

    @property
    def store_address(self) -> StoreAddress:
        """Where the vector store is, and access to it."""
        chosen = self.rag.vectordb
        return StoreAddress(
            chosen.type,
            self.store_uri,
            reveal(chosen.token),
            chosen.username,
            reveal(chosen.password),
        )

    @property
    def catalog_url(self) -> str:
        """Where the catalog is, as an SQLAlchemy URL."""
        return self.catalog.url or f"sqlite:///{self.data_dir / 'catalog.db'}"

    @property
    def chat_logs_dir(self) -> Path:
        """Where the logs of chats are written."""
        return self.chat.logs_dir or self.data_dir / "chat-logs"

    @property
    def judge_arguments(self) -> dict[str, Any]:
        """The judge's constructor options; without a server of its own, the generator's."""
        chosen = self.evaluation.judge
        own = chosen.model, chosen.base_url, chosen.api_key
        if chosen.base_url is None:
            # A key goes to the server that it was given for, and to no other.
            other = self.generator
            own = chosen.model or other.model, other.base_url, chosen.api_key or other.api_key
        model, base_url, api_key = own
        given = {"model": model, "base_url": base_url, "api_key": reveal(api_key)}
        return {key: value for key, value in given.items() if value is not None} | chosen.options

    @property
    def has_catalog(self) -> bool:
        """Whether there can be anything to read: a catalog's file that is not there is empty."""
        path = self.catalog_url.removeprefix("sqlite:///")
        return path == self.catalog_url or Path(path).is_file()

    @property
    def own_paths(self) -> list[str]:
        """Where Kvasir itself keeps things on this machine; ingesting a folder skips them."""
        paths = [str(self.data_dir), self.store_uri, self.catalog_url.removeprefix("sqlite:///")]
        return [path for path in paths if "://" not in path]

    def components(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Returns family, name and options of every component that the settings choose."""
        reranker, judge = self.chat.rag.retriever.reranker, self.evaluation.judge
        refining = self.chat.rag.context_refinement.generator
        chosen = [
            ("splitters", self.rag.splitter.chosen, self.rag.splitter.arguments),
            ("embedders", self.rag.embedding_model.type, self.rag.embedding_model.options),
            ("stores", self.rag.vectordb.type, self.rag.vectordb.options),
            ("rerankers", reranker.type, reranker.options),
            ("generators", self.generator.type, self.generator.arguments),
            ("judges", judge.type, judge.options),
        ]
        if refining:
            chosen.append(("generators", refining.type, refining.arguments))
        return [(family, name, options) for family, name, options in chosen if name]

    def dump(self) -> dict[str, Any]:
        """Returns the tree as plain values, secrets masked, also those inside addresses."""
        masked: dict[str, Any] = _mask(self.model_dump(mode="json"))
        return masked


def load_settings(
    config: Path | str | Mapping[str, Any] | None = None,
    overrides: Mapping[str, Any] | None = None,
    environment: Mapping[str, str] | None = None,
    *,
    origins: Mapping[str, str] | None = None,
) -> Settings:
    """Reads the settings.

    Naming a unit or length of the window splitter in the environment or on the command line
    chooses that splitter over the one of the file.

    Args:
        config: A YAML file, or a tree as one holds it; default ``kvasir.yaml`` in the working
            directory, if there is one.
        overrides: Dotted keys and their values, above everything else.
        environment: Variables to read; default ``os.environ``.
        origins: For messages, what gave an override, by its key: an option such as ``--top-k``.

    Raises:
        SettingsError: A key is unknown (names the nearest known one) or a value is unusable.
    """
    in_file: dict[str, str] = {}
    if isinstance(config, Mapping):
        tree = copy.deepcopy(dict(config))
    else:
        path = Path(config) if config else (DEFAULT_FILE if DEFAULT_FILE.is_file() else None)
        tree = read_settings_file(path) if path else {}
        in_file = dict.fromkeys(_leaves(tree), f" in '{path}'")
    variables = os.environ if environment is None else environment
    named = dict(_variable_names(variables))
    lay_over(tree, {key: _value(variables[name], name) for key, name in named.items()})
    lay_over(tree, overrides or {})
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        by_option = dict.fromkeys(overrides or {}, "") | _from(origins or {})
        raise SettingsError(_explain(error, _laid_over(in_file, _from(named), by_option))) from None


def parse_assignment(text: str) -> tuple[str, Any]:
    """Reads ``key=value`` as given to ``--set``.

    Raises:
        SettingsError: There is no ``=``, or a list or mapping is not YAML.
    """
    dotted, separator, value = text.partition("=")
    if not separator or not dotted.strip():
        raise SettingsError(f"'{text}' is not of the form key=value, such as rag.language=es")
    return dotted.strip(), _value(value, dotted)


def keys(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[str]:
    """Yields every dotted key of the tree."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from keys(inner, f"{prefix}{name}.")
        else:
            yield prefix + name


def template() -> str:
    """Returns a settings file with every key at its default, commented out."""
    lines = ["# Settings of Kvasir. Take the '#' away from what you change and its sections.", ""]
    lines += _template_lines(Settings(), 0)
    return "\n".join(lines) + "\n"


def _template_lines(section: BaseModel, depth: int) -> Iterator[str]:
    indent = "  " * depth
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        note = f"  # {field.description}" if field.description else ""
        if isinstance(value, BaseModel):
            yield f"#{indent}{name}:{note}"
            yield from _template_lines(value, depth + 1)
        else:
            plain = section.model_dump(mode="json", include={name})
            first, *rest = yaml.safe_dump(plain, allow_unicode=True).rstrip().splitlines()
            yield f"#{indent}{first}{note if not rest else ''}"
            yield from (f"#{indent}{line}" for line in rest)


def reveal(secret: SecretStr | None) -> str | None:
    """Returns a secret's text, for the component that needs it."""
    return secret.get_secret_value() if secret else None


def read_settings_file(path: Path) -> dict[str, Any]:
    """Reads a YAML file of keys and values, without a look at what they are.

    Raises:
        SettingsError: It is not there, or not YAML.
    """
    try:
        tree = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError:
        raise SettingsError(
            f"there is no settings file '{path}'; 'kvasir config init' writes one"
        ) from None
    except OSError as error:
        raise SettingsError(f"cannot read the settings file '{path}': {error.strerror}") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"'{path}' {_not_yaml(error)}") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"'{path}' is not valid YAML: {error}") from error
    if not isinstance(tree or {}, dict):
        raise SettingsError(f"'{path}' must hold keys and values, not a {type(tree).__name__}")
    return tree or {}


def _not_yaml(error: yaml.YAMLError) -> str:
    """Explains without quoting: the error's own text shows the line, which may hold a password."""
    mark = getattr(error, "problem_mark", None)
    place = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
    problem = _QUOTED.sub(_unquoted, getattr(error, "problem", None) or "it cannot be read")
    advice = "; indent with spaces, not tabs" if r"'\t'" in problem else ""
    return f"is not valid YAML{place}: {problem}{advice}"


def _unquoted(found: re.Match[str]) -> str:
    """Returns a quoted part of an error if it is one of YAML's own signs or names."""
    is_own = len(found[1]) < 3 or found[1].startswith("<")
    return found[0] if is_own else "a word"


def _variable_names(variables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yields the dotted keys that the environment sets, each with its variable's name."""
    for name in sorted(variables):
        if name.upper().startswith(ENVIRONMENT_PREFIX):
            yield name[len(ENVIRONMENT_PREFIX) :].lower().replace("__", "."), name


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yields the dotted keys of all values of a tree."""
    for key, value in tree.items():
        if value and isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def _from(names: Mapping[str, str]) -> dict[str, str]:
    return {key: f" from {name}" for key, name in names.items()}


def _laid_over(*layers: Mapping[str, str]) -> dict[str, str]:
    """Returns where each key was given last; a section hides what was given in it before."""
    origins: dict[str, str] = {}
    for layer in layers:
        for dotted, origin in layer.items():
            hidden = [key for key in origins if key.startswith(f"{dotted}.")]
            for key in hidden:
                del origins[key]
            origins[dotted] = origin
    return origins


def _origin(origins: Mapping[str, str], dotted: str) -> str:
    """Returns where a key was given; of a section, all that gave something in it."""
    around = [key for key in origins if f"{dotted}.".startswith(f"{key}.")]
    if around:
        return origins[max(around, key=len)]
    inside = (origin for key, origin in origins.items() if key.startswith(f"{dotted}."))
    return " and".join(dict.fromkeys(filter(None, inside)))


def _value(text: str, where: str) -> Any:
    """Reads a value given as text: lists, mappings and null as in YAML, all else as it is."""
    is_secret = re.split(r"__|\.", where)[-1].lower() in _SECRETS
    if is_secret or (not text.startswith(("{", "[")) and text != "null"):
        return text
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingsError(f"the value of {where} {_not_yaml(error)}") from None


def _with_places(template: str, *names: str) -> str:
    missing = missing_places(template, names)
    if missing:
        raise ValueError(f"must contain {' and '.join(missing)}")
    return template


def lay_over(tree: dict[str, Any], values: Mapping[str, Any]) -> None:
    """Puts values, given by dotted key, into a tree, over what is there.

    Raises:
        SettingsError: A key leads through something that is no section.
    """
    for dotted, value in values.items():
        _put(tree, dotted, value)
    windowed = any(f"rag.splitter.{option}" in values for option in _WINDOW_OPTIONS)
    if windowed and "rag.splitter.type" not in values:
        _put(tree, "rag.splitter.type", None)


def names_a_secret(key: object) -> bool:
    """Returns whether what stands under a key, plain or dotted, is not for showing."""
    return str(key).lower().replace("-", "_").endswith(_SECRET_ENDINGS)


def hidden_keys(tree: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yields the dotted keys of a tree whose values ``Settings.dump`` would not show."""
    for key, value in tree.items():
        if isinstance(value, Mapping) and not names_a_secret(key):
            yield from hidden_keys(value, f"{prefix}{key}.")
        elif _mask({key: value}) != {key: value}:
            yield f"{prefix}{key}"


def _mask(value: Any) -> Any:
    """Hides what secret keys hold, and ``password`` of every ``scheme://user:password@host``."""
    if isinstance(value, dict):
        return {
            key: "**********" if names_a_secret(key) and _is_given(inner) else _mask(inner)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_mask(inner) for inner in value]
    return hide_passwords(value) if isinstance(value, str) else value


def _is_given(secret: object) -> bool:
    """Tells a secret from an empty place, a switch, and the name of a variable that holds it."""
    if isinstance(secret, Mapping) and secret.get("type") == "env_var":
        return False
    return secret not in (None, "") and not isinstance(secret, bool)


def _put(tree: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, last = dotted.split(".")
    for parent in parents:
        inner = tree.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise SettingsError(f"'{dotted}' cannot be set: '{parent}' is a value, not a section")
        tree = inner
    tree[last] = value


def _explain(error: ValidationError, origins: Mapping[str, str]) -> str:
    return "; ".join(_explain_one(detail, origins) for detail in error.errors())


def _nearest(dotted: str) -> str:
    """Suggests a key: one spelt alike, else one of the same last part in another section."""
    known = list(keys())
    last = dotted.rsplit(".", 1)[-1]
    alike = get_close_matches(dotted, known, n=1, cutoff=0.85)
    near = alike or [key for key in known if key.rsplit(".", 1)[-1] == last]
    return f" (did you mean '{near[0]}'?)" if near else suggestion(dotted, known)


def _explain_one(detail: ErrorDetails, origins: Mapping[str, str]) -> str:
    dotted = ".".join(str(part) for part in detail["loc"])
    where = _origin(origins, dotted)
    if detail["type"] == "extra_forbidden":
        return f"unknown setting '{dotted}'{where}{_nearest(dotted)}"
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "string_pattern_mismatch":
        message = "must be of letters, digits, '_', '-' and '.' alone"
    given = detail.get("input")
    hidden = isinstance(given, (dict, list)) or str(detail["loc"][-1]) in _SECRETS
    shown = "" if hidden else f", not {given!r}"
    return f"setting '{dotted}'{where}: {message[0].lower()}{message[1:]}{shown}"
