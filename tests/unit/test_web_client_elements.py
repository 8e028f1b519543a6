"""Texts of documents and models are shown as they are: nothing in them acts on the page."""

import pytest

from kvasir.frontends.ui.elements import answer_markdown, file_name, plain


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        ("It costs $5, or $6. [1]", "It costs \\$5, or \\$6. [1]"),
        ("![x](http://evil/a.png)", "\\![x](http://evil/a.png)"),
        (":red[stop] :material/add:", "\\:red[stop] \\:material/add:"),
        ("<b>bold</b>", "\\<b>bold\\</b>"),
        ("- one\n- **two**", "- one\n- **two**"),
        ("`$HOME` costs $5", "`$HOME` costs \\$5"),
        ("```\n$HOME ![x](y)\n```\n$5", "```\n$HOME ![x](y)\n```\n\\$5"),
        ("| a |\n|---|\n| b |\n[2] More.", "| a |\n|---|\n| b |\n\n[2] More."),
        ("at 10:30 it is: done", "at 10:30 it is: done"),
        ("a\u202eb", "ab"),
    ],
)
def test_an_answer_keeps_its_lists_and_code_and_nothing_of_it_is_fetched(answer, shown):
    assert answer_markdown(answer) == shown


def test_a_plain_text_is_one_line_without_marks():
    assert plain("*a*\n[b](c) <d>") == "\\*a\\* \\[b\\]\\(c\\) \\<d\\>"


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("upload:ana/notes.pdf", "notes.pdf"),
        ("upload:notes.pdf", "notes.pdf"),
        ("/home/ana/a b.md", "a b.md"),
        ("C:\\docs\\a.md", "a.md"),
        ("https://example.org/", "example.org"),
    ],
)
def test_a_file_is_called_by_the_last_part_of_its_address(uri, name):
    assert file_name(uri) == name
