"""What a callback costs: signing, posting, claiming and settling, each alone, and the notifying service as a whole.

    python -m benchmarks.notifying

The receiver is a process of its own on the loopback, which answers at once; the store is real and on disk. Each figure
is microseconds a callback, by the clock and of this process's CPU, all threads. With one customer, as many callbacks
are under way as `callbacks.in_flight_per_endpoint` says.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from statistics import median

import msgspec
import uvloop

from benchmarks import load, server
from heliograph.dialects.realtime import dlr_body
from heliograph.kit.clock import SystemClock
from heliograph.kit.ids import PublicIds
from heliograph.kit.keys import Keys, load_or_create
from heliograph.messaging.accounts import Account
from heliograph.messaging.delivery import ReceiptState
from heliograph.messaging.submissions import Request, Status, Submission
from heliograph.messaging.text import Encoding, Text
from heliograph.service.accounts import Directory
from heliograph.service.notify import IN_FLIGHT, IN_FLIGHT_PER_ENDPOINT, Notify, Poster, webhook_ids
from heliograph.store import interface as it
from heliograph.store.sqlite import SqliteStore
from heliograph.webhooks import signature
from heliograph.webhooks.sender import Attempted, Call, Sender

GROUPS = 5
COUNT = 2_000  # callbacks in a group
_BODY = dlr_body("4193366853543393", "4915112345678", Status.DELIVERED, 1_790_000_000_000)
_OK = Attempted(True, "200")


class Line(msgspec.Struct, frozen=True):
    """A result, in microseconds a callback: the median group."""

    what: str
    us: float
    cpu_us: float


class _AtOnce:
    """A poster whose every call is acknowledged in the same moment."""

    async def post(self, call: Call) -> Attempted:
        return _OK


async def timed(what: str, group: Callable[[], Awaitable[None]]) -> Line:
    """Time groups of `COUNT` callbacks; the first is not counted."""
    await group()
    found: list[tuple[float, float]] = []
    for _ in range(GROUPS):
        clock, cpu = time.perf_counter(), time.process_time()
        await group()
        found.append((time.perf_counter() - clock, time.process_time() - cpu))
    us, cpu_us = (median(values) / COUNT * 1e6 for values in zip(*found, strict=True))
    return Line(what, us, cpu_us)


async def signing(keys: Keys) -> list[Line]:
    """Names and signatures."""
    ids, key = PublicIds(keys.ids), signature.key_of(keys.webhook_secret(1, 1))

    async def name() -> None:
        for first in range(0, COUNT, 32):
            webhook_ids(ids, range(first, first + 32))

    async def sign() -> None:
        for _ in range(COUNT):
            signature.sign((key,), "cb_4193366853543393", 1_790_000_000, _BODY)

    return [await timed("webhook_ids of 32", name), await timed("signature.sign", sign)]


async def posting(keys: Keys, url: str) -> list[Line]:
    """Calls of the sender alone, so many at a time."""
    signed = signature.sign((signature.key_of(keys.webhook_secret(1, 1)),), "cb_1", 1_790_000_000, _BODY)
    call = Call(url, "cb_4193366853543393", 1_790_000_000, signed, _BODY)
    lines = []
    for at_once in (1, IN_FLIGHT_PER_ENDPOINT, 256):
        sender = Sender(allow_networks=("127.0.0.0/8",))

        async def posts(sender: Sender = sender, at_once: int = at_once) -> None:
            left = itertools.repeat(call, COUNT)

            async def caller() -> None:
                for one in left:
                    assert (await sender.post(one)).acknowledged

            await asyncio.gather(*(caller() for _ in range(at_once)))

        lines.append(await timed(f"Sender.post, {at_once} at once", posts))
        await sender.close()
    return lines


class Desk:
    """A store with messages that are about to be delivered, and an account that wants to hear of it at `url`."""

    def __init__(self, folder: Path, url: str) -> None:
        self.store = SqliteStore(folder)
        self.directory = Directory(self.store)
        self._url = url
        self._recipients = itertools.cycle(load.numbers(10_000))
        self._next = 1

    async def __aenter__(self) -> Desk:
        await self.store.open()
        account = Account(id=0, ref="acc_benchmark", name="B", email="b@example.net", dlr_url=self._url)
        self._account_id = (await self.store.apply(it.CreateAccount(account, [], 10**15))).id
        self._carrier_id = await self.store.apply(it.RegisterCarrier("simulator"))
        await self.directory.refresh()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.store.close()

    async def sent(self) -> list[it.PartReceipt]:
        """So many messages that a carrier took, and their receipts."""
        first, self._next = self._next, self._next + COUNT
        text, now = Text(load.TEXT, Encoding.GSM7, 1), SystemClock().now_utc_ms()
        request = Request(first, self._account_id, 1, load.SENDER, text, now, now + 86_400_000)
        ids = range(first, self._next)
        submissions = [Submission(id_, request, next(self._recipients), 10, self._carrier_id, 0, 0, id_) for id_ in ids]
        await self.store.apply(it.Accept(request, submissions))
        await self.store.apply(it.StoreTaken([it.Took(id_, 1, 1, f"19abc-{id_}", now) for id_ in ids]))
        return [it.PartReceipt(self._carrier_id, f"19abc-{id_}", ReceiptState.DELIVERED, now, id_) for id_ in ids]

    async def tell(self, receipts: Sequence[it.PartReceipt]) -> None:
        """Store receipts, each with a callback."""
        draft = it.CallbackDraft("dlr", _BODY)
        await self.store.apply(it.StoreReceipts(list(receipts), lambda ended: [draft] * len(ended)))


async def storing(desk: Desk) -> list[Line]:
    """The commits of callbacks, without anybody who makes them."""
    ready: list[list[it.PartReceipt]] = [await desk.sent() for _ in range(GROUPS + 1)]
    begun: list[list[it.Callback]] = [[] for _ in range(GROUPS + 1)]
    now = SystemClock().now_utc_ms() + 1_000
    told, claimed, settled = iter(ready), iter(begun), iter(begun)

    async def tell() -> None:
        await desk.tell(next(told))

    async def claim() -> None:
        some = next(claimed)
        while left := COUNT - len(some):
            limit = min(left, IN_FLIGHT_PER_ENDPOINT)
            found: list[it.Callback] = await desk.store.apply(it.ClaimCallbacks(now, limit, (900,), frozenset()))
            some += found

    async def settle() -> None:
        some = next(settled)
        for at in range(0, COUNT, IN_FLIGHT_PER_ENDPOINT):
            ended = [it.Settlement(one.id, True, False, "200", now) for one in some[at : at + IN_FLIGHT_PER_ENDPOINT]]
            await desk.store.apply(it.SettleCallbacks(ended))

    return [
        await timed(f"commit: StoreReceipts of {COUNT:,} with callbacks", tell),
        await timed(f"commits: ClaimCallbacks of {IN_FLIGHT_PER_ENDPOINT}", claim),
        await timed(f"commits: SettleCallbacks of {IN_FLIGHT_PER_ENDPOINT}", settle),
    ]


async def notifying(folder: Path, keys: Keys, url: str) -> list[Line]:
    """The service as a whole, from the receipt to the settlement, with a poster that takes no time and with ours."""
    lines = []
    for at_once in (IN_FLIGHT_PER_ENDPOINT, 256):
        sender = Sender(allow_networks=("127.0.0.0/8",))
        posters: tuple[tuple[str, Poster], ...] = (("a poster that does nothing", _AtOnce()), ("Sender", sender))
        for name, poster in posters:
            what = f"Notify with {name}, {at_once} at once"
            lines.append(await _notifying(what, Desk(folder / what.replace(" ", "-"), url), keys, poster, at_once))
        await sender.close()
    return lines


async def _notifying(what: str, desk: Desk, keys: Keys, poster: Poster, at_once: int) -> Line:
    ids, clock = PublicIds(keys.ids), SystemClock()
    in_flight = max(2 * at_once, IN_FLIGHT)  # one customer gets no more than half
    notify = Notify(
        desk.store,
        desk.directory,
        keys,
        ids,
        poster,
        clock,
        in_flight=in_flight,
        in_flight_per_endpoint=at_once,
    )
    async with desk:
        await notify.start()
        told = iter([await desk.sent() for _ in range(GROUPS + 1)])

        async def tell() -> None:
            until = notify.acknowledged + COUNT
            await desk.tell(next(told))
            while notify.acknowledged < until:
                await asyncio.sleep(0.001)

        line = await timed(what, tell)
        await notify.stop()
    return line


async def measure(folder: Path) -> list[Line]:
    """All of it."""
    gc.collect()
    gc.freeze()
    keys = load_or_create(folder)
    called = ["benchmarks.receiver", "--port", "{port}"]
    with server.Server(called, folder / "receiver.out", server.environment()) as receiver:
        url = f"{receiver.base_url}/dlr"
        lines = [*await signing(keys), *await posting(keys, url)]
        async with Desk(folder / "store", url) as desk:
            lines += await storing(desk)
        return lines + await notifying(folder, keys, url)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.notifying", description=(__doc__ or "").split("\n")[0])
    parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        lines = uvloop.run(measure(Path(folder)))
    print(f"{'µs':>9} {'CPU µs':>9}")
    for line in lines:
        print(f"{line.us:9.2f} {line.cpu_us:9.2f}  {line.what}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
