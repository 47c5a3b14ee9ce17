"""Calls of the last minute, kept for the next process."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.kit.recent import RecentCalls

MINUTE_MS = 60_000


def test_the_next_process_recalls_what_was_added_without_a_goodbye(tmp_path: Path) -> None:
    first = RecentCalls(tmp_path)
    assert first.recall(0) == []
    first.add(1, True, 100)
    first.add(2, False, 200)
    second = RecentCalls(tmp_path)
    assert second.recall(100) == [(1, True, 100), (2, False, 200)]
    second.add(3, True, 300)
    assert RecentCalls(tmp_path).recall(200) == [(2, False, 200), (3, True, 300)]


def test_a_record_that_a_crash_cut_short_is_left_out_and_spoils_no_other(tmp_path: Path) -> None:
    calls = RecentCalls(tmp_path)
    calls.add(1, True, 100)
    with (tmp_path / "recent-calls").open("ab") as file:
        file.write(b"half")
    again = RecentCalls(tmp_path)
    assert again.recall(0) == [(1, True, 100)]
    again.add(2, True, 200)
    assert RecentCalls(tmp_path).recall(0) == [(1, True, 100), (2, True, 200)]


def test_files_are_private_and_do_not_grow_for_ever(tmp_path: Path) -> None:
    calls = RecentCalls(tmp_path)
    for second in range(1_000):
        calls.add(1, False, second * 1_000)
    files = list(tmp_path.iterdir())
    assert len(files) == 2
    assert all(file.stat().st_mode & 0o077 == 0 for file in files)
    assert sum(file.stat().st_size for file in files) < 150 * 17


def test_a_disk_without_room_refuses_nothing_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls = RecentCalls(tmp_path)
    calls.add(1, False, 100)
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda _, record: len(record) - 1)
        for at_utc_ms in (200, 201, 202):
            calls.add(1, False, at_utc_ms)
    assert len(caplog.records) == 1, "not one for every call"
    calls.add(1, False, 2_000)
    assert RecentCalls(tmp_path).recall(0)[-1] == (1, False, 2_000)


@given(st.lists(st.tuples(st.integers(0, 30_000), st.booleans()), max_size=60))
def test_whenever_the_process_dies_the_last_minute_is_known(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, bool]]
) -> None:
    folder = tmp_path_factory.mktemp("calls")
    calls, now, added = RecentCalls(folder), 0, list[tuple[int, bool, int]]()
    for gap, dies in steps:
        now += gap
        if dies:
            calls.close()
            calls = RecentCalls(folder)
            assert calls.recall(now - MINUTE_MS) == [one for one in added if one[2] >= now - MINUTE_MS]
        calls.add(7, dies, now)
        added.append((7, dies, now))
    calls.close()
