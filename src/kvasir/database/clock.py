"""The database's clock, which processes on several machines share."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Double
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction


class epoch_seconds(GenericFunction[float]):  # noqa: N801 - named as SQL functions are
    """Seconds since 1970 by the database's clock."""

    type = Double()
    inherit_cache = True


@compiles(epoch_seconds, "sqlite")
def _on_sqlite(element: epoch_seconds, compiler: Any, **_: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(epoch_seconds, "postgresql")
def _on_postgresql(element: epoch_seconds, compiler: Any, **_: Any) -> str:
    return "extract(epoch from clock_timestamp())::double precision"


@compiles(epoch_seconds, "mysql")
@compiles(epoch_seconds, "mariadb")
def _on_mysql(element: epoch_seconds, compiler: Any, **_: Any) -> str:
    return "(timestampdiff(microsecond, '1970-01-01', utc_timestamp(6)) / 1e6)"
