"""Twenty processes call as often as they can; the account gets its calls a minute, not one more and not one less.

`HELIOGRAPH_HAMMER_SECONDS=300` hammers for five minutes. When calls were admitted their request ids tell, and of the
last minute, to the millisecond, what the server keeps for its next start.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.harness.client747 import ACCOUNT, Client747
from tests.harness.server import Server, environment

from heliograph.kit.recent import RecentCalls

pytestmark = pytest.mark.slow

SECONDS = int(os.environ.get("HELIOGRAPH_HAMMER_SECONDS", "70"))
PROCESSES = 20
LIMIT = 100
WINDOW_MS = 60_000
EARLY_MS = 250  # a request gets its id, and with it its time, a moment before it is counted
LATE_MS = 5_000  # when the machine is busy
ROOT = Path(__file__).parents[2]


def test_twenty_processes_get_a_hundred_calls_a_minute_and_never_one_more(data: Path) -> None:
    with Server(data) as server:
        command = [sys.executable, "-m", "tests.harness.hammer747", str(server.port)]
        command += [Client747(server, server.credentials).token, str(SECONDS)]
        env = {**environment(), "PYTHONPATH": os.pathsep.join([str(ROOT), environment()["PYTHONPATH"]])}
        running = [
            subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True) for _ in range(PROCESSES)
        ]
        told = [json.loads(process.communicate(timeout=SECONDS + 60)[0]) for process in running]
        assert "Traceback" not in server.printed()
    assert [one["others"] for one in told] == [[]] * PROCESSES
    refused = sum(one["refused"] for one in told)
    times = sorted(time for one in told for time in one["admitted_utc_ms"])
    # From a call to the hundredth after it: a minute at least, and not much more, as somebody always asks.
    spans = [later - time for time, later in zip(times, times[LIMIT:], strict=False)]
    # The last of them as the server counted them, to the millisecond.
    counted = [at_utc_ms for _, _, at_utc_ms in RecentCalls(data).recall(0)]
    assert len(counted) > LIMIT
    assert all(later - time > WINDOW_MS for time, later in zip(counted, counted[LIMIT:], strict=False))
    offered = [time for time in times if time < times[0] + (SECONDS - 1) * 1000]  # by all twenty
    figures = f"{len(offered)} admitted, {refused} refused, spans of {min(spans)} to {max(spans)} ms"
    print(figures)
    assert refused > 10 * len(times), "that is no hammering"
    assert min(spans) > WINDOW_MS - EARLY_MS, figures
    assert max(spans) < WINDOW_MS + LATE_MS, figures
    assert len(offered) == LIMIT * math.ceil((SECONDS - 1) / 60), figures


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_a_restart_gives_no_second_helping(data: Path, end: str) -> None:
    server = Server(data)
    with server:
        server.cli_here("account", "limit", "demo", "--per-minute", "7", json=False)
        client = Client747(server, server.credentials).wait_limit(7)
        while client.get(ACCOUNT).status == 200:
            pass
        getattr(server, end)()
    with server:
        again = Client747(server, server.credentials)
        answer = again.get(ACCOUNT)
        assert (answer.status, answer.header("RateLimit-Limit")) == (429, "7")
