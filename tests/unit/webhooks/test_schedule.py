"""The documented schedule: 7 attempts, at once and then after 5 min, 15 min, 30 min, 1 h, 5 h, 24 h."""

from __future__ import annotations

from itertools import pairwise

from heliograph.webhooks import schedule


def test_the_seven_attempts_start_at_the_documented_minutes() -> None:
    assert [seconds // 60 for seconds in schedule.STARTS_SECONDS] == [0, 5, 20, 50, 110, 410, 1850]
    assert schedule.ATTEMPTS == 7


def test_each_delay_runs_from_the_start_of_the_attempt_before() -> None:
    gaps = [later - earlier for earlier, later in pairwise(schedule.STARTS_SECONDS)]
    assert gaps == [300, 900, 1800, 3600, 18_000, 86_400]
    assert schedule.CLAIM_DELAYS_SECONDS[:-1] == tuple(gaps)


def test_a_last_attempt_without_an_outcome_is_concluded_after_a_grace() -> None:
    assert len(schedule.CLAIM_DELAYS_SECONDS) == schedule.ATTEMPTS
    assert 60 < schedule.CLAIM_DELAYS_SECONDS[-1] <= 300


def test_only_the_seventh_is_the_last() -> None:
    assert [schedule.is_last(attempt) for attempt in range(1, 8)] == [False] * 6 + [True]
