"""A conversation whose documents may be at the owner of the index, or at a server."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from kvasir.core.answer_stream import AnswerStream
from kvasir.core.types import AnswerEvent, Message
from kvasir.frontends.cli.services import Service, Services

if TYPE_CHECKING:
    from kvasir.app import Conversation


class SharedConversation:
    """Replies as ``Conversation`` does, which it wraps.

    Each question with RAG is answered where the index is at that moment. Without RAG the language
    model of this process replies.
    """

    def __init__(
        self,
        local: Conversation,
        services: Services,
        model: str | None,
        release: Callable[[], None],
    ) -> None:
        """Keep the conversation of this process, which ``close`` closes.

        ``model`` takes the place of the language model's name at the server; ``release`` gives up
        a lease on the index that this process cannot have.
        """
        self._local = local
        self._services = services
        self._model = model
        self._release = release

    @property
    def has_model(self) -> bool:
        """True if a language model replies; otherwise replies are quotations."""
        return self._local.has_model

    def stream(
        self, question: str, history: Sequence[Message] = (), *, rag: bool, system: str = ""
    ) -> AnswerStream:
        """Return the reply as a lazy stream of events; arguments as of ``Conversation``."""
        if not rag:
            return self._local.stream(question, history, rag=False, system=system)
        return AnswerStream(self._events(question, history, system))

    def close(self) -> None:
        """End the conversation; a second call does nothing."""
        self._local.close()

    def _events(
        self, question: str, history: Sequence[Message], system: str
    ) -> Generator[AnswerEvent, None, None]:
        def begin(service: Service) -> tuple[AnswerStream, AnswerEvent | None]:
            stream = self._open(service, question, history, system)
            try:
                # The first event shows whether the index can be had here.
                return stream, next(stream, None)
            except BaseException:
                stream.close()
                raise

        stream, first = self._services.run(begin)
        with closing(stream):
            if first is not None:
                yield first
            yield from stream

    def _open(
        self, service: Service, question: str, history: Sequence[Message], system: str
    ) -> AnswerStream:
        from kvasir.app import App

        if isinstance(service, App):
            return self._local.stream(question, history, rag=True, system=system)
        self._release()
        collection = self._services.with_model(service, self._model)
        explain = self._local.search.explain
        return collection.reply(question, history, system=system, explain=explain)
