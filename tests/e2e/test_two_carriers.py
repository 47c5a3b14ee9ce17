"""Two carriers, one of which dies under load: what becomes of its messages, and of the other's."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.e2e.test_metrics import figures
from tests.harness.client import Client
from tests.harness.server import Server
from tests.harness.smpp import Crowd, carrier, doubled, told_as_doubtful, wait_all, wait_state
from tests.harness.smsc import Smsc

pytestmark = pytest.mark.slow

MESSAGES = 2_000
WINDOW = 50
EFFECTIVE_SECONDS = 2  # after a command, on a running server
CREATE = ("account", "create", "--name", "Acme", "--email", "sms@acme.example", "--balance", "100000.00")


def customers(server: Server) -> tuple[Client, Client]:
    """One whose messages go to `mortal`, the default, and one whose own carrier is `steady`."""
    server.cli_here("account", "topup", "demo", "100000.00")
    made = server.cli_here(*CREATE).data
    server.cli_here("account", "carrier", made["account_id"], "steady")
    time.sleep(EFFECTIVE_SECONDS)
    return Client(server, server.credentials), Client(server, made).wait_effective()


def test_a_carrier_that_dies_under_load_loses_nothing_holds_up_nobody_and_comes_back_by_itself(
    data: Path, tmp_path: Path
) -> None:
    with (
        Smsc(tmp_path / "mortal", "--answer-delay", "50", "--receipts", "none") as mortal,
        Smsc(tmp_path / "steady", "--answer-delay", "5", "--receipts", "all") as steady,
    ):
        settings = {
            **carrier("mortal", mortal.port, window=WINDOW),
            **carrier("steady", steady.port, window=WINDOW, default=False),
        }
        with Server(data, settings=settings) as server:
            ours, other = customers(server)
            crowd = Crowd(ours, range(MESSAGES)).start()
            mortal.wait_taken(200)
            mortal.kill()
            # All that the other carrier is given while this one is dead, it sends and reports.
            theirs = Crowd(other, range(MESSAGES, 2 * MESSAGES)).start().join()
            wait_all(other, theirs.promised.values())
            assert wait_state(server, "mortal", "connecting")["state"] != "up"
            crowd.join()
            before = len(mortal.taken)
            assert before < MESSAGES, "it died in the midst of its load"
            mortal.start()
            wait_state(server, "mortal", "up")
            wait_all(ours, crowd.promised.values(), "SENT")
            in_doubt = figures(ours).of("carrier_outcomes_total", carrier="mortal", outcome="unknown")

        assert {one.destination for one in steady.taken} == set(theirs.promised)
        assert doubled(one.key for one in steady.taken) == {}
        sent = mortal.taken
        assert {one.destination for one in sent} == set(crowd.promised)
        twice = doubled(one.key for one in sent)
        assert in_doubt is not None
        assert sum(twice.values()) <= in_doubt <= WINDOW
        for (destination, _), times in twice.items():
            assert told_as_doubtful(server, crowd.promised[destination]) >= times
