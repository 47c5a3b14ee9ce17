"""Accepting messages: check the order, store it with its charge, answer when that is on disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import repeat

import msgspec

from heliograph.kit.clock import Clock
from heliograph.messaging import errors
from heliograph.messaging.accounts import Account, require_sending
from heliograph.messaging.errors import HeliographError
from heliograph.messaging.submissions import Draft, Order, Request, Rules, Submission, draft
from heliograph.messaging.text import Text
from heliograph.service.dispatch import Dispatch
from heliograph.service.sequence import MessageIds
from heliograph.store.interface import Accept, AcceptMany, Answered, Kept, Once, Reporter, Store, StoreError, Uncertain


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What became of one recipient: its message and the public id of that, or why it was not accepted."""

    public_id: int
    refused: errors.Kind | None = None
    submission: Submission | None = None


_CARRIER_FULL = Verdict(0, errors.CARRIER_BACKLOG_FULL)
_NOT_STORED = (Kept.REFUSED, Kept.OPTED_OUT)
_REFUSED = {Kept.REFUSED: errors.INSUFFICIENT_FUNDS, Kept.OPTED_OUT: errors.RECIPIENT_OPTED_OUT}

Answer = Callable[[list[Verdict] | Answered | HeliographError], None]
Entry = Verdict | HeliographError
"""What became of one message of a batch."""


class Keyed(msgspec.Struct, frozen=True):
    """A request that is to happen once: the key for its route, the SHA-256 of its body, how its answer is written; None
    is for one that is not kept for repeats.
    """

    route: str
    key: str
    body_sha256: bytes
    render: Callable[[list[Verdict]], bytes | None]


class KeyedBatch(msgspec.Struct, frozen=True):
    """The same of a batch."""

    route: str
    key: str
    body_sha256: bytes
    render: Callable[[list[Entry]], bytes]


class _Checked(msgspec.Struct, frozen=True, gc=False):
    """An order that passed every check but for room."""

    order: Order
    text: Text
    drafts: list[Draft]


class _Prepared(msgspec.Struct, frozen=True, gc=False):
    """What is to be stored of an order. `admitted` is None when there was room for all of it."""

    accept: Accept
    public_ids: Sequence[int]
    admitted: list[bool] | None

    def verdicts(self, kept: Sequence[Kept]) -> list[Verdict]:
        """What became of its recipients, in order."""
        asked = zip(self.public_ids, kept, self.accept.submissions, strict=True)
        verdicts = [
            Verdict(0, _REFUSED[became], one) if became in _NOT_STORED else Verdict(id_, None, one)
            for id_, became, one in asked
        ]
        if self.admitted is None:
            return verdicts
        left = iter(verdicts)
        return [next(left) if ok else _CARRIER_FULL for ok in self.admitted]


class Submit:
    """The accepting service."""

    def __init__(
        self, store: Store, dispatch: Dispatch, ids: MessageIds, rules: Rules, report: Reporter, clock: Clock
    ) -> None:
        self._store = store
        self._report = report
        self._dispatch = dispatch
        self._ids = ids
        self._rules = rules
        self._clock = clock
        self.draining = False
        self.accepted = 0
        refusals = (errors.INSUFFICIENT_FUNDS, errors.CARRIER_BACKLOG_FULL, errors.RECIPIENT_OPTED_OUT)
        self.refused: Counter[str] = Counter({kind.code: 0 for kind in refusals})

    def __call__(
        self,
        account: Account,
        order: Order,
        dialect: int,
        answer: Answer,
        keyed: Keyed | None = None,
        request_id: str = "",
    ) -> None:
        """Accept an order; `answer` is called on the loop with a verdict per recipient, in order, once they are on
        disk, or with the error. With `keyed`, its answer is stored with them; if there is one already, nothing is done
        and `answer` gets that.

        Raises `HeliographError` at once for an order that is not acceptable at all; then `answer` is never called and
        nothing is stored.
        """
        require_sending(account)
        self._require_open()
        checked = _Checked(order, *draft(order, account, self._rules))
        admitted = self._dispatch.admit(checked.drafts)
        if admitted is not None and not any(admitted):
            raise _carrier_full()
        prepared = self._prepare(account, checked, admitted, dialect, request_id)

        def stored(result: list[Kept] | Answered | StoreError) -> None:
            if isinstance(result, list):
                verdicts = prepared.verdicts(result)
                self._count(verdicts)
                answer(verdicts)
            else:
                answer(_not_stored(result) if isinstance(result, StoreError) else result)

        accept = prepared.accept
        if keyed is not None:
            render = keyed.render
            once = self._once(account, keyed, lambda kept: render(prepared.verdicts(kept)))
            accept = msgspec.structs.replace(accept, once=once)
        self._store.submit(accept, stored, len(accept.submissions))

    def batch(
        self,
        account: Account,
        orders: Sequence[Order | HeliographError],
        dialect: int,
        answer: Callable[[list[Entry] | Answered | HeliographError], None],
        keyed: KeyedBatch | None = None,
        request_id: str = "",
    ) -> None:
        """Accept orders of one recipient each, in order, in one commit; those that are errors stay what they are.

        `answer` is called as for a single order, with an entry for each. Raises `HeliographError` when no order at all
        can be accepted at this moment.
        """
        require_sending(account)
        self._require_open()
        checked = [order if isinstance(order, HeliographError) else self._check(account, order) for order in orders]
        drafts = [one.drafts[0] for one in checked if isinstance(one, _Checked)]
        admitted = iter(self._dispatch.admit(drafts) or repeat(True))

        def prepare(one: _Checked | HeliographError) -> _Prepared | HeliographError:
            if isinstance(one, HeliographError):
                return one
            return self._prepare(account, one, None, dialect, request_id) if next(admitted) else _carrier_full()

        prepared = [prepare(one) for one in checked]
        ready = [one.accept for one in prepared if isinstance(one, _Prepared)]

        def entries_of(kept: Sequence[Kept]) -> list[Entry]:
            left = iter(kept)
            return [one if isinstance(one, HeliographError) else one.verdicts([next(left)])[0] for one in prepared]

        def stored(result: list[list[Kept]] | Answered | StoreError) -> None:
            if isinstance(result, list):
                entries = entries_of([became for kept in result for became in kept])
                self._count([one for one in entries if isinstance(one, Verdict)])
                answer(entries)
            else:
                answer(_not_stored(result) if isinstance(result, StoreError) else result)

        once = None
        if keyed is not None:
            render = keyed.render
            once = self._once(account, keyed, lambda kept: render(entries_of(kept)))
        self._store.submit(AcceptMany(ready, once), stored, max(1, len(ready)))

    # -- an order

    def _require_open(self) -> None:
        if self.draining:
            raise errors.OurFault(
                errors.DRAINING, "The server is stopping; repeat the request in a few seconds.", retry_after_seconds=5
            )

    def _check(self, account: Account, order: Order) -> _Checked | HeliographError:
        try:
            return _Checked(order, *draft(order, account, self._rules))
        except HeliographError as error:
            return error

    def _prepare(
        self, account: Account, checked: _Checked, admitted: list[bool] | None, dialect: int, request_id: str
    ) -> _Prepared:
        """Number the messages that are admitted, None being all. Raises `OurFault` when there are no numbers left."""
        order, text, chosen = checked.order, checked.text, checked.drafts
        if admitted is not None:
            chosen = [one for one, ok in zip(chosen, admitted, strict=True) if ok]
        first, public_ids = self._ids.take(len(chosen))
        now = self._clock.now_utc_ms()
        request = Request(
            first,
            account.id,
            dialect,
            order.sender,
            text,
            now,
            (order.send_at_utc_ms or now) + 1000 * (order.validity_seconds or account.validity_seconds),
            order.send_at_utc_ms,
            order.reference,
            order.callback_url,
            request_id[4:],
        )
        submissions = [
            Submission(
                number,
                request,
                one.recipient,
                one.price_micros,
                one.carrier_id,
                one.operator_id,
                one.operator_source,
                number,
            )
            for number, one in enumerate(chosen, first)
        ]
        return _Prepared(Accept(request, submissions, None, self._report, order.refuse_opted_out), public_ids, admitted)

    def _once(
        self, account: Account, keyed: Keyed | KeyedBatch, answer: Callable[[Sequence[Kept]], bytes | None]
    ) -> Once:
        return Once(account.id, self._clock.now_utc_ms(), keyed.route, keyed.key, keyed.body_sha256, answer)

    def _count(self, verdicts: Sequence[Verdict]) -> None:
        refused = [one.refused for one in verdicts if one.refused is not None]
        self.accepted += len(verdicts) - len(refused)
        for kind in refused:
            self.refused[kind.code] += 1


def _carrier_full() -> errors.CarrierError:
    return errors.CarrierError(
        errors.CARRIER_BACKLOG_FULL, "The carrier's queue is full; nothing was accepted. Repeat it later."
    )


def _not_stored(error: StoreError) -> errors.OurFault:
    """The answer to a request whose group failed."""
    if isinstance(error, Uncertain):
        detail = (
            "The store failed while it wrote: whether the messages were accepted is not known. Look before repeating."
        )
    else:
        detail = "The store did not take the write; nothing was accepted. Try again."
    return errors.OurFault(errors.STORE_UNAVAILABLE, detail)


def as_error(error: Exception) -> HeliographError:
    """Anything that went wrong, as an error of the registry."""
    if isinstance(error, HeliographError):
        return error
    if isinstance(error, StoreError):
        return errors.OurFault(errors.STORE_UNAVAILABLE, "The store is out of reach; try again in a moment.")
    return errors.OurFault(
        errors.INTERNAL_ERROR, "The server failed to handle this request; it is logged with the request id."
    )
