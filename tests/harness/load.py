"""Many sends at once, and what was answered to them, up to the moment the server is gone."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from tests.harness.client import JSON, Client, message, phone
from tests.harness.wire import ConnectionEndedError, Response, encode

FATES = ("0000", "0001", "0002", "1234", "0000", "4711")


class Load:
    """`total` messages over some connections, some requests under way on each; it ends with the server at the latest.

    Every third request has several recipients, every seventh a text of two segments. `submitted` is what the server
    has promised: the ids in its answers.
    """

    def __init__(self, client: Client, total: int, *, connections: int = 8, depth: int = 6) -> None:
        self.client = client
        self.submitted: list[str] = []
        self.surprises: list[tuple[int, bytes]] = []
        self._left = total
        self._depth = depth
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(connections)]

    def start(self) -> Load:
        assert self.client.token  # fetched before the first thread needs it
        for thread in self._threads:
            thread.start()
        return self

    def join(self, within: float = 120.0) -> None:
        deadline = time.monotonic() + within
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            assert not thread.is_alive(), "the load did not end"
        assert not self.surprises, self.surprises[:3]

    def wait(self, until: Callable[[int], bool], within: float = 60.0) -> None:
        """Waits until so many messages have been promised."""
        deadline = time.monotonic() + within
        while not until(len(self.submitted)) and any(thread.is_alive() for thread in self._threads):
            assert time.monotonic() < deadline, f"{len(self.submitted)} messages answered"
            time.sleep(0.001)

    def _run(self, n: int) -> None:
        try:
            with self.client.server.wire(timeout=30) as wire:
                turn = n
                while sizes := self._take():
                    wire.send(b"".join(self._request(turn + at, size) for at, size in enumerate(sizes)))
                    turn += len(sizes)
                    for _ in sizes:
                        response = wire.read()
                        if not self.accept(response):
                            self.surprises.append((response.status, response.body))
                            return
                        if response.status != 200:
                            continue
                        promised = [e["submissionId"] for e in response.json()["submissions"]]
                        self.submitted.extend(promised)
        except (ConnectionEndedError, OSError):
            return  # the server is gone

    def accept(self, response: Response) -> bool:
        """Whether an answer is one that this load may get; others are surprises."""
        return response.status == 200

    def _take(self) -> list[int]:
        with self._lock:
            sizes = [min(size, self._left) for size in ((4, 1, 1) * self._depth)[: self._depth]]
            sizes = sizes if sum(sizes) <= self._left else [self._left]
            self._left -= sum(sizes)
        return [size for size in sizes if size]

    def _request(self, turn: int, size: int) -> bytes:
        recipients = [phone(FATES[(turn + n) % len(FATES)], (turn + n) % 1000) for n in range(size)]
        text = "a" * 200 if turn % 7 == 0 else f"message {turn}"
        body = json.dumps(message(recipients, text)).encode()
        return encode("POST", "/api/sms", [self.client.bearer, JSON], body)


def infos(client: Client, ids: Iterable[str], at_once: int = 100) -> dict[str, dict[str, Any]]:
    """`GET /api/sms/{id}` for many, in pipelines; every one of them must exist."""
    wanted = list(ids)
    found: dict[str, dict[str, Any]] = {}
    with client.server.wire() as wire:
        for start in range(0, len(wanted), at_once):
            some = wanted[start : start + at_once]
            wire.send(b"".join(encode("GET", f"/api/sms/{id_}", [client.bearer]) for id_ in some))
            for id_ in some:
                response = wire.read()
                assert response.status == 200, f"{id_} was promised and is gone: {response.status}"
                found[id_] = response.json()
    return found
