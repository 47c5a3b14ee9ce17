"""An installation with a price list of its own: destinations without a price, cheap ones and dear ones."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from tests.conftest import DOORS, Accounts
from tests.harness.client import Client, phone
from tests.harness.server import Server

CONFIG = """
[limits]
recipients = 7

[prices.default]
56 = "1.00"
569129 = "0.50"
44 = "0.035"
34 = "0.000001"
"""
CHEAP, DEAR, UNPRICED = "+447945223343", phone(), "+15551234567"


@pytest.fixture(scope="module", params=list(DOORS))
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Accounts]:
    data = tmp_path_factory.mktemp(f"prices-{request.param}") / "data"
    with Server(data, config=CONFIG, settings={"http.lean_door": DOORS[request.param]}) as started:
        yield Accounts(started)


@pytest.fixture(scope="module")
def customer(shop: Accounts) -> Client:
    return shop.new(balance="1000.00")


def test_a_destination_without_a_price_is_403_for_the_whole_request_and_named(customer: Client) -> None:
    before = customer.balance()
    response = customer.send([CHEAP, DEAR, UNPRICED, CHEAP])
    assert response.status == 403
    assert response.header("Content-Type") == "application/problem+json"
    body = response.json()
    assert body["status"] == 403
    assert [error["pointer"] for error in body["errors"]] == ["/recipients/2"]
    assert response.header("Link") == f'<{body["type"]}>; rel="help"'
    assert customer.balance() == before


def test_400_of_the_body_and_406_come_before_403_of_the_destination(customer: Client) -> None:
    assert customer.send([UNPRICED], sender="Nobody").status == 406
    assert customer.send([UNPRICED], sender="").status == 406
    assert customer.send([UNPRICED, "12"]).status == 400
    assert customer.send([UNPRICED], "ç", charset=1).status == 400
    assert customer.send([UNPRICED], "a" * 1531).status == 400


def test_a_limit_is_what_the_settings_say(customer: Client) -> None:
    assert customer.send([CHEAP] * 7).status == 200
    refused = customer.send([CHEAP] * 8)
    assert refused.status == 400
    assert "7" in refused.json()["detail"]


def test_403_comes_before_a_balance_that_does_not_suffice(shop: Accounts) -> None:
    assert shop.new(balance="0").send([DEAR, UNPRICED]).status == 403


def test_a_dear_recipient_that_is_not_covered_does_not_stop_a_cheaper_one(shop: Accounts) -> None:
    poor = shop.new(balance="0.10")
    response = poor.send([CHEAP, DEAR, CHEAP, DEAR, CHEAP])
    assert response.status == 200
    no, yes = "account_no_balance", "submitted"
    assert [entry["status"] for entry in response.json()["submissions"]] == [yes, no, yes, no, no]
    assert poor.balance() == "0.03"


def test_the_balance_is_rounded_down_and_never_up(shop: Accounts) -> None:
    poor = shop.new(balance="1.00")
    poor.submit(CHEAP)
    assert poor.balance() == "0.96"  # 0.965
    poor.submit("+34612345678")
    assert poor.balance() == "0.96"  # 0.964999
    poor.submit(CHEAP, "a" * 459)
    assert poor.balance() == "0.85"  # 0.859999


@pytest.mark.parametrize(
    ("recipient", "text", "cost"),
    [
        (DEAR, "x", "1"),
        (DEAR, "a" * 307, "3"),
        (CHEAP, "x", "0.035"),
        (CHEAP, "a" * 161, "0.07"),
        ("+56912900000", "x", "0.5"),  # the longest prefix counts
        ("+56912900000", "a" * 161, "1"),
    ],
)
def test_the_cost_is_as_short_as_it_is_exact(customer: Client, recipient: str, text: str, cost: str) -> None:
    response = customer.get(f"/api/sms/{customer.submit(recipient, text)}")
    written = re.search(rb'"cost": ?([^,}]+)', response.body)
    assert written, response.body
    assert written[1].decode() == cost
