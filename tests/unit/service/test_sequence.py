"""Numbers of messages: each once, over restarts too, in order, and without waiting for the store."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.simulation.rig import KEY, increasing, run, settle
from tests.simulation.stepped import SteppedStore

from heliograph.kit.ids import PublicIds
from heliograph.messaging import errors
from heliograph.service.sequence import MessageIds
from heliograph.store import interface as it


def test_ids_go_on_from_block_to_block_and_their_public_forms_belong_to_them(tmp_path: Path) -> None:
    async def scenario() -> None:
        store = SteppedStore(tmp_path / "data")
        await store.open()
        public = PublicIds(KEY)
        ids = MessageIds(store, PublicIds(KEY), block=1000)
        await ids.start()
        taken: list[int] = []
        for count in [1, 7, 300, 1, 499, 2, 600, 1000, 3, 3] * 3:
            first, shown = ids.take(count)
            assert [public.resolve(one) for one in shown] == list(range(first, first + count))
            taken += range(first, first + count)
            if count == 7:
                taken.append(ids.number())
            await settle()
        assert increasing(taken)

    run(scenario())


def test_ids_are_never_given_twice_over_restarts(tmp_path: Path) -> None:
    async def scenario() -> None:
        seen: list[int] = []
        for _ in range(5):
            store = SteppedStore(tmp_path / "data")
            await store.open()
            ids = MessageIds(store, PublicIds(KEY), block=64)
            await ids.start()
            seen += [ids.number() for _ in range(40)]
            await settle()
            store.crash()
        assert increasing(seen)

    run(scenario())


def test_caller_is_sent_away_when_the_store_leases_no_more_ids_and_served_when_it_does(tmp_path: Path) -> None:
    async def scenario() -> None:
        store = SteppedStore(tmp_path / "data")
        await store.open()
        ids = MessageIds(store, PublicIds(KEY), block=10)
        await ids.start()
        store.fault = lambda ops: it.Unavailable("disk full")
        got = []
        for _ in range(10):
            got.append(ids.number())
            await settle()
        with pytest.raises(errors.OurFault) as caught:
            ids.number()
        assert caught.value.kind is errors.OVERLOADED
        await settle()
        store.fault = lambda ops: None
        with pytest.raises(errors.OurFault):
            ids.number()
        await settle()
        got += [ids.number() for _ in range(3)]
        assert increasing(got)

    run(scenario())


def test_more_ids_at_once_than_a_block_has_are_never_invented(tmp_path: Path) -> None:
    async def scenario() -> None:
        store = SteppedStore(tmp_path / "data")
        await store.open()
        ids = MessageIds(store, PublicIds(KEY), block=10)
        await ids.start()
        with pytest.raises((errors.OurFault, AssertionError)):
            ids.number(11)
        await settle()
        with pytest.raises((errors.OurFault, AssertionError)):
            ids.number(11)

    run(scenario())


def test_next_block_is_leased_before_this_one_is_used_up(tmp_path: Path) -> None:
    async def scenario() -> None:
        store = SteppedStore(tmp_path / "data")
        await store.open()
        ids = MessageIds(store, PublicIds(KEY), block=100)
        await ids.start()
        for _ in range(51):
            ids.number()
        await settle()
        got = [ids.number() for _ in range(140)]  # without the store ever having a turn
        assert increasing(got)

    run(scenario())
