"""Cancelling: what certainly was not handed over is never sent and refunded once; everything else goes its way."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.simulation.rig import PRICE, Rig, ScriptedCarrier, run, settle

from heliograph.messaging.retry import SubmitClass
from heliograph.messaging.submissions import Status
from heliograph.service import lane
from heliograph.store import interface as it

TAKEN, TEMPORARY, NOT_SENT = SubmitClass.TAKEN, SubmitClass.TEMPORARY, SubmitClass.NOT_SENT
BALANCE = 1_000_000 * PRICE


class Cancelling:
    """A cancellation under way."""

    def __init__(self, rig: Rig, message_id: int) -> None:
        self.task = asyncio.ensure_future(rig.dispatch.cancel(rig.message(message_id)))

    @property
    def result(self) -> bool:
        assert self.task.done(), "nobody was told"
        return self.task.result()


async def cancel(rig: Rig, message_id: int) -> bool:
    cancelling = Cancelling(rig, message_id)
    await settle()
    return cancelling.result


async def send_all(rig: Rig, *carriers: ScriptedCarrier) -> None:
    """The carriers take everything there is."""
    for _ in range(20):
        for carrier in carriers:
            carrier.take_all()
        await settle()
        await rig.pass_time(1)


def check(rig: Rig, carrier: ScriptedCarrier, cancelled: list[int], sent: list[int], carrier_id: int = 1) -> None:
    """These were cancelled and never sent, those sent; nothing else is charged, and nothing is left."""
    on_wire = {id_ for id_, _ in carrier.wire}
    assert on_wire == set(sent)
    assert {rig.status(id_) for id_ in cancelled} <= {Status.CANCELLED}
    assert {rig.status(id_) for id_ in sent} <= {Status.SENT}
    assert rig.balance() == BALANCE - len(sent) * PRICE
    for id_ in cancelled:
        assert rig.told(id_) == [("CANCELLED", "pending")]
    its = rig.dispatch.lanes[carrier_id]
    assert (its.waiting, its._in_store, its._granted, its._assemblies) == (0, 0, 0, {})


def test_of_messages_in_line_only_those_that_wait_above_the_mark_are_cancelled(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier(window=3)
        rig = await Rig(tmp_path / "data").open(carrier)
        ids = await rig.accept(8)
        asked = [ids[0], ids[2], ids[3], ids[7]]  # the first three are on the wire
        assert [await cancel(rig, id_) for id_ in asked] == [False, False, True, True]
        assert [await cancel(rig, id_) for id_ in asked] == [False] * 4
        await send_all(rig, carrier)
        check(rig, carrier, [ids[3], ids[7]], [ids[0], ids[1], ids[2], *ids[4:7]])
        assert carrier.wire == [(id_, 1) for id_ in (*ids[:3], *ids[4:7])], "the others keep their order"

    run(scenario())


def test_message_with_a_part_on_the_wire_is_not_cancelled_and_one_with_none_is(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier(window=2)
        rig = await Rig(tmp_path / "data").open(carrier)
        first, second = await rig.accept(2, segments=3)
        assert not await cancel(rig, first)
        assert await cancel(rig, second)
        await send_all(rig, carrier)
        check(rig, carrier, [second], [first])
        assert carrier.wire == [(first, 1), (first, 2), (first, 3)]

    run(scenario())


def test_message_that_is_ready_and_held_back_by_a_pause_is_not_cancelled(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier(window=2)
        rig = await Rig(tmp_path / "data").open(carrier)
        first, second, third = await rig.accept(3)
        carrier.answer(NOT_SENT, NOT_SENT)
        await settle()
        assert [await cancel(rig, id_) for id_ in (first, second, third)] == [False, False, True]
        await send_all(rig, carrier)
        check(rig, carrier, [third], [first, second])

    run(scenario())


def test_message_put_aside_is_cancelled_and_does_not_come_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier()
        rig = await Rig(tmp_path / "data").open(carrier)
        (id_,) = await rig.accept()
        carrier.answer(TEMPORARY)
        await settle()
        assert rig.dispatch.lanes[1].waiting == 0
        assert await cancel(rig, id_)
        await rig.pass_time(3600, step=60)
        assert len(carrier.sent) == 1
        assert (rig.status(id_), rig.balance()) == (Status.CANCELLED, BALANCE)
        assert rig.dispatch.lanes[1].waiting == 0

    run(scenario())


def test_messages_that_wait_in_the_store_behind_a_full_queue_are_cancelled_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lane, "QUEUE_PARTS", 4)
    monkeypatch.setattr(lane, "CLAIM_MESSAGES", 2)

    async def scenario() -> None:
        carrier = ScriptedCarrier(window=1)
        rig = await Rig(tmp_path / "data").open(carrier)
        ids = [id_ for _ in range(12) for id_ in await rig.accept()]
        gone = [ids[3], ids[6], ids[9], ids[11]]
        assert [await cancel(rig, id_) for id_ in gone] == [True] * 4
        assert rig.dispatch.lanes[1].waiting == 8
        await send_all(rig, carrier)
        check(rig, carrier, gone, [id_ for id_ in ids if id_ not in gone])
        (last,) = await rig.accept()
        await settle()
        assert carrier.wire[-1] == (last, 1)

    run(scenario())


def test_cancelling_while_a_claim_reads_the_store_is_not_undone_by_what_it_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the claim has read before or after the commit, and whichever of the two is told of first."""
    monkeypatch.setattr(lane, "QUEUE_PARTS", 4)
    monkeypatch.setattr(lane, "CLAIM_MESSAGES", 3)

    async def scenario(read_first: bool, claim_told_first: bool, folder: Path) -> None:
        carrier = ScriptedCarrier(window=1)
        rig = await Rig(folder).open(carrier)
        ids = [id_ for _ in range(10) for id_ in await rig.accept()]
        its = rig.dispatch.lanes[1]
        gates = [asyncio.Event(), asyncio.Event()]  # before and after the read
        passing = iter(gates)

        async def pause() -> None:
            gate = next(passing, None)
            if gate is not None:
                await gate.wait()

        rig.store._pause = pause
        while not its.wants_claim():
            carrier.take_all()
            await settle()
        await settle()
        assert rig.dispatch._claims, "a claim is under way"
        victim = its._last_queued + 1
        assert victim in ids
        if read_first:
            gates[0].set()
            await settle()
        rig.store.held = True
        cancelling = Cancelling(rig, victim)
        await settle()
        rig.store.release()  # the commit is on disk, and nobody knows
        await settle()
        gates[0].set()
        await settle()
        if claim_told_first:
            gates[1].set()
            await settle()
        rig.store.held = False
        rig.store.release()
        await settle()
        gates[1].set()
        await settle()
        assert cancelling.result
        await send_all(rig, carrier)
        check(rig, carrier, [victim], [id_ for id_ in ids if id_ != victim])

    for number, (read_first, claim_told_first) in enumerate([(a, b) for a in (True, False) for b in (True, False)]):
        run(scenario(read_first, claim_told_first, tmp_path / str(number)))


def test_cancelling_waits_its_turn_behind_the_group_under_way(tmp_path: Path) -> None:
    """That group may put the message on the wire."""

    async def scenario() -> None:
        carrier = ScriptedCarrier(window=1)
        rig = await Rig(tmp_path / "data").open(carrier)
        first, second, third = await rig.accept(3)
        rig.store.held = True
        carrier.answer(TAKEN)  # with it goes the mark over the second
        await settle()
        cancelling = [Cancelling(rig, id_) for id_ in (second, third)]
        await settle()
        assert not any(one.task.done() for one in cancelling)
        rig.store.held = False
        rig.store.release()
        await settle()
        assert [one.result for one in cancelling] == [False, True]
        await send_all(rig, carrier)
        check(rig, carrier, [third], [first, second])

    run(scenario())


def test_cancelling_that_could_not_be_stored_leaves_the_message_in_its_place(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier(window=1)
        rig = await Rig(tmp_path / "data").open(carrier)
        ids = await rig.accept(4, segments=2)
        rig.store.fault = lambda ops: it.Unavailable("disk full")
        cancelling = Cancelling(rig, ids[2])
        await settle()
        with pytest.raises(it.Unavailable):
            cancelling.task.result()
        rig.store.fault = lambda ops: None
        await rig.pass_time(2)
        assert rig.status(ids[2]) is Status.PENDING
        await send_all(rig, carrier)
        assert carrier.wire == [(id_, part) for id_ in ids for part in (1, 2)], "in the order of acceptance"
        check(rig, carrier, [], ids)

    run(scenario())


def test_message_of_a_carrier_that_is_gone_is_cancelled_unless_it_may_have_been_sent(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = await Rig(tmp_path / "data").open(ScriptedCarrier(window=2))
        ids = await rig.accept(4)
        rig.crash()
        again = await Rig(tmp_path / "data", rig.clock).open(ScriptedCarrier("another"))
        assert [await cancel(again, id_) for id_ in ids] == [False, False, True, True]
        assert again.balance() == BALANCE - 2 * PRICE
        again.crash()

    run(scenario())


def test_after_a_crash_what_was_above_the_mark_is_cancelled_and_what_is_in_doubt_is_not(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = await Rig(tmp_path / "data").open(ScriptedCarrier(window=2))
        ids = await rig.accept(4)
        rig.crash()
        carrier = ScriptedCarrier(window=2)
        again = await Rig(tmp_path / "data", rig.clock).open(carrier)
        assert [await cancel(again, id_) for id_ in ids] == [False, False, True, True]
        await send_all(again, carrier)
        check(again, carrier, ids[2:], ids[:2])
        again.crash()

    run(scenario())


def test_while_the_server_stops_what_is_not_sent_any_more_is_cancelled(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier(window=2)
        rig = await Rig(tmp_path / "data").open(carrier)
        ids = await rig.accept(4)
        draining = asyncio.ensure_future(rig.dispatch.drain())
        await settle_some()
        assert [await cancelled_soon(rig, id_) for id_ in (ids[0], ids[3])] == [False, True]
        carrier.take_all()
        await draining
        await rig.dispatch.stop()
        await rig.store.close()
        again_carrier = ScriptedCarrier(window=2)
        again = await Rig(tmp_path / "data", rig.clock).open(again_carrier)
        await send_all(again, again_carrier)
        assert again_carrier.wire == [(ids[2], 1)]
        assert again.balance() == BALANCE - 3 * PRICE
        again.crash()

    async def settle_some() -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    async def cancelled_soon(rig: Rig, message_id: int) -> bool:
        return await rig.dispatch.cancel(rig.message(message_id))

    run(scenario())


# -- messages for later


async def scheduled(rig: Rig, seconds: int, count: int = 1) -> list[int]:
    return await rig.accept(count, send_in_ms=seconds * 1000)


def test_message_for_later_is_not_sent_before_its_time_and_waits_for_nobody_until_then(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier()
        rig = await Rig(tmp_path / "data").open(carrier)
        ids = await scheduled(rig, 600, 2)
        assert rig.balance() == BALANCE - 2 * PRICE
        await rig.pass_time(599)
        assert carrier.wire == []
        assert rig.dispatch.lanes[1].waiting == 0
        await rig.pass_time(2)
        assert carrier.wire == [(id_, 1) for id_ in ids]
        assert rig.dispatch.lanes[1].waiting == 2
        carrier.take_all()
        await settle()
        check(rig, carrier, [], ids)
        assert rig.store.ask("SELECT count(*) FROM retry") == [(0,)]

    run(scenario())


def test_message_for_later_is_sent_by_the_server_that_runs_then(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = await Rig(tmp_path / "data").open(ScriptedCarrier())
        ids = await scheduled(rig, 600)
        await rig.pass_time(300, step=100)
        rig.crash()
        carrier = ScriptedCarrier()
        again = await Rig(tmp_path / "data", rig.clock).open(carrier)
        await again.pass_time(298, step=1)
        assert carrier.wire == []
        await again.pass_time(4)
        carrier.take_all()
        await settle()
        check(again, carrier, [], ids)
        again.crash()

    run(scenario())


def test_message_for_later_whose_time_passed_while_the_server_was_down_is_sent_at_once_or_has_expired(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        rig = await Rig(tmp_path / "data").open(ScriptedCarrier())
        (late,) = await rig.accept(send_in_ms=60_000, lives_ms=500_000)
        (expired,) = await rig.accept(send_in_ms=60_000, lives_ms=100_000)
        rig.crash()
        rig.clock.advance(300)
        carrier = ScriptedCarrier()
        again = await Rig(tmp_path / "data", rig.clock).open(carrier)
        await again.pass_time(2)
        assert carrier.wire == [(late, 1)]
        assert (again.status(expired), again.balance()) == (Status.EXPIRED, BALANCE - PRICE)
        again.crash()

    run(scenario())


def test_its_validity_begins_when_it_is_due(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier(window=1)
        rig = await Rig(tmp_path / "data").open(carrier)
        await rig.accept()  # keeps the window
        (id_,) = await rig.accept(send_in_ms=600_000, lives_ms=60_000)
        await rig.pass_time(655)
        assert rig.status(id_) is Status.PENDING
        await rig.pass_time(10)
        assert rig.status(id_) is Status.EXPIRED

    run(scenario())


def test_due_messages_come_by_time_then_by_acceptance_and_with_those_sent_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heliograph.service.dispatch._DUE_AT_ONCE", 2)

    async def scenario() -> None:
        carrier = ScriptedCarrier(window=100)
        rig = await Rig(tmp_path / "data").open(carrier)
        late, early = await scheduled(rig, 20, 3), await scheduled(rig, 10, 3)
        rig.clock.advance(30)
        await settle()
        assert carrier.wire == [(id_, 1) for id_ in early + late]

    run(scenario())


def test_one_carriers_many_due_messages_are_not_in_the_way_of_anothers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("heliograph.service.dispatch._DUE_AT_ONCE", 2)

    async def scenario() -> None:
        one, two = ScriptedCarrier("one", window=100), ScriptedCarrier("two", window=100)
        rig = await Rig(tmp_path / "data").open(one, two)
        await rig.accept(50, carrier="one", send_in_ms=1000)
        await rig.accept(1, carrier="two", send_in_ms=1000)
        seen: list[int] = []
        two.look = lambda submits: seen.append(len(one.wire))
        rig.clock.advance(2)
        await settle()
        assert len(one.wire) == 50
        assert seen[0] < 10

    run(scenario())


def test_message_for_later_is_cancelled_before_it_is_due_and_while_it_is_being_queued(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier(window=1)
        rig = await Rig(tmp_path / "data").open(carrier)
        before, racing, sent = await scheduled(rig, 10, 3)
        assert await cancel(rig, before)
        rig.store.held = True
        rig.clock.advance(11)
        await settle()  # the group that queues them waits to be written
        cancelling = Cancelling(rig, racing)
        await settle()
        rig.store.held = False
        rig.store.release()
        await settle()
        taken_by_the_mark = (racing, 1) in carrier.wire
        assert cancelling.result is not taken_by_the_mark
        await send_all(rig, carrier)
        check(
            rig, carrier, [before] if taken_by_the_mark else [before, racing], [racing, sent][not taken_by_the_mark :]
        )

    run(scenario())


def test_queued_and_cancelled_by_the_same_group_it_is_cancelled(tmp_path: Path) -> None:
    async def scenario() -> None:
        for first in ("queued", "cancelled"):
            carrier = ScriptedCarrier(window=5)
            rig = await Rig(tmp_path / first).open(carrier)
            regretted, other = await scheduled(rig, 3, 2)
            rig.store.held = True
            await_commit, answers = rig.send()  # a group under way, so that the next one gathers
            await settle()
            cancelling = Cancelling(rig, regretted) if first == "cancelled" else None
            await settle()
            rig.clock.advance(4)
            await settle()
            cancelling = cancelling or Cancelling(rig, regretted)
            await settle()
            rig.store.held = False
            rig.store.release()
            await settle()
            (group,) = [ops for ops in rig.store.committed if any(type(op) is it.Cancel for op in ops)]
            assert any(type(op) is it.Requeue for op in group)
            assert cancelling.result
            await send_all(rig, carrier)
            check(rig, carrier, [regretted], [*await_commit, other])
            assert answers
            rig.crash()

    run(scenario())


def test_who_opts_out_before_it_is_due_does_not_get_it_and_it_is_refunded(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier()
        rig = await Rig(tmp_path / "data").open(carrier)
        (id_,) = await scheduled(rig, 10)
        await rig.store.apply(it.SetOptOut(rig.account.id, "56912345678", True, 1))
        await rig.pass_time(12)
        assert carrier.wire == []
        assert (rig.status(id_), rig.balance()) == (Status.REJECTED, BALANCE)
        assert rig.told(id_) == [("REJECTED", "pending")]

    run(scenario())
