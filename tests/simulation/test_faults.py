"""The whole path under random faults, each run repeatable by its seed.

HELIOGRAPH_SIM_SEEDS=2000   so many seeds instead of the usual
HELIOGRAPH_SIM_SEED=1234    this one alone
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from tests.simulation.rig import run
from tests.simulation.world import World

ONE = os.environ.get("HELIOGRAPH_SIM_SEED")
SEEDS = [int(ONE)] if ONE else range(int(os.environ.get("HELIOGRAPH_SIM_SEEDS", "100")))


def live(seed: int, folder: Path) -> World:
    world: World | None = None

    async def scenario() -> None:
        nonlocal world
        world = World(seed, folder)
        await world.run()

    try:
        run(scenario())
    except BaseException:
        print(f"\nrepeat with: HELIOGRAPH_SIM_SEED={seed} pytest tests/simulation/test_faults.py")
        raise
    assert world is not None
    return world


@pytest.mark.parametrize("seed", SEEDS)
def test_accepted_messages_are_paid_once_and_end_whatever_happens(seed: int, tmp_path: Path) -> None:
    live(seed, tmp_path / "data")


def test_a_seed_repeats_its_run_exactly(tmp_path: Path) -> None:
    runs = []
    for folder in ("first", "second"):
        world = live(46, tmp_path / folder)
        runs.append(
            [
                [(life, one.submission.id, one.submission.number, one.part) for life, one in smsc.wire]
                for smsc in world.smscs
            ]
        )
    assert runs[0] == runs[1]
    assert sum(map(len, runs[0])) > 20


def test_the_faults_do_happen(tmp_path: Path) -> None:
    """Otherwise the runs above would prove nothing."""
    lives = retried = refunded = doubled = 0
    happened: Counter[str] = Counter()
    for seed in range(20, 40):
        world = live(seed, tmp_path / str(seed))
        lives += world.lives - 1
        for smsc in world.smscs:
            retried += sum(one.submission.number != one.submission.id for _, one in smsc.wire)
            doubled += sum(takes > 1 for takes in smsc.takes.values())
        refunded += sum(isinstance(asked.answer, Exception) for asked in world.asked)
        happened += world.happened
    assert min(lives, retried, refunded, doubled) > 5, (lives, retried, refunded, doubled)
    ends = ("lapsed, EXPIRED", "lapsed, UNKNOWN", "silent, UNKNOWN", "told of SENT")
    carriers = ("rerouted", "carrier added live", "cut off, not sent", "cut off, unknown")
    for what in (*ends, *carriers, "cancelled", "cancelled, scheduled", "sent later"):
        assert happened[what] > 1, happened
