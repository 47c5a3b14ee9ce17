"""Programs that are not ours, as children of the test: found or installed, started, listened to, ended."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

Event = dict[str, Any]


def absent(reason: str) -> None:
    """What a test needs is not there: somebody's own machine may lack it, the continuous integration may not."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def tool(name: str) -> str:
    """The path of a program."""
    found = shutil.which(name)
    if found is None:
        absent(f"{name} is not installed")
    assert found is not None
    return found


def environment() -> dict[str, str]:
    """The child's: without proxies, for it speaks to the loopback alone."""
    return {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}


class Peer:
    """A child that says what it sees: a JSON object with `event` on each line of its stdout."""

    def __init__(self, command: Sequence[str], variables: dict[str, str] | None = None) -> None:
        self.events: list[Event] = []
        self._changed = threading.Condition()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**environment(), **(variables or {})},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join(10)

    def kill(self) -> None:
        """`kill -9`."""
        self._process.kill()
        self._process.wait()
        self._reader.join(10)

    def tell(self, **words: Any) -> None:
        """A line of JSON on its stdin."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()

    def seen(self, kind: str) -> list[Event]:
        with self._changed:
            return [event for event in self.events if event["event"] == kind]

    def wait(self, done: Callable[[list[Event]], Any], within: float = 20.0) -> Any:
        """Waits until `done(events)` is true and returns it."""
        deadline = time.monotonic() + within
        with self._changed:
            while not (found := done(self.events)):
                left = deadline - time.monotonic() if self._reader.is_alive() else 0
                tail = "\n".join(str(event) for event in self.events[-20:])
                assert left > 0, f"not within {within} s; {len(self.events)} events, at last:\n{tail}"
                self._changed.wait(left)
            return found

    def wait_for(self, kind: str, count: int = 1, within: float = 20.0) -> list[Event]:
        """Waits until it has seen so many of a kind, and returns these."""

        def enough(events: list[Event]) -> list[Event]:
            found = [event for event in events if event["event"] == kind]
            return found if len(found) >= count else []

        found: list[Event] = self.wait(enough, within)
        return found

    def ended(self, within: float = 30.0) -> int:
        """Waits for a child that ends by itself; its exit code."""
        code = self._process.wait(within)
        self._reader.join(10)
        return code

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                self.events.append(json.loads(line))
                self._changed.notify_all()
