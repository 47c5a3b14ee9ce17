"""Structured logs: one JSON object a line, and request ids to find a request in them.

Nothing here sees a message's text or a secret, and callers give none.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import secrets
import time
from collections.abc import Callable, Iterator

import msgspec

_encode = msgspec.json.encode


class JsonFormatter(logging.Formatter):
    """A record as one line of JSON: time (UTC), level, logger, message, and the traceback where there is one."""

    def __init__(self) -> None:
        super().__init__()
        self._stamps = _Stamps()

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self._stamps.show(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        # A lone surrogate, which may come from a file name or a caller, is no JSON.
        return _encode({key: value.encode(errors="replace").decode() for key, value in line.items()}).decode()


class _Stamps:
    """Times as RFC 3339 has them, in UTC with milliseconds; the second is formatted once."""

    def __init__(self) -> None:
        self._second = -1
        self._shown = ""

    def show(self, utc_seconds: float) -> str:
        second, milliseconds = divmod(int(utc_seconds * 1000), 1000)
        if second != self._second:
            self._second = second
            self._shown = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._shown}.{milliseconds:03}Z"


class _Line(msgspec.Struct, gc=False):
    """A request as it is logged. `ms` is the time from its last byte to the answer."""

    time: str
    level: str
    logger: str
    request: str
    account: str
    method: str
    route: str
    status: int
    ms: float
    client: str


class AccessLog:
    """A line for every request, collected and written a hundred at a time or after a fifth of a second.

    `write` gets whole lines. Runs on the event loop.
    """

    LINES = 100
    SECONDS = 0.2

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._waiting: list[tuple[float, str, str, str, str, int, float, str]] = []
        self._timer: asyncio.TimerHandle | None = None
        self._stamps = _Stamps()

    def add(
        self, request_id: str, account: str, method: str, route: str, status: int, began: float, client: str
    ) -> None:
        """Log a request that is answered now; `route` is the template, never the path."""
        waiting = self._waiting
        waiting.append((time.perf_counter(), request_id, account, method, route, status, began, client))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.SECONDS, self.flush)
        elif len(waiting) >= self.LINES:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._write(b"".join(self._lines(waiting)))

    def _lines(self, waiting: list[tuple[float, str, str, str, str, int, float, str]]) -> Iterator[bytes]:
        ahead = time.time() - time.perf_counter()
        show = self._stamps.show
        for at, request_id, account, method, route, status, began, client in waiting:
            took = round((at - began) * 1000, 3)
            line = _Line(show(at + ahead), "info", "access", request_id, account, method, route, status, took, client)
            yield _encode(line)
            yield b"\n"


_ID_CHARACTERS = 16
_IDS_AT_ONCE = 512


def request_ids() -> Callable[[], str]:
    """A source of request ids: `req_` and 80 random bits in base32.

    Random and not counted, so that nobody learns from two of his own how many requests others made in between.
    """
    return _request_ids().__next__


def _request_ids() -> Iterator[str]:
    while True:
        pool = base64.b32encode(secrets.token_bytes(10 * _IDS_AT_ONCE)).decode().lower()
        for start in range(0, len(pool), _ID_CHARACTERS):
            yield f"req_{pool[start : start + _ID_CHARACTERS]}"
