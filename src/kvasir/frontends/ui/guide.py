"""The page that says how the client is used."""

from __future__ import annotations

import streamlit as st

from kvasir.frontends.ui.texts import text

_PARTS = ("help.ask", "help.follow", "help.add", "help.filter", "help.keys")


def show() -> None:
    """Draw the page."""
    st.title(text("help.title"), anchor=False)
    for part in _PARTS:
        st.markdown(text(part))
