"""Which messages are asked for: the query of a list."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from heliograph.dialects.sms747.answers import NAMES, QUEUED, SCHEDULED
from heliograph.dialects.sms747.times import parse_time
from heliograph.messaging import errors
from heliograph.messaging.errors import CallerError
from heliograph.messaging.submissions import Status

DEFAULT_LIMIT: Final = 20
MOST: Final = 100
_STATUSES: Final = {**{name: status for status, name in NAMES.items()}, SCHEDULED: Status.PENDING}
_RECIPIENT: Final = re.compile(r"\+([1-9][0-9]{7,14})")
_LIMIT: Final = re.compile(r"[0-9]{1,9}")


class Wanted(msgspec.Struct, frozen=True):
    """The messages of a list, the newest first: at most `limit` after a `cursor`. What is None or "" does not matter.

    `scheduled` tells those that wait for their time from those that are on their way. `created_after_utc_ms` is
    included, `created_before_utc_ms` is not.
    """

    status: Status | None = None
    scheduled: bool | None = None
    recipient: str = ""
    created_after_utc_ms: int = 0
    created_before_utc_ms: int | None = None
    limit: int = DEFAULT_LIMIT
    cursor: str = ""


def parse_list(query: bytes) -> Wanted:
    """What the query of `GET /api/v1/message/custom` asks for. Unknown parameters are ignored; a `+` is a `+`, as no
    value has a blank in it and numbers and times do have one.

    Raises `CallerError(QUERY_INVALID)` with every parameter at fault.
    """
    given: dict[str, str] = {}
    problems: list[tuple[str, str]] = []
    for pair in query.split(b"&"):
        raw_name, _, raw_value = pair.partition(b"=")
        name = unquote(raw_name.decode("latin-1"))
        if name not in _READERS:
            continue
        if name in given:
            problems.append((f"/{name}", f"{name} comes twice; send it once."))
        given[name] = unquote(raw_value.decode("latin-1"))
    read: dict[str, Any] = {}
    for name, value in given.items():
        try:
            read.update(_READERS[name](value))
        except ValueError as error:
            problems.append((f"/{name}", f"{name} {value[:40]!r} {error}."))
    if problems:
        raise CallerError(errors.QUERY_INVALID, problems[0][1], problems=tuple(problems))
    return Wanted(**read)


def _status(value: str) -> dict[str, Any]:
    if value not in _STATUSES:
        raise ValueError(f"is no status; use one of {', '.join(_STATUSES)}")
    status = _STATUSES[value]
    return {"status": status, "scheduled": value == SCHEDULED if value in (QUEUED, SCHEDULED) else None}


def _recipient(value: str) -> dict[str, Any]:
    match = _RECIPIENT.fullmatch(value)
    if match is None:
        raise ValueError("is no number in E.164 format; write it like +15551234567")
    return {"recipient": match[1]}


def _time(value: str) -> int:
    utc_ms = parse_time(value)
    if utc_ms is None:
        raise ValueError("is no RFC 3339 time; write it like 2026-01-02T03:04:05Z")
    return max(0, utc_ms)


def _limit(value: str) -> dict[str, Any]:
    if not _LIMIT.fullmatch(value) or not 1 <= int(value) <= MOST:
        raise ValueError(f"is no number from 1 to {MOST}")
    return {"limit": int(value)}


def _cursor(value: str) -> dict[str, Any]:
    if not value:
        raise ValueError("is empty; leave it out for the first page, then send next_cursor back just as it came")
    return {"cursor": value}


_READERS: Final[dict[str, Callable[[str], dict[str, Any]]]] = {
    "status": _status,
    "recipient": _recipient,
    "created_after": lambda value: {"created_after_utc_ms": _time(value)},
    "created_before": lambda value: {"created_before_utc_ms": _time(value)},
    "limit": _limit,
    "cursor": _cursor,
}
