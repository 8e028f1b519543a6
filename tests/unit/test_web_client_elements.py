"""Texts of documents and models are shown as they are: nothing in them acts on the page."""

import pytest
from markdown_it import MarkdownIt

from kvasir.frontends.ui import elements
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
        (r"\![x](http://evil/a.png)", r"\\\![x](http://evil/a.png)"),
        ("`![x](u)``", r"\`\![x](u)\`\`"),
        ("``a ` $b``, $5", "``a ` $b``, \\$5"),
        ("- one\n\n      $HOME\n\n- $5", "- one\n\n      $HOME\n\n- \\$5"),
        ("| `a` | $b |\n|---|---|", "| `a` | \\$b |\n|---|---|"),
        (r"C:\temp", r"C:\\temp"),
    ],
)
def test_an_answer_keeps_its_lists_and_code_and_nothing_of_it_is_fetched(answer, shown):
    assert answer_markdown(answer) == shown


@pytest.mark.parametrize(
    "answer",
    [
        r"\![x](http://evil/a.png)",
        r"\\![x](http://evil/a.png)",
        "`![x](http://evil/a.png)``",
        "``![x](http://evil/a.png)`",
        "a ```b ![x](http://evil/a.png)",
        "a ```b ![x](http://evil/a.png) ``` c",
        "`a\n\n![x](http://evil/a.png)`",
        r"\`![x](http://evil/a.png)`",
        "| `a | ![x](http://evil/a.png)` |\n|---|---|",
        "| a | b |\n|---|---|\n| `a | ![x](http://evil/a.png)` |",
        "> ```\n![x](http://evil/a.png)\n> ```",
        "- ```\n![x](http://evil/a.png)",
        "``` a`b\n![x](http://evil/a.png)\n```",
        "![x][y]\n\n[y]: http://evil/a.png",
        r"\<img src=http://evil/a.png>",
        "`<img src=http://evil/a.png>``",
        "<pre>\n```\n</pre>\n![x](http://evil/a.png)",
        "`a\r\n\r\n![x](http://evil/a.png)`",
        "# `a\n![x](http://evil/a.png)`",
        "`a\n- ![x](http://evil/a.png)`",
        "`a\n***\n![x](http://evil/a.png)`",
    ],
)
def test_no_picture_and_no_tag_is_left_outside_of_code(answer):
    shown = MarkdownIt("gfm-like", {"linkify": False}).render(answer_markdown(answer))
    assert "<img" not in shown


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


def test_a_quote_of_a_table_is_the_contents_of_its_cells():
    quote = "| Tea | Degrees |\n|:---|---:|\n| green | 80 |\n| black | |\nNot | a row"
    assert elements.without_grid(quote) == "Tea · Degrees\ngreen · 80\nblack\nNot | a row"


@pytest.mark.parametrize(
    ("begins", "ends", "shown"),
    [
        (True, True, ("tea is brewed ", " degrees it is")),
        (False, True, ("… is brewed ", " degrees it is")),
        (True, False, ("tea is brewed ", " degrees it …")),
    ],
)
def test_the_text_around_a_passage_has_whole_words(begins, ends, shown):
    around = elements.whole_words("tea is brewed ", " degrees it is", begins=begins, ends=ends)
    assert around == shown
