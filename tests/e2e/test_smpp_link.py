"""A link on real sockets, against an SMSC of a few lines that misbehaves as it is told."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.harness import tls

from heliograph.carriers.settings import SmppSettings
from heliograph.carriers.smpp.connection import Connection
from heliograph.carriers.smpp.link import Link
from heliograph.carriers.smpp.pdu import (
    Bind,
    BindResp,
    Command,
    DataSm,
    DeliverSm,
    DeliverSmResp,
    QuerySm,
    QuerySmResp,
    Status,
    SubmitSm,
    SubmitSmResp,
)
from heliograph.carriers.smpp.session import (
    Answer,
    Closed,
    Event,
    NotAllowedError,
    Received,
    Role,
    Session,
    SessionState,
)
from heliograph.carriers.smpp.trial import try_once

PATIENCE = 20.0


class Smsc:
    """The far end. It binds whoever comes and answers what is asked, but for what its fields say."""

    def __init__(self) -> None:
        self.port = 0
        self.bind_status = 0
        self.silent = False  # a bind is never answered
        self.holding = False  # submits are not answered
        self.greeting: list[DeliverSm] = []  # sent with the bind_resp
        self.window = 10
        self.connections: list[Connection] = []
        self.binds: list[Bind] = []
        self.taken: list[SubmitSm] = []
        self.answers: list[Answer] = []
        self.ends: list[str] = []

    def happened(self, connection: Connection, events: Sequence[Event]) -> None:
        for event in events:
            if isinstance(event, Received):
                self.take(connection, event.pdu)
            elif isinstance(event, Answer):
                self.answers.append(event)
            elif isinstance(event, Closed):
                self.ends.append(event.reason)

    def take(self, connection: Connection, pdu: Any) -> None:
        if isinstance(pdu, Bind):
            self.binds.append(pdu)
            if not self.silent:
                response = Command(pdu.command | 0x80000000)
                connection.respond([BindResp(command=response, sequence=pdu.sequence, status=self.bind_status)])
            if self.greeting:
                connection.submit([(pdu, n) for n, pdu in enumerate(self.greeting)])
        elif isinstance(pdu, SubmitSm):
            self.taken.append(pdu)
            if not self.holding:
                connection.respond([SubmitSmResp(sequence=pdu.sequence, message_id=f"id-{pdu.destination}")])
        elif isinstance(pdu, QuerySm):
            connection.respond([QuerySmResp(sequence=pdu.sequence, message_id=pdu.message_id, message_state=2)])

    def resumed(self, connection: Connection) -> None:
        pass

    def opened(self) -> Connection:
        loop = asyncio.get_running_loop()
        connection = Connection(self, Session(Role.SMSC, window=self.window, now=loop.time()), 15.0, loop)
        self.connections.append(connection)
        return connection

    def cut(self) -> None:
        self.connections[-1].abort("cut")


@asynccontextmanager
async def listening(smsc: Smsc, context: ssl.SSLContext | None = None) -> AsyncIterator[SmppSettings]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(smsc.opened, "127.0.0.1", smsc.port, ssl=context)
    smsc.port = server.sockets[0].getsockname()[1]
    try:
        yield SmppSettings(
            host="127.0.0.1",
            system_id="us",
            password="secret",
            port=smsc.port,
            connect_seconds=5.0,
            reconnect_seconds=0.02,
            reconnect_max_seconds=0.1,
        )
    finally:
        server.close()
        for connection in smsc.connections:
            connection.abort("the test is over")


class Seen:
    """What the link reported, in order."""

    def __init__(self) -> None:
        self.ups = 0
        self.downs: list[tuple[str, bool]] = []
        self.answers: list[Answer] = []
        self.lost: list[object] = []
        self.messages: list[DeliverSm | DataSm] = []
        self.room_again = 0
        self.order: list[str] = []

    def link_up(self, link: Link) -> None:
        self.ups += 1
        self.order.append("up")

    def link_down(self, link: Link, reason: str, fault: bool) -> None:
        assert link.room == 0
        self.downs.append((reason, fault))
        self.order.append("down")

    def answered(self, link: Link, answers: Sequence[Answer]) -> None:
        self.answers += answers
        self.room_again += not answers

    def unanswered(self, link: Link, tokens: Sequence[object], reason: str) -> None:
        self.lost += tokens
        self.order.append("unanswered")

    def received(self, link: Link, pdus: Sequence[DeliverSm | DataSm]) -> None:
        assert link.up
        self.messages += pdus
        self.order.append("received")


async def until(so: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not so():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def linked(
    settings: SmppSettings, *, window: int = 10, command: Command = Command.BIND_TRANSCEIVER
) -> AsyncIterator[tuple[Link, Seen]]:
    seen = Seen()
    link = Link(settings, command, window, seen, "test")
    link.start()
    try:
        yield link, seen
    finally:
        async with asyncio.timeout(PATIENCE):
            await link.stop()


def submits(*numbers: int, text: bytes = b"hello") -> list[tuple[SubmitSm, object]]:
    return [(SubmitSm(source="1", destination=str(number), short_message=text), number) for number in numbers]


def play(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())  # type: ignore[arg-type]


def test_messages_go_out_in_order_and_each_has_its_answer() -> None:
    async def test() -> None:
        smsc = Smsc()
        async with listening(smsc) as settings, linked(settings) as (link, seen):
            await until(lambda: link.up)
            assert link.room == 10
            link.submit(submits(*range(10)))
            assert link.room == 0
            await until(lambda: len(seen.answers) == 10)
            assert link.room == 10
            assert [pdu.destination for pdu in smsc.taken] == [str(n) for n in range(10)]
            assert [(a.token, a.response.message_id) for a in seen.answers] == [(n, f"id-{n}") for n in range(10)]
            link.request(QuerySm(message_id="7"), "asked")
            await until(lambda: len(seen.answers) == 11)
            assert seen.answers[-1].token == "asked"
            assert seen.answers[-1].response.message_state == 2
        assert smsc.binds[0].password == "secret"
        assert smsc.ends == ["the peer unbound"]
        assert seen.downs == [("stopped", False)]
        with pytest.raises(NotAllowedError):
            link.submit(submits(1))

    play(test)


def test_a_message_that_comes_with_the_bind_resp_is_not_lost() -> None:
    async def test() -> None:
        smsc = Smsc()
        smsc.greeting = [DeliverSm(short_message=b"%d" % n) for n in range(3)]
        async with listening(smsc) as settings, linked(settings) as (link, seen):
            await until(lambda: len(seen.messages) == 3)
            assert seen.order[:2] == ["up", "received"]
            assert not smsc.answers
            link.respond([DeliverSmResp(sequence=pdu.sequence) for pdu in seen.messages], link.epoch)
            await until(lambda: len(smsc.answers) == 3)

    play(test)


def test_what_was_sent_over_a_link_that_is_cut_is_reported_and_the_link_comes_back() -> None:
    async def test() -> None:
        smsc = Smsc()
        smsc.holding = True
        async with listening(smsc) as settings, linked(settings) as (link, seen):
            await until(lambda: link.up)
            link.submit(submits(1, 2, 3))
            await until(lambda: len(smsc.taken) == 3)
            smsc.connections[0].respond([SubmitSmResp(sequence=smsc.taken[0].sequence, message_id="x")])
            await until(lambda: seen.answers)
            smsc.cut()
            await until(lambda: seen.downs)
            assert [answer.token for answer in seen.answers] == [1]
            assert seen.lost == [2, 3]
            assert seen.order[:3] == ["up", "unanswered", "down"]
            assert seen.downs[0][1] is False
            await until(lambda: link.up)
            smsc.holding = False
            link.submit(submits(4))
            await until(lambda: len(seen.answers) == 2)
            assert [pdu.destination for pdu in smsc.taken] == ["1", "2", "3", "4"]

    play(test)


def test_an_answer_to_a_lost_connection_acknowledges_nothing_on_the_next() -> None:
    async def test() -> None:
        smsc = Smsc()
        smsc.greeting = [DeliverSm(short_message=b"first")]
        async with listening(smsc) as settings, linked(settings) as (link, seen):
            await until(lambda: seen.messages)
            epoch = link.epoch
            smsc.cut()
            await until(lambda: len(seen.messages) == 2)
            first, second = seen.messages
            assert first.sequence == second.sequence
            link.respond([DeliverSmResp(sequence=first.sequence)], epoch)
            await asyncio.sleep(0.05)
            assert not smsc.answers
            link.respond([DeliverSmResp(sequence=second.sequence)], link.epoch)
            await until(lambda: smsc.answers)

    play(test)


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        (Status.ESME_RINVPASWD, True),
        (Status.ESME_RINVSYSID, True),
        (Status.ESME_RBINDFAIL, True),
        (Status.ESME_RINVSYSTYP, True),
        (Status.ESME_RALYBND, False),
        (Status.ESME_RSYSERR, False),
    ],
)
def test_a_refused_bind_is_a_fault_where_it_will_not_pass(status: Status, fault: bool) -> None:
    async def test() -> None:
        smsc = Smsc()
        smsc.bind_status = status
        async with listening(smsc) as settings, linked(settings) as (link, seen):
            await until(lambda: seen.downs)
            assert seen.downs[0] == (f"bind refused: {status.name} (0x{status:08X})", fault)
            if fault:
                await asyncio.sleep(0.3)  # longer than the longest pause of any other failure
                assert len(smsc.binds) == 1
            else:
                await until(lambda: len(smsc.binds) >= 2)
                smsc.bind_status = 0
                await until(lambda: link.up)

    play(test)


def test_an_smsc_that_says_nothing_to_a_bind_is_given_up() -> None:
    async def test() -> None:
        smsc = Smsc()
        smsc.silent = True
        async with listening(smsc) as usual:
            settings = msgspec.structs.replace(usual, connect_seconds=0.2)
            async with linked(settings) as (link, seen):
                await until(lambda: len(smsc.binds) >= 2)
                assert seen.downs[0] == ("not bound in time", False)
                smsc.silent = False
                await until(lambda: link.up)

    play(test)


def test_a_message_without_an_answer_in_time_is_reported_and_the_link_lives_on() -> None:
    async def test() -> None:
        smsc = Smsc()
        smsc.holding = True
        async with listening(smsc) as usual:
            settings = msgspec.structs.replace(usual, response_seconds=0.2)
            async with linked(settings) as (link, seen):
                await until(lambda: link.up)
                link.submit(submits(1))
                await until(lambda: seen.lost == [1])
                assert link.up
                assert link.room == 10

    play(test)


def test_a_peer_gone_dumb_is_noticed_by_enquire_link() -> None:
    async def test() -> None:
        smsc = Smsc()
        async with listening(smsc) as settings:
            quick = msgspec.structs.replace(settings, enquire_link_seconds=0.1, response_seconds=0.2)
            async with linked(quick) as (link, seen):
                await until(lambda: link.up)
                await asyncio.sleep(0.4)
                assert link.up, "a peer that answers enquire_link lives"
                smsc.connections[0].data_received = lambda data: None  # type: ignore[method-assign]
                await until(lambda: seen.downs)
                assert seen.downs[0] == ("enquire_link not answered in time", False)
                await until(lambda: link.up)

    play(test)


def test_a_peer_that_does_not_read_leaves_no_room_until_it_does() -> None:
    async def test() -> None:
        smsc = Smsc()
        async with listening(smsc) as settings, linked(settings, window=100_000) as (link, seen):
            await until(lambda: link.up)
            far = smsc.connections[0]._transport
            assert far is not None
            far.pause_reading()
            sent = 0
            async with asyncio.timeout(PATIENCE):
                while link.room:
                    link.submit(submits(*range(sent, sent + 500), text=b"x" * 250))
                    sent += 500
                    await asyncio.sleep(0)
            assert sent < 100_000, "the window was full before the socket"
            far.resume_reading()
            await until(lambda: seen.room_again)
            assert link.room
            await until(lambda: len(seen.answers) == sent)

    play(test)


def test_a_flood_of_unacknowledged_messages_stops_the_reading() -> None:
    async def test() -> None:
        smsc = Smsc()
        smsc.window = 50_000
        smsc.greeting = [DeliverSm(short_message=b"x" * 200) for _ in range(50_000)]
        async with listening(smsc) as settings, linked(settings) as (link, seen):
            await until(lambda: len(seen.messages) >= 2_000)
            await asyncio.sleep(0.2)
            assert len(seen.messages) < 10_000
            acknowledged = 0
            while acknowledged < 50_000:
                await until(lambda: len(seen.messages) > acknowledged)  # noqa: B023
                responses = [DeliverSmResp(sequence=pdu.sequence) for pdu in seen.messages[acknowledged:]]
                acknowledged += len(responses)
                link.respond(responses, link.epoch)
            await until(lambda: len(smsc.answers) == 50_000)

    play(test)


def test_a_link_taken_down_as_a_fault_stays_down() -> None:
    async def test() -> None:
        smsc = Smsc()
        async with listening(smsc) as settings, linked(settings) as (link, seen):
            await until(lambda: link.up)
            link.fault("ESME_RINVSYSID in an answer")
            assert link.room == 0
            await until(lambda: seen.downs)
            assert seen.downs == [("ESME_RINVSYSID in an answer", True)]
            await asyncio.sleep(0.3)
            assert len(smsc.binds) == 1

    play(test)


def test_nobody_listening_is_told_and_tried_again() -> None:
    async def test() -> None:
        smsc = Smsc()
        async with listening(smsc) as settings:
            pass
        async with linked(settings) as (link, seen):
            await until(lambda: len(seen.downs) >= 2)
            assert "no connection to 127.0.0.1 port" in seen.downs[0][0]
            async with listening(smsc):
                await until(lambda: link.up)
                await link.stop()

    play(test)


def test_pauses_double_with_jitter_and_begin_again_after_a_bind(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        smsc = Smsc()
        pauses: list[float] = []
        async with listening(smsc) as settings:
            pass
        settings = msgspec.structs.replace(settings, reconnect_seconds=1.0, reconnect_max_seconds=5.0)
        link = Link(settings, Command.BIND_TRANSCEIVER, 1, Seen(), "test", random=lambda: 0.5)
        stopped = link._until_stopping

        async def pause(seconds: float) -> None:
            pauses.append(seconds)
            if len(pauses) == 5:
                link._stopping.set()
            await stopped(0)

        monkeypatch.setattr(link, "_until_stopping", pause)
        link.start()
        async with asyncio.timeout(PATIENCE):
            assert link._task is not None
            await link._task
        assert pauses == [0.5, 1.0, 2.0, 2.5, 2.5]

    play(test)


def server_context(certificate: tls.Certificate, *, clients: Path | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate.cert, certificate.key)
    if clients is not None:
        context.load_verify_locations(clients)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def test_tls_with_an_authority_of_its_own_and_a_client_certificate(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "near").mkdir()
    far, near = tls.self_signed(tmp_path / "far"), tls.self_signed(tmp_path / "near")

    async def test() -> None:
        smsc = Smsc()
        async with listening(smsc, server_context(far, clients=near.cert)) as plain:
            settings = msgspec.structs.replace(
                plain, tls=True, tls_ca=str(far.cert), tls_cert=str(near.cert), tls_key=str(near.key)
            )
            async with linked(settings) as (link, seen):
                await until(lambda: link.up)
                link.submit(submits(1))
                await until(lambda: seen.answers)
            nobody = msgspec.structs.replace(settings, tls_cert="", tls_key="")
            async with linked(nobody) as (link, seen):
                await until(lambda: seen.downs)
                assert not seen.ups
            async with linked(msgspec.structs.replace(settings, tls_ca="")) as (link, seen):
                await until(lambda: seen.downs)
                assert seen.downs[0][1] is True
                assert "certificate" in seen.downs[0][0]
            named = msgspec.structs.replace(settings, tls_server_name="smsc.example")
            async with linked(named) as (link, seen):
                await until(lambda: seen.downs)
                assert seen.downs[0][1] is True
            missing = msgspec.structs.replace(settings, tls_ca=str(tmp_path / "none.pem"))
            async with linked(missing) as (link, seen):
                await until(lambda: seen.downs)
                assert "tls_ca" in seen.downs[0][0]

    play(test)


def test_a_trial_tells_step_by_step_how_far_it_came() -> None:
    async def test() -> None:
        smsc = Smsc()
        async with listening(smsc) as settings:
            steps = await try_once(settings)
            assert [(step.name, step.ok) for step in steps] == [
                ("connect", True),
                ("bind", True),
                ("enquire_link", True),
                ("unbind", True),
            ]
            smsc.bind_status = Status.ESME_RINVPASWD
            steps = await try_once(settings)
            assert [(step.name, step.ok) for step in steps] == [("connect", True), ("bind", False)]
            assert steps[-1].detail == "ESME_RINVPASWD (0x0000000E)"
        steps = await try_once(settings)
        assert [(step.name, step.ok) for step in steps] == [("connect", False)]

    play(test)


def test_stopping_a_link_that_is_down_takes_no_time() -> None:
    async def test() -> None:
        async with listening(Smsc()) as settings:
            pass
        slow = msgspec.structs.replace(settings, reconnect_seconds=3600.0, reconnect_max_seconds=3600.0)
        async with linked(slow) as (link, seen):
            await until(lambda: seen.downs)
        assert link._task is not None
        assert link._task.done()

    play(test)


def test_the_far_end_that_never_answers_an_unbind_does_not_hold_us_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("heliograph.carriers.smpp.link.STOP_SECONDS", 0.1)

    async def test() -> None:
        smsc = Smsc()
        smsc.holding = True
        async with listening(smsc) as settings:
            async with linked(settings) as (link, seen):
                await until(lambda: link.up)
                link.submit(submits(1))
                await until(lambda: smsc.taken)
                smsc.connections[0].data_received = lambda data: None  # type: ignore[method-assign]
            assert seen.lost == [1]
            assert seen.downs == [("stopped", False)]
            assert smsc.connections[0].session.state is SessionState.BOUND_TRX

    play(test)
