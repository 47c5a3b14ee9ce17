"""What the engine may rely on, whatever takes the messages away."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from tests.conformance.carriers.peers import WINDOW, Ear, Peer, Slow, opened, submit_of
from tests.simulation.rig import DIALECT, PRICE, Rig, settle

from heliograph.carriers.interface import Carrier, CarrierState, Inbound, Outcome, Submit
from heliograph.messaging.delivery import ReceiptState
from heliograph.messaging.retry import SubmitClass
from heliograph.messaging.submissions import Request, Status, Submission
from heliograph.messaging.text import Encoding, Text
from heliograph.store import interface as it


def a_window_of(peer: Peer, first: int = 1) -> list[Submit]:
    """Submits of every fate, as many as may be open."""
    numbers = list(peer.recipients.values())
    return [submit_of(first + i, numbers[i % len(numbers)]) for i in range(WINDOW)]


async def started(peer: Peer) -> tuple[Carrier, Ear]:
    carrier, ear = peer.carrier(), Ear()
    await carrier.start(ear)
    await opened(carrier)
    return carrier, ear


def test_every_submit_ends_exactly_once(peer: Peer) -> None:
    async def scenario() -> None:
        carrier, ear = await started(peer)
        for first in (1, 101, 201):
            submits = a_window_of(peer, first)
            carrier.submit(submits[:1])
            carrier.submit(submits[1:7])
            carrier.submit(submits[7:])
            await peer.pass_time(5)
        await peer.pass_time(60)
        assert ear.count() == Counter({(first + i, 1): 1 for first in (1, 101, 201) for i in range(WINDOW)})
        await carrier.stop()
        assert set(ear.count().values()) == {1}

    asyncio.run(scenario())


def test_answers_do_not_come_before_the_hand_over_is_over(peer: Peer) -> None:
    async def scenario() -> None:
        carrier, ear = await started(peer)
        carrier.submit(a_window_of(peer))
        assert ear.ended == []
        assert ear.told == []
        await carrier.stop()

    asyncio.run(scenario())


def test_outcome_names_the_very_submit_and_what_the_carrier_calls_it(peer: Peer) -> None:
    async def scenario() -> None:
        carrier, ear = await started(peer)
        parts = [submit_of(5, peer.recipients["delivered"], part, 3) for part in (1, 2, 3)]
        carrier.submit(parts)
        await peer.pass_time(5)
        assert [one.submit for one in ear.ended] == parts
        assert {one.result for one in ear.ended} == {SubmitClass.TAKEN}
        assert len({one.ref for one in ear.ended}) == 3
        assert all(one.ref for one in ear.ended)
        await carrier.stop()

    asyncio.run(scenario())


def test_fates_are_what_the_numbers_say(peer: Peer) -> None:
    async def scenario() -> None:
        carrier, ear = await started(peer)
        names = list(peer.recipients)
        carrier.submit([submit_of(i, peer.recipients[name]) for i, name in enumerate(names)])
        await peer.pass_time(60)
        by_name = {names[one.submit.submission.id]: one for one in ear.ended}
        assert by_name["unanswered"].result is SubmitClass.UNKNOWN
        assert by_name["unanswered"].ref == ""
        told = Counter((one.ref, one.state) for one in ear.told)
        times = {"twice": 2}  # otherwise a receipt that was stored is not told again
        assert told == {(by_name[name].ref, state): times.get(name, 1) for name, state in peer.receipts.items()}
        await carrier.stop()

    asyncio.run(scenario())


def test_receipt_may_come_before_the_answer_that_it_belongs_to(peer: Peer) -> None:
    async def scenario() -> None:
        carrier, ear = await started(peer)
        told_first: list[bool] = []
        ear.on_outcome = lambda outcome: told_first.append(outcome.ref in {one.ref for one in ear.told})
        carrier.submit([submit_of(i, peer.recipients[name]) for i, name in enumerate(("early", "delivered"))])
        await peer.pass_time(5)
        assert {one.submit.submission.id: first for one, first in zip(ear.ended, told_first, strict=True)} == {
            0: True,
            1: False,
        }
        await carrier.stop()

    asyncio.run(scenario())


def test_what_is_throttled_was_not_sent_and_is_taken_when_it_comes_again(peer: Peer) -> None:
    async def scenario() -> None:
        carrier, ear = await started(peer)
        parts = [submit_of(1, peer.throttled, part, 3) for part in (1, 2, 3)]
        carrier.submit(parts[:2])
        carrier.submit([*parts[2:], submit_of(2, peer.recipients["delivered"])])
        await peer.pass_time(5)
        results = {(one.submit.submission.id, one.submit.part): one.result for one in ear.ended}
        throttled = {(1, part): SubmitClass.THROTTLED for part in (1, 2, 3)}
        assert results == {**throttled, (2, 1): SubmitClass.TAKEN}
        assert list(ear.refs()) == [2]
        assert peer.seen() == [(2, 1)]
        carrier.submit(parts)
        await peer.pass_time(5)
        assert [one.result for one in ear.ended[4:]] == [SubmitClass.TAKEN] * 3
        assert peer.seen() == [(2, 1), (1, 1), (1, 2), (1, 3)]
        assert Counter(one.state for one in ear.told) == {ReceiptState.DELIVERED: 4}
        await carrier.stop()

    asyncio.run(scenario())


def test_far_end_has_seen_a_submit_before_its_answer_comes(peer: Peer) -> None:
    async def scenario() -> None:
        carrier, ear = await started(peer)

        def check(outcome: Outcome) -> None:
            assert (outcome.submit.submission.id, outcome.submit.part) in peer.seen()

        ear.on_outcome = check
        carrier.submit(a_window_of(peer))
        await peer.pass_time(60)
        assert len(ear.ended) == WINDOW
        assert peer.seen() == [(one.submission.id, one.part) for one in a_window_of(peer)]
        await carrier.stop()

    asyncio.run(scenario())


def test_receipt_that_was_not_stored_is_told_again_until_it_is(peer: Peer) -> None:
    async def scenario() -> None:
        carrier, ear = await started(peer)
        ear.stores = False
        carrier.submit([submit_of(1, peer.recipients["delivered"]), submit_of(2, peer.recipients["rejected"])])
        await peer.pass_time(30)
        told = Counter(one.ref for one in ear.told)
        assert set(told) == set(ear.refs().values())
        assert min(told.values()) > 1
        ear.stores = True
        await peer.pass_time(30)
        told = Counter(one.ref for one in ear.told)
        await peer.pass_time(300)
        assert Counter(one.ref for one in ear.told) == told
        await carrier.stop()

    asyncio.run(scenario())


def test_stopped_carrier_is_quiet_and_leaves_no_submit_without_an_outcome(peer: Peer) -> None:
    async def scenario() -> None:
        carrier, ear = await started(peer)
        carrier.submit(a_window_of(peer)[:10])
        await peer.pass_time(0.05)
        carrier.submit(a_window_of(peer)[10:])
        await carrier.stop()
        assert ear.count() == Counter({(1 + i, 1): 1 for i in range(WINDOW)})
        ended, told = len(ear.ended), len(ear.told)
        await peer.pass_time(120)
        assert (len(ear.ended), len(ear.told)) == (ended, told)
        await carrier.stop()

    asyncio.run(scenario())


def test_carrier_that_was_never_started_can_be_stopped(peer: Peer) -> None:
    asyncio.run(peer.carrier().stop())


def test_what_became_of_a_part_can_be_asked_in_a_later_life(peer: Peer) -> None:
    async def scenario() -> None:
        carrier, ear = await started(peer)
        names = list(peer.receipts)
        carrier.submit([submit_of(i, peer.recipients[name]) for i, name in enumerate(names)])
        await peer.pass_time(5)
        await carrier.stop()
        refs = ear.refs()
        again, told = await started(peer)
        asked = [refs[i] for i in range(len(names))]
        again.query(asked, ["96000"] * len(asked))
        again.query([])
        await peer.pass_time(5)
        assert {(one.ref, one.state) for one in told.told} == {
            (refs[i], peer.receipts[name]) for i, name in enumerate(names)
        }
        assert len(told.told) == len(names)
        await again.stop()

    asyncio.run(scenario())


def test_ids_of_a_later_life_are_none_of_an_earlier_ones(peer: Peer) -> None:
    async def scenario() -> None:
        refs: list[str] = []
        for life in range(3):
            carrier, ear = await started(peer)
            carrier.submit([submit_of(10 * life + i, peer.recipients["delivered"]) for i in range(5)])
            await peer.pass_time(5)
            refs += ear.refs().values()
            await carrier.stop()
        assert len(set(refs)) == 15

    asyncio.run(scenario())


def an_inbound_message(text: str = "Hello") -> Inbound:
    return Inbound("56912345678", "96000", text)


def test_inbound_message_arrives_once_and_as_it_was_written(peer: Peer) -> None:
    async def scenario() -> None:
        carrier, ear = await started(peer)
        messages = [
            an_inbound_message(text) for text in ("Hello", "Привет, 你好 😀", 'two\nlines\t"\\', "x" * peer.longest)
        ]
        for message in messages:
            assert await peer.write(message)
        await peer.pass_time(60)
        assert ear.received == messages
        await carrier.stop()

    asyncio.run(scenario())


def test_inbound_message_is_acknowledged_when_it_is_stored_and_not_before(peer: Peer) -> None:
    async def scenario() -> None:
        carrier, ear = peer.carrier(), Slow()
        await carrier.start(ear)
        await opened(carrier)
        writing = asyncio.create_task(peer.write(an_inbound_message()))
        acknowledge = await ear.acknowledges.get()
        await peer.pass_time(1)
        assert not writing.done()
        acknowledge(True)
        assert await writing
        await carrier.stop()

    asyncio.run(scenario())


def test_inbound_message_that_could_not_be_stored_is_not_acknowledged(peer: Peer) -> None:
    async def scenario() -> None:
        carrier, ear = await started(peer)
        ear.stores = False
        assert not await peer.write(an_inbound_message())
        ear.stores = True
        assert await peer.write(an_inbound_message())
        await carrier.stop()

    asyncio.run(scenario())


def test_stopped_carrier_receives_nothing_more(peer: Peer) -> None:
    async def scenario() -> None:
        carrier, ear = await started(peer)
        assert await peer.write(an_inbound_message())
        await carrier.stop()
        with pytest.raises(OSError):
            await peer.write(an_inbound_message("too late"))
        assert ear.received == [an_inbound_message()]

    asyncio.run(scenario())


class Counting:
    """A carrier with a turnstile."""

    def __init__(self, carrier: Carrier) -> None:
        self.carrier = carrier
        self.name, self.window, self.bodies = carrier.name, carrier.window, carrier.bodies
        self.out = self.most = 0

    async def start(self, events: object) -> None:
        self.lane = events
        await self.carrier.start(self)

    async def stop(self) -> None:
        await self.carrier.stop()

    def submit(self, submits: list[Submit]) -> None:
        self.out += len(submits)
        self.most = max(self.most, self.out)
        self.carrier.submit(submits)

    def query(self, refs: list[str], senders: list[str] | tuple[str, ...] = ()) -> None:
        self.carrier.query(refs, senders)

    @property
    def open(self) -> bool:
        return self.carrier.open

    def changed(self, state: CarrierState, detail: str) -> None:
        self.lane.changed(state, detail)  # type: ignore[attr-defined]

    def outcomes(self, outcomes: list[Outcome]) -> None:
        self.out -= len(outcomes)
        self.lane.outcomes(outcomes)  # type: ignore[attr-defined]

    def receipts(self, receipts: object, acknowledge: object) -> None:
        self.lane.receipts(receipts, acknowledge)  # type: ignore[attr-defined]

    def inbound(self, messages: object, acknowledge: object) -> None:
        self.lane.inbound(messages, acknowledge)  # type: ignore[attr-defined]


END = {
    ReceiptState.DELIVERED: Status.DELIVERED,
    ReceiptState.UNDELIVERABLE: Status.UNDELIVERED,
    ReceiptState.REJECTED: Status.REJECTED,
    ReceiptState.EXPIRED: Status.EXPIRED,
    ReceiptState.UNKNOWN: Status.UNKNOWN,
}


def test_engine_keeps_to_the_window_and_every_message_ends_as_its_number_says(peer: Peer, tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = Counting(peer.carrier())
        rig = Rig(tmp_path / "data", peer.clock)
        await rig.open(carrier)  # type: ignore[arg-type]
        names = list(peer.receipts)
        sent: dict[int, str] = {}
        for number in range(100):
            first = rig.ids.number()
            name = names[number % len(names)]
            segments = 1 + number % 3
            text = Text("x" * (153 * segments if segments > 1 else 5), Encoding.GSM7, segments)
            request = Request(first, rig.account.id, DIALECT, "96000", text, 1, 1 << 50)
            one = Submission(first, request, peer.recipients[name], PRICE, 1, 0, 0, first)
            assert await rig.store.apply(it.Accept(request, [one])) == [True]
            sent[first] = name
        for _ in range(200):
            await peer.pass_time(0.05)
            await settle()
        assert {id_: rig.status(id_) for id_ in sent} == {id_: END[peer.receipts[name]] for id_, name in sent.items()}
        assert carrier.most == WINDOW or (peer.real_time and carrier.most < WINDOW)
        parts = [(id_, part) for id_ in sent for part in range(1, 1 + rig.message(id_).segments)]
        assert peer.seen() == parts
        await rig.dispatch.stop()
        rig.crash()

    asyncio.run(scenario())


def test_engine_sends_again_what_was_throttled_and_nothing_overtakes_within_a_message(
    peer: Peer, tmp_path: Path
) -> None:
    async def scenario() -> None:
        rig = Rig(tmp_path / "data", peer.clock)
        carrier = peer.carrier()
        await rig.open(carrier)  # type: ignore[arg-type]
        ids: list[int] = []
        for _ in range(2 * WINDOW):
            accept = rig.drafts(segments=3, carrier=carrier.name)
            (one,) = accept.submissions
            one.recipient = peer.throttled
            await rig.store.apply(accept)
            ids.append(one.id)
        for _ in range(20 * 60):
            await peer.pass_time(0.05)
            await settle()
        assert {rig.status(id_) for id_ in ids} == {Status.DELIVERED}
        seen = peer.seen()
        assert sorted(seen) == [(id_, part) for id_ in ids for part in (1, 2, 3)]
        assert all([part for id_, part in seen if id_ == message] == [1, 2, 3] for message in ids)
        await rig.dispatch.stop()
        rig.crash()

    asyncio.run(scenario())


def test_server_stopped_in_the_midst_of_its_work_leaves_nothing_in_doubt(peer: Peer, tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = peer.carrier()
        rig = Rig(tmp_path / "data", peer.clock)
        await rig.open(carrier)  # type: ignore[arg-type]
        accept = rig.drafts(3 * WINDOW, carrier=carrier.name)
        await rig.store.apply(accept)
        await rig.dispatch.stop()
        for task in rig.tasks:
            task.cancel()
        await asyncio.wait_for(rig.store.close(), 5)
        again = Rig(tmp_path / "data", peer.clock)
        await again.open(peer.carrier())  # type: ignore[arg-type]
        for _ in range(200):
            await peer.pass_time(0.05)
            await settle()
        assert {again.status(one.id) for one in accept.submissions} == {Status.DELIVERED}
        assert peer.seen() == [(one.id, 1) for one in accept.submissions]
        assert not [event for one in accept.submissions for event in again.events_of(one.id)]
        await again.dispatch.stop()
        again.crash()

    asyncio.run(scenario())
