"""What a carrier is to the engine: something that takes submits and, later, says what became of them.

A carrier never blocks and never awaits the engine: it reports through `CarrierEvents`, in batches where it can. The
suite in `tests/conformance/carriers` is the other half of this interface.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from heliograph.messaging.delivery import ReceiptState
from heliograph.messaging.errors import CallerError
from heliograph.messaging.numbers import NumberPolicy, normalise
from heliograph.messaging.retry import SubmitClass
from heliograph.messaging.submissions import Submission
from heliograph.messaging.text import Text


class Submit(msgspec.Struct, frozen=True, gc=False):
    """One submit_sm: a part of a message. `part` counts from 1 to `parts`; `body` is that part's text."""

    submission: Submission
    part: int
    body: str
    parts: int = 1


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """How one submit ended: exactly one per submit. `ref` is the carrier's message id when it took the part, `detail`
    its reason when not.
    """

    submit: Submit
    result: SubmitClass
    ref: str = ""
    detail: str = ""


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """A delivery receipt for the part that the carrier calls `ref`. `network` is the MCC and MNC of the operator that
    it names, digits, `error` the carrier's own code for what went wrong; "" where it says nothing.
    """

    ref: str
    state: ReceiptState
    network: str = ""
    error: str = ""


class Inbound(msgspec.Struct, frozen=True, gc=False):
    """A message that somebody wrote to a number of ours: `sender` is who wrote, international, `recipient` our number
    or short code, both digits without `+`.
    """

    sender: str
    recipient: str
    text: str


_OURS = re.compile(r"\+?([0-9]{3,15})", re.ASCII)


def inbound_of(from_: str, to: str, text: str) -> Inbound:
    """An inbound message as a person wrote it down, a `+` before a number allowed.

    Raises `ValueError`, whose text begins with what is at fault: `from`, `to` or `text`.
    """
    try:
        sender = normalise(from_, NumberPolicy.SYNTAX, plus_required=False)
    except CallerError as error:
        raise ValueError(f"from {error.detail}") from None
    ours = _OURS.fullmatch(to)
    if ours is None:
        raise ValueError(f"to {to[:40]!r} is neither a number nor a short code; write its 3 to 15 digits, like 96000")
    if not text:
        raise ValueError("text is empty; write at least one character")
    if any(character == "\0" or "\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("text has a character that no message can hold; take out U+0000 and what is not UTF-8")
    return Inbound(sender, ours[1], text)


class CarrierState(StrEnum):
    """How a carrier stands; the values are stored."""

    CONNECTING = "connecting"  # not connected, and trying
    UP = "up"
    FAULT = "fault"  # it refuses us as a client (a wrong password): somebody must look
    STOPPED = "stopped"  # by command, or with the server


class CarrierEvents(Protocol):
    """Where a carrier reports."""

    def changed(self, state: CarrierState, detail: str) -> None:
        """The carrier stands otherwise now; `detail` says why, for people. What `Carrier.open` says has changed
        before.
        """

    def outcomes(self, outcomes: Sequence[Outcome]) -> None:
        """Submits ended."""

    def receipts(self, receipts: Sequence[Receipt], acknowledge: Callable[[bool], None]) -> None:
        """Receipts arrived; `acknowledge(True)` is called once what they say is on disk, `acknowledge(False)` when it
        could not be stored.
        """

    def inbound(self, messages: Sequence[Inbound], acknowledge: Callable[[bool], None]) -> None:
        """People wrote to numbers of ours; acknowledged like receipts, all or none."""


class Carrier(Protocol):
    """A way out."""

    name: str
    window: int  # submits without a stored outcome, at most

    @property
    def open(self) -> bool:
        """Whether it takes submits now. What it is given nevertheless comes back as NOT_SENT."""

    async def start(self, events: CarrierEvents) -> None:
        """Open for business; returns before a link is up."""

    async def stop(self) -> None:
        """Send nothing more; submits still open are reported as unknown."""

    def bodies(self, text: Text) -> Sequence[str]:
        """The texts of the parts that a message travels in here: as many as are billed, unless the carrier's form of
        long messages says otherwise. A text of one segment is one part.
        """

    def submit(self, submits: Sequence[Submit]) -> None:
        """Take these in this order. Never more are open than `window`: the engine sees to it."""

    def query(self, refs: Sequence[str], senders: Sequence[str] = ()) -> None:
        """Ask what became of parts whose receipt is overdue (SMPP 3.4 §4.8, query_sm): what is learned is reported as
        receipts. As many as the carrier cares to ask. `senders` has the sender of each, which the carrier may have to
        name.
        """
