"""What is asked of the SMPP carrier alone: over sockets, against our own SMSC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.conformance.carriers.peers import Ear, opened, submit_of
from tests.harness.server import free_port

from heliograph.carriers.interface import CarrierState, Receipt, Submit
from heliograph.carriers.settings import SmppSettings
from heliograph.carriers.smpp import SmppCarrier
from heliograph.carriers.smpp.smsc import Ids, Message, Receipts, Smsc, SmscOptions, parts
from heliograph.kit.clock import SystemClock
from heliograph.messaging.delivery import ReceiptState
from heliograph.messaging.retry import SubmitClass
from heliograph.messaging.submissions import Request, Submission
from heliograph.messaging.text import compose


class Bench:
    """An SMSC, a carrier and its ear."""

    def __init__(self, smsc: Smsc, carrier: SmppCarrier, taken: list[Message]) -> None:
        self.smsc, self.carrier, self.taken = smsc, carrier, taken
        self.ear = Ear()

    async def until(self, happened: Callable[[], bool]) -> None:
        async with asyncio.timeout(20):
            while not happened():
                await asyncio.sleep(0.002)

    async def ended(self, count: int) -> None:
        await self.until(lambda: len(self.ear.ended) >= count)
        assert len(self.ear.ended) == count


@asynccontextmanager
async def bench(options: dict[str, Any] | None = None, **settings: Any) -> AsyncIterator[Bench]:
    taken: list[Message] = []
    smsc = Smsc(SmscOptions(**{"port": free_port(), "system_id": "us", **(options or {})}), taken=taken.extend)
    await smsc.start()
    whole = {"host": "127.0.0.1", "port": smsc.port, "system_id": "us", "window": 50, "reconnect_seconds": 0.05}
    carrier = SmppCarrier("c", SmppSettings(**{**whole, **settings}), SystemClock())
    of = Bench(smsc, carrier, taken)
    await carrier.start(of.ear)
    try:
        yield of
    finally:
        await carrier.stop()
        await smsc.stop()


def message(id_: int, text: str, carrier: SmppCarrier) -> list[Submit]:
    composed = compose(text, 0, max_segments=100)
    request = Request(id_, 1, 1, "Alerts", composed, 1, 1 << 50)
    submission = Submission(id_, request, "56912345678", 1, 1, 0, 0, id_)
    bodies = carrier.bodies(composed)
    return [Submit(submission, part, body, len(bodies)) for part, body in enumerate(bodies, 1)]


TEXTS = ("Hello", "€uro [and] more\n" * 30, "Привет 😀" * 40, "Año " * 90)


@pytest.mark.parametrize("form", ["udh8", "udh16", "sar", "payload"])
def test_long_messages_are_read_as_they_were_written(form: str) -> None:
    async def scenario() -> None:
        async with bench(long_messages=form) as of:
            await opened(of.carrier)
            submits = [submit for id_, text in enumerate(TEXTS) for submit in message(id_, text, of.carrier)]
            of.carrier.submit(submits)
            await of.ended(len(submits))
            read = [parts.read(one.submit) for one in of.taken]
            assert "".join(part.text for part in read) == "".join(TEXTS)
            assert [(part.part, part.parts) for part in read] == [(one.part, one.parts) for one in submits]
            await of.until(lambda: len(of.ear.told) == len(submits))
            assert [one.ref for one in of.ear.told] == [one.ref for one in of.ear.ended]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("ids", "message_ids"),
    [
        (Ids.DECIMAL, "as-is"),
        (Ids.HEX, "as-is"),
        (Ids.HEX_DLR_DEC, "resp-hex-dlr-dec"),
        (Ids.DEC_DLR_HEX, "resp-dec-dlr-hex"),
    ],
)
@pytest.mark.parametrize("receipts", [Receipts.TEXT, Receipts.TLV, Receipts.ALL])
def test_receipts_have_the_ids_of_their_answers(ids: Ids, message_ids: str, receipts: Receipts) -> None:
    async def scenario() -> None:
        async with bench({"ids": ids, "receipts": receipts, "fates": True}, message_ids=message_ids) as of:
            await opened(of.carrier)
            of.carrier.submit([submit_of(1, "56912340000"), submit_of(2, "56912340001")])
            await of.until(lambda: len(of.ear.told) == 2)
            told = {one.ref: one.state for one in of.ear.told}
            refs = of.ear.refs()
            assert told == {refs[1]: ReceiptState.DELIVERED, refs[2]: ReceiptState.UNDELIVERABLE}
            of.ear.told.clear()
            of.carrier.query([refs[1], refs[2]], ["96000", "96000"])
            await of.until(lambda: len(of.ear.told) == 2)
            assert {one.ref: one.state for one in of.ear.told} == told

    asyncio.run(scenario())


@pytest.mark.parametrize("binds", [1, 2])
def test_a_link_cut_in_mid_window_leaves_each_submit_with_one_outcome_and_comes_back(binds: int) -> None:
    async def scenario() -> None:
        async with bench({"drop_every": 70, "answer_ms": 3}, binds=binds) as of:
            for first in range(0, 300, 50):
                await opened(of.carrier)
                of.carrier.submit([submit_of(first + n, "56912340000") for n in range(50)])
                await of.ended(first + 50)
            assert set(of.ear.count().values()) == {1}
            results = {one.result for one in of.ear.ended}
            assert results <= {SubmitClass.TAKEN, SubmitClass.UNKNOWN, SubmitClass.NOT_SENT}
            assert SubmitClass.UNKNOWN in results
            # What is said to be taken was, and what is said not to be sent was not.
            assert of.smsc.counts.links_cut >= 1
            sent = sum(one.result is not SubmitClass.NOT_SENT for one in of.ear.ended)
            taken = sum(one.result is SubmitClass.TAKEN for one in of.ear.ended)
            assert taken <= len(of.taken) <= sent

    asyncio.run(scenario())


def test_no_more_than_the_window_is_ever_unanswered() -> None:
    async def scenario() -> None:
        async with bench({"answer_ms": 5}, window=7) as of:
            await opened(of.carrier)
            for first in range(0, 70, 7):
                of.carrier.submit([submit_of(first + n, "56912340000") for n in range(7)])
                await of.ended(first + 7)
            assert of.smsc.counts.peak_outstanding == 7

    asyncio.run(scenario())


def test_a_wrong_password_is_a_fault_and_told_as_one() -> None:
    async def scenario() -> None:
        told: list[tuple[CarrierState, str]] = []
        async with bench({"password": "right"}, password="wrong") as of:
            of.ear.changed = lambda state, why: told.append((state, why))  # type: ignore[method-assign]
            await of.until(lambda: len(told) > 0)
            assert not of.carrier.open
        assert told[0][0] is CarrierState.FAULT
        assert "ESME_RINVPASWD" in told[0][1]
        assert "wrong" not in told[0][1]
        assert told[-1][0] is CarrierState.STOPPED

    asyncio.run(scenario())


def test_a_carrier_that_refuses_us_in_an_answer_is_a_fault_and_tried_again_later() -> None:
    async def scenario() -> None:
        async with bench({"statuses": {"7777": 0x0D}, "answer_ms": 2}, fault_seconds=0.2) as of:
            await opened(of.carrier)
            numbers = ["56912340000", "56912347777", "56912340000"]
            of.carrier.submit([submit_of(id_, number) for id_, number in enumerate(numbers)])
            await of.ended(3)
            assert [one.result for one in of.ear.ended] == [
                SubmitClass.TAKEN,
                SubmitClass.LINK_FAULT,
                SubmitClass.TAKEN,
            ]
            assert CarrierState.FAULT in of.ear.states
            await opened(of.carrier)
            of.carrier.submit([submit_of(4, "56912340000")])
            await of.ended(4)
            assert of.ear.ended[3].result is SubmitClass.TAKEN

    asyncio.run(scenario())


def test_a_receipt_is_acknowledged_once_it_is_stored_and_not_before() -> None:
    async def scenario() -> None:
        waiting: list[Callable[[bool], None]] = []

        def receipts(told: Sequence[Receipt], acknowledge: Callable[[bool], None]) -> None:
            waiting.append(acknowledge)

        async with bench() as of:
            of.ear.receipts = receipts  # type: ignore[method-assign]
            await opened(of.carrier)
            of.carrier.submit([submit_of(1, "56912340000")])
            await of.until(lambda: len(waiting) == 1)
            await asyncio.sleep(0.05)
            counts = of.smsc.counts
            assert (counts.receipts_acknowledged, counts.receipts_refused) == (0, 0)
            waiting[0](False)
            await of.until(lambda: counts.receipts_refused == 1)
            await of.until(lambda: len(waiting) == 2)
            waiting[1](True)
            await of.until(lambda: counts.receipts_acknowledged == 1)
            assert counts.receipts_refused == 1

    asyncio.run(scenario())


def test_order_is_kept_on_the_wire_when_the_throughput_is_limited() -> None:
    async def scenario() -> None:
        async with bench(throughput=1_000, window=200) as of:
            await opened(of.carrier)
            of.carrier.submit([submit_of(n, f"5691235{n:04}") for n in range(150)])
            await of.ended(150)
            assert [one.submit.destination for one in of.taken] == [f"5691235{n:04}" for n in range(150)]

    asyncio.run(scenario())
