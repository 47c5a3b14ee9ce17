"""The end of a validity: unsent messages end at it wherever they wait, and sent ones are not waited for for ever."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.simulation.rig import PRICE, Rig, ScriptedCarrier, report, run, settle
from tests.unit.service.test_dispatch import watch

from heliograph.messaging.delivery import ReceiptState
from heliograph.messaging.retry import SubmitClass
from heliograph.messaging.submissions import Status
from heliograph.service import dispatch, lane
from heliograph.store import interface as it

TAKEN, UNKNOWN = SubmitClass.TAKEN, SubmitClass.UNKNOWN
THROTTLED, TEMPORARY = SubmitClass.THROTTLED, SubmitClass.TEMPORARY
MINUTE = 60_000
DAY = 24 * 3600


async def opened(folder: Path, *carriers: ScriptedCarrier, **how: Any) -> Rig:
    """A server that has been up for a while."""
    rig = Rig(folder / "data")
    watch(rig, carriers[0])
    await rig.open(*carriers, **how)
    await rig.pass_time(3)
    return rig


def idle(rig: Rig, carrier_id: int = 1) -> bool:
    """Whether nothing is left of anything in the lane: no slot taken, nobody counted as waiting."""
    one = rig.dispatch.lanes[carrier_id]
    return (one.waiting, one._in_store, one._granted, len(one._assemblies), len(one._ready), len(one._queue)) == (
        (0,) * 6
    )


def expired(rig: Rig, *ids: int) -> None:
    for id_ in ids:
        message = rig.message(id_)
        assert (message.status, message.refunded) == (Status.EXPIRED, True)
        assert rig.told(id_) == [("EXPIRED", "pending")]
        assert "validity" in message.detail


# -- in the lane's memory


def test_message_behind_one_that_is_never_answered_expires_in_time(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier(window=1)
        rig = await opened(tmp_path, carrier)
        before = rig.balance()
        (stuck,) = await rig.accept()
        ids = await rig.accept(3, lives_ms=MINUTE)
        (long,) = await rig.accept(1, segments=3, lives_ms=MINUTE)
        (patient,) = await rig.accept()
        await rig.pass_time(58)
        assert {rig.status(id_) for id_ in [*ids, long]} == {Status.PENDING}
        await rig.pass_time(4)
        expired(rig, *ids, long)
        assert rig.balance() == before - 2 * PRICE
        assert rig.dispatch.lanes[1].waiting == 2
        carrier.answer(TAKEN)
        await settle()
        carrier.answer(TAKEN)
        await settle()
        assert carrier.wire == [(stuck, 1), (patient, 1)]
        assert rig.status(patient) is Status.SENT
        assert idle(rig)

    run(scenario())


@pytest.mark.parametrize("at_once", [1, 2, 1000])
def test_message_expires_while_the_carrier_is_paused_and_its_slots_go_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(lane, "LAPSE_MESSAGES", at_once)

    async def scenario() -> None:
        carrier = ScriptedCarrier(window=3)
        rig = await opened(tmp_path, carrier)
        before = rig.balance()
        (single,) = await rig.accept(lives_ms=MINUTE)
        (long,) = await rig.accept(1, segments=4, lives_ms=MINUTE)  # two parts of it have slots, two have none
        later = await rig.accept(4)
        for pause in (1, 2, 4, 8, 16):
            carrier.answer(THROTTLED, THROTTLED, THROTTLED)
            await rig.pass_time(pause)
        carrier.answer(THROTTLED, THROTTLED, THROTTLED)  # at 31 s, until 61 s
        await settle()
        rig.clock.advance(28)
        carrier.take_all()
        await rig.pass_time(1)
        handed_over = len(carrier.sent)
        await rig.pass_time(8)
        expired(rig, single, long)
        assert rig.balance() == before - 4 * PRICE
        assert carrier.wire[handed_over:] == [(id_, 1) for id_ in later[:3]]
        carrier.take_all()
        await settle()
        carrier.take_all()
        await settle()
        assert [rig.status(id_) for id_ in later] == [Status.SENT] * 4
        assert idle(rig)

    run(scenario())


@pytest.mark.parametrize(
    ("answer", "status", "refunded"),
    [(TAKEN, Status.UNDELIVERED, False), (THROTTLED, Status.EXPIRED, True), (UNKNOWN, Status.UNDELIVERED, False)],
)
def test_long_message_with_a_part_on_the_wire_is_decided_on_with_its_answer(
    tmp_path: Path, answer: SubmitClass, status: Status, refunded: bool
) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier(window=1)
        rig = await opened(tmp_path, carrier)
        (id_,) = await rig.accept(1, segments=3, lives_ms=MINUTE)
        await rig.pass_time(63)
        assert rig.status(id_) is Status.PENDING
        carrier.answer(answer)
        await rig.pass_time(3)
        assert (rig.status(id_), rig.message(id_).refunded) == (status, refunded)
        assert carrier.wire == [(id_, 1)]
        assert idle(rig)
        (next_,) = await rig.accept()
        assert carrier.wire[1:] == [(next_, 1)]

    run(scenario())


def test_no_more_is_in_doubt_than_the_window_while_a_lapsed_message_is_still_on_the_wire(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier(window=2)
        rig = await opened(tmp_path, carrier)
        (long,) = await rig.accept(1, segments=3, lives_ms=MINUTE)
        others = await rig.accept(3)
        await rig.pass_time(63)
        carrier.answer(TAKEN)
        await rig.pass_time(3)
        assert rig.in_doubt() <= 2
        assert len(carrier.sent) == 2, "sent before the long one was decided on"
        carrier.answer(TAKEN)
        await rig.pass_time(3)
        assert rig.status(long) is Status.UNDELIVERED
        carrier.take_all()
        await settle()
        carrier.take_all()
        await settle()
        assert carrier.wire == [(long, 1), (long, 2), *((id_, 1) for id_ in others)]
        assert idle(rig)

    run(scenario())


def test_message_that_waits_behind_its_own_taken_part_is_undelivered_without_refund(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier(window=2)
        rig = await opened(tmp_path, carrier)
        (stuck,) = await rig.accept()
        (id_,) = await rig.accept(1, segments=3, lives_ms=MINUTE)
        carrier.answer(TAKEN, at=1)
        await settle()
        carrier.answer(THROTTLED, at=1)
        for _ in range(70):
            await rig.pass_time(1)
            carrier.answer(*[THROTTLED] * (len(carrier.out) - 1), at=1)
        assert (rig.status(id_), rig.message(id_).refunded) == (Status.UNDELIVERED, False)
        assert rig.told(id_) == [("UNDELIVERED", "pending")]
        carrier.answer(TAKEN)
        await settle()
        assert rig.status(stuck) is Status.SENT
        assert idle(rig)

    run(scenario())


def test_end_that_could_not_be_stored_is_stored_later(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier(window=1)
        rig = await opened(tmp_path, carrier)
        await rig.accept()
        (id_,) = await rig.accept(lives_ms=MINUTE)
        (long,) = await rig.accept(1, segments=2, lives_ms=MINUTE)
        rig.store.fault = lambda ops: it.Unavailable("disk full")
        await rig.pass_time(70)
        assert rig.status(id_) is Status.PENDING
        rig.store.fault = lambda ops: None
        await rig.pass_time(2)
        expired(rig, id_, long)
        assert rig.dispatch.lanes[1].waiting == 1

    run(scenario())


def test_crash_at_the_end_of_validities_refunds_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        first = ScriptedCarrier(window=1)
        rig = await opened(tmp_path, first)
        before = rig.balance()
        (stuck,) = await rig.accept(lives_ms=MINUTE)
        ids = await rig.accept(3, lives_ms=MINUTE)
        await rig.pass_time(58)
        rig.store.held = True
        await rig.pass_time(5)  # the group that ends them is not on disk
        rig.crash()
        carrier = ScriptedCarrier(window=1)
        again = await Rig(tmp_path / "data", rig.clock).open(carrier)
        await again.pass_time(4)
        expired(again, *ids)
        assert not carrier.sent
        message = again.message(stuck)
        assert (message.status, message.refunded) == (Status.UNKNOWN, False), "it may have arrived"
        assert again.balance() == before - PRICE
        assert idle(again)
        again.crash()

    run(scenario())


# -- put aside


def test_message_put_aside_expires_at_the_end_of_its_validity_and_not_at_its_next_try(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "_LOOK_AT", 1)  # and there are many before it: it is not found that way in time

    async def scenario() -> None:
        carrier = ScriptedCarrier(window=100)
        rig = await opened(tmp_path, carrier)
        await rig.accept(100)
        carrier.take_all()
        await rig.pass_time(1)
        sent, before = len(carrier.sent), rig.balance()
        (single,) = await rig.accept(lives_ms=20_000)
        (long,) = await rig.accept(1, segments=2, lives_ms=20_000)
        (begun,) = await rig.accept(1, segments=2, lives_ms=20_000)
        carrier.answer(TEMPORARY, TEMPORARY, TEMPORARY, TAKEN, TEMPORARY)
        await settle()
        await rig.pass_time(18)
        assert rig.status(single) is Status.PENDING
        await rig.pass_time(4)
        expired(rig, single, long)
        assert (rig.status(begun), rig.message(begun).refunded) == (Status.UNDELIVERED, False)
        assert rig.balance() == before - PRICE
        assert len(carrier.sent) == sent + 5
        assert rig.store.ask("SELECT count(*) FROM retry") == [(0,)]
        assert idle(rig)

    run(scenario())


def test_message_put_aside_that_may_have_arrived_ends_unknown_without_refund(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier()
        rig = await opened(tmp_path, carrier)
        before = rig.balance()
        (id_,) = await rig.accept(lives_ms=20_000)
        carrier.answer(UNKNOWN)
        await rig.pass_time(3)
        carrier.answer(TEMPORARY)
        await rig.pass_time(20)
        assert rig.status(id_) is Status.UNKNOWN
        assert rig.balance() == before - PRICE
        assert idle(rig)

    run(scenario())


def test_retries_for_a_carrier_that_is_gone_keep_no_other_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "_DUE_AT_ONCE", 3)

    async def scenario() -> None:
        gone, kept = ScriptedCarrier("gone"), ScriptedCarrier("kept")
        rig = await opened(tmp_path, gone, kept)
        await rig.accept(7, carrier="gone")
        gone.answer(*[TEMPORARY] * 7)
        await rig.pass_time(5)
        (id_,) = await rig.accept(carrier="kept")
        kept.answer(TEMPORARY)
        await settle()
        rig.crash()
        carrier = ScriptedCarrier("kept")
        again = await Rig(tmp_path / "data", rig.clock).open(carrier)
        await again.pass_time(35)
        assert carrier.wire == [(id_, 1)]
        again.crash()

    run(scenario())


# -- in the store


@pytest.mark.parametrize("look_at", [1, 4, 2000])
def test_message_expires_behind_a_full_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, look_at: int) -> None:
    monkeypatch.setattr(lane, "QUEUE_PARTS", 4)
    monkeypatch.setattr(lane, "CLAIM_MESSAGES", 2)
    monkeypatch.setattr(dispatch, "_LOOK_AT", look_at)
    monkeypatch.setattr(dispatch, "_END_AT_ONCE", 3)

    async def scenario() -> None:
        carrier = ScriptedCarrier(window=1)
        rig = await opened(tmp_path, carrier)
        before = rig.balance()
        sent = await rig.accept(5)
        ids = [id_ for _ in range(5) for id_ in await rig.accept(2, lives_ms=MINUTE)]
        (long,) = await rig.accept(1, segments=3, lives_ms=MINUTE)
        patient = await rig.accept(3)
        assert rig.dispatch.lanes[1]._in_store > 0
        await rig.pass_time(59)
        assert {rig.status(id_) for id_ in ids} == {Status.PENDING}
        await rig.pass_time(3 + 60 // look_at)
        expired(rig, *ids, long)
        assert rig.dispatch.lanes[1].waiting == 8
        assert rig.balance() == before - 8 * PRICE
        while carrier.out:
            carrier.take_all()
            await rig.pass_time(1)
        assert carrier.wire == [(id_, 1) for id_ in sent + patient]
        assert idle(rig)
        (next_,) = await rig.accept()
        assert carrier.wire[-1] == (next_, 1), "it is not on the short way again"

    run(scenario())


def test_message_fetched_from_the_store_expires_in_the_queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane, "QUEUE_PARTS", 4)

    async def scenario() -> None:
        carrier = ScriptedCarrier(window=1)
        rig = await opened(tmp_path, carrier)
        await rig.accept(5)
        ids = await rig.accept(3, lives_ms=MINUTE)
        for _ in range(4):
            carrier.answer(TAKEN)
            await rig.pass_time(2)
        assert rig.dispatch.lanes[1]._in_store == 0
        assert len(rig.dispatch.lanes[1]._queue) == 3
        await rig.pass_time(54)
        expired(rig, *ids)
        carrier.answer(TAKEN)
        await settle()
        assert idle(rig)

    run(scenario())


def test_message_is_not_fetched_from_the_store_while_it_is_ended_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "QUEUE_PARTS", 4)

    async def scenario() -> None:
        carrier = ScriptedCarrier(window=1)
        rig = await opened(tmp_path, carrier)
        before = rig.balance()
        sent = await rig.accept(5)  # of which the last waits in the store
        ids = await rig.accept(4, lives_ms=MINUTE)
        carrier.answer(TAKEN)
        await rig.pass_time(59)
        assert rig.dispatch.lanes[1]._in_store == 5
        rig.store.held = True
        carrier.answer(TAKEN)  # when this is stored, there is room in the queue
        await settle()
        await rig.pass_time(3)  # meanwhile the lapsed ones are found in the store
        for _ in range(2):  # to the disk, and back
            rig.store.release()
            await settle()
        assert {rig.status(id_) for id_ in ids} == {Status.PENDING}
        rig.store.held = False
        rig.store.release()
        await rig.pass_time(3)
        expired(rig, *ids)
        assert rig.dispatch.lanes[1].waiting == 3
        for _ in range(3):
            carrier.answer(TAKEN)
            await settle()
        assert carrier.wire == [(id_, 1) for id_ in sent]
        assert rig.balance() == before - 5 * PRICE
        assert idle(rig)

    run(scenario())


def test_messages_for_a_carrier_that_is_gone_come_to_their_end(tmp_path: Path) -> None:
    async def scenario() -> None:
        gone = ScriptedCarrier("gone", window=3)
        rig = await opened(tmp_path, gone)
        before = rig.balance()
        taken, aside, open_, waiting, *more = await rig.accept(7, carrier="gone", lives_ms=MINUTE)
        gone.answer(TAKEN, TEMPORARY)
        await settle()
        in_doubt = [open_, waiting, more[0]]
        rig.crash()
        again = await Rig(tmp_path / "data", rig.clock).open(ScriptedCarrier("new"))
        await again.pass_time(63)
        expired(again, aside, *more[1:])
        for id_ in in_doubt:
            assert (again.status(id_), again.message(id_).refunded) == (Status.UNKNOWN, False)
        assert again.status(taken) is Status.SENT
        again.clock.advance(DAY)
        await again.pass_time(3)
        assert again.status(taken) is Status.UNKNOWN
        assert again.balance() == before - 4 * PRICE
        again.crash()

    run(scenario())


# -- sent, and never reported


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("segments", [1, 2])
def test_silence_is_told_as_unknown_and_a_receipt_after_it_still_counts(
    tmp_path: Path, restarted: bool, segments: int
) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier()
        rig = await opened(tmp_path, carrier)
        before = rig.balance()
        (id_,) = await rig.accept(1, segments=segments, lives_ms=MINUTE)
        carrier.take_all()
        await settle()
        rig.clock.advance(DAY + 55)
        await rig.pass_time(3)
        assert rig.status(id_) is Status.SENT
        await rig.pass_time(5)
        message = rig.message(id_)
        assert (message.status, message.refunded) == (Status.UNKNOWN, False)
        assert "no receipt" in message.detail
        assert rig.told(id_) == [("UNKNOWN", "pending")]
        assert rig.balance() == before - PRICE
        await rig.pass_time(5)
        assert rig.told(id_) == [("UNKNOWN", "pending")]
        if restarted:
            rig.crash()
            carrier = ScriptedCarrier()
            rig = await Rig(tmp_path / "data", rig.clock).open(carrier)
        for part in range(1, segments + 1):
            assert carrier.tell((f"ref-{id_}-{part}", ReceiptState.DELIVERED)) == []
            await settle()
        assert rig.status(id_) is Status.DELIVERED
        assert rig.told(id_) == [("UNKNOWN", "cancelled"), ("DELIVERED", "pending")]
        first, second = rig.store.look(lambda reads: reads.callbacks_of(id_))
        assert first.id != second.id
        assert rig.balance() == before - PRICE
        rig.crash()

    run(scenario())


def test_message_with_a_receipt_is_not_given_up(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier()
        rig = await opened(tmp_path, carrier)
        (id_,) = await rig.accept(lives_ms=MINUTE)
        carrier.take_all()
        await settle()
        carrier.tell((f"ref-{id_}-1", ReceiptState.DELIVERED))
        await settle()
        rig.clock.advance(3 * DAY)
        await rig.pass_time(3)
        assert rig.status(id_) is Status.DELIVERED
        assert rig.told(id_) == [("DELIVERED", "pending")]

    run(scenario())


# -- told of SENT


@pytest.mark.parametrize("segments", [1, 2])
def test_account_that_asked_for_it_is_told_of_sent_before_the_end(tmp_path: Path, segments: int) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier()
        rig = await opened(tmp_path, carrier)
        (untold,) = await rig.accept(1, segments=segments)
        carrier.take_all()
        await settle()
        rig.intermediate.add(rig.account.id)
        (id_,) = await rig.accept(1, segments=segments)
        carrier.answer(*[TAKEN] * (segments - 1))
        await settle()
        assert rig.told(id_) == []
        carrier.answer(TAKEN)
        await settle()
        assert rig.told(id_) == [("SENT", "pending")]
        assert rig.told(untold) == []
        for part in range(1, segments + 1):
            carrier.tell((f"ref-{id_}-{part}", ReceiptState.DELIVERED))
        await settle()
        assert rig.told(id_) == [("SENT", "pending"), ("DELIVERED", "pending")]

    run(scenario())


def test_sent_is_not_told_after_the_end(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier()
        rig = await opened(tmp_path, carrier)
        rig.intermediate.add(rig.account.id)
        (id_,) = await rig.accept()
        carrier.answer(UNKNOWN)  # tried again; the first try's answer is lost, its receipt is not
        await rig.pass_time(3)
        carrier.tell((f"ref-{id_}-1", ReceiptState.DELIVERED))
        carrier.answer(TAKEN)
        await settle()
        assert rig.status(id_) is Status.DELIVERED
        assert rig.told(id_)[-1] == ("DELIVERED", "pending")
        (other,) = await rig.accept()
        await rig.store.apply(
            it.StoreReceipts([it.PartReceipt(1, "early", ReceiptState.DELIVERED, 1, message_id=other)], report)
        )
        carrier.answer(TAKEN)
        await settle()
        assert rig.told(other) == [("DELIVERED", "pending")]

    run(scenario())


# -- recipients that want none


@pytest.mark.parametrize("queue_parts", [4, 10_000])
def test_message_to_somebody_who_opted_out_is_not_handed_over_and_takes_up_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, queue_parts: int
) -> None:
    monkeypatch.setattr(lane, "QUEUE_PARTS", queue_parts)

    async def scenario() -> None:
        carrier = ScriptedCarrier(window=2)
        rig = await opened(tmp_path, carrier)
        before = rig.balance()
        await rig.store.apply(it.SetOptOut(rig.account.id, "447700900123", True, 1))
        wanted: list[int] = []
        for segments in (1, 3):
            for _ in range(3):
                accept = msgspec.structs.replace(rig.drafts(3, segments), report=report)
                refusing = accept.submissions[1]
                refusing.recipient = "447700900123"
                kept = await rig.store.apply(accept)
                assert kept == [it.Kept.STORED, it.Kept.ENDED, it.Kept.STORED]
                message = rig.message(refusing.id)
                assert (message.status, message.refunded) == (Status.REJECTED, True)
                assert rig.told(refusing.id) == [("REJECTED", "pending")]
                wanted += [accept.submissions[0].id, accept.submissions[2].id]
        await settle()
        assert rig.dispatch.lanes[1].waiting == len(wanted)
        while carrier.out:
            carrier.take_all()
            await settle()
        assert list(dict(carrier.wire)) == wanted
        assert {rig.status(id_) for id_ in wanted} == {Status.SENT}
        assert rig.balance() == before - len(wanted) * PRICE
        assert idle(rig)

    run(scenario())
