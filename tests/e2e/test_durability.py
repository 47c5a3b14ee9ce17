"""`kill -9` under load, again and again over one data folder: nothing is lost, paid twice or in doubt for ever."""

from __future__ import annotations

import collections
import os
import random
import signal
import time
from pathlib import Path

import pytest
from tests.harness.client import FINAL, Client
from tests.harness.load import Load, infos
from tests.harness.server import Server

pytestmark = pytest.mark.slow

KILLABLE = Path(__file__).parents[1] / "harness" / "killable.py"
MESSAGES = 5_000
WINDOW = 200  # of the demo's carrier
# "outside": from outside, after some promise; the others: by the process itself, in or right after a commit of messages
ROUNDS = ("outside", "inside", "after", "outside", "inside", "outside", "after", "inside", "outside", "after")


def start_and_load(data: Path, how: str, pick: random.Random) -> Load:
    """One life of the server, ended by SIGKILL in the midst of its work; what it had promised."""
    settings = {"carriers.simulator.window": str(WINDOW)}
    if how == "outside":
        server = Server(data, settings=settings)
    else:
        trap = {"TRAP": how, "TRAP_AT": str(pick.randrange(2, 40))}
        server = Server(data, settings=settings, launcher=[str(KILLABLE)], variables=trap)
    server.start()
    load = Load(Client(server, server.credentials), MESSAGES).start()
    if how == "outside":
        until = pick.randrange(50, MESSAGES - 1000)
        load.wait(lambda promised: promised >= until)
        server.kill()
    else:
        assert server.died() == -signal.SIGKILL
    load.join()
    assert len(load.submitted) < MESSAGES, "the load had ended before the kill"
    return load


def wait_all_final(client: Client, ids: list[str], within: float = 60.0) -> dict[str, int]:
    """Waits until every one of them has a final state; what each costs."""
    deadline = time.monotonic() + within
    costs: dict[str, int] = {}
    left = ids
    while left:
        found = infos(client, left)
        costs |= {id_: info["info"]["cost"] for id_, info in found.items()}
        left = [id_ for id_, info in found.items() if info["info"]["status"]["status"] not in FINAL]
        assert time.monotonic() < deadline, f"{len(left)} messages have no final state, such as {found[left[0]]}"
        time.sleep(0.1 if left else 0)
    return costs


def submits(data: Path) -> collections.Counter[tuple[str, str]]:
    """How often each part of a message was handed to the carrier, from its log."""
    lines = (data / "simulator.log").read_text().splitlines()
    return collections.Counter((line.split()[0], line.split()[1]) for line in lines)


def test_accepted_messages_survive_ten_times_kill_dash_nine(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seed = int(os.environ.get("HELIOGRAPH_TEST_SEED", random.randrange(10**6)))
    pick = random.Random(seed)
    with Server(data) as server:
        server.cli("account", "topup", server.credentials["account_id"], "1000000.00")
    promised: list[str] = []
    doubles = 0
    for number, how in enumerate(ROUNDS, 1):
        where = f"round {number} ({how}), seed {seed}"
        load = start_and_load(data, how, pick)
        with Server(data) as again:
            client = Client(again, again.credentials)
            costs = wait_all_final(client, load.submitted)
            assert set(costs.values()) <= {1, 2}, where
            assert again.cli("audit", json=False, check=False).code == 0, where
            promised += load.submitted
        seen = submits(data)
        assert {id_ for id_, _ in seen} >= set(load.submitted), f"{where}: promised and never sent"
        doubled = sum(count - 1 for count in seen.values())
        assert doubled - doubles <= WINDOW, f"{where}: {doubled - doubles} doubles"
        doubles = doubled
        with capsys.disabled():
            print(f"\n  {where}: {len(load.submitted)} promised, {doubled} doubles so far", end="")
    with Server(data) as last:
        client = Client(last, last.credentials)
        wait_all_final(client, promised)  # also those of the earlier rounds, and none of them only for a while
        assert len(set(promised)) == len(promised)
        deadline = time.monotonic() + 60
        # Each part that was sent is paid once, and nothing else is: also of messages stored, but never answered.
        while (spent := 1_000_457 - int(float(client.balance()))) != len(submits(data)):
            assert time.monotonic() < deadline, f"{spent} paid, {len(submits(data))} parts sent"
            time.sleep(0.1)
        assert last.cli("audit", json=False).code == 0
    assert Server(data).cli("audit", json=False).code == 0
