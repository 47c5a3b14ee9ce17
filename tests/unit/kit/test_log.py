"""The log: what a line holds, and when it is written."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
import time

import pytest

from heliograph.kit.clock import ManualClock, SystemClock
from heliograph.kit.log import AccessLog, JsonFormatter, request_ids, time_of_request

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def record(message: str, *args: object, error: bool = False) -> logging.LogRecord:
    info = sys.exc_info() if error else None
    return logging.LogRecord("heliograph.x", logging.WARNING, "x.py", 1, message, args, info)


def test_a_record_is_one_line_of_json() -> None:
    shown = JsonFormatter().format(record("a %s\nb", "“c”\ud800"))
    assert "\n" not in shown
    line = json.loads(shown)
    assert TIME.fullmatch(line.pop("time"))
    assert line == {"level": "warning", "logger": "heliograph.x", "message": "a “c”?\nb"}


def test_a_time_is_utc() -> None:
    one = record("x")
    one.created = 1_767_225_600.0625
    assert json.loads(JsonFormatter().format(one))["time"] == "2026-01-01T00:00:00.062Z"


def test_an_exception_is_told_with_its_trace() -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        line = json.loads(JsonFormatter().format(record("x", error=True)))
    assert "Traceback" in line["exception"]
    assert "ValueError: broken" in line["exception"]


def add(log: AccessLog, status: int = 200) -> None:
    log.add("req_1", "acc_1", "POST", "/api/sms", status, time.perf_counter() - 0.0015, "::1")


def test_a_request_is_written_after_a_moment() -> None:
    written: list[bytes] = []

    async def run() -> None:
        add(AccessLog(written.append))
        assert written == []
        await asyncio.sleep(0.3)

    asyncio.run(run())
    (line,) = map(json.loads, b"".join(written).splitlines())
    assert TIME.fullmatch(line["time"])
    assert 1.5 <= line["ms"] < 50
    assert {**line, "time": 0, "ms": 0} == {
        "time": 0,
        "level": "info",
        "logger": "access",
        "request": "req_1",
        "account": "acc_1",
        "method": "POST",
        "route": "/api/sms",
        "status": 200,
        "ms": 0,
        "client": "::1",
    }


def test_a_hundred_requests_are_written_at_once_and_in_order() -> None:
    async def run() -> list[bytes]:
        written: list[bytes] = []
        log = AccessLog(written.append)
        for status in range(250):
            add(log, status)
        assert len(written) == 2
        log.flush()
        log.flush()
        return written

    lines = b"".join(asyncio.run(run())).splitlines()
    assert [json.loads(line)["status"] for line in lines] == list(range(250))


def test_a_full_disk_costs_lines_and_nothing_else() -> None:
    def full(_: bytes) -> None:
        raise OSError(28, "No space left on device")

    async def run() -> None:
        log = AccessLog(full)
        for _ in range(250):
            add(log)

    asyncio.run(run())


def test_request_ids_are_never_the_same_and_count_nothing() -> None:
    now = SystemClock().now_utc_ms
    new, other = request_ids(now), request_ids(now)
    made = [new() for _ in range(2000)] + [other() for _ in range(2000)]
    assert len(set(made)) == 4000
    assert all(re.fullmatch(r"req_[0-9a-f]{20}", one) for one in made)
    random_parts = [one[-9:] for one in made[:2000]]
    assert random_parts != sorted(random_parts)


def test_a_request_id_tells_when_its_request_came() -> None:
    clock = ManualClock(1_767_225_600_062)
    new = request_ids(clock.now_utc_ms)
    assert time_of_request(new()) == 1_767_225_600_062
    clock.advance(1.5)
    assert time_of_request(new()) == 1_767_225_601_562


@pytest.mark.parametrize(
    "name",
    ["", "req_", "req_19bb0c1a6f3d81c4e07", "req_19bb0c1a6f3d81c4e07a0", "req_19bb0c1a6f3d81c4e07g", "not_found"],
)
def test_what_is_no_request_id_tells_nothing(name: str) -> None:
    assert time_of_request(name) is None
