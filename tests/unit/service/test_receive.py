"""Receipts: matched to their messages however early, late or often they come, and acknowledged only when stored."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.simulation.rig import Rig, ScriptedCarrier, run, settle

from heliograph.carriers.interface import Outcome
from heliograph.messaging.delivery import ReceiptState
from heliograph.messaging.retry import DoubtPolicy, SubmitClass
from heliograph.messaging.submissions import Status
from heliograph.service import receive
from heliograph.store import interface as it

TAKEN = SubmitClass.TAKEN
DELIVERED, ENROUTE = ReceiptState.DELIVERED, ReceiptState.ENROUTE


def callbacks(rig: Rig, message_id: int) -> list[tuple[str, str]]:
    found = rig.store.look(lambda reads: reads.callbacks_of(message_id))
    return [(one.body.decode().split()[1], one.state) for one in found]


async def sent(rig: Rig, carrier: ScriptedCarrier, segments: int = 1) -> int:
    """A message that the carrier took; its parts are `ref-ID-PART`."""
    (id_,) = await rig.accept(1, segments=segments)
    carrier.take_all()
    await settle()
    return id_


def test_receipt_ends_the_message_and_is_acknowledged_once_on_disk(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier()
        rig = await Rig(tmp_path / "data").open(carrier)
        id_ = await sent(rig, carrier)
        rig.store.held = True
        answered = carrier.tell((f"ref-{id_}-1", DELIVERED))
        await settle()
        assert answered == []
        rig.store.release()  # the commit
        await settle()
        assert rig.status(id_) is Status.DELIVERED
        rig.store.release()  # and the loop hears of it
        await settle()
        assert answered == [True]
        assert callbacks(rig, id_) == [("DELIVERED", "pending")]

    run(scenario())


def test_receipt_that_could_not_be_stored_is_refused_and_counts_when_told_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier()
        rig = await Rig(tmp_path / "data").open(carrier)
        id_ = await sent(rig, carrier)
        rig.store.fault = lambda ops: it.Unavailable("disk full")
        answered = carrier.tell((f"ref-{id_}-1", DELIVERED))
        await settle()
        assert answered == [False]
        rig.store.fault = lambda ops: None
        answered = carrier.tell((f"ref-{id_}-1", DELIVERED))
        await settle()
        assert answered == [True]
        assert rig.status(id_) is Status.DELIVERED

    run(scenario())


def test_receipt_before_the_answer_is_not_lost(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier()
        rig = await Rig(tmp_path / "data").open(carrier)
        (id_,) = await rig.accept()
        assert carrier.tell((f"ref-{id_}-1", DELIVERED)) == []
        await settle()
        assert rig.status(id_) is Status.PENDING
        rig.clock.advance(30)
        carrier.take_all()
        await settle()
        message = rig.message(id_)
        assert message.status is Status.DELIVERED
        assert message.sent_utc_ms > 0, "delivered, and never sent"
        assert message.ref == f"ref-{id_}-1"
        assert rig.receive.unmatched == 1

    run(scenario())


def test_early_final_receipt_is_not_forgotten_for_a_report_on_the_way(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier()
        rig = await Rig(tmp_path / "data").open(carrier)
        (id_,) = await rig.accept()
        for state in (ENROUTE, DELIVERED, ENROUTE):
            carrier.tell((f"ref-{id_}-1", state))
            await settle()
        carrier.take_all()
        await settle()
        assert rig.status(id_) is Status.DELIVERED

    run(scenario())


def test_early_receipt_survives_a_store_that_fails_when_the_answer_comes(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier()
        rig = await Rig(tmp_path / "data").open(carrier)
        (id_,) = await rig.accept()
        answered = carrier.tell((f"ref-{id_}-1", DELIVERED))
        await settle()
        assert answered == [True], "the carrier will not tell it again"
        rig.store.fault = lambda ops: it.Unavailable("disk full")
        carrier.take_all()
        await settle()
        rig.store.fault = lambda ops: None
        await rig.pass_time(3)
        assert rig.status(id_) is Status.DELIVERED

    run(scenario())


def test_receipt_that_comes_while_the_answer_is_being_stored_is_not_lost(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier()
        rig = await Rig(tmp_path / "data").open(carrier)
        (id_,) = await rig.accept()
        rig.store.held = True
        carrier.tell((f"ref-{id_}-1", DELIVERED))
        await settle()  # looked for in the store, not found there …
        carrier.take_all()
        await settle()
        for _ in range(8):
            rig.store.release()
            await settle()
        assert rig.status(id_) is Status.DELIVERED

    run(scenario())


@pytest.mark.parametrize("segments", [1, 2])
def test_receipt_in_the_same_moment_as_the_answer_counts(tmp_path: Path, segments: int) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier()
        rig = await Rig(tmp_path / "data").open(carrier)
        (id_,) = await rig.accept(1, segments=segments)
        carrier.take_all()
        carrier.tell(*[(f"ref-{id_}-{part}", DELIVERED) for part in range(1, segments + 1)])
        await settle()
        message = rig.message(id_)
        assert message.status is Status.DELIVERED
        assert message.sent_utc_ms > 0

    run(scenario())


def test_long_message_is_delivered_when_every_part_is(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier()
        rig = await Rig(tmp_path / "data").open(carrier)
        id_ = await sent(rig, carrier, segments=3)
        for part in (2, 1):
            carrier.tell((f"ref-{id_}-{part}", DELIVERED))
            await settle()
            assert rig.status(id_) is Status.SENT
        carrier.tell((f"ref-{id_}-3", DELIVERED))
        await settle()
        assert rig.status(id_) is Status.DELIVERED
        assert len(callbacks(rig, id_)) == 1

    run(scenario())


def test_one_failed_part_fails_the_message_and_later_parts_change_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier()
        rig = await Rig(tmp_path / "data").open(carrier)
        id_ = await sent(rig, carrier, segments=2)
        carrier.tell((f"ref-{id_}-1", ReceiptState.UNDELIVERABLE))
        await settle()
        carrier.tell((f"ref-{id_}-2", DELIVERED))
        await settle()
        assert rig.status(id_) is Status.UNDELIVERED
        assert len(callbacks(rig, id_)) == 1
        assert not rig.message(id_).refunded

    run(scenario())


def test_message_that_a_receipt_has_ended_is_not_sent_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier()
        rig = await Rig(tmp_path / "data").open(carrier)
        (id_,) = await rig.accept(1, segments=2)
        carrier.answer(TAKEN)
        await settle()
        carrier.tell((f"ref-{id_}-1", ReceiptState.UNDELIVERABLE))
        await settle()
        carrier.answer(SubmitClass.TEMPORARY)
        await settle()
        await rig.pass_time(400, 10)
        assert len(carrier.sent) == 2
        assert rig.status(id_) is Status.UNDELIVERED

    run(scenario())


def test_intermediate_report_changes_nothing_and_the_final_one_still_counts(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier()
        rig = await Rig(tmp_path / "data").open(carrier)
        id_ = await sent(rig, carrier)
        for state in (ReceiptState.SCHEDULED, ENROUTE, ReceiptState.ACCEPTED):
            carrier.tell((f"ref-{id_}-1", state))
            await settle()
            assert rig.status(id_) is Status.SENT
        assert callbacks(rig, id_) == []
        carrier.tell((f"ref-{id_}-1", DELIVERED))
        await settle()
        assert rig.status(id_) is Status.DELIVERED

    run(scenario())


def test_repeated_receipt_is_acknowledged_and_reported_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier()
        rig = await Rig(tmp_path / "data").open(carrier)
        id_ = await sent(rig, carrier)
        for _ in range(3):
            answered = carrier.tell((f"ref-{id_}-1", DELIVERED), (f"ref-{id_}-1", DELIVERED))
            await settle()
            assert answered == [True]
        assert callbacks(rig, id_) == [("DELIVERED", "pending")]

    run(scenario())


@pytest.mark.parametrize("together", [False, True])
def test_unknown_is_replaced_by_a_later_final_and_the_customer_hears_only_that(tmp_path: Path, together: bool) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier()
        rig = await Rig(tmp_path / "data").open(carrier)
        id_ = await sent(rig, carrier)
        ref = f"ref-{id_}-1"
        carrier.tell((ref, ReceiptState.UNKNOWN))
        if not together:
            await settle()
            assert rig.status(id_) is Status.UNKNOWN
        carrier.tell((ref, DELIVERED))
        await settle()
        assert rig.status(id_) is Status.DELIVERED
        carrier.tell((ref, ReceiptState.REJECTED))
        await settle()
        assert rig.status(id_) is Status.DELIVERED
        pending = [status for status, state in callbacks(rig, id_) if state == "pending"]
        assert pending == ["DELIVERED"]

    run(scenario())


def test_receipt_that_nothing_matches_is_acknowledged_and_counted(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier()
        rig = await Rig(tmp_path / "data").open(carrier)
        answered = carrier.tell(("stranger", DELIVERED))
        await settle()
        assert answered == [True]
        assert rig.receive.unmatched == 1

    run(scenario())


def test_parked_receipts_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receive, "PARKED", 5)

    async def scenario() -> None:
        carrier = ScriptedCarrier()
        rig = await Rig(tmp_path / "data").open(carrier)
        (id_,) = await rig.accept()
        for number in range(20):
            carrier.tell((f"stranger-{number}", DELIVERED))
            await settle()
        assert len(rig.receive._parked) == 5
        carrier.tell((f"ref-{id_}-1", DELIVERED))
        await settle()
        carrier.take_all()
        await settle()
        assert rig.status(id_) is Status.DELIVERED, "the newest is kept"

    run(scenario())


def test_receipt_is_matched_after_its_id_left_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receive, "REFS_IN_MEMORY", 10)
    monkeypatch.setattr(receive, "REFS_IN_RUN", 4)

    async def scenario() -> None:
        carrier = ScriptedCarrier()
        rig = await Rig(tmp_path / "data").open(carrier)
        ids = [await sent(rig, carrier, segments=1 + number % 2) for number in range(40)]
        assert len(rig.receive._refs) <= 11
        for number, id_ in enumerate(ids):
            for part in range(1, 2 + number % 2):
                answered = carrier.tell((f"ref-{id_}-{part}", DELIVERED))
                await settle()
                assert answered == [True]
        assert {rig.status(id_) for id_ in ids} == {Status.DELIVERED}
        assert rig.receive.unmatched == 0

    run(scenario())


def test_receipt_before_the_answer_is_not_lost_when_its_id_leaves_memory_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receive, "REFS_IN_MEMORY", 0)

    async def scenario() -> None:
        carrier = ScriptedCarrier()
        rig = await Rig(tmp_path / "data").open(carrier)
        (id_,) = await rig.accept()
        carrier.tell((f"ref-{id_}-1", DELIVERED))
        carrier.take_all()  # in the same moment
        await settle()
        assert rig.status(id_) is Status.DELIVERED

    run(scenario())


def test_late_intermediate_report_does_not_undo_a_delivered_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receive, "REFS_IN_MEMORY", 0)

    async def scenario() -> None:
        carrier = ScriptedCarrier()
        rig = await Rig(tmp_path / "data").open(carrier)
        id_ = await sent(rig, carrier, segments=2)
        await sent(rig, carrier)
        assert not [ref for _, ref in rig.receive._refs if ref.startswith(f"ref-{id_}-")]
        carrier.tell((f"ref-{id_}-1", DELIVERED))
        await settle()
        carrier.tell((f"ref-{id_}-1", ENROUTE))
        await settle()
        carrier.tell((f"ref-{id_}-2", DELIVERED))
        await settle()
        assert rig.status(id_) is Status.DELIVERED

    run(scenario())


def test_failed_commit_of_old_ids_loses_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receive, "REFS_IN_MEMORY", 4)
    monkeypatch.setattr(receive, "REFS_IN_RUN", 4)

    async def scenario() -> None:
        carrier = ScriptedCarrier(window=20)
        rig = await Rig(tmp_path / "data").open(carrier)
        ids = await rig.accept(12)
        rig.store.fault = lambda ops: (
            it.Unavailable("disk full") if any(type(op) is it.StoreRefs for op in ops) else None
        )
        carrier.take_all()
        await settle()
        await rig.accept()
        rig.store.fault = lambda ops: None
        await rig.pass_time(3)
        for id_ in ids:
            carrier.tell((f"ref-{id_}-1", DELIVERED))
            await settle()
        assert {rig.status(id_) for id_ in ids} == {Status.DELIVERED}

    run(scenario())


def test_after_a_restart_receipts_still_find_their_messages(tmp_path: Path) -> None:
    async def scenario() -> None:
        first = ScriptedCarrier()
        rig = await Rig(tmp_path / "data").open(first)
        short, long = await sent(rig, first), await sent(rig, first, segments=2)
        first.tell((f"ref-{long}-1", DELIVERED))
        await settle()
        rig.crash()
        carrier = ScriptedCarrier()
        again = await Rig(tmp_path / "data", rig.clock).open(carrier)
        assert sorted(carrier.asked) == [f"ref-{short}-1", f"ref-{long}-2"]
        for ref in (f"ref-{short}-1", f"ref-{long}-2"):
            carrier.tell((ref, DELIVERED))
            await settle()
        assert again.status(short) is Status.DELIVERED
        assert again.status(long) is Status.DELIVERED
        again.crash()

    run(scenario())


def test_after_a_restart_the_carrier_is_asked_for_what_it_told_while_nobody_listened(tmp_path: Path) -> None:
    async def scenario() -> None:
        first = ScriptedCarrier()
        rig = await Rig(tmp_path / "data").open(first)
        id_ = await sent(rig, first)
        rig.crash()
        carrier = ScriptedCarrier()
        carrier.fates = {f"ref-{id_}-1": DELIVERED}
        again = Rig(tmp_path / "data", rig.clock)
        failures = iter([it.Unavailable("disk full")] * 2)
        again.store.fault = lambda ops: (
            next(failures, None) if any(type(op) is it.StoreReceipts for op in ops) else None
        )
        await again.open(carrier)
        await again.pass_time(10)
        assert again.status(id_) is Status.DELIVERED
        again.crash()

    run(scenario())


def test_receipt_for_a_message_in_doubt_that_is_held_ends_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier()
        rig = await Rig(tmp_path / "data").open(carrier, doubt=DoubtPolicy.HOLD)
        (id_,) = await rig.accept(1, segments=2)
        (first, second), carrier.out = carrier.out, []
        carrier.events.outcomes([Outcome(first, TAKEN, "a"), Outcome(second, SubmitClass.UNKNOWN)])
        await settle()
        assert rig.status(id_) is Status.UNKNOWN
        carrier.tell(("a", ReceiptState.UNDELIVERABLE))
        await settle()
        assert rig.status(id_) is Status.UNDELIVERED
        assert callbacks(rig, id_) == [("UNKNOWN", "cancelled"), ("UNDELIVERED", "pending")]

    run(scenario())
