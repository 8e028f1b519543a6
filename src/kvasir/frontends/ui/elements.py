"""Small pieces that pages are made of."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

import streamlit as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from kvasir.core.text import one_line, printable

_BLOCKS = MarkdownIt("commonmark", {"html": False}).enable("table")
_CHECK = MarkdownIt("commonmark", {"html": True}).enable("table")
_BACKTICKS = re.compile(r"`+")
_CELL_END = re.compile(r"((?<!\\)\|)")
_ACTIVE = re.compile(r"(\$|!(?=\[)|:(?=[a-z][\w-]*(?:\[|/|:))|<|`|\\(?!\|))")
"""What Streamlit's Markdown would make formulas, pictures, icons, colours, tags or code of; and
backslashes, which would take away those that are put before it."""
_AFTER_TABLE = re.compile(r"(\|[ \t]*)\n(\[\d+\])")
"""Between a table and its marker, which would be one more row."""
_CODE = ("fence", "code_block")
_RULE = re.compile(r"[ \t]*\|[ \t:|-]*-[ \t:|-]*\|?[ \t]*")
"""The line between a table's header and its rows."""
_LEAVES = (*_CODE, "inline", "table_open")
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+!|~$:.-])")


def answer_markdown(answer: str) -> str:
    """Return an answer as Markdown: its lists and code are kept; pictures and formulas are text.

    A picture would be fetched from wherever a document says.
    """
    content = _AFTER_TABLE.sub(r"\1\n\n\2", printable(answer).replace("\r", "\n"))
    lines = content.split("\n")
    begin = 0
    for token in _BLOCKS.parse(content):
        if token.map is None or token.type not in _LEAVES or token.map[1] <= begin:
            continue
        first, end = max(begin, token.map[0]), token.map[1]
        _escape(lines, begin, first, is_table=False)
        if token.type not in _CODE:
            _escape(lines, first, end, is_table=token.type == "table_open")
        begin = end
    _escape(lines, begin, len(lines), is_table=False)
    shown = "\n".join(lines)
    # A parser that is not ours looks at it once more.
    return plain_lines(content) if _fetches(_CHECK.parse(shown)) else shown


def _escape(lines: list[str], first: int, end: int, *, is_table: bool) -> None:
    """Escape what acts in some lines, in place; spans of code end with a block or a cell."""
    if first == end:
        return
    block = "\n".join(lines[first:end])
    if is_table:
        block = "\n".join(
            "".join(map(_escape_block, _CELL_END.split(line))) for line in block.split("\n")
        )
    else:
        block = _escape_block(block)
    lines[first:end] = block.split("\n")


def _escape_block(content: str) -> str:
    """Escape what acts outside of spans of code: equally many backticks begin and end one."""
    done, begin, position = list[str](), 0, 0
    while opening := _BACKTICKS.search(content, position):
        position = opening.end()
        for closing in _BACKTICKS.finditer(content, position):
            if closing[0] == opening[0]:
                before = content[begin : opening.start()]
                done += [_ACTIVE.sub(r"\\\1", before), content[opening.start() : closing.end()]]
                begin = position = closing.end()
                break
    return "".join([*done, _ACTIVE.sub(r"\\\1", content[begin:])])


def _fetches(tokens: Sequence[Token]) -> bool:
    return any(
        token.type in ("image", "html_inline", "html_block") or _fetches(token.children or ())
        for token in tokens
    )


def plain(content: str) -> str:
    """Return Markdown that shows a text as it is, on one line."""
    return _MARKDOWN.sub(r"\\\1", printable(one_line(content)))


def plain_lines(content: str) -> str:
    """Return Markdown that shows a text as it is, with its lines."""
    return "  \n".join(map(plain, content.splitlines()))


def link(label: str, address: str) -> None:
    """Show a link within the client, in the same tab."""
    st.html(f'<a class="kvasir-link" href="{escape(address)}" target="_self">{escape(label)}</a>')


def empty_state(icon: str, title: str, more: str) -> None:
    """Show what to do where there is nothing yet; ``icon`` as of Streamlit."""
    with st.container(border=True, horizontal_alignment="center"):
        st.markdown(f"### {icon} {title}", text_alignment="center")
        st.markdown(more, text_alignment="center")


def refused_files(said: str) -> None:
    """Draw what to say when the browser does not take a chosen file; hidden until it refuses one.

    Such a file does not come to the script: only the style of the page knows of it.
    """
    with st.container(key="refused-files"):
        st.warning(said, icon=":material/error:")


def without_grid(quote: str) -> str:
    """Return a quote whose table rows are the contents of their cells, for one line."""
    rows = [line.strip() for line in quote.splitlines() if not _RULE.fullmatch(line)]
    cells = ([cell.strip() for cell in row.strip("|").split("|")] for row in rows)
    return "\n".join(
        " · ".join(filter(None, own)) if row.startswith("|") else row
        for row, own in zip(rows, cells, strict=True)
    )


def whole_words(before: str, after: str, *, begins: bool, ends: bool) -> tuple[str, str]:
    """Return the text around a passage without words that are cut, and with a mark for the rest.

    Args:
        before: The text before the passage.
        after: The text behind it.
        begins: Whether the document begins with ``before``.
        ends: Whether it ends with ``after``.
    """
    if not begins:
        before = "… " + before[len(before) - len(before.lstrip()) :].partition(" ")[2]
    if not ends:
        after = after.rstrip().rpartition(" ")[0] + " …"
    return before, after


def passage(before: str, quote: str, after: str, marked: Sequence[tuple[int, int]]) -> None:
    """Show a passage in the text around it.

    Args:
        before: The text before the passage.
        quote: The passage.
        after: The text behind it.
        marked: Begins and ends of the parts of ``quote`` that are marked, in characters.
    """
    body, position = _html(before), 0
    for begin, end in sorted(marked):
        begin = max(begin, position)
        if begin < end:
            body += f"{_html(quote[position:begin])}<mark>{_html(quote[begin:end])}</mark>"
            position = end
    body += _html(quote[position:] + after)
    st.html(f'<div class="kvasir-passage">{body}</div>')


def _html(content: str) -> str:
    return escape(printable(content))


def file_name(source_uri: str) -> str:
    """Return the last part of a source's address."""
    last = re.split(r"[/\\]", source_uri.removeprefix("upload:").rstrip("/\\"))[-1]
    return one_line(last, 200) or source_uri


def size_words(size: float) -> str:
    """Return a number of bytes as people read it."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
