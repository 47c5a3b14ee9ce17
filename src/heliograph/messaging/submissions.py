"""A submission: one message to one recipient, and the only place where its status changes.

`TRANSITIONS` is the whole life of a message; what it does not list does not happen.
"""

from __future__ import annotations

from enum import Enum, IntEnum, auto

import msgspec

from heliograph.messaging import countries, errors, senders
from heliograph.messaging.accounts import Account
from heliograph.messaging.numbers import normalise
from heliograph.messaging.operators import OperatorSource, OperatorTable
from heliograph.messaging.pricing import PriceList
from heliograph.messaging.routing import Routes
from heliograph.messaging.text import Text, compose


class Status(IntEnum):
    """Where a message stands; the numbers are stored."""

    PENDING = 0
    SENT = 1
    DELIVERED = 2
    REJECTED = 3
    UNDELIVERED = 4
    EXPIRED = 5
    UNKNOWN = 6
    CANCELLED = 7

    @property
    def final(self) -> bool:
        """Whether it is reported to the customer. UNKNOWN is final and may still be replaced."""
        return self >= Status.DELIVERED


class Happening(Enum):
    """What can happen to a message."""

    TAKEN = auto()  # the carrier took every part
    REFUSED = auto()  # a permanent submit error
    TRIES_USED_UP = auto()  # or the rest of the parts refused after others were taken
    LAPSED = auto()  # its validity ended before it was sent
    LEFT_IN_DOUBT = auto()  # sent, no answer, and the carrier's policy sends it no more
    CANCELLED = auto()  # by its account, before it was handed over
    OPTED_OUT = auto()  # the recipient wants no more messages from the account
    SILENT = auto()  # no receipt long after its validity
    RECEIPT_DELIVERED = auto()
    RECEIPT_REJECTED = auto()
    RECEIPT_UNDELIVERED = auto()
    RECEIPT_EXPIRED = auto()
    RECEIPT_UNKNOWN = auto()


_RECEIPTS = {
    Happening.RECEIPT_DELIVERED: Status.DELIVERED,
    Happening.RECEIPT_REJECTED: Status.REJECTED,
    Happening.RECEIPT_UNDELIVERED: Status.UNDELIVERED,
    Happening.RECEIPT_EXPIRED: Status.EXPIRED,
    Happening.RECEIPT_UNKNOWN: Status.UNKNOWN,
}

TRANSITIONS: dict[tuple[Status, Happening], Status] = {
    (Status.PENDING, Happening.TAKEN): Status.SENT,
    (Status.PENDING, Happening.REFUSED): Status.REJECTED,
    (Status.PENDING, Happening.TRIES_USED_UP): Status.UNDELIVERED,
    (Status.PENDING, Happening.LAPSED): Status.EXPIRED,
    (Status.PENDING, Happening.LEFT_IN_DOUBT): Status.UNKNOWN,
    (Status.PENDING, Happening.OPTED_OUT): Status.REJECTED,
    (Status.PENDING, Happening.CANCELLED): Status.CANCELLED,
    (Status.SENT, Happening.SILENT): Status.UNKNOWN,
    # A receipt proves that the message was taken, whatever is known of the answer (a link lost in between).
    **{(Status.PENDING, receipt): status for receipt, status in _RECEIPTS.items()},
    **{(Status.SENT, receipt): status for receipt, status in _RECEIPTS.items()},
    # Finals stay, but for UNKNOWN.
    **{(Status.UNKNOWN, receipt): status for receipt, status in _RECEIPTS.items() if status is not Status.UNKNOWN},
}

_REFUNDED = frozenset(
    {Happening.REFUSED, Happening.TRIES_USED_UP, Happening.LAPSED, Happening.OPTED_OUT, Happening.CANCELLED}
)


def after(status: Status, happening: Happening) -> Status | None:
    """The status that `happening` leads to, or None when it changes nothing."""
    return TRANSITIONS.get((status, happening))


def refunded(happening: Happening, *, parts_taken: int) -> bool:
    """Whether the price goes back: only when no part was ever taken by a carrier, and never while an outcome is
    unknown.
    """
    return happening in _REFUNDED and parts_taken == 0


class Order(msgspec.Struct, frozen=True, gc=False):
    """What a caller asked for, as a dialect read it: right in shape, not yet checked.

    `send_at_utc_ms` 0 is at once, `validity_seconds` 0 the account's, `callback_url` "" the account's. With
    `refuse_opted_out` a recipient that wants no messages is an error, else its message is accepted and ends at once.
    """

    recipients: list[str]
    sender: str
    text: str
    charset: int
    plus_required: bool = False
    reference: str | None = None
    callback_url: str = ""
    send_at_utc_ms: int = 0
    validity_seconds: int = 0
    refuse_opted_out: bool = False


class Request(msgspec.Struct, frozen=True, gc=False):
    """What the messages of one call have in common. `id` is that of its first message, `trace` the call's request
    id.
    """

    id: int
    account_id: int
    dialect: int
    sender: str
    text: Text
    registered_utc_ms: int
    expires_utc_ms: int
    send_at_utc_ms: int = 0
    reference: str | None = None
    callback_url: str = ""
    trace: str = ""


class Submission(msgspec.Struct, gc=False):
    """One message to one recipient on its way to a carrier.

    `recipient` is E.164 digits without `+`. `number` orders hand-overs to the carrier: the message's own id at first, a
    new one of the same sequence for each retry. `tries` counts those before this one; `taken` holds the parts (from 1)
    that a carrier has taken, `parts` how many the message was cut in then, else 0. `doubted` when an earlier try was
    never answered: it may have arrived.
    """

    id: int
    request: Request
    recipient: str
    price_micros: int
    carrier_id: int
    operator_id: int
    operator_source: int
    number: int
    tries: int = 0
    taken: frozenset[int] = frozenset()
    doubted: bool = False
    parts: int = 0


class Rules(msgspec.Struct, frozen=True):
    """What an order is checked against, besides the account: the operator's tables and limits."""

    prices: dict[str, PriceList]
    operators: OperatorTable
    routes: Routes
    max_recipients: int
    max_segments: int


class Draft(msgspec.Struct, frozen=True, gc=False):
    """A recipient of an order that passed every check: everything but ids and times."""

    recipient: str
    price_micros: int
    carrier_id: int
    operator_id: int
    operator_source: int


def draft(order: Order, account: Account, rules: Rules) -> tuple[Text, list[Draft]]:
    """Check an order and work out each message: text and parts, number, price, operator, carrier.

    Raises `CallerError` in the contract's order: the body (400), the sender (406), the destination (403). An error
    about a recipient points at it.
    """
    recipients = order.recipients
    if not recipients:
        raise errors.CallerError(
            errors.RECIPIENTS_EMPTY, "recipients is empty; name at least one number.", pointer="/recipients"
        )
    if len(recipients) > rules.max_recipients:
        detail = (
            f"recipients has {len(recipients)} entries; at most {rules.max_recipients} are allowed: split the list."
        )
        raise errors.CallerError(errors.RECIPIENTS_TOO_MANY, detail, pointer="/recipients")
    text = compose(order.text, order.charset, max_segments=rules.max_segments)
    numbers: list[str] = []
    drafts: list[Draft] = []
    try:
        for value in recipients:
            numbers.append(normalise(value, account.numbers, plus_required=order.plus_required))
        senders.check(order.sender, account.senders, pointer="/sender")
        price = rules.prices[account.price_list].price
        operator = rules.operators.by_number
        choose = rules.routes.choose
        for number in numbers:
            if account.countries is not None:
                countries.check(number, account.countries)
            found = operator(number)
            source = OperatorSource.PREFIX if found.id else OperatorSource.NONE
            drafts.append(
                Draft(number, price(number) * text.segments, choose(account.carrier, number), found.id, source)
            )
    except errors.CallerError as error:
        if not error.pointer:
            error.point_at(f"/recipients/{len(drafts) if len(numbers) == len(recipients) else len(numbers)}")
        raise
    return text, drafts
