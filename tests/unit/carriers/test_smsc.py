"""The SMSC of `heliograph smsc`, in this process, with a client made of our own session."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from heliograph.carriers.smpp.pdu import (
    ESM_UDHI,
    Bind,
    CancelSm,
    Command,
    DataSm,
    DataSmResp,
    DeliverSm,
    DeliverSmResp,
    QuerySm,
    Request,
    Response,
    Status,
    SubmitSm,
    Tag,
    Unbind,
)
from heliograph.carriers.smpp.session import (
    Answer,
    BindRefused,
    Bound,
    Closed,
    Event,
    Received,
    Role,
    Session,
    Unanswered,
)
from heliograph.carriers.smpp.smsc import Ids, Message, Receipts, Smsc, SmscOptions, status_of
from heliograph.messaging.delivery import ReceiptState

T = TypeVar("T")
TRX, TX, RX = Command.BIND_TRANSCEIVER, Command.BIND_TRANSMITTER, Command.BIND_RECEIVER


class Client(asyncio.Protocol):
    """An ESME: `events` is all that its session told, deliver_sm are answered with `acknowledge`."""

    def __init__(self, window: int = 100) -> None:
        self.events: list[Event] = []
        self.acknowledge: int | None = 0  # None: not at all
        self.window = window
        self._changed = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.session = Session(Role.ESME, window=self.window, now=time.monotonic())
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        self._saw(self.session.receive(data, time.monotonic()))

    def connection_lost(self, error: Exception | None) -> None:
        self._saw(self.session.lost("gone"))

    def _saw(self, events: list[Event]) -> None:
        self.events += events
        for event in events:
            if isinstance(event, Received) and self.acknowledge is not None:
                assert isinstance(event.pdu, DeliverSm)
                self.session.respond(DeliverSmResp(sequence=event.pdu.sequence, status=self.acknowledge))
        self._flush()
        self._changed.set()

    def _flush(self) -> None:
        if (out := self.session.outgoing()) and not self.transport.is_closing():
            self.transport.write(out)

    def send(self, *pdus: Request) -> None:
        """In one write; the token of each is its place."""
        for place, pdu in enumerate(pdus):
            self.session.request(pdu, place, now=time.monotonic())  # type: ignore[arg-type]
        self._flush()

    async def until(self, found: Callable[[], T]) -> T:
        async with asyncio.timeout(10):
            while not (value := found()):
                self._changed.clear()
                await self._changed.wait()
            return value

    def of(self, kind: type[T]) -> list[T]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def answers(self) -> list[Response]:
        return [event.response for event in self.of(Answer)]

    @property
    def delivered(self) -> list[DeliverSm]:
        return [event.pdu for event in self.of(Received) if isinstance(event.pdu, DeliverSm)]

    async def ask(self, *pdus: Request) -> list[Any]:
        """The answers."""
        before = len(self.answers)
        self.send(*pdus)
        await self.until(lambda: len(self.answers) >= before + len(pdus))
        return self.answers[before:]

    async def deliveries(self, count: int) -> list[DeliverSm]:
        await self.until(lambda: len(self.delivered) >= count)
        return self.delivered

    async def bind(self, kind: Command = TRX, system_id: str = "acme", password: str = "secret") -> Client:
        self.send(Bind(command=kind, system_id=system_id, password=password))
        await self.until(lambda: self.of(Bound))
        return self


@asynccontextmanager
async def running(taken: Callable[[Any], None] | None = None, **options: Any) -> AsyncIterator[Smsc]:
    smsc = Smsc(SmscOptions(port=0, **options), taken=taken)
    await smsc.start()
    try:
        yield smsc
    finally:
        await smsc.stop()


async def connected(smsc: Smsc, window: int = 100) -> Client:
    loop = asyncio.get_running_loop()
    return (await loop.create_connection(lambda: Client(window), "127.0.0.1", smsc.port))[1]


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())  # type: ignore[arg-type]


def submit(destination: str = "56912340000", text: bytes = b"Hello", **fields: Any) -> SubmitSm:
    return SubmitSm(source="Acme", destination=destination, short_message=text, **{"registered_delivery": 1, **fields})


def test_a_message_is_answered_and_its_receipt_bears_the_same_id_in_text_and_tlvs() -> None:
    async def test() -> None:
        async with running() as smsc:
            client = await (await connected(smsc)).bind()
            (answer,) = await client.ask(submit(source_ton=5, destination_ton=1))
            (receipt,) = await client.deliveries(1)
            assert receipt.short_message.startswith(f"id:{answer.message_id} sub:001 dlvrd:001 ".encode())
            assert b" stat:DELIVRD err:000 text:Hello" in receipt.short_message
            assert receipt.tlvs == (
                (Tag.RECEIPTED_MESSAGE_ID, answer.message_id.encode() + b"\0"),
                (Tag.MESSAGE_STATE, b"\x02"),
            )
            assert (receipt.source, receipt.source_ton) == ("56912340000", 1)
            assert (receipt.destination, receipt.destination_ton) == ("Acme", 5)
        assert (smsc.counts.taken, smsc.counts.receipts_acknowledged) == (1, 1)

    run(test)


@pytest.mark.parametrize(("form", "has_text", "has_tlvs"), [(Receipts.TEXT, True, False), (Receipts.TLV, False, True)])
def test_receipts_come_in_one_form_alone_when_told_so(form: Receipts, has_text: bool, has_tlvs: bool) -> None:
    async def test() -> None:
        async with running(receipts=form) as smsc:
            client = await (await connected(smsc)).bind()
            await client.ask(submit())
            (receipt,) = await client.deliveries(1)
            assert (bool(receipt.short_message), bool(receipt.tlvs)) == (has_text, has_tlvs)

    run(test)


def test_only_the_receipts_that_were_asked_for_are_sent() -> None:
    async def test() -> None:
        async with running(fates=True) as smsc:
            client = await (await connected(smsc)).bind()
            asked = [
                (0, "0000"),
                (1, "0000"),
                (2, "0000"),
                (3, "0000"),
                (0, "0001"),
                (1, "0001"),
                (2, "0001"),
                (3, "0001"),
            ]
            answers = await client.ask(*(submit(f"5691234{end}", registered_delivery=bits) for bits, end in asked))
            wanted = {answers[place].message_id for place in (1, 3, 5, 6)}
            receipts = await client.deliveries(4)
            await client.ask(submit(registered_delivery=0))
            assert {one.short_message.split()[0].decode().removeprefix("id:") for one in receipts} == wanted

    run(test)


def test_with_receipts_of_failures_alone_a_delivered_message_has_none() -> None:
    async def test() -> None:
        async with running(fates=True, receipts=Receipts.FAILED) as smsc:
            client = await (await connected(smsc)).bind()
            await client.ask(submit("56912340000"), submit("56912340001"))
            (receipt,) = await client.deliveries(1)
            assert b"stat:UNDELIV err:001" in receipt.short_message

    run(test)


@pytest.mark.parametrize(
    ("ids", "answer_base", "receipt_base"),
    [(Ids.DECIMAL, 10, 10), (Ids.HEX, 16, 16), (Ids.HEX_DLR_DEC, 16, 10), (Ids.DEC_DLR_HEX, 10, 16)],
)
def test_ids_are_written_as_told_in_answer_and_receipt(ids: Ids, answer_base: int, receipt_base: int) -> None:
    async def test() -> None:
        async with running(ids=ids) as smsc:
            client = await (await connected(smsc)).bind()
            (answer,) = await client.ask(submit())
            (receipt,) = await client.deliveries(1)
            told = receipt.short_message.split()[0].decode().removeprefix("id:")
            assert int(told, receipt_base) == int(answer.message_id, answer_base)
            assert (told == answer.message_id) is (answer_base == receipt_base)

    run(test)


@pytest.mark.parametrize(
    ("system_id", "password", "status"),
    [("acme", "wrong", Status.ESME_RINVPASWD), ("else", "secret", Status.ESME_RINVSYSID)],
)
def test_who_cannot_prove_who_he_is_is_refused(system_id: str, password: str, status: Status) -> None:
    async def test() -> None:
        async with running(system_id="acme", password="secret") as smsc:
            client = await connected(smsc)
            client.send(Bind(command=TRX, system_id=system_id, password=password))
            (refused,) = await client.until(lambda: client.of(BindRefused))
            assert refused.status == status
            await (await connected(smsc)).bind()
        assert (smsc.counts.binds, smsc.counts.binds_refused) == (1, 1)

    run(test)


def test_a_receipt_waits_for_a_receiver_and_a_transmitter_never_gets_it() -> None:
    async def test() -> None:
        async with running() as smsc:
            sender = await (await connected(smsc)).bind(TX)
            (answer,) = await sender.ask(submit())
            other = await (await connected(smsc)).bind(RX, system_id="other")
            receiver = await (await connected(smsc)).bind(RX)
            (receipt,) = await receiver.deliveries(1)
            assert answer.message_id.encode() in receipt.short_message
            assert not sender.delivered
            assert not other.delivered

    run(test)


def test_receipts_that_a_broken_link_leaves_open_come_again_first_and_in_order() -> None:
    async def test() -> None:
        async with running(window=2) as smsc:
            client = await connected(smsc)
            client.acknowledge = None
            await client.bind()
            answers = await client.ask(*(submit() for _ in range(5)))
            assert len(await client.deliveries(2)) == 2  # its window
            client.transport.abort()
            again = await (await connected(smsc)).bind()
            receipts = await again.deliveries(5)
            assert [one.short_message.split()[0].decode() for one in receipts] == [
                f"id:{one.message_id}" for one in answers
            ]

    run(test)


def test_a_refused_receipt_comes_again_when_the_refusal_is_for_the_moment() -> None:
    async def test() -> None:
        async with running() as smsc:
            client = await connected(smsc)
            client.acknowledge = Status.ESME_RX_T_APPN
            await client.bind()
            await client.ask(submit())
            await client.deliveries(1)
            client.acknowledge = 0
            first, second = await client.deliveries(2)
            assert first.short_message == second.short_message
            await client.ask(submit(registered_delivery=0))  # what was sent before has arrived
            assert (smsc.counts.receipts_acknowledged, smsc.counts.receipts_refused) == (1, 1)

    run(test)


def test_each_fate_ends_as_its_table_says() -> None:
    async def test() -> None:
        async with running(fates=True, receipt_ms=10, late_ms=20) as smsc:
            client = await (await connected(smsc)).bind()
            ends = ("0000", "0001", "0002", "0003", "0004", "0006", "0007")
            answers = await client.ask(*(submit(f"5691234{end}") for end in ends))
            receipts = await client.deliveries(8)
            found: dict[str, list[int]] = {}
            for receipt in receipts:
                tlvs = dict(receipt.tlvs)
                id_ = tlvs[Tag.RECEIPTED_MESSAGE_ID].rstrip(b"\0").decode()
                found.setdefault(id_, []).append(tlvs[Tag.MESSAGE_STATE][0])
            states = [found[answer.message_id] for answer in answers]
            assert states == [[2], [5], [8], [3], [7], [2], [2, 2]]

    run(test)


def test_a_fate_may_bring_the_receipt_before_the_answer() -> None:
    async def test() -> None:
        async with running(fates=True, receipt_ms=20) as smsc:
            client = await (await connected(smsc)).bind()
            (answer,) = await client.ask(submit("56912340008"))
            kinds = [type(event) for event in client.events]
            assert kinds.index(Received) < kinds.index(Answer)
            assert answer.message_id.encode() in client.delivered[0].short_message

    run(test)


def test_a_fate_may_throttle_once_and_another_never_answer() -> None:
    async def test() -> None:
        async with running(fates=True) as smsc:
            client = await (await connected(smsc)).bind()
            first, _ = await client.ask(submit("56912340009"), submit())
            again, _ = await client.ask(submit("56912340009"), submit())
            assert (first.status, again.status) == (Status.ESME_RTHROTTLED, 0)
            client.send(submit("56912340010"))
            await client.ask(submit())
            assert client.session.outstanding == 1
        assert [event.reason for event in client.of(Unanswered)]
        assert smsc.counts.unanswered == 1

    run(test)


def test_refusals_on_demand_go_by_the_longest_ending() -> None:
    async def test() -> None:
        statuses = dict(map(status_of, ("45=0x45", "145=ESME_RINVDSTADR", "9999=1089")))
        async with running(statuses=statuses) as smsc:
            client = await (await connected(smsc)).bind()
            answers = await client.ask(submit("5691245"), submit("56912145"), submit("56919999"), submit("5691200"))
            assert [answer.status for answer in answers] == [0x45, 0x0B, 1089, 0]
        assert (smsc.counts.refused, smsc.counts.taken) == (3, 1)

    run(test)


def test_what_is_over_the_throughput_is_throttled() -> None:
    async def test() -> None:
        async with running(throughput=100.0) as smsc:
            client = await (await connected(smsc)).bind()
            answers = await client.ask(*(submit() for _ in range(50)))
            statuses = [answer.status for answer in answers]
            assert statuses[:10] == [0] * 10
            assert Status.ESME_RTHROTTLED in statuses
            assert set(statuses) == {0, Status.ESME_RTHROTTLED}

    run(test)


def test_a_link_is_cut_at_every_nth_submit_which_is_taken_and_not_answered() -> None:
    taken: list[Message] = []

    async def test() -> None:
        async with running(taken.extend, drop_every=7) as smsc:
            client = await (await connected(smsc)).bind()
            client.send(*(submit(f"569{n}") for n in range(10)))
            await client.until(lambda: client.of(Closed))
            assert [message.submit.destination for message in taken] == [f"569{n}" for n in range(7)]
            assert len(client.of(Unanswered)) == 10
            again = await (await connected(smsc)).bind()
            receipts = await again.deliveries(7)
            assert [receipt.source for receipt in receipts] == [f"569{n}" for n in range(7)]
            await again.ask(*(submit() for _ in range(6)))
            assert smsc.counts.links_cut == 1

    run(test)


def test_the_window_that_a_client_keeps_is_seen() -> None:
    async def test() -> None:
        async with running(answer_ms=20, receipts=Receipts.NONE) as smsc:
            one, two = await (await connected(smsc)).bind(), await (await connected(smsc)).bind()
            await one.ask(*(submit() for _ in range(30)))
            await asyncio.gather(one.ask(*(submit() for _ in range(7))), two.ask(*(submit() for _ in range(20))))
            assert smsc.counts.peak_outstanding == 30

    run(test)


def test_messages_are_found_by_query_and_cancelled_until_they_have_ended() -> None:
    async def test() -> None:
        async with running(receipt_ms=100) as smsc:
            client = await (await connected(smsc)).bind()
            kept, ended = await client.ask(submit(), submit())

            async def ask(pdu: Request) -> Any:
                return (await client.ask(pdu))[0]

            query = await ask(QuerySm(message_id=kept.message_id, source="Acme"))
            assert (query.message_state, query.final_date) == (ReceiptState.ENROUTE, "")
            assert (await ask(CancelSm(message_id=ended.message_id, source="Acme"))).status == 0
            assert (await ask(CancelSm(message_id=ended.message_id, source="Else"))).status == Status.ESME_RCANCELFAIL
            await client.deliveries(2)
            query = await ask(QuerySm(message_id=kept.message_id, source="Acme"))
            assert query.message_state == ReceiptState.DELIVERED
            assert len(query.final_date) == 16
            query = await ask(QuerySm(message_id=ended.message_id, source="Acme"))
            assert (query.message_state, query.error_code) == (ReceiptState.DELETED, 1)
            assert (await ask(CancelSm(message_id=kept.message_id, source="Acme"))).status == Status.ESME_RCANCELFAIL
            assert (await ask(QuerySm(message_id="1", source="Acme"))).status == Status.ESME_RQUERYFAIL

    run(test)


def test_a_cancel_without_an_id_takes_all_from_one_address_to_another() -> None:
    async def test() -> None:
        async with running(receipt_ms=100) as smsc:
            client = await (await connected(smsc)).bind()
            await client.ask(submit("5691"), submit("5692"), submit("5691"))
            (answer,) = await client.ask(CancelSm(source="Acme", destination="5691"))
            assert answer.status == 0
            receipts = await client.deliveries(3)
            assert [b"stat:DELETED" in one.short_message for one in receipts] == [True, False, True]

    run(test)


def test_data_sm_is_answered_as_such_among_submits() -> None:
    async def test() -> None:
        async with running() as smsc:
            client = await (await connected(smsc)).bind()
            data = DataSm(
                source="Acme",
                destination="56912340000",
                registered_delivery=1,
                tlvs=((Tag.MESSAGE_PAYLOAD, b"Hello"),),
            )
            answers = await client.ask(submit(), data, submit(), DataSm(source="A" * 30, destination="569"))
            by_place = {event.token: event.response for event in client.of(Answer)}  # type: ignore[misc]
            assert isinstance(by_place[1], DataSmResp)
            assert by_place[1].message_id
            assert by_place[3].status == Status.ESME_RINVDSTADR
            assert len({answer.message_id for answer in answers if not answer.status}) == 3
            assert b"text:Hello" in (await client.deliveries(3))[1].short_message

    run(test)


def test_a_long_inbound_message_comes_in_parts() -> None:
    async def test() -> None:
        async with running() as smsc:
            with pytest.raises(ValueError, match="nobody has bound yet"):
                smsc.deliver("56912345678", "96000", "Hello")
            client = await (await connected(smsc)).bind()
            smsc.deliver("56912345678", "96000", "Hello")
            smsc.deliver("56912345678", "96000", "¡Ñandú! 😀 " * 10)
            whole, *parts = await client.deliveries(3)
            assert (whole.short_message, whole.data_coding, whole.esm_class) == (b"Hello", 0, 0)
            assert [part.short_message[:6] for part in parts] == [bytes((5, 0, 3, 2, 2, n)) for n in (1, 2)]
            assert {part.esm_class for part in parts} == {ESM_UDHI}
            text = b"".join(part.short_message[6:] for part in parts).decode("utf-16-be")
            assert text == "¡Ñandú! 😀 " * 10
            with pytest.raises(ValueError, match=r"^text"):
                smsc.deliver("56912345678", "96000", "")

    run(test)


def test_the_log_tells_parts_in_every_form_before_the_answer(tmp_path: Path) -> None:
    log = tmp_path / "log"

    async def test() -> None:
        async with running(log=log) as smsc:
            client = await (await connected(smsc)).bind()
            udh8 = submit("1", bytes((5, 0, 3, 9, 2, 1)) + b"one", esm_class=ESM_UDHI)
            udh16 = submit("2", bytes((6, 8, 4, 1, 9, 3, 2)) + b"two", esm_class=ESM_UDHI)
            sar = submit("3", b"three", tlvs=((0x20C, b"\1\x09"), (0x20E, b"\4"), (0x20F, b"\3")))
            paid = submit("4", b"", data_coding=8, tlvs=((Tag.MESSAGE_PAYLOAD, "four 😀".encode("utf-16-be")),))
            answers = await client.ask(udh8, udh16, sar, paid)
            lines = [line.split(" ") for line in log.read_text().splitlines()]
            assert [line[:2] for line in lines] == [["Acme", str(n)] for n in range(1, 5)]
            assert [line[2] for line in lines] == [answer.message_id for answer in answers]
            assert [line[3] for line in lines] == ["1/2", "2/3", "3/4", "1/1"]
            assert lines[0][4] == "7692c3ad3540bb80"  # printf one | sha256sum
            assert len({line[4] for line in lines}) == 4

    run(test)


def test_the_log_as_json_holds_the_text(tmp_path: Path) -> None:
    async def test() -> None:
        async with running(log=tmp_path / "log", log_json=True) as smsc:
            client = await (await connected(smsc)).bind()
            await client.ask(submit("569", "Ñandú".encode("utf-16-be"), data_coding=8))
            told = json.loads((tmp_path / "log").read_text())
            assert (told["destination"], told["text"], told["parts"]) == ("569", "Ñandú", 1)

    run(test)


def test_a_log_that_cannot_be_written_has_submits_refused() -> None:
    async def test() -> None:
        async with running(log=Path("/dev/full")) as smsc:
            client = await (await connected(smsc)).bind()
            (answer,) = await client.ask(submit())
            assert answer.status == Status.ESME_RSYSERR
            assert smsc.counts.taken == 0

    run(test)


def test_who_sends_no_smpp_is_cut_off_and_others_are_served_on() -> None:
    async def test() -> None:
        async with running() as smsc:
            client = await (await connected(smsc)).bind()
            reader, writer = await asyncio.open_connection("127.0.0.1", smsc.port)
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            assert (await asyncio.wait_for(reader.read(), 10))[4:8] == b"\x80\0\0\0"
            writer.close()
            assert [answer.status for answer in await client.ask(submit())] == [0]

    run(test)


def test_a_client_that_unbinds_is_let_go() -> None:
    async def test() -> None:
        async with running() as smsc:
            client = await (await connected(smsc)).bind()
            client.send(Unbind())
            (closed,) = await client.until(lambda: client.of(Closed))
            assert closed.reason == "unbound"

    run(test)


def test_a_stopping_smsc_answers_what_is_open_and_unbinds() -> None:
    async def test() -> None:
        async with running(answer_ms=60_000) as smsc:
            client = await (await connected(smsc)).bind()
            client.send(submit())
            while not smsc.counts.taken:
                await asyncio.sleep(0.005)
            await smsc.stop()
            assert [answer.status for answer in client.answers] == [0]
            assert [event.reason for event in client.of(Closed)] == ["the peer unbound"]

    run(test)


def test_options_that_do_not_go_together_are_refused_by_name(tmp_path: Path) -> None:
    for options, told in (
        ({"password": "secret"}, "--password"),
        ({"system_id": "x" * 16}, "--system-id"),
        ({"tls_ca": tmp_path / "ca"}, "--tls-ca"),
        ({"tls_key": tmp_path / "key"}, "--tls-key"),
    ):
        with pytest.raises(ValueError, match=rf"^{told} "):
            SmscOptions(**options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"--tls-cert: .*missing\.pem: No such file"):
        SmscOptions(tls_cert=tmp_path / "missing.pem").tls()


@pytest.mark.parametrize("text", ["", "45", "x=0x45", "45=0", "45=-1", "45=what", "45=0x100000000"])
def test_a_status_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^--status "):
        status_of(text)
