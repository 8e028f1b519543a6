"""Errors of the API in words of the page's language."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from kvasir.core.errors import FilterError, KvasirError, NotAuthenticatedError
from kvasir.frontends.ui import elements
from kvasir.frontends.ui.texts import chosen, has, text

logger = logging.getLogger(__name__)

_SAME = {
    "collection_not_found": "not_found",
    "document_not_found": "not_found",
    "locked": "component_busy",
    "closed": "component_unreachable",
}
"""Codes of errors that are said as another one."""


def words(error: KvasirError) -> str:
    """Return what to say of an error."""
    code = _SAME.get(error.code, error.code)
    if isinstance(error, FilterError):
        code = "invalid_filter"
    key = f"error.{code}"
    return text(key if has(key) else "error.other", detail=elements.plain(str(error)))


def of_file(reason: str, message: str) -> str:
    """Return as Markdown why a file could not be read, with what the API, in English, says of it.

    Args:
        reason: As of ``ExtractionError``.
        message: The API's sentence, which may be the only one that has the figures.
    """
    said, key = elements.plain(message), f"reason.{reason}"
    if chosen.get() == "en" or not has(key):
        return said
    return f"{text(key)} ({said})"


def show(error: KvasirError) -> None:
    """Show an error, with the way out."""
    st.error(words(error), icon=":material/error:")
    if isinstance(error, NotAuthenticatedError):
        elements.link(text("app.sign_in"), "sign-in")


@contextmanager
def shown() -> Iterator[None]:
    """Show the errors of the block as words; never a traceback."""
    try:
        yield
    except KvasirError as error:
        show(error)
        if not isinstance(error, NotAuthenticatedError):
            st.button(text("app.retry"), key="retry", icon=":material/refresh:")
    except Exception:
        logger.exception("unforeseen error in a page")
        st.error(text("error.unforeseen"), icon=":material/error:")
