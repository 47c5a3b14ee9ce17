"""Requests that happen once: a key, the same body, and the answer is the first one's.

The store remembers: key, body and answer are written in the transaction that accepts the messages, so that whatever
crashes there is either all of it or nothing. In memory is only who waits for a first request that is under way.

    absent ──first──▶ under way ──2xx──▶ answered: every repeat gets that answer for 24 hours
                          └────error──▶ absent again: the next one that waits goes first
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final, NamedTuple

import msgspec

from heliograph.kit.clock import Clock, Timer
from heliograph.messaging import errors
from heliograph.messaging.errors import CallerError, HeliographError, OurFault
from heliograph.service.submit import as_error
from heliograph.store.interface import ONCE_MS, Answered, Store

WAIT_SECONDS: Final = 10.0
WAITING_AT_MOST: Final = 10_000
_KEY: Final = re.compile(rb"[\x21-\x7e]{1,255}")
_log = logging.getLogger(__name__)


class Given(msgspec.Struct, frozen=True):
    """The bytes of an answer 2xx, and whether they are of an earlier request."""

    body: bytes
    replayed: bool


Answer = Callable[[Given | HeliographError], None]
First = Callable[[str, bytes, Answer], None]
"""Carries out a request: its key, the SHA-256 of its body, where the answer goes. It may raise `HeliographError`."""


class Scope(NamedTuple):
    """What a key is unique in."""

    account_id: int
    route: str
    key: str


class _Repeat:
    """A request that waits for the first one with its key."""

    __slots__ = ("answer", "body_sha256", "first", "timer")

    def __init__(self, body_sha256: bytes, first: First, answer: Answer) -> None:
        self.body_sha256 = body_sha256
        self.first = first
        self.answer: Answer | None = answer
        self.timer: Timer | None = None


def key_of(header: bytes) -> str:
    """The key in an `Idempotency-Key` header. Raises `CallerError(IDEMPOTENCY_KEY_MALFORMED)`."""
    if not _KEY.fullmatch(header):
        raise CallerError(
            errors.IDEMPOTENCY_KEY_MALFORMED,
            "The Idempotency-Key is not 1 to 255 visible ASCII characters without spaces; send such a key, once.",
        )
    return header.decode()


class Idempotency:
    """The keys of all accounts."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._under_way: dict[Scope, deque[_Repeat]] = {}
        self._waiting = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.replayed = 0

    def __call__(self, scope: Scope, body: bytes | bytearray, first: First, answer: Answer) -> None:
        """Answer a request by its key: from the store, from the one under way, or by carrying it out with `first`.

        `answer` is called once, on the loop. What is to be recorded is for `first` to put into its transaction.
        """
        repeat = _Repeat(hashlib.sha256(body).digest(), first, answer)
        queue = self._under_way.get(scope)
        if queue is None:
            self._under_way[scope] = deque()
            self._spawn(self._begin(scope, repeat))
        elif self._waiting >= WAITING_AT_MOST:
            answer(_in_progress())
        else:
            self._waiting += 1
            queue.append(repeat)
            repeat.timer = self._clock.call_later(WAIT_SECONDS, lambda: self._give_up(repeat))

    async def _begin(self, scope: Scope, repeat: _Repeat) -> None:
        """Look whether there is an answer already; if not, this is the first."""
        after = self._clock.now_utc_ms() - ONCE_MS
        try:
            known = await self._store.read(lambda reads: reads.answered(*scope, after))
            if known is not None:
                self._end(scope, repeat, known)
                return

            def done(outcome: Given | HeliographError) -> None:
                self._first_done(scope, repeat, outcome)

            repeat.first(scope.key, repeat.body_sha256, done)
        except Exception as error:
            if not isinstance(error, HeliographError):
                _log.error("a request with a key failed", exc_info=error)
            self._first_done(scope, repeat, as_error(error))

    def _first_done(self, scope: Scope, repeat: _Repeat, outcome: Given | HeliographError) -> None:
        if isinstance(outcome, Given):
            self._tell(repeat, outcome)
            self._end(scope, None, Answered(repeat.body_sha256, outcome.body))
            return
        self._tell(repeat, outcome)
        queue = self._under_way[scope]
        while queue:
            candidate = queue.popleft()
            if self._leaves(candidate):
                self._spawn(self._begin(scope, candidate))
                return
        del self._under_way[scope]

    def _end(self, scope: Scope, repeat: _Repeat | None, known: Answered) -> None:
        """There is an answer: everybody gets it."""
        queue = self._under_way.pop(scope)
        for one in [*([repeat] if repeat else []), *(one for one in queue if self._leaves(one))]:
            outcome = replay(scope.key, one.body_sha256, known)
            self.replayed += isinstance(outcome, Given)
            self._tell(one, outcome)

    def _leaves(self, repeat: _Repeat) -> bool:
        """Whether a repeat that leaves the queue still wants an answer."""
        if repeat.timer is not None:
            repeat.timer.cancel()
        wanted = repeat.answer is not None
        self._waiting -= wanted
        return wanted

    def _give_up(self, repeat: _Repeat) -> None:
        if repeat.answer is not None:
            self._waiting -= 1
            self._tell(repeat, _in_progress())

    @staticmethod
    def _tell(repeat: _Repeat, outcome: Given | HeliographError) -> None:
        answer, repeat.answer = repeat.answer, None
        if answer is not None:
            answer(outcome)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def replay(key: str, body_sha256: bytes, known: Answered) -> Given | CallerError:
    """The answer to a request with a key that was used before: the first one's, if the body is the same."""
    if body_sha256 == known.body_sha256:
        return Given(known.answer, replayed=True)
    return CallerError(
        errors.IDEMPOTENCY_KEY_REUSED,
        f"The Idempotency-Key {key[:40]!r} was used for a request with another body; use a new key for a new request.",
    )


def _in_progress() -> OurFault:
    return OurFault(
        errors.IDEMPOTENCY_IN_PROGRESS,
        "The first request with this Idempotency-Key has no answer yet; repeat it with the same key in a moment.",
    )
