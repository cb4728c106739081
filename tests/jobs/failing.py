"""Disks that fail when a test says so."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any

import pytest

Fails = Callable[[str], int | None]


class FailingConnection(sqlite3.Connection):
    """A connection whose statements fail, before they do anything, with the code that ``fails`` gives."""

    fails: Fails = staticmethod(lambda _statement: None)

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:  # Any: as sqlite3 declares it
        self._fail(statement)
        return super().execute(statement, *values)

    def executemany(self, statement: str, *values: Any) -> sqlite3.Cursor:  # Any: as above
        self._fail(statement)
        return super().executemany(statement, *values)

    def _fail(self, statement: str) -> None:
        code = FailingConnection.fails(statement)
        if code is not None:
            error = sqlite3.OperationalError("the test lets this fail")
            error.sqlite_errorcode = code
            raise error


def let_fail(monkeypatch: pytest.MonkeyPatch, fails: Fails) -> None:
    """Have statements fail from now on, of connections that were opened after ``use_failing_connections``."""
    monkeypatch.setattr(FailingConnection, "fails", staticmethod(fails))


def use_failing_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Open connections that can be let fail."""
    connect = sqlite3.connect

    def connect_failing(*arguments: Any, **options: Any) -> sqlite3.Connection:  # Any: as above
        return connect(*arguments, factory=FailingConnection, **options)

    monkeypatch.setattr(sqlite3, "connect", connect_failing)
