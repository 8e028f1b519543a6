"""The page of evaluations: questions with known answers, their figures and plots."""

from __future__ import annotations

import json
from codecs import BOM_UTF8
from contextlib import closing
from datetime import datetime
from typing import Any

import streamlit as st

from kvasir.core.errors import RequestError
from kvasir.frontends.ui import elements
from kvasir.frontends.ui.connection import part
from kvasir.frontends.ui.session import Session, open_session
from kvasir.frontends.ui.texts import text

_FIGURES = {
    "top_10": "evaluation.passage_found",
    "satisfying": "evaluation.satisfied",
    "refused_rightly": "evaluation.refused_rightly",
    "refused_wrongly": "evaluation.refused_wrongly",
}
"""The figures of the API that are plotted, with their names."""
_MOST_RUNS = 8
_COLOURS = ("#3a7ebf", "#d98026", "#3f9b6c", "#9a5fb8", "#c0504d", "#7a7a7a", "#b8a13c", "#4aa5a5")


def show() -> None:
    """Draw the page."""
    session = open_session()
    st.title(text("evaluation.title"), anchor=False)
    if not session.is_admin:
        st.info(text("app.admins"), icon=":material/lock:")
        return
    st.markdown(text("evaluation.intro"))
    _run(session)
    runs: list[dict[str, Any]] = st.session_state.get("runs", [])
    if not runs:
        title, more = text("evaluation.no_runs"), text("evaluation.no_runs_more")
        elements.empty_state(":material/monitoring:", title, more)
        return
    st.subheader(text("evaluation.runs"), anchor=False)
    rows = [row for run in runs for row in run["rows"]]
    st.altair_chart(_plot(rows), width="stretch")
    with st.expander(text("evaluation.table"), expanded=True):
        _show_table(runs)
    st.download_button(
        text("evaluation.download"),
        json.dumps(runs[-1]["result"], ensure_ascii=False, indent=2),
        file_name="evaluation.json",
        mime="application/json",
        icon=":material/download:",
        on_click="ignore",
    )


def _run(session: Session) -> None:
    names = [each["name"] for each in session.api.get("/v1/collections", limit=1000)]
    if not names:
        st.info(text("chat.nothing_more"))
        return
    with st.form("evaluation"):
        collection = st.selectbox(text("chat.collection"), names)
        file = st.file_uploader(
            text("evaluation.file"),
            type=["jsonl"],
            help=text("evaluation.file_help"),
            max_upload_size=session.max_file_mb,
        )
        elements.refused_files(text("knowledge.refused_file", size=session.max_file_mb))
        if not st.form_submit_button(text("evaluation.run"), type="primary"):
            return
    if file is None:
        st.warning(text("evaluation.file_missing"), icon=":material/edit:")
        return
    questions = _read(file.getvalue())
    bar = st.progress(0.0)
    path = f"/v1/collections/{part(collection)}/evaluate"
    content = {"method": "POST", "content": {"questions": questions}}
    with closing(session.api.events(path, **content)) as events:
        for name, data in events:
            if name == "progress" and data["total"]:
                said = text("evaluation.running", done=data["done"], total=data["total"])
                bar.progress(data["done"] / data["total"], said)
            elif name == "result":
                _keep(collection, data)
    bar.empty()


def _read(content: bytes) -> list[dict[str, Any]]:
    """Return the questions of a file of JSON lines.

    Raises:
        RequestError: A line cannot be read, or there is none.
    """
    questions = []
    # Only a line feed ends a line: text may contain Unicode's other line separators.
    for number, line in enumerate(content.removeprefix(BOM_UTF8).split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            found = {"id": ""} | json.loads(line.decode())
        except (ValueError, TypeError, RecursionError) as error:
            said = text("evaluation.unreadable", line=number, reason=str(error))
            raise RequestError(said) from error
        questions.append(found | {"id": found["id"] or str(number)})
    if not questions:
        raise RequestError(text("evaluation.no_questions"))
    return questions


def _keep(collection: str, result: dict[str, Any]) -> None:
    """Keep a run's figures for as long as the page is open."""
    label = f"{collection} {datetime.now().astimezone():%H:%M:%S}"
    rows = [
        {
            "run": label,
            "figure": key,
            "share": result["all"][key]["share"],
            "low": result["all"][key]["low"],
            "high": result["all"][key]["high"],
            "of": f"{result['all'][key]['count']}/{result['all'][key]['total']}",
        }
        for key in _FIGURES
        if result["all"][key]["total"]
    ]
    runs = st.session_state.setdefault("runs", [])
    runs.append({"label": label, "rows": rows, "result": result})
    del runs[:-_MOST_RUNS]


def _plot(rows: list[dict[str, Any]]) -> Any:
    """Return bars of the shares with their 95 % intervals."""
    # It takes a second to import, and most pages have no chart.
    import altair as alt  # noqa: PLC0415

    names = [{**row, "figure": text(_FIGURES[row["figure"]])} for row in rows]
    base = alt.Chart(alt.InlineData(values=names)).encode(
        y=alt.Y("figure:N", title=None, sort=None, axis=alt.Axis(labelLimit=200)),
        yOffset=alt.YOffset("run:N", sort=None),
    )
    scale = alt.Scale(range=list(_COLOURS))
    bars = base.mark_bar(cornerRadiusEnd=3).encode(
        x=alt.X(
            "share:Q",
            title=text("evaluation.share"),
            scale=alt.Scale(domain=[0, 1]),
            axis=alt.Axis(format=".0%"),
        ),
        color=alt.Color("run:N", title=text("evaluation.label"), scale=scale, sort=None).legend(
            orient="bottom", columns=1
        ),
        tooltip=["run:N", "figure:N", alt.Tooltip("share:Q", format=".1%"), "of:N"],
    )
    whiskers = base.mark_rule(strokeWidth=2, opacity=0.7).encode(
        x="low:Q", x2="high:Q", color=alt.value("#8a8a8a")
    )
    return bars + whiskers


def _show_table(runs: list[dict[str, Any]]) -> None:
    """Draw the same figures as a table, which screen readers read."""
    head = [text("evaluation.measure"), *(elements.plain(run["label"]) for run in runs)]
    lines = [head, ["---"] * len(head)]
    for key, name in _FIGURES.items():
        cells = []
        for run in runs:
            row = next((each for each in run["rows"] if each["figure"] == key), None)
            cells.append(f"{row['share']:.0%} ({row['of']})" if row else "–")
        lines.append([text(name), *cells])
    st.markdown("\n".join(f"| {' | '.join(cells)} |" for cells in lines))
