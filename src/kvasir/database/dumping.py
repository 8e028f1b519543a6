"""Dumps the rows of a database as JSON lines, and loads them into one of any engine.

    {"format": 1, "revision": "0009"}
    {"table": "users", "columns": ["id", "email"], "kinds": ["plain", "plain"]}
    [1, "ann@example.org"]
    ...

``tables`` are those of ``metadata``, parents before children. A dump is one transaction: it has
every row that was committed before it began, and no half of any change. Rows are loaded by the
kinds of their columns, not by the tables of this version, so that the dump of an older revision is
loaded at that revision and migrated afterwards.

Source: SQLite, https://www.sqlite.org/isolation.html; PostgreSQL and InnoDB read one snapshot in a
transaction of the level REPEATABLE READ.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from kvasir.core.errors import DamagedError, IncompatibleVersionError
from kvasir.core.run import Run
from kvasir.database.engine import reading, writing
from kvasir.database.metadata import metadata
from kvasir.database.migrating import REVISIONS, ensure_current, migrate

FORMAT = 1

_PAGE = 1000
_BATCH = 500
_LEASED = ("lease_token", "lease_until")
"""Columns that are loaded as NULL: the workers of the dumped database hold no lease here."""
_TYPES: Mapping[str, Any] = {
    "json": sa.JSON(none_as_null=True),
    "bytes": sa.LargeBinary(),
    "time": sa.DateTime(),
    "truth": sa.Boolean(),
    "plain": sa.types.NullType(),
}

Line = Callable[[str], object]


def dump(
    engine: Engine, tables: Sequence[sa.Table], write: Line, run: Run | None = None
) -> dict[str, int]:
    """Write tables as lines; return the number of rows by table.

    Raises:
        StoppedError: The run was stopped.
    """
    run = run or Run()
    counts: dict[str, int] = {}
    write(_line({"format": FORMAT, "revision": REVISIONS[-1]}))
    with _snapshot(engine) as connection:
        for table in tables:
            columns = list(table.columns)
            kinds = [_kind(column.type) for column in columns]
            names = [column.name for column in columns]
            write(_line({"table": table.name, "columns": names, "kinds": kinds}))
            counts[table.name] = 0
            query = sa.select(*columns).order_by(*table.primary_key.columns)
            rows = connection.execution_options(yield_per=_PAGE).execute(query)
            for page in rows.partitions():
                run.check()
                for row in page:
                    write(_line([_plain(value) for value in row]))
                counts[table.name] += len(page)
    return counts


def load(
    engine: Engine, tables: Sequence[sa.Table], lines: Iterable[str], run: Run | None = None
) -> dict[str, int]:
    """Load a dump in place of all rows of these tables; return the number of rows by table.

    All in one transaction.

    Raises:
        IncompatibleVersionError: A newer version of Kvasir wrote the dump.
        DamagedError: It is no dump.
        StoppedError: The run was stopped; nothing was changed then.
    """
    run = run or Run()
    rest = iter(lines)
    head = _read(next(rest, ""))
    revision = head.get("revision") if isinstance(head, dict) else None
    if not isinstance(head, dict) or head.get("format") != FORMAT or revision not in REVISIONS:
        raise IncompatibleVersionError(
            f"the backup's tables are of revision {revision}, which this version of Kvasir does "
            "not know: a newer one made it; upgrade Kvasir first"
        )
    with writing(engine) as connection:
        if revision != REVISIONS[-1]:
            migrate(connection, revision)
        _empty(connection, tables)
        counts = _load(connection, rest, run)
        _advance_sequences(connection, counts)
        if revision != REVISIONS[-1]:
            migrate(connection, "head")
    ensure_current(engine)
    return counts


def row_count(engine: Engine, tables: Sequence[sa.Table]) -> int:
    """Return the number of rows in tables."""
    with reading(engine) as connection:
        counts = (
            connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for table in tables
        )
        return sum(counts)


def _snapshot(engine: Engine) -> Any:
    """Open a transaction that sees one state of the database."""
    if engine.dialect.name == "sqlite":
        return engine.begin()
    return engine.execution_options(isolation_level="REPEATABLE READ").begin()


def _kind(declared: Any) -> str:
    for kind in ("json", "bytes", "time", "truth"):
        if isinstance(declared, type(_TYPES[kind])):
            return kind
    return "plain"


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode("ascii")
    return value.isoformat() if isinstance(value, datetime) else value


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"


def _read(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DamagedError("backup", "reading", f"a line is not JSON: {line[:80]!r}") from error


def _load(connection: Connection, lines: Iterator[str], run: Run) -> dict[str, int]:
    counts: dict[str, int] = {}
    parsed = map(_read, lines)
    header = next(parsed, None)
    while header is not None:
        table, kinds = _table(header)
        rows: list[Any] = []
        counts[table.name] = 0
        following = None
        for row in parsed:
            if isinstance(row, dict):
                following = row
                break
            rows.append(_values(table, kinds, row))
            if len(rows) == _BATCH:
                counts[table.name] += _insert(connection, table, rows)
                run.check()
                rows = []
        counts[table.name] += _insert(connection, table, rows)
        header = following
    return counts


def _table(header: Any) -> tuple[sa.Table, Sequence[str]]:
    try:
        name, columns, kinds = header["table"], header["columns"], header["kinds"]
        made = [sa.Column(c, _TYPES[kind]) for c, kind in zip(columns, kinds, strict=True)]
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedError("backup", "reading", f"a table's head is malformed: {error}") from error
    if name not in metadata.tables:
        raise DamagedError("backup", "reading", f"there is no table '{name}'")
    return sa.Table(name, sa.MetaData(), *made), kinds


def _values(table: sa.Table, kinds: Sequence[str], row: Any) -> dict[str, Any]:
    if len(row) != len(kinds):
        raise DamagedError("backup", "reading", f"a row of table '{table.name}' is malformed")
    return {
        column.name: None if column.name in _LEASED else _typed(kind, value)
        for column, kind, value in zip(table.columns, kinds, row, strict=True)
    }


def _typed(kind: str, value: Any) -> Any:
    if value is None:
        return None
    if kind == "bytes":
        return base64.b64decode(value)
    return datetime.fromisoformat(value) if kind == "time" else value


def _insert(connection: Connection, table: sa.Table, rows: list[Any]) -> int:
    if rows:
        connection.execute(sa.insert(table), rows)
    return len(rows)


def _empty(connection: Connection, tables: Sequence[sa.Table]) -> None:
    # A database of an older revision lacks some of the tables.
    present = set(sa.inspect(connection).get_table_names())
    for table in reversed(tables):
        if table.name in present:
            connection.execute(sa.delete(table))


def _advance_sequences(connection: Connection, counts: Mapping[str, int]) -> None:
    """Let PostgreSQL count on behind the loaded numbers; the other engines do so themselves."""
    if connection.dialect.name != "postgresql":
        return
    for name in counts:
        table = metadata.tables[name]
        column = table.autoincrement_column
        if column is None:
            continue
        sequence = sa.func.pg_get_serial_sequence(name, column.name)
        if connection.execute(sa.select(sequence)).scalar() is None:
            continue
        last = sa.select(sa.func.max(column)).scalar_subquery()
        following = sa.func.coalesce(last + 1, 1)
        connection.execute(sa.select(sa.func.setval(sequence, following, False)))
