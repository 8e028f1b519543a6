"""The script that Streamlit runs for every page of the web client."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import streamlit as st

from kvasir.core.errors import KvasirError
from kvasir.frontends.ui import (
    chat,
    elements,
    evaluation,
    faults,
    guide,
    knowledge,
    models,
    questions,
    services,
    tuning,
)
from kvasir.frontends.ui.look import naming_script, page_style
from kvasir.frontends.ui.session import (
    LANGUAGE_COOKIE,
    choose_language,
    open_session,
)
from kvasir.frontends.ui.texts import LANGUAGES, text

PAGES: tuple[tuple[str, str, Callable[[], None]], ...] = (
    ("chat", "forum", chat.show),
    ("knowledge", "library_books", knowledge.show),
    ("questions", "contact_support", questions.show),
    ("evaluation", "monitoring", evaluation.show),
    ("services", "dns", services.show),
    ("tuning", "model_training", tuning.show),
    ("models", "deployed_code", models.show),
    ("help", "help", guide.show),
)
"""Key of the text of its name, icon and function of each page."""
_ICON = str(Path(__file__).with_name("icon.svg"))


def main() -> None:
    """Draw the page that the address names."""
    # A Material icon would be fetched from another server.
    st.set_page_config("Kvasir", _ICON, layout="centered")
    st.logo(_ICON, size="large")
    language = choose_language()
    _set_language_of_page(language)
    st.html(f"<style>{page_style()}</style>")
    pages = {key: _page(key, icon, draw) for key, icon, draw in PAGES}
    st.session_state["pages"] = pages
    chosen_page = st.navigation(list(pages.values()))
    chosen_page.run()
    with st.sidebar:
        _show_user()
        _show_languages(language)


def _page(key: str, icon: str, draw: Callable[[], None]) -> st.Page:
    def show() -> None:
        with faults.shown():
            draw()

    path = "" if key == "chat" else key
    icon = f":material/{icon}:"
    return st.Page(show, title=text(f"nav.{key}"), icon=icon, url_path=path, default=not path)


def _show_user() -> None:
    try:
        session = open_session()
    except KvasirError:
        return  # The page says why.
    if not session.username:
        st.caption(f":material/computer: {text('app.this_machine')}")
        return
    name = elements.plain(session.username)
    st.caption(f":material/person: {text('app.signed_in_as', name=name)}")
    label = text("app.sign_out")
    st.html(
        '<form method="post" action="/sign-out"><button class="kvasir-button">'
        f"{label}</button></form>"
    )


def _show_languages(language: str) -> None:
    names = list(LANGUAGES)
    wanted = st.selectbox(
        text("app.language"),
        names,
        index=names.index(language),
        format_func=LANGUAGES.__getitem__,
    )
    if wanted != language:
        st.session_state["language"] = wanted
        st.rerun()


def _set_language_of_page(language: str) -> None:
    """Tell screen readers the language of the page, and keep the choice in this browser."""
    cookie = f"{LANGUAGE_COOKIE}={language};path=/;max-age=31536000;SameSite=Lax"
    st.html(
        f"<script>document.documentElement.lang={json.dumps(language)};"
        f"document.cookie={json.dumps(cookie)};(()=>{{{naming_script()}}})();</script>",
        unsafe_allow_javascript=True,
    )


main()
