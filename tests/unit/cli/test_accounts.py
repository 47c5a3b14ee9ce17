"""`heliograph account` without a server; the end-to-end tests have one."""

from __future__ import annotations

import asyncio
import re

import apsw
import pytest
from tests.unit.cli.conftest import Command

from heliograph.cli.credentials import KEPT, credential_kinds
from heliograph.store.interface import UpdateAccount
from heliograph.store.sqlite import SqliteStore

APIS = {kind.api: kind.secret_name for kind in credential_kinds()}
CREATE = ("account", "create", "--name", "Acme", "--email", "sms@acme.example")


def test_an_account_gets_the_defaults_of_the_demo_and_the_policy_possible(heliograph: Command) -> None:
    made = heliograph.json(*CREATE)
    assert made["base_url"] == "http://127.0.0.1:8747"
    assert made["account_id"].startswith("acc_")
    assert len(made["account_id"]) == 14
    shown = heliograph.json("account", "show", made["account_id"])
    assert shown["senders"] == ["96000"]
    assert shown["default_sender"] == "96000"
    assert (shown["balance"], shown["numbers"], shown["price_list"]) == ("0.00", "possible", "default")


def test_an_account_gets_what_is_asked_for(heliograph: Command) -> None:
    words = ["--balance", "5.5", "--sender", "ACME", "--sender", "+4412345", "--numbers", "valid", "--id", "acme-1"]
    assert heliograph.json(*CREATE, *words)["account_id"] == "acme-1"
    shown = heliograph.json("account", "show", "acme-1")
    assert shown["senders"] == ["+4412345", "ACME"]
    assert (shown["default_sender"], shown["balance"], shown["numbers"]) == ("ACME", "5.50", "valid")


def test_an_account_may_be_given_any_sender(heliograph: Command) -> None:
    made = heliograph.json(*CREATE, "--any-sender")
    assert heliograph.json("account", "show", made["account_id"])["senders"] == "any"


def test_people_see_the_credentials_once(heliograph: Command) -> None:
    printed = heliograph(*CREATE).out
    (client_secret,) = [word for word in printed.split() if word.startswith("rts_")]
    assert "cannot be shown again" in printed
    assert "up to two seconds" in printed
    shown = heliograph("account", "show", "Acme").out
    assert client_secret not in shown


def test_each_api_has_credentials_of_its_own_shape(heliograph: Command) -> None:
    made = heliograph.json(*CREATE)
    assert set(made) == {"base_url", "account_id", *APIS, "webhook_secret"}
    realtime = made["realtime"]
    assert re.fullmatch(r"rt_[0-9a-f]{24}", realtime["client_id"])
    assert re.fullmatch(r"rts_[A-Za-z0-9_-]{43}", realtime["client_secret"])


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--balance", "1,5"), "amount"),
        (("--sender", "much too long a name"), "much too long a name"),
        (("--id", "no spaces"), "no spaces"),
        (("--numbers", "loose"), "loose"),
        (("--balance", "-5"), "--balance -5"),
        (("--balance", "1000000000000"), "the largest amount is 999999999999.999999"),
        (("--id", "-x"), "begins with a letter"),
        (("--id", "x" * 65), "1 to 64"),
        (("--name", " "), "--name"),
        (("--name", "x" * 201), "1 to 200"),
        (("--name", "a\nb"), "printable"),
        (("--email", "acme.example"), "ops@example.com"),
        (("--email", "@acme.example"), "ops@example.com"),
        (("--email", "a b@acme.example"), "ops@example.com"),
        (("--email", "a@b@acme.example"), "ops@example.com"),
        (("--email", "a@\x07"), "ops@example.com"),
    ],
)
def test_a_mistake_is_exit_code_2_and_makes_nothing(heliograph: Command, words: tuple[str, ...], named: str) -> None:
    assert named in heliograph(*CREATE, *words, code=2).err
    assert not (heliograph.folder / "heliograph.sqlite").exists()


def test_an_id_that_is_taken_is_exit_code_1(heliograph: Command) -> None:
    heliograph(*CREATE, "--id", "acme")
    assert "acme" in heliograph(*CREATE, "--id", "acme", code=1).err


def test_an_account_is_found_by_its_name_while_no_other_has_it(heliograph: Command) -> None:
    made = heliograph.json(*CREATE)["account_id"]
    assert heliograph.json("account", "show", "Acme")["account_id"] == made
    other = heliograph.json("account", "create", "--name", "Other", "--email", "x@acme.example")["account_id"]
    rename(heliograph, other, "Acme")  # as earlier versions allowed
    refused = heliograph("account", "show", "Acme", code=1).err
    assert made in refused
    assert other in refused
    assert [one["account_id"] for one in heliograph.json("account", "list")] == [made, other]


def rename(heliograph: Command, ref: str, name: str) -> None:
    async def act() -> None:
        store = SqliteStore(heliograph.folder)
        await store.open()
        account = await store.read(lambda reads: reads.account(ref))
        assert account is not None
        await store.apply(UpdateAccount(account.id, {"name": name}))
        await store.close()

    asyncio.run(act())


def test_customers_may_share_a_name_and_are_then_told_apart_by_their_ids(heliograph: Command) -> None:
    heliograph(*CREATE, "--id", "first")
    name = heliograph.json("account", "show", "first")["name"]
    assert heliograph.json("account", "show", name)["account_id"] == "first"
    heliograph(*CREATE, "--id", "second")
    told = heliograph("account", "show", name, code=1).err
    assert "first" in told
    assert "second" in told


def test_a_balance_does_not_go_below_zero(heliograph: Command) -> None:
    heliograph(*CREATE, "--id", "acme", "--balance", "1")
    assert heliograph("account", "topup", "acme", "-1.000001", code=1).err.strip()
    assert heliograph.json("account", "show", "acme")["balance"] == "1.00"
    assert heliograph.json("account", "topup", "acme", "-1")["balance"] == "0.00"


@pytest.mark.parametrize(("amount", "largest"), [("1" + "0" * 12, True), ("-" + "9" * 13 + ".5", True), ("1e9", False)])
def test_an_amount_that_is_too_large_is_told_the_largest(heliograph: Command, amount: str, largest: bool) -> None:
    heliograph(*CREATE, "--id", "acme")
    assert ("999999999999.999999" in heliograph("account", "topup", "acme", amount, code=2).err) is largest


@pytest.mark.parametrize("note", ["x" * 201, "two\nlines", "\x1b[2J"])
def test_a_note_is_a_line_that_can_be_read(heliograph: Command, note: str) -> None:
    heliograph(*CREATE, "--id", "acme")
    assert "--note" in heliograph("account", "topup", "acme", "1", "--note", note, code=2).err


def test_topping_up_adds_or_takes_and_is_a_posting_with_a_note(heliograph: Command) -> None:
    heliograph(*CREATE, "--id", "acme", "--balance", "1")
    assert heliograph.json("account", "topup", "acme", "2.50")["balance"] == "3.50"
    assert heliograph.json("account", "topup", "acme", "-3", "--note", "a mistake")["balance"] == "0.50"
    assert "the balance is 0.51" in heliograph("account", "topup", "acme", "0.01").out
    heliograph("account", "topup", "acme", "0", code=2)
    audited = heliograph.json("audit")
    assert (audited["agrees"], audited["postings"]) == (True, 4)


def test_callbacks_are_set_shown_and_cleared_one_by_one(heliograph: Command) -> None:
    heliograph(*CREATE, "--id", "acme")
    for url, reason in (("http://0.0.0.0/", "(unspecified address)"), ("http://[::ffff:7f00:1]/", "(IPv4-mapped)")):
        said = heliograph("account", "callbacks", "acme", "--dlr-url", url).err
        assert "is not a public address " + reason in said
    assert heliograph("account", "callbacks", "acme", "--dlr-url", "https://acme.example/dlr").err == ""
    assert "loopback" in heliograph("account", "callbacks", "acme", "--mo-url", "http://127.0.0.1:9/mo").err
    shown = heliograph.json("account", "callbacks", "acme")
    urls = {"dlr_url": "https://acme.example/dlr", "mo_url": "http://127.0.0.1:9/mo"}
    assert shown == {"account_id": "acme", **urls, "intermediate": False}
    assert heliograph.json("account", "callbacks", "acme", "--dlr-url", "")["dlr_url"] == ""
    assert "ftp" in heliograph("account", "callbacks", "acme", "--dlr-url", "ftp://acme.example/", code=2).err


def test_a_demo_calls_back_on_the_loopback_without_a_word(heliograph: Command) -> None:
    heliograph(*CREATE, "--id", "acme")
    (heliograph.folder / KEPT).touch()
    assert heliograph("account", "callbacks", "acme", "--dlr-url", "http://127.0.0.1:9/").err == ""
    assert "private network" in heliograph("account", "callbacks", "acme", "--dlr-url", "http://10.0.0.1/").err


def test_reports_of_sent_are_asked_for_and_no_longer(heliograph: Command) -> None:
    heliograph(*CREATE, "--id", "acme")
    assert heliograph.json("account", "callbacks", "acme", "--intermediate")["intermediate"] is True
    assert heliograph.json("account", "callbacks", "acme", "--dlr-url", "https://x.example/")["intermediate"] is True
    assert "on → off" in heliograph("account", "callbacks", "acme", "--no-intermediate").out


def test_suspending_and_resuming(heliograph: Command) -> None:
    heliograph(*CREATE, "--id", "acme")
    assert "active → suspended" in heliograph("account", "suspend", "acme").out
    assert heliograph.json("account", "show", "acme")["status"] == "suspended"
    assert "suspended → active" in heliograph("account", "resume", "acme").out
    heliograph("account", "suspend", "nobody", code=1)


def test_a_new_account_owns_the_numbers_that_it_is_given(heliograph: Command) -> None:
    heliograph(*CREATE, "--id", "acme", "--inbound", "8300", "--inbound", "+56900000000")
    assert heliograph.json("account", "show", "acme")["inbound"] == ["56900000000", "8300"]
    taken = heliograph("account", "create", "--name", "B", "--email", "b@b.example", "--inbound", "8300", code=1)
    assert "8300" in taken.err
    assert len(heliograph.json("account", "list")) == 1
    assert "'12'" in heliograph(*CREATE, "--inbound", "12", code=2).err


def test_renewed_secrets_come_as_at_creation_with_the_same_ids(heliograph: Command) -> None:
    made = heliograph.json(*CREATE, "--id", "acme")
    renewed = heliograph.json("account", "rotate", "acme")
    for api, secret in APIS.items():
        assert renewed[api].pop(secret) != made[api].pop(secret)
    assert renewed == made
    printed = heliograph("account", "rotate", "acme").out
    assert "cannot be shown again" in printed
    assert "the tokens that were got with them, end" in printed
    heliograph("account", "rotate", "nobody", code=1)


def stored_secrets(heliograph: Command) -> dict[str, bytes]:
    with apsw.Connection(str(heliograph.folder / "heliograph.sqlite")) as connection:
        found = dict(connection.execute("SELECT public_id, secret_sha256 FROM credential").fetchall())
    connection.close()
    return found


@pytest.mark.parametrize(
    ("words", "named"),
    [(("--api", "smpp"), ", ".join(APIS)), (("--api", "realtime", "--webhook-secret"), "leave out --api")],
)
def test_what_cannot_be_renewed_is_told_what_can(heliograph: Command, words: tuple[str, ...], named: str) -> None:
    heliograph(*CREATE, "--id", "acme")
    before = stored_secrets(heliograph)
    assert named in heliograph("account", "rotate", "acme", *words, code=2).err
    assert stored_secrets(heliograph) == before


def test_a_renewed_webhook_secret_leaves_the_client_secret_alone(heliograph: Command) -> None:
    made = heliograph.json(*CREATE, "--id", "acme")
    renewed = heliograph.json("account", "rotate", "acme", "--webhook-secret")
    assert set(renewed) == {"account_id", "webhook_secret"}
    assert renewed["webhook_secret"].startswith("whsec_")
    assert renewed["webhook_secret"] != made["webhook_secret"]
    assert "the one before" in heliograph("account", "rotate", "acme", "--webhook-secret").out
    assert heliograph.json("account", "rotate", "acme")["webhook_secret"] not in (
        made["webhook_secret"],
        renewed["webhook_secret"],
    )


@pytest.mark.parametrize(
    "words",
    [
        ("account", "list"),
        ("account", "show", "x"),
        ("account", "topup", "x", "1"),
        ("account", "callbacks", "x"),
        ("account", "rotate", "x"),
        ("account", "credit", "x"),
        ("account", "optout", "x"),
        ("callback", "list"),
        ("callback", "show", "cb_1"),
        ("callback", "replay", "cb_1"),
        ("callback", "replay", "--failed"),
        ("inbound", "list"),
        ("message", "list"),
        ("message", "show", "123"),
        ("message", "timeline", "123"),
        ("audit",),
    ],
)
def test_a_data_folder_that_is_not_there_is_exit_code_3_and_is_not_made(
    heliograph: Command, words: tuple[str, ...]
) -> None:
    assert "does not exist" in heliograph(*words, code=3).err
    assert not heliograph.folder.exists()
    heliograph.folder.mkdir()
    assert "holds no Heliograph data" in heliograph(*words, code=3).err
    assert list(heliograph.folder.iterdir()) == []


def test_a_key_file_that_others_can_read_is_refused_with_the_remedy(heliograph: Command) -> None:
    heliograph(*CREATE)
    (heliograph.folder / "keys.json").chmod(0o644)
    assert "chmod 600" in heliograph("message", "list", code=3).err


def test_a_folder_that_cannot_be_used_is_named_with_a_remedy(heliograph: Command) -> None:
    heliograph.folder.write_text("no folder")
    said = heliograph(*CREATE, code=3).err
    assert str(heliograph.folder) in said
    assert "--data" in said
    heliograph.folder.unlink()
    heliograph(*CREATE)
    (heliograph.folder / "heliograph.sqlite").write_bytes(b"no database, but long enough to be read as one" * 99)
    said = heliograph("account", "list", code=3).err
    assert str(heliograph.folder) in said
    assert "backup" in said


def test_data_of_a_newer_version_are_refused(heliograph: Command) -> None:
    heliograph(*CREATE)
    with apsw.Connection(str(heliograph.folder / "heliograph.sqlite")) as connection:
        connection.execute("PRAGMA user_version = 9999")
    connection.close()
    assert "9999" in heliograph("account", "list", code=3).err
