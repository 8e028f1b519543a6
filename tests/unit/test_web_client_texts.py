"""Every text of the web client is in its table, in each language; no module has one of its own."""

import ast
import re
import string
from pathlib import Path

import pytest

from kvasir.frontends.ui import texts

FOLDER = Path(texts.__file__).parent
MODULES = sorted(FOLDER.glob("*.py"))
SHOWING = {
    *("title", "header", "subheader", "markdown", "caption", "text", "write", "dialog", "image"),
    *("button", "form_submit_button", "link_button", "download_button", "page_link", "link"),
    *("toggle", "checkbox", "radio", "selectbox", "segmented_control", "slider", "text_input"),
    *("text_area", "chat_input", "file_uploader", "expander", "popover", "tabs", "metric"),
    *("error", "warning", "info", "success", "progress", "set_page_config", "empty_state"),
}
"""Functions whose arguments are shown."""
ARGUMENTS = ("label", "help", "placeholder", "caption", "alt", "body", "text", "icon")
NO_WORDS = re.compile(r":material/\w+:|<[^>]*>|https?://|Kvasir")


def fields(text):
    return sorted(name for _, name, _, _ in string.Formatter().parse(text) if name)


@pytest.mark.parametrize("key", texts.table())
def test_a_text_is_in_every_language_with_the_same_values(key):
    row = texts.table()[key]
    assert list(row) == list(texts.LANGUAGES)
    assert all(isinstance(each, str) and each.strip() for each in row.values())
    assert len({tuple(fields(each)) for each in row.values()}) == 1
    assert len(set(row.values())) == len(row), "it is not translated"
    assert re.search(r"[\u4e00-\u9fff]", row["zh"])
    assert not re.search(r"[\u4e00-\u9fff]", row["en"] + row["es"])


def calls(module):
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.Call):
            yield node


def name_of(function):
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def used_keys():
    """Return the keys that the modules name, and the beginnings of those that they put together."""
    whole, begun = set(), set()
    for module in MODULES:
        for node in ast.walk(ast.parse(module.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                whole.update(re.findall(r"^[a-z]+\.(?!json$)[a-z_0-9]+$", node.value))
            elif isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
                begun.update(re.findall(r"^[a-z]+\.$", node.values[0].value))
    return whole, begun


def test_every_text_is_used_and_every_one_that_is_used_exists():
    table = set(texts.table())
    sections = {key.partition(".")[0] for key in table}
    whole, begun = used_keys()
    wanted = {key for key in whole if key.partition(".")[0] in sections}
    assert wanted - table == set()
    assert {key for key in table - whole if not key.startswith(tuple(begun))} == set()


def words(node):
    """Return the words of a literal that would be shown."""
    if isinstance(node, ast.JoinedStr):
        parts = [each for each in node.values if isinstance(each, ast.Constant)]
    else:
        parts = [node] if isinstance(node, ast.Constant) else []
    content = " ".join(part.value for part in parts if isinstance(part.value, str))
    return re.findall(r"[^\W\d_]{2,}", NO_WORDS.sub(" ", content))


def literals(module):
    for call in calls(module):
        if name_of(call.func) not in SHOWING or not isinstance(call.func, ast.Attribute):
            continue
        shown = [*call.args[:1], *(each.value for each in call.keywords if each.arg in ARGUMENTS)]
        for argument in shown:
            if found := words(argument):
                yield f"{module.name}:{call.lineno}: {' '.join(found)}"


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_no_module_has_a_text_of_its_own(module):
    assert list(literals(module)) == []


def test_the_check_sees_a_text_of_a_module(tmp_path):
    module = tmp_path / "page.py"
    module.write_text('st.button("Press me", icon=":material/add:")\nst.markdown(f"**Sum** {x}")\n')
    assert list(literals(module)) == ["page.py:1: Press me", "page.py:2: Sum"]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_what_streamlit_draws_alone_has_the_language_of_the_page(module):
    """Fragments and dialogs are run again without the script that chooses the language."""
    code = module.read_text("utf-8")
    assert len(re.findall(r"st\.fragment\(", code)) == len(
        re.findall(r"st\.fragment\(\s*in_page_language\(", code)
    )
    assert len(re.findall(r"st\.dialog\(", code)) == code.count(")(in_page_language(")


@pytest.mark.parametrize(
    ("wanted", "language"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("es-MX", "es"),
        ("fr,es;q=0.5", "es"),
        ("de", "en"),
        ("", "en"),
    ],
)
def test_the_language_is_the_first_of_the_browser_that_there_is(wanted, language):
    assert texts.preferred(wanted) == language
