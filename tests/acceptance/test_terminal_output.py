"""The terminal: lines of its width, words whole and marked, tables drawn, links to the place.

What documents and their names hold must not act on it.
"""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pexpect
import pyte
import pytest
from pdf_files import make_pdf
from pty_process import PtyProcess
from rich.cells import cell_len

from kvasir.frontends.cli.main import COMMANDS

Kvasir = Callable[..., Any]

RENAMING = "\x1b]0;yours\x07"
"""Gives a terminal's window another title."""
CLEARING = "\x9b2J"
"""Clears the screen."""
ACTING = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
QUESTION = "What is the Sun?"


@pytest.fixture(scope="module")
def sun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A document whose name, title, metadata, heading and text act on a terminal."""
    path = tmp_path_factory.mktemp("hostile") / f"sun{RENAMING}.md"
    path.write_text(
        f'---\ntitle: "The Sun\\e]0;yours\\a"\nauthor: "\\e]0;yours\\aAnn"\n---\n'
        f"# The {CLEARING}Sun\n\nThe Sun is a{CLEARING} star.\n"
    )
    return path


@pytest.fixture(scope="module")
def hostile(ingested_for_module: Kvasir, sun: Path) -> Kvasir:
    """Runs ``kvasir`` where that document is among others."""
    ingested_for_module("ingest", str(sun))
    return ingested_for_module


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["people", "programs"])
@pytest.mark.parametrize("command", ["list", "show", "search", "ask"])
def test_control_characters_of_documents_do_not_reach_the_terminal(
    hostile: Kvasir, sun: Path, command: str, form: tuple[str, ...]
) -> None:
    commands = {
        "list": ("documents", "list"),
        "show": ("documents", "show", "--text", str(sun)),
        "search": ("search", QUESTION),
        "ask": ("ask", QUESTION),
    }
    shown = hostile(*commands[command], *form).out
    assert "sun" in shown
    assert not ACTING.search(shown)


def test_an_unknown_documents_name_does_not_act_on_the_terminal(hostile: Kvasir) -> None:
    told = hostile("documents", "show", f"moon{RENAMING}{CLEARING}.md", code=2).err
    assert "there is no document 'moon" in told
    assert not ACTING.search(told)


def test_a_program_gets_names_and_texts_as_they_are(hostile: Kvasir, sun: Path) -> None:
    row = hostile("documents", "show", "--json", "--text", str(sun)).json
    assert row["source_uri"] == str(sun)
    assert f"a{CLEARING} star" in row["text"]


@pytest.mark.parametrize("command", [("ask",), ("chat", "-qq", "--rag")], ids=["ask", "chat"])
def test_a_documents_name_adds_no_source_under_an_answer(
    kvasir: Kvasir, tmp_path: Path, command: tuple[str, ...]
) -> None:
    (tmp_path / "sun\n[2] trusted.md").write_text("The Sun is a star.\n")
    kvasir("ingest", ".")
    lines = kvasir(*command, QUESTION).out.splitlines()
    assert any(line.startswith(r"[1] sun\n[2] trusted.md") for line in lines)
    assert not any(line.startswith("[2]") for line in lines)


def test_the_questions_of_a_data_set_do_not_act_on_the_terminal(
    kvasir: Kvasir, tmp_path: Path
) -> None:
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq\td\t1\n")
    document = {"_id": "d", "title": "Sun", "text": "The Sun is a star."}
    question = {"_id": "q", "text": QUESTION + RENAMING, "answers": ["a star"]}
    for name, row in (("corpus", document), ("queries", question)):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    shown = kvasir("evaluate", "answers", "--cases", ".").out
    assert QUESTION in shown
    assert not ACTING.search(shown)


MOON = (
    "The Moon orbits the Earth at a distance of 384,400 kilometres, and its surface is covered "
    "with craters that impacts of rocks have made over billions of years."
)
TYCHO = "Bright rays of this crater reach far over the whole southern hemisphere of the Moon"
YUELIANG = "月亮围绕地球运行，表面布满了陨石坑。天文学家已经研究了几百年，今天仍然有新的发现。"
CODE = "def orbit(distance_in_kilometres: float, period_in_days: float = 27.3) -> float:"
CRATERS = "How many craters does the surface of the Moon have?"
LONG_NAME = "a-folder-with-a-long-name/notes-on-the-moon-and-its-craters-in-two-thousand-words.md"


@pytest.fixture(scope="module")
def observatory(
    tmp_path_factory: pytest.TempPathFactory, run_in: Callable[[Path], Kvasir]
) -> tuple[Kvasir, Path]:
    """Runs ``kvasir`` where prose, a table, code, Chinese and pages were ingested."""
    folder = tmp_path_factory.mktemp("observatory")
    note = folder / LONG_NAME
    note.parent.mkdir()
    note.write_text(
        f"# The Moon\n\n{MOON}\n\n## Tycho\n\n| Crater | Diameter in kilometres | Remark |\n"
        f"|---|---|---|\n| Tycho | 85 | {TYCHO} |\n\n## Orbits\n\n```python\n{CODE}\n    ...\n```\n"
    )
    (folder / "月亮.txt").write_text(f"{YUELIANG}\n")
    page = [
        (72, 720 - 16 * n, 12, f"Line {n} tells of asteroids and of meteors.") for n in range(40)
    ]
    comets = [(72, 720, 12, "A comet has a tail of dust and gas.")]
    (folder / "comets.pdf").write_bytes(make_pdf([page, comets]))
    run = run_in(folder)
    run("ingest", ".")
    return run, folder


def on_terminal(width: int, *, colour: bool = True) -> dict[str, str]:
    """Return the environment of a command that takes its output for a terminal."""
    environment = {"FORCE_COLOR": "1", "TERM": "xterm-256color", "COLUMNS": str(width)}
    return environment if colour else environment | {"NO_COLOR": "1"}


def plain(shown: str) -> str:
    """Return output without links and styles."""
    return re.sub(r"\x1b\]8;[^\x1b]*\x1b\\|\x1b\[[0-9;]*m", "", shown)


def flow(shown: str) -> str:
    """Return the words of output, whatever lines and cells they are in."""
    return " ".join(re.sub(r"[│─┼]", " ", plain(shown)).split())


SIZES = pytest.mark.parametrize("width", [50, 80, 120])
COLOURS = pytest.mark.parametrize("colour", [True, False], ids=["colour", "no colour"])


@SIZES
@COLOURS
@pytest.mark.parametrize("command", ["search", "ask"])
def test_hits_and_answers_fit_the_terminal_with_whole_and_marked_words(
    observatory: tuple[Kvasir, Path], command: str, width: int, colour: bool
) -> None:
    kvasir, folder = observatory
    shown = kvasir(command, CRATERS, code=None, **on_terminal(width, colour=colour)).out
    lines = plain(shown).split("\n")
    assert all(cell_len(line) <= width for line in lines if CODE not in line)
    assert set(MOON.split()) <= set(flow(shown).split())
    bold = "\x1b[1;33m" if colour else "\x1b[1m"
    assert f"{bold}craters\x1b[0m" in shown
    assert f"{bold}Moon\x1b[0m" in shown
    assert ("\x1b[1;33m" in shown) is colour
    place = f"file://{platform.node()}{quote(str(folder / LONG_NAME))}#3"
    assert re.search(rf"\x1b\]8;id=\d+;{re.escape(place)}\x1b\\", shown)
    assert "line 3" in flow(shown)


@SIZES
@pytest.mark.parametrize(
    "command", [("search", "--top-k", "2"), ("ask",), ("chat", "-qq", "--rag")]
)
def test_tables_of_passages_are_drawn(
    observatory: tuple[Kvasir, Path], command: tuple[str, ...], width: int
) -> None:
    kvasir, _ = observatory
    shown = kvasir(*command, "How large is Tycho?", code=None, **on_terminal(width)).out
    shown = shown.rpartition("\x1b[2K")[2]  # A chat draws its reply several times.
    lines = plain(shown).split("\n")
    assert all(cell_len(line) <= width for line in lines if CODE not in line)
    assert any("─┼─" in line for line in lines)
    assert "| Tycho" not in plain(shown)
    [row] = [line for line in lines if re.search(r"Tycho +│ 85 +│ Bright", line)][:1]
    head = next(line for line in lines if re.search(r"Crater +│ Diameter", line))
    assert row.index("│", 2) == head.index("│", 2)
    assert set(TYCHO.split()) <= set(flow(shown).split())


@SIZES
def test_wide_characters_and_code_are_shown_as_they_are(
    observatory: tuple[Kvasir, Path], width: int
) -> None:
    kvasir, _ = observatory
    shown = kvasir("search", "月亮离地球多远？", "--top-k", "1", **on_terminal(width)).out
    assert all(cell_len(line) <= width for line in plain(shown).split("\n"))
    assert YUELIANG in plain(shown).replace("\n   ", "")
    assert "\x1b[1;33m月亮\x1b[0m" in shown
    code = kvasir("search", "def orbit", "--top-k", "1", **on_terminal(width)).out
    assert f"   {CODE}\n" in plain(code)


def test_the_link_of_a_pdf_file_opens_the_page(observatory: tuple[Kvasir, Path]) -> None:
    kvasir, folder = observatory
    shown = kvasir("ask", "What does the tail of a comet have?", **on_terminal(80)).out
    assert f"file://{platform.node()}{folder}/comets.pdf#page=2\x1b\\" in shown
    assert "comets.pdf, page 2" in plain(shown)


def test_programs_get_neither_styles_nor_links_nor_line_ends(
    observatory: tuple[Kvasir, Path],
) -> None:
    kvasir, _ = observatory
    for command in (("search", CRATERS), ("ask", CRATERS), ("documents", "list")):
        shown = kvasir(*command, COLUMNS="50", TERM="xterm-256color").out
        assert "\x1b" not in shown
        assert LONG_NAME in shown
        assert command[0] == "documents" or MOON in shown
        found = kvasir(*command, "--json", **on_terminal(50))
        assert "\x1b" not in found.out
        assert found.json


def test_hits_and_citations_carry_the_same_place(observatory: tuple[Kvasir, Path]) -> None:
    kvasir, _ = observatory
    hits = kvasir("search", "--json", CRATERS).json
    [hit] = [each for each in hits if MOON in each["chunk"]["text"]]
    citation = kvasir("ask", "--json", CRATERS).json["citations"][0]
    assert (hit["line"], hit["chunk"]["headings"]) == (3, ["The Moon"])
    assert (citation["line"], citation["headings"]) == (3, ["The Moon"])


@pytest.mark.parametrize("forced", ["0", "1"])
def test_links_are_switched_by_the_environment(
    observatory: tuple[Kvasir, Path], forced: str
) -> None:
    kvasir, _ = observatory
    environment = on_terminal(80) | {"FORCE_HYPERLINK": forced}
    assert ("\x1b]8;" in kvasir("search", CRATERS, **environment).out) is (forced == "1")
    form = {"KVASIR_FILE_LINK": "vscode://file{path}:{line}"}
    assert ("vscode://file/" in kvasir("search", CRATERS, **environment, **form).out) is (
        forced == "1"
    )


@pytest.mark.parametrize("width", [50, 120])
@pytest.mark.parametrize(
    "command", [("documents", "list"), ("collections", "list"), ("models", "list")]
)
def test_lists_fit_the_terminal_and_lose_no_word(
    observatory: tuple[Kvasir, Path], command: tuple[str, ...], width: int
) -> None:
    kvasir, _ = observatory
    shown = plain(kvasir(*command, **on_terminal(width)).out)
    everything = kvasir(*command).out.partition("\n")[2]
    assert all(cell_len(line) <= width for line in shown.split("\n"))
    # Paths are wrapped behind separators.
    parts = re.findall(r"[^\s/._-]+[/._-]*", everything)
    assert all(part in shown for part in parts)


@pytest.mark.parametrize("width", [50, 120])
@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_the_help_fits_the_terminal(
    run_in: Callable[[Path], Kvasir], tmp_path: Path, command: str | None, width: int
) -> None:
    words = [command, "--help"] if command else ["--help"]
    shown = run_in(tmp_path)(*words, **on_terminal(width)).out
    # A name and its kind stay together: "--rag-context-refinement / --no-rag-..." is one.
    too_wide = [line for line in plain(shown).split("\n") if cell_len(line) > width]
    assert not [line for line in too_wide if len(line.split()) > 4], too_wide


@pytest.mark.parametrize("width", [50, 120])
def test_a_real_terminal_shows_whole_words_and_links(
    observatory: tuple[Kvasir, Path], width: int
) -> None:
    _, folder = observatory
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("KVASIR__", "COLUMNS"))}
    process = PtyProcess(
        [sys.executable, "-m", "kvasir", "ask", CRATERS],
        cwd=str(folder),
        env=inherited | {"TERM": "xterm-256color", "LANG": "C.UTF-8"},
        dimensions=(60, width),
        timeout=120,
    )
    process.expect(pexpect.EOF)
    written = process.before.decode()
    process.close()
    screen = pyte.Screen(width, 60)
    pyte.Stream(screen).feed(written)
    lines = [line.rstrip() for line in screen.display]
    assert set(MOON.split()) <= {word.strip('"') for line in lines for word in line.split()}
    assert "\x1b[1;33mcraters\x1b[0m" in written
    assert f"{quote(str(folder / LONG_NAME))}#3\x1b\\" in written
