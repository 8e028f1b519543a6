"""Make the components that the settings choose, with options of the right types."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from inspect import signature
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType, NoneType, UnionType
from typing import TYPE_CHECKING, Any, Union, cast, get_args, get_origin, get_type_hints
from uuid import uuid4

from pydantic import ConfigDict, TypeAdapter

from kvasir.core import registry
from kvasir.core.errors import SettingsError
from kvasir.core.ledger import CollectionRecord, EmbeddingModel, Splitting
from kvasir.core.protocols import (
    Converter,
    Embedder,
    Generator,
    Reranker,
    Splitter,
    TextAnalyzer,
    VectorStore,
    WebSearch,
)
from kvasir.core.run import Run
from kvasir.core.types import StoreAddress
from kvasir.settings.component_schema import GeneratorSettings, reveal
from kvasir.settings.schema import Settings
from kvasir.settings.store_uris import is_embedded
from kvasir.settings.zeromq_schema import REMOTE

if TYPE_CHECKING:
    from kvasir.answering.refining import Refiner

_KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
_NUMBERS_ARE_TEXT = ConfigDict(coerce_numbers_to_str=True)


def chosen_components(settings: Settings) -> list[tuple[str, str, dict[str, Any]]]:
    """Return family, name and options of every component that the settings choose."""
    rag, retrieval = settings.rag, settings.chat.rag
    reranker, judge = retrieval.retriever.reranker, settings.evaluation.judge
    refining = retrieval.context_refinement.generator
    chosen = [
        ("splitters", rag.splitter.chosen, rag.splitter.arguments),
        ("embedders", rag.embedding_model.type, rag.embedding_model.options),
        ("stores", rag.vectordb.type, rag.vectordb.options),
        ("rerankers", reranker.type, reranker.options),
        ("generators", settings.generator.type, settings.generator.arguments),
        ("judges", judge.type, judge.options),
    ]
    if rag.web_search.type or rag.web_search.base_url:  # The default may need an extra.
        web = rag.web_search
        chosen.append(("search_engines", web.chosen, web.arguments))
    if refining:
        chosen.append(("generators", refining.type, refining.arguments))
    return [(family, name, options) for family, name, options in chosen if name]


def check(family: str, name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return a component's options in the types of its constructor's parameters.

    Only numbers, texts and switches are converted.

    Raises:
        SettingsError: An option is unknown, or not of the type that the constructor declares.
        UnknownComponentError: There is no such component.
        MissingExtraError: The component's library is not installed.
    """
    types = _parameter_types(registry.check(family, name, options))
    return {
        option: _convert(value, types.get(option), f"{family[:-1]} '{name}': option {option}")
        for option, value in options.items()
    }


def build(
    family: str, name: str, options: Mapping[str, Any], provided: Mapping[str, Any] | None = None
) -> Any:
    """Make a component from its settings: ``check``, then ``registry.build``."""
    return registry.build(family, name, check(family, name, options), provided)


def make_analyzer() -> TextAnalyzer:
    """Make the analyzer of keyword search."""
    return cast(TextAnalyzer, build("analyzers", "bm25", {}))


def make_embedder(settings: Settings, run: Run, model: EmbeddingModel | None = None) -> Embedder:
    """Load an embedder, by default that of the settings; ``run`` stops and reports a download."""
    token = reveal(settings.rag.embedding_model.token)
    chosen = model or settings.rag.embedding_model
    provided = _model_arguments(settings, chosen.name, token, run)
    provided |= _service_arguments(settings, chosen.type, chosen.options)
    return cast(Embedder, build("embedders", chosen.type, chosen.options, provided))


def make_reranker(settings: Settings, run: Run) -> Reranker | None:
    """Load the reranker, if one is chosen, as ``make_embedder``."""
    chosen = settings.chat.rag.retriever.reranker
    if chosen.type is None:
        return None
    provided = _model_arguments(settings, chosen.name, reveal(chosen.token), run)
    provided |= _service_arguments(settings, chosen.type, chosen.options)
    return cast(Reranker, build("rerankers", chosen.type, chosen.options, provided))


def make_splitter(splitting: Splitting, embedder: Embedder) -> Splitter:
    """Make a splitter, which may count the embedder's tokens."""
    provided = {"embedder": embedder}
    made = build("splitters", splitting.splitter, dict(splitting.arguments), provided)
    return cast(Splitter, made)


def make_generator(
    settings: Settings,
    chosen: GeneratorSettings,
    run: Run,
    shared: Mapping[str, Callable[[], Any]],
) -> Generator:
    """Make a generator with those of the shared components that its constructor takes."""
    taken = signature(registry.load("generators", chosen.type)).parameters
    provided = {name: get() for name, get in shared.items() if name in taken}
    provided |= {"data_dir": settings.data_folder, "run": run}
    provided |= _service_arguments(settings, chosen.type, chosen.options)
    return cast(Generator, build("generators", chosen.type, chosen.arguments, provided))


def make_refiner(
    settings: Settings, generator: Generator, make: Callable[[GeneratorSettings], Generator]
) -> Refiner | None:
    """Make the refiner of a conversation, if it is on; ``make`` makes a generator of its own."""
    from kvasir.answering.refining import Refiner

    rag = settings.chat.rag
    chosen = rag.context_refinement
    if not chosen.enabled:
        return None
    if chosen.generator:
        generator = make(chosen.generator)
    return Refiner(generator, prompt=chosen.prompt, below=rag.refine_below)


def make_judge(settings: Settings, embedder: Callable[[], Embedder]) -> Any:
    """Make the judge of answers, if one is chosen."""
    chosen = settings.evaluation.judge.type
    if chosen is None:
        return None
    registry.load("judges", chosen)  # Report what is missing before a model is loaded.
    return build("judges", chosen, settings.judge_arguments, {"embedder": embedder()})


def make_web_search(settings: Settings) -> WebSearch:
    """Make the search engine of the web."""
    chosen = settings.rag.web_search
    return cast(WebSearch, build("search_engines", chosen.chosen, chosen.arguments))


def make_converter(settings: Settings, name: str, models: Path | None = None) -> Converter:
    """Make a converter of documents; its models are in the data folder by default."""
    provided = {"data_dir": settings.data_folder} | ({"models": models} if models else {})
    return cast(Converter, build("converters", name, {}, provided))


def open_store(
    to: StoreAddress,
    collection: str,
    embedded_by: Embedder | CollectionRecord,
    analyzer: TextAnalyzer,
    options: Mapping[str, Any] = MappingProxyType({}),
) -> VectorStore:
    """Open a collection's store; ``embedded_by`` has dimension and fingerprint of the vectors."""
    provided = {
        "uri": to.uri,
        "collection": collection,
        "dimension": embedded_by.dimension,
        "analyzer": analyzer,
        "fingerprint": embedded_by.fingerprint,
        "token": to.token,
        "username": to.username,
        "password": to.password,
    }
    return cast(VectorStore, build("stores", to.type, options, provided))


@contextmanager
def temporary_stores(
    settings: Settings, embedder: Embedder, analyzer: TextAnalyzer
) -> Iterator[Callable[[], VectorStore]]:
    """Give a function that opens empty collections, which are deleted afterwards."""
    here, numbers, run = settings.store_address, count(), uuid4().hex[:12]
    on_server: list[str] = []

    def open_at(at: StoreAddress, name: str) -> VectorStore:
        return open_store(at, name, embedder, analyzer, settings.store_options)

    with TemporaryDirectory(prefix="kvasir-") as folder:

        def make() -> VectorStore:
            number = next(numbers)
            if is_embedded(here):
                return open_at(StoreAddress(here.type, f"{folder}/{number}"), "evaluation")
            on_server.append(f"evaluation-{run}-{number}")
            return open_at(here, on_server[-1])

        try:
            yield make
        finally:
            for name in on_server:
                with closing(open_at(here, name)) as store:
                    store.drop()


def _model_arguments(settings: Settings, name: str, token: str | None, run: Run) -> dict[str, Any]:
    name = settings.model_name(name)
    return {"name": name, "token": token, "data_dir": settings.data_folder, "run": run}


def _service_arguments(settings: Settings, kind: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return where a component of the service llm is, unless its options say where."""
    return settings.reach("llm") if kind == REMOTE and "address" not in options else {}


def _parameter_types(cls: type[Any]) -> Mapping[str, Any]:
    try:
        return get_type_hints(cls.__init__)
    except (NameError, TypeError):
        # A plug-in's annotations may exist for type checkers only.
        return {}


def _convert(value: Any, declared: Any, option: str) -> Any:
    kinds = get_args(declared) if get_origin(declared) in (Union, UnionType) else (declared,)
    wanted = [kind for kind in kinds if kind is not NoneType]
    if len(wanted) != 1 or wanted[0] not in _KINDS:
        return value
    try:
        if isinstance(value, bool) and wanted[0] is not bool:
            raise ValueError("pydantic takes true for 1")
        return TypeAdapter(declared, config=_NUMBERS_ARE_TEXT).validate_python(value)
    except ValueError:  # ValidationError is one
        raise SettingsError(f"{option} must be {_KINDS[wanted[0]]}, not {value!r}") from None
