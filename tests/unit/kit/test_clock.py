"""The clock that moves when told to."""

from __future__ import annotations

import asyncio
import time

from tests.simulation.rig import settle

from heliograph.kit.clock import ManualClock, SystemClock


def test_time_stands_still_until_it_is_moved() -> None:
    clock = ManualClock(1000)
    assert clock.now_utc_ms() == 1000
    clock.advance(1.5)
    assert clock.now_utc_ms() == 2500


def test_what_falls_due_runs_in_its_order_and_at_its_time() -> None:
    clock = ManualClock(0)
    ran: list[tuple[str, int]] = []

    def note(name: str) -> None:
        ran.append((name, clock.now_utc_ms()))

    clock.call_later(2, lambda: note("late"))
    clock.call_later(1, lambda: note("early"))
    clock.call_later(1, lambda: note("early too"))
    clock.call_later(1, lambda: clock.call_later(0.5, lambda: note("made on the way")))
    clock.call_later(9, lambda: note("never"))
    clock.advance(0.999)
    assert ran == []
    clock.advance(5)
    assert ran == [("early", 1000), ("early too", 1000), ("made on the way", 1500), ("late", 2000)]
    assert clock.now_utc_ms() == 5999


def test_timer_that_was_called_off_does_not_run() -> None:
    clock = ManualClock()
    ran: list[int] = []
    timer = clock.call_later(1, lambda: ran.append(1))
    timer.cancel()
    timer.cancel()
    clock.advance(10)
    assert ran == []


def test_sleeper_wakes_when_the_time_has_passed() -> None:
    async def scenario() -> None:
        clock = ManualClock()
        woken: list[float] = []

        async def sleep(seconds: float) -> None:
            await clock.sleep(seconds)
            woken.append(seconds)

        tasks = [asyncio.create_task(sleep(seconds)) for seconds in (3, 1)]
        await settle()
        clock.advance(2)
        await settle()
        assert woken == [1]
        clock.advance(2)
        await settle()
        assert woken == [1, 3]
        await asyncio.gather(*tasks)

    asyncio.run(scenario())


def test_systems_clock_is_the_systems() -> None:
    async def scenario() -> None:
        clock = SystemClock()
        assert abs(clock.now_utc_ms() - time.time() * 1000) < 1000
        ran = asyncio.Event()
        clock.call_later(0.001, ran.set)
        await asyncio.wait_for(ran.wait(), 5)
        clock.call_later(0.001, lambda: ran.clear()).cancel()
        before = time.monotonic()
        await clock.sleep(0.01)
        assert time.monotonic() - before >= 0.009
        assert ran.is_set()

    asyncio.run(scenario())
