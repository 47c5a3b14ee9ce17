"""Rate limits of accounts, and the brake on failing token requests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.kit.clock import ManualClock
from heliograph.messaging import errors
from heliograph.messaging.accounts import Account
from heliograph.messaging.errors import CallerError
from heliograph.messaging.limits import Standing
from heliograph.service import limits
from heliograph.service.limits import Limits, require_admitted


def account(id_: int = 1, per_minute: int = 2) -> Account:
    return Account(id=id_, ref=f"acc_{id_}", name="", email="", per_minute=per_minute)


def new(failed: int = 3) -> tuple[Limits, ManualClock]:
    clock = ManualClock()
    return Limits(clock, failed_tokens_per_minute=failed), clock


def throttled(of: Limits, address: str) -> CallerError | None:
    try:
        of.check_address(address)
    except CallerError as error:
        return error
    return None


def test_account_without_a_limit_is_not_counted() -> None:
    of, _ = new()
    assert of.admit(account(per_minute=0)) is None
    require_admitted(None)


def test_account_over_its_limit_is_told_when_to_come_again() -> None:
    of, clock = new()
    for _ in range(2):
        require_admitted(of.admit(account()))
    with pytest.raises(CallerError) as caught:
        require_admitted(of.admit(account()))
    assert caught.value.kind is errors.RATE_LIMITED
    assert of.refused == 1
    clock.advance(caught.value.retry_after_seconds)
    require_admitted(of.admit(account()))


def test_an_error_knows_the_numbers_behind_its_sentence() -> None:
    of, clock = new(failed=1)
    of.admit(account(per_minute=1))
    with pytest.raises(CallerError) as caught:
        require_admitted(of.admit(account(per_minute=1)))
    reset_utc_ms = clock.now_utc_ms() + 60_001
    assert caught.value.facts == {"limit": 1, "remaining": 0, "reset_utc_ms": reset_utc_ms}
    of.failed("203.0.113.9")
    error = throttled(of, "203.0.113.9")
    assert error is not None
    assert error.facts == {"limit": 1, "remaining": 0, "reset_utc_ms": reset_utc_ms}


# -- a limit of the API, and one of the account's own

TIER = 3
"""Calls of the API that has a limit."""


def admitted(standing: Standing | None) -> bool:
    return standing is None or standing.admitted


def test_the_limit_of_an_api_counts_the_calls_to_that_api_alone() -> None:
    of, _ = new()
    without = account(per_minute=0)
    for _ in range(50):
        assert of.admit(without) is None
    assert [admitted(of.admit(without, TIER)) for _ in range(4)] == [True, True, True, False]
    assert of.admit(without) is None


def test_the_accounts_own_limit_is_one_for_both_apis() -> None:
    of, _ = new()
    own = account(per_minute=5)
    calls = [of.admit(own, TIER if n % 2 else 0) for n in range(6)]
    assert [admitted(one) for one in calls] == [True] * 5 + [False]
    assert [one and one.limit for one in calls] == [5] * 6


def test_a_limit_that_is_set_or_lifted_gives_no_second_helping() -> None:
    of, clock = new()
    tier, own = account(per_minute=0), account(per_minute=TIER)
    for _ in range(TIER):
        assert admitted(of.admit(tier, TIER))
    assert not admitted(of.admit(own, TIER)), "what the tier admitted counts under an own limit"
    clock.advance(61)
    for _ in range(TIER):
        assert admitted(of.admit(own, TIER))
    assert not admitted(of.admit(tier, TIER)), "and the other way round"


@given(
    st.lists(st.tuples(st.integers(0, 15_000), st.booleans(), st.booleans(), st.booleans()), max_size=80),
    st.integers(1, 6),
    st.integers(1, 6),
)
def test_no_minute_has_more_than_the_limit_and_none_less_than_was_offered(
    steps: list[tuple[int, bool, bool, bool]], own: int, tier: int
) -> None:
    """Calls of both APIs, with and without an own limit, over restarts, against a list of what was admitted."""
    kept: list[tuple[int, bool, int]] = []
    clock = ManualClock()
    of = Limits(clock, failed_tokens_per_minute=1, recent=Kept(kept))
    for gap_ms, has_own, of_747, restarts in steps:
        clock.advance(gap_ms / 1000)
        now = clock.now_utc_ms()
        if restarts:
            of = Limits(clock, failed_tokens_per_minute=1, recent=Kept(kept))
        known = len(kept)
        recent = [one for one in kept if one[2] >= now - 60_000]
        standing = of.admit(account(per_minute=own if has_own else 0), tier if of_747 else 0)
        if not has_own and not of_747:
            assert standing is None
            continue
        counted = recent if has_own else [one for one in recent if one[1]]
        limit = own if has_own else tier
        assert standing is not None
        assert standing.admitted is (len(counted) < limit)
        assert standing.remaining == max(0, limit - len(counted) - standing.admitted)
        assert len(kept) == known + standing.admitted


class Kept:
    """What outlives the process, in a list."""

    def __init__(self, calls: list[tuple[int, bool, int]]) -> None:
        self.calls = calls

    def recall(self, since_utc_ms: int) -> list[tuple[int, bool, int]]:
        return [one for one in self.calls if one[2] >= since_utc_ms]

    def add(self, account_id: int, of_dialect: bool, at_utc_ms: int) -> None:
        self.calls.append((account_id, of_dialect, at_utc_ms))


def test_one_account_does_not_count_against_another() -> None:
    of, _ = new()
    for id_ in (1, 2, 3):
        for _ in range(2):
            require_admitted(of.admit(account(id_)))


def test_address_whose_token_requests_fail_is_throttled_for_a_minute() -> None:
    of, clock = new(failed=3)
    for _ in range(3):
        assert throttled(of, "203.0.113.9") is None
        of.failed("203.0.113.9")
    error = throttled(of, "203.0.113.9")
    assert error is not None
    assert error.kind is errors.AUTH_THROTTLED
    assert throttled(of, "203.0.113.10") is None
    clock.advance(error.retry_after_seconds)
    assert throttled(of, "203.0.113.9") is None


def test_a_network_of_ipv6_is_one_caller() -> None:
    of, _ = new(failed=1)
    of.failed("2001:db8:1:2:3:4:5:6")
    assert throttled(of, "2001:db8:1:2::1") is not None
    assert throttled(of, "2001:db8:1:3::1") is None


def test_an_ipv4_address_is_the_same_caller_however_it_is_written() -> None:
    of, _ = new(failed=1)
    of.failed("::ffff:203.0.113.9")
    assert throttled(of, "203.0.113.9") is not None
    assert throttled(of, "::ffff:203.0.113.10") is None


def test_more_addresses_than_are_remembered_push_out_the_one_that_failed_longest_ago(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "ADDRESSES_REMEMBERED", 2)
    of, _ = new(failed=1)
    for address in ("198.51.100.1", "198.51.100.2", "198.51.100.1", "198.51.100.3"):
        of.failed(address)
    assert throttled(of, "198.51.100.1") is not None
    assert throttled(of, "198.51.100.3") is not None
    assert throttled(of, "198.51.100.2") is None
