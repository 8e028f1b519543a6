"""The slash commands: those of InstructLab's chat, and ``/r`` of its RAG proposal.

The first word of a message chooses the command. Other messages go to the model, such as a
question about ``/etc/passwd``. ``quit`` and ``exit`` are commands only as whole messages.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kvasir.core.errors import KvasirError, RequestError
from kvasir.core.types import Answer
from kvasir.frontends.cli.chat.chat import NEEDS_MODEL, Chat
from kvasir.frontends.cli.chat.session import read_session
from kvasir.frontends.cli.remedies import explain

_LONGEST_INDEX = 20
_LONGEST_REASON = 200
"""Most characters of typed text and of errors that are shown."""


class LeaveChat(Exception):  # noqa: N818 - a command, not an error
    """The user wants to leave."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command; ``run`` takes the chat and the argument."""

    name: str
    argument: str
    help: str
    run: Callable[[Chat, str], None]


def dispatch(chat: Chat, message: str) -> bool:
    """Run a message as a command and show its error; return False if it is not a command.

    Raises LeaveChat if the user wants to leave.
    """
    word, argument = [*message.split(maxsplit=1), "", ""][:2]
    if not argument and word.lower() in ("quit", "exit"):
        raise LeaveChat
    command = _BY_NAME.get(word) or _BY_NAME.get(word.lower())
    if command is None:
        return False
    try:
        command.run(chat, argument.strip())
    except KvasirError as error:
        chat.screen.warn(explain(error))
    except (OSError, ValueError, RuntimeError) as error:
        # An error of one command must not end the session.
        chat.screen.warn(f"{command.name} did not work: {_one_line(error)}")
    return True


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return _cut(text, _LONGEST_REASON) if text else type(error).__name__


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _quit(chat: Chat, _: str) -> None:
    raise LeaveChat


def _help(chat: Chat, _: str) -> None:
    lines = ["# Help / TL;DR", ""]
    for command in COMMANDS:
        usage = f"{command.name} {command.argument}".strip()
        text = command.help.format(contexts=", ".join(chat.contexts))
        lines.append(f"- `{usage}`: {text}")
    lines += ["", "Press Alt (or Meta) and Enter or Esc Enter to end multiline input."]
    chat.screen.say("\n".join(lines))


def _amend(chat: Chat, model: str) -> None:
    if not model:
        chat.screen.warn("which model? Type /a and its name")
        return
    chat.use_model(model)
    chat.greet()


def _context(chat: Chat, name: str) -> None:
    if not name:
        chat.screen.warn(f"which context? Type /c and one of: {', '.join(chat.contexts)}")
        return
    chat.use_context(name)
    chat.greet()


def _list_contexts(chat: Chat, _: str) -> None:
    chat.screen.say("\n\n".join(f"**{name}**\n\n{text}" for name, text in chat.contexts.items()))


def _new(chat: Chat, _: str) -> None:
    chat.begin()
    chat.screen.say("New session.")


def _new_forgetting(chat: Chat, _: str) -> None:
    chat.begin(forget=True)
    chat.screen.say("New session; what was loaded is forgotten.")


def _display(chat: Chat, index: str, *, markdown: bool = False) -> None:
    _with_response(
        chat, index, lambda reply: chat.screen.show(reply, chat.title, markdown=markdown)
    )


def _plain(chat: Chat, index: str) -> None:
    _with_response(chat, index, chat.screen.show_plain)


def _with_response(chat: Chat, index: str, show: Callable[[Answer], None]) -> None:
    """Show the n-th last response; 1 is the last one."""
    responses = chat.session.responses()
    try:
        number = int(index or "1")
    except ValueError:
        number = 0
    if not 1 <= number <= len(responses):
        there = f"1 to {len(responses)} are possible" if responses else "there is no response yet"
        chat.screen.fail(f"Invalid index: {_cut(index or '1', _LONGEST_INDEX)} ({there})")
        return
    show(responses[-number])


def _rag(chat: Chat, _: str) -> None:
    chat.toggle_rag()
    if chat.rag:
        chat.screen.note("RAG is on: replies come from your documents")
    elif chat.has_model:
        chat.screen.note("RAG is off: replies come from the language model alone")
    else:
        chat.screen.note(f"RAG is off; {NEEDS_MODEL}")


def _why(chat: Chat, _: str) -> None:
    responses = chat.session.responses()
    if not responses:
        chat.screen.warn("there is no response yet")
    elif responses[-1].explanation is None:
        chat.screen.warn("the last response was not made from your documents in this chat")
    else:
        chat.screen.explain(responses[-1])


def _save(chat: Chat, name: str) -> None:
    if not name:
        chat.screen.warn("where to? Type /s and a file name")
        return
    path = _path(name)
    saved = chat.save(path)
    chat.screen.note(f"session saved to '{path}'" if saved else "the session was not saved")


def _load(chat: Chat, name: str, *, keep: bool = False) -> None:
    if not name:
        chat.screen.warn(f"which file? Type {'/L' if keep else '/l'} and a file name")
        return
    path = _path(name)
    chat.load(read_session(path), keep=keep)
    chat.screen.note(
        f"session of {len(chat.session.messages)} messages loaded from '{path}'"
        + ("; /n returns to it" if keep else "")
    )


def _path(name: str) -> Path:
    """Return the typed path without quotes around it; raise RequestError for an unknown user."""
    if len(name) > 1 and name[0] == name[-1] and name[0] in "\"'":
        name = name[1:-1]
    try:
        return Path(name).expanduser()
    except (RuntimeError, ValueError) as error:
        shown = _cut(name, _LONGEST_REASON)
        raise RequestError(f"'{shown}' is no path: {_one_line(error)}; write it out") from error


_NTH = "if n is 1 the last response, if 2 the second last, and so on"

COMMANDS = (
    Command("/q", "", "quit (so do `quit`, `exit` and Ctrl-D)", _quit),
    Command("/h", "", "show this help", _help),
    Command("/a", "assistant", "amend assistant (i.e., the model); a new session begins", _amend),
    Command(
        "/c", "context", "change context (available: {contexts}); a new session begins", _context
    ),
    Command("/lc", "", "list contexts with their text", _list_contexts),
    Command(
        "/m",
        "",
        "toggle multiline (for the next message only)",
        lambda chat, _: chat.flip_multiline_once(),
    ),
    Command("/M", "", "toggle multiline", lambda chat, _: chat.toggle_multiline()),
    Command("/n", "", "new session (keeps what was loaded)", _new),
    Command("/N", "", "new session (forgets what was loaded)", _new_forgetting),
    Command("/d", "[n]", f"display a previous response: {_NTH}", _display),
    Command("/p", "[n]", f"a previous response in plain text: {_NTH}", _plain),
    Command(
        "/md",
        "[n]",
        f"a previous response rendered as Markdown: {_NTH}",
        partial(_display, markdown=True),
    ),
    Command("/r", "", "toggle RAG: replies from your documents, with their sources", _rag),
    Command("/why", "", "say how the last response from your documents was decided", _why),
    Command("/s", "file", "save the session; asks before it replaces a file", _save),
    Command("/l", "file", "load a session and go on from it", _load),
    Command(
        "/L", "file", "load a session permanently: /n returns to it", partial(_load, keep=True)
    ),
)

_BY_NAME = {command.name: command for command in COMMANDS}
