"""The sliding log of a rate limit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from heliograph.messaging.limits import WINDOW_MS, SlidingLog


def test_the_limit_is_admitted_and_one_more_is_not() -> None:
    log = SlidingLog()
    standings = [log.admit(1_000 + n, 3) for n in range(4)]
    assert [one.admitted for one in standings] == [True, True, True, False]
    assert [one.remaining for one in standings] == [2, 1, 0, 0]
    assert all(one.limit == 3 for one in standings)


def test_what_is_refused_does_not_count() -> None:
    log = SlidingLog()
    assert log.admit(0, 1).admitted
    for now in range(100, WINDOW_MS, 100):
        assert not log.admit(now, 1).admitted
    assert not log.admit(WINDOW_MS, 1).admitted, "sixty seconds, both ends counted, had two"
    assert log.admit(WINDOW_MS + 1, 1).admitted


def test_a_caller_that_waits_as_long_as_it_is_told_is_admitted() -> None:
    log = SlidingLog()
    log.admit(500, 2)
    log.admit(30_000, 2)
    refused = log.admit(59_900, 2)
    assert not refused.admitted
    assert refused.reset_seconds == 1
    assert log.admit(59_900 + 1_000 * refused.reset_seconds, 2).admitted


def test_a_limit_that_was_lowered_holds_at_once() -> None:
    log = SlidingLog()
    for now in (0, 10_000, 20_000, 30_000):
        assert log.admit(now, 10).admitted
    refused = log.admit(40_000, 2)
    assert (refused.admitted, refused.remaining) == (False, 0)
    assert refused.reset_seconds == 41, "only when the call of 20,000 is forgotten are there less than two"


def test_looking_does_not_count() -> None:
    log = SlidingLog()
    assert [log.standing(n, 1).admitted for n in range(5)] == [True] * 5
    log.admit(5, 1)
    assert not log.standing(6, 1).admitted
    assert log.count(6) == 1


def test_a_clock_that_is_set_back_forgets_nothing_early() -> None:
    log = SlidingLog()
    log.admit(3_690_000, 2)
    log.admit(3_700_000, 2)
    refused = log.admit(100_000, 2)  # an hour back, and none of the log's sixty seconds have passed
    assert (refused.admitted, refused.reset_seconds) == (False, 51)
    assert not log.admit(150_000, 2).admitted
    assert log.admit(151_000, 2).admitted


@given(st.lists(st.integers(0, 20_000), min_size=1, max_size=200), st.integers(1, 20))
def test_no_sixty_seconds_have_more_than_the_limit_and_no_room_is_wasted(gaps: list[int], limit: int) -> None:
    log, now, admitted = SlidingLog(), 0, list[int]()
    for gap in gaps:
        now += gap
        recent = [time for time in admitted if time >= now - WINDOW_MS]
        standing = log.admit(now, limit)
        assert standing.admitted == (len(recent) < limit)
        if standing.admitted:
            admitted.append(now)
        assert standing.remaining == limit - len(recent) - standing.admitted
