"""`kill -9` of the server under load, again and again, with a real SMSC at the far end: nothing is lost, and what goes
out twice was in the window.
"""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest
from tests.harness.client import Client
from tests.harness.server import Server
from tests.harness.smpp import Crowd, carrier, doubled, wait_all
from tests.harness.smsc import Smsc

pytestmark = pytest.mark.slow

KILLABLE = Path(__file__).parents[1] / "harness" / "killable.py"
ROUNDS = ("outside", "inside", "after", "outside", "inside", "outside", "after", "inside", "outside", "after")
MESSAGES = 2_000
WINDOW = 50


def one_life(data: Path, settings: dict[str, str], numbers: range, how: str, pick: random.Random) -> dict[str, str]:
    """The server under load until it is killed: "outside" from outside, after some promise, or by itself, in or right
    after a commit of messages. What it had promised.
    """
    if how == "outside":
        server = Server(data, settings=settings)
    else:
        trap = {"TRAP": how, "TRAP_AT": str(pick.randrange(5, 40))}
        server = Server(data, settings=settings, launcher=[str(KILLABLE)], variables=trap)
    server.start()
    crowd = Crowd(Client(server, server.credentials), numbers, at_once=10).start()
    if how == "outside":
        crowd.wait(pick.randrange(50, len(numbers) // 2))
        server.kill()
    else:
        assert server.died() == -signal.SIGKILL
    crowd.join()
    assert len(crowd.promised) < len(numbers), "the load had ended before the kill"
    return crowd.promised


def test_messages_survive_ten_times_kill_dash_nine_on_their_way_to_a_carrier(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = int(os.environ.get("HELIOGRAPH_TEST_SEED", random.randrange(10**6)))
    pick = random.Random(seed)
    with Server(data) as server:
        server.cli_here("account", "topup", server.credentials["account_id"], "1000000.00")
        rich = float(Client(server, server.credentials).balance())
    with Smsc(tmp_path, "--answer-delay", "20", "--receipts", "all") as smsc:
        settings = carrier("smsc", smsc.port, window=WINDOW)
        doubles = 0
        for number, how in enumerate(ROUNDS):
            where = f"round {number + 1} ({how}), seed {seed}"
            numbers = range(number * MESSAGES, (number + 1) * MESSAGES)
            promised = one_life(data, settings, numbers, how, pick)
            with Server(data, settings=settings) as again:
                wait_all(Client(again, again.credentials), promised.values())
                assert again.cli_here("audit", json=False, check=False).code == 0, where
            sent = smsc.taken
            assert {one.destination for one in sent} >= promised.keys(), f"{where}: promised and never sent"
            so_far = sum(doubled(one.key for one in sent).values())
            assert so_far - doubles <= WINDOW, f"{where}: {so_far - doubles} doubles"
            doubles = so_far
            with capsys.disabled():
                print(f"\n  {where}: {len(promised)} promised, {doubles} doubles so far", end="")
        with Server(data, settings=settings) as last:
            client, deadline = Client(last, last.credentials), time.monotonic() + 30
            # Each part is paid once, however often it was sent: also of messages accepted, but never promised.
            while (spent := rich - float(client.balance())) != len({one.key for one in smsc.taken}):
                assert time.monotonic() < deadline, f"{spent} paid, {len(smsc.taken)} sent, {doubles} of them twice"
                time.sleep(0.1)
