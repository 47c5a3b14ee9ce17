"""`heliograph smsc` in a process of its own, on one port of the loopback in all its lives: killed and started again."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from tests.harness.peer import Peer
from tests.harness.server import environment
from tests.harness.smpp import PASSWORD, SYSTEM_ID


@dataclass(frozen=True)
class Taken:
    """A submit_sm that it took, by its log."""

    source: str
    destination: str
    id: str
    part: int
    parts: int
    text: str  # of this part

    @property
    def key(self) -> tuple[str, int]:
        """What nobody should be sent twice."""
        return self.destination, self.part


class Smsc:
    """`options` are the command's own. What it took in all its lives is in one log."""

    def __init__(self, folder: Path, *options: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = 0
        self.file = folder / "smsc.log"
        self._options = options
        self._peer: Peer | None = None

    def __enter__(self) -> Smsc:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Smsc:
        command = [sys.executable, "-m", "heliograph", "smsc", "--port", str(self.port), "--mo", "--json"]
        command += ["--system-id", SYSTEM_ID, "--password", PASSWORD, "--log", str(self.file), *self._options]
        self._peer = Peer(command, environment())
        (listening,) = self._peer.wait_for("listening")
        self.port = int(listening["port"])
        return self

    def kill(self) -> None:
        """`kill -9`."""
        assert self._peer is not None
        self._peer.kill()

    def stop(self) -> dict[str, int]:
        """What it has counted in this life; nothing if it was killed."""
        assert self._peer is not None
        self._peer.close()
        return next(iter(self._peer.seen("summary")), {})

    def deliver(self, from_: str, to: str, text: str) -> None:
        """Somebody writes to a number of the ESME's."""
        assert self._peer is not None
        self._peer.tell(**{"from": from_, "to": to, "text": text})

    @property
    def taken(self) -> list[Taken]:
        """All that it took, in order; a line that it had not ended when it was killed is left out."""
        if not self.file.exists():
            return []
        whole = self.file.read_text().rpartition("\n")[0]
        return [_taken(json.loads(line)) for line in whole.splitlines()]

    def wait_taken(self, count: int, within: float = 30.0) -> list[Taken]:
        deadline = time.monotonic() + within
        while len(found := self.taken) < count:
            assert time.monotonic() < deadline, f"{len(found)} of {count} taken"
            time.sleep(0.02)
        return found

    def texts(self) -> dict[str, str]:
        """The texts by destination, put together; what is not whole is left out."""
        parts: dict[str, dict[int, Taken]] = {}
        for one in self.taken:
            parts.setdefault(one.destination, {})[one.part] = one
        return {
            destination: "".join(one.text for _, one in sorted(found.items()))
            for destination, found in parts.items()
            if all(one.parts == len(found) for one in found.values())
        }

    def wait_text(self, destination: str, within: float = 20.0) -> str:
        """The text that arrived there, once all its parts have."""
        deadline = time.monotonic() + within
        while (found := self.texts().get(destination)) is None:
            assert time.monotonic() < deadline, f"nothing whole for {destination}: {self.taken[-5:]}"
            time.sleep(0.05)
        return found


def _taken(told: dict[str, Any]) -> Taken:
    return Taken(**{field.name: told[field.name] for field in fields(Taken)})
