"""A client's connection: an asyncio protocol around `Session(Role.SMSC)`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Protocol, cast

from heliograph.carriers.smpp.pdu import (
    RESPONSE,
    Bind,
    BindResp,
    CancelSm,
    CancelSmResp,
    Command,
    DataSm,
    DataSmResp,
    DeliverSm,
    QuerySm,
    Status,
    SubmitSm,
    SubmitSmResp,
    Tag,
    Unbind,
    payload,
)
from heliograph.carriers.smpp.session import Answer, Closed, Event, Received, Role, Session, Unanswered, name_of
from heliograph.carriers.smpp.smsc.account import Account
from heliograph.carriers.smpp.smsc.options import SmscOptions

NAME = "heliograph-smsc"
_INTERFACE_VERSION = ((int(Tag.SC_INTERFACE_VERSION), b"\x34"),)  # SMPP 3.4 §5.3.2.25
_MOST_ADDRESS = 20  # characters of an address in a submit_sm; a data_sm has room for more


class Centre(Protocol):
    """The SMSC, as its connections see it."""

    options: SmscOptions

    def admit(self, bind: Bind) -> Account | int:
        """Who binds, or the command_status that refuses it."""

    def take(self, connection: Connection, submits: Sequence[SubmitSm]) -> None:
        """Answer these, soon or later."""

    def bound(self, connection: Connection) -> None:
        """It is bound."""

    def opened(self, connection: Connection) -> None:
        """It is connected."""

    def closed(self, connection: Connection, reason: str) -> None:
        """It is gone."""


class Connection(asyncio.Protocol):
    """See the module; `outstanding` counts the submits received and not answered, `arrived` is when something was read
    last, monotonic seconds.
    """

    account: Account | None = None
    kind = ""  # of the bind: transmitter, receiver or transceiver

    def __init__(self, centre: Centre) -> None:
        self.arrived = 0.0
        self.outstanding = 0
        self.peak_outstanding = 0
        self.submits = 0
        self.peer = ""
        self._centre = centre
        self._paused = False  # the peer does not read
        self._held = False  # we do not
        self._ending = False  # nothing more is delivered
        self._reason = ""
        self._data: set[int] = set()  # sequence numbers of data_sm among the submits

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        self._transport = cast(asyncio.Transport, transport)
        host, port, *_ = transport.get_extra_info("peername") or ("?", 0)
        self.peer = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._session = Session(Role.SMSC, window=self._centre.options.window, now=time.monotonic())
        self._centre.opened(self)

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        self.arrived = now = time.monotonic()
        self._act(self._session.receive(data, now))

    def connection_lost(self, error: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        account = self.account
        if account is not None and self in account.receivers:
            account.receivers.remove(self)
        self._ending = True
        self._reason = self._reason or (str(error) if error else "the client closed the connection")
        self._act(self._session.lost(self._reason))
        self._centre.closed(self, self._reason)

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`: who does not read its answers is not read either."""
        self._paused = True
        self._throttle()

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._paused = False
        self._throttle()
        if self.account is not None:
            self.account.pump()

    # -- what arrives

    def _act(self, events: Sequence[Event]) -> None:
        submits: list[SubmitSm] = []
        returned: list[DeliverSm] = []
        answers: list[Answer] = []
        for event in events:
            match event:
                case Received(pdu):
                    if type(pdu) is SubmitSm:
                        submits.append(pdu)
                    elif type(pdu) is DataSm:
                        self._take_data(pdu, submits)
                    else:
                        self._take(submits)  # what came before it
                        submits = []
                        self._respond(pdu)
                case Answer():
                    answers.append(event)
                case Unanswered(token):
                    returned.append(cast(DeliverSm, token))
                case Closed(reason):
                    self._ending = True
                    self._reason = self._reason or reason
        self._take(submits)
        if self.account is not None and (answers or returned):
            self.account.answered([(cast(DeliverSm, one.token), one.response.status) for one in answers])
            self.account.returned(returned)
            self.account.pump()
        self.flush()
        if self._ending:
            self._transport.close()

    def _take_data(self, data: DataSm, submits: list[SubmitSm]) -> None:
        if max(len(data.source), len(data.destination)) > _MOST_ADDRESS:
            self._session.respond(DataSmResp(sequence=data.sequence, status=Status.ESME_RINVDSTADR))
            return
        self._data.add(data.sequence)
        submits.append(_as_submit(data))

    def _take(self, submits: Sequence[SubmitSm]) -> None:
        if not submits:
            return
        self.submits += len(submits)
        self.outstanding += len(submits)
        self.peak_outstanding = max(self.peak_outstanding, self.outstanding)
        self._centre.take(self, submits)

    def _respond(self, pdu: object) -> None:
        account = self.account
        match pdu:
            case Bind():
                self._bind(pdu)
            case QuerySm() if account is not None:
                self._session.respond(account.query(pdu))
            case CancelSm() if account is not None:
                self._session.respond(CancelSmResp(sequence=pdu.sequence, status=account.cancel(pdu)))

    def _bind(self, bind: Bind) -> None:
        account = self._centre.admit(bind)
        response = Command(bind.command | RESPONSE)
        if isinstance(account, int):
            self._session.respond(BindResp(command=response, sequence=bind.sequence, status=account))
            self._reason = f"bind of {bind.system_id!r} refused: {name_of(account)}"
            self.close()
            return
        self.account = account
        self.kind = bind.command.name.removeprefix("BIND_").lower()
        self._session.respond(
            BindResp(command=response, system_id=NAME, tlvs=_INTERFACE_VERSION, sequence=bind.sequence)
        )
        if bind.command != Command.BIND_TRANSMITTER:
            account.receivers.append(self)
        self._centre.bound(self)
        account.pump()

    # -- what is sent

    @property
    def room(self) -> int:
        """See `Receiver`."""
        return 0 if self._paused or self._ending else self._session.room

    def deliver(self, delivers: Sequence[DeliverSm]) -> None:
        """See `Receiver`."""
        self._session.submit([(deliver, deliver) for deliver in delivers], time.monotonic())
        self.flush()

    def answer(self, answers: Sequence[SubmitSmResp]) -> None:
        """Answer submits; a client that has gone is answered no more."""
        self.outstanding -= len(answers)
        if self._transport.is_closing():
            return
        if self._data:
            self._answer_mixed(answers)
        else:
            self._session.respond_all(answers)
        self.flush()

    def _answer_mixed(self, answers: Sequence[SubmitSmResp]) -> None:
        for answer in answers:
            if answer.sequence in self._data:
                self._data.discard(answer.sequence)
                self._session.respond(
                    DataSmResp(message_id=answer.message_id, sequence=answer.sequence, status=answer.status)
                )
            else:
                self._session.respond(answer)

    def leave(self, count: int) -> None:
        """So many submits will have no answer."""
        self.outstanding -= count
        self._session.leave_unanswered(count)

    def flush(self) -> None:
        """Write what the session has to say."""
        out = self._session.outgoing()
        if out and not self._transport.is_closing():
            self._transport.write(out)
        self._throttle()

    def _throttle(self) -> None:
        """Read only as long as the peer reads, and does not leave its window."""
        held = self._paused or self._session.overrun
        if held is not self._held and not self._transport.is_closing():
            self._held = held
            (self._transport.pause_reading if held else self._transport.resume_reading)()

    # -- time and the end

    def tick(self) -> None:
        """Let the session's timers run."""
        now = time.monotonic()
        if self._session.next_tick() <= now:
            self._act(self._session.tick(now))

    def unbind(self) -> None:
        """Take leave (SMPP 3.4 §4.2); the client closes, or is cut off later."""
        self._reason = self._reason or "the SMSC stops"
        if self.account is None or self._ending:
            self.close()
            return
        self._ending = True
        self._session.request(Unbind(), now=time.monotonic())
        self.flush()

    def close(self) -> None:
        """Close once what there is to say has been said."""
        self._ending = True
        self.flush()
        self._transport.close()

    def cut(self, reason: str) -> None:
        """Drop the connection as a broken network does."""
        self._reason = reason
        self._ending = True
        self._transport.abort()


def _as_submit(data: DataSm) -> SubmitSm:
    """A data_sm says nothing that a submit_sm cannot (SMPP 3.4 §4.7)."""
    return SubmitSm(
        service_type=data.service_type,
        source_ton=data.source_ton,
        source_npi=data.source_npi,
        source=data.source,
        destination_ton=data.destination_ton,
        destination_npi=data.destination_npi,
        destination=data.destination,
        esm_class=data.esm_class,
        registered_delivery=data.registered_delivery,
        data_coding=data.data_coding,
        short_message=payload(data),
        sequence=data.sequence,
    )
