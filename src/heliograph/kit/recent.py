"""Calls of the last minute in two small files, so that a rate limit outlives the process.

A record is in the kernel's hands when `add` returns: it survives a crash of the process, though not one of the machine.
What cannot be written is not kept, and no reason to refuse a call.
"""

from __future__ import annotations

import logging
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from heliograph.kit.keys import write_private

_RECORD = struct.Struct("<QqB")  # account, UTC ms, whether it was to the API with a limit of its own
_NEW, _OLD = "recent-calls", "recent-calls.before"
_TURN_MS = 61_000  # a file is written for so long, and kept for as long again
_AGAIN_MS = 1_000  # after a failure
_log = logging.getLogger(__name__)


class RecentCalls:
    """The files in a folder. Records are read once, by the process that then writes."""

    def __init__(self, folder: Path) -> None:
        self._new, self._old = folder / _NEW, folder / _OLD
        self._file = -1
        self._turn_at_utc_ms = 0

    def recall(self, since_utc_ms: int) -> list[tuple[int, bool, int]]:
        """Account, kind and time of the calls since a time, in the order in which they were added."""
        found: list[tuple[int, bool, int]] = []
        try:
            found += [one for path in (self._old, self._new) for one in _records(path) if one[2] >= since_utc_ms]
            # Into one file, whole records only, whatever a crash left.
            write_private(self._old, b"".join(_RECORD.pack(account, at, kind) for account, kind, at in found))
            self._new.unlink(missing_ok=True)
        except OSError as error:
            _log.warning("recent calls cannot be kept, a restart would count too few: %s", error)
        return found

    def add(self, account_id: int, kind: bool, at_utc_ms: int) -> None:
        """Enter a call."""
        try:
            if at_utc_ms >= self._turn_at_utc_ms:
                self._turn(at_utc_ms)
            record = _RECORD.pack(account_id, at_utc_ms, kind)
            if self._file >= 0 and os.write(self._file, record) != len(record):
                raise OSError("there is no room")
        except OSError as error:
            _log.warning("recent calls cannot be kept, a restart would count too few: %s", error)
            self.close()
            self._turn_at_utc_ms = at_utc_ms + _AGAIN_MS

    def _turn(self, now_utc_ms: int) -> None:
        """Begin a file; what is in the one before the last is older than a minute."""
        self.close()
        if self._new.exists():
            self._new.replace(self._old)
        self._file = os.open(self._new, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._turn_at_utc_ms = now_utc_ms + _TURN_MS

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _records(path: Path) -> Iterator[tuple[int, bool, int]]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    whole = len(content) - len(content) % _RECORD.size  # the last may have been cut short
    for account_id, at_utc_ms, kind in _RECORD.iter_unpack(content[:whole]):
        yield account_id, bool(kind), at_utc_ms
