"""Commands, sessions and logs of the terminal chat, on a screen that can be read."""

import io
import json
import re
import stat

import pytest
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput
from rich.console import Console

from kvasir.answering.chat import Conversation
from kvasir.components.generators.openai import OpenAIGenerator
from kvasir.core.errors import ComponentError, RequestError, SettingsError
from kvasir.core.types import Answer, Chunk, Citation, Hit, Message
from kvasir.frontends.cli.chat.chat import CONTEXTS, Chat
from kvasir.frontends.cli.chat.loop import converse
from kvasir.frontends.cli.chat.screen import Screen
from kvasir.frontends.cli.chat.session import Journal, Session, SessionTemplate, read_session
from kvasir.frontends.cli.chat.slash_commands import COMMANDS, LeaveChat, dispatch
from kvasir.testing.model_server import model_server


class Desk:
    """A chat with a model server behind it, keys to press and a screen to read."""

    def __init__(self, server, keys, **options):
        self.server = server
        self.keys = keys
        self._drawn = io.StringIO()
        self.screen = Screen(
            Console(file=self._drawn, width=400, force_terminal=True, color_system="standard"),
            given=keys,
            output=DummyOutput(),
        )
        self.models = []
        self.chat = Chat(self.screen, self._converse, model="small", **options)

    def _converse(self, model):
        self.models.append(model)
        generator = OpenAIGenerator(model or "small", self.server.base_url, retries=0)
        return Conversation(generator, _no_documents)

    def run(self, *messages):
        """Runs commands and returns what they drew, without colours."""
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.run_raw(*messages))

    def run_raw(self, *messages):
        self._drawn.seek(0)
        self._drawn.truncate()
        for message in messages:
            assert dispatch(self.chat, message), message
        return self._drawn.getvalue()

    def drawn(self):
        return self._drawn.getvalue()


def _no_documents():
    raise RequestError("there is no collection")


@pytest.fixture
def keys():
    with create_pipe_input() as pipe:
        yield pipe


@pytest.fixture
def server():
    with model_server(lambda messages: ["re: ", messages[-1]["content"]]) as model:
        yield model


@pytest.fixture
def desk(server, keys):
    return Desk(server, keys)


def test_responses_are_counted_from_the_last_whatever_surrounds_them(desk):
    for question in ("one", "two", "three"):
        desk.chat.ask(question)
    assert "re: three" in desk.run("/p")
    assert "re: three" in desk.run("/p 1")
    assert "re: one" in desk.run("/d 3")
    assert "│ re: two" in desk.run("/md   2")


@pytest.mark.parametrize("command", ["/d", "/p", "/md"])
@pytest.mark.parametrize("index", ["0", "-1", "4", "two", "1.5", "1 2"])
def test_a_wrong_index_is_named_in_bold_red(desk, command, index):
    for question in ("one", "two", "three"):
        desk.chat.ask(question)
    shown = desk.run_raw(f"{command} {index}")
    assert f"\x1b[1;31mInvalid index: {index} (1 to 3 are possible)" in shown


def test_an_index_into_nothing_says_that_there_is_no_response(desk):
    assert "Invalid index: 1 (there is no response yet)" in desk.run("/d")


def test_only_the_first_word_makes_a_command_and_case_matters_where_it_has_a_meaning(desk):
    assert not dispatch(desk.chat, "/etc/hosts is what?")
    assert not dispatch(desk.chat, "what is /r?")
    assert not dispatch(desk.chat, "exit codes of tar")
    assert not dispatch(desk.chat, "quit smoking")
    assert dispatch(desk.chat, "/R")
    assert desk.chat.rag
    assert dispatch(desk.chat, " /M")
    assert desk.chat.multiline
    for leaving in ("/q", "/Q", "quit", "EXIT", " exit ", "/q now"):
        with pytest.raises(LeaveChat):
            dispatch(desk.chat, leaving)


def test_the_status_shows_rag_first_then_lines_then_what_was_loaded(desk):
    assert desk.chat.status == "[S][default]"
    desk.run("/r", "/m", "/c cli_helper")
    assert desk.chat.status == "[RAG][M][cli_helper]"
    desk.chat.message_accepted()
    assert desk.chat.status == "[RAG][S][cli_helper]"
    desk.run("/M", "/m")
    assert desk.chat.status == "[RAG][S][cli_helper]"
    desk.chat.message_accepted()
    assert desk.chat.status == "[RAG][M][cli_helper]"


def test_help_names_every_command_and_every_context(server, keys):
    shown = Desk(server, keys, contexts={"pirate": "Arr."}).run("/h")
    assert all(f"• {command.name}" in shown for command in COMMANDS)
    assert "default, cli_helper, pirate" in shown
    assert "system" in shown.splitlines()[0]


def test_contexts_are_listed_chosen_and_unknown_ones_warned_about(desk):
    shown = desk.run("/lc")
    assert "cli_helper" in shown
    assert CONTEXTS["cli_helper"].split(".")[0] in re.sub(r"[\s│]+", " ", shown)
    assert "contexts: default, cli_helper" in desk.run("/c poet")
    assert "one of: default, cli_helper" in desk.run("/c")
    desk.chat.ask("one")
    assert "Welcome" in desk.run("/c cli_helper")
    assert desk.chat.session.messages == []
    desk.chat.ask("list files")
    assert desk.server.last_messages[0]["content"] == CONTEXTS["cli_helper"]


def test_an_unknown_context_in_the_settings_is_an_error(server, keys):
    with pytest.raises(SettingsError, match="contexts: default, cli_helper"):
        Desk(server, keys, context="poet")


def test_another_model_begins_a_new_session(desk):
    desk.chat.ask("one")
    assert "Kvasir chat with large" in desk.run("/a large")
    assert desk.chat.session.messages == []
    desk.chat.ask("two")
    assert desk.server.requests[-1]["model"] == "large"
    assert desk.models == [None, "large"]
    assert "which model" in desk.run("/a")


def test_a_saved_session_holds_what_was_typed_and_can_be_loaded(desk, tmp_path):
    desk.chat.ask("¿dónde?")
    path = tmp_path / "my session, two.json"
    assert "saved" in desk.run(f"/s {path}")
    text = path.read_text("utf-8")
    assert text.startswith('[\n    {\n        "role": "system",')
    assert [turn["content"] for turn in json.loads(text)][1:] == ["¿dónde?", "re: ¿dónde?"]
    desk.run("/n")
    assert desk.chat.session.messages == []
    desk.run(f'/l "{path}"')
    assert desk.chat.status == "[S][my session, two.json]"
    assert [m.content for m in desk.chat.session.messages] == ["¿dónde?", "re: ¿dónde?"]
    assert "re: ¿dónde?" in desk.run("/p")
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(("key", "saved"), [("y\r", True), ("n\r", False), ("\r", False)])
def test_a_file_is_replaced_only_after_a_yes(desk, tmp_path, key, saved):
    path = tmp_path / "s.json"
    path.write_text("before")
    desk.keys.send_text(key)
    shown = desk.run(f"/s {path}")
    assert (path.read_text() != "before") == saved
    assert ("not saved" in shown) != saved


def test_what_was_loaded_for_good_comes_back_and_can_be_forgotten(desk, tmp_path):
    path = tmp_path / "s.json"
    path.write_text('[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]')
    desk.run(f"/l {path}")
    desk.chat.ask("more")
    desk.run("/n")
    assert desk.chat.status == "[S][default]"
    desk.run(f"/L {path}")
    desk.chat.ask("more")
    assert len(desk.chat.session.messages) == 4
    desk.run("/n")
    assert desk.chat.status == "[S][s.json]"
    assert len(desk.chat.session.messages) == 2
    desk.run("/N")
    assert desk.chat.status == "[S][default]"
    assert desk.chat.session.messages == []
    desk.run("/n")
    assert desk.chat.status == "[S][default]"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"[{", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"role": "user"}', "a session is a list"),
        (b'"text"', "a session is a list"),
        (b"[1]", "message 1"),
        (b'[{"role": "user", "content": "x"}, {"role": "robot", "content": "x"}]', "message 2"),
        (b'[{"role": "user", "content": 3}]', "message 1"),
        (b"\xff\xfe", "not UTF-8"),
    ],
)
def test_a_file_that_is_no_session_costs_one_sentence(desk, tmp_path, content, complaint):
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    desk.chat.ask("one")
    for command in ("/l", "/L"):
        (line,) = desk.run(f"{command} {path}").splitlines()
        assert complaint in line
    assert len(desk.chat.session.messages) == 2
    with pytest.raises(RequestError) as caught:
        read_session(path)
    assert "\n" not in str(caught.value)


def test_files_that_are_not_there_or_cannot_be_written_cost_one_sentence(desk, tmp_path):
    assert "there is no file" in desk.run(f"/l {tmp_path / 'none.json'}")
    assert "cannot read" in desk.run(f"/L {tmp_path}")
    assert "cannot write" in desk.run(f"/s {tmp_path / 'no' / 'such' / 'folder.json'}")
    assert "which file? Type /L" in desk.run("/L")
    assert "where to?" in desk.run("/s")


def test_a_failure_is_one_sentence_and_nothing_is_kept(desk):
    def breaks(messages):
        yield "half"
        raise OSError("cut")

    desk.server.script = breaks
    with pytest.raises(ComponentError, match="broke off"):
        desk.chat.ask("one")
    assert desk.chat.session.messages == []
    assert "broken off" in desk.drawn()
    desk.run("/r")
    with pytest.raises(RequestError, match="there is no collection"):
        desk.chat.ask("two")
    assert desk.chat.session.messages == []


def test_the_loop_reads_until_the_end_of_input_and_survives_failures(desk):
    desk.server.script = lambda messages: ["hello there"]
    desk.keys.send_text("\r   \rhi\r/r\rask\r/r\r")
    desk.keys.send_text("\x04")
    converse(desk.chat, "first")
    assert [m.content for m in desk.chat.session.messages if m.role == "user"] == ["first", "hi"]
    assert "there is no collection" in desk.drawn()


def test_turning_rag_off_lets_go_of_the_index(server, keys):
    released = []
    desk = Desk(server, keys, release=lambda: released.append(1))
    desk.run("/r")
    assert not released
    desk.run("/r")
    assert released == [1]


def test_control_characters_of_a_reply_do_not_reach_the_terminal(desk):
    desk.server.script = lambda messages: ["\x1b]0;owned\x07 a\x1b[2J\tb\r\x9b31m"]
    desk.chat.ask("one")
    desk.screen.show_plain(desk.chat.session.responses()[0])
    desk.screen.warn("\x1b[2Jwarned")
    shown = desk.drawn()
    assert "\x1b]" not in shown
    assert "\x1b[2J" not in shown
    assert "\x9b" not in shown
    assert "[2Jwarned" in shown


def test_sources_stand_under_an_answer_once_each_with_their_words(desk):
    text = "Kvasir was wise. Nobody could ask him a question that he could not answer."
    hits = tuple(
        Hit(Chunk(f"c{n}", "d", text, 0, len(text), page=n, metadata={"source_uri": "/e.pdf"}), 1.0)
        for n in (1, 2)
    )

    def citation(marker):
        return Citation(marker, "d", "/e.pdf", marker, "Kvasir was wise.", 0, 16)

    cited = Answer("Wise [2]. So [1]. Yes [2].", (citation(2), citation(1), citation(2)), hits)
    desk.screen.show_plain(cited)
    lines = desk.drawn().splitlines()
    assert [line for line in lines if ".pdf" in line] == [
        "[1] /e.pdf, page 1",
        "[2] /e.pdf, page 2",
    ]
    assert sum("Kvasir was wise." in line for line in lines) == 2
    uncited = Answer("Wise.", (), hits)
    desk.screen.show_plain(uncited)
    assert "could be traced to a source" in desk.drawn()
    refused = Answer("I cannot find it.", (), hits, refused=True)
    before = desk.drawn()
    desk.screen.show_plain(refused)
    said = desk.drawn()[len(before) :]
    assert said.strip().startswith("I cannot find it.")
    assert "The nearest passages" in said
    assert "Kvasir was wise" not in said.partition("The nearest passages")[0]


def test_each_session_has_a_log_of_its_own_that_only_the_user_can_read(server, keys, tmp_path):
    folder = tmp_path / "logs"
    desk = Desk(server, keys, journal=Journal(folder))
    assert not folder.exists()
    desk.chat.ask("one")
    desk.chat.ask("two")
    desk.run("/n")
    desk.chat.ask("three")
    logs = [path.read_text("utf-8").splitlines() for path in sorted(folder.iterdir())]
    records = [[json.loads(line) for line in log] for log in logs]
    assert sorted([r["content"] for r in log] for log in records) == sorted(
        [
            [CONTEXTS["default"], "one", "re: one", "two", "re: two"],
            [CONTEXTS["default"], "three", "re: three"],
        ]
    )
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_a_log_that_cannot_be_written_is_said_once_and_the_chat_goes_on(server, keys, tmp_path):
    (tmp_path / "file").write_text("")
    desk = Desk(server, keys, journal=Journal(tmp_path / "file" / "logs"))
    desk.chat.ask("one")
    desk.chat.ask("two")
    assert desk.drawn().count("goes on without a log") == 1
    assert len(desk.chat.session.messages) == 4


def test_what_was_typed_is_kept_for_the_next_chat_in_a_file_of_the_users_own(keys, tmp_path):
    path = tmp_path / "new" / "history"
    screen = Screen(Console(file=io.StringIO()), history=path, given=keys, output=DummyOutput())
    keys.send_text("remember me\r")
    assert screen.read(lambda: "", multiline=False) == "remember me"
    assert "remember me" in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    keys.send_text("\x1b[A\r")
    again = Screen(Console(file=io.StringIO()), history=path, given=keys, output=DummyOutput())
    assert again.read(lambda: "", multiline=False) == "remember me"


def test_a_session_keeps_the_system_message_of_its_file(tmp_path):
    path = tmp_path / "s.json"
    path.write_text('[{"role": "system", "content": "Rhyme."}, {"role": "user", "content": "Hi"}]')
    session = Session(read_session(path))
    assert (session.name, session.system) == ("s.json", "Rhyme.")
    assert session.messages == [Message("user", "Hi")]
    session.save(tmp_path / "t.json")
    assert read_session(tmp_path / "t.json") == SessionTemplate(
        "t.json", "Rhyme.", (Message("user", "Hi"),)
    )


@pytest.mark.parametrize(
    "typed",
    ["~nouser/x", ".", "..", "/", "n" * 300, "a\0b", "~nouser", "''", "\ud800"],
    ids=["no user", "here", "above", "root", "long", "nul", "no home", "quotes", "surrogate"],
)
@pytest.mark.parametrize("command", ["/s", "/l", "/L"])
def test_a_mistyped_path_costs_one_sentence_and_the_session_stays(
    desk, tmp_path, monkeypatch, command, typed
):
    monkeypatch.chdir(tmp_path)
    desk.chat.ask("one")
    shown = desk.run(f"{command} {typed}")
    assert shown.strip()
    assert "loaded" not in shown
    assert "saved" not in shown
    assert "did not work" not in shown
    assert len(desk.chat.session.messages) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_file_with_half_a_character_is_refused(desk, tmp_path):
    path = tmp_path / "half.json"
    path.write_text('[{"role": "user", "content": "a \\ud800 b"}]')
    assert "message 1 holds half a character" in desk.run(f"/l {path}")
    assert desk.chat.status == "[S][default]"


@pytest.mark.parametrize("error", [OSError("one\ntwo"), ValueError("one\ntwo"), RuntimeError()])
def test_what_a_command_stumbles_over_is_one_sentence_and_the_chat_goes_on(
    desk, monkeypatch, error
):
    def stumble():
        raise error

    monkeypatch.setattr(desk.chat, "toggle_rag", stumble)
    desk.keys.send_text("/r\rhi\r\x04")
    converse(desk.chat)
    said = " ".join(str(error).split()) or "RuntimeError"
    assert f"/r did not work: {said}\n" in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", desk.drawn())
    assert len(desk.chat.session.messages) == 2


def test_a_very_long_index_is_not_repeated_whole(desk):
    desk.chat.ask("one")
    for index in ("9" * 5000, "x" * 5000):
        assert len(desk.run(f"/d {index}")) < 100


@pytest.mark.parametrize("place", ["file/history", "folder", "nul\0/history"])
def test_a_history_that_cannot_be_kept_is_said_once_and_the_chat_goes_on(keys, tmp_path, place):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    drawn = io.StringIO()
    screen = Screen(
        Console(file=drawn, width=400), history=tmp_path / place, given=keys, output=DummyOutput()
    )
    for typed in ("one\r", "\x1b[A\r"):
        keys.send_text(typed)
        assert screen.read(lambda: "", multiline=False) == "one"
    assert drawn.getvalue().count("cannot keep what you type") == 1
    assert drawn.getvalue().count("\n") == 1


def test_bytes_that_are_no_text_become_characters_that_can_be_sent_and_kept(keys, tmp_path):
    screen = Screen(Console(file=io.StringIO()), given=keys, output=DummyOutput())
    keys.send_bytes(b"caf\xe9\r")
    screen.read(lambda: "", multiline=False).encode("utf-8")
