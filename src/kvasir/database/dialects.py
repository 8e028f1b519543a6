"""Column types and a clock that behave the same on every engine.

SQLite ignores lengths and compares text byte by byte, so its columns have plain types. MariaDB and
MySQL ignore case by default, and their plain types are small; PostgreSQL sorts text by the rules of
a language.
"""

from __future__ import annotations

from typing import Any, TypeVar

from sqlalchemy import BigInteger, Double, Float, Integer, LargeBinary, String, Text
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction
from sqlalchemy.types import TypeEngine

T = TypeVar("T")

_MYSQL = ("mysql", "mariadb")
_BINARY = "utf8mb4_bin"


def exact(length: int) -> Any:
    """Return a type for short text that is compared exactly and can be indexed."""
    return _on_servers(
        String(length), mysql.VARCHAR(length, collation=_BINARY), String(length, collation="C")
    )


def long_text(plain: TypeEngine[str]) -> Any:
    """Return a type for long text that is compared exactly; ``plain`` is SQLite's type."""
    return _on_servers(plain, mysql.LONGTEXT(collation=_BINARY), Text(collation="C"))


def large_binary() -> Any:
    """Return a type for bytes, up to 4 GB."""
    return _on_servers(LargeBinary(), mysql.LONGBLOB(), LargeBinary())


def big_integer() -> Any:
    """Return a type for 64-bit integers."""
    return _on_servers(Integer(), BigInteger(), BigInteger())


def double() -> Any:
    """Return a type for 64-bit floating point numbers."""
    return _on_servers(Float(), mysql.DOUBLE(asdecimal=False), Double())


def _on_servers(plain: TypeEngine[T], on_mysql: Any, on_postgresql: Any) -> TypeEngine[T]:
    chosen = plain.with_variant(on_postgresql, "postgresql")
    return chosen.with_variant(on_mysql, *_MYSQL)


class epoch_seconds(GenericFunction[float]):  # noqa: N801 - named as SQL functions are
    """Seconds since 1970 by the database's clock, which processes on several machines share."""

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
