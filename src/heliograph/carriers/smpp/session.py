"""One SMPP session, either end of it: bytes and requests in, events and bytes out. Every transition lives here.

There is no I/O and no clock: `now` is an argument, monotonic seconds. What may be sent in which state, by whom, is the
table of `states.py`; all else follows from it:

    OPEN ──bind──▶ BINDING ──bind_resp──▶ BOUND_TX | BOUND_RX | BOUND_TRX ──unbind──▶ UNBINDING ──unbind_resp──▶ CLOSED

A refused bind, an unbind of the peer, bytes that are no SMPP, a time limit, or `lost()` end it in CLOSED from wherever
it was. enquire_link, unbind, generic_nack and whatever is out of place are handled inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from math import inf

from heliograph.carriers.smpp.events import Answer, BindRefused, Bound, Closed, Event, Received, Unanswered
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
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    Framer,
    FramingError,
    GenericNack,
    Pdu,
    PduError,
    QuerySm,
    QuerySmResp,
    Request,
    Response,
    Status,
    SubmitSm,
    SubmitSmResp,
    Unbind,
    UnbindResp,
    decode,
    encode,
)
from heliograph.carriers.smpp.states import ALLOWED, BOUND, TO_ESME, TO_SMSC, Role, SessionState
from heliograph.carriers.smpp.structs import COMMANDS

__all__ = [
    "ALLOWED",
    "BOUND",
    "Answer",
    "BindRefused",
    "Bound",
    "Closed",
    "Event",
    "NotAllowedError",
    "Received",
    "Role",
    "Session",
    "SessionState",
    "Unanswered",
    "name_of",
]

MAX_SEQUENCE = 0x7FFFFFFF  # SMPP 3.4 §5.1.4
MAX_OWED = 2_000  # requests of the peer that wait for our answer; past it nothing more is read
UNBIND_SECONDS = 5.0  # the peer has so long to answer an unbind


_BOUND_BY = {
    Command.BIND_TRANSMITTER: SessionState.BOUND_TX,
    Command.BIND_RECEIVER: SessionState.BOUND_RX,
    Command.BIND_TRANSCEIVER: SessionState.BOUND_TRX,
}
_ANSWER_TO: dict[type, type] = {
    Bind: BindResp,
    SubmitSm: SubmitSmResp,
    DeliverSm: DeliverSmResp,
    DataSm: DataSmResp,
    QuerySm: QuerySmResp,
    CancelSm: CancelSmResp,
    EnquireLink: EnquireLinkResp,
    Unbind: UnbindResp,
}
_MESSAGES = frozenset({SubmitSm, DeliverSm, DataSm})  # what the window counts
_MESSAGE_ANSWERS = frozenset({SubmitSmResp, DeliverSmResp, DataSmResp})
_ANSWERS = frozenset(_ANSWER_TO.values())
_FOR_APPLICATION = TO_SMSC | TO_ESME | {Bind}
_OURS = object()  # the token of a request that the session made by itself: nobody is told how it ends


class NotAllowedError(Exception):
    """A request that this end may not send in this state; `state` tells which."""

    def __init__(self, pdu: object, role: Role, state: SessionState) -> None:
        self.state = state
        super().__init__(f"a {type(pdu).__name__} is not for the {role.name} to send when the session is {state.value}")


class Session:
    """One end of a session.

    `window` is how many messages (submit_sm and data_sm, or deliver_sm and data_sm of an SMSC) may be unanswered at a
    time. A request not answered after `response_seconds` is given up, the session goes on; after a silence of
    `enquire_link_seconds` the peer is asked whether it lives, and a peer that does not answer ends the session; after
    `inactivity_seconds` without a message the session is unbound (0: never). A bind must be done in `bind_seconds`.
    """

    def __init__(
        self,
        role: Role,
        *,
        window: int,
        response_seconds: float = 60.0,
        enquire_link_seconds: float = 30.0,
        inactivity_seconds: float = 0.0,
        bind_seconds: float = 15.0,
        now: float,
    ) -> None:
        self.role = role
        self.window = window
        self.late = 0  # responses that no request waits for: they came too late, or are the peer's mistake
        self._peer = Role.SMSC if role is Role.ESME else Role.ESME
        self._response_seconds = response_seconds
        self._enquire_link_seconds = enquire_link_seconds
        self._inactivity_seconds = inactivity_seconds
        self._bind_by = now + bind_seconds
        self._heard = self._active = now  # when the peer was last heard of, when a message last went either way
        self._frames = Framer()
        self._out: list[bytes] = []
        self._sequence = 0
        self._owed = 0
        # Requests without an answer, by sequence number: token, when it is given up, the type of its answer. Messages
        # all have the same time, so the first of them is the first to be given up.
        self._messages: dict[int, tuple[object, float, type]] = {}
        self._others: dict[int, tuple[object, float, type]] = {}
        self._enter(SessionState.OPEN)

    # ── What is asked of the peer ────────────────────────────────────────────────────────────────────────────────────

    @property
    def room(self) -> int:
        """How many messages may be sent now."""
        return self.window - len(self._messages)

    @property
    def outstanding(self) -> int:
        """How many messages of ours have no answer yet."""
        return len(self._messages)

    @property
    def overrun(self) -> bool:
        """Whether the peer has asked so much that nothing more should be read before it is answered."""
        return self._owed >= MAX_OWED

    def submit(self, pdus: Sequence[tuple[SubmitSm | DeliverSm | DataSm, object]], now: float) -> None:
        """Send messages in this order, each with the token of its answer; there must be `room` for them.

        All or nothing: raises `NotAllowedError`, or `ValueError` for a field that does not fit.
        """
        assert len(pdus) <= self.window - len(self._messages)
        allowed = self._allowed
        deadline = now + self._response_seconds
        sequence = self._sequence
        frames: list[bytes] = []
        waiting: dict[int, tuple[object, float, type]] = {}
        for pdu, token in pdus:
            kind = type(pdu)
            if kind not in allowed or self.state is SessionState.UNBINDING:
                raise NotAllowedError(pdu, self.role, self.state)
            sequence = sequence + 1 if sequence < MAX_SEQUENCE else 1
            pdu.sequence = sequence
            frames.append(encode(pdu))
            waiting[sequence] = (token, deadline, _ANSWER_TO[kind])
        self._sequence = sequence
        self._out += frames
        self._messages.update(waiting)
        self._active = now

    def request(self, pdu: Request, token: object = None, *, now: float) -> None:
        """Send a request: one message as `submit` does, or any other. A bind ends in `Bound` or `BindRefused`, an
        unbind in `Closed`, all others in one `Answer` or `Unanswered`. Raises as `submit` does.
        """
        kind = type(pdu)
        if isinstance(pdu, SubmitSm | DeliverSm | DataSm):
            self.submit(((pdu, token),), now)
            return
        if kind not in self._allowed or self.state is SessionState.UNBINDING:
            raise NotAllowedError(pdu, self.role, self.state)
        seconds = self._response_seconds
        if isinstance(pdu, Bind):
            token, seconds = pdu, self._bind_by - now
        elif isinstance(pdu, Unbind):
            token, seconds = _OURS, min(seconds, UNBIND_SECONDS)
        self._send(pdu, token, now + seconds)
        if isinstance(pdu, Bind):
            self._enter(SessionState.BINDING)
        elif isinstance(pdu, Unbind):
            self._enter(SessionState.UNBINDING)

    def _send(self, pdu: Request, token: object, deadline: float) -> None:
        pdu.sequence = self._sequence + 1 if self._sequence < MAX_SEQUENCE else 1
        self._out.append(encode(pdu))
        self._sequence = pdu.sequence
        self._others[pdu.sequence] = (token, deadline, _ANSWER_TO[type(pdu)])

    # ── What the peer asks ───────────────────────────────────────────────────────────────────────────────────────────

    def respond(self, response: Response) -> None:
        """Answer a `Received` request, by its sequence number. After the end there is nobody to answer."""
        self.respond_all((response,))

    def respond_all(self, responses: Sequence[Response]) -> None:
        """Answer several. Raises `ValueError` for a field that does not fit, and then answers none."""
        if self.state is SessionState.CLOSED:
            return
        assert len(responses) <= self._owed, "more answers than requests"
        self._out += [encode(response) for response in responses]
        self._owed -= len(responses)
        for response in responses:
            if type(response) is BindResp:
                assert self.state is SessionState.BINDING
                taken = response.status == Status.ESME_ROK
                self._enter(_BOUND_BY[Command(response.command & ~RESPONSE)] if taken else SessionState.OPEN)

    def leave_unanswered(self, count: int) -> None:
        """So many `Received` requests will never be answered: nobody waits to answer them any more."""
        self._owed = max(0, self._owed - count)

    def receive(self, data: bytes, now: float) -> list[Event]:
        """Take what the connection gave. Events come in the order of the wire; no bytes make it raise."""
        events: list[Event] = []
        if self.state is SessionState.CLOSED:
            return events
        self._heard = now
        broken = None
        try:
            frames = self._frames.feed(data)
        except FramingError as error:
            frames, broken = error.frames, error
        self._read(frames, now, events)
        if broken is not None and self._live:
            # SMPP 3.4 §4.3: where a PDU ends can never be known again.
            self._out.append(encode(GenericNack(status=Status.ESME_RINVCMDLEN)))
            self._close(str(broken), events)
        return events

    def _read(self, frames: list[bytes], now: float, events: list[Event]) -> None:
        messages = self._messages
        for frame in frames:
            try:
                pdu = decode(frame)
            except PduError as error:
                self._refuse(error, events)
                if not self._live:
                    return
                continue
            kind = type(pdu)
            if kind in _MESSAGE_ANSWERS:
                waiting = messages.get(pdu.sequence)
                if waiting is not None and waiting[2] is kind:
                    del messages[pdu.sequence]
                    events.append(Answer(waiting[0], pdu))  # type: ignore[arg-type]
                else:
                    self.late += 1
            elif kind in self._expected:
                self._owed += 1
                self._active = now
                events.append(Received(pdu))  # type: ignore[arg-type]
                if kind is Bind:
                    self._enter(SessionState.BINDING)
            else:
                self._handle(pdu, events)
                if not self._live:
                    return

    def _refuse(self, error: PduError, events: list[Event]) -> None:
        """Answer a PDU that cannot be read, in the answer of its own kind where there is one."""
        command = int(error.command_id)
        if command & RESPONSE:
            # Never answered, or two ends could go on for ever. What it was to answer will have no other.
            waiting = self._take(error.sequence)
            if waiting is None:
                self.late += 1
            else:
                self._end(waiting, f"its answer cannot be read: {error}", events)
        elif error.status != Status.ESME_RINVCMDID:
            self._out.append(_bare(command | RESPONSE, error.status, error.sequence))
        elif command != Command.ALERT_NOTIFICATION:  # it has no response (SMPP 3.4 §4.12)
            self._out.append(encode(GenericNack(sequence=error.sequence, status=error.status)))

    def _handle(self, pdu: Pdu, events: list[Event]) -> None:
        """All that is not for the application."""
        kind = type(pdu)
        if kind in _ANSWERS:
            self._answered(pdu, events)
        elif isinstance(pdu, GenericNack):
            self._nacked(pdu, events)
        elif isinstance(pdu, Bind):
            self._out.append(_bare(pdu.command | RESPONSE, Status.ESME_RALYBND, pdu.sequence))
        elif kind not in ALLOWED[self._peer, self.state]:
            self._out.append(_bare(COMMANDS[kind] | RESPONSE, Status.ESME_RINVBNDSTS, pdu.sequence))
        elif isinstance(pdu, EnquireLink):
            self._out.append(encode(EnquireLinkResp(sequence=pdu.sequence)))
        else:
            assert isinstance(pdu, Unbind)
            self._out.append(encode(UnbindResp(sequence=pdu.sequence)))
            self._close("the peer unbound", events)

    def _answered(self, pdu: Pdu, events: list[Event]) -> None:
        waiting = self._others.get(pdu.sequence)
        if waiting is None or waiting[2] is not type(pdu):
            self.late += 1
            return
        del self._others[pdu.sequence]
        token = waiting[0]
        if isinstance(pdu, BindResp):
            assert isinstance(token, Bind)
            if pdu.status == Status.ESME_ROK:
                self._enter(_BOUND_BY[Command(token.command)])
                events.append(Bound(pdu))
            else:
                self._bind_refused(pdu.status, events)
        elif isinstance(pdu, UnbindResp):
            self._close("unbound", events)
        elif token is not _OURS:
            events.append(Answer(token, pdu))  # type: ignore[arg-type]

    def _nacked(self, pdu: GenericNack, events: list[Event]) -> None:
        """A generic_nack is the answer to the request whose sequence number it bears (SMPP 3.4 §4.3.1)."""
        waiting = self._take(pdu.sequence)
        if waiting is None:
            self.late += 1
            return
        token, _, answer = waiting
        if pdu.status == Status.ESME_ROK:
            pdu.status = Status.ESME_RUNKNOWNERR  # a refusal for no reason is none the less a refusal
        if answer is BindResp:
            self._bind_refused(pdu.status, events)
        elif answer is UnbindResp:
            self._close("unbound", events)
        elif token is not _OURS:
            events.append(Answer(token, pdu))

    def _bind_refused(self, status: int, events: list[Event]) -> None:
        events.append(BindRefused(status))
        self._close(f"bind refused: {name_of(status)}", events)

    # ── The connection and the clock ─────────────────────────────────────────────────────────────────────────────────

    def outgoing(self) -> bytes:
        """All that is to be written, once."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def lost(self, reason: str) -> list[Event]:
        """The connection is gone."""
        events: list[Event] = []
        self._close(reason, events)
        return events

    def next_tick(self) -> float:
        """When `tick` is to be called, unless something happens before."""
        if self.state is SessionState.CLOSED:
            return inf
        deadlines = [deadline for _, deadline, _ in self._others.values()]
        if self._messages:
            deadlines.append(next(iter(self._messages.values()))[1])
        if self.state in BOUND:
            if not self._enquiring:
                deadlines.append(self._heard + self._enquire_link_seconds)
            if self._inactivity_seconds:
                deadlines.append(self._active + self._inactivity_seconds)
        elif self.state is not SessionState.UNBINDING:
            deadlines.append(self._bind_by)
        return min(deadlines)

    def tick(self, now: float) -> list[Event]:
        """Do what time asks for."""
        events: list[Event] = []
        if self.state is SessionState.CLOSED:
            return events
        if self.state not in BOUND and self.state is not SessionState.UNBINDING and now >= self._bind_by:
            self._close("not bound in time", events)
            return events
        self._give_up(now, events)
        if self.state in BOUND:
            if self._inactivity_seconds and now >= self._active + self._inactivity_seconds:
                self.request(Unbind(), now=now)
            elif not self._enquiring and now >= self._heard + self._enquire_link_seconds:
                self._send(EnquireLink(), _OURS, now + min(self._response_seconds, self._enquire_link_seconds))
        return events

    def _give_up(self, now: float, events: list[Event]) -> None:
        messages = self._messages
        overdue = []
        for sequence, (_, deadline, _) in messages.items():
            if deadline > now:
                break
            overdue.append(sequence)
        for sequence in overdue:
            self._end(messages.pop(sequence), "not answered in time", events)
        for sequence, waiting in list(self._others.items()):
            token, deadline, answer = waiting
            if deadline > now:
                continue
            del self._others[sequence]
            if answer is UnbindResp:
                self._close("unbind not answered in time", events)
                return
            if token is _OURS and self._heard <= deadline - min(self._response_seconds, self._enquire_link_seconds):
                self._close("enquire_link not answered in time", events)
                return
            self._end(waiting, "not answered in time", events)

    @property
    def _live(self) -> bool:
        return self.state is not SessionState.CLOSED

    @property
    def _enquiring(self) -> bool:
        return any(token is _OURS for token, _, _ in self._others.values())

    def _take(self, sequence: int) -> tuple[object, float, type] | None:
        """The request of that number, no longer waiting."""
        return self._messages.pop(sequence, None) or self._others.pop(sequence, None)

    def _end(self, waiting: tuple[object, float, type], reason: str, events: list[Event]) -> None:
        """A request has come to nothing."""
        token, _, answer = waiting
        if answer is BindResp or answer is UnbindResp:
            self._close(reason, events)
        elif token is not _OURS:
            events.append(Unanswered(token, reason))

    def _close(self, reason: str, events: list[Event]) -> None:
        """End the session, whatever it was at, and every request with it."""
        if self.state is SessionState.CLOSED:
            return
        self._enter(SessionState.CLOSED)
        for token, _, answer in chain(self._messages.values(), self._others.values()):
            if token is not _OURS and answer is not BindResp:
                events.append(Unanswered(token, reason))
        self._messages.clear()
        self._others.clear()
        self._owed = 0
        events.append(Closed(reason))

    def _enter(self, state: SessionState) -> None:
        self.state = state
        self._allowed = ALLOWED[self.role, state]
        self._expected = ALLOWED[self._peer, state] & _FOR_APPLICATION


def name_of(status: int) -> str:
    """A command_status for people: `ESME_RTHROTTLED (0x00000058)`."""
    try:
        return f"{Status(status).name} (0x{status:08X})"
    except ValueError:
        return f"0x{status:08X}"


def _bare(command: int, status: int, sequence: int) -> bytes:
    """A response that is a header alone, as every refusal may be (SMPP 3.4 §4)."""
    return b"".join(number.to_bytes(4, "big") for number in (16, command, status, sequence))
