"""What is asked of the simulator alone."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
from pathlib import Path

import pytest
from tests.conformance.carriers.peers import WINDOW, Ear, SimulatorPeer, Slow, submit_of

from heliograph.carriers.interface import Inbound, Receipt
from heliograph.carriers.simulator import FATES, Simulator, door
from heliograph.kit.clock import ManualClock
from heliograph.messaging.delivery import ReceiptState
from heliograph.messaging.retry import SubmitClass

HELLO = b'{"from":"56912345678","to":"96000","text":"Hello"}'


def simulator(
    folder: Path, clock: ManualClock, *, answer_ms: int = 5, receipt_ms: int = 200, late_ms: int = 30_000
) -> Simulator:
    delays = {"answer_ms": answer_ms, "receipt_ms": receipt_ms, "late_ms": late_ms}
    return Simulator("simulator", folder, clock, window=WINDOW, **delays)


def test_all_numbers_not_listed_are_delivered(tmp_path: Path) -> None:
    async def scenario() -> None:
        peer = SimulatorPeer(tmp_path)
        carrier, ear = peer.carrier(), Ear()
        await carrier.start(ear)
        recipients = ["56912345678", "447700900999", "56912340011", "5691234000"]
        assert not {number[-4:] for number in recipients[:3]} & set(FATES)
        carrier.submit([submit_of(i, number) for i, number in enumerate(recipients)])
        await peer.pass_time(5)
        assert [one.state for one in ear.told] == [ReceiptState.DELIVERED] * 4
        await carrier.stop()

    asyncio.run(scenario())


def test_log_is_appended_to_over_lives_and_only_the_owners(tmp_path: Path) -> None:
    async def scenario() -> None:
        peer = SimulatorPeer(tmp_path)
        for life in range(3):
            carrier = peer.carrier()
            await carrier.start(Ear())
            carrier.submit([submit_of(life, "56912345678", part, 2) for part in (1, 2)])
            await carrier.stop()
        assert peer.seen() == [(life, part) for life in range(3) for part in (1, 2)]
        assert stat.S_IMODE(peer.log.stat().st_mode) == 0o600

    asyncio.run(scenario())


def test_submits_that_could_not_be_logged_were_not_sent(tmp_path: Path) -> None:
    async def scenario() -> None:
        clock, ear = ManualClock(), Ear()
        (tmp_path / "simulator.log").symlink_to("/dev/full")
        carrier = simulator(tmp_path, clock)
        await carrier.start(ear)
        carrier.submit([submit_of(1, "56912345678")])
        for _ in range(10):
            clock.advance(1)
        assert [one.result for one in ear.ended] == [SubmitClass.NOT_SENT]
        assert "space" in ear.ended[0].detail
        assert ear.told == []
        await carrier.stop()

    asyncio.run(scenario())


def test_delays_are_those_of_the_settings(tmp_path: Path) -> None:
    async def scenario() -> None:
        clock, ear = ManualClock(), Ear()
        carrier = simulator(tmp_path, clock, answer_ms=50, receipt_ms=700)
        await carrier.start(ear)
        carrier.submit([submit_of(1, "56912345678")])
        clock.advance(0.049)
        assert not ear.ended
        clock.advance(0.001)
        assert ear.ended
        clock.advance(0.699)
        assert not ear.told
        clock.advance(0.001)
        assert ear.told
        await carrier.stop()

    asyncio.run(scenario())


def test_a_late_receipt_is_late_and_one_told_twice_follows_soon(tmp_path: Path) -> None:
    async def scenario() -> None:
        clock, ear = ManualClock(), Ear()
        carrier = simulator(tmp_path, clock)
        await carrier.start(ear)
        carrier.submit([submit_of(1, "56912340006"), submit_of(2, "56912340007")])
        clock.advance(0.005 + 29.999)
        twice = Receipt(ear.refs()[2], ReceiptState.DELIVERED)
        assert ear.told == [twice, twice]
        clock.advance(0.001)
        assert ear.told[2:] == [Receipt(ear.refs()[1], ReceiptState.DELIVERED)]
        await carrier.stop()

    asyncio.run(scenario())


def test_an_early_receipt_comes_when_the_answer_would_and_the_other_way_round(tmp_path: Path) -> None:
    async def scenario() -> None:
        clock, ear = ManualClock(), Ear()
        carrier = simulator(tmp_path, clock, answer_ms=50, receipt_ms=700)
        await carrier.start(ear)
        carrier.submit([submit_of(1, "56912340008")])
        clock.advance(0.050)
        assert (len(ear.told), len(ear.ended)) == (1, 0)
        clock.advance(0.699)
        assert not ear.ended
        clock.advance(0.001)
        assert [one.ref for one in ear.told] == [one.ref for one in ear.ended]
        await carrier.stop()

    asyncio.run(scenario())


def test_a_stopped_simulator_has_still_answered_what_it_reported_early(tmp_path: Path) -> None:
    async def scenario() -> None:
        clock, ear = ManualClock(), Ear()
        carrier = simulator(tmp_path, clock)
        await carrier.start(ear)
        carrier.submit([submit_of(1, "56912340008")])
        clock.advance(0.005)
        carrier.submit([submit_of(2, "56912340008")])
        await carrier.stop()
        assert [one.submit.submission.id for one in ear.ended] == [1, 2]
        assert len(ear.told) == 2
        clock.advance(60)
        assert (len(ear.ended), len(ear.told)) == (2, 2)

    asyncio.run(scenario())


def test_a_receipt_not_yet_due_at_a_restart_is_told_when_it_is(tmp_path: Path) -> None:
    async def scenario() -> None:
        clock, first, second = ManualClock(), Ear(), Ear()
        carrier = simulator(tmp_path, clock)
        await carrier.start(first)
        carrier.submit([submit_of(1, "56912340006"), submit_of(2, "56912340000")])
        clock.advance(10.005)
        await carrier.stop()
        late, plain = (Receipt(first.refs()[id_], ReceiptState.DELIVERED) for id_ in (1, 2))
        again = simulator(tmp_path, clock)
        await again.start(second)
        again.query([late.ref, plain.ref])
        assert second.told == [plain]
        clock.advance(19.999)
        assert second.told == [plain]
        clock.advance(0.001)
        assert second.told == [plain, late]
        again.query([late.ref])
        assert second.told == [plain, late, late]
        await again.stop()

    asyncio.run(scenario())


def test_what_is_due_in_this_life_is_told_once_although_it_was_asked_for(tmp_path: Path) -> None:
    async def scenario() -> None:
        clock, ear = ManualClock(), Ear()
        carrier = simulator(tmp_path, clock)
        await carrier.start(ear)
        clock.advance(1)
        carrier.submit([submit_of(1, "56912340006")])
        clock.advance(1)
        carrier.query(list(ear.refs().values()))
        assert ear.told == []
        clock.advance(60)
        assert len(ear.told) == 1
        await carrier.stop()

    asyncio.run(scenario())


@pytest.mark.parametrize("ref", ["", "ref-1-1", "19b76e2a400-1-0005", "G-1-0000", "1-1-00000", "\u0661-1-0000"])
def test_ids_that_it_never_gave_and_parts_without_a_receipt_are_no_news(tmp_path: Path, ref: str) -> None:
    async def scenario() -> None:
        carrier, ear = simulator(tmp_path, ManualClock()), Ear()
        await carrier.start(ear)
        carrier.query([ref])
        assert ear.told == []
        await carrier.stop()

    asyncio.run(scenario())


def test_throttling_never_stalls_although_the_memory_of_it_is_bounded(tmp_path: Path) -> None:
    async def scenario() -> None:
        clock, ear = ManualClock(), Ear()
        carrier = simulator(tmp_path, clock)
        await carrier.start(ear)
        for first in range(0, 10 * WINDOW, WINDOW):
            submits = [submit_of(first + i, "56912340009") for i in range(WINDOW)]
            for _ in range(2):
                carrier.submit(submits)
                clock.advance(1)
        results = [one.result for one in ear.ended]
        assert results == ([SubmitClass.THROTTLED] * WINDOW + [SubmitClass.TAKEN] * WINDOW) * 10
        assert len(carrier._throttled) <= 2 * WINDOW
        await carrier.stop()

    asyncio.run(scenario())


# -- the door


def test_the_door_is_only_the_owners_and_gone_after_a_stop(tmp_path: Path) -> None:
    async def scenario() -> None:
        peer = SimulatorPeer(tmp_path)
        carrier = peer.carrier()
        await carrier.start(Ear())
        assert stat.S_IMODE(peer.socket.stat().st_mode) == 0o600
        await carrier.stop()
        assert not peer.socket.exists()

    asyncio.run(scenario())


def test_a_door_that_a_killed_server_left_is_no_obstacle(tmp_path: Path) -> None:
    async def scenario() -> None:
        peer = SimulatorPeer(tmp_path)
        left = socket.socket(socket.AF_UNIX)
        left.bind(str(peer.socket))
        left.close()
        carrier = peer.carrier()
        await carrier.start(Ear())
        assert await peer.say(HELLO) == {"stored": True}
        await carrier.stop()

    asyncio.run(scenario())


def test_a_file_in_the_doors_place_is_kept_and_the_simulator_still_sends(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        peer, ear = SimulatorPeer(tmp_path), Ear()
        peer.socket.write_text("somebody's")
        carrier = peer.carrier()
        await carrier.start(ear)
        carrier.submit([submit_of(1, "56912345678")])
        await peer.pass_time(1)
        assert len(ear.told) == 1
        await carrier.stop()
        assert peer.socket.read_text() == "somebody's"

    asyncio.run(scenario())
    assert "simulator.socket" in caplog.text
    assert "move it away" in caplog.text


def test_a_data_folder_may_be_deeper_than_a_sockets_address_is_long(tmp_path: Path) -> None:
    async def scenario() -> None:
        deep = tmp_path / ("d" * 100) / ("e" * 100)
        deep.mkdir(parents=True)
        peer, ear = SimulatorPeer(deep), Ear()
        carrier = peer.carrier()
        await carrier.start(ear)
        folder = os.open(deep, os.O_RDONLY)
        peer.socket = Path(f"/proc/self/fd/{folder}/simulator.socket")
        assert await peer.say(HELLO) == {"stored": True}
        assert ear.received == [Inbound("56912345678", "96000", "Hello")]
        await carrier.stop()
        assert list(deep.iterdir()) == [deep / "simulator.log"]
        os.close(folder)

    asyncio.run(scenario())


def line(**fields: object) -> bytes:
    return json.dumps({"from": "56912345678", "to": "96000", "text": "Hello", **fields}).encode()


@pytest.mark.parametrize(
    ("told", "named"),
    [
        (line(**{"from": "12345"}), "from '12345'"),
        (line(**{"from": 56912345678}), "`$.from`"),
        (line(to="9600O"), "to '9600O'"),
        (line(to="12"), "to '12'"),
        (line(to="\u0661\u0662\u0663"), "to "),
        (line(text=""), "text is empty"),
        (line(text="a\0b"), "text has a character"),
        (line(text=None), "`$.text`"),
        (b'{"from":"56912345678","text":"Hello"}', "`to`"),
        (b'{"from":"56912345678","to":"96000","text":"\\ud800"}', "the line is not like"),
        (b'{"from":"56912345678","to":"96000","text":"\xff"}', "the line is not like"),
        (b"[]", "the line is not like"),
        (b"", "the line is not like"),
        (b"x" * 20_000, "longer than 16384 bytes"),
        (b"[" * 16_000, "the line is not like"),
    ],
    ids=lambda value: value[:50].decode(errors="replace") if isinstance(value, bytes) else value,
)
def test_a_line_that_cannot_be_read_is_told_what_is_wrong_with_it(tmp_path: Path, told: bytes, named: str) -> None:
    async def scenario() -> None:
        peer, ear = SimulatorPeer(tmp_path), Ear()
        carrier = peer.carrier()
        await carrier.start(ear)
        answer = await peer.say(told)
        assert not answer["stored"]
        assert named in answer["problem"]
        assert ear.received == []
        await carrier.stop()

    asyncio.run(scenario())


def test_numbers_may_be_written_with_a_plus_and_fields_that_are_not_known_are_ignored(tmp_path: Path) -> None:
    async def scenario() -> None:
        peer, ear = SimulatorPeer(tmp_path), Ear()
        carrier = peer.carrier()
        await carrier.start(ear)
        assert await peer.say(line(**{"from": "+56912345678"}, to="+447900000000", also=1)) == {"stored": True}
        assert ear.received == [Inbound("56912345678", "447900000000", "Hello")]
        await carrier.stop()

    asyncio.run(scenario())


def test_a_connection_carries_one_message_after_another_past_bad_ones(tmp_path: Path) -> None:
    async def scenario() -> None:
        peer, ear = SimulatorPeer(tmp_path), Ear()
        carrier = peer.carrier()
        await carrier.start(ear)
        reader, writer = await asyncio.open_unix_connection(str(peer.socket))
        writer.write(b"\n".join([HELLO, b"nonsense", HELLO, b""]))
        stored = [json.loads(await reader.readline())["stored"] for _ in range(3)]
        assert stored == [True, False, True]
        writer.write(HELLO)
        writer.close()  # an unfinished line is no message
        await carrier.stop()
        assert len(ear.received) == 2

    asyncio.run(scenario())


def test_too_many_connections_are_turned_away_and_silent_ones_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        peer = SimulatorPeer(tmp_path)
        carrier = peer.carrier()
        await carrier.start(Ear())
        silent = [await asyncio.open_unix_connection(str(peer.socket)) for _ in range(door.MAX_CLIENTS)]
        assert "others are connected" in (await peer.say(HELLO))["problem"]
        monkeypatch.setattr(door, "_IDLE_SECONDS", 0.01)
        silent[0][1].write(HELLO + b"\n")
        assert json.loads(await silent[0][0].readline()) == {"stored": True}
        assert await silent[0][0].read() == b""
        assert await peer.say(HELLO) == {"stored": True}
        await carrier.stop()
        assert [await reader.read() for reader, _ in silent] == [b""] * door.MAX_CLIENTS
        for _, writer in silent:
            writer.close()

    asyncio.run(scenario())


def test_who_waits_while_the_simulator_stops_is_still_told_whether_it_was_stored(tmp_path: Path) -> None:
    async def scenario() -> None:
        peer, ear = SimulatorPeer(tmp_path), Slow()
        carrier = peer.carrier()
        await carrier.start(ear)
        writing = asyncio.create_task(peer.say(HELLO))
        acknowledge = await ear.acknowledges.get()
        stopping = asyncio.create_task(carrier.stop())
        await asyncio.sleep(0)
        acknowledge(True)
        assert await writing == {"stored": True}
        await stopping

    asyncio.run(scenario())


def test_nobody_waits_for_ever_for_a_store_that_does_not_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        monkeypatch.setattr(door, "_STORING_SECONDS", 0.01)
        peer, ear = SimulatorPeer(tmp_path), Slow()
        carrier = peer.carrier()
        await carrier.start(ear)
        answer = await peer.say(HELLO)
        assert not answer["stored"]
        assert "has not said" in answer["problem"]
        ear.acknowledges.get_nowait()(True)  # too late, and harmless
        await carrier.stop()

    asyncio.run(scenario())
