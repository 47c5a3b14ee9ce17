"""`heliograph account` and the credentials of 747 SMS."""

from __future__ import annotations

import re

import apsw
import pytest
from tests.unit.cli.conftest import Command
from tests.unit.cli.test_accounts import CREATE, stored_secrets


def test_747_has_credentials_of_its_own_shape(heliograph: Command) -> None:
    made = heliograph.json(*CREATE)["sms747"]
    assert re.fullmatch(r"k7_[0-9a-f]{24}", made["api_key"])
    assert re.fullmatch(r"s7_[A-Za-z0-9_-]{43}", made["api_secret"])


def test_people_see_the_api_key_and_its_secret_once(heliograph: Command) -> None:
    printed = heliograph(*CREATE).out
    (api_secret,) = [word for word in printed.split() if word.startswith("s7_")]
    assert "API key " in printed
    assert api_secret not in heliograph("account", "show", "Acme").out


@pytest.mark.parametrize(("api", "other"), [("realtime", "sms747"), ("sms747", "realtime")])
def test_the_secret_of_one_api_is_renewed_alone(heliograph: Command, api: str, other: str) -> None:
    made = heliograph.json(*CREATE, "--id", "acme")
    before = stored_secrets(heliograph)
    renewed = heliograph.json("account", "rotate", "acme", "--api", api)
    assert other not in renewed
    assert renewed[api] != made[api]
    after = stored_secrets(heliograph)
    changed = {id_ for id_ in before if before[id_] != after[id_]}
    assert set(after) == set(before)
    assert changed == set(renewed[api].values()) & set(before), "the id of this API, and of no other"


def test_an_account_older_than_an_api_gets_credentials_of_it_by_rotating(heliograph: Command) -> None:
    made = heliograph.json(*CREATE, "--id", "acme")
    with apsw.Connection(str(heliograph.folder / "heliograph.sqlite")) as connection:
        connection.execute("DELETE FROM credential WHERE public_id = ?", (made["sms747"]["api_key"],))
    connection.close()
    given = heliograph.json("account", "rotate", "acme", "--api", "sms747")["sms747"]
    assert given["api_key"] != made["sms747"]["api_key"]
    assert set(stored_secrets(heliograph)) == {made["realtime"]["client_id"], given["api_key"]}
