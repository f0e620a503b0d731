"""Statements of the calls that come most often: compiled once, and run on the driver's own cursor.

The database library's own execution costs several times what SQLite needs for the statement.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection
    from sqlalchemy.sql.selectable import ExecutableReturnsRows

    _Run = Callable[[Any, dict[str, Any]], list[Any]]


def driver_of(connection: Connection) -> Any:  # noqa: ANN401 - one of two libraries that have no common type
    """The driver's own connection: what is executed on it is part of the same transaction.

    It raises the driver's errors, and the store translates them.
    """
    return connection.connection.driver_connection


class PreparedQuery:
    """A statement that gives rows, whose parameters have names.

    Values must be of a type that the driver takes as it is: texts, numbers, booleans, None.
    """

    def __init__(self, statement: ExecutableReturnsRows) -> None:
        self._statement = statement
        self._compiled: dict[str, _Run] = {}

    def rows(self, connection: Connection, **values: object) -> list[Any]:
        """All rows; the columns are attributes."""
        dialect = connection.dialect
        run = self._compiled.get(dialect.name) or self._compile(dialect)
        return run(driver_of(connection), values)

    def first(self, connection: Connection, **values: object) -> Any:  # noqa: ANN401 - a row, as above
        """The first row; None if there is none."""
        found = self.rows(connection, **values)
        return found[0] if found else None

    def scalar(self, connection: Connection, **values: object) -> Any:  # noqa: ANN401 - a column's value
        """The first row's first column; None without a row."""
        found = self.rows(connection, **values)
        return found[0][0] if found else None

    def _compile(self, dialect: sa.Dialect) -> _Run:
        used = sqlite.dialect(paramstyle="named") if dialect.name == "sqlite" else dialect
        compiled = self._statement.compile(dialect=used)
        text = str(compiled)
        constants = {name: value for name, value in compiled.params.items() if not compiled.binds[name].required}
        columns = self._statement.exported_columns
        row: Any = namedtuple("row", columns.keys(), rename=True)  # type: ignore[misc]  # noqa: PYI024 - its names are the statement's
        make = row._make
        is_sqlite = dialect.name == "sqlite"
        # SQLite has no booleans.
        flags = [n for n, column in enumerate(columns) if isinstance(column.type, sa.Boolean) and is_sqlite]

        def run(driver: Any, values: dict[str, Any]) -> list[Any]:  # noqa: ANN401 - see driver_of
            on = driver if is_sqlite else driver.cursor_for(text)
            # All rows are read: a statement that is not finished would keep the transaction from its commit.
            found = on.execute(text, {**constants, **values} if constants else values).fetchall()
            return [make(_with_booleans(row, flags)) for row in found] if flags else [make(row) for row in found]

        self._compiled[dialect.name] = run
        return run


def _with_booleans(row: tuple[Any, ...], flags: Collection[int]) -> list[Any]:
    values = list(row)
    for number in flags:
        values[number] = bool(values[number])
    return values
