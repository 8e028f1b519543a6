"""Log lines: what a client sent cannot pretend to be another line, or act on a terminal."""

import io
import json
import logging

import pytest

from kvasir.frontends.process import configure_logging

HOSTILE = "/a\nb\x1b[2J\x85c\u2028d"
LOGGER = logging.getLogger("kvasir.access")


@pytest.fixture
def lines():
    """Return a function that logs in a form; it returns the lines."""
    root = logging.getLogger()
    before = list(root.handlers)

    def log(form, message, **more):
        written = io.StringIO()
        configure_logging(form, to=written)
        LOGGER.error("GET %s 404", message, **more)
        return written.getvalue()

    yield log
    root.handlers[:] = before


def test_a_hostile_path_stays_in_its_line_and_does_not_act_on_the_terminal(lines):
    written = lines("text", HOSTILE)
    assert written.splitlines() == [written.rstrip("\n")]
    assert "\x1b" not in written
    assert r"/a\nb\x1b[2J\x85c\u2028d 404" in written


def test_json_lines_have_the_path_and_no_control_characters(lines):
    written = lines("json", HOSTILE)
    assert len(written.splitlines()) == 1 and written.isascii()
    assert json.loads(written)["message"] == f"GET {HOSTILE} 404"


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_traceback_does_not_act_on_the_terminal(lines, form):
    try:
        raise ValueError(HOSTILE)
    except ValueError as error:
        written = lines(form, "/", exc_info=error)
    assert "ValueError" in written and "\x1b" not in written
