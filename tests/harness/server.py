"""The product as its users start it: the command line, in a process of its own, on a free port of the loopback."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from tests.harness.wire import Wire

PORT_TAKEN = 3
SOURCE = Path(__file__).resolve().parents[2] / "src"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a child: the tree under test, the settings, and a time zone in which local time is not UTC."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("HELIOGRAPH_")}
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(SOURCE)]))
    kept["PYTHONUNBUFFERED"] = "1"
    kept["TZ"] = "JST-9"
    for name, value in (settings or {}).items():
        kept["HELIOGRAPH_" + name.replace(".", "__").upper()] = value
    return kept


@dataclass
class Ran:
    """What a command of the CLI left behind."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


class Server:
    """`heliograph demo` over one data folder, which outlives the process: start, kill and start again.

    With `config`, the text of a TOML file, it is `heliograph serve`, which makes no account and writes no credentials.
    `settings` are the server's own, as `{"http.lean_door": "false"}`. `launcher` replaces `-m heliograph`,
    `variables` go into the environment besides.
    """

    def __init__(
        self,
        data: Path,
        *,
        settings: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
        launcher: Sequence[str] = ("-m", "heliograph"),
        scheme: str = "http",
        variables: Mapping[str, str] | None = None,
        config: str | None = None,
    ) -> None:
        self.data = data
        # All tests come from one address, and many ask for tokens until the server knows a new account.
        self.settings = {"limits.failed_tokens_per_minute": "1000000", **(settings or {})}
        self.arguments = list(arguments)
        self.launcher = list(launcher)
        self.scheme = scheme
        self.variables = dict(variables or {})
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.credentials_file = data.parent / f"{data.name}-credentials.json"
        self.log = data / "server.out"
        self.config = config
        self.config_file = data.parent / f"{data.name}.toml"

    @property
    def base_url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    @property
    def address(self) -> tuple[str, int]:
        return ("127.0.0.1", self.port)

    @property
    def credentials(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.credentials_file.read_text())
        return found

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def spawn(self) -> subprocess.Popen[bytes]:
        """Starts the process without waiting for it to serve."""
        self.data.mkdir(parents=True, exist_ok=True)
        command, variables = [sys.executable, *self.launcher], self.variables
        if self.config is not None:
            self.config_file.write_text(self.config)
            command += ["serve", "--config", str(self.config_file), *self.arguments]
            variables = {"HELIOGRAPH_DATA": str(self.data), "HELIOGRAPH_HTTP__PORT": str(self.port), **variables}
        else:
            command += ["demo", "--port", str(self.port), "--data", str(self.data)]
            command += ["--credentials", str(self.credentials_file), *self.arguments]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command,
                env={**environment(self.settings), **variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self.process

    def start(self, within: float = 30.0) -> Server:
        self.spawn()
        deadline = time.monotonic() + within
        while not self.ready():
            code = self.process.poll() if self.process else None
            if code == PORT_TAKEN and "cannot listen" in self.printed()[-500:] and time.monotonic() < deadline:
                self.port = free_port()  # somebody was quicker
                self.spawn()
                continue
            if code is not None or time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"no server (exit {code}):\n{self.printed()[-4000:]}")
            time.sleep(0.03)
        return self

    def ready(self) -> bool:
        try:
            if self.scheme == "https":
                Wire(self.address, timeout=2).close()
                return True
            with urllib.request.urlopen(f"{self.base_url}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError, http.client.HTTPException):  # the last: something else took the port
            return False

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self) -> None:
        """`kill -9`: nothing is flushed, nothing is said."""
        self._end(signal.SIGKILL)

    def stop(self, within: float = 20.0) -> int | None:
        return self._end(signal.SIGTERM, within)

    def died(self, within: float = 30.0) -> int:
        """Waits for a process that ends by itself; its exit code."""
        assert self.process is not None
        return self.process.wait(within)

    def _end(self, how: signal.Signals, within: float = 20.0) -> int | None:
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(how)
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{how.name} did not end the server within {within} s") from None

    def printed(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def wire(self, timeout: float = 20.0) -> Wire:
        return Wire(self.address, timeout=timeout)

    def cli(self, *words: str, json: bool = True, check: bool = True) -> Ran:
        """One command over this server's data folder."""
        return cli(*words, data=self.data, json=json, check=check, settings=self.settings)

    def cli_here(self, *words: str, json: bool = True, check: bool = True) -> Ran:
        """The same, within this process."""
        return cli_here(*words, data=self.data, json=json, check=check, settings=self.settings)


def cli(
    *words: str,
    data: Path | None = None,
    json: bool = False,
    check: bool = True,
    settings: Mapping[str, str] | None = None,
    timeout: float = 60.0,
    cwd: Path | None = None,
) -> Ran:
    """`heliograph WORDS…` run to its end. `check`: anything but exit code 0 is an error of the test."""
    command = [sys.executable, "-m", "heliograph", *_line(words, data, json)]
    done = subprocess.run(
        command, env=environment(settings), capture_output=True, text=True, timeout=timeout, check=False, cwd=cwd
    )
    assert not check or done.returncode == 0, f"{words} → exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return Ran(done.returncode, done.stdout, done.stderr)


def cli_here(
    *words: str,
    data: Path | None = None,
    json: bool = False,
    check: bool = True,
    settings: Mapping[str, str] | None = None,
) -> Ran:
    """What `cli` does, within this process: a second less, where it is not the start of the program that matters."""
    from heliograph.cli.main import main

    out, err = io.StringIO(), io.StringIO()
    code: object = 0
    line = ["heliograph", *_line(words, data, json)]
    with (
        mock.patch.dict(os.environ, environment(settings), clear=True),
        mock.patch.object(sys, "argv", line),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
    assert not check or code == 0, f"{words} → exit {code}\n{out.getvalue()}\n{err.getvalue()}"
    assert isinstance(code, int)
    return Ran(code, out.getvalue(), err.getvalue())


def _line(words: Sequence[str], data: Path | None, json: bool) -> list[str]:
    return [*words, *(["--data", str(data)] if data is not None else []), *(["--json"] if json else [])]
