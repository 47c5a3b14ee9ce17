"""The auditor: replays every posting and every message in a way of its own, and says where the books do not agree.

It knows neither the ledger nor the SQL that wrote it: only what a posting and a message are, and what must be true of
all of them. Any number of rows fits into little memory: a request's charge and the prices of its messages must be the
same entry, and so must a refund and the message it is for. Each entry goes into one of many sums by its hash, from the
ledger with plus and from the messages with minus; where a sum is not zero something differs, and a second pass looks at
the entries of such sums alone.
"""

from __future__ import annotations

import secrets
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import TypeVar

import msgspec

from heliograph.store.interface import PaidMessage, Posting, Reads

PAGE = 5_000
SUMS = 1 << 14
SUMS_EXPLAINED = 64  # of those that are not zero, so that the second pass is bounded too
SHOWN = 20

_TOPUP, _CHARGE, _REFUND = 1, 2, 3
_Row = TypeVar("_Row", Posting, PaidMessage)


class Difference(msgspec.Struct, frozen=True):
    """Something that does not agree. `message_id` is the message's, or that of a request's first one; 0 for none."""

    what: str
    account_id: int
    message_id: int = 0


class Audit(msgspec.Struct, frozen=True):
    """What was replayed, and the first of what differs. `found` counts all of it; there is more unless `complete`."""

    accounts: int
    postings: int
    messages: int
    found: int
    complete: bool
    differences: list[Difference]


class _Entry(msgspec.Struct, frozen=True, gc=False):
    """What ledger and messages must have in common; `id` is the message's of a refund, the request's of a charge."""

    refund: bool
    id: int
    account_id: int
    micros: int


def audit(reads: Reads) -> Audit:
    """Audit everything; run it inside `Store.read`, so that all reads see the same moment."""
    return _Auditor(reads).run()


class _Auditor:
    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._salt = secrets.randbits(60)  # should entries ever cancel each other out, then not the next time
        self._balances: dict[int, int] = defaultdict(int)
        self._postings = 0
        self._messages = 0
        self._found = 0
        self._shown: list[Difference] = []

    def run(self) -> Audit:
        sums = [0] * SUMS
        for posting in _pages(self._reads.postings):
            self._postings += 1
            self._balances[posting.account_id] += posting.amount_micros
            for entry in self._of_posting(posting):
                mixed = self._mixed(entry)
                sums[mixed % SUMS] += mixed
        for entry in self._of_messages():
            mixed = self._mixed(entry)
            sums[mixed % SUMS] -= mixed
        accounts = self._compare_balances()
        differing = [number for number, total in enumerate(sums) if total]
        if differing:
            self._explain(set(differing[:SUMS_EXPLAINED]))
        complete = len(differing) <= SUMS_EXPLAINED
        return Audit(accounts, self._postings, self._messages, self._found, complete, self._shown)

    def _mixed(self, entry: _Entry) -> int:
        return hash((self._salt, entry.refund, entry.id, entry.account_id, entry.micros))

    def _of_posting(self, posting: Posting) -> Iterator[_Entry]:
        """What a posting says of a request or message; nothing when it is a top-up."""
        kind = int(posting.kind)
        if kind == _CHARGE:
            yield _Entry(False, posting.request_id, posting.account_id, -posting.amount_micros)
        elif kind == _REFUND:
            yield _Entry(True, posting.message_id, posting.account_id, posting.amount_micros)
        else:
            assert kind == _TOPUP, f"posting {posting.id} is of a kind that the auditor does not know: {kind}"

    def _of_messages(self) -> Iterator[_Entry]:
        """What the ledger must hold: a charge for each request, a refund for each message that is marked refunded."""
        request: tuple[int, int] | None = None
        cost = count = 0
        for message in _pages(self._reads.paid_messages):
            count += 1
            if request != (message.request_id, message.account_id):  # the messages of a request are consecutive
                if request is not None:
                    yield _Entry(False, *request, cost)
                request, cost = (message.request_id, message.account_id), 0
            cost += message.price_micros
            if message.refunded and message.price_micros:
                yield _Entry(True, message.id, message.account_id, message.price_micros)
        if request is not None:
            yield _Entry(False, *request, cost)
        self._messages = count

    def _compare_balances(self) -> int:
        balances = self._reads.balances()
        for account_id in sorted(balances.keys() | self._balances.keys()):
            total, balance = self._balances[account_id], balances.get(account_id)
            if balance is None:
                self._differs(f"it has postings, {_money(total)} in all, and no balance", account_id)
            elif balance != total:
                self._differs(f"the balance is {_money(balance)}, the postings come to {_money(total)}", account_id)
        return len(balances)

    # -- the second pass

    def _explain(self, sums: set[int]) -> None:
        """Compare one by one the entries that went into these sums."""
        ledger: dict[tuple[bool, int], Counter[_Entry]] = defaultdict(Counter)
        expected: dict[tuple[bool, int], Counter[_Entry]] = defaultdict(Counter)
        for posting in _pages(self._reads.postings):
            for entry in self._of_posting(posting):
                if self._mixed(entry) % SUMS in sums:
                    ledger[entry.refund, entry.id][entry] += 1
        for entry in self._of_messages():
            if self._mixed(entry) % SUMS in sums:
                expected[entry.refund, entry.id][entry] += 1
        for key in sorted(ledger.keys() | expected.keys()):
            surplus, lacking = ledger[key] - expected[key], expected[key] - ledger[key]
            for entry, times in surplus.items():
                self._differs(_surplus(entry, times, expected[key][entry]), entry.account_id, entry.id)
            for entry in lacking:
                self._differs(_lacking(entry), entry.account_id, entry.id)

    def _differs(self, what: str, account_id: int, message_id: int = 0) -> None:
        self._found += 1
        if len(self._shown) < SHOWN:
            self._shown.append(Difference(what, account_id, message_id))


def _surplus(entry: _Entry, times: int, rightly: int) -> str:
    money = _money(entry.micros)
    if entry.refund:
        return f"refunded {times + rightly} times {money}" if rightly else f"refunded {money}, which is not due"
    return (
        f"the request is charged {times + rightly} times {money}"
        if rightly
        else f"the request is charged {money}, which is not what its messages cost"
    )


def _lacking(entry: _Entry) -> str:
    what = "is marked refunded, and no posting refunds its" if entry.refund else "no posting charges the request's"
    return f"{what} {_money(entry.micros)}"


def _pages(read: Callable[[int, int], list[_Row]]) -> Iterator[_Row]:
    after = 0
    while page := read(after, PAGE):
        yield from page
        after = page[-1].id


def _money(micros: int) -> str:
    return f"{'-' if micros < 0 else ''}{abs(micros) // 1_000_000}.{abs(micros) % 1_000_000:06}"
