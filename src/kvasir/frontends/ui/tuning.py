"""The page of tuning: from a file of examples to a tuned state or adapter that llm uses."""

from __future__ import annotations

from typing import Any

import streamlit as st

from kvasir.core.errors import ComponentError, KvasirError
from kvasir.frontends.ui import elements, faults, tuning_data, tuning_jobs
from kvasir.frontends.ui.session import Session, open_session
from kvasir.frontends.ui.texts import text

METHODS = {"state": "State-Tune", "lora": "LoRA", "pissa": "PiSSA"}
"""The runners, with names that are the same in every language."""


def show() -> None:
    """Draw the page."""
    session = open_session()
    st.title(text("tuning.title"), anchor=False)
    if not session.is_admin:
        st.info(text("app.admins"), icon=":material/lock:")
        return
    st.markdown(text("tuning.intro"))
    # A service that is off is no fault: nothing is asked of it, and the server logs no error.
    if not (found := _runners(session)):
        title, more = text("tuning.off"), text("tuning.off_more")
        elements.empty_state(":material/model_training:", title, more)
        return
    if said := st.session_state.pop("tuning_said", ""):
        st.success(said, icon=":material/check:")
    chosen = tuning_data.show(session)
    job = _train(session, found, chosen)
    start = st.container()
    # Drawn first: a service that has just been started takes seconds to know the memory.
    tuning_jobs.show(session)
    if job is not None:
        with start:
            _start(session, job)


def _runners(session: Session) -> list[str]:
    """Return what can be run to tune; nothing if one of the two services is off or away."""
    try:
        parts = [session.api.get(f"/v1/tuning/{name}") for name in ("ft", "j2b")]
    except ComponentError:
        return []
    runners: list[str] = parts[0]["runners"]
    return runners if all(each["is_on"] for each in parts) else []


def _train(session: Session, runners: list[str], data: str | None) -> dict[str, Any] | None:
    """Draw the choice of base and method; return the job that they make."""
    st.subheader(text("tuning.train"), anchor=False)
    files = session.api.get("/v1/llm")["files"]
    bases = [each["name"] for each in files if (each["kind"], each["format"]) == ("base", "rwkv")]
    if not bases:
        st.info(text("tuning.no_base"), icon=":material/download:")
        st.page_link(st.session_state["pages"]["models"], label=text("tuning.to_models"))
        return None
    base = st.selectbox(text("tuning.base"), bases, key="tuning-base")
    known = [each for each in METHODS if each in runners]
    method = st.radio(
        text("tuning.method"),
        known,
        format_func=METHODS.__getitem__,
        captions=[text(f"tuning.{each}") for each in known],
        key="tuning-method",
    )
    options = _options(method)
    if data is None:
        st.caption(text("tuning.no_data"))
        return None
    return {"runner": method, "arguments": {"base": base, "data": data, **options}}


def _start(session: Session, job: dict[str, Any]) -> None:
    method = METHODS[job["runner"]]
    with st.spinner(text("tuning.asking_memory")):
        fits = _memory(session, job)
    label = text("tuning.start", method=method)
    if st.button(label, type="primary", icon=":material/play_arrow:", disabled=not fits):
        tuning_jobs.submit(session, "ft", job, text("tuning.started", method=method))


def _options(method: str) -> dict[str, Any]:
    with st.expander(text("tuning.options"), icon=":material/tune:"):
        found: dict[str, Any] = {
            "steps": st.number_input(text("tuning.steps"), 1, 1_000_000, 1000, key="tuning-steps"),
            "batch": st.number_input(text("tuning.batch"), 1, 4096, 8, key="tuning-batch"),
            "micro_batch": st.number_input(
                text("tuning.micro_batch"),
                1,
                4096,
                8,
                key="tuning-micro",
                help=text("tuning.micro_batch_help"),
            ),
            "context": st.number_input(
                text("tuning.context"), 16, 65_536, 512, key="tuning-context"
            ),
            "evaluate_every": st.number_input(
                text("tuning.evaluate_every"), 1, 100_000, 50, key="tuning-every"
            ),
        }
        rate = st.number_input(
            text("tuning.rate"),
            min_value=1e-7,
            max_value=10.0,
            value=None,
            format="%.6f",
            placeholder=text("tuning.rate_default"),
            key="tuning-rate",
        )
        if method != "state":
            found["rank"] = st.number_input(text("tuning.rank"), 1, 4096, 32, key="tuning-rank")
        recompute = st.checkbox(text("tuning.recompute"), key="tuning-recompute")
    return found | ({"learning_rate": rate} if rate else {}) | {"recompute": recompute}


def _memory(session: Session, job: dict[str, Any]) -> bool:
    """Draw the memory that a job needs and what is free; return False if it does not fit."""
    try:
        found = session.api.post("/v1/tuning/ft/memory", job)
    except KvasirError as error:
        faults.show(error)
        return False
    if found is None:
        return True
    needed = elements.size_words(found["needed"])
    if found["free"] is None:
        st.caption(f":material/memory: {text('tuning.memory_unknown', needed=needed)}")
        return True
    values = {
        "needed": needed,
        "free": elements.size_words(found["free"]),
        "device": found["device"],
    }
    st.caption(f":material/memory: {text('tuning.memory', **values)}")
    if found["needed"] <= found["free"]:
        return True
    st.warning(text("tuning.too_little"), icon=":material/memory:")
    return False
