"""Who may send."""

from __future__ import annotations

import pytest

from heliograph.messaging import errors
from heliograph.messaging.accounts import Account, AccountStatus, require_address, require_sending
from heliograph.messaging.errors import CallerError


def test_active_account_may_send() -> None:
    require_sending(Account(id=1, ref="demo", name="", email=""))


def test_suspended_account_is_told_who_it_is() -> None:
    with pytest.raises(CallerError) as caught:
        require_sending(Account(id=1, ref="acme", name="", email="", status=AccountStatus.SUSPENDED))
    assert caught.value.kind is errors.ACCOUNT_SUSPENDED
    assert "acme" in caught.value.detail
    assert "suspended" in caught.value.detail


def test_new_account_may_use_no_sender_and_lives_by_the_contracts_defaults() -> None:
    account = Account(id=1, ref="demo", name="", email="")
    assert account.senders == frozenset()
    assert account.numbers.value == "possible"
    assert account.validity_seconds == 48 * 3600


def test_account_that_may_not_send_is_told_so() -> None:
    with pytest.raises(CallerError) as caught:
        require_sending(Account(id=1, ref="acme", name="", email="", sending=False))
    assert caught.value.kind is errors.SENDING_DISABLED
    assert "acme" in caught.value.detail


@pytest.mark.parametrize(
    ("networks", "address", "may"),
    [
        ((), "203.0.113.9", True),
        ((), "-", True),
        (("203.0.113.0/24",), "203.0.113.9", True),
        (("203.0.113.0/24",), "203.0.114.9", False),
        (("198.51.100.7/32", "203.0.113.0/24"), "198.51.100.7", True),
        (("203.0.113.0/24",), "::ffff:203.0.113.9", True),
        (("2001:db8::/32",), "2001:db8::1", True),
        (("2001:db8::/32",), "203.0.113.9", False),
        (("0.0.0.0/0", "::/0"), "-", False),
    ],
)
def test_account_is_used_from_its_networks_alone(networks: tuple[str, ...], address: str, may: bool) -> None:
    account = Account(id=1, ref="acme", name="", email="", networks=networks)
    if may:
        require_address(account, address)
        return
    with pytest.raises(CallerError) as caught:
        require_address(account, address)
    assert caught.value.kind is errors.ADDRESS_NOT_ALLOWED
    assert address in caught.value.detail
