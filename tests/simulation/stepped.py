"""The embedded store without its threads: it writes and reads when it is told to, so that a run can be repeated."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import apsw

from heliograph.store import interface as it
from heliograph.store.group import GroupCommit
from heliograph.store.sqlite.engine import SqliteStore, migrate
from heliograph.store.sqlite.writes import Writes

Step = Callable[[Callable[[], None]], None]


class SteppedStore(SqliteStore):
    """`later` runs a step of the writer some time after now, `pause` is awaited before and after a read.

    A group is written in two steps: to the disk, then back to the loop. `fault` is asked before each commit for an
    error to end it with; with `Uncertain` it is stored if `uncertain_is_stored`. `crash` drops everything on the floor.
    """

    def __init__(
        self,
        folder: Path,
        *,
        later: Step | None = None,
        pause: Callable[[], Any] | None = None,
        on_fatal: Callable[[it.StoreError], None] | None = None,
        max_waiting_rows: int = 200_000,
    ) -> None:
        super().__init__(folder, exclusive=True, on_fatal=on_fatal, max_waiting_rows=max_waiting_rows)
        self._later = later or (lambda step: None)
        self._given_later = later is not None
        self._pause = pause
        self.dead = False
        self.held = False
        self.fault: Callable[[Sequence[it.Op[Any]]], it.StoreError | None] = lambda ops: None
        self.uncertain_is_stored = False
        self.committed: list[list[it.Op[Any]]] = []
        self._holding: list[Callable[[], None]] = []

    async def open(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._take_lock()
        self._connection = self._connect()
        migrate(self._connection)
        self._writes = Writes(self._connection)
        self._reading = self._connect()
        self._group = GroupCommit(self._loop, self._begin, max_weight=self._max_waiting_rows, on_fatal=self._on_fatal)
        for hook in self._hooks:
            self._group.add_hook(hook)

    def _connect(self) -> apsw.Connection:
        connection = super()._connect()
        connection.execute("PRAGMA synchronous=OFF").fetchall()  # these tests cut the process off, not the power
        return connection

    async def close(self) -> None:
        await self._group.drained()
        self.crash()

    def crash(self) -> None:
        """The process is gone: nothing more is written, read or answered."""
        self.dead = True
        for connection in (self._connection, self._reading):
            connection.close(True)
        if self._lock is not None:
            self._lock.close()

    def release(self) -> None:
        """Carry out the steps held back so far; `held` stays as it is."""
        steps, self._holding = self._holding, []
        for step in steps:
            step()

    def _step(self, step: Callable[[], None]) -> None:
        if self.held:
            self._holding.append(step)
        elif self._given_later:
            self._later(step)
        else:
            self._loop.call_soon(step)

    def _begin(self, ops: list[it.Op[Any]]) -> None:
        self._step(lambda: self._write(ops))

    def _write(self, ops: list[it.Op[Any]]) -> None:
        if self.dead:
            return
        results: Sequence[Any] | it.StoreError
        fault = self.fault(ops)
        try:
            if fault is None or (isinstance(fault, it.Uncertain) and self.uncertain_is_stored):
                results = self.commit(self._connection, self._writes, ops)
                self.committed.append(ops)
            if fault is not None:
                results = fault
        except it.StoreError as error:
            results = error
        self._step(lambda: None if self.dead else self._group.finished(results))

    async def read(self, query: Callable[[it.Reads], Any]) -> Any:
        if self._pause is not None:
            await self._pause()
        found = self._read(query)
        if self._pause is not None:
            await self._pause()
        return found

    def look(self, query: Callable[[it.Reads], Any]) -> Any:
        """A read at once, for the test itself."""
        return self._read(query)

    def ask(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """What the disk holds, by a query of the test's own."""
        return self._reading.execute(sql, values).fetchall()
