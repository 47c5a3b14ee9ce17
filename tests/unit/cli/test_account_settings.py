"""Every setting of an account by its command, without a server; the end-to-end tests have one."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.cli.conftest import Command


@pytest.fixture
def acme(heliograph: Command) -> Command:
    heliograph("account", "create", "--name", "Acme", "--email", "sms@acme.example", "--id", "acme")
    return heliograph


def shown(heliograph: Command) -> dict[str, Any]:
    found: dict[str, Any] = heliograph.json("account", "show", "acme")
    return found


CHANGES = [
    (("senders", "--add", "SHOP"), {"senders": ["96000", "SHOP"], "default_sender": "96000"}),
    (("senders", "--add", "SHOP", "--remove", "96000"), {"senders": ["SHOP"], "default_sender": "SHOP"}),
    (("senders", "--remove", "96000"), {"senders": [], "default_sender": ""}),
    (("senders", "--any"), {"senders": "any", "default_sender": "96000"}),
    (("limit", "--per-minute", "3"), {"per_minute": 3}),
    (("limit", "--per-minute", "none"), {"per_minute": None}),
    (("tier", "premium"), {"tier": "premium", "per_minute": None}),
    (("countries", "--only", "gb, IE"), {"countries": ["GB", "IE"]}),
    (("countries", "--all"), {"countries": "all"}),
    (("ips", "--add", "10.0.0.0/8", "--add", "2001:DB8::/32"), {"networks": ["10.0.0.0/8", "2001:db8::/32"]}),
    (("ips", "--add", "203.0.113.7"), {"networks": ["203.0.113.7/32"]}),
    (("ips", "--add", "::ffff:203.0.113.7"), {"networks": ["203.0.113.7/32"]}),
    (("ips", "--any"), {"networks": "any"}),
    (("credit", "12.5"), {"credit": "12.5", "balance": "0.00"}),
    (("numbers", "valid"), {"numbers": "valid"}),
    (("sending", "off"), {"sending": False}),
    (("validity", "90m"), {"validity_seconds": 5400}),
    (("validity", "7d"), {"validity_seconds": 604_800}),
    (("validity", "60s"), {"validity_seconds": 60}),
    (("inbound", "--add", "8300", "--add", "+56900000000"), {"inbound": ["56900000000", "8300"]}),
]


@pytest.mark.parametrize(("words", "after"), CHANGES, ids=lambda one: " ".join(one) if isinstance(one, tuple) else "")
def test_a_setting_is_changed_and_then_shown(acme: Command, words: tuple[str, ...], after: dict[str, Any]) -> None:
    command, *more = words
    assert acme.json("account", command, "acme", *more) == {"account_id": "acme", **after}
    assert acme.json("account", command, "acme") == {"account_id": "acme", **after}
    whole = shown(acme)
    assert {key: whole[key] for key in after} == after


def test_the_limits_in_effect_are_shown_for_each_api(acme: Command) -> None:
    def limits() -> tuple[int | None, int | None]:
        whole = shown(acme)
        return whole["realtime_per_minute"], whole["sms747_per_minute"]

    assert limits() == (None, 100)
    acme("account", "tier", "acme", "premium")
    assert limits() == (None, 500)
    acme("account", "limit", "acme", "--per-minute", "7")
    assert limits() == (7, 7)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("senders", "acme", "--add", "SHOP"), "senders         96000 → 96000, SHOP"),
        (("limit", "acme", "--per-minute", "100"), "per_minute  none → 100"),
        (("tier", "acme", "premium"), "tier        standard → premium"),
        (("countries", "acme", "--only", "GB"), "countries   all → GB"),
        (("ips", "acme", "--add", "10.0.0.1"), "networks    any → 10.0.0.1/32"),
        (("credit", "acme", "3"), "credit      0 → 3"),
        (("sending", "acme", "off"), "sending     on → off"),
        (("sending", "acme", "on"), "sending     on\n"),
        (("validity", "acme", "1h"), "validity_seconds  172800 → 3600"),
        (("inbound", "acme", "--add", "8300"), "inbound     none → 8300"),
    ],
)
def test_people_read_what_was_and_what_is(acme: Command, words: tuple[str, ...], line: str) -> None:
    assert line in acme("account", *words).out


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("senders", "--add", "much too long a name"), "much too long a name"),
        (("senders", "--any", "--add", "SHOP"), "--any"),
        (("senders", "--add", "SHOP", "--remove", "SHOP"), "SHOP is to be both"),
        (("limit", "--per-minute", "0"), "--per-minute '0': write a number from 1 to 1,000,000, or none"),
        (("limit", "--per-minute", "1000001"), "1000001"),
        (("limit", "--per-minute", "ten"), "'ten'"),
        (("countries", "--only", "GB,UK"), "'UK' is no country that has numbers, by ISO 3166 code; did you mean GB?"),
        (("countries", "--only", "CHE"), "did you mean CH?"),
        (("countries", "--only", "Germany"), "codes of two letters"),
        (("countries", "--only", ""), "codes of two letters"),
        (("countries", "--only", "GB", "--all"), "--all"),
        (("ips", "--add", "10.0.0.1/8"), "write 10.0.0.0/8"),
        (("ips", "--add", "10.0.0.256"), "'10.0.0.256'"),
        (("ips", "--any", "--remove", "10.0.0.0/8"), "--any"),
        (("credit", "-5"), "like 5"),
        (("credit", "1,5"), "'1,5'"),
        (("credit", "1000000000000"), "the largest amount is 999999999999.999999"),
        (("tier", "gold"), "gold"),
        (("numbers", "loose"), "loose"),
        (("sending", "perhaps"), "perhaps"),
        (("validity", "59s"), "'59s': write it like 30m, 48h or 2d, from 1 minute to 7 days"),
        (("validity", "8d"), "'8d'"),
        (("validity", "3600"), "'3600'"),
        (("inbound", "--add", "12"), "--add '12'"),
        (("inbound", "--remove", "x"), "--remove 'x'"),
        (("optout", "--add", "0123"), "--add '0123'"),
        (("optout", "--list", "--add", "56912345678"), "--list"),
    ],
)
def test_bad_input_is_named_with_a_remedy_and_changes_nothing(
    acme: Command, words: tuple[str, ...], named: str
) -> None:
    before = shown(acme)
    command, *more = words
    assert named in acme("account", command, "acme", *more, code=2).err
    assert shown(acme) == before


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("senders", "--remove", "SHOP"), "SHOP is no sender of this account, which has 96000"),
        (("ips", "--remove", "10.0.0.0/8"), "10.0.0.0/8 is no network of this account, which has none"),
        (("inbound", "--remove", "8300"), "8300 is no inbound number"),
    ],
)
def test_what_is_not_there_cannot_be_removed(acme: Command, words: tuple[str, ...], named: str) -> None:
    command, *more = words
    assert named in acme("account", command, "acme", *more, code=1).err


def test_of_any_sender_none_can_be_removed_and_the_first_added_begins_a_list(acme: Command) -> None:
    acme("account", "senders", "acme", "--any")
    assert "any sender" in acme("account", "senders", "acme", "--remove", "96000", code=1).err
    assert "any → SHOP" in acme("account", "senders", "acme", "--add", "SHOP").out


def test_removing_the_last_network_does_not_open_the_account_by_accident(acme: Command) -> None:
    acme("account", "ips", "acme", "--add", "10.0.0.0/8", "--add", "fd00::/8")
    assert "10.0.0.0/8" in acme("account", "ips", "acme", "--remove", "fd00::/8").out
    assert "--any" in acme("account", "ips", "acme", "--remove", "10.0.0.0/8", code=1).err
    assert shown(acme)["networks"] == ["10.0.0.0/8"]


def test_a_number_has_one_account(acme: Command) -> None:
    acme("account", "create", "--name", "Other", "--email", "x@y.example", "--id", "other", "--inbound", "8300")
    assert "8300" in acme("account", "inbound", "acme", "--add", "8300", code=1).err
    acme("account", "inbound", "other", "--remove", "8300")
    assert acme.json("account", "inbound", "acme", "--add", "8300")["inbound"] == ["8300"]


def test_recipients_opt_out_and_in_again(acme: Command) -> None:
    first = acme("account", "optout", "acme", "--add", "+56912345678", "--add", "56900000001").out
    assert "56912345678 has opted out\n" in first
    assert "acme: 2 opted out" in first
    assert "56912345678 has opted out already" in acme("account", "optout", "acme", "--add", "56912345678").out
    assert acme("account", "optout", "acme", "--list").out.split() == ["56900000001", "56912345678"]
    assert acme.json("account", "optout", "acme") == {"account_id": "acme", "opted_out": 2}
    gone = acme.json("account", "optout", "acme", "--remove", "56912345678")
    assert gone["opted_out"] == 1
    assert acme.json("account", "optout", "acme", "--list")["recipients"] == ["56900000001"]
    assert "gets messages already" in acme("account", "optout", "acme", "--remove", "56912345678").out


@pytest.mark.parametrize(
    "command",
    [
        "senders", "limit", "countries", "ips", "credit", "numbers", "sending", "validity", "inbound", "optout",
        "callbacks",
    ],
)  # fmt: skip
def test_an_account_that_is_not_there_is_exit_code_1(acme: Command, command: str) -> None:
    assert "there is no account 'nobody'" in acme("account", command, "nobody", code=1).err


def test_all_settings_are_shown(acme: Command) -> None:
    whole = shown(acme)
    assert (whole["credit"], whole["per_minute"], whole["countries"], whole["networks"]) == ("0", None, "all", "any")
    assert (whole["sending"], whole["inbound"], whole["intermediate"]) == (True, [], False)
    printed = acme("account", "show", "acme").out
    for line in (
        "credit               0",
        "per_minute           none",
        "tier                 standard",
        "countries            all",
    ):
        assert line in printed
