"""Group commit: everybody hears what became of exactly their write, whatever goes wrong around it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from tests.simulation.rig import run, settle

from heliograph.messaging import errors
from heliograph.store import interface as it
from heliograph.store.group import GroupCommit


class Hook:
    """Adds operations to groups and remembers what it is told."""

    def __init__(self) -> None:
        self.add: list[it.Op[Any]] = []
        self.told: list[str] = []
        self.raises = ""

    def before_commit(self, ops: Sequence[it.Op[Any]]) -> list[it.Op[Any]]:
        self._note("before")
        added, self.add = self.add, []
        return added

    def after_commit(self, ops: Sequence[it.Op[Any]], results: Sequence[Any]) -> None:
        self._note("after")
        assert len(ops) == len(results)

    def commit_failed(self, ops: Sequence[it.Op[Any]], error: it.StoreError) -> None:
        self._note("failed")

    def _note(self, what: str) -> None:
        self.told.append(what)
        if self.raises == what:
            raise ZeroDivisionError(what)


class Bench:
    """A group commit over an engine that does what the test says."""

    def __init__(self, max_weight: int = 100) -> None:
        self.groups: list[list[it.Op[Any]]] = []
        self.fatal: list[it.StoreError] = []
        self.group = GroupCommit(
            asyncio.get_running_loop(), self.groups.append, max_weight=max_weight, on_fatal=self.fatal.append
        )
        self.hook = Hook()
        self.group.add_hook(self.hook)

    def submit(self, weight: int = 1) -> list[Any]:
        answers: list[Any] = []
        self.group.submit(it.LeaseIds(weight), answers.append, weight)
        return answers

    async def finish(self, results: list[Any] | it.StoreError | None = None) -> None:
        self.group.finished([op.count for op in self.groups[-1]] if results is None else results)  # type: ignore[attr-defined]
        await settle()


def test_writes_of_a_moment_share_a_commit_and_those_that_come_meanwhile_the_next() -> None:
    async def scenario() -> None:
        bench = Bench()
        first = [bench.submit(weight) for weight in (1, 2, 3)]
        await settle()
        later = [bench.submit(weight) for weight in (4, 5)]
        await settle()
        assert [len(group) for group in bench.groups] == [3]
        await bench.finish()
        assert first == [[1], [2], [3]]
        assert later == [[], []]
        assert [len(group) for group in bench.groups] == [3, 2]
        await bench.finish()
        assert later == [[4], [5]]

    run(scenario())


def test_failed_commit_is_told_to_every_caller_and_the_next_group_is_none_the_worse() -> None:
    async def scenario() -> None:
        bench = Bench()
        answers = [bench.submit(), bench.submit()]
        await settle()
        waiting = bench.submit()
        error = it.Unavailable("disk full")
        await bench.finish(error)
        assert answers == [[error], [error]]
        await bench.finish()
        assert waiting == [1]
        assert bench.hook.told == ["before", "failed", "before", "after"]
        assert not bench.fatal

    run(scenario())


def test_hooks_hear_of_a_commit_before_its_callers_are_answered() -> None:
    async def scenario() -> None:
        bench = Bench()
        order: list[str] = []
        bench.group.submit(it.LeaseIds(1), lambda result: order.append(bench.hook.told[-1]))
        await settle()
        await bench.finish()
        assert order == ["after"]

    run(scenario())


def test_asking_for_a_commit_makes_one_only_when_there_is_something_to_write() -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.group.request()
        await settle()
        assert bench.groups == []
        bench.hook.add = [it.LeaseIds(7)]
        bench.group.request()
        bench.group.request()
        await settle()
        assert bench.groups == [[it.LeaseIds(7)]]
        bench.hook.add = [it.LeaseIds(8)]
        bench.group.request()  # while one is under way
        await settle()
        assert len(bench.groups) == 1
        await bench.finish()
        assert bench.groups[1] == [it.LeaseIds(8)]

    run(scenario())


def test_what_waits_and_what_is_being_written_is_bounded() -> None:
    async def scenario() -> None:
        bench = Bench(max_weight=10)
        bench.submit(6)
        await settle()
        bench.submit(4)
        with pytest.raises(errors.OurFault) as caught:
            bench.submit(1)
        assert caught.value.kind is errors.OVERLOADED
        await bench.finish()
        bench.submit(6)
        with pytest.raises(errors.OurFault):
            bench.submit(1)
        await bench.finish(it.Unavailable("disk full"))  # what failed makes room too
        bench.submit(4)

    run(scenario())


def test_callers_bug_does_not_keep_the_others_from_their_answers(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        bench = Bench()

        def broken(result: Any) -> None:
            raise ZeroDivisionError

        bench.group.submit(it.LeaseIds(1), broken)
        answers = bench.submit()
        await settle()
        await bench.finish()
        assert answers == [1]
        assert bench.group._busy is False

    run(scenario())
    assert "ZeroDivisionError" in caplog.text


def test_after_a_commit_of_unknown_effect_nothing_is_accepted_and_the_process_is_told_once() -> None:
    async def scenario() -> None:
        bench = Bench()
        under_way = bench.submit()
        await settle()
        waiting = bench.submit()
        error = it.Uncertain("who knows")
        await bench.finish(error)
        assert under_way == [error]
        assert waiting == [error]
        assert bench.fatal == [error]
        for _ in range(3):
            with pytest.raises(errors.OurFault) as caught:
                bench.submit()
            assert caught.value.kind is errors.STORE_UNAVAILABLE
            bench.group.request()
            await settle()
        assert len(bench.groups) == 1
        assert len(bench.fatal) == 1
        async with asyncio.timeout(1):
            await bench.group.drained()

    run(scenario())


@pytest.mark.parametrize("when", ["before", "after", "failed"])
def test_service_that_fails_around_a_commit_stops_the_server_and_hangs_nobody(
    when: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.hook.raises = when
        answers = bench.submit()
        await settle()
        if when != "before":
            await bench.finish(it.Unavailable("disk full") if when == "failed" else None)
        assert len(bench.fatal) == 1
        if when == "after":
            assert answers == [1], "it is on disk"
        else:
            assert isinstance(answers[0], it.StoreError)
        with pytest.raises(errors.OurFault):
            bench.submit()
        async with asyncio.timeout(1):
            await bench.group.drained()

    run(scenario())
    assert "ZeroDivisionError" in caplog.text


def test_drained_waits_for_everything_that_was_submitted() -> None:
    async def scenario() -> None:
        bench = Bench()
        await bench.group.drained()
        first = bench.submit()
        drained = asyncio.ensure_future(bench.group.drained())
        await settle()
        second = bench.submit()
        await bench.finish()
        assert first
        assert not drained.done()
        await bench.finish()
        assert second
        await settle()
        assert drained.done()

    run(scenario())


def test_answers_go_to_those_who_asked() -> None:
    async def scenario() -> None:
        bench = Bench()
        bench.hook.add = [it.LeaseIds(99)]
        asked: dict[int, list[Any]] = {weight: bench.submit(weight) for weight in (5, 6, 7)}
        await settle()
        await bench.finish()
        assert asked == {5: [5], 6: [6], 7: [7]}

    run(scenario())
