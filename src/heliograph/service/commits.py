"""How the store keeps up: group commits in numbers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from heliograph.kit.metrics import Histogram
from heliograph.store.interface import Op, Store, StoreError


class Commits:
    """Counts group commits. Make it the first hook: then what it times is all of a group, the others' planning too.

    `rows` are those that callers asked for, in groups that are stored; `seconds` has these groups alone.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._began = 0.0
        self._rows_under_way = 0
        self.stored = 0
        self.failed = 0
        self.rows = 0
        self.seconds = Histogram()
        store.add_hook(self)

    def before_commit(self, ops: Sequence[Op[Any]]) -> list[Op[Any]]:
        """See `CommitHook`: no group is under way, so whatever waits goes into this one."""
        self._began = time.perf_counter()
        self._rows_under_way = self._store.waiting_rows
        return []

    def after_commit(self, ops: Sequence[Op[Any]], results: Sequence[Any]) -> None:
        """See `CommitHook`."""
        self.stored += 1
        self.rows += self._rows_under_way
        self.seconds.observe(time.perf_counter() - self._began)

    def commit_failed(self, ops: Sequence[Op[Any]], error: StoreError) -> None:
        """See `CommitHook`."""
        self.failed += 1
