"""Rate limits of accounts, and the brake on failing token requests."""

from __future__ import annotations

import pytest

from heliograph.kit.clock import ManualClock
from heliograph.messaging import errors
from heliograph.messaging.accounts import Account
from heliograph.messaging.errors import CallerError
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
