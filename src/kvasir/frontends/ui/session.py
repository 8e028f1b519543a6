"""Who looks at the page, and in which language."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import streamlit as st

from kvasir.core.errors import NotAuthenticatedError
from kvasir.frontends.ui.connection import Api, current
from kvasir.frontends.ui.texts import LANGUAGES, chosen, preferred

P = ParamSpec("P")
R = TypeVar("R")

SESSION_COOKIE = "kvasir_ui_session"
"""The token of a login, which scripts cannot read."""
LANGUAGE_COOKIE = "kvasir_ui_language"

_KNOWN = "known"
_KNOWN_SECONDS = 30.0
"""How long what the API said of a caller is used again."""


@dataclass(frozen=True)
class Session:
    """A caller of the API.

    Attributes:
        username: Empty for the owner of the data folder, who needs no sign-in.
        is_admin: True for administrators.
        has_language_model: False if answers are quotations.
        max_file_mb: The largest upload.
        top_k: Most passages for a question, where the caller wants no other number.
    """

    api: Api
    username: str
    email: str
    is_admin: bool
    has_language_model: bool
    max_file_mb: int
    top_k: int


def open_session() -> Session:
    """Return the session of the present page.

    Raises:
        NotAuthenticatedError: Nobody is signed in, or the sign-in has expired.
        KvasirError: The API does not answer.
    """
    signed_in = st.context.cookies.get(SESSION_COOKIE, "")
    token = current().token_for(signed_in, st.context.headers)
    if not token:
        raise NotAuthenticatedError("sign in")
    api = Api(current(), token)
    known: tuple[float, str, Session] | None = st.session_state.get(_KNOWN)
    if known is None or known[1] != token or time.monotonic() > known[0]:
        known = time.monotonic() + _KNOWN_SECONDS, token, _ask(api)
        st.session_state[_KNOWN] = known
    return known[2]


def forget() -> None:
    """Ask the API again who the caller is."""
    st.session_state.pop(_KNOWN, None)


def _ask(api: Api) -> Session:
    me: dict[str, Any] = api.get("/v1/users/me")
    user: dict[str, Any] = me["user"] or {}
    server: dict[str, Any] = api.get("/v1/server")
    return Session(
        api,
        username=user.get("username", ""),
        email=user.get("email", ""),
        is_admin="admin" in me["scopes"],
        has_language_model=server["language_model"],
        max_file_mb=server["max_file_mb"],
        top_k=server.get("top_k", 10),  # A server of an older version does not say it.
    )


def in_page_language(draw: Callable[P, R]) -> Callable[P, R]:
    """Return a function for ``st.fragment`` or ``st.dialog``, which Streamlit also runs alone.

    The script that chooses the page's language has then not run before it.
    """

    @wraps(draw)
    def drawn(*arguments: P.args, **options: P.kwargs) -> R:
        choose_language()
        return draw(*arguments, **options)

    return drawn


def choose_language() -> str:
    """Use the language of this page for its texts; return it."""
    language = st.session_state.get("language")
    if language not in LANGUAGES:
        kept = st.context.cookies.get(LANGUAGE_COOKIE, "")
        wanted = st.context.headers.get("Accept-Language", "")
        language = kept if kept in LANGUAGES else preferred(wanted)
        st.session_state["language"] = language
    chosen.set(str(language))
    return str(language)


def note_work(key: str, busy: int) -> None:
    """Note how much work a page shows, just before it draws the fragment that looks again."""
    st.session_state[f"{key}_busy"], st.session_state[f"{key}_with_page"] = busy, True


def is_page_outdated(key: str, busy: int) -> bool:
    """Return True if a fragment that is drawn alone finds less work than its page shows.

    A page that is being drawn is not outdated: drawn again, it would lose the click for which it
    is drawn.
    """
    shown: int = st.session_state.get(f"{key}_busy", 0)
    if st.session_state.pop(f"{key}_with_page", False):
        return False
    st.session_state[f"{key}_busy"] = max(shown, busy)
    return busy < shown
