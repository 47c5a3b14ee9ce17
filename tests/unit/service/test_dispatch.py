"""Handing over: in order, within the window, and nothing on the wire that a crash could not account for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.simulation.rig import PRICE, Rig, ScriptedCarrier, increasing, run, settle

from heliograph.carriers.interface import Submit
from heliograph.messaging.delivery import ReceiptState
from heliograph.messaging.retry import DoubtPolicy, SubmitClass
from heliograph.messaging.submissions import Draft, Status
from heliograph.service import lane
from heliograph.store import interface as it

TAKEN, UNKNOWN = SubmitClass.TAKEN, SubmitClass.UNKNOWN
THROTTLED, TEMPORARY = SubmitClass.THROTTLED, SubmitClass.TEMPORARY
PERMANENT, NOT_SENT = SubmitClass.PERMANENT, SubmitClass.NOT_SENT


def watch(rig: Rig, carrier: ScriptedCarrier) -> None:
    """At every hand-over: the message is on disk, the mark covers it, and no more than the window would be in doubt."""

    def look(submits: Sequence[Submit]) -> None:
        mark = rig.mark()
        for one in submits:
            assert (one.submission.number, one.part) <= mark, "on the wire before the mark on disk covers it"
            assert rig.message(one.submission.id).status is Status.PENDING
        assert len(carrier.out) + len(submits) <= carrier.window, "more on the wire than the window holds"
        assert rig.in_doubt() <= carrier.window, "a crash now would leave more in doubt than the window holds"

    carrier.look = look


async def opened(folder: Path, carrier: ScriptedCarrier, **how: object) -> Rig:
    rig = Rig(folder / "data")
    watch(rig, carrier)
    return await rig.open(carrier, **how)  # type: ignore[arg-type]


async def link_down(rig: Rig, carrier: ScriptedCarrier, *, seconds: int) -> None:
    """For so long, whatever is handed over is not sent."""
    for _ in range(seconds):
        carrier.answer(*[NOT_SENT] * len(carrier.out))
        await settle()
        await rig.pass_time(1)
    carrier.answer(*[NOT_SENT] * len(carrier.out))
    await settle()


# -- window and mark


def test_window_is_never_exceeded_and_is_used_in_full(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier(window=7)
        rig = await opened(tmp_path, carrier)
        ids = await rig.accept(50)
        assert len(carrier.out) == 7
        for round_ in range(50):
            carrier.answer(TAKEN)
            await settle()
            assert len(carrier.out) == min(7, 49 - round_)
        assert carrier.wire == [(id_, 1) for id_ in ids]
        assert {rig.status(id_) for id_ in ids} == {Status.SENT}

    run(scenario())


def test_slot_is_free_only_when_its_outcome_is_on_disk(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier(window=2)
        rig = await opened(tmp_path, carrier)
        await rig.accept(5)
        rig.store.held = True
        carrier.take_all()
        await settle()
        assert len(carrier.sent) == 2
        rig.store.held = False
        rig.store.release()
        await settle()
        assert len(carrier.sent) == 4

    run(scenario())


def test_nothing_is_sent_before_its_acceptance_and_the_mark_are_on_disk(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier()
        rig = await opened(tmp_path, carrier)
        rig.store.held = True
        ids, answers = rig.send(3)
        await settle()
        assert not carrier.sent
        assert not answers
        rig.store.release()  # the commit
        await settle()
        assert not carrier.sent, "sent before the loop knew of the commit"
        rig.store.held = False
        rig.store.release()
        await settle()
        assert carrier.wire == [(id_, 1) for id_ in ids]
        assert rig.mark() == (ids[-1], 1)

    run(scenario())


def test_slots_meant_for_messages_that_were_not_covered_go_to_others_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier(window=3)
        rig = await opened(tmp_path, carrier, balance=5 * PRICE)
        poor, answers = rig.send(3, price=2 * PRICE)
        cheap, _ = rig.send(2, price=PRICE // 10)
        await settle()
        assert answers == [[True, True, False]]
        # Nothing else is going on that would make a commit happen.
        assert carrier.wire == [(poor[0], 1), (poor[1], 1), (cheap[0], 1)]
        carrier.answer(TAKEN)
        await settle()
        assert carrier.wire[-1] == (cheap[1], 1)

    run(scenario())


def test_message_that_was_not_covered_is_never_sent(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier(window=10)
        rig = await opened(tmp_path, carrier, balance=3 * PRICE)
        ids = await rig.accept(5, segments=2, price=PRICE)
        assert {id_ for id_, _ in carrier.wire} == set(ids[:3])
        carrier.take_all()
        await settle()
        assert [rig.status(id_) for id_ in ids[:3]] == [Status.SENT] * 3
        assert rig.dispatch.lanes[1].waiting == 0

    run(scenario())


def test_carrier_with_a_smaller_window_than_before_is_not_overrun_after_a_restart(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = await opened(tmp_path, ScriptedCarrier(window=8))
        ids = await rig.accept(8)
        rig.crash()
        carrier = ScriptedCarrier(window=3)
        again = await Rig(tmp_path / "data", rig.clock).open(carrier)
        assert len(carrier.out) == 3
        for _ in range(8):
            carrier.answer(TAKEN)
            await settle()
            assert len(carrier.out) <= 3
        assert carrier.wire == [(id_, 1) for id_ in ids]
        again.crash()

    run(scenario())


# -- order


def test_messages_are_handed_over_in_the_order_of_acceptance_through_the_store_and_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "QUEUE_PARTS", 8)
    monkeypatch.setattr(lane, "CLAIM_MESSAGES", 3)

    async def scenario() -> None:
        carrier = ScriptedCarrier(window=4)
        rig = await opened(tmp_path, carrier)
        ids: list[int] = []
        for round_ in range(60):
            if round_ < 40:
                ids += await rig.accept(3, segments=1 + round_ % 3)
            carrier.take_all()
            await settle()
            assert len(rig.dispatch.lanes[1]._queue) < 8 + 3 * 3, "the queue grows past its bound"
        while carrier.out:
            carrier.take_all()
            await settle()
        firsts = [id_ for id_, part in carrier.wire if part == 1]
        assert firsts == ids
        assert rig.dispatch.lanes[1].waiting == 0
        # and it is back on the short way: the next message does not wait for a claim
        await rig.accept()
        assert len(carrier.out) == 1

    run(scenario())


def test_backlog_of_the_last_run_is_sent_whole_and_before_anything_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "QUEUE_PARTS", 10)
    monkeypatch.setattr(lane, "CLAIM_MESSAGES", 4)

    async def scenario() -> None:
        rig = await opened(tmp_path, ScriptedCarrier(window=2))
        old = [id_ for _ in range(10) for id_ in await rig.accept(5)]
        rig.crash()
        carrier = ScriptedCarrier(window=2)
        again = Rig(tmp_path / "data", rig.clock)
        watch(again, carrier)
        await again.open(carrier)
        assert again.dispatch.lanes[1].waiting == 50
        new = await again.accept(5)
        while carrier.out:
            carrier.take_all()
            await settle()
        assert carrier.wire == [(id_, 1) for id_ in old + new]
        again.crash()

    run(scenario())


def test_two_carriers_do_not_wait_for_each_other(tmp_path: Path) -> None:
    async def scenario() -> None:
        one, two = ScriptedCarrier("one", window=2), ScriptedCarrier("two", window=2)
        rig = await Rig(tmp_path / "data").open(one, two)
        first = await rig.accept(4, carrier="one")
        second = await rig.accept(4, carrier="two")
        for _ in range(3):
            two.take_all()
            await settle()
        assert two.wire == [(id_, 1) for id_ in second]
        assert one.wire == [(id_, 1) for id_ in first[:2]]

    run(scenario())


# -- parts


def test_parts_of_a_message_are_consecutive_and_it_is_sent_when_the_last_is_taken(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier(window=4)
        rig = await opened(tmp_path, carrier)
        ids = await rig.accept(3, segments=3)
        while carrier.out:
            carrier.answer(TAKEN)
            await settle()
            taken = carrier.wire[: len(carrier.sent) - len(carrier.out)]
            for id_ in ids:
                expected = Status.SENT if (id_, 3) in taken else Status.PENDING
                assert rig.status(id_) is expected
        assert carrier.wire == [(id_, part) for id_ in ids for part in (1, 2, 3)]
        assert "".join(one.body for one in carrier.sent[:3]) == "x" * 459
        assert rig.dispatch.lanes[1].waiting == 0

    run(scenario())


def test_part_refused_after_others_were_taken_fails_the_message_without_refund_and_the_rest_is_not_sent(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier(window=5)
        rig = await opened(tmp_path, carrier)
        before = rig.balance()
        (first,) = await rig.accept(1, segments=5)
        (second,) = await rig.accept(1, segments=3)
        carrier.answer(TAKEN, PERMANENT)
        await settle()
        carrier.answer(TAKEN, TAKEN, TAKEN)
        await settle()
        assert rig.status(first) is Status.UNDELIVERED
        assert rig.message(first).refunded is False
        carrier.answer(PERMANENT)  # the first part of the second message: none was ever taken
        await settle()
        carrier.take_all()
        await settle()
        assert rig.balance() == before - 2 * PRICE
        assert rig.status(second) is Status.UNDELIVERED, "its other parts were on the wire already and were taken"

    run(scenario())


def test_parts_not_yet_on_the_wire_are_not_sent_after_a_refusal(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier(window=4)
        rig = await opened(tmp_path, carrier)
        (ahead,) = await rig.accept(1, segments=2)
        (id_,) = await rig.accept(1, segments=4)
        (behind,) = await rig.accept()
        assert carrier.wire == [(ahead, 1), (ahead, 2), (id_, 1), (id_, 2)]
        carrier.answer(TAKEN, PERMANENT, at=2)
        await settle()
        carrier.take_all()
        await settle()
        assert carrier.wire[4:] == [(behind, 1)]
        assert rig.status(id_) is Status.UNDELIVERED
        assert not rig.message(id_).refunded

    run(scenario())


def test_long_message_refused_on_every_part_is_rejected_and_refunded_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier(window=5)
        rig = await opened(tmp_path, carrier)
        before = rig.balance()
        (id_,) = await rig.accept(1, segments=3)
        carrier.answer(PERMANENT, PERMANENT, PERMANENT)
        await settle()
        assert rig.status(id_) is Status.REJECTED
        assert rig.balance() == before

    run(scenario())


def test_only_the_parts_that_failed_are_tried_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier(window=5)
        rig = await opened(tmp_path, carrier)
        (id_,) = await rig.accept(1, segments=3)
        carrier.answer(TAKEN, TEMPORARY, TAKEN)
        await settle()
        assert rig.status(id_) is Status.PENDING
        await rig.pass_time(32)
        assert carrier.wire == [(id_, 1), (id_, 2), (id_, 3), (id_, 2)]
        carrier.take_all()
        await settle()
        assert rig.status(id_) is Status.SENT

    run(scenario())


def test_refund_is_never_made_while_a_part_may_have_been_taken(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier(window=5)
        rig = await opened(tmp_path, carrier)
        (id_,) = await rig.accept(1, segments=2)
        carrier.answer(UNKNOWN, PERMANENT)
        await settle()
        assert rig.status(id_) is Status.UNDELIVERED
        assert not rig.message(id_).refunded

    run(scenario())


# -- outcomes


def test_refused_message_is_rejected_and_refunded(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier()
        rig = await opened(tmp_path, carrier)
        before = rig.balance()
        (id_,) = await rig.accept()
        assert rig.balance() == before - PRICE
        carrier.answer(PERMANENT)
        await settle()
        assert rig.status(id_) is Status.REJECTED
        assert rig.message(id_).refunded
        assert rig.balance() == before

    run(scenario())


def test_throttled_message_goes_first_when_the_pause_is_over(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier(window=3)
        rig = await opened(tmp_path, carrier)
        ids = await rig.accept(6)
        carrier.answer(THROTTLED, at=1)
        await settle()
        carrier.answer(TAKEN, TAKEN)
        await settle()
        assert len(carrier.sent) == 3, "sent while the carrier had asked for a pause"
        await rig.pass_time(0.9, 0.1)
        assert len(carrier.sent) == 3
        await rig.pass_time(0.2, 0.1)
        assert carrier.wire[3:] == [(ids[1], 1), (ids[3], 1), (ids[4], 1)]
        assert rig.message(ids[1]).tries == 0, "throttling is not a try"
        assert rig.events_of(ids[1]) == []

    run(scenario())


def test_throttled_messages_keep_their_order_however_the_answers_come(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier(window=6)
        rig = await opened(tmp_path, carrier)
        ids = await rig.accept(2, segments=2)
        ids += await rig.accept(2)
        for _ in range(6):  # one PDU at a time, as a link reports them
            carrier.answer(THROTTLED)
            await settle()
        await rig.pass_time(2)
        order = [(ids[0], 1), (ids[0], 2), (ids[1], 1), (ids[1], 2), (ids[2], 1), (ids[3], 1)]
        assert carrier.wire == order + order

    run(scenario())


def test_pause_doubles_up_to_half_a_minute_and_starts_over_after_success(tmp_path: Path) -> None:
    async def scenario() -> None:
        for segments in (1, 2):
            carrier = ScriptedCarrier(window=4)
            rig = await opened(tmp_path / str(segments), carrier)
            await rig.accept(3, segments=segments)
            for pause in (1, 2, 4, 8, 16, 30, 30):
                carrier.answer(*[THROTTLED] * len(carrier.out))
                await settle()
                await rig.pass_time(pause - 0.5, 0.5)
                assert not carrier.out, f"sent before {pause} s had passed"
                await rig.pass_time(0.5, 0.5)
                assert carrier.out
            carrier.take_all()
            await settle()
            await rig.accept(1, segments=segments)
            carrier.answer(*[THROTTLED] * len(carrier.out))
            await settle()
            await rig.pass_time(1, 0.5)
            assert carrier.out, "the pause did not start over"
            rig.crash()

    run(scenario())


@pytest.mark.parametrize(
    ("result", "waits"), [(TEMPORARY, (30, 120)), (SubmitClass.AMBIGUOUS, (30,)), (SubmitClass.OTHER_ROUTE, ())]
)
def test_failure_is_tried_as_often_as_it_may_pass_then_undelivered_and_refunded(
    tmp_path: Path, result: SubmitClass, waits: tuple[int, ...]
) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier()
        rig = await opened(tmp_path, carrier)
        before = rig.balance()
        (id_,) = await rig.accept()
        for tries, wait in enumerate(waits, 1):
            carrier.answer(result)
            await settle()
            assert rig.message(id_).tries == tries
            await rig.pass_time(wait - 1)
            assert not carrier.out, "tried again too early"
            await rig.pass_time(3)
            assert len(carrier.out) == 1
        carrier.answer(result)
        await settle()
        assert carrier.wire == [(id_, 1)] * (len(waits) + 1)
        assert rig.status(id_) is Status.UNDELIVERED
        assert rig.balance() == before
        await rig.pass_time(1000, 10)
        assert len(carrier.sent) == len(waits) + 1

    run(scenario())


def test_retry_takes_a_new_number_behind_what_was_accepted_meanwhile(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier()
        rig = await opened(tmp_path, carrier)
        (first,) = await rig.accept()
        carrier.answer(TEMPORARY)
        await settle()
        (second,) = await rig.accept()
        await rig.pass_time(32)
        assert carrier.wire == [(first, 1), (second, 1), (first, 1)]
        assert increasing(one.submission.number for one in carrier.sent)
        carrier.take_all()
        await settle()
        assert rig.status(first) is Status.SENT
        assert rig.store.ask("SELECT count(*) FROM retry") == [(0,)]

    run(scenario())


def test_message_that_was_certainly_not_sent_goes_back_to_the_head(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier(window=3)
        rig = await opened(tmp_path, carrier)
        ids = await rig.accept(5)
        carrier.answer(TAKEN, NOT_SENT, NOT_SENT)
        await settle()
        await rig.pass_time(2)
        assert carrier.wire[3:] == [(ids[1], 1), (ids[2], 1), (ids[3], 1)]
        assert rig.message(ids[1]).tries == 0

    run(scenario())


def test_unanswered_message_is_sent_again_with_a_note_and_ends_unknown_without_refund(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier()
        rig = await opened(tmp_path, carrier)
        before = rig.balance()
        (id_,) = await rig.accept()
        for sent in (1, 2, 3):
            assert len(carrier.sent) == sent
            carrier.answer(UNKNOWN)
            await settle()
            assert len(rig.events_of(id_)) == min(sent, 2)
            await rig.pass_time(4)
        assert len(carrier.sent) == 3
        assert rig.status(id_) is Status.UNKNOWN
        assert rig.balance() == before - PRICE
        assert all("twice" in event for event in rig.events_of(id_))

    run(scenario())


def test_message_that_may_have_arrived_is_not_refunded_when_a_later_try_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier()
        rig = await opened(tmp_path, carrier)
        before = rig.balance()
        (id_,) = await rig.accept()
        carrier.answer(UNKNOWN)
        await settle()
        await rig.pass_time(4)
        carrier.answer(PERMANENT)
        await settle()
        assert rig.status(id_).final
        assert rig.balance() == before - PRICE, "refunded although the first try may have been delivered"

    run(scenario())


def test_message_that_may_have_arrived_and_then_lapses_is_unknown_and_not_refunded(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier()
        rig = await opened(tmp_path, carrier)
        before = rig.balance()
        (short,) = await rig.accept(lives_ms=60_000)
        (long,) = await rig.accept(1, segments=2, lives_ms=60_000)
        carrier.answer(UNKNOWN, UNKNOWN, UNKNOWN)
        await settle()
        await rig.pass_time(3)
        await link_down(rig, carrier, seconds=61)
        await rig.pass_time(31)
        for id_ in (short, long):
            assert rig.status(id_) is Status.UNKNOWN
        assert rig.balance() == before - 2 * PRICE

    run(scenario())


def test_with_hold_an_unanswered_message_is_not_sent_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier()
        rig = await opened(tmp_path, carrier, doubt=DoubtPolicy.HOLD)
        before = rig.balance()
        (id_,) = await rig.accept()
        carrier.answer(UNKNOWN)
        await settle()
        await rig.pass_time(10)
        assert len(carrier.sent) == 1
        assert rig.status(id_) is Status.UNKNOWN
        assert rig.balance() == before - PRICE

    run(scenario())


def test_message_unsent_at_the_end_of_its_validity_expires_and_is_refunded(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier(window=3)
        rig = await opened(tmp_path, carrier)
        before = rig.balance()
        await rig.accept(2)
        single = await rig.accept(2, lives_ms=60_000)
        (long,) = await rig.accept(1, segments=3, lives_ms=60_000)
        await link_down(rig, carrier, seconds=61)
        sent = len(carrier.sent)
        for _ in range(10):
            carrier.take_all()
            await rig.pass_time(30)
        for id_ in [*single, long]:
            assert rig.status(id_) is Status.EXPIRED
            assert rig.message(id_).refunded
        assert rig.balance() == before - 2 * PRICE
        assert {id_ for id_, _ in carrier.wire[sent:]}.isdisjoint([*single, long])
        assert rig.dispatch.lanes[1].waiting == 0

    run(scenario())


def test_message_that_lapses_between_tries_expires_at_its_next_turn(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier()
        rig = await opened(tmp_path, carrier)
        before = rig.balance()
        (id_,) = await rig.accept(lives_ms=20_000)
        carrier.answer(TEMPORARY)
        await settle()
        await rig.pass_time(32)
        assert len(carrier.sent) == 1
        assert rig.status(id_) is Status.EXPIRED
        assert rig.balance() == before
        assert rig.store.ask("SELECT count(*) FROM retry") == [(0,)]

    run(scenario())


def test_long_message_that_lapses_after_a_part_was_taken_is_undelivered_without_refund(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier(window=3)
        rig = await opened(tmp_path, carrier)
        (id_,) = await rig.accept(1, segments=2, lives_ms=60_000)
        carrier.answer(TAKEN)
        await link_down(rig, carrier, seconds=61)
        await rig.pass_time(30)
        assert rig.status(id_) is Status.UNDELIVERED
        assert not rig.message(id_).refunded

    run(scenario())


# -- a store that fails


def test_failed_commit_sends_nothing_and_the_next_one_goes_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier(window=4)
        rig = await opened(tmp_path, carrier)
        rig.store.fault = lambda ops: it.Unavailable("disk full")
        failed, answers = rig.send(3, segments=2)
        await settle()
        assert isinstance(answers[0], it.Unavailable)
        assert not carrier.sent
        rig.store.fault = lambda ops: None
        ids = await rig.accept(2, segments=2)
        assert carrier.wire == [(id_, part) for id_ in ids for part in (1, 2)]
        assert set(ids).isdisjoint(failed)

    run(scenario())


def test_outcome_is_kept_while_the_store_fails_and_stored_later(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier(window=2)
        rig = await opened(tmp_path, carrier)
        ids = await rig.accept(4)
        rig.store.fault = lambda ops: it.Unavailable("disk full")
        carrier.answer(TAKEN, PERMANENT)
        await rig.pass_time(5)
        assert len(carrier.sent) == 2
        assert rig.status(ids[0]) is Status.PENDING
        rig.store.fault = lambda ops: None
        await rig.pass_time(2)
        assert [rig.status(id_) for id_ in ids[:2]] == [Status.SENT, Status.REJECTED]
        assert carrier.wire == [(id_, 1) for id_ in ids]
        assert rig.message(ids[0]).ref == f"ref-{ids[0]}-1"

    run(scenario())


def test_store_that_fails_is_not_asked_ever_more_often(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier(window=2)
        rig = await opened(tmp_path, carrier)
        await rig.accept(2)
        asked = 0

        def fault(ops: Sequence[object]) -> it.StoreError:
            nonlocal asked
            asked += 1
            return it.Unavailable("disk full")

        rig.store.fault = fault
        carrier.take_all()
        for _ in range(50):  # callers who do not give up
            await rig.pass_time(0.05, 0.05)
            rig.send()
            await settle()
        asked = 0
        await rig.pass_time(10, 0.05)
        assert asked <= 15, f"{asked} commits in ten seconds, although nobody asks for any"

    run(scenario())


def test_queued_message_is_sent_after_a_failed_commit_without_other_traffic(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier(window=1)
        rig = await opened(tmp_path, carrier)
        ids = await rig.accept(2)
        failures = iter([None, it.Unavailable("disk full")])
        rig.store.fault = lambda ops: next(failures, None)
        carrier.take_all()
        await rig.pass_time(3)
        carrier.take_all()
        await rig.pass_time(3)
        assert [rig.status(id_) for id_ in ids] == [Status.SENT] * 2

    run(scenario())


def test_retries_go_on_after_the_server_was_too_busy_for_a_while(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier()
        rig = await opened(tmp_path, carrier)
        (id_,) = await rig.accept()
        carrier.answer(TEMPORARY)
        await settle()
        rig.store._group._max_weight = 0  # as many rows wait as may
        await rig.pass_time(40)
        assert len(carrier.sent) == 1
        rig.store._group._max_weight = 1000
        await rig.pass_time(5)
        assert carrier.wire == [(id_, 1)] * 2

    run(scenario())


# -- crashes and stops


def test_messages_in_doubt_after_a_crash_are_sent_again_with_a_note(tmp_path: Path) -> None:
    async def scenario() -> None:
        first = ScriptedCarrier(window=3)
        rig = await opened(tmp_path, first)
        ids = await rig.accept(6)
        first.answer(TAKEN)
        await settle()
        rig.crash()
        carrier = ScriptedCarrier(window=3)
        again = Rig(tmp_path / "data", rig.clock)
        watch(again, carrier)
        await again.open(carrier)
        assert carrier.wire == [(id_, 1) for id_ in ids[1:4]]
        while carrier.out:
            carrier.take_all()
            await settle()
        assert carrier.wire == [(id_, 1) for id_ in ids[1:]]
        noted = [again.events_of(id_) for id_ in ids]
        assert noted == [[], ["sent again"], ["sent again"], ["sent again"], [], []]
        again.crash()

    run(scenario())


def test_with_hold_only_what_was_in_doubt_ends_unknown_and_the_rest_is_sent(tmp_path: Path) -> None:
    async def scenario() -> None:
        first = ScriptedCarrier(window=3)
        rig = await opened(tmp_path, first, doubt=DoubtPolicy.HOLD)
        ids = await rig.accept(6)
        rig.crash()
        carrier = ScriptedCarrier(window=3)
        again = await Rig(tmp_path / "data", rig.clock).open(carrier, doubt=DoubtPolicy.HOLD)
        carrier.take_all()
        await settle()
        assert carrier.wire == [(id_, 1) for id_ in ids[3:]]
        assert [again.status(id_) for id_ in ids] == [Status.UNKNOWN] * 3 + [Status.SENT] * 3
        again.crash()

    run(scenario())


@pytest.mark.parametrize("doubt", list(DoubtPolicy))
def test_after_a_crash_parts_that_were_certainly_not_sent_are_no_reason_for_doubt(
    tmp_path: Path, doubt: DoubtPolicy
) -> None:
    async def scenario() -> None:
        first = ScriptedCarrier(window=3)
        rig = await opened(tmp_path, first, doubt=doubt)
        ids = await rig.accept(1)
        ids += await rig.accept(1, segments=3)
        first.answer(TAKEN, TAKEN, at=1)  # two parts of the long one; the third is not granted before this is stored
        rig.store.fault = lambda ops: (
            it.Unavailable("no more") if not any(type(o) is it.StoreTaken for o in ops) else None
        )
        lane = rig.dispatch.lanes[1]
        lane.carrier.window = 1  # type: ignore[misc]  # so that the third is not granted either
        await settle()
        assert first.wire == [(ids[0], 1), (ids[1], 1), (ids[1], 2)]
        rig.crash()
        carrier = ScriptedCarrier(window=3)
        again = await Rig(tmp_path / "data", rig.clock).open(carrier, doubt=doubt)
        await settle()
        assert (ids[1], 3) in carrier.wire
        assert (ids[1], 1) not in carrier.wire
        assert again.events_of(ids[1]) == []
        carrier.take_all()
        await settle()
        assert again.status(ids[1]) is Status.SENT
        again.crash()

    run(scenario())


def test_parts_taken_before_a_crash_still_count_when_their_receipts_come_after_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        first = ScriptedCarrier(window=2)
        rig = await opened(tmp_path, first)
        (id_,) = await rig.accept(1, segments=2)
        first.answer(TAKEN)
        await settle()
        rig.crash()
        carrier = ScriptedCarrier(window=2)
        again = await Rig(tmp_path / "data", rig.clock).open(carrier)
        assert carrier.wire == [(id_, 2)]
        carrier.take_all()
        await settle()
        for part in (1, 2):
            carrier.tell((f"ref-{id_}-{part}", ReceiptState.DELIVERED))
            await settle()
        assert again.status(id_) is Status.DELIVERED
        again.crash()

    run(scenario())


def test_retry_that_was_in_doubt_at_the_crash_is_sent_again_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        first = ScriptedCarrier()
        rig = await opened(tmp_path, first)
        (id_,) = await rig.accept()
        first.answer(TEMPORARY)
        await settle()
        await rig.pass_time(32)
        assert len(first.out) == 1
        rig.crash()
        carrier = ScriptedCarrier()
        again = await Rig(tmp_path / "data", rig.clock).open(carrier)
        await again.pass_time(200)
        assert carrier.wire == [(id_, 1)]
        assert again.message(id_).tries == 2
        carrier.answer(TEMPORARY)
        await settle()
        assert again.status(id_) is Status.UNKNOWN, "the try that the crash cut off counts, and may have arrived"
        assert not again.message(id_).refunded
        again.crash()

    run(scenario())


def test_clean_stop_hands_nothing_over_afterwards(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier(window=3)
        rig = await opened(tmp_path, carrier)
        ids = await rig.accept(9)
        rig.store.held = True
        carrier.take_all()  # the group that stores this is under way when the server stops
        await settle()
        await rig.dispatch.stop()
        rig.store.held = False
        rig.store.release()
        await settle()
        assert carrier.stopped
        assert len(carrier.sent) == 3
        for task in rig.tasks:
            task.cancel()
        await rig.store.close()
        again_carrier = ScriptedCarrier(window=3)
        again = await Rig(tmp_path / "data", rig.clock).open(again_carrier)
        while again_carrier.out:
            again_carrier.take_all()
            await settle()
        assert again_carrier.wire == [(id_, 1) for id_ in ids[3:]]
        again.crash()

    run(scenario())


def test_draining_hands_nothing_over_and_ends_with_the_last_answer(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier(window=3)
        rig = await opened(tmp_path, carrier)
        ids = await rig.accept(9)
        draining = asyncio.ensure_future(rig.dispatch.drain())
        await asyncio.sleep(0)
        carrier.answer(TAKEN, TAKEN)
        await settle()
        await asyncio.sleep(0.1)
        assert not draining.done()
        carrier.take_all()
        await asyncio.wait_for(draining, 5)
        await settle()
        assert carrier.wire == [(id_, 1) for id_ in ids[:3]]
        assert [rig.status(id_) for id_ in ids] == [Status.SENT] * 3 + [Status.PENDING] * 6
        rig.crash()

    run(scenario())


def test_with_hold_a_clean_stop_gives_up_no_message_that_was_not_sent(tmp_path: Path) -> None:
    async def scenario() -> None:
        first = ScriptedCarrier(window=3)
        rig = await opened(tmp_path, first, doubt=DoubtPolicy.HOLD)
        ids = await rig.accept(5)
        first.answer(NOT_SENT, NOT_SENT, NOT_SENT)  # the link is down
        await settle()
        await rig.dispatch.stop()
        for task in rig.tasks:
            task.cancel()
        await rig.store.close()
        carrier = ScriptedCarrier(window=3)
        again = await Rig(tmp_path / "data", rig.clock).open(carrier, doubt=DoubtPolicy.HOLD)
        while carrier.out:
            carrier.take_all()
            await settle()
        assert carrier.wire == [(id_, 1) for id_ in ids]
        again.crash()

    run(scenario())


def test_after_a_clean_stop_an_unanswered_part_of_an_undecided_message_is_still_in_doubt(tmp_path: Path) -> None:
    async def scenario() -> None:
        first = ScriptedCarrier(window=3)
        rig = await opened(tmp_path, first)
        (short,) = await rig.accept()
        (long,) = await rig.accept(1, segments=2)
        first.answer(THROTTLED, UNKNOWN, THROTTLED)
        await settle()
        await rig.dispatch.stop()
        for task in rig.tasks:
            task.cancel()
        await rig.store.close()
        carrier = ScriptedCarrier(window=3)
        again = await Rig(tmp_path / "data", rig.clock).open(carrier)
        assert carrier.wire == [(short, 1), (long, 1), (long, 2)]
        assert again.events_of(long) == ["sent again"]
        again.crash()

    run(scenario())


# -- the bound


def test_past_the_backlog_bound_nothing_more_is_admitted(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier(window=1)
        rig = await opened(tmp_path, carrier, max_waiting=5)
        draft = Draft("56912345678", PRICE, 1, 0, 0)
        assert rig.dispatch.admit([draft] * 5) is None
        await rig.accept(4)
        assert rig.dispatch.admit([draft] * 3) == [True, False, False]
        await rig.accept(1)
        assert rig.dispatch.admit([draft]) == [False]
        carrier.answer(PERMANENT)
        await settle()
        assert rig.dispatch.admit([draft]) is None
        for _ in range(4):
            carrier.answer(TAKEN)
            await settle()
        assert rig.dispatch.admit([draft] * 5) is None

    run(scenario())


def test_message_that_ends_while_it_waits_in_the_store_takes_up_no_room_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "QUEUE_PARTS", 4)

    async def scenario() -> None:
        carrier = ScriptedCarrier(window=2)
        rig = await opened(tmp_path, carrier)
        (long,) = await rig.accept(1, segments=2)
        carrier.answer(TAKEN, TEMPORARY)
        await settle()
        await rig.accept(12)
        await rig.pass_time(32)  # it is due, and waits in the store behind the others
        carrier.tell((f"ref-{long}-1", ReceiptState.REJECTED))
        await settle()
        while carrier.out:
            carrier.take_all()
            await settle()
        assert rig.status(long) is Status.REJECTED
        assert len(carrier.sent) == 2 + 12
        assert rig.dispatch.lanes[1].waiting == 0

    run(scenario())


def test_only_the_full_carrier_refuses(tmp_path: Path) -> None:
    async def scenario() -> None:
        one, two = ScriptedCarrier("one"), ScriptedCarrier("two")
        rig = Rig(tmp_path / "data")
        await rig.open(one, two, max_waiting=2)
        await rig.accept(2, carrier="one")
        drafts = [Draft("56912345678", PRICE, carrier_id, 0, 0) for carrier_id in (1, 2, 1, 2, 2)]
        assert rig.dispatch.admit(drafts) == [False, True, False, True, False]

    run(scenario())
