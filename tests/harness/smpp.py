"""Carriers for a server under test, and what is asked of them."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterable
from typing import Any, TypeVar

from tests.harness.client import FINAL, Client
from tests.harness.load import infos
from tests.harness.server import Server
from tests.harness.wire import ConnectionEndedError

Key = TypeVar("Key")

SYSTEM_ID, PASSWORD = "heliograph", "secret"
# Tests wait for nothing that they need not wait for.
QUICK = {"reconnect_seconds": 0.1, "reconnect_max_seconds": 0.5, "fault_seconds": 0.5, "response_seconds": 10}


def carrier(name: str, port: int, *, default: bool = True, **settings: Any) -> dict[str, str]:
    """The server's settings for a carrier that is reached by SMPP on a port of the loopback."""
    whole = {"host": "127.0.0.1", "port": port, "system_id": SYSTEM_ID, "password": PASSWORD, **QUICK, **settings}
    found = {
        f"carriers.{name}.{key}": str(value).lower() if value is True else str(value) for key, value in whole.items()
    }
    found[f"carriers.{name}.kind"] = "smpp"
    if default:
        found["messages.default_carrier"] = name
    return found


def mobile(n: int) -> str:
    """The nth Chilean mobile number."""
    return f"+569{n:08d}"


def send_all(client: Client, numbers: Iterable[int], text: str = "message", at_once: int = 100) -> dict[str, str]:
    """Sends to mobiles in their order; the submission id by recipient, without its `+`."""
    recipients = [mobile(n) for n in numbers]
    found: dict[str, str] = {}
    for start in range(0, len(recipients), at_once):
        some = recipients[start : start + at_once]
        response = client.send(some, text)
        assert response.status == 200, (response.status, response.body)
        for recipient, entry in zip(some, response.json()["submissions"], strict=True):
            assert entry["status"] == "submitted", entry
            found[recipient.removeprefix("+")] = str(entry["submissionId"])
    return found


def wait_all(client: Client, ids: Iterable[str], status: str = "DELIVERED", within: float = 30.0) -> None:
    """Waits until every message has this status; none may end with another."""
    deadline = time.monotonic() + within
    left = list(ids)
    while left:
        found = {id_: info["info"]["status"]["status"] for id_, info in infos(client, left).items()}
        wrong = {id_: what for id_, what in found.items() if what in FINAL and what != status}
        assert not wrong, f"{len(wrong)} ended otherwise than {status}: {dict(list(wrong.items())[:3])}"
        left = [id_ for id_, what in found.items() if what != status]
        assert time.monotonic() < deadline, (
            f"{len(left)} messages are not {status}, such as {left[0]}: {found[left[0]]}"
        )
        time.sleep(0.05 if left else 0)


def doubled(sent: Iterable[Key]) -> dict[Key, int]:
    """What was sent more than once, and how often too often."""
    return {key: count - 1 for key, count in Counter(sent).items() if count > 1}


def told_as_doubtful(server: Server, submission_id: str) -> int:
    """How many tries of a message its timeline tells as never answered, and sent again."""
    return server.cli_here("message", "timeline", submission_id).out.count("may arrive twice")


def state(server: Server, name: str) -> dict[str, Any]:
    """What `heliograph carrier list` says of one."""
    found: list[dict[str, Any]] = server.cli_here("carrier", "list").data
    return next(one for one in found if one["name"] == name)


def wait_state(server: Server, name: str, wanted: str, within: float = 20.0) -> dict[str, Any]:
    deadline = time.monotonic() + within
    while (found := state(server, name))["state"] != wanted:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    return found


class Crowd:
    """One message to each of many mobiles, in requests of some over several connections, until all are sent or the
    server is gone. `promised` has the submission ids by recipient, without its `+`, of what the server answered.
    """

    def __init__(self, client: Client, numbers: range, *, connections: int = 4, at_once: int = 20) -> None:
        self.promised: dict[str, str] = {}
        self._client = client
        self._starts = iter(range(numbers.start, numbers.stop, at_once))
        self._at_once = at_once
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(connections)]
        self._failed: list[BaseException] = []

    def start(self) -> Crowd:
        assert self._client.token  # fetched before the first thread needs it
        for thread in self._threads:
            thread.start()
        return self

    def wait(self, promised: int, within: float = 30.0) -> None:
        """Waits until so many messages have been promised."""
        deadline = time.monotonic() + within
        while len(self.promised) < promised:
            assert time.monotonic() < deadline, f"{len(self.promised)} of {promised} promised"
            time.sleep(0.002)

    def join(self, within: float = 60.0) -> Crowd:
        deadline = time.monotonic() + within
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            assert not thread.is_alive(), "the crowd did not end"
        assert not self._failed, self._failed[0]
        return self

    def _run(self) -> None:
        try:
            while (start := self._next()) is not None:
                # Some are long: what is in doubt and what is lost is counted in parts.
                text = "long " * 50 if start // self._at_once % 5 == 0 else "short"
                self.promised.update(send_all(self._client, range(start, start + self._at_once), text))
        except (ConnectionEndedError, OSError):
            return  # the server is gone
        except AssertionError as error:
            self._failed.append(error)

    def _next(self) -> int | None:
        with self._lock:
            return next(self._starts, None)
