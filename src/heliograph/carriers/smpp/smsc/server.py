"""An SMSC of its own: listens, answers, sends receipts, and counts.

Nothing is done per message that can be done per batch: what one read of a connection brought is judged, recorded,
answered and reported together, and waits together.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence

import msgspec

from heliograph.carriers.interface import inbound_of
from heliograph.carriers.simulator.fates import Manner
from heliograph.carriers.smpp.pdu import Bind, Status, SubmitSm, SubmitSmResp
from heliograph.carriers.smpp.smsc import parts
from heliograph.carriers.smpp.smsc.account import Account, Counts, Message
from heliograph.carriers.smpp.smsc.connection import Connection
from heliograph.carriers.smpp.smsc.judge import Judge, Verdict
from heliograph.carriers.smpp.smsc.later import Later
from heliograph.carriers.smpp.smsc.options import SmscOptions
from heliograph.carriers.smpp.smsc.record import Record
from heliograph.kit.clock import Clock, SystemClock
from heliograph.messaging.delivery import ReceiptState

_TICK_SECONDS = 0.5
_LEAVE_SECONDS = 1.0  # for the clients to answer our unbind
_TWICE_SECONDS = 0.05
_MAX_ACCOUNTS = 1_000
# More than one process takes in a millisecond: the ids of a later life are greater than all of those before.
_IDS_A_MILLISECOND = 1_000
_DELIVERED = ReceiptState.DELIVERED


class Notice(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that happened, for people in `text`, for programs in all the rest."""

    event: str  # bound, refused, closed or trouble
    text: str
    system_id: str = ""
    kind: str = ""  # of the bind: transmitter, receiver or transceiver
    peer: str = ""
    submits: int = 0
    peak_outstanding: int = 0


class _Batch(msgspec.Struct, gc=False):
    """What of one read is answered, and reported afterwards by its manner."""

    connection: Connection
    account: Account
    answers: list[SubmitSmResp]
    reports: dict[Manner, list[Message]]


_Report = tuple[Account, list[Message]]


class Smsc:
    """See the module. `taken` is called with what was taken, before it is answered; `told` when somebody binds, is
    refused or goes.
    """

    def __init__(
        self,
        options: SmscOptions,
        *,
        clock: Clock | None = None,
        taken: Callable[[Sequence[Message]], None] | None = None,
        told: Callable[[Notice], None] | None = None,
    ) -> None:
        self.options = options
        self.counts = Counts()
        self.port = options.port
        self._clock = clock or SystemClock()
        self._taken = taken
        self._told = told
        self._accounts: dict[str, Account] = {}
        self._judges: dict[str, Judge] = {}
        self._connections: set[Connection] = set()
        self._deserted = asyncio.Event()
        self._last: Account | None = None  # who bound last
        self._reference = 0
        self._server: asyncio.Server | None = None
        self._record: Record | None = None
        answer, receipt = options.answer_ms / 1000, options.receipt_ms / 1000
        self._answers: Later[_Batch] = Later(answer, self._answer)
        self._early: Later[tuple[Connection, list[SubmitSmResp]]] = Later(answer + receipt, self._answer_early)
        self._reports: Later[_Report] = Later(receipt, self._report)
        self._late: Later[_Report] = Later(options.late_ms / 1000, self._report)
        self._twice: Later[_Report] = Later(receipt + _TWICE_SECONDS, self._report)

    async def start(self) -> None:
        """Listen. Raises `OSError` when the address cannot be had or the log not be opened, `ValueError` for TLS."""
        options = self.options
        tls = options.tls()
        if options.log is not None:
            self._record = Record(options.log, options.ids.answer, as_json=options.log_json)
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(lambda: Connection(self), options.host, options.port, ssl=tls)
        except OSError:
            self._close_record()
            raise
        self.port = self._server.sockets[0].getsockname()[1]
        self._next = self._clock.now_utc_ms() * _IDS_A_MILLISECOND
        self._ticking = loop.call_later(_TICK_SECONDS, self._tick)

    async def stop(self) -> None:
        """Answer what is open, take leave of everybody, and close."""
        if self._server is None:
            return
        self._server.close()
        self._deserted.clear()
        self._ticking.cancel()
        self._answers.hurry()
        for connection in list(self._connections):
            connection.unbind()
        for waiting in (self._early, self._reports, self._late, self._twice):
            waiting.cancel()
        for account in self._accounts.values():
            account.close()
        if self._connections:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._deserted.wait(), _LEAVE_SECONDS)
        for connection in list(self._connections):
            connection.cut("the SMSC stops")
        await self._server.wait_closed()
        self._server = None
        self._close_record()

    def deliver(self, sender: str, recipient: str, text: str) -> None:
        """Somebody writes to a number of the account's: deliver it to a receiver of the account, or keep it until there
        is one. Without a system_id to bind with, the account is the one that bound last.

        Raises `ValueError` that names what is at fault.
        """
        told = inbound_of(sender, recipient, text)
        account = self._account(self.options.system_id) if self.options.system_id else self._last
        if account is None:
            raise ValueError("nobody has bound yet, so there is nobody to deliver it to; write again when somebody has")
        self._reference += 1
        account.post(parts.inbound(told.sender, told.recipient, told.text, self._reference))

    # -- what connections ask

    def opened(self, connection: Connection) -> None:
        """See `Centre`."""
        self._connections.add(connection)

    def admit(self, bind: Bind) -> Account | int:
        """See `Centre`; SMPP 3.4 §5.1.3 for the statuses."""
        options = self.options
        status = Status.ESME_ROK
        if options.system_id and bind.system_id != options.system_id:
            status = Status.ESME_RINVSYSID
        elif options.password and bind.password != options.password:
            status = Status.ESME_RINVPASWD
        elif bind.system_id not in self._accounts and len(self._accounts) >= _MAX_ACCOUNTS:
            status = Status.ESME_RBINDFAIL
        if status:
            self.counts.binds_refused += 1
            return int(status)
        return self._account(bind.system_id)

    def bound(self, connection: Connection) -> None:
        """See `Centre`."""
        assert connection.account is not None
        self.counts.binds += 1
        self._last = connection.account
        system_id, kind, peer = connection.account.system_id, connection.kind, connection.peer
        self._tell(Notice("bound", f"{peer} is bound as {system_id!r}, {kind}", system_id, kind, peer))

    def closed(self, connection: Connection, reason: str) -> None:
        """See `Centre`."""
        self._connections.discard(connection)
        if not self._connections:
            self._deserted.set()
        peer = connection.peer
        if connection.account is None:
            self._tell(Notice("refused", f"{peer} has gone without a bind: {reason}", peer=peer))
            return
        system_id, submits, peak = connection.account.system_id, connection.submits, connection.peak_outstanding
        text = f"{peer} {system_id!r} has gone: {reason}; {submits} submits, at most {peak} of them unanswered"
        self._tell(Notice("closed", text, system_id, connection.kind, peer, submits, peak))

    def take(self, connection: Connection, submits: Sequence[SubmitSm]) -> None:
        """See `Centre`."""
        account, counts = connection.account, self.counts
        assert account is not None
        cut = False
        if every := self.options.drop_every:
            left = every - counts.submits % every
            cut = len(submits) >= left
            submits = submits[:left]
        counts.submits += len(submits)
        counts.peak_outstanding = max(counts.peak_outstanding, connection.peak_outstanding)
        batch = self._batch(connection, account, submits)
        if cut:
            # It was taken, and its client will never know from us; the receipts come none the less.
            counts.links_cut += 1
            connection.cut(f"the link is cut after every {every} submit_sm")
        self._answers.put(batch, connection.arrived)  # what reading it took is part of the delay

    # -- what becomes of a submit

    def _batch(self, connection: Connection, account: Account, submits: Sequence[SubmitSm]) -> _Batch:
        judge = self._judges[account.system_id]
        verdicts = None if judge.lenient else judge.verdicts(submits)
        now, first = self._clock.now_utc_ms(), self._next
        self._next += len(submits)
        if verdicts is None:
            messages = [Message(first + n, submit, _DELIVERED, now) for n, submit in enumerate(submits)]
        else:
            messages = [
                Message(first + n, submit, verdict.fate.receipt or ReceiptState.ENROUTE, now)
                for n, (submit, verdict) in enumerate(zip(submits, verdicts, strict=True))
                if not verdict.status
            ]
        if not self._keep(account, messages):
            self.counts.refused += len(submits)
            refused = int(Status.ESME_RSYSERR)
            answers = [SubmitSmResp(sequence=submit.sequence, status=refused) for submit in submits]
            return _Batch(connection, account, answers, {})
        self.counts.taken += len(messages)
        if verdicts is not None:
            return self._judged(connection, account, submits, verdicts, messages)
        form = self.options.ids.answer
        answers = [
            SubmitSmResp(message_id=format(message.number, form), sequence=message.submit.sequence)
            for message in messages
        ]
        return _Batch(connection, account, answers, {Manner.PLAIN: messages})

    def _keep(self, account: Account, messages: list[Message]) -> bool:
        """Whether they are on record, where one is kept."""
        if self._record is not None and messages:
            try:
                self._record.append(messages)
            except OSError as error:
                text = f"{self.options.log}: {error.strerror}; refusing what comes until it can be written"
                self._tell(Notice("trouble", text))
                return False
        account.remember(messages)
        if self._taken is not None and messages:
            self._taken(messages)
        return True

    def _judged(
        self,
        connection: Connection,
        account: Account,
        submits: Sequence[SubmitSm],
        verdicts: Sequence[Verdict],
        messages: Sequence[Message],
    ) -> _Batch:
        """The batch of submits that do not all have the same fate."""
        form = self.options.ids.answer
        batch = _Batch(connection, account, [], {})
        early: list[SubmitSmResp] = []
        unanswered = 0
        taken = iter(messages)
        for submit, verdict in zip(submits, verdicts, strict=True):
            if verdict.status:
                self.counts.refused += 1
                batch.answers.append(SubmitSmResp(sequence=submit.sequence, status=verdict.status))
                continue
            message, manner = next(taken), verdict.fate.manner
            if manner is Manner.UNANSWERED:
                unanswered += 1
                continue
            answer = SubmitSmResp(message_id=format(message.number, form), sequence=submit.sequence)
            (early if manner is Manner.EARLY else batch.answers).append(answer)
            if verdict.fate.receipt is not None:
                batch.reports.setdefault(manner, []).append(message)
        if unanswered:
            self.counts.unanswered += unanswered
            connection.leave(unanswered)
        if early:
            self._early.put((connection, early))
        return batch

    def _answer(self, batch: _Batch) -> None:
        account = batch.account
        if early := batch.reports.pop(Manner.EARLY, None):
            account.report(early)
        batch.connection.answer(batch.answers)
        for manner, messages in batch.reports.items():
            match manner:
                case Manner.LATE:
                    self._late.put((account, messages))
                case Manner.TWICE:
                    self._reports.put((account, messages))
                    self._twice.put((account, messages))
                case _:
                    self._reports.put((account, messages))

    def _answer_early(self, early: tuple[Connection, list[SubmitSmResp]]) -> None:
        early[0].answer(early[1])

    def _report(self, report: _Report) -> None:
        report[0].report(report[1])

    # -- the rest

    def _account(self, system_id: str) -> Account:
        if system_id not in self._accounts:
            self._accounts[system_id] = Account(system_id, self.options, self.counts, self._clock)
            self._judges[system_id] = Judge(self.options)
        return self._accounts[system_id]

    def _tick(self) -> None:
        for connection in list(self._connections):
            connection.tick()
        self._ticking = asyncio.get_running_loop().call_later(_TICK_SECONDS, self._tick)

    def _tell(self, notice: Notice) -> None:
        if self._told is not None:
            self._told(notice)

    def _close_record(self) -> None:
        if self._record is not None:
            self._record.close()
            self._record = None
