"""Colours and styles, light and dark."""

from __future__ import annotations

import json
from collections.abc import Mapping

from kvasir.frontends.ui.texts import text

THEME: Mapping[str, str] = {
    "theme.font": "sans-serif",
    "theme.baseRadius": "0.6rem",
    "theme.light.primaryColor": "#1f5fa8",
    "theme.light.backgroundColor": "#ffffff",
    "theme.light.secondaryBackgroundColor": "#f3f5f8",
    "theme.light.textColor": "#1b2430",
    "theme.light.linkColor": "#1a5596",
    "theme.light.borderColor": "#d4dae2",
    "theme.dark.primaryColor": "#7db4f0",
    "theme.dark.backgroundColor": "#12171e",
    "theme.dark.secondaryBackgroundColor": "#1b222c",
    "theme.dark.textColor": "#e6eaf0",
    "theme.dark.linkColor": "#8fc1f5",
    "theme.dark.borderColor": "#3a4452",
}
"""Options of Streamlit. Every text has a contrast of 4.5 at least to what it stands on."""

STYLE = """
.kvasir-passage{white-space:pre-wrap;overflow-wrap:anywhere;line-height:1.6;
border-left:.25rem solid rgba(128,136,150,.5);padding:.25rem 0 .25rem 1rem}
.kvasir-passage mark,.kvasir-quote mark{background:#ffe25c;color:#1b2430;padding:.05rem .1rem;
border-radius:.2rem}
[data-testid="stMainBlockContainer"]{padding-top:3.5rem;padding-bottom:4rem;max-width:52rem}
[data-testid="stMainBlockContainer"] h1{font-size:1.9rem}
[data-testid="stBottomBlockContainer"]{max-width:52rem}
[data-testid="stMarkdownContainer"] blockquote{margin:0 0 .5rem;color:inherit}
[data-testid="stCaptionContainer"]{opacity:.85}
[data-testid="stMainBlockContainer"] h3{font-size:1.25rem}
[data-testid="stFileUploaderDropzoneInstructions"],[data-testid="InputInstructions"]{display:none}
button[kind="primary"],button[kind="primaryFormSubmit"]{background:#1f5fa8;border-color:#1f5fa8;
color:#fff}
.kvasir-button{font:inherit;font-size:.875rem;padding:.35rem .75rem;border-radius:.6rem;
background:none;color:inherit;border:1px solid rgba(128,136,150,.5);cursor:pointer;
width:100%}
.kvasir-button:focus-visible{outline:.2rem solid var(--st-primary-color,#1f5fa8)}
.kvasir-link{display:inline-block;padding:.35rem 0}
.kvasir-heading{font-size:.95rem;font-weight:600;margin:0}
[data-testid="stSidebarUserContent"]{padding-bottom:1.5rem}
[data-stale="true"]{opacity:1!important}
[data-testid="stMain"]:not(:has([data-testid="stFileChip"][aria-invalid="true"]))
*:has(>.st-key-refused-files),[data-testid="stFileChip"] [role="alert"],
[role="tooltip"]:has(>[data-testid="stTooltipErrorContent"]){display:none}
@media (prefers-reduced-motion:reduce){*{animation:none!important;transition:none!important}}
"""
"""For Streamlit's pages, in addition to the theme.

What is being drawn again is not faded: a page that looks every two seconds would flicker, and faded
text has too little contrast. Streamlit says in English only, and in a hint, why the browser did not
take a file: the page's own words are shown in its place.
"""

PLAIN_STYLE = """
:root{color-scheme:light dark;--back:#fff;--text:#1b2430;--line:#77818f;--main:#1f5fa8;--on:#fff}
@media (prefers-color-scheme:dark){:root{--back:#12171e;--text:#e6eaf0;--line:#8b96a5;
--main:#7db4f0;--on:#12171e}}
body{font:1rem/1.5 system-ui,sans-serif;max-width:24rem;margin:12vh auto 2rem;padding:0 1.25rem;
background:var(--back);color:var(--text);overflow-wrap:anywhere}
h1{font-size:1.6rem;margin:.25rem 0 1rem}
.name{font-weight:600;margin:0;color:var(--main)}
label{display:block;margin:1rem 0 .25rem}
input,button{box-sizing:border-box;width:100%;font:inherit;padding:.6rem .75rem;border-radius:.6rem;
border:1px solid var(--line);background:var(--back);color:var(--text)}
button{margin-top:1.5rem;background:var(--main);color:var(--on);border-color:var(--main);
font-weight:600;cursor:pointer}
:focus-visible{outline:.2rem solid var(--main);outline-offset:.15rem}
[role=alert]{border-left:.25rem solid #c0392b;padding-left:.75rem;font-weight:600}
footer{margin-top:2rem}
a{color:var(--main)}
"""
"""For the pages to sign in, which need no script."""


_CHOOSE_FILES = '[data-testid="stFileUploaderDropzone"] button'


def page_style() -> str:
    """Return the style of a page, with the words that Streamlit has in English only."""
    words = json.dumps(text("app.choose_files"), ensure_ascii=False)
    return (
        f'{STYLE}{_CHOOSE_FILES} [data-testid="stMarkdownContainer"]{{display:none}}\n'
        f"{_CHOOSE_FILES}::after{{content:{words};margin-left:.5rem}}\n"
    )


def naming_script() -> str:
    """Return a script that gives the names for screen readers which Streamlit has in English only.

    It also names what is drawn later.
    """
    button, words = json.dumps(_CHOOSE_FILES), json.dumps(text("app.choose_files"))
    skip = json.dumps(text("app.skip"))
    return (
        "const name=()=>{"
        f"document.querySelectorAll({button}).forEach(b=>b.setAttribute('aria-label',{words}));"
        "document.querySelectorAll('[data-testid=\"stSkipToContent\"]')"
        f".forEach(a=>{{if(a.textContent!=={skip})a.textContent={skip}}})}};"
        "window.kvasirNames?.disconnect();window.kvasirNames=new MutationObserver(name);"
        "window.kvasirNames.observe(document.body,{childList:true,subtree:true});name();"
    )
