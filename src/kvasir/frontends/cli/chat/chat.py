"""One user's chat: its session, its mode and its model.

An error of one message is one sentence on the screen, and the chat goes on. Only a turn with a
complete reply is kept in the session.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kvasir.core.errors import KvasirError, RequestError, SettingsError
from kvasir.core.types import Answer
from kvasir.frontends.cli.chat.screen import BrokenOffError, Screen
from kvasir.frontends.cli.chat.session import Journal, Session, SessionTemplate, error_reason

if TYPE_CHECKING:
    from kvasir.frontends.cli.chat.shared_conversation import SharedConversation

NEEDS_MODEL = (
    "without RAG a chat needs a language model: turn RAG on (/r, or --rag), or set generator.type, "
    "generator.model and generator.base_url"
)

CONTEXTS: Mapping[str, str] = {
    "default": (
        "You are a helpful assistant. Answer accurately, clearly and no longer than the question "
        "needs. Say so when you do not know something."
    ),
    "cli_helper": (
        "You are an expert in command-line interfaces and know all common commands. Answer with "
        "the command to execute as it is, without any explanation."
    ),
}
"""System messages that set the tone: the contexts of InstructLab's chat, under its names."""


class Chat:
    """The state of a chat and its commands.

    If ``rag``, replies come from the documents, by default where there is no language model;
    ``contexts`` are system messages by name.
    """

    def __init__(
        self,
        screen: Screen,
        converse: Callable[[str | None], SharedConversation],
        *,
        model: str | None = None,
        rag: bool | None = None,
        multiline: bool = False,
        context: str = "default",
        contexts: Mapping[str, str] | None = None,
        journal: Journal | None = None,
        release: Callable[[], None] = lambda: None,
    ) -> None:
        """Open a chat; nothing is shown yet.

        ``converse`` makes a conversation with a model of this name, or None for the default one,
        ``model``. ``contexts`` are the user's, in addition to the built-in ones. ``release``
        releases the index for other processes. Raises RequestError where the settings do not allow
        a conversation, and SettingsError for an unknown context.
        """
        self.contexts = {**CONTEXTS, **(contexts or {})}
        self._initial_template = self._template = self._template_of(context)
        self.session = Session(self._template)
        self.screen = screen
        self.multiline = multiline
        self._multiline_once = False
        self._converse = converse
        self._conversation = converse(None)
        self.rag = not self._conversation.has_model if rag is None else rag
        self._model = model
        self._journal = journal
        self._release = release

    @property
    def has_model(self) -> bool:
        """True if a language model replies; otherwise replies are quotations."""
        return self._conversation.has_model

    @property
    def title(self) -> str:
        """The name of the model that replies, or what the documents' replies are."""
        return (self._model or "model") if self.has_model else "quotations"

    @property
    def reads_lines(self) -> bool:
        """Whether the next message may have several lines."""
        return self.multiline != self._multiline_once

    @property
    def status(self) -> str:
        """The text at the right of the prompt: RAG, M(ultiline) or S(ingle), the context."""
        rag = "[RAG]" if self.rag else ""
        return f"{rag}[{'M' if self.reads_lines else 'S'}][{self.session.name}]"

    def greet(self) -> None:
        """Show which model replies, and what is missing for a reply."""
        greeting = f"Welcome to Kvasir chat with **{self.title}** (type /h for help)"
        if not self.has_model and not self.rag:
            greeting += f"\n\nNo language model is set: {NEEDS_MODEL}."
        self.screen.say(greeting)

    def ask(self, question: str) -> Answer:
        """Ask, show the reply while it comes, and keep the turn.

        Where there is no reply, raises KvasirError, or KeyboardInterrupt if the user broke it off.
        """
        title, rag, system = self.title, self.rag, self.session.system
        self._note(role="user", content=question, model=title, rag=rag)
        if not rag and not self.has_model:
            raise SettingsError(NEEDS_MODEL)
        stream = self._conversation.stream(question, self.session.messages, rag=rag, system=system)
        try:
            reply, seconds = self.screen.stream(title, stream, rag=rag, question=question)
        except BrokenOffError as broken:
            cause = broken.__cause__ or broken
            reason = str(cause) or type(cause).__name__
            self._note(role="assistant", content=broken.shown, broken_off=reason)
            raise cause from None
        self.session.add(question, reply)
        record: dict[str, Any] = {"role": "assistant", "content": reply.text}
        if reply.searched:
            record["searched"] = reply.searched
        if rag:
            record |= {
                "refused": reply.refused,
                "certainty": reply.certainty,
                "citations": reply.citations,
            }
        self._note(**record, notes=list(reply.notes), seconds=round(seconds, 3))
        return reply

    def message_accepted(self) -> None:
        """End the effect of ``/m``, which holds for one message."""
        self._multiline_once = False

    def flip_multiline_once(self) -> None:
        """Turn multiline on or off for the next message."""
        self._multiline_once = not self._multiline_once

    def toggle_multiline(self) -> None:
        """Turn multiline on or off."""
        self.multiline = not self.multiline
        self._multiline_once = False

    def toggle_rag(self) -> None:
        """Turn RAG on or off; off releases the index for other processes."""
        self.rag = not self.rag
        if not self.rag:
            self._release()

    def use_model(self, model: str) -> None:
        """Change the language model, if there is one, and begin a new session."""
        if not self.has_model:
            raise SettingsError(
                f"there is no language-model server to ask for '{model}': set generator.type and "
                "generator.base_url, or start with --generator ollama -m MODEL"
            )
        former, self._conversation = self._conversation, self._converse(model)
        former.close()
        self._model = model
        self.begin()

    def use_context(self, name: str) -> None:
        """Begin a new session in a context; raise SettingsError for an unknown one."""
        self._template = self._template_of(name)
        self.begin()

    def begin(self, *, forget: bool = False) -> None:
        """Begin a new session from the loaded template, or from the initial one."""
        if forget:
            self._template = self._initial_template
        self.load(self._template)

    def load(self, template: SessionTemplate, *, keep: bool = False) -> None:
        """Begin a session from a template, which is kept for later new sessions, if wanted."""
        if keep:
            self._template = template
        self.session = Session(template)
        if self._journal:
            self._journal.begin()

    def save(self, path: Path) -> bool:
        """Save the session, asking before a file is replaced; return True if it was saved."""
        try:
            if path.is_dir():
                raise RequestError(f"'{path}' is a folder: add the name of a file")
            is_there = path.exists()
        except (OSError, ValueError) as error:
            raise RequestError(f"cannot write '{path}': {error_reason(error)}") from error
        if is_there and not self.screen.confirm(f"'{path}' exists. Replace it?"):
            return False
        self.session.save(path)
        return True

    def close(self) -> None:
        """End the conversation; a second call does nothing."""
        self._conversation.close()

    def _template_of(self, context: str) -> SessionTemplate:
        if context not in self.contexts:
            known = ", ".join(self.contexts)
            raise SettingsError(f"there is no context '{context}'; contexts: {known}")
        return SessionTemplate(context, self.contexts[context])

    def _note(self, **record: Any) -> None:
        """Write to the log; after a failure, warn once and keep no log."""
        if self._journal is None:
            return
        try:
            self._journal.write(record, self.session.system)
        except KvasirError as error:
            self._journal = None
            self.screen.warn(f"{error}; the chat goes on without a log")
