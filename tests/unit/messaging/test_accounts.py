"""Who may send."""

from __future__ import annotations

import pytest

from heliograph.messaging import errors
from heliograph.messaging.accounts import Account, AccountStatus, require_active
from heliograph.messaging.errors import CallerError


def test_active_account_may_send() -> None:
    require_active(Account(id=1, ref="demo", name="", email=""))


def test_suspended_account_is_told_who_it_is() -> None:
    with pytest.raises(CallerError) as caught:
        require_active(Account(id=1, ref="acme", name="", email="", status=AccountStatus.SUSPENDED))
    assert caught.value.kind is errors.ACCOUNT_SUSPENDED
    assert "acme" in caught.value.detail
    assert "suspended" in caught.value.detail


def test_new_account_may_use_no_sender_and_lives_by_the_contracts_defaults() -> None:
    account = Account(id=1, ref="demo", name="", email="")
    assert account.senders == frozenset()
    assert account.numbers.value == "possible"
    assert account.validity_seconds == 48 * 3600
