"""The tree of errors: two branches, a code for each class, facts without commands."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import kvasir
from kvasir.core import errors
from kvasir.core.errors import (
    KINDS,
    ComponentError,
    DeadlineExceededError,
    KvasirError,
    OperatorError,
    RequestError,
    StoppedError,
)
from kvasir.frontends.cli.main import COMMANDS, exit_code_of

ROOT = Path(kvasir.__file__).parent
MANUAL = Path(__file__).parents[2] / "docs" / "errors.md"
FRONT_DOORS = ("frontends", "integrations", "testing")

NAMES_A_COMMAND = re.compile(
    rf"\bkvasir (?:{'|'.join(COMMANDS)}|-)"
    r"|(?:^|[\s'\"(`])(?:--[a-z][a-z-]+|/[a-z]\b(?!/))"
)


def classes(base: type[KvasirError] = KvasirError) -> Iterator[type[KvasirError]]:
    """Yield a class and all that inherit from it."""
    yield base
    for child in base.__subclasses__():
        yield from classes(child)


def codes(branch: type[KvasirError]) -> set[str]:
    """Return the codes of a branch, those of a failed component's kinds included."""
    found = {each.code for each in classes(branch)}
    return found | set(KINDS.values()) if issubclass(ComponentError, branch) else found


@pytest.fixture(scope="module")
def every_class() -> list[type[KvasirError]]:
    """Every class, whatever module could define one."""
    for module in pkgutil.walk_packages([str(ROOT / "core")], "kvasir.core."):
        importlib.import_module(module.name)
    return list(dict.fromkeys(classes()))


def made(cls: type[KvasirError]) -> KvasirError:
    """Make an error of a class, with text for each argument that it needs."""
    if cls.__init__ is Exception.__init__:
        return cls("text")
    parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
    return cls(*("1" for each in parameters if each.default is each.empty))


def test_each_class_has_a_code_of_its_own(every_class):
    of_each = [each.code for each in every_class]
    assert len(of_each) == len(set(of_each))
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in of_each)


def test_all_classes_stand_in_the_tree_of_one_module():
    defined = {
        f"{path.relative_to(ROOT)}: {node.name}"
        for path in ROOT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ClassDef)
        and any(getattr(base, "id", "") in vars(errors) for base in node.bases)
        and not path.is_relative_to(ROOT / "core" / "errors.py")
    }
    assert defined == set()


def test_each_class_has_one_exit_code(every_class):
    for each in every_class:
        error = made(each)
        if each is StoppedError:
            expected = 130
        elif issubclass(each, RequestError):
            expected = 2
        else:
            assert issubclass(each, OperatorError) or each is KvasirError
            expected = 3
        assert exit_code_of(error) == expected


def test_the_manual_lists_every_code_with_its_exit_code_and_nothing_else():
    sections = MANUAL.read_text("utf-8").split("\n## ")
    listed = {
        found[1]: re.findall(r"^\| `(\w+)` \| \S.* \| \S.* \|$", section, re.M)
        for section in sections
        if (found := re.search(r"\(exit code (\d+)\)", section))
    }
    assert set(listed) == {"2", "3", "130"}
    assert sorted(listed["2"]) == sorted(codes(RequestError))
    assert sorted(listed["3"]) == sorted(codes(OperatorError) | {KvasirError.code})
    assert listed["130"] == [StoppedError.code]


def test_a_failed_component_says_of_which_kind_the_failure_was():
    for kind, code in KINDS.items():
        cause = OSError("no")
        error = ComponentError("store", "reading", cause, kind=kind)
        assert (error.kind, error.code) == (kind, code)
        assert (error.component, error.operation, error.cause) == ("store", "reading", cause)
    assert DeadlineExceededError("searching").code == "deadline_exceeded"
    assert DeadlineExceededError("searching").kind == "timeout"


def test_an_error_is_one_line_and_shows_no_password():
    error = RequestError("at redis://me:hush@host\r\nand\u2028more")
    assert str(error).splitlines() == ["at redis://me:**********@host and more"]
    assert str(RequestError("a\x1b[31mRED\x07 b\u202e")) == "a[31mRED b"


OTHER_PROGRAMS = {"components/extractors/old_office.py": "the options of LibreOffice"}


def test_no_string_of_an_inner_layer_names_a_command_or_an_option():
    named = []
    for path in sorted(ROOT.rglob("*.py")):
        place = path.relative_to(ROOT)
        if place.parts[0] in FRONT_DOORS or str(place) in OTHER_PROGRAMS:
            continue
        tree = ast.parse(path.read_text("utf-8"))
        docstrings = {
            id(node.value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        }
        named += [
            f"{place}:{node.lineno}: {node.value}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in docstrings
            and NAMES_A_COMMAND.search(node.value)
        ]
    assert named == []


@pytest.mark.parametrize(
    "text",
    ["run 'kvasir doctor --repair'", "kvasir --version", "say so (--force)", "turn RAG on (/r, or"],
)
def test_the_search_for_commands_finds_them(text):
    assert NAMES_A_COMMAND.search(text)
