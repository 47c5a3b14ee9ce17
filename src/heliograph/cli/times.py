"""Times and durations as people type them."""

from __future__ import annotations

import datetime
import re
import time

from heliograph.cli.common import WRONG, refuse

_DURATION = re.compile(r"([0-9]{1,6})([smhd])", re.ASCII)
_EPOCH = datetime.datetime.fromtimestamp(0, datetime.UTC)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def now_utc_ms() -> int:
    """The time."""
    return time.time_ns() // 1_000_000


def duration_seconds(text: str) -> int | None:
    """The seconds of a duration like 90s, 30m, 48h or 2d; None when it is none."""
    match = _DURATION.fullmatch(text)
    return int(match[1]) * _SECONDS[match[2]] if match else None


def instant_utc_ms(option: str, text: str) -> int:
    """The instant that an option names: an ISO 8601 date or time, UTC unless it says otherwise, or a duration ago."""
    ago = duration_seconds(text)
    if ago is not None:
        return max(now_utc_ms() - ago * 1000, 0)
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        examples = "2026-01-31, 2026-01-31T09:30, 2026-01-31T09:30:00+02:00, or a duration ago like 30m, 2h or 7d"
        refuse(f"{option} {text[:40]!r} is no time; write it like {examples}", WRONG)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return max((moment - _EPOCH) // datetime.timedelta(milliseconds=1), 0)
