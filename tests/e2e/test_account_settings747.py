"""What an operator changes about an account's access to 747 SMS, and the customer notices."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import apsw
import pytest
from tests.conftest import Accounts
from tests.e2e.test_account_settings import operator, soon
from tests.harness.client import Client
from tests.harness.client747 import ACCOUNT, Client747
from tests.harness.server import Server


def test_a_renewed_secret_ends_the_tokens_of_its_api_and_of_no_other(accounts: Accounts) -> None:
    customer = accounts.new()
    theirs = Client747(customer.server, customer.credentials)
    assert (theirs.get(ACCOUNT).status, customer.send().status) == (200, 200)
    renewed = {**customer.credentials, **operator(customer, "rotate", "--api", "sms747")}
    assert soon(lambda: theirs.get(ACCOUNT), 401).status == 401
    assert customer.send().status == 200
    again = Client747(customer.server, renewed)
    assert again.get(ACCOUNT).status == 200
    operator(customer, "rotate", "--api", "realtime")
    assert soon(customer.send, 401).status == 401
    assert again.get(ACCOUNT).status == 200


@pytest.mark.slow
@pytest.mark.parametrize("stopped_half_way", [False, True])
def test_a_demo_that_is_older_than_747_gets_its_credentials_once(data: Path, stopped_half_way: bool) -> None:
    server = Server(data)
    with server:
        pass
    kept = data / "demo-credentials.json"
    older = json.loads(kept.read_text())
    removed = older.pop("sms747")
    kept.write_text(json.dumps({**older, "sms747": removed} if stopped_half_way else older))
    with contextlib.closing(apsw.Connection(str(data / "heliograph.sqlite"))) as connection:
        connection.execute("DELETE FROM credential WHERE public_id = ?", (removed["api_key"],))
    with server:
        given = server.credentials
        assert Client(server, given).send().status == 200
        assert (given["sms747"] == removed) is stopped_half_way
        assert Client747(server, given).authenticate().status == 200
        assert {**given, "sms747": removed} == {**older, "sms747": removed}
    with server:
        assert server.credentials == given
