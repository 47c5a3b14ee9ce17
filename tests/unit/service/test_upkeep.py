"""Upkeep: done in time, in portions, and again after the store has failed."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from tests.simulation.rig import Rig, ScriptedCarrier, run, settle

from heliograph.service import upkeep
from heliograph.service.upkeep import Upkeep
from heliograph.store import interface as it


async def kept_up(folder: Path) -> Rig:
    rig = await Rig(folder / "data").open(ScriptedCarrier())
    rig.tasks.append(asyncio.get_running_loop().create_task(Upkeep(rig.store, rig.clock).follow()))
    return rig


async def answer(rig: Rig, key: str) -> None:
    """A request with a key is answered."""
    accept = rig.drafts()
    account_id, now = accept.request.account_id, accept.request.registered_utc_ms
    once = it.Once(account_id, now, "sms", key, bytes(32), lambda kept: b"answer")
    await rig.store.apply(msgspec.structs.replace(accept, once=once))


def answers(rig: Rig) -> list[str]:
    return sorted(key for (key,) in rig.store.ask("SELECT key FROM answered"))


def test_answers_are_forgotten_within_minutes_of_their_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "FORGET_AT_ONCE", 2)

    async def scenario() -> None:
        rig = await kept_up(tmp_path)
        for key in "abcde":
            await answer(rig, key)
        await rig.pass_time(3600, 600)
        await answer(rig, "later")
        rig.clock.advance(23 * 3600 - 5)
        await rig.pass_time(4)
        assert answers(rig) == [*"abcde", "later"]
        rig.store.fault = lambda ops: it.Unavailable("disk full")
        await rig.pass_time(70)
        assert len(answers(rig)) == 6
        rig.store.fault = lambda ops: None
        await rig.pass_time(62)
        assert answers(rig) == ["later"]
        rig.crash()

    run(scenario())


def test_an_account_lists_its_messages_soon(tmp_path: Path) -> None:
    async def scenario() -> None:
        rig = await kept_up(tmp_path)
        ids = await rig.accept(5)
        await rig.pass_time(2)
        await settle()
        assert sorted(rig.store.ask("SELECT message_id FROM account_message")) == [(id_,) for id_ in ids]
        rig.crash()

    run(scenario())
