"""Carriers are added, changed, stopped, started and tried by command, on a server that goes on running."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.test_metrics import figures
from tests.harness.client import Client
from tests.harness.server import Server, free_port
from tests.harness.smpp import SYSTEM_ID, mobile, send_all, state, wait_all, wait_state
from tests.harness.smsc import Smsc

PASSWORD = "hunter22"
QUICK = ("--set", "reconnect_seconds=0.1", "--set", "reconnect_max_seconds=0.5", "--set", "fault_seconds=0.5")


@pytest.fixture(scope="module")
def smsc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Smsc]:
    with Smsc(tmp_path_factory.mktemp("smsc"), "--password", PASSWORD) as running:
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, smsc: Smsc) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("carriers") / "data", settings={"carrier_password": PASSWORD}) as running:
        add(running, "main", smsc.port, "--default")
        wait_state(running, "main", "up")
        yield running


@pytest.fixture
def ours(server: Server) -> Client:
    return Client(server, server.credentials)


def add(server: Server, name: str, port: int, *more: str) -> None:
    """The password is in HELIOGRAPH_CARRIER_PASSWORD."""
    words = ("--host", "127.0.0.1", "--port", str(port), "--system-id", SYSTEM_ID, *QUICK, *more)
    server.cli_here("carrier", "add", name, *words)


def settle(server: Server, name: str, key: str, value: object, within: float = 10.0) -> None:
    """Wait until the carrier runs with a setting, which the metrics of the server tell."""
    deadline = time.monotonic() + within
    while figures(Client(server, server.credentials)).of(f"carrier_{key}", carrier=name) != value:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_messages_go_by_a_carrier_that_was_added_to_a_running_server(server: Server, smsc: Smsc, ours: Client) -> None:
    wait_all(ours, send_all(ours, range(100, 110), "by the new one").values())
    assert {smsc.wait_text(mobile(n)[1:]) for n in range(100, 110)} == {"by the new one"}


def test_while_a_carrier_is_stopped_its_messages_wait_and_then_they_go_in_order(
    server: Server, smsc: Smsc, ours: Client
) -> None:
    server.cli_here("carrier", "stop", "main")
    stopped = wait_state(server, "main", "stopped")
    assert stopped["why"] == "by command"
    before = len(smsc.taken)
    sent = send_all(ours, range(200, 230), "later")
    assert state(server, "main")["waiting"] == 30
    assert len(smsc.taken) == before
    assert {ours.info(id_)["info"]["status"]["status"] for id_ in sent.values()} == {"PENDING"}
    server.cli_here("carrier", "start", "main")
    wait_all(ours, sent.values())
    assert [one.destination for one in smsc.taken[before:]] == list(sent)


def test_a_carrier_stays_stopped_over_a_restart_and_keeps_what_waits(data: Path, tmp_path: Path) -> None:
    settings = {"carrier_password": PASSWORD}
    with Smsc(tmp_path / "smsc", "--password", PASSWORD) as smsc, Server(data, settings=settings) as server:
        add(server, "main", smsc.port, "--default")
        wait_state(server, "main", "up")
        server.cli_here("carrier", "stop", "main")
        wait_state(server, "main", "stopped")
        sent = send_all(Client(server, server.credentials), range(300, 310), "kept")
        server.stop()
        assert state(server, "main")["state"] == "stopped"
        assert state(server, "simulator")["state"] == "no server"
        server.start()
        assert wait_state(server, "main", "stopped")["waiting"] == 10
        server.cli_here("carrier", "start", "main")
        wait_all(Client(server, server.credentials), sent.values())


def test_settings_change_without_a_restart(server: Server, smsc: Smsc, ours: Client) -> None:
    changed = server.cli_here("carrier", "set", "main", "window=20", "statuses.0x45=permanent").data
    assert (changed["settings"]["window"], changed["settings"]["statuses"]) == (20, {"0x45": "permanent"})
    settle(server, "main", "window", 20)
    wait_all(ours, send_all(ours, range(400, 460)).values())


def test_a_wrong_password_is_a_fault_and_the_right_one_its_end(server: Server, ours: Client) -> None:
    assert [step["ok"] for step in server.cli_here("carrier", "test", "main").data["steps"]] == [True] * 4
    server.cli_here("carrier", "set", "main", "password=wrong")
    assert "ESME_RINVPASWD" in wait_state(server, "main", "fault")["why"]
    tried = server.cli_here("carrier", "test", "main", check=False)
    assert tried.code == 1
    assert [(step["name"], step["ok"]) for step in tried.data["steps"]] == [("connect", True), ("bind", False)]
    assert "ESME_RINVPASWD" in tried.data["steps"][1]["detail"]
    assert server.cli_here("doctor", json=False, check=False).code == 1
    sent = send_all(ours, range(500, 505))
    server.cli_here("carrier", "set", "main", f"password={PASSWORD}")
    wait_state(server, "main", "up")
    wait_all(ours, sent.values())
    assert "ESME_RINVPASWD" in server.printed()
    assert PASSWORD not in server.printed()


def test_a_trial_sends_a_message_when_told_to(server: Server, smsc: Smsc) -> None:
    tried = server.cli_here("carrier", "test", "main", "--to", mobile(600), "--text", "Is this on?").data
    assert tried["steps"][-1]["ok"]
    assert smsc.wait_text(mobile(600)[1:]) == "Is this on?"


def test_a_trial_says_that_nobody_listens(server: Server) -> None:
    add(server, "nowhere", free_port())
    assert wait_state(server, "nowhere", "connecting")["why"]
    tried = server.cli_here("carrier", "test", "nowhere", check=False)
    assert (tried.code, [step["name"] for step in tried.data["steps"]]) == (1, ["connect"])
    server.cli_here("carrier", "stop", "nowhere")


def test_an_accounts_own_carrier_goes_before_the_default_one(server: Server, smsc: Smsc, ours: Client) -> None:
    before = len(smsc.taken)
    server.cli_here("account", "carrier", "demo", "simulator")
    time.sleep(1.2)  # the directory follows twice a second
    wait_all(ours, send_all(ours, range(10_000, 60_000, 10_000)).values())
    server.cli_here("account", "carrier", "demo", "--default")
    time.sleep(1.2)
    assert len(smsc.taken) == before
    wait_all(ours, send_all(ours, range(700, 705)).values())
    assert len(smsc.taken) == before + 5


def test_no_command_shows_the_password(server: Server) -> None:
    for words in (("list",), ("show", "main"), ("set", "main", "window=30"), ("test", "main"), ("strays", "main")):
        for json in (True, False):
            assert PASSWORD not in server.cli_here("carrier", *words, json=json).out
    assert PASSWORD.encode() not in b"".join(file.read_bytes() for file in server.data.glob("heliograph.sqlite*"))
