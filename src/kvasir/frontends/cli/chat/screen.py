"""The terminal of a chat: rich draws, prompt-toolkit edits.

Control characters of models and documents are removed: they could act on the terminal.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from pathlib import Path
from time import perf_counter

from prompt_toolkit import PromptSession
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.input import Input
from prompt_toolkit.output import Output
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.markdown import Markdown
from rich.panel import Panel
from rich.text import Text

from kvasir.core.answer_stream import AnswerStream
from kvasir.core.matches import MatchFinder
from kvasir.core.private_files import make_private_folder
from kvasir.core.text import one_line, printable, replace_surrogates
from kvasir.core.types import Answer, Retrieved, Stage
from kvasir.core.types import Text as TextPiece
from kvasir.frontends.cli.chat.session import error_reason
from kvasir.frontends.cli.explanations import answer_lines
from kvasir.frontends.cli.passages import FindMatches, passage_lines
from kvasir.frontends.cli.places import Places, headings_of, on_page, quote_lines
from kvasir.frontends.cli.remedies import explain_note
from kvasir.frontends.cli.rendering import nearest_title, unsupported
from kvasir.frontends.cli.terminal import Terminal

_LONGEST_QUOTE = 200
_FRAME = 4
"""Rows and columns that a panel's frame takes."""
_MOST_UNCITED = 5


class BrokenOffError(Exception):
    """A reply was interrupted, by the cause; ``shown`` is its text so far."""

    def __init__(self, shown: str) -> None:
        super().__init__("the reply was broken off")
        self.shown = shown


class Screen:
    """One terminal."""

    def __init__(
        self,
        console: Console | None = None,
        *,
        history: Path | None = None,
        vi_mode: bool = False,
        given: Input | None = None,
        output: Output | None = None,
        places: Callable[[Terminal], Places] = lambda terminal: Places(terminal, ""),
        locate: Callable[[Answer], Answer] = lambda answer: answer,
        matches: Callable[[str], MatchFinder] | None = None,
    ) -> None:
        """Draw nothing yet.

        Args:
            console: Where to draw; by default standard output.
            history: File that keeps typed messages.
            vi_mode: Edit with the keys of vi.
            given: Where keys come from; by default standard input.
            output: Where the editor draws.
            places: Makes what shows where sources stand.
            locate: Adds the lines of files to an answer.
            matches: Makes what finds the words of a question, to highlight them.
        """
        self._console = console or Console()
        self._terminal = Terminal(console=self._console)
        self._places = places(self._terminal)
        self._locate = locate
        self._matches = matches
        self._history = history
        self._vi_mode = vi_mode
        self._given = given
        self._output = output

    def read(self, status: Callable[[], str], *, multiline: bool) -> str:
        """Read one message, with the text of ``status`` at the right of the prompt.

        If ``multiline``, Enter begins a new line, and Alt-Enter or Esc Enter ends the message.
        Ctrl-D raises EOFError, Ctrl-C KeyboardInterrupt.
        """
        given = self._editor.prompt(
            FormattedText([("bold", ">>> ")]),
            rprompt=lambda: FormattedText([("bold", status())]),
            multiline=multiline,
            prompt_continuation=lambda width, *_: "." * (width - 1) + " ",
        )
        # Bytes that are not UTF-8 arrive as lone surrogates.
        return replace_surrogates(given)

    def confirm(self, question: str) -> bool:
        """Ask a yes-or-no question; anything but yes means no, and so does piped input."""
        if self._given is None and not sys.stdin.isatty():
            return False
        editor: PromptSession[str] = PromptSession(
            history=InMemoryHistory(), input=self._given, output=self._output
        )
        try:
            given = editor.prompt(f"{printable(question)} [y/N] ")
        except EOFError:
            return False
        return given.strip().lower() in ("y", "yes")

    def say(self, markdown: str) -> None:
        """Show a message of the chat."""
        self._print(Panel(Markdown(printable(markdown)), title="system", border_style="cyan"))

    def note(self, sentence: str) -> None:
        """Show one dim sentence."""
        self._print(Text(printable(sentence), "dim"))

    def warn(self, sentence: str) -> None:
        """Show a warning of one sentence."""
        self._print(Text(printable(sentence), "yellow"))

    def fail(self, sentence: str) -> None:
        """Show an error of one sentence."""
        self._print(Text(printable(sentence), "bold red"))

    def show(self, reply: Answer, title: str, *, markdown: bool = False) -> None:
        """Show a reply in a panel, with its sources under it."""
        self._print(_panel(self._with_sources(reply, markdown=markdown), title))

    def show_plain(self, reply: Answer) -> None:
        """Show a reply without a frame, for copying."""
        self._plain(reply.text)
        for line in self._sources(reply):
            self._plain(line.plain)

    def explain(self, reply: Answer) -> None:
        """Show how a reply from the documents was decided and found."""
        for line in answer_lines(reply, self._terminal.width):
            self._console.print(line, soft_wrap=True, highlight=False)

    def stream(
        self, title: str, stream: AnswerStream, *, rag: bool, question: str = ""
    ) -> tuple[Answer, float]:
        """Show a reply while it is written; return it with the seconds it took.

        The words of ``question`` are highlighted in a reply from documents. Where it does not come
        to its end, raises BrokenOffError, whose cause says why.
        """
        started = perf_counter()
        live_reply = _LiveReply(title, "searching" if rag else "writing", started)
        try:
            if self._console.is_terminal:
                live = Live(live_reply, console=self._console, refresh_per_second=8, transient=True)
                with _suppress_key_echo(), live, stream:
                    live_reply.follow(stream)
            else:
                with stream:
                    live_reply.follow(stream)
            reply = self._locate(stream.answer)
        except BaseException as error:
            if live_reply.text and self._console.is_terminal:
                self._print(_panel(Text(live_reply.text), title, "broken off"))
            raise BrokenOffError(live_reply.text) from error
        seconds = perf_counter() - started
        if self._console.is_terminal:
            find = self._finder(question, reply) if rag else None
            self._print(_panel(self._with_sources(reply, find), title, _elapsed(seconds)))
        else:
            self.show_plain(reply)
        if reply.searched:
            self.note(f"searched for: {one_line(reply.searched)}")
        for sentence in reply.notes:
            self.note(explain_note(sentence))
        return reply, seconds

    @cached_property
    def _editor(self) -> PromptSession[str]:
        return PromptSession(
            history=self._open_history(),
            vi_mode=self._vi_mode,
            input=self._given,
            output=self._output,
        )

    def _open_history(self) -> History:
        if self._history is None:
            return InMemoryHistory()
        try:
            make_private_folder(self._history.parent)
            os.close(os.open(self._history, os.O_CREAT | os.O_APPEND | os.O_RDWR, 0o600))
        except (OSError, ValueError) as error:
            self.warn(
                f"cannot keep what you type in '{self._history}' ({error_reason(error)}): set "
                "data_dir to a folder that can be written; the chat goes on without"
            )
            return InMemoryHistory()
        return _SafeFileHistory(str(self._history))

    @property
    def _room(self) -> int | None:
        """The cells of a line in a panel; None where there is no terminal."""
        return max(_FRAME, self._console.width - _FRAME) if self._console.is_terminal else None

    def _finder(self, question: str, reply: Answer) -> FindMatches | None:
        """Return what finds a question's words, in the language of the best hit."""
        if self._matches is None or not reply.hits or not self._terminal.has_styles:
            return None
        language = str(reply.hits[0].chunk.metadata.get("language", ""))
        return partial(self._matches(question).spans, language=language)

    def _with_sources(
        self, reply: Answer, find: FindMatches | None = None, *, markdown: bool = False
    ) -> Group:
        body: list[RenderableType] = [Markdown(printable(reply.text))]
        if not markdown:
            rule = self._terminal.rule
            body = [*passage_lines(reply.text, self._room, find=find, rule=rule)]
        sources = self._sources(reply, find)
        return Group(*body, "", *sources) if sources else Group(*body)

    def _sources(self, answer: Answer, find: FindMatches | None = None) -> list[Text]:
        """Return the lines under an answer: each cited source with its number and quotes."""
        if answer.refused:
            return self._nearest(answer)
        lines: list[Text] = []
        for marker in sorted({citation.marker for citation in answer.citations}):
            cited = [citation for citation in answer.citations if citation.marker == marker]
            where = Text().append(f"[{marker}] ", "bold")
            where.append_text(self._places.of_citation(cited[0]))
            lines.append(where.append(on_page(cited[0].box)))
            if cited[0].headings:
                lines.append(Text(f"    {headings_of(cited[0].headings)}", "dim"))
            for quote in dict.fromkeys(citation.quote for citation in cited):
                lines += quote_lines(
                    quote, self._room, find, most=_LONGEST_QUOTE, rule=self._terminal.rule
                )
        if answer.removed_citations:
            removed = f"citations that pointed nowhere, removed: {answer.removed_citations}"
            lines.append(Text(removed, "dim"))
        if answer.unsupported_sentences:
            lines.append(Text(unsupported(answer), "dim"))
        lines += self._nearest(answer)
        if not answer.citations and answer.hits and not answer.nearest:
            places = {text.plain: text for text in map(self._places.of_hit, answer.hits)}
            said = "No statement above could be traced to a source. Retrieved were:"
            lines.append(Text(said, "dim"))
            lines += [Text("  ") + place for place in list(places.values())[:_MOST_UNCITED]]
        return lines

    def _nearest(self, answer: Answer) -> list[Text]:
        """Return the lines about the nearest passages, where the documents may not hold more."""
        if not answer.nearest:
            return []
        places = {text.plain: text for text in map(self._places.of_hit, answer.nearest)}
        lines = [Text("  ") + place for place in places.values()]
        return [Text(nearest_title(answer), "dim"), *lines]

    def _print(self, shown: RenderableType) -> None:
        self._console.print(shown, highlight=False)

    def _plain(self, text: str) -> None:
        # The terminal wraps it, so that copied text has no added line ends.
        self._console.print(Text(printable(text)), soft_wrap=True, highlight=False)


class _SafeFileHistory(FileHistory):
    """Typed messages in a file; in memory only if the disk is full."""

    def store_string(self, string: str) -> None:
        with suppress(OSError):
            super().store_string(string)


class _LiveReply:
    """A panel with the end of an unfinished reply and the seconds so far."""

    def __init__(self, title: str, stage: str, started: float) -> None:
        self.text = ""
        self._title = title
        self._stage = stage
        self._started = started

    def follow(self, stream: AnswerStream) -> None:
        for event in stream:
            if isinstance(event, TextPiece):
                self.text += printable(event.text)
            elif isinstance(event, Stage):
                self._stage = event.name
            elif isinstance(event, Retrieved):
                self._stage = "writing"

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = max(1, options.max_width - _FRAME)
        rule = "─" if console.encoding.startswith("utf") else "-"
        lines = passage_lines(self.text or f"{self._stage} …", width, rule=rule)
        # Lines beyond the terminal's height cannot be redrawn: show only the last ones.
        lines = lines[-max(1, console.height - _FRAME) :]
        yield _panel(Text("\n").join(lines), self._title, _elapsed(perf_counter() - self._started))


def _panel(content: RenderableType, title: str, subtitle: str | None = None) -> Panel:
    heading = Text(printable(title))
    return Panel(content, title=heading, subtitle=subtitle, subtitle_align="right")


def _elapsed(seconds: float) -> str:
    return f"elapsed {seconds:.1f} seconds"


@contextmanager
def _suppress_key_echo() -> Iterator[None]:
    """Hide keys pressed while a reply is written, which the next prompt gets; Ctrl-C works.

    A terminal would show them in the middle of the panel.
    """
    if sys.platform == "win32" or not sys.stdin.isatty():
        yield
        return
    import termios

    before = termios.tcgetattr(sys.stdin)
    quiet = [*before]
    quiet[3] = before[3] & ~(termios.ECHO | termios.ICANON)
    termios.tcsetattr(sys.stdin, termios.TCSADRAIN, quiet)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
