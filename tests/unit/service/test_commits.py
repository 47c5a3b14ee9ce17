"""Group commits in numbers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from heliograph.service.commits import Commits
from heliograph.store.interface import Unavailable


def test_only_what_was_stored_counts_as_rows_and_has_a_duration() -> None:
    hooks: list[Any] = []
    store = SimpleNamespace(add_hook=hooks.append, waiting_rows=0)
    commits = Commits(cast("Any", store))
    assert hooks == [commits]
    for rows, error in ((3, None), (5, Unavailable("the disk is full")), (4, None)):
        store.waiting_rows = rows
        assert commits.before_commit([]) == []
        store.waiting_rows = 100  # what comes meanwhile belongs to the next group
        if error is None:
            commits.after_commit([], [])
        else:
            commits.commit_failed([], error)
    assert (commits.stored, commits.failed, commits.rows) == (2, 1, 7)
    assert sum(commits.seconds.counts) == 2
    assert commits.seconds.sum > 0
