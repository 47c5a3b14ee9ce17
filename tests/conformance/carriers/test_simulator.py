"""What is asked of the simulator alone."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

from tests.conformance.carriers.peers import Ear, SimulatorPeer, submit_of

from heliograph.carriers.simulator import FATES, Simulator
from heliograph.kit.clock import ManualClock
from heliograph.messaging.delivery import ReceiptState
from heliograph.messaging.retry import SubmitClass


def test_all_numbers_not_listed_are_delivered(tmp_path: Path) -> None:
    async def scenario() -> None:
        peer = SimulatorPeer(tmp_path)
        carrier, ear = peer.carrier(), Ear()
        await carrier.start(ear)
        recipients = ["56912345678", "447700900999", "56912340003", "5691234000"]
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
        carrier = Simulator("simulator", Path("/dev/full"), clock, window=5, answer_ms=5, receipt_ms=5)
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
        carrier = Simulator("simulator", tmp_path / "log", clock, window=5, answer_ms=50, receipt_ms=700)
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
