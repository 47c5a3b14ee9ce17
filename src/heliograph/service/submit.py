"""Accepting messages: check the order, store it with its charge, answer when that is on disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import msgspec

from heliograph.kit.clock import Clock
from heliograph.messaging import errors
from heliograph.messaging.accounts import Account, require_sending
from heliograph.messaging.submissions import Order, Request, Rules, Submission, draft
from heliograph.service.dispatch import Dispatch
from heliograph.service.sequence import MessageIds
from heliograph.store.interface import Accept, Answered, Kept, Once, Reporter, Store, StoreError, Uncertain


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What became of one recipient: the public id of its message, or why there is none."""

    public_id: int
    refused: errors.Kind | None = None


_NOT_COVERED = Verdict(0, errors.INSUFFICIENT_FUNDS)
_CARRIER_FULL = Verdict(0, errors.CARRIER_BACKLOG_FULL)

Answer = Callable[[list[Verdict] | Answered | errors.HeliographError], None]


class Keyed(msgspec.Struct, frozen=True):
    """A request that is to happen once: the key for its route, the SHA-256 of its body, how its answer is written."""

    route: str
    key: str
    body_sha256: bytes
    render: Callable[[list[Verdict]], bytes]


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
        self.refused: Counter[str] = Counter({errors.INSUFFICIENT_FUNDS.code: 0, errors.CARRIER_BACKLOG_FULL.code: 0})

    def __call__(
        self, account: Account, order: Order, dialect: int, answer: Answer, keyed: Keyed | None = None
    ) -> None:
        """Accept an order; `answer` is called on the loop with a verdict per recipient, in order, once they are on
        disk, or with the error. With `keyed`, its answer is stored with them; if there is one already, nothing is done
        and `answer` gets that.

        Raises `HeliographError` at once for an order that is not acceptable at all; then `answer` is never called and
        nothing is stored.
        """
        require_sending(account)
        text, drafts = draft(order, account, self._rules)
        if self.draining:
            raise errors.OurFault(
                errors.DRAINING, "The server is stopping; repeat the request in a few seconds.", retry_after_seconds=5
            )
        admitted = self._dispatch.admit(drafts)
        count = len(drafts) if admitted is None else sum(admitted)
        if not count:
            raise errors.CarrierError(
                errors.CARRIER_BACKLOG_FULL,
                "The carrier's queue is full; nothing was accepted. Repeat it later.",
            )
        first, public_ids = self._ids.take(count)
        now = self._clock.now_utc_ms()
        request = Request(first, account.id, dialect, order.sender, text, now, now + account.validity_seconds * 1000)
        chosen = drafts if admitted is None else [one for one, ok in zip(drafts, admitted, strict=True) if ok]
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

        def verdicts_of(kept: Sequence[Kept]) -> list[Verdict]:
            verdicts = [Verdict(id_) if paid else _NOT_COVERED for id_, paid in zip(public_ids, kept, strict=True)]
            if admitted is None:
                return verdicts
            left = iter(verdicts)
            return [next(left) if ok else _CARRIER_FULL for ok in admitted]

        def stored(result: list[Kept] | Answered | StoreError) -> None:
            if isinstance(result, list):
                self._count(result, count if admitted is None else len(admitted))
                answer(verdicts_of(result))
            else:
                answer(_not_stored(result) if isinstance(result, StoreError) else result)

        once = None
        if keyed is not None:
            render = keyed.render
            once = Once(keyed.route, keyed.key, keyed.body_sha256, lambda kept: render(verdicts_of(kept)))
        self._store.submit(Accept(request, submissions, once, self._report), stored, count)

    def _count(self, kept: list[Kept], asked: int) -> None:
        """Count the recipients of an order; those that found no room in a carrier's queue are not in `kept`."""
        not_covered = kept.count(Kept.REFUSED)
        self.accepted += len(kept) - not_covered
        if not_covered:
            self.refused[errors.INSUFFICIENT_FUNDS.code] += not_covered
        if asked > len(kept):
            self.refused[errors.CARRIER_BACKLOG_FULL.code] += asked - len(kept)


def _not_stored(error: StoreError) -> errors.OurFault:
    """The answer to a request whose group failed."""
    if isinstance(error, Uncertain):
        detail = (
            "The store failed while it wrote: whether the messages were accepted is not known. Look before repeating."
        )
    else:
        detail = "The store did not take the write; nothing was accepted. Try again."
    return errors.OurFault(errors.STORE_UNAVAILABLE, detail)


def as_error(error: Exception) -> errors.HeliographError:
    """Anything that went wrong, as an error of the registry."""
    if isinstance(error, errors.HeliographError):
        return error
    if isinstance(error, StoreError):
        return errors.OurFault(errors.STORE_UNAVAILABLE, "The store is out of reach; try again in a moment.")
    return errors.OurFault(
        errors.INTERNAL_ERROR, "The server failed to handle this request; it is logged with the request id."
    )
