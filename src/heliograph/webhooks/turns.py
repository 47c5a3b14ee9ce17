"""Whose callbacks are begun next: how many at a time, in all and per account, and nobody behind a slow endpoint.

An account may hold up to its limit of places, but never take more than half of the free ones: so while a few endpoints
hang, an account with nothing under way finds a place. One that holds much is left out of the claim for everybody.
It is then *behind*: it may have due callbacks that were passed over, from a certain time on, and claims for itself once
it has room. All other callbacks that were due before `_claimed_until` are begun, so that a claim for everybody need not
read again and again through what a hanging endpoint has piled up.
"""

from __future__ import annotations

import msgspec

# Callbacks may be stored a little after the time when they are due from, without `stored_late` being told.
LATE_MS = 1_000
# Should the clock have been set back further than that: look at everything once in a while.
LOOK_BACK_MS = 300_000
TURNS_AT_ONCE = 8


class Turn(msgspec.Struct, frozen=True):
    """A claim: up to `limit` callbacks due from `after_utc_ms` to `now_utc_ms`, of `only` or of all but `without`."""

    limit: int
    now_utc_ms: int
    after_utc_ms: int = 0
    only: int = 0
    without: frozenset[int] = frozenset()


class Turns:
    """Places for calls under way, and who may take them."""

    def __init__(self, places: int, places_per_account: int) -> None:
        self._places_per_account = places_per_account
        self._held: dict[int, int] = {}
        self._behind: dict[int, int] = {}  # account → since when it may have been passed over
        self._claimed_until = 0
        self._looked_back_utc_ms = 0
        self.free = places

    def take(self, account_id: int) -> None:
        """A call begins."""
        self.free -= 1
        self._held[account_id] = self._held.get(account_id, 0) + 1

    def leave(self, account_id: int) -> None:
        """A call is over and its end stored."""
        self.free += 1
        left = self._held[account_id] - 1
        if left:
            self._held[account_id] = left
        else:
            del self._held[account_id]

    def stored_late(self, due_utc_ms: int) -> None:
        """A callback is stored that was due then already."""
        if due_utc_ms < self._claimed_until:
            self._claimed_until = due_utc_ms
            self._behind = {account_id: min(since, due_utc_ms) for account_id, since in self._behind.items()}

    def plan(self, now_utc_ms: int, *, everybody: bool) -> list[Turn]:
        """The claims to make now, which together take no more than the free places; for `everybody` if asked to."""
        turns = []
        free = self.free
        if everybody and free:
            turns.append(self._for_everybody(now_utc_ms, self._share(free)))
            free -= turns[0].limit
        for account_id in self._behind:
            if not free or len(turns) > TURNS_AT_ONCE:
                break
            share, held = self._share(free), self._held.get(account_id, 0)
            if held <= share // 2:
                turns.append(Turn(share - held, now_utc_ms, self._behind[account_id], account_id))
                free -= share - held
        return turns

    def has_turns(self) -> bool:
        """Whether an account that is behind has room."""
        return bool(self._behind and self.free and self.plan(0, everybody=False))

    def claimed(self, turn: Turn, created_utc_ms: list[int]) -> bool:
        """A claim was carried out and found callbacks of these ages. Whether there may be more of its kind."""
        full = len(created_utc_ms) >= turn.limit
        if turn.only:
            since = self._behind.pop(turn.only, turn.after_utc_ms)
            if full:
                self._behind[turn.only] = since  # to the end of the line
        else:
            # A callback is due after its creation, and claims go by the time due.
            until = max(created_utc_ms) if full else turn.now_utc_ms
            self._claimed_until = max(self._claimed_until, until - LATE_MS)
        return full

    def _share(self, free: int) -> int:
        """How many places one account may hold."""
        return min(self._places_per_account, max(1, free // 2)) if free else 0

    def _for_everybody(self, now_utc_ms: int, share: int) -> Turn:
        """A claim for all accounts that hold so little that none can come to hold more than its share."""
        most = 0
        for account_id, held in self._held.items():
            if held > share // 2:
                self._behind.setdefault(account_id, self._claimed_until)
            elif account_id not in self._behind:
                most = max(most, held)
        if now_utc_ms - self._looked_back_utc_ms >= LOOK_BACK_MS:
            self._looked_back_utc_ms, self._claimed_until = now_utc_ms, 0
            self._behind = dict.fromkeys(self._behind, 0)
        after = self._claimed_until if self._behind else 0
        return Turn(share - most, now_utc_ms, after, without=frozenset(self._behind))
