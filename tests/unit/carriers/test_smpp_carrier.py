"""The carrier over links that do what a test tells them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from tests.conformance.carriers.peers import Ear, Slow

from heliograph.carriers.interface import CarrierState, Inbound, Outcome, Receipt, Submit
from heliograph.carriers.settings import SmppSettings
from heliograph.carriers.smpp.carrier import SmppCarrier
from heliograph.carriers.smpp.pdu import (
    Command,
    DataSm,
    DataSmResp,
    DeliverSm,
    DeliverSmResp,
    GenericNack,
    QuerySm,
    QuerySmResp,
    Response,
    Status,
    SubmitSm,
    SubmitSmResp,
    Tag,
)
from heliograph.carriers.smpp.session import Answer
from heliograph.kit.clock import ManualClock
from heliograph.messaging.delivery import ReceiptState
from heliograph.messaging.retry import SubmitClass
from heliograph.messaging.submissions import Request, Submission
from heliograph.messaging.text import Encoding, Text


class FakeLink:
    """Sends what it is given nowhere; a test plays the SMSC."""

    def __init__(self, settings: SmppSettings, command: Command, window: int, events: Any, name: str) -> None:
        self.command, self.window, self.name = command, window, name
        self.events = events
        self.up = self.started = self.stopped = False
        self.paused = False
        self.epoch = 0
        self.sent: list[SubmitSm] = []
        self.open: deque[Submit] = deque()
        self.asked: list[tuple[QuerySm, object]] = []
        self.responses: list[tuple[int, int]] = []
        self.faults: list[str] = []

    @property
    def room(self) -> int:
        return 0 if self.paused or not self.up else self.window - len(self.open)

    def start(self) -> None:
        self.started = True

    async def stop(self) -> None:
        await asyncio.sleep(0)
        self.stopped = True
        if self.up:
            self.lose("stopped")

    def submit(self, pdus: Sequence[tuple[SubmitSm, Submit]]) -> None:
        assert 0 < len(pdus) <= self.room, "more than there is room for"
        assert self.command is not Command.BIND_RECEIVER
        self.sent += [pdu for pdu, _ in pdus]
        self.open.extend(submit for _, submit in pdus)

    def request(self, pdu: QuerySm, token: object) -> None:
        assert self.up
        self.asked.append((pdu, token))

    def respond(self, responses: Sequence[DeliverSmResp | DataSmResp], epoch: int) -> None:
        if self.up and epoch == self.epoch:
            self.responses += [(response.sequence, response.status) for response in responses]

    def fault(self, reason: str) -> None:
        assert not self.open, "answers are still to come"
        self.faults.append(reason)
        self.lose(reason, fault=True)

    # -- for the test

    def bind(self) -> None:
        self.up = True
        self.epoch += 1
        self.events.link_up(self)

    def lose(self, reason: str, *, fault: bool = False) -> None:
        lost, self.open = list(self.open) + [token for _, token in self.asked], deque()
        self.asked = []
        self.up = False
        if lost:
            self.events.unanswered(self, lost, reason)
        self.events.link_down(self, reason, fault)

    def answer(self, *responses: Response) -> None:
        """To the submits that have been open longest."""
        self.events.answered(self, [Answer(self.open.popleft(), response) for response in responses])

    def take(self, count: int, first: int = 1) -> None:
        self.answer(*[SubmitSmResp(message_id=str(first + n)) for n in range(count)])

    @property
    def wire(self) -> list[int]:
        """Which messages it sent: the number at the end of their recipients."""
        return [int(pdu.destination[-4:]) for pdu in self.sent]


class Rig:
    """A carrier, its ear and its links."""

    def __init__(self, ear: Ear | None = None, **settings: Any) -> None:
        self.clock = ManualClock()
        self.ear = ear or Ear()
        self.links: list[FakeLink] = []
        whole: dict[str, Any] = {"host": "smsc", "system_id": "us", "window": 10, **settings}

        def connect(*about: Any) -> Any:
            self.links.append(FakeLink(*about))
            return self.links[-1]

        self.carrier = SmppCarrier("c", SmppSettings(**whole), self.clock, connect=connect)

    async def up(self) -> Rig:
        await self.carrier.start(self.ear)
        for link in self.links:
            link.bind()
        return self

    @property
    def results(self) -> list[tuple[int, int, SubmitClass]]:
        return [(one.submit.submission.id, one.submit.part, one.result) for one in self.ear.ended]


def submit_of(id_: int, part: int = 1, parts: int = 1, sender: str = "96000") -> Submit:
    request = Request(id_, 1, 1, sender, Text("hello", Encoding.GSM7, parts), 1, 1 << 50)
    return Submit(Submission(id_, request, f"5691234{id_:04}", 1, 1, 0, 0, id_), part, "hello", parts)


def some(first: int, count: int) -> list[Submit]:
    return [submit_of(first + n) for n in range(count)]


def scenario(test: Callable[[], Any]) -> Callable[[], None]:
    """Run an async test."""

    def run() -> None:
        asyncio.run(test())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


@scenario
async def test_answers_become_outcomes_in_one_report() -> None:
    rig = await Rig().up()
    reports: list[Sequence[Outcome]] = []
    rig.ear.outcomes = reports.append  # type: ignore[method-assign, assignment]
    submits = some(1, 4)
    rig.carrier.submit(submits)
    assert rig.links[0].wire == [1, 2, 3, 4]
    rig.links[0].answer(
        SubmitSmResp(message_id="007"),
        SubmitSmResp(status=Status.ESME_RINVDSTADR),
        GenericNack(status=Status.ESME_RINVCMDLEN + 0xFE),
        SubmitSmResp(status=0x412),
    )
    assert reports == [
        [
            Outcome(submits[0], SubmitClass.TAKEN, "7"),
            Outcome(submits[1], SubmitClass.PERMANENT, detail="ESME_RINVDSTADR (0x0000000B)"),
            Outcome(submits[2], SubmitClass.AMBIGUOUS, detail="ESME_RSERTYPUNAUTH (0x00000100)"),
            Outcome(submits[3], SubmitClass.AMBIGUOUS, detail="command_status 0x00000412"),
        ]
    ]


@scenario
async def test_a_carrier_that_is_not_connected_gives_back_what_it_is_given_but_not_within_the_hand_over() -> None:
    rig = Rig()
    await rig.carrier.start(rig.ear)
    assert not rig.carrier.open
    rig.carrier.submit(some(1, 3))
    rig.carrier.submit(some(4, 1))
    assert rig.ear.ended == []
    rig.clock.advance(0)
    assert rig.results == [(id_, 1, SubmitClass.NOT_SENT) for id_ in (1, 2, 3, 4)]
    assert rig.links[0].sent == []


@scenario
async def test_what_was_sent_is_unknown_and_what_was_not_comes_back_when_the_last_link_is_lost() -> None:
    rig = await Rig(throughput=40).up()  # two at once
    rig.carrier.submit(some(1, 5))
    rig.links[0].lose("reset by peer")
    assert not rig.carrier.open
    rig.clock.advance(1)
    assert rig.results == [(id_, 1, SubmitClass.UNKNOWN) for id_ in (1, 2)] + [
        (id_, 1, SubmitClass.NOT_SENT) for id_ in (3, 4, 5)
    ]
    assert {one.detail for one in rig.ear.ended} == {"reset by peer", "smsc:2775: reset by peer"}
    rig.links[0].bind()
    rig.clock.advance(1)
    assert rig.links[0].wire == [1, 2], "nothing is sent a second time by itself"


@scenario
async def test_state_is_told_when_it_changes_and_is_right_when_told() -> None:
    rig = Rig(binds=2)
    told: list[tuple[CarrierState, str, bool]] = []
    rig.ear.changed = lambda state, why: told.append((state, why, rig.carrier.open))  # type: ignore[method-assign]
    await rig.carrier.start(rig.ear)
    first, second = rig.links
    first.bind()
    second.bind()
    second.lose("gone")
    second.lose("gone")
    first.lose("bind refused: ESME_RINVPASWD (0x0000000E)", fault=True)
    first.bind()
    await rig.carrier.stop()
    assert [(state, is_open) for state, _, is_open in told] == [
        (CarrierState.CONNECTING, False),
        (CarrierState.UP, True),
        (CarrierState.UP, True),
        (CarrierState.UP, True),
        (CarrierState.FAULT, False),
        (CarrierState.UP, True),
        (CarrierState.STOPPED, False),
    ]
    assert told[1][1] == "1 of 2 links are down: not connected yet"
    assert told[2][1] == ""
    assert told[3][1] == "1 of 2 links are down: gone"
    assert "ESME_RINVPASWD" in told[4][1]


@scenario
async def test_a_receivers_link_alone_does_not_open_a_carrier_nor_carry_submits() -> None:
    rig = Rig(bind="transmitter_receiver")
    await rig.carrier.start(rig.ear)
    transmitter, receiver = rig.links
    assert (transmitter.command, receiver.command) == (Command.BIND_TRANSMITTER, Command.BIND_RECEIVER)
    receiver.bind()
    assert not rig.carrier.open
    transmitter.bind()
    assert rig.carrier.open
    rig.carrier.submit(some(1, 5))
    assert (len(transmitter.sent), len(receiver.sent)) == (5, 0)
    receiver.lose("gone")
    assert rig.carrier.open


# -- several binds


@scenario
async def test_two_binds_share_the_work_and_one_dies_in_mid_window() -> None:
    rig = await Rig(binds=2, window=20).up()
    first, second = rig.links
    assert (first.window, second.window) == (10, 10)
    rig.carrier.submit(some(1, 20))
    assert (len(first.open), len(second.open)) == (10, 10)
    on_second = [submit.submission.id for submit in second.open]
    second.lose("reset")
    assert rig.carrier.open
    assert rig.results == [(id_, 1, SubmitClass.UNKNOWN) for id_ in on_second]
    rig.carrier.submit(some(101, 10))  # the engine has room for them
    assert len(first.sent) == 10, "the other has a window of its own"
    first.take(10)
    assert first.wire[10:] == list(range(101, 111))
    first.take(10, 100)
    assert len(rig.results) == 30
    assert len(set(rig.results)) == 30


@scenario
async def test_parts_of_a_message_go_out_on_one_bind_one_after_another() -> None:
    rig = await Rig(binds=3, window=30).up()
    submits = [submit_of(id_, part, 4) for id_ in range(1, 8) for part in (1, 2, 3, 4)]
    for start in (0, 3, 10, 21):  # however they are handed over
        end = {0: 3, 3: 10, 10: 21, 21: 28}[start]
        rig.carrier.submit(submits[start:end])
    for _ in range(10):
        for link in rig.links:
            link.take(len(link.open))
    for id_ in range(1, 8):
        on = [link for link in rig.links if id_ in link.wire]
        assert len(on) == 1
        at = on[0].wire.index(id_)
        assert on[0].wire[at : at + 4] == [id_] * 4
        numbers = [pdu.short_message[5] for pdu in on[0].sent[at : at + 4]]
        assert numbers == [1, 2, 3, 4]
    assert sum(len(link.sent) for link in rig.links) == 28


@scenario
async def test_a_message_that_one_bind_has_no_room_for_goes_out_on_another_and_holds_up_nothing() -> None:
    rig = await Rig(binds=2, window=20).up()
    rig.carrier.submit([*some(1, 9), *(submit_of(10, part, 3) for part in (1, 2, 3)), *some(11, 8)])
    assert sorted(rig.links[0].wire + rig.links[1].wire) == sorted([*range(1, 10), 10, 10, 10, *range(11, 19)])
    assert [link.wire.count(10) for link in rig.links] in ([0, 3], [3, 0])


@scenario
async def test_a_message_of_more_parts_than_any_bind_has_room_for_is_sent_on_one() -> None:
    rig = await Rig(binds=2, window=10).up()
    rig.carrier.submit([submit_of(1, part, 9) for part in range(1, 10)])
    busy = next(link for link in rig.links if link.sent)
    busy.take(5)
    assert busy.wire == [1] * 9
    assert len(rig.links[0].sent) + len(rig.links[1].sent) == 9


@scenario
async def test_one_bind_keeps_the_order_when_it_is_limited_paused_and_answered() -> None:
    rig = await Rig(window=50, throughput=100).up()
    (link,) = rig.links
    rig.carrier.submit(some(1, 20))
    rig.carrier.submit(some(21, 20))
    rig.clock.advance(0.05)
    link.paused = True
    rig.clock.advance(1)
    link.take(3)
    rig.carrier.submit(some(41, 10))
    link.paused = False
    link.events.answered(link, ())  # there is room again
    for _ in range(20):
        rig.clock.advance(0.1)
        link.take(len(link.open))
    assert link.wire == list(range(1, 51))


# -- throughput


@scenario
async def test_no_second_has_more_than_the_throughput_and_none_is_wasted() -> None:
    rig = await Rig(window=1_000, throughput=100).up()
    (link,) = rig.links
    rig.carrier.submit(some(1, 1_000))
    sent = []
    for _ in range(500):
        sent.append(len(link.sent))
        rig.clock.advance(0.01)
    burst = 5
    for start in range(0, 400, 7):
        assert sent[start + 100] - sent[start] <= 100 + burst
    assert 495 <= len(link.sent) <= 505


@scenario
async def test_nothing_is_saved_up_for_a_burst_and_a_clock_that_is_set_back_stops_nothing() -> None:
    rig = await Rig(window=1_000, throughput=100).up()
    (link,) = rig.links
    rig.clock.advance(60)
    rig.carrier.submit(some(1, 100))
    assert len(link.sent) == 5
    rig.clock.now_utc_ms = lambda: 1_000  # type: ignore[method-assign]
    for _ in range(20):
        rig.clock.advance(0.01)
    rig.clock.now_utc_ms = lambda: 1_050  # type: ignore[method-assign]
    rig.clock.advance(0.2)
    assert len(link.sent) == 10


@scenario
async def test_less_than_one_a_second_is_possible() -> None:
    rig = await Rig(throughput=0.5).up()
    rig.carrier.submit(some(1, 3))
    assert len(rig.links[0].sent) == 1
    rig.clock.advance(1.9)
    assert len(rig.links[0].sent) == 1
    rig.clock.advance(0.2)
    assert len(rig.links[0].sent) == 2


# -- what an answer says about the link


@scenario
async def test_a_link_fault_takes_the_link_down_once_all_is_answered() -> None:
    rig = await Rig().up()
    (link,) = rig.links
    rig.carrier.submit(some(1, 4))
    link.answer(SubmitSmResp(message_id="1"), SubmitSmResp(status=Status.ESME_RINVBNDSTS))
    assert not rig.carrier.open
    assert rig.ear.states[-1] is CarrierState.FAULT
    rig.carrier.submit(some(5, 1))
    rig.clock.advance(0)
    assert link.faults == []
    link.take(2, 2)
    assert link.faults == ["a submit_sm was answered ESME_RINVBNDSTS (0x00000004)"]
    assert rig.results == [
        (1, 1, SubmitClass.TAKEN),
        (2, 1, SubmitClass.LINK_FAULT),
        (5, 1, SubmitClass.NOT_SENT),
        (3, 1, SubmitClass.TAKEN),
        (4, 1, SubmitClass.TAKEN),
    ]
    assert rig.ear.states[-1] is CarrierState.FAULT
    link.bind()
    assert rig.carrier.open
    assert rig.ear.states[-1] is CarrierState.UP


@scenario
async def test_a_link_fault_on_one_bind_leaves_the_work_to_the_other() -> None:
    rig = await Rig(binds=2).up()
    first, second = rig.links
    rig.carrier.submit(some(1, 2))
    first.answer(SubmitSmResp(status=Status.ESME_RINVSYSTYP))
    assert first.faults
    assert rig.carrier.open
    rig.carrier.submit(some(3, 2))
    assert len(second.sent) == 3


@scenario
async def test_what_cannot_be_written_is_refused_and_the_rest_is_sent() -> None:
    rig = await Rig().up()
    rig.carrier.submit([submit_of(1), submit_of(2, sender="Ωmega"), submit_of(3)])
    assert rig.ear.ended == []
    rig.clock.advance(0)
    assert rig.results == [(2, 1, SubmitClass.PERMANENT)]
    assert "Ωmega" in rig.ear.ended[0].detail
    assert rig.links[0].wire == [1, 3]


# -- what is delivered


def receipt(sequence: int, id_: str, state: int = 2) -> DeliverSm:
    tlvs = ((Tag.RECEIPTED_MESSAGE_ID, id_.encode() + b"\0"), (Tag.MESSAGE_STATE, bytes((state,))))
    return DeliverSm(esm_class=4, sequence=sequence, tlvs=tlvs)


class Deaf(Slow):
    """Takes its time with receipts too."""

    def receipts(self, receipts: Sequence[Receipt], acknowledge: Callable[[bool], None]) -> None:
        self.told += receipts
        self.acknowledges.put_nowait(acknowledge)


@scenario
async def test_a_read_is_one_report_of_receipts_and_one_of_messages_each_answered_when_stored() -> None:
    rig = await Rig(Deaf()).up()
    ear, (link,) = rig.ear, rig.links
    assert isinstance(ear, Deaf)
    message = DeliverSm(sequence=12, source="56912345678", destination="96000", short_message=b"hi")
    data = DataSm(sequence=13, esm_class=4, tlvs=((Tag.MESSAGE_PAYLOAD, b"id:3 stat:EXPIRED"),))
    unreadable = DeliverSm(sequence=14, esm_class=4, short_message=b"what?")
    link.events.received(link, [receipt(11, "01"), message, data, unreadable])
    assert ear.told == [Receipt("1", ReceiptState.DELIVERED), Receipt("3", ReceiptState.EXPIRED)]
    assert ear.received == [Inbound("56912345678", "96000", "hi")]
    assert link.responses == [(14, Status.ESME_RX_P_APPN)]
    of_receipts, of_messages = ear.acknowledges.get_nowait(), ear.acknowledges.get_nowait()
    of_messages(False)
    assert link.responses[1:] == [(12, Status.ESME_RX_T_APPN)]
    of_receipts(True)
    assert link.responses[2:] == [(11, 0), (13, 0)]


@scenario
async def test_a_lost_connections_receipts_are_not_answered_on_the_next() -> None:
    rig = await Rig(Deaf()).up()
    ear, (link,) = rig.ear, rig.links
    assert isinstance(ear, Deaf)
    link.events.received(link, [receipt(1, "7")])
    link.lose("reset")
    link.bind()
    link.events.received(link, [receipt(1, "8")])
    ear.acknowledges.get_nowait()(True)
    assert link.responses == []
    ear.acknowledges.get_nowait()(True)
    assert link.responses == [(1, 0)]


@scenario
async def test_early_late_and_repeated_receipts_are_all_told_with_the_id_of_the_answer() -> None:
    rig = await Rig(message_ids="resp-hex-dlr-dec").up()
    (link,) = rig.links
    rig.carrier.submit(some(1, 1))
    link.events.received(link, [receipt(1, "0031")])
    link.answer(SubmitSmResp(message_id="0000001F"))
    link.events.received(link, [receipt(2, "31", 5)])
    link.events.received(link, [receipt(3, "31"), receipt(4, "31")])
    assert {one.ref for one in rig.ear.told} == {rig.ear.ended[0].ref} == {"31"}
    assert len(rig.ear.told) == 4
    assert link.responses == [(1, 0), (2, 0), (3, 0), (4, 0)]


# -- asking


@scenario
async def test_questions_go_out_a_few_at_a_time_and_what_is_learned_is_a_receipt() -> None:
    rig = await Rig(message_ids="resp-hex-dlr-dec").up()
    (link,) = rig.links
    rig.carrier.submit(some(1, 1))
    link.answer(SubmitSmResp(message_id="00001F"))
    rig.carrier.query([str(number) for number in range(31, 81)], ["Alerts"] * 50)
    assert len(link.asked) == 20
    query, token = link.asked[0]
    assert (query.message_id, query.source_ton, query.source) == ("00001F", 5, "Alerts")
    answers = [
        Answer(token, QuerySmResp(message_state=5, error_code=11)),
        Answer(link.asked[1][1], QuerySmResp(status=Status.ESME_RQUERYFAIL)),
        Answer(link.asked[2][1], QuerySmResp(message_state=99)),
    ]
    link.events.answered(link, answers)
    assert rig.ear.told == [Receipt("31", ReceiptState.UNDELIVERABLE, error="11")]
    assert len(link.asked) == 23
    link.events.unanswered(link, [link.asked[3][1]], "no answer in 60 s")
    rig.carrier.query([])
    assert len(link.asked) == 24
    assert rig.ear.ended[1:] == []


@scenario
async def test_questions_without_a_link_are_dropped_and_do_not_block_later_ones() -> None:
    rig = await Rig().up()
    (link,) = rig.links
    rig.carrier.query([str(number) for number in range(5_000)])
    assert len(link.asked) == 20
    answered = 0
    while answered < len(link.asked):
        link.events.unanswered(link, [link.asked[answered][1]], "no answer")
        rig.carrier.query([])
        answered += 1
    assert answered == 1_000, "the rest was too much to remember"
    rig.carrier.query(["1"] * 30)
    link.asked = link.asked[answered:]
    link.lose("reset")
    rig.carrier.query(["1"])
    link.bind()
    assert link.asked == []
    rig.carrier.query(["2", "3"])
    assert [query.message_id for query, _ in link.asked] == ["2", "3"]


# -- the end


@scenario
async def test_nothing_is_sent_any_more_while_the_links_take_their_leave() -> None:
    rig = await Rig().up()
    stopping = asyncio.create_task(rig.carrier.stop())
    await asyncio.sleep(0)
    assert rig.links[0].up
    assert not rig.carrier.open
    rig.carrier.submit(some(1, 1))
    await stopping
    rig.clock.advance(0)
    assert rig.results == [(1, 1, SubmitClass.NOT_SENT)]
    assert rig.links[0].sent == []


@scenario
async def test_stopping_gives_back_what_waits_and_says_unknown_of_what_is_out() -> None:
    rig = await Rig(throughput=40).up()
    rig.carrier.submit(some(1, 4))
    await rig.carrier.stop()
    assert rig.results == [(3, 1, SubmitClass.NOT_SENT), (4, 1, SubmitClass.NOT_SENT)] + [
        (id_, 1, SubmitClass.UNKNOWN) for id_ in (1, 2)
    ]
    assert rig.ear.states[-1] is CarrierState.STOPPED
    assert all(link.stopped for link in rig.links)
    rig.clock.advance(10)
    rig.carrier.submit(some(5, 1))
    rig.clock.advance(10)
    assert rig.results[4:] == [(5, 1, SubmitClass.NOT_SENT)]
    await rig.carrier.stop()
