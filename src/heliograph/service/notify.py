"""Telling customers: every due callback is claimed, posted and settled, by the schedule of `webhooks.schedule`.

    stored ──▶ due ──claim──▶ begun ──POST──▶ ended ──settle──▶ acknowledged │ due later │ failed

The claim stores that an attempt begins before the wire is touched. So a crash costs at most one attempt of each
callback under way, and never makes one that the schedule does not know of. Claims and settlements ride in group
commits: a callback is begun by the very transaction that stores it. A place is taken until the attempt's end is on
disk, which bounds everything here.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence
from typing import Any, Protocol

from heliograph.kit.clock import Clock, Timer
from heliograph.kit.ids import BITS, PublicIds
from heliograph.kit.keys import Keys
from heliograph.messaging.accounts import Account
from heliograph.service.accounts import Directory
from heliograph.store import interface as it
from heliograph.webhooks import schedule, signature
from heliograph.webhooks.sender import Attempted, Call
from heliograph.webhooks.turns import Turn, Turns

IN_FLIGHT = 256
IN_FLIGHT_PER_ENDPOINT = 32
POLL_SECONDS = 1.0
STOP_SECONDS = 5.0
_ACCOUNTS_REMEMBERED = 10_000
_UPPER_HALF = 1 << BITS - 1  # callbacks are numbered apart from messages: their ids never look alike
_WEBHOOK_ID = re.compile(r"cb_(0|[1-9][0-9]{0,15})", re.ASCII)
_NEVER = 1 << 62
_TELLING = frozenset({it.Finish, it.StoreReceipts})
_NO_URL = Attempted(False, "the account has no URL")
_BROKEN = Attempted(False, "the server failed to make the call")
_CUT_OFF = Attempted(False, "the server stopped before there was an answer")
_log = logging.getLogger(__name__)


class Poster(Protocol):
    """What makes a call: `webhooks.sender.Sender`."""

    async def post(self, call: Call) -> Attempted:
        """Make it. Never raises."""


def webhook_ids(ids: PublicIds, callback_ids: Sequence[int]) -> list[str]:
    """What customers know callbacks by, the same at every attempt."""
    return [f"cb_{public}" for public in ids.publish_each([_UPPER_HALF | id_ for id_ in callback_ids])]


def callback_id_of(ids: PublicIds, webhook_id: str) -> int | None:
    """The internal id of the callback that customers know by `webhook_id`; None when there can be none."""
    match = _WEBHOOK_ID.fullmatch(webhook_id)
    public = int(match[1]) if match else 1 << BITS
    if public >> BITS:
        return None
    internal = ids.resolve(public)
    return internal ^ _UPPER_HALF if internal & _UPPER_HALF else None


class Notify:
    """The notifying service. Takes part in every group commit, after the services that end messages: make it last."""

    def __init__(
        self,
        store: it.Store,
        directory: Directory,
        keys: Keys,
        ids: PublicIds,
        poster: Poster,
        clock: Clock,
        *,
        in_flight: int = IN_FLIGHT,
        in_flight_per_endpoint: int = IN_FLIGHT_PER_ENDPOINT,
    ) -> None:
        self._store = store
        self._accounts = directory.accounts
        self._reporting = directory.reporting
        self._keys = keys
        self._ids = ids
        self._poster = poster
        self._clock = clock
        self._turns = Turns(in_flight, in_flight_per_endpoint)
        self._signing_keys: dict[tuple[int, int], list[bytes]] = {}
        self._running = False
        self._timer: Timer | None = None
        self._may_be_due = False
        self._attempts: set[asyncio.Task[None]] = set()
        # Attempts begun, and stored with how they ended; callbacks whose last attempt failed.
        self.begun = self.acknowledged = self.failed = self.given_up = 0
        self._ended: list[tuple[it.Callback, Attempted]] = []
        # Of the group under way: which attempts it settles, what it claims, and where those claims stand in it.
        self._settling: list[tuple[it.Callback, Attempted]] = []
        self._claiming: list[Turn] = []
        self._position = 0
        self._quiet = asyncio.Event()
        self._quiet.set()
        store.add_hook(self)

    # -- life

    async def start(self) -> None:
        """Begin, with what the last process left due; once the store is open."""
        self._running = True
        self._poll()

    def wake(self) -> None:
        """Callbacks may have become due by another way than the end of a message."""
        self._may_be_due = True
        if self._running:
            self._store.request_commit()

    async def stop(self, within_seconds: float = STOP_SECONDS) -> None:
        """Begin no attempts; wait for those under way and store how they ended. What takes longer is cut off."""
        self._running = False
        if self._timer is not None:
            self._timer.cancel()
        if await self._becomes_quiet(within_seconds):
            return
        for attempt in list(self._attempts):
            attempt.cancel()
        if not await self._becomes_quiet(within_seconds):
            _log.warning("the ends of %d callback attempts could not be stored", len(self._ended) + len(self._settling))

    async def _becomes_quiet(self, within_seconds: float) -> bool:
        self._look_quiet()
        try:
            await asyncio.wait_for(self._quiet.wait(), within_seconds)
        except TimeoutError:
            return False
        return True

    @property
    def under_way(self) -> int:
        """Attempts that are claimed, on the wire, or ended and not settled."""
        return len(self._claiming) + len(self._attempts) + len(self._ended) + len(self._settling)

    def _look_quiet(self) -> None:
        if self.under_way:
            self._quiet.clear()
        else:
            self._quiet.set()

    def _poll(self) -> None:
        """Once a second something may have become due; it is also when what could not be stored is tried again."""
        self._timer = self._clock.call_later(POLL_SECONDS, self._poll)
        self.wake()

    # -- CommitHook

    def before_commit(self, ops: Sequence[it.Op[Any]]) -> list[it.Op[Any]]:
        """See `CommitHook`."""
        added: list[it.Op[Any]] = []
        if self._ended:
            self._settling, self._ended = self._ended, []
            for callback, _ in self._settling:
                self._turns.leave(callback.account_id)
            added.append(self._settlement())
        if self._running:
            telling = [op for op in ops if _tells(op)] if self._reporting else []
            if telling:
                self._turns.stored_late(min(map(_oldest, telling)))
            everybody = self._may_be_due or bool(telling)
            self._claiming = self._turns.plan(self._clock.now_utc_ms(), everybody=everybody)
            self._may_be_due = everybody and not any(turn.only == 0 for turn in self._claiming)
            self._position = len(ops) + len(added)
            added += [_claim(turn) for turn in self._claiming]
        return added

    def after_commit(self, ops: Sequence[it.Op[Any]], results: Sequence[Any]) -> None:
        """See `CommitHook`."""
        settled, self._settling = self._settling, []
        for callback, attempted in settled:
            self._count(callback, attempted)
        turns, self._claiming = self._claiming, []
        for turn, begun in zip(turns, results[self._position :], strict=False):
            if self._turns.claimed(turn, [callback.created_utc_ms for callback in begun]) and not turn.only:
                self._may_be_due = True
            self._begin(begun)
        if turns or settled:
            if self._running and self._turns.free and (self._may_be_due or self._turns.has_turns()):
                self._store.request_commit()
            self._look_quiet()

    def commit_failed(self, ops: Sequence[it.Op[Any]], error: it.StoreError) -> None:
        """See `CommitHook`: nothing was begun, nothing is settled; both are tried again with the next poll."""
        for callback, _ in self._settling:
            self._turns.take(callback.account_id)
        self._ended = self._settling + self._ended
        self._may_be_due = self._may_be_due or bool(self._claiming)
        self._settling, self._claiming = [], []
        self._look_quiet()

    def _count(self, callback: it.Callback, attempted: Attempted) -> None:
        if attempted.acknowledged:
            self.acknowledged += 1
            return
        self.failed += 1
        self.given_up += schedule.is_last(callback.attempt)

    def _settlement(self) -> it.SettleCallbacks:
        now = self._clock.now_utc_ms()
        return it.SettleCallbacks([_settled(callback, attempted, now) for callback, attempted in self._settling])

    # -- attempts

    def _begin(self, callbacks: Sequence[it.Callback]) -> None:
        """Attempts that are on disk go on the wire."""
        if not callbacks:
            return
        self.begun += len(callbacks)
        create_task = asyncio.get_running_loop().create_task
        for callback, webhook_id in zip(callbacks, webhook_ids(self._ids, [one.id for one in callbacks]), strict=True):
            self._turns.take(callback.account_id)
            attempt = create_task(self._attempt(callback, webhook_id))
            self._attempts.add(attempt)
            attempt.add_done_callback(self._over)

    def _over(self, attempt: asyncio.Task[None]) -> None:
        self._attempts.discard(attempt)
        if not self._running:
            self._look_quiet()

    async def _attempt(self, callback: it.Callback, webhook_id: str) -> None:
        try:
            attempted = await self._call(callback, webhook_id)
        except asyncio.CancelledError:  # by `stop` alone
            attempted = _CUT_OFF
        except Exception:
            _log.exception("the attempt of a callback failed")
            attempted = _BROKEN
        if not attempted.acknowledged and schedule.is_last(callback.attempt):
            _log.warning("callback %s gets no further attempt: %s", webhook_id, attempted.result)
        self._ended.append((callback, attempted))
        self._store.request_commit()

    async def _call(self, callback: it.Callback, webhook_id: str) -> Attempted:
        """One attempt: where to is decided now, so that a corrected URL saves what is pending."""
        account = self._accounts.get(callback.account_id)
        url = callback.url or _url(account, callback.kind)
        if account is None or not url:
            return _NO_URL
        timestamp = self._clock.now_utc_ms() // 1000
        signed = signature.sign(self._keys_of(account), webhook_id, timestamp, callback.body)
        return await self._poster.post(Call(url, webhook_id, timestamp, signed, callback.body))

    def _keys_of(self, account: Account) -> list[bytes]:
        """What signs for an account: its secret and the one before, so that changing it breaks no receiver."""
        known = self._signing_keys.get((account.id, account.secret_generation))
        if known is None:
            generations = range(account.secret_generation, max(account.secret_generation - 2, 0), -1)
            known = [signature.key_of(self._keys.webhook_secret(account.id, one)) for one in generations]
            if len(self._signing_keys) >= _ACCOUNTS_REMEMBERED:
                self._signing_keys.clear()
            self._signing_keys[account.id, account.secret_generation] = known
        return known


def _url(account: Account | None, kind: str) -> str:
    """The account's URL for a kind of callback, "" where it has none."""
    if account is None:
        return ""
    return account.mo_url if kind == "mo" else account.dlr_url


def _settled(callback: it.Callback, attempted: Attempted, now_utc_ms: int) -> it.Settlement:
    """How an attempt ended, as it is stored: one that failed has a line in the message's timeline."""
    if attempted.acknowledged:
        return it.Settlement(callback.id, True, False, attempted.result, now_utc_ms)
    last = schedule.is_last(callback.attempt)
    event = f"attempt {callback.attempt} of {schedule.ATTEMPTS}: {attempted.result}" + (", failed" if last else "")
    about = callback.message_id
    return it.Settlement(callback.id, False, last, attempted.result, now_utc_ms, about, event if about else "")


def _tells(op: it.Op[Any]) -> bool:
    """Whether an operation may store callbacks that are due at once."""
    return type(op) in _TELLING or (type(op) is it.StoreTaken and op.report is not None)


def _oldest(op: it.Op[Any]) -> int:
    """The earliest time from which a callback that this operation stores is due."""
    told: Sequence[it.Ending | it.PartReceipt | it.Took] = ()
    if isinstance(op, it.Finish):
        told = op.endings
    elif isinstance(op, it.StoreReceipts):
        told = op.receipts
    elif isinstance(op, it.StoreTaken):
        told = op.taken
    return min((one.at_utc_ms for one in told), default=_NEVER)


def _claim(turn: Turn) -> it.ClaimCallbacks:
    return it.ClaimCallbacks(
        turn.now_utc_ms,
        turn.limit,
        schedule.CLAIM_DELAYS_SECONDS,
        turn.without,
        after_utc_ms=turn.after_utc_ms,
        only=turn.only,
    )
