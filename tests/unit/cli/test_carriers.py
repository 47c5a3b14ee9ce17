"""`heliograph carrier` without a server: what is stored, shown and refused."""

from __future__ import annotations

import sys
from io import StringIO
from pathlib import Path

import pytest
from tests.unit.cli.conftest import Command

from heliograph.carriers.settings import SmppSettings
from heliograph.cli.carrier import PASSWORD_VARIABLE
from heliograph.kit.keys import load_or_create
from heliograph.messaging.retry import SubmitClass
from heliograph.service.carriers import unsealed
from heliograph.store.sqlite import SqliteStore

HOST = ("--host", "smsc.example", "--system-id", "us")
PASSWORD = "hunter22"


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD_VARIABLE, PASSWORD)


@pytest.fixture
def ours(heliograph: Command) -> Command:
    """With an account and a carrier."""
    heliograph("account", "create", "--name", "Shop", "--email", "x@example.com", "--id", "shop")
    heliograph("carrier", "add", "main", *HOST)
    return heliograph


def stored(heliograph: Command, name: str) -> SmppSettings:
    """What a server would run it with."""
    import asyncio

    async def settings() -> bytes:
        store = SqliteStore(heliograph.folder)
        await store.open()
        found = await store.read(lambda reads: reads.stored_carriers())
        await store.close()
        return next(one.settings for one in found if one.name == name)

    made = unsealed(load_or_create(heliograph.folder), name, asyncio.run(settings()))
    assert isinstance(made, SmppSettings)
    return made


def test_a_carrier_is_stored_with_all_that_was_said(heliograph: Command) -> None:
    words = ["port=2776", "network_tlvs=0x1503,5380", "statuses.0x45=permanent", "tls=true", "throughput=12.5"]
    options = [word for assignment in words for word in ("--set", assignment)]
    heliograph("carrier", "add", "main", *HOST, *options)
    assert stored(heliograph, "main") == SmppSettings(
        host="smsc.example",
        system_id="us",
        password=PASSWORD,
        port=2776,
        network_tlvs=(0x1503, 5380),
        statuses={"0x45": SubmitClass.PERMANENT},
        tls=True,
        throughput=12.5,
    )


def test_the_password_comes_from_standard_input_when_it_is_said_so(
    heliograph: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", StringIO("from in\n"))
    heliograph("carrier", "add", "main", *HOST, "--password-stdin")
    assert stored(heliograph, "main").password == "from in"
    monkeypatch.setattr(sys, "stdin", StringIO("another\n"))
    heliograph("carrier", "set", "main", "--password-stdin")
    assert stored(heliograph, "main").password == "another"


def test_nothing_is_stored_in_plain_words_or_shown(ours: Command) -> None:
    for words in (("list",), ("show", "main"), ("set", "main", "window=30"), ("stop", "main"), ("default",)):
        for more in ((), ("--json",)):
            assert PASSWORD not in ours("carrier", *words, *more).out
    assert ours.json("carrier", "show", "main")["settings"]["password"] == "(hidden)"
    for file in ours.folder.glob("heliograph.sqlite*"):
        assert PASSWORD.encode() not in file.read_bytes()


def test_settings_are_changed_one_by_one_and_taken_back(ours: Command) -> None:
    out = ours("carrier", "set", "main", "window=20", "statuses.69=temporary", "password=other").out
    assert "100 → 20" in out
    assert "other" not in out
    made = stored(ours, "main")
    assert (made.window, made.statuses, made.password) == (20, {"69": SubmitClass.TEMPORARY}, "other")
    ours("carrier", "set", "main", "statuses.69=")
    assert stored(ours, "main") == SmppSettings(host="smsc.example", system_id="us", password="other", window=20)


def test_files_are_stored_so_that_a_server_elsewhere_finds_them(ours: Command, tmp_path: Path) -> None:
    assert "No such file" in ours("carrier", "set", "main", "tls=true", "tls_ca=ca.pem", code=2).err
    assert str(tmp_path / "ca.pem") in ours("carrier", "set", "main", "tls=true", "tls_ca=ca.pem", code=2).err


@pytest.mark.parametrize(
    ("assignment", "named"),
    [
        ("window", "write it like window=50"),
        ("windwo=5", "did you mean window?"),
        ("zzz=5", "there are host, system_id, password"),
        ("window=x", "expected int, got str"),
        ("window=0", "the bounds are 1 to 100000"),
        ("window=9", "less than limits.segments = 10"),
        ("kind=simulator", "'kind' is no setting of a carrier"),
        ("statuses=permanent", "like statuses.0x45=permanent"),
        ("statuses.0x45=maybe", "throttled, temporary"),
        ("statuses.0x45=taken", "no refusal means that"),
        ("statuses.x=permanent", "like 0x45 or 69"),
        ("statuses.0x46=", "statuses.0x46 is not set"),
        ("password=123456789", "set long_password = true"),
        ("host=", "length >= 1"),
        ("bind=receiver", "transceiver"),
    ],
)
def test_what_cannot_be_set_is_refused_with_the_remedy(ours: Command, assignment: str, named: str) -> None:
    before = stored(ours, "main")
    assert named in ours("carrier", "set", "main", assignment, code=2).err
    assert named in ours("carrier", "add", "other", *HOST, "--set", assignment, code=2).err
    assert stored(ours, "main") == before
    assert "other" not in [one["name"] for one in ours.json("carrier", "list")]


def test_names_are_checked(ours: Command) -> None:
    assert "1 to 64 letters" in ours("carrier", "add", "a b", *HOST, code=2).err
    assert "exists already" in ours("carrier", "add", "main", *HOST, code=1).err
    assert "settings file" in ours("carrier", "add", "simulator", *HOST, code=1).err
    assert "settings file" in ours("carrier", "set", "simulator", "window=50", code=1).err
    for command in ("show", "stop", "start", "test", "default", "strays"):
        said = ours("carrier", command, "nope", code=1).err
        assert "there is no carrier 'nope'; there are simulator, main" in said
    assert "nothing to change" in ours("carrier", "set", "main", code=2).err
    assert "is a simulator" in ours("carrier", "test", "simulator", code=1).err


def test_without_a_server_no_carrier_is_said_to_be_connected(ours: Command) -> None:
    states = {one["name"]: one["state"] for one in ours.json("carrier", "list")}
    assert states == {"simulator": "no server", "main": "no server"}
    assert "No server runs" in ours("carrier", "list").out
    assert "No server runs" in ours("carrier", "stop", "main").out
    assert ours.json("carrier", "show", "main")["state"] == "stopped"
    ours("carrier", "start", "main")
    assert ours.json("carrier", "show", "main")["state"] == "no server"


def test_the_default_carrier_is_shown_and_changed(ours: Command) -> None:
    assert ours.json("carrier", "default") == {"default": "simulator", "from": "settings"}
    assert ours.json("carrier", "default", "main") == {"default": "main", "from": "command"}
    assert [one["name"] for one in ours.json("carrier", "list") if one["default"]] == ["main"]
    assert ours.json("carrier", "default", "--none") == {"default": None, "from": "command"}
    assert ours.json("carrier", "default", "--as-configured") == {"default": "simulator", "from": "settings"}
    assert "exclude one another" in ours("carrier", "default", "main", "--none", code=2).err
    ours("carrier", "add", "other", *HOST, "--default")
    assert ours.json("carrier", "default")["default"] == "other"


def test_a_carrier_of_the_settings_file_is_shown_without_its_password(ours: Command) -> None:
    text = '[messages]\ndefault_carrier = "filed"\n[carriers.filed]\nkind = "smpp"\nhost = "h"\nsystem_id = "u"\n'
    Path("h.toml").write_text(text + f'password = "{PASSWORD}"\n')
    shown = ours("carrier", "show", "filed", "--config", "h.toml", "--json")
    assert PASSWORD not in shown.out
    assert (shown.data["settings_from"], shown.data["settings"]["host"]) == ("settings file", "h")
    assert PASSWORD not in ours("config", "show", "--config", "h.toml").out
    assert "settings file" in ours("carrier", "add", "filed", *HOST, "--config", "h.toml", code=1).err


def test_there_are_no_strays_where_nothing_was_sent(ours: Command) -> None:
    assert ours.json("carrier", "strays") == ours.json("carrier", "strays", "main") == []


def test_an_account_gets_a_carrier_of_its_own_and_loses_it(ours: Command) -> None:
    assert ours.json("account", "carrier", "shop", "main") == {"account_id": "shop", "carrier": "main"}
    assert ours.json("account", "show", "shop")["carrier"] == "main"
    assert "there is no carrier 'nope'" in ours("account", "carrier", "shop", "nope", code=1).err
    assert ours.json("account", "carrier", "shop") == {"account_id": "shop", "carrier": "main"}
    assert "nothing else" in ours("account", "carrier", "shop", "main", "--default", code=2).err
    assert ours.json("account", "carrier", "shop", "--default") == {"account_id": "shop", "carrier": ""}


def test_an_account_gets_prices_of_the_settings(ours: Command) -> None:
    Path("h.toml").write_text("[prices.default]\n'' = '1'\n[prices.cheap]\n'' = '0.5'\n")
    told = ours.json("account", "prices", "shop", "cheap", "--config", "h.toml")
    assert told == {"account_id": "shop", "price_list": "cheap"}
    assert "which have default" in ours("account", "prices", "shop", "cheap", code=1).err
    assert ours.json("account", "prices", "shop") == told
