"""Group commit: everything that waits to be written at a moment becomes one transaction.

One group is under way at a time; what arrives meanwhile is the next one. A caller is answered when its group is on
disk, and a group that fails fails every operation in it. Runs on the event loop; the engine does the writing elsewhere.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from heliograph.messaging import errors
from heliograph.store.interface import CommitHook, Done, Op, StoreError, Uncertain

_log = logging.getLogger(__name__)


class GroupCommit:
    """Collects operations and hands them to `start`, which calls `finished` on the loop when the group is on disk or
    has failed.

    `max_weight` bounds the rows that wait or are being written; `on_fatal` is called once after a commit whose effect
    is unknown, or when a hook fails: then nobody knows any more what is on disk.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        start: Callable[[list[Op[Any]]], None],
        *,
        max_weight: int,
        on_fatal: Callable[[StoreError], None],
    ) -> None:
        self._loop = loop
        self._start = start
        self._max_weight = max_weight
        self._on_fatal = on_fatal
        self._hooks: list[CommitHook] = []
        self._waiting: list[tuple[Op[Any], Done, int]] = []
        self._under_way: list[tuple[Op[Any], Done, int]] = []
        self._ops: list[Op[Any]] = []
        self._weight = 0
        self._busy = False
        self._scheduled = False
        self._broken: StoreError | None = None
        self._idle: asyncio.Event = asyncio.Event()
        self._idle.set()

    def add_hook(self, hook: CommitHook) -> None:
        """Ask `hook` before, and tell it after, every group."""
        self._hooks.append(hook)

    def submit(self, op: Op[Any], done: Done, weight: int = 1) -> None:
        """Commit `op` with the next group. Raises `OurFault` when too much waits already, or after a fatal failure."""
        if self._broken is not None:
            raise errors.OurFault(
                errors.STORE_UNAVAILABLE, "The store failed and the server is stopping; try again in a moment."
            )
        if self._weight + weight > self._max_weight:
            raise errors.OurFault(
                errors.OVERLOADED,
                "As many messages as the server takes at once wait to be stored; try again in a second.",
            )
        self._weight += weight
        self._waiting.append((op, done, weight))
        self.request()

    def request(self) -> None:
        """Make a group happen at the end of this turn of the loop, or right after the one under way."""
        if not self._scheduled:
            self._scheduled = True
            if not self._busy:
                self._idle.clear()
                self._loop.call_soon(self._flush)

    @property
    def waiting_rows(self) -> int:
        """The weight of the operations that wait or are being written."""
        return self._weight

    async def drained(self) -> None:
        """Return once nothing waits and no group is under way."""
        while self._busy or self._waiting or self._scheduled:
            self._idle.clear()
            await self._idle.wait()

    def _flush(self) -> None:
        self._scheduled = False
        if self._broken is not None:
            self._idle.set()
            return
        self._under_way, self._waiting = self._waiting, []
        self._ops = ops = [op for op, _, _ in self._under_way]
        try:
            for hook in self._hooks:
                ops += hook.before_commit(ops)
        except Exception as error:
            self.finished(_bug(error))
            return
        if not ops:
            self._idle.set()
            return
        self._busy = True
        self._start(ops)

    def finished(self, results: Sequence[Any] | StoreError) -> None:
        """The group under way is on disk with these results, or has failed with this error."""
        group, ops = self._under_way, self._ops
        self._under_way, self._ops = [], []
        self._weight -= sum(weight for _, _, weight in group)
        if isinstance(results, Uncertain):
            self._broken = results
        try:
            self._tell_hooks(ops, results)
        except Exception as error:
            self._broken = _bug(error)
        if isinstance(results, StoreError):
            for _, done, _ in group:
                self._tell(done, results)
        else:
            for (_, done, _), result in zip(group, results, strict=False):
                self._tell(done, result)
        self._busy = False
        if self._broken is not None:
            self._scheduled = False
            waiting, self._waiting = self._waiting, []
            for _, done, _ in waiting:
                self._tell(done, self._broken)
            self._idle.set()
            self._on_fatal(self._broken)
        elif self._scheduled:
            self._loop.call_soon(self._flush)
        else:
            self._idle.set()

    def _tell_hooks(self, ops: Sequence[Op[Any]], results: Sequence[Any] | StoreError) -> None:
        for hook in self._hooks:
            if isinstance(results, StoreError):
                hook.commit_failed(ops, results)
            else:
                hook.after_commit(ops, results)

    @staticmethod
    def _tell(done: Done, result: Any) -> None:
        """One caller's bug must not keep the others from their answers."""
        try:
            done(result)
        except Exception:
            _log.exception("answering after a commit failed")


def _bug(error: Exception) -> Uncertain:
    """A service that fails around a commit no longer knows what is on disk: the process must recover from there."""
    _log.error("a service failed around a group commit", exc_info=error)
    return Uncertain(f"a service failed around a group commit: {type(error).__name__}: {error}")
