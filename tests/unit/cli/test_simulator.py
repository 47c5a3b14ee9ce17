"""`heliograph simulator`, with a simulator running beside the command as in a server."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import uvloop
from tests.conformance.carriers.peers import Ear
from tests.unit.cli.conftest import Command

from heliograph.carriers.interface import Inbound
from heliograph.carriers.simulator import FATES, Simulator
from heliograph.cli.common import with_store
from heliograph.kit.clock import SystemClock
from heliograph.store.interface import Store, UpdateAccount

PAGE = (Path(__file__).parents[3] / "docs" / "simulator.md").read_text()
WORDS = ("simulator", "inbound", "--from", "56912345678", "--to", "96000", "--text", "Hello")


class Serving:
    """A started simulator, in a thread and on the loop of a server."""

    def __init__(self, folder: Path, name: str = "simulator") -> None:
        self.ear = Ear()
        delays = {"answer_ms": 5, "receipt_ms": 5, "late_ms": 5}
        self._simulator = Simulator(name, folder, SystemClock(), window=5, **delays)
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: uvloop.run(self._serve()))

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        await self._simulator.start(self.ear)
        self._started.set()
        await self._over.wait()
        await self._simulator.stop()

    def __enter__(self) -> Serving:
        self._thread.start()
        assert self._started.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()


@pytest.fixture
def folder(heliograph: Command) -> Path:
    """A data folder with an account that has no number."""
    return folder_of(heliograph, heliograph.folder)


def folder_of(heliograph: Command, folder: Path) -> Path:
    heliograph(
        "account", "create", "--id", "shop", "--name", "Shop", "--email", "shop@example.com", "--data", str(folder)
    )
    return folder


def assign(folder: Path, **changes: Any) -> None:
    async def act(store: Store) -> None:
        account = await store.read(lambda reads: reads.account("shop"))
        assert account is not None
        await store.apply(UpdateAccount(account.id, changes))

    with_store(folder, act)


@pytest.fixture
def serving(folder: Path) -> Iterator[Serving]:
    with Serving(folder) as started:
        yield started


def test_fates_are_printed_as_they_are(heliograph: Command) -> None:
    shown = heliograph("simulator", "fates").out.splitlines()
    assert shown[0].split()[:3] == ["DIGITS", "ENDS", "AS"]
    assert [re.split(" {2,}", line) for line in shown[1:]] == [
        [digits, fate.status.name, fate.meaning] for digits, fate in FATES.items()
    ]
    assert heliograph.json("simulator", "fates") == [
        {"digits": digits, "status": fate.status.name, "meaning": fate.meaning} for digits, fate in FATES.items()
    ]


def test_the_docs_have_the_fates_as_they_are() -> None:
    documented = re.findall(r"^\| `([0-9]{4})` \| ([A-Z]+) \| (.+) \|$", PAGE, re.MULTILINE)
    assert documented == [(digits, fate.status.name, fate.meaning) for digits, fate in FATES.items()]


def test_an_inbound_message_reaches_the_server(heliograph: Command, serving: Serving) -> None:
    assert heliograph(*WORDS).out == "stored for nobody: from 56912345678 to 96000: Hello\n"
    told = heliograph.json(
        "simulator", "inbound", "--from", "+447900000000", "--to", "+56900000000", "--text", "¿Qué? 😀"
    )
    message = {"from": "447900000000", "to": "56900000000", "text": "¿Qué? 😀"}
    assert told == {"account_id": None, **message, "stored": True}
    assert serving.ear.received == [
        Inbound("56912345678", "96000", "Hello"),
        Inbound("447900000000", "56900000000", "¿Qué? 😀"),
    ]


def test_whose_the_message_is_and_why_nobody_is_called_back_is_said(
    heliograph: Command, folder: Path, serving: Serving
) -> None:
    assert "`heliograph account inbound`" in heliograph(*WORDS).err
    assign(folder, inbound=frozenset({"96000"}))
    assert "`heliograph account callbacks shop --mo-url URL`" in heliograph(*WORDS).err
    assign(folder, mo_url="https://shop.example.com/mo")
    ran = heliograph(*WORDS)
    assert (ran.out, ran.err) == ("stored for shop: from 56912345678 to 96000: Hello\n", "")
    assert heliograph.json(*WORDS)["account_id"] == "shop"


def test_a_message_that_was_not_stored_is_said_to_be_not_stored(heliograph: Command, serving: Serving) -> None:
    serving.ear.stores = False
    ran = heliograph(*WORDS, code=3)
    assert "not stored" in ran.err
    assert "try again" in ran.err
    assert ran.out == ""


def test_the_carrier_can_be_named(heliograph: Command, folder: Path) -> None:
    with Serving(folder, "second") as second:
        assert "'simulator'" in heliograph(*WORDS, code=3).err
        heliograph(*WORDS, "--carrier", "second")
        assert len(second.ear.received) == 1


def test_a_data_folder_may_be_deep(heliograph: Command, folder: Path) -> None:
    deep = folder / ("d" * 100) / ("e" * 100)
    folder_of(heliograph, deep)
    with Serving(deep) as started:
        heliograph(*WORDS, "--data", str(deep))
        assert len(started.ear.received) == 1
    assert "no server" in heliograph(*WORDS, "--data", str(deep), code=3).err


def test_without_a_server_the_remedy_is_named(heliograph: Command, folder: Path) -> None:
    killed = socket.socket(socket.AF_UNIX)
    for state in ("no socket", "a socket that nobody listens to"):
        if state != "no socket":
            killed.bind(str(folder / "simulator.socket"))
            killed.close()
        told = heliograph(*WORDS, code=3).err
        assert str(folder) in told
        assert "heliograph serve" in told
        assert "--carrier" in told
    assert "does not exist" in heliograph(*WORDS, "--data", str(folder / "nowhere"), code=3).err


@pytest.mark.parametrize("read", [1, 65_536], ids=["in the middle", "after the message"])
def test_a_server_that_ends_without_an_answer_leaves_it_open(heliograph: Command, folder: Path, read: int) -> None:
    def hang_up(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        connection.recv(read)
        connection.close()

    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "simulator.socket"))
        listening.listen()
        thread = threading.Thread(target=hang_up, args=(listening,))
        thread.start()
        assert "may be stored or not" in heliograph(*WORDS, code=3).err
        thread.join()


@pytest.mark.parametrize(
    ("option", "value", "named"),
    [
        ("--from", "12345", "--from '12345'"),
        ("--from", "HELIO", "--from 'HELIO'"),
        ("--to", "12", "--to '12'"),
        ("--to", "SHOP", "--to 'SHOP'"),
        ("--text", "", "--text is empty"),
        ("--text", "a\udcffb", "--text has a character"),
        ("--text", "x" * 17_000, "--text has 17000 characters"),
    ],
)
def test_what_cannot_be_sent_is_named_with_its_remedy(
    heliograph: Command, serving: Serving, option: str, value: str, named: str
) -> None:
    words = dict(zip(WORDS[2::2], WORDS[3::2], strict=True)) | {option: value}
    told = heliograph("simulator", "inbound", *(word for pair in words.items() for word in pair), code=2).err
    assert named in told
    assert ";" in told
    assert serving.ear.received == []


def test_every_command_has_an_example_in_its_help(heliograph: Command) -> None:
    for command in ("fates", "inbound"):
        assert f"  heliograph simulator {command}" in heliograph("simulator", command, "--help").out
