"""Accepting: an answer only for what is on disk, a verdict for every recipient, and nothing past a bound."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.simulation.rig import DIALECT, KEY, PRICE, Rig, ScriptedCarrier, report, run, settle

from heliograph.kit.ids import PublicIds
from heliograph.messaging import errors
from heliograph.messaging.accounts import Account, AccountStatus
from heliograph.messaging.operators import OperatorTable
from heliograph.messaging.pricing import PriceList
from heliograph.messaging.routing import Routes
from heliograph.messaging.submissions import Order, Rules, Status
from heliograph.service.submit import Entry, KeyedBatch, Submit, Verdict, as_error
from heliograph.store import interface as it

ONE, TWO = "56912345678", "447700900123"


class Door:
    """Calls the service as a dialect does."""

    def __init__(self, rig: Rig, **account: Any) -> None:
        prices = PriceList({"": PRICE, "44": PRICE // 10})
        routes = Routes(rig.dispatch.routes(), next(iter(rig.dispatch.routes())))
        rules = Rules({"default": prices}, OperatorTable({}, {}), routes, max_recipients=1000, max_segments=10)
        self.submit = Submit(rig.store, rig.dispatch, rig.ids, rules, report, rig.clock)
        self.account = Account(
            id=rig.account.id, ref="demo", name="", email="", senders=frozenset({"96000"}), **account
        )

    def send(self, *recipients: str, text: str = "hello") -> list[Any]:
        answers: list[Any] = []
        self.submit(self.account, Order(list(recipients), "96000", text, 0), DIALECT, answers.append)
        return answers


def test_accepted_message_is_on_disk_when_the_caller_hears_of_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = await Rig(tmp_path / "data").open(ScriptedCarrier())
        rig.store.held = True
        answers = Door(rig).send(ONE, TWO)
        await settle()
        assert answers == []
        rig.store.held = False
        rig.store.release()
        await settle()
        ((first, second),) = answers
        public = PublicIds(KEY)
        for verdict, recipient, price in ((first, ONE, PRICE), (second, TWO, PRICE // 10)):
            assert verdict.refused is None
            message = rig.message(public.resolve(verdict.public_id))
            assert (message.recipient, message.price_micros, message.text) == (recipient, price, "hello")
            assert message.registered_utc_ms == rig.clock.now_utc_ms()
            assert message.expires_utc_ms == rig.clock.now_utc_ms() + 48 * 3600 * 1000
        assert rig.balance() == 1_000_000 * PRICE - PRICE - PRICE // 10

    run(scenario())


def test_what_the_balance_covers_is_sent_in_order_and_a_cheaper_one_after_a_gap_too(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier()
        rig = await Rig(tmp_path / "data").open(carrier, balance=2 * PRICE + PRICE // 10)
        answers = Door(rig).send(ONE, ONE, ONE, TWO, TWO)
        await settle()
        refused = [verdict.refused for verdict in answers[0]]
        broke = errors.INSUFFICIENT_FUNDS
        assert refused == [None, None, broke, None, broke]
        assert [verdict.public_id for verdict in answers[0] if verdict.refused] == [0, 0]
        assert [one.submission.recipient for one in carrier.sent] == [ONE, ONE, TWO]
        assert rig.balance() == 0

    run(scenario())


def test_many_requests_at_once_never_overdraw(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = await Rig(tmp_path / "data").open(ScriptedCarrier(window=500), balance=100 * PRICE)
        door = Door(rig)
        asked = [door.send(*[ONE] * 5) for _ in range(200)]
        await settle()
        paid = [verdict for (verdicts,) in asked for verdict in verdicts if verdict.refused is None]
        assert len(paid) == 100
        assert len({verdict.public_id for verdict in paid}) == 100
        assert rig.balance() == 0
        assert rig.store.ask("SELECT count(*) FROM message") == [(100,)]

    run(scenario())


def test_failed_commit_is_told_to_every_caller_that_waits_for_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier()
        rig = await Rig(tmp_path / "data").open(carrier)
        rig.store.fault = lambda ops: it.Unavailable("disk full")
        door = Door(rig)
        asked = [door.send(ONE) for _ in range(5)]
        await settle()
        for (answer,) in asked:
            assert isinstance(answer, errors.OurFault)
            assert answer.kind is errors.STORE_UNAVAILABLE
        assert rig.store.ask("SELECT count(*) FROM message") == [(0,)]
        assert rig.balance() == 1_000_000 * PRICE
        assert not carrier.sent

    run(scenario())


def test_wrong_order_costs_nothing_and_is_refused_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = await Rig(tmp_path / "data").open(ScriptedCarrier())
        with pytest.raises(errors.CallerError) as caught:
            Door(rig).send(ONE, "+1555123")
        assert caught.value.pointer == "/recipients/1"
        await settle()
        assert rig.store.ask("SELECT count(*) FROM message") == [(0,)]

    run(scenario())


def test_suspended_account_sends_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = await Rig(tmp_path / "data").open(ScriptedCarrier())
        with pytest.raises(errors.CallerError) as caught:
            Door(rig, status=AccountStatus.SUSPENDED).send(ONE)
        assert caught.value.kind is errors.ACCOUNT_SUSPENDED

    run(scenario())


def test_server_that_stops_accepts_nothing_more(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = await Rig(tmp_path / "data").open(ScriptedCarrier())
        door = Door(rig)
        door.submit.draining = True
        with pytest.raises(errors.OurFault) as caught:
            door.send(ONE)
        assert caught.value.kind is errors.DRAINING
        assert caught.value.retry_after_seconds > 0

    run(scenario())


def test_full_carrier_refuses_single_recipients_and_then_whole_requests(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier(window=1)
        rig = await Rig(tmp_path / "data").open(carrier, max_waiting=3)
        door = Door(rig)
        answers = door.send(*[ONE] * 5)
        await settle()
        full = errors.CARRIER_BACKLOG_FULL
        assert [verdict.refused for verdict in answers[0]] == [None, None, None, full, full]
        assert rig.balance() == 1_000_000 * PRICE - 3 * PRICE
        with pytest.raises(errors.CarrierError) as caught:
            door.send(ONE)
        assert caught.value.kind is full
        assert caught.value.retry_after_seconds > 0
        carrier.take_all()
        await settle()
        answers = door.send(ONE)
        await settle()
        assert isinstance(answers[0][0], Verdict)
        assert answers[0][0].refused is None

    run(scenario())


def test_full_carrier_and_empty_balance_are_told_apart(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = await Rig(tmp_path / "data").open(ScriptedCarrier(window=1), max_waiting=3, balance=PRICE)
        answers = Door(rig).send(*[ONE] * 5)
        await settle()
        broke, full = errors.INSUFFICIENT_FUNDS, errors.CARRIER_BACKLOG_FULL
        assert [verdict.refused for verdict in answers[0]] == [None, broke, broke, full, full]

    run(scenario())


def test_past_the_bound_of_waiting_rows_the_caller_is_sent_away_and_nothing_is_stored(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = await Rig(tmp_path / "data").open(ScriptedCarrier())
        rig.store._group._max_weight = 10
        door = Door(rig)
        first = door.send(*[ONE] * 8)
        with pytest.raises(errors.OurFault) as caught:
            door.send(*[ONE] * 3)
        assert caught.value.kind is errors.OVERLOADED
        second = door.send(*[ONE] * 2)
        await settle()
        assert len(first[0]) == 8
        assert len(second[0]) == 2
        assert rig.store.ask("SELECT count(*) FROM message") == [(10,)]

    run(scenario())


def test_same_number_twice_is_two_messages_both_paid(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = await Rig(tmp_path / "data").open(ScriptedCarrier())
        answers = Door(rig).send(ONE, ONE, text="x" * 200)
        await settle()
        assert len({verdict.public_id for verdict in answers[0]}) == 2
        assert rig.balance() == 1_000_000 * PRICE - 4 * PRICE
        assert rig.store.ask("SELECT count(*), sum(amount_micros) FROM posting WHERE kind = 2") == [(1, -4 * PRICE)]
        message = rig.message(PublicIds(KEY).resolve(answers[0][0].public_id))
        assert (message.segments, message.price_micros, message.status) == (2, 2 * PRICE, Status.PENDING)

    run(scenario())


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (it.Unavailable("disk full"), errors.STORE_UNAVAILABLE),
        (it.Uncertain("who knows"), errors.STORE_UNAVAILABLE),
        (ZeroDivisionError(), errors.INTERNAL_ERROR),
        (errors.CallerError(errors.TEXT_EMPTY), errors.TEXT_EMPTY),
    ],
)
def test_whatever_goes_wrong_the_caller_gets_an_error_of_the_registry(error: Exception, kind: errors.Kind) -> None:
    assert as_error(error).kind is kind


# -- batches


def order(recipient: str, **how: Any) -> Order:
    return Order([recipient], "96000", "hello", 0, **how)


def batch(door: Door, *orders: Order | errors.HeliographError, keyed: KeyedBatch | None = None) -> list[Any]:
    answers: list[Any] = []
    door.submit.batch(door.account, orders, DIALECT, answers.append, keyed, "req_0123456789abcdef0123")
    return answers


def told(entries: list[Entry]) -> list[str]:
    """An error's code for each, or "" for one that was accepted."""
    return [
        one.kind.code if isinstance(one, errors.HeliographError) else one.refused.code if one.refused else ""
        for one in entries
    ]


def test_batch_is_one_commit_with_an_entry_for_each_order_in_its_place(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier()
        rig = await Rig(tmp_path / "data").open(carrier, balance=2 * PRICE + PRICE // 10)
        door = Door(rig)
        malformed = errors.CallerError(errors.FIELD_INVALID, "no recipient")
        orders = (order(ONE), malformed, order("+1555123"), order(ONE), order(ONE), order(TWO))
        answers = batch(door, *orders)
        await settle()
        (entries,) = answers
        broke = errors.INSUFFICIENT_FUNDS.code
        invalid = errors.RECIPIENT_INVALID.code
        assert told(entries) == ["", errors.FIELD_INVALID.code, invalid, "", broke, ""]
        assert entries[1] is malformed
        assert sum(any(type(op) is it.AcceptMany for op in ops) for ops in rig.store.committed) == 1
        public = PublicIds(KEY)
        messages = [rig.message(public.resolve(one.public_id)) for one in entries if told([one]) == [""]]
        assert [one.recipient for one in messages] == [ONE, ONE, TWO]
        assert {one.trace for one in messages} == {"0123456789abcdef0123"}
        assert [one.submission.id for one in carrier.sent] == [one.id for one in messages]
        assert rig.balance() == 0
        assert (door.submit.accepted, door.submit.refused[broke]) == (3, 1)

    run(scenario())


def test_each_order_of_a_batch_keeps_what_it_asks_for(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier()
        rig = await Rig(tmp_path / "data").open(carrier)
        now = rig.clock.now_utc_ms()
        asked = order(ONE, reference="17", callback_url="https://x/", send_at_utc_ms=now + 5000, validity_seconds=60)
        ((first, second),) = await settled(batch(Door(rig), asked, order(TWO)))
        public = PublicIds(KEY)
        later, at_once = (rig.message(public.resolve(one.public_id)) for one in (first, second))
        assert (later.reference, later.callback_url, later.send_at_utc_ms) == ("17", "https://x/", now + 5000)
        assert later.expires_utc_ms == now + 5000 + 60_000
        assert (at_once.reference, at_once.callback_url, at_once.send_at_utc_ms) == (None, "", 0)
        assert [one.submission.recipient for one in carrier.sent] == [TWO]

    run(scenario())


async def settled(answers: list[Any]) -> list[Any]:
    await settle()
    return answers


def test_carrier_without_room_refuses_the_rest_of_a_batch(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = await Rig(tmp_path / "data").open(ScriptedCarrier(window=1), max_waiting=3)
        door = Door(rig)
        ((*entries,),) = await settled(batch(door, *[order(ONE)] * 5))
        full = errors.CARRIER_BACKLOG_FULL.code
        assert told(entries) == ["", "", "", full, full]
        ((*entries,),) = await settled(batch(door, order(ONE)))
        assert told(entries) == [full]
        assert rig.balance() == 1_000_000 * PRICE - 3 * PRICE

    run(scenario())


def test_batch_with_nothing_to_store_is_answered_with_its_errors(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = await Rig(tmp_path / "data").open(ScriptedCarrier())
        ((*entries,),) = await settled(batch(Door(rig), order("+1555123"), order("1")))
        assert told(entries) == [errors.RECIPIENT_INVALID.code] * 2
        assert rig.balance() == 1_000_000 * PRICE

    run(scenario())


def test_repeated_batch_gets_the_first_answer(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = await Rig(tmp_path / "data").open(ScriptedCarrier(), balance=PRICE)
        door = Door(rig)
        keyed = KeyedBatch("batch", "k", b"\x01" * 32, lambda entries: " ".join(told(entries)).encode())
        orders = (order(ONE), order("+1555123"), order(ONE))
        ((*entries,),) = await settled(batch(door, *orders, keyed=keyed))
        expected = it.Answered(b"\x01" * 32, " ".join(told(entries)).encode())
        assert await settled(batch(door, *orders, keyed=keyed)) == [expected]
        assert rig.balance() == 0
        only_errors = KeyedBatch("batch", "other", b"\x02" * 32, lambda entries: " ".join(told(entries)).encode())
        await settled(batch(door, order("1"), keyed=only_errors))
        invalid = it.Answered(b"\x02" * 32, errors.RECIPIENT_INVALID.code.encode())
        assert await settled(batch(door, order("1"), keyed=only_errors)) == [invalid]

    run(scenario())


def test_batch_that_could_not_be_stored_is_told_so_as_a_whole(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier()
        rig = await Rig(tmp_path / "data").open(carrier)
        rig.store.fault = lambda ops: it.Unavailable("disk full")
        (answer,) = await settled(batch(Door(rig), order(ONE), order(TWO)))
        assert answer.kind is errors.STORE_UNAVAILABLE
        assert not carrier.sent
        assert rig.dispatch.lanes[1].waiting == 0

    run(scenario())


@pytest.mark.parametrize(
    ("spoil", "kind"),
    [
        (lambda door, rig: setattr(door.submit, "draining", True), errors.DRAINING),
        (lambda door, rig: setattr(rig.store._group, "_max_weight", 1), errors.OVERLOADED),
    ],
)
def test_batch_is_refused_as_a_whole_when_nothing_can_be_accepted(
    tmp_path: Path, spoil: Any, kind: errors.Kind
) -> None:
    async def scenario() -> None:
        rig = await Rig(tmp_path / "data").open(ScriptedCarrier())
        door = Door(rig)
        spoil(door, rig)
        with pytest.raises(errors.OurFault) as caught:
            batch(door, order(ONE), order(TWO))
        assert caught.value.kind is kind
        await settle()
        assert rig.store.ask("SELECT count(*) FROM message") == [(0,)]

    run(scenario())


def test_recipient_that_opted_out_is_an_error_to_who_asks_for_one_and_an_end_to_others(tmp_path: Path) -> None:
    async def scenario() -> None:
        carrier = ScriptedCarrier()
        rig = await Rig(tmp_path / "data").open(carrier)
        await rig.store.apply(it.SetOptOut(rig.account.id, ONE, True, 1))
        refusing = order(ONE, refuse_opted_out=True)
        ((*entries,),) = await settled(batch(Door(rig), refusing, order(ONE), order(TWO, refuse_opted_out=True)))
        assert told(entries) == [errors.RECIPIENT_OPTED_OUT.code, "", ""]
        assert rig.store.ask("SELECT recipient, status FROM message ORDER BY id") == [
            (ONE, Status.REJECTED),
            (TWO, Status.PENDING),
        ]
        assert [one.submission.recipient for one in carrier.sent] == [TWO]
        assert rig.balance() == 1_000_000 * PRICE - PRICE // 10
        assert rig.dispatch.lanes[1].waiting == 1

    run(scenario())
