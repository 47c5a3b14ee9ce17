"""Requests that were refused are kept for a while, and what was accepted is found by its request."""

from __future__ import annotations

import msgspec
from tests.conformance.store.books import HOUR, Books, Engine, opened, run

from heliograph.store import interface as it


def refused(number: int, *, account: str = "-", at_utc_ms: int | None = None) -> it.Failure:
    at = number if at_utc_ms is None else at_utc_ms
    return it.Failure(
        f"req_{number:020x}", at, account, "POST", "/api/sms", 400, "text_empty", "The text is empty; write one."
    )


async def kept(books: Books, numbers: range) -> list[int]:
    def query(reads: it.Reads) -> list[int]:
        return [number for number in numbers if reads.failure(f"req_{number:020x}") is not None]

    return await books.store.read(query)


def test_refused_request_is_found_by_its_id_as_it_was_told(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=100)
            mine, nobodys = refused(1, account=account.ref), refused(2, account="no such account")
            await books.store.apply(it.StoreFailures([mine, nobodys]))
            assert await books.store.read(lambda reads: reads.failure(mine.request_id)) == mine
            found = await books.store.read(lambda reads: reads.failure(nobodys.request_id))
            assert found == msgspec.structs.replace(nobodys, account="-")
            assert await books.store.read(lambda reads: reads.failure("req_" + "f" * 20)) is None

    run(scenario())


def test_the_first_of_two_records_of_a_request_stands(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            first = refused(1)
            await books.store.apply(it.StoreFailures([first]))
            await books.store.apply(it.StoreFailures([msgspec.structs.replace(first, status=503), refused(2)]))
            assert await books.store.read(lambda reads: reads.failure(first.request_id)) == first
            assert await kept(books, range(5)) == [1, 2]

    run(scenario())


def test_refused_requests_are_forgotten_by_age_and_beyond_a_number_oldest_first(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            await books.store.apply(it.StoreFailures([refused(number) for number in range(10)]))
            assert await books.store.apply(it.ForgetFailures(2, keep=100, keep_each=100, limit=2)) == 2
            assert await kept(books, range(10)) == list(range(2, 10))
            assert await books.store.apply(it.ForgetFailures(2, keep=100, keep_each=100, limit=100)) == 1
            assert await books.store.apply(it.ForgetFailures(2, keep=4, keep_each=100, limit=100)) == 3
            assert await kept(books, range(10)) == [6, 7, 8, 9]
            assert await books.store.apply(it.ForgetFailures(2, keep=4, keep_each=100, limit=100)) == 0

    run(scenario())


def test_a_flood_of_one_pushes_out_only_its_own(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            loud, quiet = await books.account("loud"), await books.account("quiet")
            told = [refused(1, account=quiet.ref), refused(2)]
            told += [refused(number, account=loud.ref) for number in range(3, 13)]
            told += [refused(number) for number in range(13, 21)]
            await books.store.apply(it.StoreFailures(told))
            forget = it.ForgetFailures(-1, keep=9, keep_each=4, limit=3)
            freed = [await books.store.apply(forget) for _ in range(5)]
            assert freed == [3, 3, 3, 2, 0], "in portions"
            assert await kept(books, range(21)) == [1, *range(9, 13), *range(17, 21)]

    run(scenario())


def test_messages_are_found_by_their_request_within_its_time(engine: Engine) -> None:
    async def scenario() -> None:
        async with opened(engine) as books:
            account = await books.account(balance=1000)

            async def accept(trace: str, count: int, at_utc_ms: int) -> list[int]:
                op = books.request(account.id, [1] * count, at_utc_ms=at_utc_ms)
                request = msgspec.structs.replace(op.request, trace=trace)
                of = [msgspec.structs.replace(one, request=request) for one in op.submissions]
                await books.store.apply(msgspec.structs.replace(op, request=request, submissions=of))
                return [one.id for one in of]

            await accept("a", 2, HOUR)
            wanted = await accept("b", 3, 2 * HOUR)
            wanted += await accept("b", 1, 2 * HOUR + 1)
            await accept("c", 1, 2 * HOUR + 1)

            async def found(trace: str, since_utc_ms: int, until_utc_ms: int) -> list[int]:
                messages = await books.store.read(
                    lambda reads: reads.messages_traced(trace, since_utc_ms, until_utc_ms)
                )
                assert all(one.trace == trace for one in messages)
                return [one.id for one in messages]

            assert await found("b", 2 * HOUR - 5, 2 * HOUR + 5) == wanted
            assert await found("b", 0, 9 * HOUR) == wanted
            assert await found("b", 0, 2 * HOUR) == []
            assert await found("b", 2 * HOUR + 1, 9 * HOUR) == wanted[3:]
            assert await found("d", 0, 9 * HOUR) == []

    run(scenario())
