"""One turn of a chat, from the documents or from the language model alone.

The caller keeps the history, as messages without retrieved passages. A language model decides
itself whether the sources answer a message, because "thanks" and "shorter, please" are not
questions to the documents. With a generator that only quotes, the calibrated decision to refuse
applies, as for a single question; thanks and greetings are not searched for, and follow-up
questions are searched with words of the conversation (``follow_ups``). Reasons:
docs/decisions/0012-chat.md.

Source of the pipeline: the InstructLab proposal "Ingesting and Utilizing RAG Artifacts", 3.3.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import KW_ONLY, dataclass, field, replace

from kvasir.answering.answers import INCOMPLETE, IS_CUT, Answerer, check_question
from kvasir.answering.follow_ups import FollowUps, polite_reply
from kvasir.answering.prompts import (
    PLAIN,
    SYSTEM_PROMPT,
    PromptBuilder,
    left_out_notes,
    prompt_counter,
    prompt_room,
)
from kvasir.answering.refining import Refiner
from kvasir.answering.search_result import Rewriter
from kvasir.answering.support import without_marks
from kvasir.answering.thoughts import Retraction, generated
from kvasir.core import protocols
from kvasir.core.answer_stream import AnswerStream
from kvasir.core.errors import ComponentError, SettingsError
from kvasir.core.pieces import CutReason, Incomplete
from kvasir.core.protocols import QuotesOnly
from kvasir.core.types import (
    Answer,
    AnswerEvent,
    Certainty,
    Finished,
    Message,
    SearchRequest,
    Text,
)

CHAT_SYSTEM_PROMPT = f"""\
{SYSTEM_PROMPT} Earlier messages tell what a question is about; numbers in earlier answers belong \
to other sources. A greeting, thanks, or a wish to shorten or reword an earlier answer needs no \
source."""

NEEDS_MODEL = (
    "without RAG a chat needs a language model: set generator.type, generator.model and "
    "generator.base_url"
)


@dataclass
class Conversation:
    """Replies to messages, from the documents or from the language model alone.

    Attributes:
        answerer: Opens the collection and returns an answerer; called for each question with
            RAG, so that a missing or locked collection is tried again.
        search: Limits and filters of the searches; its ``query`` is not used.
        refiner: Rewrites questions for the search; None leaves them as typed.
        grounding: The system message with RAG; it follows the one given to ``stream``.
        close: Closes the conversation's generators; a second call does nothing.
    """

    generator: protocols.Generator
    answerer: Callable[[], Answerer]
    _: KW_ONLY
    search: SearchRequest = field(default_factory=lambda: SearchRequest(""))
    refiner: Refiner | None = None
    grounding: str = CHAT_SYSTEM_PROMPT
    close: Callable[[], None] = lambda: None

    @property
    def has_model(self) -> bool:
        """True if a language model replies; otherwise replies are quotations."""
        return not isinstance(self.generator, QuotesOnly)

    def stream(
        self, question: str, history: Sequence[Message] = (), *, rag: bool, system: str = ""
    ) -> AnswerStream:
        """Return the reply as a lazy stream of events.

        Reading it raises the errors of the collection and the model.

        Args:
            question: The user's message, as typed.
            history: Earlier messages, oldest first, without retrieved passages. Marks of
                unsupported sentences are taken out, so that a model does not repeat them.
            rag: True: reply from the documents. False: from the language model alone, with
                neither hits nor citations.
            system: The system message of the conversation; may be empty.

        Raises:
            SettingsError: ``rag`` is False and there is no language model.
        """
        history = [_as_written(message) for message in history]
        if rag:
            return AnswerStream(self._from_documents(question, history, system))
        if not self.has_model:
            raise SettingsError(NEEDS_MODEL)
        return AnswerStream(self._from_model(question, history, system))

    def _from_model(
        self, question: str, history: Sequence[Message], system: str
    ) -> Generator[AnswerEvent, None, None]:
        builder, count = PromptBuilder(PLAIN, system=system), prompt_counter(self.generator)
        room = prompt_room(self.generator)
        prompt = builder.build(question, (), history=history, room=room, count=count)
        texts: list[str] = []
        cut: CutReason | None = None
        with closing(generated(self.generator, prompt)) as pieces:
            for piece in pieces:
                if isinstance(piece, Retraction):
                    texts.clear()
                    continue
                if isinstance(piece, Incomplete):
                    cut = piece.reason
                texts.append(piece)
                if piece:
                    yield Text(piece)
        text = "".join(texts)
        if cut and not text.strip():
            cause = f"the model's reply was empty: {INCOMPLETE[cut]}"
            raise ComponentError("generator", "replying", cause)
        if not text.strip():
            raise ComponentError(
                "generator", "replying", "the model's reply was empty: ask again, or in other words"
            )
        notes = left_out_notes(prompt, (), history, bool(system))
        notes += (INCOMPLETE[cut],) if cut else ()
        certainty = Certainty.NOT_SURE if cut else Certainty.SURE
        doubt = IS_CUT if cut else ""
        yield Finished(
            Answer(text, certainty=certainty, incomplete=cut or "", doubt=doubt, notes=notes)
        )

    def _from_documents(
        self, question: str, history: Sequence[Message], system: str
    ) -> Generator[AnswerEvent, None, None]:
        rewriter: Rewriter | None = self.refiner
        answerer: Answerer | None = None
        if not self.has_model:
            # A language model can reply to "?"; a quotation needs a word to search for.
            check_question(question)
            answerer = self.answerer()
            if reply := polite_reply(question, history, answerer.languages):
                yield Text(reply)
                yield Finished(Answer(reply))
                return
            rewriter = rewriter or FollowUps(answerer.analyzer)
        answerer = answerer or self.answerer()
        yield from answerer.generate_answer(
            replace(self.search, query=question),
            history=history,
            rewriter=rewriter,
            system="\n\n".join(text for text in (system, self.grounding) if text),
            model_decides=self.has_model,
        )


def _as_written(message: Message) -> Message:
    if message.role != "assistant":
        return message
    return replace(message, content=without_marks(message.content))
