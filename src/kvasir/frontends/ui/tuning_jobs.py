"""The jobs of tuning with their progress, live loss curves, and what to do with a result."""

from __future__ import annotations

from contextlib import closing
from typing import Any

import streamlit as st

from kvasir.core.errors import KvasirError
from kvasir.frontends.ui import elements, faults
from kvasir.frontends.ui.connection import part
from kvasir.frontends.ui.session import Session, in_page_language, is_page_outdated, note_work
from kvasir.frontends.ui.texts import text

_LOOK_SECONDS = 1.0
_SHOWN = 10
_MOST_POINTS = 1000
_ACTIVE = ("waiting", "running")
_ICONS = {
    "waiting": "schedule",
    "running": "model_training",
    "done": "check_circle",
    "failed": "error",
    "cancelled": "cancel",
}
_NAMES = {"state": "State-Tune", "lora": "LoRA", "pissa": "PiSSA", "j2b": "J2B"}


def submit(session: Session, service: str, job: dict[str, Any], said: str) -> None:
    """Add a job, and draw the page again."""
    try:
        session.api.post(f"/v1/tuning/{service}/jobs", job)
    except KvasirError as error:
        faults.show(error)
        return
    st.session_state["tuning_said"] = said
    st.rerun()


def show(session: Session) -> None:
    """Draw the jobs, newest first; while one waits or runs, again and again."""
    st.subheader(text("tuning.jobs"), anchor=False)
    note_work("tuning", busy := _busy(_jobs(session)))
    st.fragment(in_page_language(_show_jobs), run_every=_LOOK_SECONDS if busy else None)(session)


def _jobs(session: Session) -> list[tuple[str, dict[str, Any]]]:
    found = [
        (service, job)
        for service in ("ft", "j2b")
        for job in session.api.get(f"/v1/tuning/{service}/jobs", limit=_SHOWN)
    ]
    return sorted(found, key=lambda each: each[1]["created"], reverse=True)[:_SHOWN]


def _busy(jobs: list[tuple[str, dict[str, Any]]]) -> int:
    return sum(job["state"] in _ACTIVE for _, job in jobs)


def _show_jobs(session: Session) -> None:
    with faults.shown():
        found = _jobs(session)
        if not found:
            title, more = text("tuning.no_jobs"), text("tuning.no_jobs_more")
            elements.empty_state(":material/model_training:", title, more)
        for service, job in found:
            with st.container(border=True):
                _show_job(session, service, job)
        if is_page_outdated("tuning", _busy(found)):
            st.rerun()  # There is a file or a result that the page above lacks.


def _show_job(session: Session, service: str, job: dict[str, Any]) -> None:
    given = job["arguments"]
    name = _NAMES.get(job["task"], job["task"])
    about = given.get("base") or given.get("name") or ""
    data = given.get("data") or ", ".join(given.get("files", ()))
    shown = " · ".join(elements.plain(str(each)) for each in (about, data) if each)
    st.markdown(f"**{elements.plain(name)}** · {shown}")
    state = job["state"]
    said = f":material/{_ICONS[state]}: {text(f'tuning.{state}')}"
    st.caption(f"{said} · {elements.plain(job['created'][:16].replace('T', ' '))}")
    if job["message"] and state in ("failed", "waiting"):
        st.caption(elements.plain(job["message"]))
    progress = job["progress"]
    if state == "running" and progress and progress["total"]:
        said = text("tuning.progress", done=progress["done"], total=progress["total"])
        st.progress(min(1.0, progress["done"] / progress["total"]), said)
    if service == "ft" and (state == "running" or _wants_curve(job)):
        _show_curve(session, job)
    _show_result(job)
    _show_actions(session, service, job)


def _wants_curve(job: dict[str, Any]) -> bool:
    if job["state"] == "waiting":
        return False
    return st.toggle(text("tuning.curve"), key=f"curve-{job['id']}")


def _show_result(job: dict[str, Any]) -> None:
    result = job["result"]
    if job["state"] != "done" or not isinstance(result, dict):
        return
    if "documents" in result:
        st.markdown(text("tuning.prepared_result", count=result["documents"]))
    elif "loss" in result:
        values = {key: f"{result[key]:.3f}" for key in ("loss_before", "loss")}
        st.markdown(text("tuning.result", steps=result["steps"], **values))


def _show_actions(session: Session, service: str, job: dict[str, Any]) -> None:
    place = f"/v1/tuning/{service}/jobs/{part(job['id'])}"
    name = _NAMES.get(job["task"], job["task"])
    if job["state"] in _ACTIVE:
        label = text("tuning.cancel", name=name)
        if st.button(label, key=f"cancel-{job['id']}", icon=":material/close:"):
            _do(session, f"{place}/cancel", text("tuning.cancelling", name=name))
    elif service == "ft" and job["state"] == "done":
        label = text("tuning.use", name=name)
        if st.button(label, key=f"use-{job['id']}", icon=":material/check:"):
            _do(session, f"{place}/use", text("tuning.used"))


def _do(session: Session, path: str, said: str) -> None:
    try:
        session.api.post(path)
    except KvasirError as error:
        faults.show(error)
        return
    st.session_state["tuning_said"] = said
    st.rerun()


def _show_curve(session: Session, job: dict[str, Any]) -> None:
    """Draw the losses so far; what is known already is not asked for again."""
    curves = st.session_state.setdefault("curves", {})
    curve = curves.setdefault(job["id"], {"after": 0, "rows": []})
    path = f"/v1/tuning/ft/jobs/{part(job['id'])}/events"
    query = {"after": curve["after"], "wait": False}
    with closing(session.api.events(path, params=query)) as events:
        for kind, data in events:
            if kind == "job":
                continue
            curve["after"] += 1
            if kind == "report" and "step" in data:
                curve["rows"].append(data)
    curve["rows"] = rows = thinned(curve["rows"])
    if not rows:
        st.caption(text("tuning.no_loss"))
        return
    st.altair_chart(_plot(rows), width="stretch")
    st.caption(_in_words(rows))


def thinned(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows; of very many every second one, and those with a held-out loss."""
    while len(rows) > _MOST_POINTS:
        kept = [row for n, row in enumerate(rows) if n % 2 == 0 or "held_out" in row]
        if len(kept) == len(rows):
            return rows[-_MOST_POINTS:]
        rows = kept
    return rows


def _plot(rows: list[dict[str, Any]]) -> Any:
    """Return the losses of training and of the held-out examples by step."""
    # It takes a second to import, and most pages have no chart.
    import altair as alt  # noqa: PLC0415

    names = {"loss": text("tuning.loss"), "held_out": text("tuning.held_out")}
    values = [
        {"step": row["step"], "loss": row[key], "series": name}
        for row in rows
        for key, name in names.items()
        if row.get(key) is not None
    ]
    scale = alt.Scale(domain=list(names.values()), range=["#3a7ebf", "#d98026"])
    base = alt.Chart(alt.InlineData(values=values), height=320).encode(
        x=alt.X("step:Q", title=text("tuning.step"), axis=alt.Axis(format="d", tickMinStep=1)),
        y=alt.Y("loss:Q", title=text("tuning.nats"), scale=alt.Scale(zero=False)),
        color=alt.Color("series:N", title=None, scale=scale).legend(orient="top"),
        tooltip=["series:N", "step:Q", alt.Tooltip("loss:Q", format=".4f")],
    )
    held_out = base.transform_filter(alt.datum.series == names["held_out"])
    training = base.transform_filter(alt.datum.series == names["loss"])
    return training.mark_line(strokeWidth=1.5) + held_out.mark_line(
        strokeWidth=2.5, point=alt.OverlayMarkDef(size=40)
    )


def _in_words(rows: list[dict[str, Any]]) -> str:
    """Return the curve's state in words, which screen readers read."""
    held_out = [row["held_out"] for row in rows if row.get("held_out") is not None]
    last = rows[-1]
    said = text("tuning.at_step", step=last["step"])
    if "loss" in last:
        said += " · " + text("tuning.loss_now", loss=f"{last['loss']:.3f}")
    if held_out:
        values = {"first": f"{held_out[0]:.3f}", "best": f"{min(held_out):.3f}"}
        said += " · " + text("tuning.held_out_now", **values)
    return said
