"""The servers under measurement, each a process of its own: Heliograph as its users start it, and the reference."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
START_SECONDS = 30.0
STOP_SECONDS = 60.0
_TICKS = os.sysconf("SC_CLK_TCK")


class Server:
    """A child process that listens on a free port of the loopback; a context manager."""

    def __init__(self, words: Sequence[str], log: Path, environment: Mapping[str, str], ready_path: str = "") -> None:
        self.port = free_port()
        self._words = [word.format(port=self.port) for word in words]
        self._log = log
        self._environment = dict(environment)
        self._ready_path = ready_path

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Server:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *self._words],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"no server:\n{self.printed()[-3000:]}")
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End it by SIGTERM, if it still runs."""
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def printed(self) -> str:
        """What it has printed."""
        return self._log.read_text(errors="replace")

    def cpu_seconds(self) -> float:
        """CPU that the process has used, all threads, user and system."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def peak_rss_mb(self) -> float:
        """The most memory that it has held, in MB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    def _ready(self) -> bool:
        try:
            if self._ready_path:
                with urllib.request.urlopen(f"{self.base_url}{self._ready_path}", timeout=2) as answer:
                    return bool(answer.status == 200)
            socket.create_connection(("127.0.0.1", self.port), 2).close()
            return True
        except OSError:
            return False


def heliograph(data: Path, settings: Mapping[str, str]) -> Server:
    """`heliograph serve` over a data folder; settings by dotted name."""
    words = ["heliograph", "serve", "--data", str(data), "--port", "{port}"]
    return Server(words, data / "server.out", environment(settings), "/readyz")


def reference(folder: Path, recipients: int) -> Server:
    """The bare HTTP server of `benchmarks.echo`."""
    words = ["benchmarks.echo", "--port", "{port}", "--recipients", str(recipients)]
    return Server(words, folder / "echo.out", environment())


def environment(settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """A child's environment: this tree, these settings and none of the caller's."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HELIOGRAPH_")}
    kept["PYTHONPATH"] = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    for name, value in (settings or {}).items():
        kept["HELIOGRAPH_" + name.replace(".", "__").upper()] = value
    return kept


def command(*words: str) -> str:
    """Run a command of `heliograph` to its end; what it printed. Raises `RuntimeError` when it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "heliograph", *words],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"heliograph {' '.join(words)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
