"""The log of answers is exported as JSON lines, and forgets what is too old."""

import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from live_server import OWNER
from sqlalchemy import insert

from kvasir.app import App
from kvasir.core.run import Run
from kvasir.core.services.answer_log import LoggedAnswer
from kvasir.core.wire import from_json, to_json
from kvasir.database import open_database, writing
from kvasir.questions.tables import answer_log
from kvasir.settings.schema import Settings
from kvasir.tasks import tidy

pytestmark = pytest.mark.xdist_group("clients")

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


def logged(number, user_id, date=NOW, **more):
    values = {
        "id": f"answer-{number}",
        "user_id": user_id,
        "collection": "tea",
        "question": f"Question {number}?\u2028",
        "answer": f"Answer {number}\nof user {user_id}. [1]",
        "refused": False,
        "sources": ("upload:tea.md",),
        "model": "extractive",
        "seconds": 0.25,
        "date": date,
    }
    return LoggedAnswer(**values | more)


@pytest.fixture
def log(server):
    """The log with answers of Ana, of Bob and of the owner of the data folder."""
    log = server.app.services.answer_log
    log.delete_before(datetime(2100, 1, 1, tzinfo=UTC))
    users = {name: server.app.services.accounts.user(name).id for name in ("ana", "bob")}
    for number, user in enumerate([users["ana"], users["bob"], 0, users["ana"]]):
        log.record(logged(number, user, NOW + timedelta(hours=number)))
    yield log
    log.delete_before(datetime(2100, 1, 1, tzinfo=UTC))


def export(server, name, **query):
    headers = {"Authorization": f"Bearer {server.keys.get(name, name)}"}
    answer = httpx.get(f"{server.url}/v1/answers/export", params=query, headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/jsonl"
    return [json.loads(line) for line in answer.content.decode().split("\n") if line]


def test_users_get_their_own_answers_and_administrators_all(server, log):
    assert [each["id"] for each in export(server, "ana")] == ["answer-0", "answer-3"]
    assert [each["id"] for each in export(server, "bob")] == ["answer-1"]
    assert export(server, "nobody") == []
    for name in ("root", OWNER):
        assert [each["id"] for each in export(server, name)] == [f"answer-{n}" for n in range(4)]


def test_a_line_is_the_whole_record(server, log):
    log.rate("answer-1", server.app.services.accounts.user("bob").id, -1, "too short")
    [line] = export(server, "bob")
    assert from_json(LoggedAnswer, line) == next(
        each for each in log.export() if each.id == "answer-1"
    )
    assert (line["rating"], line["comment"]) == (-1, "too short")


@pytest.mark.parametrize("since", ["2026-05-04T04:00:00", "2026-05-04T06:00:00+02:00"])
def test_only_later_answers_are_exported_if_wanted(server, log, since):
    assert [each["id"] for each in export(server, "ana", since=since)] == ["answer-3"]


def test_an_export_of_many_answers_is_whole(server, log):
    rows = [to_json(logged(number, 0)) | {"date": 0.0} for number in range(10, 1210)]
    engine = open_database(server.app.settings.database_url)
    with writing(engine) as connection:
        connection.execute(insert(answer_log), rows)
    engine.dispose()
    assert len(export(server, OWNER)) == 1204


def test_an_export_needs_a_credential_with_the_right_to_read(server, log):
    assert httpx.get(f"{server.url}/v1/answers/export", timeout=60).status_code == 401


def test_answers_older_than_the_retention_are_deleted_while_the_server_runs(tmp_path):
    old, young = (datetime.now(UTC) - timedelta(days=days) for days in (31, 29))
    for days, kept in ((None, ["answer-1", "answer-2"]), (36_600, None), (30, ["answer-2"])):
        with App(Settings(data_dir=tmp_path, answer_log={"retention_days": days})) as app:
            log = app.services.answer_log
            if days is None:
                log.record(logged(1, 0, old))
                log.record(logged(2, 0, young))
            tidy(app, Run())
            assert [each.id for each in log.export()] == (kept or ["answer-1", "answer-2"])
