"""Every error that this API has, provoked by the example on its page, and answered as the page says."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conformance.dialects import provoking
from tests.conformance.dialects.provoking import SERVERS, SHARED, Customer, check
from tests.conftest import DOORS, Accounts
from tests.harness.client import Client
from tests.harness.client747 import Client747

from heliograph.api.sms747 import TELLING
from heliograph.dialects import example as it
from heliograph.dialects import sms747
from heliograph.dialects.sms747.examples import EXAMPLES


def customer_of(client: Client) -> Customer:
    same = Client747(client.server, client.credentials)
    values = {
        "TOKEN": same.token,
        "API_KEY": same.api_key,
        "API_SECRET": same.api_secret,
        "OLD_SECRET": sms747.API_SECRET_PREFIX + "x" * 43,
        "OLD_TOKEN": "eyJhbGciOi.eyJhdWQiOi.c2lnbmF0dXJl",
    }
    return Customer(client, values, lambda: same.send(sender="96000"))


def test_each_error_has_an_example_and_each_example_is_of_an_error() -> None:
    assert sorted(EXAMPLES) == sorted(sms747.STATUS)
    assert {example.setup.key for example in EXAMPLES.values()} <= SHARED | set(SERVERS)


@pytest.mark.parametrize("code", [code for code, one in EXAMPLES.items() if one.setup.key in SHARED])
def test_example_meets_its_error(client: Client, accounts: Accounts, code: str) -> None:
    example = EXAMPLES[code]
    if example.setup is it.NONE:
        customer = customer_of(client)
        check(example, TELLING, provoking.sent(example, customer), customer)
    else:
        check(example, TELLING, *provoking.provoke(example, accounts, customer_of))


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("code", [code for code, one in EXAMPLES.items() if one.setup.key in SERVERS])
def test_example_meets_its_error_on_a_server_of_its_own(code: str, data: Path, door: str) -> None:
    settings = {"http.lean_door": DOORS[door]}
    check(EXAMPLES[code], TELLING, *provoking.provoke_alone(EXAMPLES[code], data, settings, customer_of))
