"""Small pieces that pages are made of."""

from __future__ import annotations

import re
from html import escape

import streamlit as st

from kvasir.core.text import one_line, printable

_FENCE = re.compile(r"(```.*?(?:```|\Z)|`[^`\n]*`)", re.DOTALL)
_ACTIVE = re.compile(r"(\$|!(?=\[)|:(?=[a-z][\w-]*(?:\[|/|:))|<)")
"""What Streamlit's Markdown would make formulas, pictures, icons, colours or tags of."""
_AFTER_TABLE = re.compile(r"(\|[ \t]*)\n(\[\d+\])")
"""Between a table and its marker, which would be one more row."""
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()<>#+!|~$:.-])")


def answer_markdown(answer: str) -> str:
    """Return an answer as Markdown: its lists and code are kept; pictures and formulas are text.

    A picture would be fetched from wherever a document says.
    """
    parts = _FENCE.split(_AFTER_TABLE.sub(r"\1\n\n\2", printable(answer)))
    return "".join(
        part if number % 2 else _ACTIVE.sub(r"\\\1", part) for number, part in enumerate(parts)
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


def passage(before: str, quote: str, after: str) -> None:
    """Show a passage marked in the text around it."""
    body = f"{_html(before)}<mark>{_html(quote)}</mark>{_html(after)}"
    st.html(f'<div class="kvasir-passage">{body}</div>')


def _html(content: str) -> str:
    return escape(printable(content))


def file_name(source_uri: str) -> str:
    """Return the last part of a source's address."""
    last = re.split(r"[/\\]", source_uri.removeprefix("upload:").rstrip("/\\"))[-1]
    return one_line(last, 200) or source_uri
