"""Requests that happen once: who is first, who waits, who is answered with what."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from heliograph.kit.clock import ManualClock
from heliograph.messaging import errors
from heliograph.messaging.errors import CallerError, HeliographError, OurFault
from heliograph.service import idempotency
from heliograph.service.idempotency import Given, Idempotency, Scope, key_of
from heliograph.store.interface import ONCE_MS, Answered, Unavailable

SCOPE = Scope(1, "/api/sms", "order-17")
FIRST = Given(b"the answer", replayed=False)
AGAIN = Given(b"the answer", replayed=True)


class Remembering:
    """A store that knows some answers."""

    def __init__(self) -> None:
        self.known: dict[tuple[int, str, str], Answered] = {}
        self.after_utc_ms = 0
        self.broken = False

    async def read(self, query: Callable[[Any], Any]) -> Any:
        await asyncio.sleep(0)
        if self.broken:
            raise Unavailable("out of reach")
        return query(self)

    def answered(self, account_id: int, route: str, key: str, after_utc_ms: int) -> Answered | None:
        self.after_utc_ms = after_utc_ms
        return self.known.get((account_id, route, key))


class Bench:
    """An `Idempotency`, requests that are carried out when told to, and their answers."""

    def __init__(self) -> None:
        self.store = Remembering()
        self.clock = ManualClock()
        self.once = Idempotency(self.store, self.clock)  # type: ignore[arg-type]
        self.begun: list[tuple[bytes, idempotency.Answer]] = []
        self.answers: list[list[Given | HeliographError]] = []

    async def ask(self, body: bytes = b"body", scope: Scope = SCOPE) -> int:
        number = len(self.answers)
        self.answers.append([])

        def first(key: str, body_sha256: bytes, done: idempotency.Answer) -> None:
            assert key == scope.key
            assert body_sha256 == hashlib.sha256(body).digest()
            if body == b"malformed":
                raise CallerError(errors.FIELD_INVALID)
            if body == b"bug":
                raise ZeroDivisionError
            self.begun.append((body, done))

        self.once(scope, body, first, self.answers[number].append)
        await self.turn()
        return number

    async def turn(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    async def end(self, outcome: Given | HeliographError = FIRST) -> None:
        """The request that began last is over."""
        self.begun[-1][1](outcome)
        await self.turn()

    def kinds(self) -> list[Any]:
        return [got.kind.code if isinstance(got, HeliographError) else got for (got,) in self.answers]


def run(scenario: Callable[[Bench], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        await scenario(Bench())

    asyncio.run(asyncio.wait_for(main(), 10))


def test_repeats_of_a_request_under_way_wait_and_get_its_answer() -> None:
    async def scenario(bench: Bench) -> None:
        for _ in range(1000):
            await bench.ask()
        assert len(bench.begun) == 1
        assert bench.answers == [[]] * 1000
        await bench.end()
        assert bench.kinds() == [FIRST] + [AGAIN] * 999
        assert bench.once.replayed == 999

    run(scenario)


def test_an_answer_in_the_store_is_given_again_for_a_day() -> None:
    async def scenario(bench: Bench) -> None:
        bench.store.known[SCOPE] = Answered(hashlib.sha256(b"body").digest(), b"the answer")
        await bench.ask()
        assert bench.begun == []
        assert bench.kinds() == [AGAIN]
        assert bench.store.after_utc_ms == bench.clock.now_utc_ms() - ONCE_MS

    run(scenario)


def test_another_body_under_the_same_key_is_refused_whether_the_first_is_answered_or_under_way() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.ask(b"body")
        await bench.ask(b"another body")
        await bench.end()
        bench.store.known[SCOPE] = Answered(hashlib.sha256(b"body").digest(), b"the answer")
        await bench.ask(b"another body")
        assert bench.kinds() == [FIRST, "idempotency_key_reused", "idempotency_key_reused"]

    run(scenario)


def test_keys_of_other_accounts_and_routes_are_other_keys() -> None:
    async def scenario(bench: Bench) -> None:
        for scope in (SCOPE, SCOPE._replace(account_id=2), SCOPE._replace(route="/other"), SCOPE._replace(key="x")):
            await bench.ask(scope=scope)
        assert len(bench.begun) == 4

    run(scenario)


def test_an_error_is_not_recorded_and_the_next_that_waits_goes_first() -> None:
    async def scenario(bench: Bench) -> None:
        for body in (b"body", b"body", b"another body"):
            await bench.ask(body)
        await bench.end(OurFault(errors.OVERLOADED))
        assert len(bench.begun) == 2
        await bench.end(OurFault(errors.OVERLOADED))
        await bench.end()
        assert bench.kinds() == ["overloaded", "overloaded", FIRST]
        await bench.ask()
        assert len(bench.begun) == 4, "the key is free again"

    run(scenario)


@pytest.mark.parametrize(("body", "code"), [(b"malformed", "field_invalid"), (b"bug", "internal_error")])
def test_a_request_that_fails_at_once_leaves_nothing_behind(body: bytes, code: str) -> None:
    async def scenario(bench: Bench) -> None:
        await bench.ask(body)
        await bench.ask()
        await bench.end()
        assert bench.kinds() == [code, FIRST]

    run(scenario)


def test_a_store_that_cannot_be_read_is_503_and_nothing_is_sent() -> None:
    async def scenario(bench: Bench) -> None:
        bench.store.broken = True
        await bench.ask()
        assert bench.begun == []
        bench.store.broken = False
        await bench.ask()
        await bench.end()
        assert bench.kinds() == ["store_unavailable", FIRST]

    run(scenario)


def test_a_repeat_waits_ten_seconds_and_no_longer() -> None:
    async def scenario(bench: Bench) -> None:
        await bench.ask()
        await bench.ask()
        bench.clock.advance(5)
        await bench.ask()
        bench.clock.advance(5)
        assert [len(got) for got in bench.answers] == [0, 1, 0]
        await bench.end()
        assert bench.kinds() == [FIRST, "idempotency_in_progress", AGAIN]
        bench.clock.advance(60)
        assert [len(got) for got in bench.answers] == [1, 1, 1]

    run(scenario)


def test_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "WAITING_AT_MOST", 2)

    async def scenario(bench: Bench) -> None:
        for _ in range(4):
            await bench.ask()
        assert [len(got) for got in bench.answers] == [0, 0, 0, 1]
        await bench.end()
        assert bench.kinds() == [FIRST, AGAIN, AGAIN, "idempotency_in_progress"]
        for _ in range(3):  # the room is free again
            await bench.ask(scope=SCOPE._replace(key="next"))
        await bench.end()
        assert bench.kinds()[4:] == [FIRST, AGAIN, AGAIN]

    run(scenario)


def test_keys_are_visible_ascii() -> None:
    assert key_of(b"!~" * 127 + b"x") == "!~" * 127 + "x"
    for wrong in (b"", b"x" * 256, b"a b", b"\xc3\xa4", b"a\x7f", b"one, two", b"\tx"):
        with pytest.raises(CallerError) as caught:
            key_of(wrong)
        assert caught.value.kind is errors.IDEMPOTENCY_KEY_MALFORMED
