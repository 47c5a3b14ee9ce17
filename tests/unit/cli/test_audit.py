"""The auditor finds whatever the books do not agree on, and only that."""

from __future__ import annotations

import random
from collections.abc import Callable

import msgspec
import pytest

from heliograph.messaging.ledger import PostingKind
from heliograph.service import audit as auditing
from heliograph.service.audit import Audit, audit
from heliograph.store.interface import PaidMessage, Posting

TOPUP, CHARGE, REFUND = PostingKind.TOPUP, PostingKind.CHARGE, PostingKind.REFUND


class Books:
    """A store in lists: what an auditor reads."""

    def __init__(self) -> None:
        self.rows: list[Posting] = []
        self.paid: list[PaidMessage] = []
        self.totals: dict[int, int] = {}
        self._next = 1

    def post(self, account: int, kind: PostingKind, micros: int, *, request: int = 0, message: int = 0) -> None:
        self.rows.append(Posting(len(self.rows) + 1, account, kind, micros, request, message, 0))
        self.totals[account] = self.totals.get(account, 0) + micros

    def request(self, account: int, prices: list[int], refunded: tuple[int, ...] = ()) -> int:
        """A request with its charge, and the refunds of its messages by position; its id."""
        first = self._next
        self._next += len(prices)
        self.post(account, CHARGE, -sum(prices), request=first)
        for at, price in enumerate(prices):
            self.paid.append(PaidMessage(first + at, first, account, price, at in refunded))
            if at in refunded and price:
                self.post(account, REFUND, price, message=first + at)
        return first

    def change(self, message_id: int, **changes: object) -> None:
        at = next(at for at, message in enumerate(self.paid) if message.id == message_id)
        self.paid[at] = msgspec.structs.replace(self.paid[at], **changes)

    def postings(self, after_id: int, limit: int) -> list[Posting]:
        return [row for row in self.rows if row.id > after_id][:limit]

    def paid_messages(self, after_id: int, limit: int) -> list[PaidMessage]:
        return [row for row in self.paid if row.id > after_id][:limit]

    def balances(self) -> dict[int, int]:
        return self.totals

    def audit(self) -> Audit:
        return audit(self)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auditing, "PAGE", 7)


@pytest.fixture
def books() -> Books:
    books = Books()
    for account in (1, 2, 3):
        books.post(account, TOPUP, 100_000_000)
        for size in (1, 3, 10):
            books.request(account, [1_000_000] * size, refunded=(0,) if size > 1 else ())
    books.request(1, [0, 0], refunded=(1,))
    return books


def test_books_that_agree_are_found_to_agree(books: Books) -> None:
    result = books.audit()
    assert (result.found, result.complete, result.differences) == (0, True, [])
    assert (result.accounts, result.postings, result.messages) == (3, len(books.rows), len(books.paid))


def test_an_empty_store_agrees() -> None:
    assert Books().audit().found == 0


def charged_twice(books: Books, request: int) -> None:
    books.post(2, CHARGE, -2_000_000, request=request)


def not_charged(books: Books, request: int) -> None:
    (row,) = [row for row in books.rows if row.request_id == request]
    books.rows.remove(row)
    books.totals[2] -= row.amount_micros


def charged_too_little(books: Books, request: int) -> None:
    at = next(at for at, row in enumerate(books.rows) if row.request_id == request)
    books.rows[at] = msgspec.structs.replace(books.rows[at], amount_micros=-1_999_999)
    books.totals[2] += 1


def charged_to_another_account(books: Books, request: int) -> None:
    not_charged(books, request)
    books.post(3, CHARGE, -2_000_000, request=request)


def charged_for_nothing(books: Books, request: int) -> None:
    books.post(2, CHARGE, -1, request=request + 1_000)


def refunded_twice(books: Books, request: int) -> None:
    books.change(request, refunded=True)
    books.post(2, REFUND, 1_000_000, message=request)
    books.post(2, REFUND, 1_000_000, message=request)


def refunded_without_a_mark(books: Books, request: int) -> None:
    books.post(2, REFUND, 1_000_000, message=request)


def marked_without_a_refund(books: Books, request: int) -> None:
    books.change(request, refunded=True)


def refunded_too_much(books: Books, request: int) -> None:
    books.change(request, refunded=True)
    books.post(2, REFUND, 1_000_001, message=request)


def refunded_to_another_account(books: Books, request: int) -> None:
    books.change(request, refunded=True)
    books.post(3, REFUND, 1_000_000, message=request)


def a_message_too_many(books: Books, request: int) -> None:
    books.paid.append(PaidMessage(request + 2, request, 2, 1_000_000, False))


def a_message_lost(books: Books, request: int) -> None:
    books.paid.pop()


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (charged_twice, 1),
        (not_charged, 1),
        (charged_too_little, 2),
        (charged_to_another_account, 2),
        (charged_for_nothing, 1),
        (refunded_twice, 1),
        (refunded_without_a_mark, 1),
        (marked_without_a_refund, 1),
        (refunded_too_much, 2),
        (refunded_to_another_account, 2),
        (a_message_too_many, 2),
        (a_message_lost, 2),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_difference_is_found_and_names_account_and_message(
    books: Books, spoil: Callable[[Books, int], None], found: int
) -> None:
    request = books.request(2, [1_000_000, 1_000_000])
    spoil(books, request)
    result = books.audit()
    assert (result.found, result.complete) == (found, True)
    assert len(result.differences) == found
    for difference in result.differences:
        assert difference.account_id in (2, 3)
        assert difference.message_id in (request, request + 1_000)
        assert difference.what


def test_a_balance_that_is_not_the_sum_of_its_postings_is_found(books: Books) -> None:
    books.totals[2] += 1
    (difference,) = books.audit().differences
    assert (difference.account_id, difference.message_id) == (2, 0)
    assert difference.what == "the balance is 88.000001, the postings come to 88.000000"


def test_postings_of_an_account_without_a_balance_are_found(books: Books) -> None:
    del books.totals[3]
    (difference,) = books.audit().differences
    assert difference.account_id == 3


def test_of_very_many_differences_the_first_are_shown_and_all_are_admitted_to(
    books: Books, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditing, "SUMS_EXPLAINED", 30)
    for message in books.paid:
        books.paid[books.paid.index(message)] = msgspec.structs.replace(message, account_id=9)
    result = books.audit()
    assert result.found > 20
    assert not result.complete or result.found == len(result.differences)
    assert len(result.differences) == 20


def test_the_order_in_which_requests_were_charged_does_not_matter(books: Books) -> None:
    random.Random(5).shuffle(books.rows)
    books.rows = [msgspec.structs.replace(row, id=at) for at, row in enumerate(books.rows, 1)]
    assert books.audit().found == 0
