"""SIGTERM under load, again and again over one data folder: nothing is lost, and nothing is sent twice."""

from __future__ import annotations

import collections
import os
import random
import signal
import time
from pathlib import Path

import apsw
import pytest
from tests.conftest import DOORS
from tests.harness.client import FINAL, Client, phone
from tests.harness.load import Load, infos
from tests.harness.server import Server
from tests.harness.wire import Response

pytestmark = pytest.mark.slow

ROUNDS = 10
MESSAGES = 5_000
BOUGHT = 1_000_000
# What the carrier is like, and how long the server announces its stop, change from round to round.
MOODS: tuple[dict[str, str], ...] = (
    {"carriers.simulator.window": "200"},
    {"carriers.simulator.window": "50", "carriers.simulator.answer_ms": "200"},
    {"carriers.simulator.window": "1000", "http.drain_seconds": "0.3"},
    {"carriers.simulator.window": "200", "carriers.simulator.answer_ms": "200", "http.drain_seconds": "0.3"},
)
STOP_WITHIN = 20.0  # seconds: half of what the settings would allow if everybody let it wait


class StoppedLoad(Load):
    """A load that a stopping server turns away in order: what it answers is 200, or 503 and why."""

    def accept(self, response: Response) -> bool:
        return response.status == 200 or (response.status == 503 and b"/errors/draining" in response.body)


def submits(data: Path) -> collections.Counter[tuple[str, str]]:
    """How often each part of a message was handed to the carrier, from its log."""
    lines = (data / "simulator.log").read_text().splitlines()
    return collections.Counter((line.split()[0], line.split()[1]) for line in lines)


def load_and_stop(server: Server, pick: random.Random) -> list[str]:
    """Load the server, stop it in the midst of that; what it had promised."""
    load = StoppedLoad(Client(server, server.credentials), MESSAGES).start()
    until = pick.randrange(50, MESSAGES - 1000)
    load.wait(lambda promised: promised >= until)
    assert server.stop(STOP_WITHIN) == 0
    load.join()
    assert len(load.submitted) < MESSAGES, "the load had ended before the stop"
    return load.submitted


def wait_all_final(client: Client, ids: list[str], within: float = 60.0) -> None:
    deadline = time.monotonic() + within
    left = ids
    while left:
        found = infos(client, left)
        left = [id_ for id_, info in found.items() if info["info"]["status"]["status"] not in FINAL]
        assert time.monotonic() < deadline, f"{len(left)} messages have no final state, such as {found[left[0]]}"
        time.sleep(0.1 if left else 0)


@pytest.mark.parametrize("door", list(DOORS))
def test_nothing_is_lost_and_nothing_is_sent_twice_over_ten_stops(
    data: Path, door: str, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = int(os.environ.get("HELIOGRAPH_TEST_SEED", random.randrange(10**6)))
    pick = random.Random(seed)
    settings = {"http.lean_door": DOORS[door]}
    with Server(data, settings=settings) as server:
        server.cli("account", "topup", server.credentials["account_id"], f"{BOUGHT}.00")
        before = int(float(Client(server, server.credentials).balance()))
    promised: list[str] = []
    for number in range(1, ROUNDS + 1):
        mood = MOODS[number % len(MOODS)]
        where = f"round {number} ({door}, {mood}), seed {seed}"
        these = load_and_stop(Server(data, settings={**settings, **mood}).start(), pick)
        promised += these
        doubled = {part: count for part, count in submits(data).items() if count > 1}
        assert not doubled, f"{where}: sent twice: {doubled}"
        audit = Server(data).cli("audit", json=False, check=False)
        assert audit.code == 0, f"{where}: {audit.out}"
        with capsys.disabled():
            print(f"\n  {where}: {len(these)} promised", end="")
    with Server(data, settings=settings) as last:
        client = Client(last, last.credentials)
        wait_all_final(client, promised)
        assert len(set(promised)) == len(promised)
        # Each part that was sent is paid once, and nothing else is: also of messages stored and never answered.
        deadline = time.monotonic() + 60
        while (spent := before - int(float(client.balance()))) != len(submits(data)):
            assert time.monotonic() < deadline, f"{spent} paid, {len(submits(data))} parts sent"
            time.sleep(0.1)
    seen = submits(data)
    assert set(seen.values()) == {1}
    assert {id_ for id_, _ in seen} >= set(promised), "promised and never sent"
    audit = Server(data).cli("audit", json=False, check=False)
    assert audit.code == 0, audit.out


def test_a_stop_waits_for_the_window_and_nothing_of_it_is_sent_again(data: Path) -> None:
    slow = {"carriers.simulator.window": "500", "carriers.simulator.answer_ms": "2000"}
    server = Server(data, settings=slow).start()
    client = Client(server, server.credentials)
    ids = [client.submit(f"+5691{n:03}0000") for n in range(100)]
    deadline = time.monotonic() + 10
    while not (data / "simulator.log").exists() or len(submits(data)) < len(ids):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert server.process is not None
    server.process.send_signal(signal.SIGTERM)
    assert server.died() == 0
    assert "in doubt" not in server.printed()
    with Server(data) as again:
        wait_all_final(Client(again, again.credentials), ids)
        assert "in doubt" not in again.printed()
    assert set(submits(data).values()) == {1}


def test_a_stop_ends_although_another_process_keeps_the_store_locked(data: Path) -> None:
    """And loses nothing by it: what was answered `submitted` is there after the next start, sent at least once."""
    settings = {"carriers.simulator.answer_ms": "500", "messages.stop_seconds": "1"}
    with Server(data, settings=settings) as server:
        client = Client(server, server.credentials)
        ids = [client.submit(phone()) for _ in range(5)]
        locked = apsw.Connection(str(data / "heliograph.sqlite"))
        locked.execute("BEGIN IMMEDIATE")
        process = server.process
        assert process is not None
        process.send_signal(signal.SIGTERM)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        assert server.died(60) == 70
        assert "the next start recovers" in server.printed()
        locked.close()
    with Server(data) as again:
        client = Client(again, again.credentials)
        assert {client.wait_final(id_)["info"]["status"]["status"] for id_ in ids} == {"DELIVERED"}
        assert again.cli("audit", json=False).code == 0
