"""One who may bind: what it sent, and what is still to be delivered to it, over all its sessions."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from functools import lru_cache
from typing import Protocol

import msgspec

from heliograph.carriers.smpp.pdu import CancelSm, DeliverSm, QuerySm, QuerySmResp, Status, SubmitSm
from heliograph.carriers.smpp.smsc import parts
from heliograph.carriers.smpp.smsc.later import Later
from heliograph.carriers.smpp.smsc.options import Receipts, SmscOptions
from heliograph.kit.clock import Clock
from heliograph.messaging.delivery import ReceiptState

MAX_KEPT = 200_000  # deliver_sm that wait for a receiver or for its acknowledgement
_REMEMBERED = 20_000  # messages that query_sm and cancel_sm find, at least
_AGAIN_SECONDS = 1.0
_DELIVERED = ReceiptState.DELIVERED  # reading a member of the class costs 0.1 µs in Python 3.11
# What is answered so comes again; any other refusal is for good (SMPP 3.4 §5.1.3).
_AGAIN = frozenset({Status.ESME_RX_T_APPN, Status.ESME_RMSGQFUL, Status.ESME_RTHROTTLED, Status.ESME_RSYSERR})


class Counts(msgspec.Struct):
    """What an SMSC has seen."""

    binds: int = 0
    binds_refused: int = 0
    submits: int = 0  # submit_sm and data_sm
    taken: int = 0
    refused: int = 0
    unanswered: int = 0
    links_cut: int = 0
    receipts_sent: int = 0  # each try counts
    receipts_acknowledged: int = 0
    receipts_refused: int = 0
    inbound_sent: int = 0
    inbound_acknowledged: int = 0
    inbound_refused: int = 0
    lost: int = 0  # receipts and inbound messages for which there was no more room
    peak_outstanding: int = 0  # submits of one session received and not answered, at most


class Message(msgspec.Struct, gc=False):
    """A submit_sm that was taken. `state` is what it ends as; until `done_utc_ms` it is on its way."""

    number: int
    submit: SubmitSm
    state: ReceiptState
    taken_utc_ms: int
    done_utc_ms: int = 0


class Receiver(Protocol):
    """A session that takes deliver_sm."""

    @property
    def room(self) -> int:
        """How many it takes now."""

    def deliver(self, delivers: Sequence[DeliverSm]) -> None:
        """Send them; each ends in `Account.answered` or `Account.returned`."""


class Account:
    """See the module."""

    def __init__(self, system_id: str, options: SmscOptions, counts: Counts, clock: Clock) -> None:
        self.system_id = system_id
        self.receivers: list[Receiver] = []
        self._options = options
        self._counts = counts
        self._clock = clock
        self._text = options.receipts is not Receipts.TLV
        self._tlvs = options.receipts is not Receipts.TEXT
        self._pending: deque[DeliverSm] = deque()
        self._again: Later[DeliverSm] = Later(_AGAIN_SECONDS, self._once_more)
        self._away = 0  # deliver_sm that are sent or wait to be sent again
        # Two generations: when the young are many, the old ones are forgotten.
        self._young: dict[str, Message] = {}
        self._old: dict[str, Message] = {}

    def close(self) -> None:
        """Send nothing more."""
        self._again.cancel()

    # -- what was sent

    def remember(self, messages: Sequence[Message]) -> None:
        """Have query_sm and cancel_sm find them."""
        form = self._options.ids.answer
        if len(self._young) >= _REMEMBERED:
            self._old, self._young = self._young, {}
        self._young.update([(format(message.number, form), message) for message in messages])

    def _find(self, id_: str) -> Message | None:
        return self._young.get(id_) or self._old.get(id_)

    def query(self, query: QuerySm) -> QuerySmResp:
        """SMPP 3.4 §4.8."""
        message = self._find(query.message_id)
        if message is None or message.submit.source != query.source:
            return QuerySmResp(message_id=query.message_id, sequence=query.sequence, status=Status.ESME_RQUERYFAIL)
        done = message.done_utc_ms
        return QuerySmResp(
            message_id=query.message_id,
            final_date=_absolute(done) if done else "",
            message_state=message.state if done else ReceiptState.ENROUTE,
            error_code=int(bool(done) and message.state is not _DELIVERED),
            sequence=query.sequence,
        )

    def cancel(self, cancel: CancelSm) -> int:
        """The status of the answer: one message by its id, or all from one address to another (SMPP 3.4 §4.9)."""
        if cancel.message_id:
            message = self._find(cancel.message_id)
            found = [message] if message is not None and message.submit.source == cancel.source else []
        else:
            found = [
                message
                for message in (*self._old.values(), *self._young.values())
                if message.submit.source == cancel.source and message.submit.destination == cancel.destination
            ]
        found = [message for message in found if not message.done_utc_ms]
        for message in found:
            message.state = ReceiptState.DELETED
            message.done_utc_ms = self._clock.now_utc_ms()
        return Status.ESME_ROK if found else Status.ESME_RCANCELFAIL

    # -- what is to be delivered

    def report(self, messages: Sequence[Message]) -> None:
        """These have ended: send the receipts that were asked for."""
        now = self._clock.now_utc_ms()
        for message in messages:
            message.done_utc_ms = message.done_utc_ms or now
        if self._options.receipts is Receipts.NONE:
            return
        form, text, tlvs = self._options.ids.receipt, self._text, self._tlvs
        self.post(
            [
                parts.receipt(
                    message.submit,
                    format(message.number, form),
                    message.state,
                    _minute(message.taken_utc_ms // 60_000),
                    _minute(message.done_utc_ms // 60_000),
                    text=text,
                    tlvs=tlvs,
                )
                for message in messages
                if self._wanted(message)
            ]
        )

    def _wanted(self, message: Message) -> bool:
        """SMPP 3.4 §5.2.17: 1 asks for every receipt, 2 for those of failures; SMPP 5.0 §4.7.21: 3 for the others."""
        asked = message.submit.registered_delivery & 3
        delivered = message.state is _DELIVERED
        if delivered and self._options.receipts is Receipts.FAILED:
            return False
        return asked == 1 or asked == (3 if delivered else 2)

    def post(self, delivers: Sequence[DeliverSm]) -> None:
        """Deliver them as soon as somebody takes them."""
        room = MAX_KEPT - len(self._pending) - self._away
        if len(delivers) > room:
            self._counts.lost += len(delivers) - room
            delivers = delivers[:room]
        self._pending.extend(delivers)
        self.pump()

    def pump(self) -> None:
        """Send what the receivers take."""
        pending, counts = self._pending, self._counts
        for receiver in self.receivers:
            if not pending:
                return
            count = min(receiver.room, len(pending))
            if count > 0:
                some = [pending.popleft() for _ in range(count)]
                self._away += count
                receipts = sum(map(parts.is_receipt, some))
                counts.receipts_sent += receipts
                counts.inbound_sent += count - receipts
                receiver.deliver(some)

    def answered(self, answers: Sequence[tuple[DeliverSm, int]]) -> None:
        """A receiver has answered these with a command_status; call `pump` afterwards."""
        counts = self._counts
        for deliver, status in answers:
            receipt = parts.is_receipt(deliver)
            if status == 0:
                counts.receipts_acknowledged += receipt
                counts.inbound_acknowledged += not receipt
                self._away -= 1
                continue
            counts.receipts_refused += receipt
            counts.inbound_refused += not receipt
            if status in _AGAIN:
                self._again.put(deliver)
            else:
                self._away -= 1

    def returned(self, delivers: Sequence[DeliverSm]) -> None:
        """A session ended, or answered too late: these come first."""
        self._away -= len(delivers)
        self._pending.extendleft(reversed(delivers))

    def _once_more(self, deliver: DeliverSm) -> None:
        self.returned((deliver,))
        self.pump()


@lru_cache(4_096)
def _minute(utc_minutes: int) -> str:
    return time.strftime("%y%m%d%H%M", time.gmtime(utc_minutes * 60))


def _absolute(utc_ms: int) -> str:
    """SMPP 3.4 §7.1.1: YYMMDDhhmmsstnnp."""
    return time.strftime("%y%m%d%H%M%S", time.gmtime(utc_ms // 1000)) + f"{utc_ms // 100 % 10}00+"
