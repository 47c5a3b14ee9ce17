"""Structured logs: one JSON object a line, and request ids to find a request in them.

Nothing here sees a message's text or a secret, and callers give none.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import secrets
import sys
import time
from collections.abc import Callable
from typing import Final

import msgspec

_encoder: Final = msgspec.json.Encoder()


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
        return _encoder.encode({key: value.encode(errors="replace").decode() for key, value in line.items()}).decode()


_MILLISECONDS: Final = [f".{number:03}Z" for number in range(1000)]


class _Stamps:
    """Times as RFC 3339 has them, in UTC with milliseconds; the second is formatted once."""

    def __init__(self) -> None:
        self._second = -1
        self._shown = ""

    def show(self, utc_seconds: float) -> str:
        second = int(utc_seconds)
        if second != self._second:
            self._second = second
            self._shown = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return self._shown + _MILLISECONDS[int((utc_seconds - second) * 1000)]


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
            # A full disk costs lines of the log, not answers.
            with contextlib.suppress(OSError):
                self._write(_encoder.encode_lines(self._lines(waiting)))

    def _lines(self, waiting: list[tuple[float, str, str, str, str, int, float, str]]) -> list[_Line]:
        ahead = time.time() - time.perf_counter()
        show = self._stamps.show
        return [
            _Line(
                show(at + ahead),
                "info",
                "access",
                request_id,
                account,
                method,
                route,
                status,
                round((at - began) * 1000, 3),
                client,
            )
            for at, request_id, account, method, route, status, began, client in waiting
        ]


_TIME_DIGITS: Final = 11
_RANDOM_DIGITS: Final = 9
_IDS_AT_ONCE: Final = 1_024
_REQUEST_ID: Final = re.compile(rf"req_([0-9a-f]{{{_TIME_DIGITS}}})[0-9a-f]{{{_RANDOM_DIGITS}}}")


def request_ids(now_utc_ms: Callable[[], int]) -> Callable[[], str]:
    """A source of request ids: `req_`, the time in ms (11 hexadecimal digits) and 36 random bits (9).

    The time is what a request is found by. The rest is random and not counted, so that nobody learns from two of his
    own how many requests others made in between.
    """
    pool: list[str] = []
    shown, begins = 0, ""  # of a busy server many ids begin alike

    def next_id() -> str:
        """No generator: one that an exception passes through, even a foreign one, is at its end for ever."""
        nonlocal shown, begins
        now = now_utc_ms()
        if now != shown:
            shown, begins = now, f"req_{now:011x}"
        if not pool:
            fresh = secrets.token_hex(_RANDOM_DIGITS * _IDS_AT_ONCE // 2)
            pool.extend(fresh[at : at + _RANDOM_DIGITS] for at in range(0, len(fresh), _RANDOM_DIGITS))
        return begins + pool.pop()

    return next_id


def time_of_request(request_id: str) -> int | None:
    """When a request with this id was received, in ms UTC; None for what is no request id."""
    match = _REQUEST_ID.fullmatch(request_id)
    return int(match[1], 16) if match else None


def open_log(path: str, level: str) -> Callable[[bytes], object]:
    """Send the program's log to a file, "" for standard error, as JSON lines; the function that writes whole lines
    there.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if path else sys.stderr.fileno()
    handler = logging.StreamHandler(open(descriptor, "a", closefd=False, encoding="utf-8"))  # noqa: SIM115
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    return lambda lines: os.write(descriptor, lines)
