"""The rows of one engine are dumped and loaded into another one, in one state, with all types."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime

import pytest
from databases import ENGINES
from sqlalchemy import Engine, func, insert, select

from kvasir import backups
from kvasir.catalog.tables import collections, sources, texts, versions
from kvasir.core.errors import DamagedError, IncompatibleVersionError, StoppedError
from kvasir.core.run import Run, StopToken
from kvasir.core.services.jobs import NewJob
from kvasir.database import open_database, writing
from kvasir.database.dumping import dump, load, row_count
from kvasir.database.metadata import metadata
from kvasir.jobs.sql import SqlJobQueue
from kvasir.questions.tables import questions

TABLES = [
    t for t in metadata.sorted_tables if t.name not in ("writers", "kept_vectors", "answer_cache")
]
OTHER = {"sqlite": "postgresql", "postgresql": "mariadb", "mariadb": "sqlite"}
ROWS = 1100
"""More than one page of a dump, and than one batch of a load."""
WHEN = datetime(2026, 3, 1, 12, 30, 15)
TEXT = "Ungewöhnlich \u2028 «¿qué?» 智\U0001f642\n\"'\\ \t"


@pytest.fixture(params=ENGINES)
def pair(request: pytest.FixtureRequest, database_urls) -> Iterator[tuple[Engine, Engine]]:
    """A database of an engine, and one of the next engine."""
    made = [open_database(database_urls(name)) for name in (request.param, OTHER[request.param])]
    for engine in made:
        with writing(engine) as connection:
            for table in reversed(metadata.sorted_tables):
                connection.execute(table.delete())
    yield made[0], made[1]
    for engine in made:
        engine.dispose()


def fill(engine: Engine) -> None:
    jobs = SqlJobQueue(engine)
    jobs.add(NewJob("ingest_upload", {"uri": TEXT, "metadata": {"year": 1, "x": 0.1}}, 7, "c", "k"))
    assert jobs.claim(lease_seconds=600) is not None
    with writing(engine) as connection:
        made = {"id": 3, "embedder": "m", "dimension": 4, "fingerprint": "f", "created": WHEN}
        connection.execute(insert(collections).values(name="c", languages=["es"], **made))
        connection.execute(insert(sources).values(id=9, collection_id=3, document_id="d", uri=TEXT))
        version = {
            "status": "live",
            "media_type": "",
            "content_hash": "h",
            "size": 2**40,
            "modified": 1.7e9 + 1 / 3,
            "settings_hash": "s",
            "title": TEXT,
            "metadata_applied": False,
            "recorded": WHEN,
        }
        connection.execute(insert(versions).values(id=11, source_id=9, **version))
        packed = bytes(range(256)) * 3
        connection.execute(insert(texts).values(version_id=11, compressed=packed))
        asked = {
            "input": TEXT,
            "date": 1.5,
            "email": "a@b.example",
            "user_id": 1,
            "collection": "c",
            "language": "es",
            "state": "waiting",
            "reply_to": "",
            "subject": "",
            "attempts": 0,
            "due": 0.0,
        }
        connection.execute(insert(questions), [asked | {"id": f"q{n}"} for n in range(ROWS)])


def lines_of(engine: Engine) -> list[str]:
    lines: list[str] = []
    dump(engine, TABLES, lines.append)
    return lines


def test_every_row_arrives_with_its_types_and_is_the_same_there(pair) -> None:
    source, target = pair
    fill(source)
    lines = lines_of(source)
    counts = load(target, TABLES, lines)
    assert counts["questions"] == ROWS
    assert counts["texts"] == 1
    assert row_count(target, TABLES) == row_count(source, TABLES) == sum(counts.values())
    again = lines_of(target)
    # But for the lease, which the worker of the other database held.
    job = next(number for number, line in enumerate(lines) if '"ingest_upload"' in line)
    assert [line for n, line in enumerate(again) if n != job] == [
        line for n, line in enumerate(lines) if n != job
    ]
    with target.connect() as connection:
        (row,) = connection.execute(select(versions)).all()
        assert row.modified == 1.7e9 + 1 / 3
        assert row.recorded == WHEN
        assert connection.execute(select(texts.c.compressed)).scalar() == bytes(range(256)) * 3


def test_a_running_job_is_taken_up_at_once_where_it_is_loaded(pair) -> None:
    source, target = pair
    fill(source)
    load(target, TABLES, lines_of(source))
    claimed = SqlJobQueue(target).claim(lease_seconds=10)
    assert claimed is not None
    assert claimed.job.arguments["uri"] == TEXT
    assert claimed.job.arguments["metadata"] == {"year": 1, "x": 0.1}


def test_numbers_count_on_behind_the_loaded_ones(pair) -> None:
    source, target = pair
    fill(source)
    load(target, TABLES, lines_of(source))
    queue = SqlJobQueue(target)
    added = queue.add(NewJob("t", {}, 1, "c"))
    assert queue.jobs()[0].id == added.id
    with writing(target) as connection:
        connection.execute(
            insert(collections).values(name="next", embedder="m", dimension=4, fingerprint="f")
        )
        assert connection.execute(select(func.max(collections.c.id))).scalar() > 3


def test_loading_replaces_all_rows_of_the_tables_and_of_no_others(pair) -> None:
    source, target = pair
    fill(target)
    only_jobs = [t for t in TABLES if t.name == "jobs"]
    lines: list[str] = []
    dump(source, only_jobs, lines.append)
    assert load(target, only_jobs, lines) == {"jobs": 0}
    assert row_count(target, only_jobs) == 0
    assert row_count(target, TABLES) == ROWS + 4


def test_a_change_that_begins_after_the_dump_is_not_in_it(pair) -> None:
    source, target = pair
    fill(source)
    lines: list[str] = []

    def write(line: str) -> None:
        if not lines:
            pass
        elif len(lines) == 2:
            # The snapshot is taken by now: the first table was read.
            with writing(source) as connection:
                connection.execute(questions.delete())
                connection.execute(collections.delete())
        lines.append(line)

    first = next(table for table in TABLES if table.name == "collections")
    rest = [table for table in TABLES if table is not first]
    dump(source, [first, *rest], write)
    counts = load(target, TABLES, lines)
    assert counts["collections"] == 1
    assert counts["questions"] == ROWS


def test_a_stopped_load_changes_nothing(pair) -> None:
    source, target = pair
    fill(source)
    fill(target)
    before = lines_of(target)
    stop = StopToken()
    stop.set()
    with pytest.raises(StoppedError):
        load(target, TABLES, lines_of(source), Run(stop))
    assert lines_of(target) == before


def test_a_dump_of_the_revision_before_the_service_is_loaded_and_migrated(pair) -> None:
    _, target = pair
    row = [1, "old", "m", 4, "f", ["en"], None, WHEN.isoformat()]
    later = {"splitting", "model", "index_name", "other_indexes", "revision"}
    names = [column.name for column in collections.columns if column.name not in later]
    kinds = ["plain"] * 5 + ["json", "json", "time"]
    head = {"table": "collections", "columns": names, "kinds": kinds}
    lines = [json.dumps(each) for each in ({"format": 1, "revision": "0002"}, head, row)]
    fill(target)
    load(target, TABLES, lines)
    with target.connect() as connection:
        assert connection.execute(select(collections.c.name)).scalars().all() == ["old"]
        assert connection.execute(select(collections.c.created)).scalar() == WHEN
    assert row_count(target, TABLES) == 1


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        ([], DamagedError),
        (["{"], DamagedError),
        (['{"format": 1, "revision": "9999"}'], IncompatibleVersionError),
        (['{"format": 2, "revision": "0009"}'], IncompatibleVersionError),
        (['{"format": 1, "revision": "0009"}', '{"table": "x"}'], DamagedError),
        (['{"format":1,"revision":"0009"}', '{"table":"x","columns":[],"kinds":[]}'], DamagedError),
    ],
)
def test_what_is_no_dump_is_refused(tmp_path, lines, error) -> None:
    engine = open_database(f"sqlite:///{tmp_path}/x.db")
    with pytest.raises(error):
        load(engine, TABLES, lines)
    engine.dispose()


def test_every_table_is_in_a_backup_but_leases_and_what_can_be_made_again() -> None:
    assert {t.name for t in backups._CATALOG | backups._SERVICE} == {t.name for t in TABLES}
    assert not backups._CATALOG & backups._SERVICE
