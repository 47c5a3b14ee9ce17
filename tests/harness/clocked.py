"""`heliograph` under a clock that moves only when told to, by lines with seconds on the port in CLOCK_PORT.

    CLOCK_PORT=N python tests/harness/clocked.py demo …

Each line is answered by `ok` once that time has passed and what fell due in it has had its turn. With LATE_HOURS the
simulator's late receipts are so late, which is later than any setting allows.
"""

from __future__ import annotations

import asyncio
import os
import socketserver
import threading
import time

from msgspec.structs import replace

from heliograph import app
from heliograph.cli.main import main
from heliograph.kit.clock import ManualClock

STEPS = 5  # of a wait
TURN_SECONDS = 0.03  # real ones after each step, for the store's thread and the loop


class Clock(ManualClock):
    """Starts at the true time; listens once the server's loop is there."""

    def __init__(self) -> None:
        super().__init__(time.time_ns() // 1_000_000)
        self.loop = asyncio.get_running_loop()
        control = socketserver.ThreadingTCPServer(("127.0.0.1", int(os.environ["CLOCK_PORT"])), Control)
        control.daemon_threads = True
        control.clock = self  # type: ignore[attr-defined]
        threading.Thread(target=control.serve_forever, daemon=True).start()

    async def pass_by(self, seconds: float) -> None:
        for _ in range(STEPS):
            self.advance(seconds / STEPS)
            await asyncio.sleep(TURN_SECONDS)


class Control(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        clock: Clock = self.server.clock  # type: ignore[attr-defined]
        for line in self.rfile:
            asyncio.run_coroutine_threadsafe(clock.pass_by(float(line)), clock.loop).result()
            self.wfile.write(b"ok\n")


if __name__ == "__main__":
    app.SystemClock = Clock  # type: ignore[misc]
    if late := os.environ.get("LATE_HOURS"):
        settings_of = app.App._carrier
        app.App._carrier = lambda self, name, of: settings_of(self, name, replace(of, late_ms=int(late) * 3_600_000))  # type: ignore[method-assign]
    main()
