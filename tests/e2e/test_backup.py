"""Backups of a server at work, put to use; and the doctor beside servers that run, are gone, or were killed."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.harness.client import Client
from tests.harness.load import Load, infos
from tests.harness.server import Server, cli_here

ENOUGH = "1000000.00"


@pytest.fixture
def server(data: Path) -> Iterator[Server]:
    with Server(data) as started:
        yield started


@pytest.fixture
def client(server: Server) -> Client:
    return Client(server, server.credentials)


def findings(data: Path, *, sound: bool = True) -> dict[str, dict[str, Any]]:
    """What the doctor says; the last finding of each check."""
    ran = cli_here("doctor", data=data, json=True, check=False)
    assert ran.code == (not sound), (ran.out, ran.err)
    return {one["check"]: one for one in ran.data["findings"]}


def content(folder: Path) -> dict[str, bytes]:
    """Every file but the index of the log, which is made anew whenever it is needed."""
    return {
        file.name: file.read_bytes() for file in folder.iterdir() if file.is_file() and file.suffix != ".sqlite-shm"
    }


def test_a_restored_backup_knows_all_messages_by_their_ids_and_the_balance(
    server: Server, client: Client, tmp_path: Path
) -> None:
    ids = [client.submit() for _ in range(5)]
    before = {id_: client.wait_final(id_) for id_ in ids}
    balance = client.balance()
    server.cli("db", "backup", str(tmp_path / "copy"))
    client.submit()  # is not in the backup
    server.stop()
    shutil.rmtree(server.data)
    with Server(tmp_path / "copy") as restored:
        again = Client(restored, restored.credentials)
        assert again.client_secret == client.client_secret
        assert again.balance() == balance
        assert infos(again, ids) == before
        assert again.submit() not in ids


@pytest.mark.slow
def test_a_backup_under_load_is_of_one_moment(server: Server, client: Client, tmp_path: Path) -> None:
    server.cli_here("account", "topup", client.account, ENOUGH)
    load = Load(client, 12_000).start()
    copies = {}
    for promised in (500, 3_000, 6_000):
        load.wait(lambda count, enough=promised: count >= enough)
        known = list(load.submitted)
        copy = tmp_path / f"copy-{promised}"
        server.cli_here("db", "backup", str(copy))
        copies[copy] = known
    load.join()
    for copy, known in copies.items():
        assert cli_here("audit", data=copy, json=True).data["agrees"]
        with Server(copy) as restored:
            infos(Client(restored, restored.credentials), known)  # asserts that each is there
        assert cli_here("audit", data=copy, json=True).data["agrees"]
    assert cli_here("audit", data=server.data, json=True).data["agrees"]


def test_a_backup_of_a_killed_server_has_what_was_promised(server: Server, client: Client, tmp_path: Path) -> None:
    id_ = client.submit()
    server.kill()
    server.cli_here("db", "backup", str(tmp_path / "copy"))
    assert cli_here("message", "show", id_, data=tmp_path / "copy", json=True).data["id"] == id_


def test_a_running_server_has_nothing_to_migrate_and_can_be_measured(server: Server, client: Client) -> None:
    client.wait_final(client.submit())
    migrated = server.cli_here("db", "migrate").data
    assert migrated["behind"] is False
    figures = server.cli_here("db", "stats").data
    assert figures["rows"]["message"] == {"rows": 1, "precision": "exact"}
    assert figures["ledger"]["charges"] == "-1"
    assert figures["carriers"]["simulator"]["open"] == 0
    assert figures["newest_message"] == figures["oldest_message"]


def test_the_doctor_finds_a_running_demo_sound(server: Server) -> None:
    found = findings(server.data)
    assert found["server"]["verdict"] == "ok"
    assert server.base_url in found["server"]["found"]
    assert server.process is not None
    assert str(server.process.pid) in found["server"]["found"]
    assert found["callbacks"]["verdict"] == "ok"  # a demo may call this machine


def test_the_doctor_changes_nothing_after_a_kill(server: Server, client: Client) -> None:
    client.wait_final(client.submit())
    server.kill()
    before = content(server.data)
    assert "heliograph.sqlite-wal" in before
    found = findings(server.data)
    assert found["server"]["verdict"] == "warning"
    assert found["database"]["verdict"] == "ok"
    assert content(server.data) == before


def test_the_doctor_tells_of_a_server_that_hangs(server: Server) -> None:
    assert server.process is not None
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        found = findings(server.data, sound=False)
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
    assert "gives no answer" in found["server"]["found"]


def refused(data: Path) -> str:
    """What a server says that does not start over a data folder."""
    server = Server(data)
    server.spawn()
    assert server.died() == 3, server.printed()
    said = server.printed()
    assert "Traceback" not in said, said
    return said


def test_no_server_starts_over_a_lost_database_or_with_foreign_keys(data: Path, tmp_path: Path) -> None:
    with Server(data):
        pass
    shutil.copytree(data, tmp_path / "lost")
    (tmp_path / "lost" / "heliograph.sqlite").unlink()
    assert "message ids would repeat" in refused(tmp_path / "lost")
    with Server(tmp_path / "other"):
        pass
    shutil.copy2(tmp_path / "other" / "keys.json", data)
    assert "keys.json is not the one that this database was made with" in refused(data)
