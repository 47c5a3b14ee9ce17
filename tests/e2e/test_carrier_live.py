"""`heliograph carrier set`, `stop` and `start` on a running server, under load."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.harness.client import Client
from tests.harness.server import Server
from tests.harness.smpp import PASSWORD, SYSTEM_ID, Crowd, doubled, mobile, wait_all, wait_state
from tests.harness.smsc import Smsc

pytestmark = pytest.mark.slow

MESSAGES = 4_000
EFFECTIVE_SECONDS = 2  # after a command, on a running server


def test_a_carrier_is_changed_stopped_and_started_under_load_and_nothing_is_lost_or_doubled(
    data: Path, tmp_path: Path
) -> None:
    with Smsc(tmp_path / "smsc", "--answer-delay", "50") as smsc, Server(data) as server:
        server.cli_here("account", "topup", "demo", "100000.00")
        words = ["--host", "127.0.0.1", "--port", str(smsc.port), "--system-id", SYSTEM_ID]
        quick = ["--set", f"password={PASSWORD}", "--set", "window=50", "--set", "reconnect_seconds=0.1"]
        server.cli_here("carrier", "add", "live", *words, *quick, "--default")
        wait_state(server, "live", "up")
        time.sleep(EFFECTIVE_SECONDS)  # the default may come later than the carrier
        client = Client(server, server.credentials)
        crowd = Crowd(client, range(MESSAGES)).start()
        smsc.wait_taken(200)
        server.cli_here("carrier", "set", "live", "window=80", "long_messages=udh16")
        smsc.wait_taken(1_000)
        server.cli_here("carrier", "stop", "live")
        wait_state(server, "live", "stopped")
        before = len(smsc.taken)
        crowd.join()
        waiting = client.submit(mobile(MESSAGES))
        assert len(smsc.taken) == before, "a carrier that is stopped sends nothing, and messages wait"
        server.cli_here("carrier", "start", "live")
        wait_all(client, [waiting, *crowd.promised.values()], within=60)
        sent = smsc.taken
        assert {one.destination for one in sent} >= crowd.promised.keys()
        assert doubled(one.key for one in sent) == {}
        assert smsc.stop()["binds"] == 3
