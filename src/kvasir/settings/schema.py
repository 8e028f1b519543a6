"""The settings: one tree of keys, types and defaults.

The keys of the requirement documents are kept (``rag.splitter``, ``rag.vectordb``,
``rag.embedding_model``, ``chat.rag``). Relative paths start at the folder that holds the data
folder. Secrets are masked where settings are shown: those under secret keys and those in addresses.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, Field, PrivateAttr, model_validator

from kvasir.core.templates import DEFAULT_PROMPT, DEFAULT_REFINEMENT_PROMPT, missing_placeholders
from kvasir.core.types import StoreAddress
from kvasir.language.detect import CODES
from kvasir.settings.component_schema import (
    EmbeddingModelSettings,
    GeneratorSettings,
    JudgeSettings,
    RerankerSettings,
    SplitterSettings,
    VectorDbSettings,
    given_options,
    reveal,
)
from kvasir.settings.data_folder import (
    DataFolder,
    absolute_path,
    find_data_folder,
    find_project,
    given_data_folder,
)
from kvasir.settings.masking import mask
from kvasir.settings.section import Days, Mebibytes, Seconds, Section
from kvasir.settings.service_schema import (
    AccountSettings,
    AnswerLogSettings,
    DatabaseSettings,
    JobSettings,
    MailSettings,
    QuestionSettings,
    ServerSettings,
    UiSettings,
)
from kvasir.settings.store_uris import absolute_database_url, absolute_uri, is_relative
from kvasir.settings.web_schema import WebSearchSettings
from kvasir.settings.zeromq_schema import (
    REMOTE,
    SERVICES,
    BrokeredSection,
    IndexSettings,
    LlmSettings,
    TuningSettings,
    as_remote,
)

B = TypeVar("B", bound=BrokeredSection)

MOST_TOP_K = 1000


def _check_language(value: str) -> str:
    if value not in CODES:
        raise ValueError("must be a two-letter code of ISO 639-1, such as en, es, vi or zh")
    return value


def _with_placeholders(*names: str) -> AfterValidator:
    def check(template: str) -> str:
        missing = missing_placeholders(template, names)
        if missing:
            raise ValueError(f"must contain {' and '.join(missing)}")
        return template

    return AfterValidator(check)


Score = Annotated[float, Field(ge=0.0, le=1.0)]


class IngestSettings(Section):
    """Limits and rules of reading sources."""

    workers: int = Field(2, ge=1, le=64, description="child processes that extract text")
    timeout: Seconds = Field(120.0, gt=0, description="seconds for one file")
    memory_mb: Mebibytes = Field(1024, ge=128, description="memory for the extraction of one file")
    max_file_mb: Mebibytes = Field(200, ge=1, description="larger files are refused")
    ocr: Literal["auto", "off"] = Field(
        "auto",
        description="auto: recognize the text of pages that are pictures, with the extra ocr",
    )
    ocr_page_timeout: Seconds = Field(60.0, gt=0, description="more seconds for each such page")
    ocr_memory_mb: Mebibytes = Field(4096, ge=1024, description="more memory for such pages")
    on_conflict: Literal["skip", "replace", "error"] = "replace"
    allow_private_urls: bool = Field(False, description="fetch URLs of private networks too")


class RagSettings(Section):
    """Ingesting and storing."""

    language: Annotated[str, AfterValidator(_check_language)] | None = Field(
        None, description="ISO 639-1 code of all documents and questions; detected by default"
    )
    splitter: SplitterSettings = SplitterSettings()
    vectordb: VectorDbSettings = VectorDbSettings()
    embedding_model: EmbeddingModelSettings = EmbeddingModelSettings()
    ingest: IngestSettings = IngestSettings()
    web_search: WebSearchSettings = WebSearchSettings()


class RefinementSettings(Section):
    """Rewriting the question for the search by the language model."""

    enabled: bool = False
    strategy: Literal["always", "below_threshold"] = Field(
        "always", description="below_threshold: only when the question as typed finds too little"
    )
    threshold: Score | None = Field(
        None, description="too little: no dense score as high; default: min_score_threshold, or 0.5"
    )
    prompt: Annotated[str, _with_placeholders("user_query")] = DEFAULT_REFINEMENT_PROMPT
    generator: GeneratorSettings | None = Field(
        None, description="the language model that refines; by default the one that answers"
    )


class RetrieverSettings(Section):
    """Retrieval for a question."""

    top_k: int = Field(10, ge=1, le=MOST_TOP_K)
    min_score_threshold: Score = Field(0.0, description="on the scale (1 + cosine) / 2")
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

    enabled: bool | None = Field(
        None,
        description="chats answer from the documents; by default where no language model is set",
    )
    context_refinement: RefinementSettings = RefinementSettings()
    retriever: RetrieverSettings = RetrieverSettings()
    prompt: Annotated[str, _with_placeholders("context", "question")] = DEFAULT_PROMPT

    @property
    def refine_below(self) -> float | None:
        """Dense score of the best hit below which a question is refined; None: always refine."""
        chosen = self.context_refinement
        if chosen.strategy == "always":
            return None
        # 0.5 is the score of texts that have nothing to do with each other.
        least = self.retriever.min_score_threshold or 0.5
        return least if chosen.threshold is None else chosen.threshold


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


class AnswerCacheSettings(Section):
    """Answers that are given again, to the same question or one in other words."""

    enabled: bool = False
    threshold: Score = Field(0.9, description="least cosine of two questions in other words")
    max_age_days: Days = Field(7.0, gt=0, description="older answers are made again")


class AnswerSettings(Section):
    """Rules for answers."""

    refuse: bool = Field(True, description="say so when the documents do not hold the answer")
    check_sentences: bool = Field(
        True, description="mark a language model's sentences that the sources do not support"
    )
    cache: AnswerCacheSettings = AnswerCacheSettings()


class EvaluationSettings(Section):
    """Settings of evaluations."""

    judge: JudgeSettings = JudgeSettings()


class CatalogSettings(Section):
    """The ledger of what is indexed."""

    url: str | None = Field(None, description="an SQLAlchemy URL; default: SQLite in data_dir")


class Settings(Section):
    """The whole tree."""

    environment: Literal["kvasir", "classroom", "celery", "lambda"] = Field(
        "kvasir",
        description="classroom, celery, lambda: also the variables of documents 004, 002 and 003",
    )
    data_dir: Path | None = Field(
        None, description="where everything is kept; default: kvasir-data here or above, or yours"
    )
    collection: str = Field("default", min_length=1, max_length=64, pattern=r"^[\w.-]+$")
    rag: RagSettings = RagSettings()
    chat: ChatSettings = ChatSettings()
    generator: GeneratorSettings = GeneratorSettings()
    answer: AnswerSettings = AnswerSettings()
    catalog: CatalogSettings = CatalogSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    database: DatabaseSettings = DatabaseSettings()
    server: ServerSettings = ServerSettings()
    jobs: JobSettings = JobSettings()
    ui: UiSettings = UiSettings()
    accounts: AccountSettings = AccountSettings()
    questions: QuestionSettings = QuestionSettings()
    mail: MailSettings = MailSettings()
    answer_log: AnswerLogSettings = AnswerLogSettings()
    llm: LlmSettings | None = Field(
        None, description="where embedder, reranker and generator are served; as presets/aiirwkv"
    )
    index: IndexSettings | None = Field(None, description="where the store is served")
    tuning: TuningSettings | None = Field(None, description="where models are tuned")

    _file: Path | None = PrivateAttr(default=None)
    _data_folder: DataFolder | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _use_services(self) -> Settings:
        """Use the components that are served, unless a type is given."""
        changed: dict[str, Any] = {}
        rag, chat = self.rag, self.chat
        if self.uses("llm"):
            changed["generator"] = as_remote(self.generator)
            rag = rag.model_copy(update={"embedding_model": as_remote(rag.embedding_model)})
            retriever = chat.rag.retriever
            if self.service_of(LlmSettings).has_reranker and retriever.reranker.type is None:
                update = {"reranker": retriever.reranker.model_copy(update={"type": REMOTE})}
                retriever = retriever.model_copy(update=update)
                inner = chat.rag.model_copy(update={"retriever": retriever})
                chat = chat.model_copy(update={"rag": inner})
        if self.uses("index"):
            rag = rag.model_copy(update={"vectordb": as_remote(rag.vectordb)})
        for name, value in {**changed, "rag": rag, "chat": chat}.items():
            if value is not getattr(self, name):
                object.__setattr__(self, name, value)
        return self

    @property
    def uses_services(self) -> bool:
        """Whether any service is named; those that are not named are on as well."""
        return any(getattr(self, name) is not None for name in SERVICES)

    def uses(self, service: str) -> bool:
        """Return True if the components of a service, such as llm, are served."""
        return self.uses_services and self.service_of(SERVICES[service]).enabled

    def service_of(self, kind: type[B]) -> B:
        """Return the section of a service; its defaults if it is not given."""
        own = (self.llm, self.index, self.tuning)
        return next((each for each in own if isinstance(each, kind)), None) or kind()

    def reach(self, service: str) -> dict[str, str]:
        """Return address and folder of keys for the clients of a service."""
        section = self.service_of(SERVICES[service])
        keys = section.keys_folder(self.data_folder)
        address = section.front_end.reached(self.data_folder.parent)
        return {"address": address, "keys": str(keys or "")}

    @property
    def has_language_model(self) -> bool:
        """Whether answers come from a language model, or else are quotations."""
        if self.generator.type == REMOTE and self.uses("llm"):
            llm = self.service_of(LlmSettings)
            own = llm.generator
            return own.type != "extractive" if own else llm.base_model_file is not None
        return self.generator.type != "extractive"

    @property
    def file(self) -> Path | None:
        """The absolute path of the settings file, if they were read from one."""
        return self._file

    def set_places(self, file: Path | None, data_folder: DataFolder) -> None:
        """Remember the absolute path of the settings file, and the data folder in force."""
        self._file, self._data_folder = file, data_folder

    @property
    def found_data_folder(self) -> DataFolder:
        """The data folder in force and why it is that; errors as ``find_data_folder``."""
        if self._data_folder is not None:
            return self._data_folder
        if self.data_dir is not None:
            return given_data_folder(self.data_dir, "data_dir")
        return find_data_folder(find_project(), relative=self.relative_path)

    @property
    def relative_path(self) -> str | None:
        """The first setting that is a relative path, if any."""
        paths: dict[str, str | Path | None] = {
            "rag.vectordb.uri": self.rag.vectordb.uri,
            "catalog.url": self.catalog.url,
            "database.url": self.database.url,
            "chat.logs_dir": self.chat.logs_dir,
            "server.spool": self.server.spool,
            "server.folder": self.server.folder,
            "mail.passwords_file": self.mail.passwords_file,
        }
        for name, section in (("llm", self.llm), ("index", self.index), ("tuning", self.tuning)):
            if section is not None:
                paths |= {f"{name}.{key}": path for key, path in section.paths.items()}
        return next((key for key, path in paths.items() if is_relative(path)), None)

    @property
    def data_folder(self) -> Path:
        """The absolute path of the data folder in force."""
        return self.found_data_folder.path

    def _absolute(self, path: Path) -> Path:
        return absolute_path(path, self.found_data_folder.parent)

    @property
    def store_uri(self) -> str:
        """The vector store's absolute path or address."""
        if self._finds_index:
            return self.reach("index")["address"]
        uri = self.rag.vectordb.uri or str(self.data_folder / "store")
        return absolute_uri(uri, self.found_data_folder.parent)

    @property
    def store_address(self) -> StoreAddress:
        """The vector store's kind, URI and credentials."""
        chosen = self.rag.vectordb
        token, password = reveal(chosen.token), reveal(chosen.password)
        return StoreAddress(chosen.type, self.store_uri, token, chosen.username, password)

    @property
    def store_options(self) -> dict[str, Any]:
        """The store's own options."""
        chosen = self.rag.vectordb
        own = {"keys": self.reach("index")["keys"]} if self._finds_index else {}
        return own | chosen.options

    @property
    def _finds_index(self) -> bool:
        return self.rag.vectordb.type == REMOTE and self.rag.vectordb.uri is None

    @property
    def catalog_url(self) -> str:
        """The catalog's SQLAlchemy URL."""
        file = self.service_of(IndexSettings).sqlite_db_path if self.uses("index") else None
        default = absolute_path(file, self.data_folder.parent) if file else None
        url = self.catalog.url or f"sqlite:///{default or self.data_folder / 'catalog.db'}"
        return absolute_database_url(url, self.found_data_folder.parent)

    @property
    def database_url(self) -> str:
        """The SQLAlchemy URL of accounts, jobs and questions."""
        if self.database.url:
            return absolute_database_url(self.database.url, self.found_data_folder.parent)
        # A file of its own: SQLite has one writer at a time, and an ingest writes a lot.
        is_file = self.catalog_url.startswith("sqlite")
        return f"sqlite:///{self.data_folder / 'service.db'}" if is_file else self.catalog_url

    @property
    def question_collection(self) -> str:
        """The collection that answers questions whose asker names none."""
        return self.questions.collection or self.collection

    @property
    def mail_passwords_file(self) -> Path | None:
        """The absolute path of the mail accounts' passwords, if there is such a file."""
        file = self.mail.passwords_file
        return None if file is None else self._absolute(file)

    @property
    def spool_uri(self) -> str:
        """Where uploads are kept: the absolute path of a folder, or ``s3://BUCKET/FOLDER``."""
        given = self.server.spool
        if given is not None and "://" in given:
            return given
        return str(self._absolute(Path(given) if given else self.data_folder / "spool"))

    @property
    def folder(self) -> Path | None:
        """The absolute path of the folder that the server keeps indexed, if there is one."""
        return self._absolute(self.server.folder) if self.server.folder else None

    @property
    def chat_logs_dir(self) -> Path:
        """The absolute path of the folder of chat logs."""
        return self._absolute(self.chat.logs_dir or self.data_folder / "chat-logs")

    def model_name(self, name: str) -> str:
        """Return a model's name, that of a file or folder as an absolute path."""
        place = self._absolute(Path(name))
        return str(place) if place.is_file() or (place / "config.json").is_file() else name

    @property
    def judge_arguments(self) -> dict[str, Any]:
        """The judge's constructor options; without a server of its own, the generator's."""
        chosen = self.evaluation.judge
        own = chosen.model, chosen.base_url, chosen.api_key
        if chosen.base_url is None:
            # A key is sent only to the server that it was given for.
            other = self.generator
            own = chosen.model or other.model, other.base_url, chosen.api_key or other.api_key
        return given_options(*own) | chosen.options

    @property
    def has_catalog(self) -> bool:
        """Whether a catalog can exist: for SQLite, whether its file does."""
        path = self.catalog_url.removeprefix("sqlite:///")
        return path == self.catalog_url or Path(path).is_file()

    @property
    def own_paths(self) -> list[str]:
        """Kvasir's own paths on this machine, which the ingest of a folder skips."""
        paths = [str(self.data_folder), self.store_uri, self.catalog_url.removeprefix("sqlite:///")]
        return [path for path in paths if "://" not in path]

    def dump(self) -> dict[str, Any]:
        """Return the tree as plain values, secrets masked, also those inside addresses."""
        masked: dict[str, Any] = mask(self.model_dump(mode="json"))
        # None stands for the splitter that the other keys choose.
        masked["rag"]["splitter"]["type"] = self.rag.splitter.chosen
        return masked
