"""The page of the services: what runs, how much waits, how many workers, and start them again."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import streamlit as st

from kvasir.core.errors import KvasirError
from kvasir.frontends.ui import elements, faults
from kvasir.frontends.ui.connection import part
from kvasir.frontends.ui.session import Session, in_page_language, open_session
from kvasir.frontends.ui.texts import text

_LOOK_SECONDS = 2.0
_SAID_SECONDS = 10.0
"""How long the page says what was asked for; it is drawn again meanwhile."""
_MOST_WORKERS = 256
_ICONS = {
    "ready": "check_circle",
    "starting": "hourglass_top",
    "ending": "logout",
    "waiting": "schedule",
    "failing": "error",
}


def show() -> None:
    """Draw the page."""
    session = open_session()
    st.title(text("services.title"), anchor=False)
    if not session.is_admin:
        st.info(text("app.admins"), icon=":material/lock:")
        return
    st.markdown(text("services.intro"))
    st.fragment(in_page_language(_show_all), run_every=_LOOK_SECONDS)(session)


def _show_all(session: Session) -> None:
    with faults.shown():
        found = session.api.get("/v1/services")
        if not found["is_running"]:
            title, more = text("services.none"), text("services.none_more")
            elements.empty_state(":material/dns:", title, more)
            return
        said, until = st.session_state.get("services_said", ("", 0.0))
        if time.monotonic() < until:
            st.success(said, icon=":material/check:")
        for service in found["services"]:
            _show_service(session, service)
        for server in found["servers"]:
            with st.container(border=True):
                st.markdown(f"#### {elements.plain(server['name'])}")
                st.caption(f"{_state(server)} · {elements.plain(server['address'])}")
        st.caption(text("services.file", file=elements.plain(found["config"] or "")))


def _show_service(session: Session, service: Mapping[str, Any]) -> None:
    with st.container(border=True):
        st.markdown(f"#### {elements.plain(service['name'])}")
        where = ", ".join(map(elements.plain, service["front_ends"]))
        st.caption(f"{text('services.broker')}: {_state(service['broker'])} · {where}")
        # One that the settings no longer name cannot be changed any more.
        is_ending = service["broker"]["state"] == "ending"
        for group in service["groups"]:
            _show_group(session, service["name"], group, is_ending=is_ending)


def _show_group(
    session: Session, service: str, group: Mapping[str, Any], *, is_ending: bool
) -> None:
    name = group["name"]
    queues = group["queues"].values()
    waiting, running, served = (
        sum(each[key] for each in queues) for key in ("waiting", "running", "served")
    )
    if name != service:
        st.markdown(f"**{elements.plain(name)}**")
    st.markdown(text("services.queue", waiting=waiting, running=running, served=served))
    if not group["is_on"]:
        st.caption(f":material/pause_circle: {text('services.off')}")
    lines = [f"- {_worker(each)}" for each in group["workers"]]
    lines += [
        f"- :material/lan: {text('services.remote', name=elements.plain(each))}"
        for each in group["remote_workers"]
    ]
    if lines:
        st.markdown("\n".join(lines))
    if is_ending:
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        wanted = st.number_input(
            text("services.workers", name=name),
            1,
            _MOST_WORKERS,
            max(1, group["wanted"]),
            key=f"workers-{name}",
            width=180,
        )
        label = text("services.scale", name=name)
        if st.button(label, key=f"scale-{name}", icon=":material/group_add:"):
            said = text("services.scaled", name=name, count=wanted)
            _change(session, name, "scale", said, {"workers": wanted})
        label = text("services.restart", name=name)
        if st.button(label, key=f"restart-{name}", icon=":material/restart_alt:"):
            _change(session, name, "restart", text("services.restarted", name=name))


def _worker(worker: Mapping[str, Any]) -> str:
    """Return a line of Markdown about a worker."""
    number = worker["name"].rpartition(" ")[2]
    parts = [text("services.worker", number=number), _state(worker)]
    if worker["pid"] is not None:
        parts.append(text("services.process", pid=worker["pid"]))
    if worker["restarts"]:
        parts.append(text("services.restarts", count=worker["restarts"]))
    return " · ".join(parts)


def _state(process: Mapping[str, Any]) -> str:
    """Return the state of a process as Markdown, with its icon."""
    state = process["state"]
    said = f":material/{_ICONS[state]}: {text(f'services.{state}')}"
    if process["starts_in"] is not None:
        how = elements.plain(process["last_end"] or "")
        said += " – " + text("services.again", how=how, seconds=round(process["starts_in"]))
    return said


def _change(
    session: Session, service: str, action: str, said: str, body: dict[str, Any] | None = None
) -> None:
    try:
        session.api.post(f"/v1/services/{part(service)}/{action}", body)
    except KvasirError as error:
        faults.show(error)
        return
    st.session_state["services_said"] = said, time.monotonic() + _SAID_SECONDS
    st.rerun()
