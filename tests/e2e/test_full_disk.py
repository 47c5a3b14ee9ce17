"""A disk that is full: nothing half done, no end of the process, and service again as soon as there is room."""

from __future__ import annotations

import collections
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.harness.client import FINAL, Client, phone
from tests.harness.load import Load, infos
from tests.harness.receiver import Receiver
from tests.harness.server import Server
from tests.harness.wire import Response

pytestmark = pytest.mark.slow

MIB = 1024 * 1024
UNUSABLE = 3


class Disk:
    """A small disk of one's own: a tmpfs. Raises `RuntimeError` where none can be mounted."""

    def __init__(self, folder: Path, mib: int) -> None:
        self.folder = folder
        owner = f"size={mib}m,mode=700,uid={os.geteuid()},gid={os.getegid()}"
        _as_root("mount", "-t", "tmpfs", "-o", owner, "tmpfs", str(folder))

    def close(self) -> None:
        _as_root("umount", "--lazy", str(self.folder))

    def reserve(self, mib: int) -> None:
        """Take room that `make_room` gives back."""
        (self.folder / "ballast").write_bytes(b"\0" * (mib * MIB))

    def fill(self) -> None:
        """Take all the room that is left."""
        descriptor = os.open(self.folder / "filler", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            for size in (MIB, 4096):
                while True:
                    try:
                        if os.write(descriptor, b"\0" * size) < size:
                            break
                    except OSError:
                        break
        finally:
            os.close(descriptor)

    def make_room(self) -> None:
        for name in ("filler", "ballast"):
            (self.folder / name).unlink(missing_ok=True)


def _as_root(*words: str) -> None:
    command = [*([] if os.geteuid() == 0 else ["sudo", "-n"]), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise RuntimeError(str(error)) from error
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        small = Disk(folder, 48)
    except RuntimeError as error:
        # Not on the build server: there it must run.
        say = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        say(f"no disk can be mounted here, try `unshare -rm ./dev test {Path(__file__).name}`: {error}")
    yield small
    small.close()


class FillingLoad(Load):
    """Sends until the first answer that nothing was accepted."""

    def __init__(self, client: Client) -> None:
        super().__init__(client, 10**9)
        self.refused: list[Response] = []

    def accept(self, response: Response) -> bool:
        if response.status == 503:
            self.refused.append(response)
            self._left = 0
        return response.status in (200, 503)


def assert_told_that_the_disk_is_full(response: Response) -> None:
    assert response.status == 503
    assert response.json()["type"].endswith("/errors/store_unavailable")
    assert int(response.header("Retry-After") or 0) > 0


def wait_ready(server: Server, ready: bool, within: float = 30.0) -> None:
    deadline = time.monotonic() + within
    while server.ready() is not ready:
        assert server.alive, server.printed()[-2000:]
        assert time.monotonic() < deadline, f"not {'ready' if ready else 'unready'}"
        time.sleep(0.05)


def wait_all_final(client: Client, ids: list[str], within: float = 120.0) -> None:
    deadline = time.monotonic() + within
    left = ids
    while left:
        found = infos(client, left)
        left = [id_ for id_, info in found.items() if info["info"]["status"]["status"] not in FINAL]
        assert time.monotonic() < deadline, f"{len(left)} messages have no final state, such as {found[left[0]]}"
        time.sleep(0.2 if left else 0)


def assert_sent_once_each(data: Path, promised: list[str]) -> None:
    """By the carrier's log: a submit that found no room for its line was not sent, and is sent later."""
    lines = (data / "simulator.log").read_text().splitlines()
    assert {len(line.split()) for line in lines} == {3}, "a line was torn"
    seen = collections.Counter(tuple(line.split()[:2]) for line in lines)
    assert not [part for part, count in seen.items() if count > 1], "sent twice"
    assert {part[0] for part in seen} >= set(promised), "promised and never sent"


def customer(server: Server, url: str) -> Client:
    """An account whose callbacks go to `url`."""
    made = server.cli("account", "create", "--name", "Acme", "--email", "sms@acme.example", "--balance", "500.00").data
    server.cli("account", "callbacks", made["account_id"], "--dlr-url", url, json=False)
    client = Client(server, made).wait_effective()
    time.sleep(2)  # until the server has read the URL, which nothing tells
    return client


def test_a_full_disk_refuses_and_loses_nothing_and_with_room_it_goes_on_by_itself(disk: Disk) -> None:
    disk.reserve(12)
    server = Server(disk.folder / "data", settings={"carriers.simulator.receipt_ms": "2500"})
    with Receiver() as receiver, server:
        server.cli("account", "topup", server.credentials["account_id"], "1000000.00")
        client, reported = Client(server, server.credentials), customer(server, receiver.url)
        load = FillingLoad(client).start()
        load.wait(lambda promised: promised > 2000)
        awaited = [reported.submit(phone(n=n)) for n in range(20)]
        disk.fill()
        load.join()
        assert load.refused
        for response in load.refused:
            assert_told_that_the_disk_is_full(response)
        wait_ready(server, ready=False)
        told = client.call("GET", "/readyz")
        assert "full" in told.json()["problems"][0], told.body

        # It stays full while the carrier reports: receipts and callbacks have nowhere to go.
        time.sleep(4)
        balance = client.balance()
        assert_told_that_the_disk_is_full(client.send([phone(n=n) for n in range(500)]))
        assert client.balance() == balance
        assert client.authenticate().status == 200
        assert client.call("GET", "/healthz").status == 200
        audit = server.cli("audit", json=False, check=False)
        assert audit.code == 0, audit.out + audit.err

        disk.make_room()
        wait_ready(server, ready=True)
        after = client.submit()
        wait_all_final(client, [*load.submitted, after])
        receiver.wait(lambda calls: {call.json()["id"] for call in calls} >= set(awaited))
        wait_all_final(reported, awaited)
        assert server.cli("audit", json=False).code == 0
        assert server.alive
    assert server.process is not None
    assert server.process.returncode == 0
    with Server(disk.folder / "data") as again:
        client = Client(again, again.credentials)
        wait_all_final(client, [*load.submitted, after])
    assert_sent_once_each(disk.folder / "data", [*load.submitted, *awaited, after])
    assert Server(disk.folder / "data").cli("audit", json=False).code == 0


def test_a_server_killed_on_a_full_disk_has_kept_every_promise(disk: Disk) -> None:
    disk.reserve(12)
    data = disk.folder / "data"
    with Server(data) as server:
        server.cli("account", "topup", server.credentials["account_id"], "1000000.00")
        load = FillingLoad(Client(server, server.credentials)).start()
        load.wait(lambda promised: promised > 500)
        disk.fill()
        load.join()
        assert load.refused
        server.kill()
    disk.make_room()
    with Server(data) as again:
        wait_all_final(Client(again, again.credentials), load.submitted)
        assert again.cli("audit", json=False).code == 0


@pytest.mark.parametrize("served_before", [False, True])
def test_a_start_on_a_full_disk_says_what_to_do(disk: Disk, tmp_path: Path, served_before: bool) -> None:
    server = Server(disk.folder / "data")
    server.log = tmp_path / "server.out"
    if served_before:
        with server:
            Client(server, server.credentials).submit()
    (disk.folder / "data").mkdir(exist_ok=True)
    disk.fill()
    server.spawn()
    assert server.died() == UNUSABLE, server.printed()
    assert "make room" in server.printed().splitlines()[-1], server.printed()
    assert "Traceback" not in server.printed()
    disk.make_room()
    with server:
        assert Client(server, server.credentials).submit()


def test_filling_up_again_and_again_ends_no_server(disk: Disk) -> None:
    """The room runs out at another byte each time: in a message, in a receipt, in the log's index."""
    disk.reserve(4)
    promised: list[str] = []
    with Server(disk.folder / "data") as server:
        server.cli("account", "topup", server.credentials["account_id"], "1000000.00")
        client = Client(server, server.credentials)
        for turn in range(8):
            load = FillingLoad(client).start()
            wanted = 150 * (turn + 1)
            load.wait(lambda count, wanted=wanted: count > wanted)
            filling = threading.Thread(target=disk.fill)
            filling.start()
            load.join()
            filling.join()
            promised += load.submitted
            time.sleep(0.5)
            disk.make_room()
            wait_ready(server, ready=True)
            assert server.cli("audit", json=False).code == 0
        wait_all_final(client, promised)
        assert_sent_once_each(server.data, promised)
    assert server.process is not None
    assert server.process.returncode == 0
