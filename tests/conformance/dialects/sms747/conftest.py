"""Customers of the 747 API on the usual servers: with a number policy and a rate limit that leave tests room."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.conftest import Accounts
from tests.harness.client747 import Accounts747, Client747
from tests.harness.receiver import Receiver


@pytest.fixture(scope="session")
def accounts747(accounts: Accounts) -> Accounts747:
    return Accounts747(accounts)


@pytest.fixture(scope="session")
def client747(accounts747: Accounts747) -> Client747:
    """An account with number policy `syntax`, sender 96000, 1.00 a segment, and plenty of money."""
    return accounts747.new("--numbers", "syntax", balance="1000000.00")


@pytest.fixture(scope="session")
def other747(accounts747: Accounts747) -> Client747:
    """An account as `account create` makes it: number policy `possible`."""
    return accounts747.new()


@pytest.fixture
def customer(accounts747: Accounts747) -> Client747:
    """An account of the test's own with 50.00."""
    return accounts747.new(balance="50.00")


@pytest.fixture(scope="session")
def receiver747() -> Iterator[Receiver]:
    """A customer's server. No test of this folder makes it refuse anything; one that does has its own."""
    with Receiver() as listening:
        yield listening
