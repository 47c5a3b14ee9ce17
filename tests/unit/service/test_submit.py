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
from heliograph.service.submit import Submit, Verdict, as_error
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
