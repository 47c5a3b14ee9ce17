"""What a session does with each thing that may come, one at a time; the histories are in `test_session_model.py`."""

from __future__ import annotations

import pytest

from heliograph.carriers.smpp.pdu import (
    Bind,
    BindResp,
    CancelSm,
    CancelSmResp,
    Command,
    DataSm,
    DeliverSm,
    DeliverSmResp,
    EnquireLink,
    EnquireLinkResp,
    FieldError,
    Framer,
    GenericNack,
    Pdu,
    QuerySm,
    Status,
    SubmitSm,
    SubmitSmResp,
    Unbind,
    UnbindResp,
    decode,
    encode,
)
from heliograph.carriers.smpp.session import (
    MAX_OWED,
    MAX_SEQUENCE,
    Answer,
    BindRefused,
    Bound,
    Closed,
    NotAllowedError,
    Received,
    Role,
    Session,
    SessionState,
    Unanswered,
    name_of,
)

TRX = Command.BIND_TRANSCEIVER
RESPONSES = {
    command: Command(command | 0x80000000) for command in (TRX, Command.BIND_RECEIVER, Command.BIND_TRANSMITTER)
}


def written(session: Session) -> list[Pdu]:
    return [decode(frame) for frame in Framer().feed(session.outgoing())]


def esme(command: Command = TRX, *, window: int = 10, inactivity_seconds: float = 0.0) -> Session:
    session = Session(Role.ESME, window=window, inactivity_seconds=inactivity_seconds, now=0.0)
    session.request(Bind(command=command), now=0.0)
    session.receive(encode(BindResp(command=RESPONSES[command], sequence=1)), 0.0)
    session.outgoing()
    return session


def smsc(command: Command = TRX) -> Session:
    session = Session(Role.SMSC, window=10, now=0.0)
    session.receive(encode(Bind(command=command, sequence=1)), 0.0)
    session.respond(BindResp(command=RESPONSES[command], sequence=1))
    session.outgoing()
    return session


def submit(session: Session, *tokens: object, now: float = 0.0) -> list[int]:
    pdus = [SubmitSm(destination="56912345678") for _ in tokens]
    session.submit(list(zip(pdus, tokens, strict=True)), now)
    return [pdu.sequence for pdu in pdus]


@pytest.mark.parametrize(
    ("command", "state"),
    [
        (Command.BIND_TRANSMITTER, SessionState.BOUND_TX),
        (Command.BIND_RECEIVER, SessionState.BOUND_RX),
        (Command.BIND_TRANSCEIVER, SessionState.BOUND_TRX),
    ],
)
def test_a_bind_leads_to_its_state_on_both_ends(command: Command, state: SessionState) -> None:
    assert esme(command).state is state
    assert smsc(command).state is state


@pytest.mark.parametrize(
    ("session", "pdu", "allowed"),
    [
        (Session(Role.ESME, window=1, now=0.0), SubmitSm(), False),
        (Session(Role.ESME, window=1, now=0.0), EnquireLink(), True),
        (Session(Role.SMSC, window=1, now=0.0), Bind(command=TRX), False),
        (esme(), Bind(command=TRX), False),
        (esme(), SubmitSm(), True),
        (esme(), DataSm(), True),
        (esme(), QuerySm(), True),
        (esme(), CancelSm(), True),
        (esme(), DeliverSm(), False),
        (esme(Command.BIND_RECEIVER), SubmitSm(), False),
        (esme(Command.BIND_RECEIVER), QuerySm(), False),
        (esme(Command.BIND_RECEIVER), Unbind(), True),
        (esme(Command.BIND_TRANSMITTER), SubmitSm(), True),
        (smsc(), DeliverSm(), True),
        (smsc(), DataSm(), True),
        (smsc(), SubmitSm(), False),
        (smsc(Command.BIND_TRANSMITTER), DeliverSm(), False),
        (smsc(Command.BIND_RECEIVER), DeliverSm(), True),
    ],
)
def test_each_end_may_send_what_smpp_lets_it_in_its_state(session: Session, pdu: Pdu, allowed: bool) -> None:
    if allowed:
        session.request(pdu, now=0.0)  # type: ignore[arg-type]
        assert [type(sent) for sent in written(session)] == [type(pdu)]
    else:
        with pytest.raises(NotAllowedError, match=type(pdu).__name__):
            session.request(pdu, now=0.0)  # type: ignore[arg-type]
        assert session.outgoing() == b""


@pytest.mark.parametrize(
    ("session", "pdu"),
    [
        (esme(), SubmitSm()),
        (esme(), QuerySm()),
        (esme(Command.BIND_TRANSMITTER), DeliverSm()),
        (smsc(Command.BIND_RECEIVER), SubmitSm()),
        (smsc(), DeliverSm()),
        (Session(Role.SMSC, window=1, now=0.0), SubmitSm()),
    ],
)
def test_what_the_peer_may_not_send_is_refused_and_the_session_goes_on(session: Session, pdu: Pdu) -> None:
    pdu.sequence = 77
    before = session.state
    assert session.receive(encode(pdu), 0.0) == []
    (refusal,) = written(session)
    assert type(refusal).__name__ == f"{type(pdu).__name__}Resp"
    assert (refusal.sequence, refusal.status) == (77, Status.ESME_RINVBNDSTS)  # type: ignore[union-attr]
    assert session.state is before


def test_a_second_bind_is_told_that_there_was_one() -> None:
    session = smsc()
    assert session.receive(encode(Bind(command=TRX, sequence=2)), 0.0) == []
    (refusal,) = written(session)
    assert isinstance(refusal, BindResp)
    assert refusal.status == Status.ESME_RALYBND
    assert session.state is SessionState.BOUND_TRX


@pytest.mark.parametrize("cut", range(1, 60))
def test_a_message_right_behind_the_bind_resp_is_received_wherever_the_segment_ends(cut: int) -> None:
    session = Session(Role.ESME, window=1, now=0.0)
    session.request(Bind(command=TRX), now=0.0)
    data = encode(BindResp(command=RESPONSES[TRX], sequence=1)) + encode(DeliverSm(sequence=1, short_message=b"hi"))
    events = session.receive(data[:cut], 0.0) + session.receive(data[cut:], 0.0)
    assert [type(event) for event in events] == [Bound, Received]


def test_a_refused_bind_ends_the_session_with_its_status() -> None:
    session = Session(Role.ESME, window=1, now=0.0)
    session.request(Bind(command=TRX), now=0.0)
    refusal = encode(BindResp(command=RESPONSES[TRX], sequence=1, status=Status.ESME_RINVPASWD))
    events = session.receive(refusal, 0.0)
    assert events == [BindRefused(0x0E), Closed("bind refused: ESME_RINVPASWD (0x0000000E)")]


def test_a_bind_refused_by_generic_nack_is_refused() -> None:
    session = Session(Role.ESME, window=1, now=0.0)
    session.request(Bind(command=TRX), now=0.0)
    events = session.receive(encode(GenericNack(sequence=1, status=Status.ESME_RINVCMDID)), 0.0)
    assert events[0] == BindRefused(Status.ESME_RINVCMDID)
    assert session.state is SessionState.CLOSED


def test_an_smsc_may_be_bound_after_it_refused_once() -> None:
    session = Session(Role.SMSC, window=1, now=0.0)
    for sequence, status in ((1, Status.ESME_RINVPASWD), (2, 0)):
        session.receive(encode(Bind(command=TRX, sequence=sequence)), 0.0)
        session.respond(BindResp(command=RESPONSES[TRX], sequence=sequence, status=status))
    assert session.state is SessionState.BOUND_TRX


def test_answers_find_their_requests_in_any_order() -> None:
    session = esme()
    first, second, third = submit(session, "a", "b", "c")
    data = b"".join(encode(SubmitSmResp(sequence=n, message_id=str(n))) for n in (third, first, second))
    answers = session.receive(data, 1.0)
    assert [answer.token for answer in answers if isinstance(answer, Answer)] == ["c", "a", "b"]
    assert session.room == session.window


def test_an_answer_of_another_kind_is_none() -> None:
    session = esme()
    (sequence,) = submit(session, "a")
    assert session.receive(encode(DeliverSmResp(sequence=sequence)), 0.0) == []
    assert session.receive(encode(CancelSmResp(sequence=sequence)), 0.0) == []
    assert (session.late, session.outstanding) == (2, 1)


def test_a_generic_nack_is_the_answer_to_its_request_and_never_a_success() -> None:
    session = esme()
    first, second = submit(session, "a", "b")
    (answer,) = session.receive(encode(GenericNack(sequence=first, status=Status.ESME_RINVCMDLEN)), 0.0)
    assert answer == Answer("a", GenericNack(sequence=first, status=Status.ESME_RINVCMDLEN))
    (answer,) = session.receive(encode(GenericNack(sequence=second)), 0.0)
    assert isinstance(answer, Answer)
    assert answer.response.status == Status.ESME_RUNKNOWNERR


def test_an_answer_that_cannot_be_read_leaves_its_request_in_doubt() -> None:
    session = esme()
    (sequence,) = submit(session, "a")
    session.outgoing()
    whole = encode(SubmitSmResp(sequence=sequence, message_id="abc"))
    broken = (len(whole) - 1).to_bytes(4, "big") + whole[4:-1]
    (event,) = session.receive(broken, 0.0)
    assert isinstance(event, Unanswered)
    assert event.token == "a"
    assert session.outgoing() == b"", "a response is never answered"


def test_a_request_that_cannot_be_read_is_refused_in_its_own_answer() -> None:
    session = esme()
    whole = encode(DeliverSm(sequence=9, short_message=b"hello"))
    broken = (len(whole) - 1).to_bytes(4, "big") + whole[4:-1]
    assert session.receive(broken + encode(EnquireLink(sequence=10)), 0.0) == []
    refusal, alive = written(session)
    assert isinstance(refusal, DeliverSmResp)
    assert (refusal.sequence, refusal.status) == (9, Status.ESME_RINVMSGLEN)
    assert alive == EnquireLinkResp(sequence=10)


@pytest.mark.parametrize(
    ("command", "nacked"),
    [(0x00000077, True), (0x0000000B, True), (0x00000102, False), (0x80000077, False)],
)
def test_a_command_nobody_knows_is_nacked_unless_it_has_no_answer(command: int, nacked: bool) -> None:
    session = esme()
    session.receive(b"\0\0\0\x10" + command.to_bytes(4, "big") + b"\0\0\0\0\0\0\0\x07", 0.0)
    expected = [GenericNack(sequence=7, status=Status.ESME_RINVCMDID)] if nacked else []
    assert written(session) == expected


@pytest.mark.parametrize("length", [0, 15, 70_001, 0xFFFFFFFF])
def test_an_impossible_length_ends_the_session_after_what_came_before_it(length: int) -> None:
    session = esme()
    first, _ = submit(session, "a", "b")
    session.outgoing()
    events = session.receive(encode(SubmitSmResp(sequence=first)) + length.to_bytes(4, "big"), 0.0)
    assert [type(event) for event in events] == [Answer, Unanswered, Closed]
    assert written(session) == [GenericNack(status=Status.ESME_RINVCMDLEN)]
    assert session.receive(encode(EnquireLink()), 0.0) == []


def test_a_message_not_answered_in_time_is_given_up_and_its_late_answer_counted() -> None:
    session = esme()
    early = submit(session, "a", now=0.0)[0]
    submit(session, "b", now=10.0)
    session.receive(encode(EnquireLink()), 59.0)
    assert session.next_tick() == 60.0
    assert session.tick(59.9) == []
    assert session.tick(60.0) == [Unanswered("a", "not answered in time")]
    assert session.outstanding == 1
    assert session.receive(encode(SubmitSmResp(sequence=early)), 61.0) == []
    assert session.late == 1


def test_a_silent_peer_is_asked_and_then_given_up() -> None:
    session = esme()
    submit(session, "a", now=0.0)
    session.outgoing()
    assert session.next_tick() == 30.0
    assert session.tick(30.0) == []
    assert [type(pdu) for pdu in written(session)] == [EnquireLink]
    events = session.tick(60.0)
    assert [type(event) for event in events] == [Unanswered, Closed]
    assert session.next_tick() == float("inf")


def test_a_peer_that_says_anything_lives() -> None:
    session = esme()
    session.tick(30.0)
    session.receive(encode(DeliverSm(sequence=5)), 45.0)
    assert session.tick(60.0) == []
    assert session.state is SessionState.BOUND_TRX
    assert session.next_tick() == 75.0


def test_a_bind_has_a_deadline_on_both_ends() -> None:
    ours = Session(Role.ESME, window=1, bind_seconds=5.0, now=0.0)
    ours.request(Bind(command=TRX), now=1.0)
    for session in (ours, Session(Role.SMSC, window=1, bind_seconds=5.0, now=0.0)):
        assert session.next_tick() == 5.0
        assert session.tick(4.9) == []
        assert session.tick(5.0) == [Closed("not bound in time")]


def test_a_session_without_messages_is_unbound_where_that_is_asked_for() -> None:
    session = esme(inactivity_seconds=20.0)
    session.receive(encode(EnquireLink()), 15.0)
    session.outgoing()
    assert session.tick(20.0) == []
    (unbind,) = written(session)
    assert isinstance(unbind, Unbind)
    assert session.receive(encode(UnbindResp(sequence=unbind.sequence)), 21.0) == [Closed("unbound")]


def test_answers_that_cross_our_unbind_still_count_and_nothing_more_may_be_sent() -> None:
    session = esme()
    first, _ = submit(session, "a", "b")
    session.request(Unbind(), now=0.0)
    with pytest.raises(NotAllowedError):
        submit(session, "c")
    unbind = written(session)[-1]
    data = encode(SubmitSmResp(sequence=first)) + encode(UnbindResp(sequence=unbind.sequence))
    events = session.receive(data, 0.0)
    assert [type(event) for event in events] == [Answer, Unanswered, Closed]


def test_an_unbind_that_nobody_answers_has_a_deadline() -> None:
    session = esme()
    session.request(Unbind(), now=0.0)
    assert session.next_tick() == 5.0
    assert session.tick(5.0) == [Closed("unbind not answered in time")]


def test_the_peers_unbind_is_answered_and_ends_all() -> None:
    session = esme()
    submit(session, "a")
    session.outgoing()
    events = session.receive(encode(Unbind(sequence=3)), 0.0)
    assert events == [Unanswered("a", "the peer unbound"), Closed("the peer unbound")]
    assert written(session) == [UnbindResp(sequence=3)]


def test_a_batch_with_a_field_that_does_not_fit_sends_nothing() -> None:
    session = esme()
    batch: list[tuple[SubmitSm, object]] = [(SubmitSm(), "good"), (SubmitSm(destination="9" * 30), "bad")]
    with pytest.raises(FieldError, match="destination"):
        session.submit(batch, 0.0)
    assert session.outstanding == 0
    assert session.outgoing() == b""
    assert submit(session, "next") == [2], "the numbers of what was never sent are used again"


def test_more_than_the_window_is_a_mistake_of_ours() -> None:
    session = esme(window=2)
    with pytest.raises(AssertionError):
        submit(session, "a", "b", "c")
    assert session.outstanding == 0


def test_sequence_numbers_begin_again_after_the_last() -> None:
    session = esme()
    session._sequence = MAX_SEQUENCE - 1
    assert submit(session, "a", "b", "c") == [MAX_SEQUENCE, 1, 2]
    assert [type(e) for e in session.receive(encode(SubmitSmResp(sequence=1)), 0.0)] == [Answer]


def test_a_peer_that_floods_is_overrun_until_it_is_answered() -> None:
    session = esme()
    flood = b"".join(encode(DeliverSm(sequence=n + 1)) for n in range(MAX_OWED))
    events = session.receive(flood, 0.0)
    assert len(events) == MAX_OWED
    assert session.overrun
    session.respond(DeliverSmResp(sequence=1))
    assert not session.overrun


def test_the_loss_of_the_connection_ends_all_once() -> None:
    session = esme()
    submit(session, "a", "b")
    session.request(QuerySm(message_id="1"), "q", now=0.0)
    events = session.lost("cut")
    assert events == [*(Unanswered(token, "cut") for token in ("a", "b", "q")), Closed("cut")]
    assert session.lost("again") == []
    session.respond(DeliverSmResp(sequence=1))


@pytest.mark.parametrize(
    ("status", "name"), [(0x58, "ESME_RTHROTTLED (0x00000058)"), (0x401, "0x00000401"), (0, "ESME_ROK (0x00000000)")]
)
def test_a_status_is_named_for_people(status: int, name: str) -> None:
    assert name_of(status) == name
