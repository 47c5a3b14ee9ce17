"""Microseconds a call of what a send goes through, each alone and in one process.

    python -m benchmarks.micro
    python -m benchmarks.micro --only door,commit

Groups of calls are timed, and the median group counts. The store is real and on disk; a line of it is a group commit
of so many operations, from handing them over to the last answer, divided by the messages in it.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, cast

import msgspec
import uvicorn
import uvloop
from uvicorn.server import ServerState

from benchmarks import load
from heliograph.api.asgi import build
from heliograph.api.door import protocol_class
from heliograph.api.http import HttpLimits
from heliograph.api.services import Services, Submitting
from heliograph.app import load_operators
from heliograph.dialects import realtime
from heliograph.kit.clock import SystemClock
from heliograph.kit.ids import PublicIds
from heliograph.kit.keys import Keys, load_or_create
from heliograph.kit.log import AccessLog
from heliograph.messaging import errors
from heliograph.messaging.accounts import Account
from heliograph.messaging.delivery import ReceiptState
from heliograph.messaging.pricing import PriceList
from heliograph.messaging.routing import Routes
from heliograph.messaging.submissions import Order, Request, Rules, Submission, draft
from heliograph.messaging.text import Encoding, Text
from heliograph.service.accounts import Directory, Tokens
from heliograph.service.idempotency import Idempotency
from heliograph.service.limits import Limits
from heliograph.service.sequence import MessageIds
from heliograph.service.submit import Answer, Keyed, Submit, Verdict
from heliograph.store import interface as it
from heliograph.store.sqlite import SqliteStore

GROUPS = 15
GROUP_SECONDS = 0.02
_FINGERPRINT = "0123456789ab"
_ACCOUNT = Account(id=1, ref="acc_benchmark", name="B", email="b@example.net", senders=frozenset({load.SENDER}))
_MANY = 100


class Line(msgspec.Struct, frozen=True):
    """A result: the median and the best group, in microseconds a call or, where it says so, a message."""

    group: str
    what: str
    us: float
    best_us: float


def timed(call: Callable[[], object], per: int = 1) -> tuple[float, float]:
    """Median and best microseconds of a call, divided by `per`."""
    _group(call, 100)  # what is imported or cached at the first call
    count = 1
    while (took := _group(call, count)) < GROUP_SECONDS:
        count = max(count * 2, int(count * GROUP_SECONDS / max(took, 1e-6)))
    groups = [_group(call, count) / count / per * 1e6 for _ in range(GROUPS)]
    return median(groups), min(groups)


def _group(call: Callable[[], object], count: int) -> float:
    started = time.perf_counter()
    for _ in itertools.repeat(None, count):
        call()
    return time.perf_counter() - started


# -- without a store


class _NoStore:
    """Takes every write and does nothing; what asks for ids gets some."""

    def __init__(self) -> None:
        self._next = 1

    def submit(self, op: it.Op[Any], done: it.Done, weight: int = 1) -> None:
        if isinstance(op, it.LeaseIds):
            done(self._lease(op.count))

    async def apply(self, op: it.LeaseIds) -> int:
        return self._lease(op.count)

    def _lease(self, count: int) -> int:
        self._next += count
        return self._next - count


class _AnsweringStore(_NoStore):
    """Answers at once that everything is stored."""

    def submit(self, op: it.Op[Any], done: it.Done, weight: int = 1) -> None:
        if isinstance(op, it.Accept):
            done([it.Kept.STORED] * len(op.submissions))
        else:
            super().submit(op, done, weight)


class _Room:
    """A dispatch that has room for everything."""

    def admit(self, drafts: Sequence[object]) -> None:
        return None


def _rules() -> Rules:
    return Rules(
        prices={"default": PriceList({"": 1_000_000})},
        operators=load_operators(),
        routes=Routes({"simulator": 1}, "simulator"),
        max_recipients=1_000,
        max_segments=10,
    )


def _orders(recipients: int) -> Callable[[], Order]:
    """Orders to ever different recipients."""
    orders = [realtime.parse_order(body) for body in load.bodies(recipients, load.TEXT)]
    return itertools.cycle(orders).__next__


async def pure(folder: Path) -> list[Line]:
    """Parsing, deciding, ids, rendering, tokens: no I/O."""
    keys = load_or_create(folder)
    clock = SystemClock()
    ids = PublicIds(keys.ids)
    rules = _rules()
    no_store = cast(it.Store, _NoStore())
    numbers = MessageIds(no_store, ids)
    await numbers.start()
    directory = Directory(no_store)
    directory.accounts[_ACCOUNT.id] = _ACCOUNT
    directory.fingerprints[_ACCOUNT.id] = frozenset({_FINGERPRINT})
    tokens = Tokens(keys, directory, clock)
    token = tokens.issue(_ACCOUNT, realtime.AUDIENCE, _FINGERPRINT)
    lines: list[Line] = []

    def add(what: str, call: Callable[[], object], per: int = 1) -> None:
        lines.append(Line("pure", what, *timed(call, per)))

    add("Tokens.verify, a token seen before", lambda: tokens.verify(token, realtime.AUDIENCE))
    for count, each in ((1, "1 recipient"), (_MANY, f"{_MANY} recipients, a recipient")):
        body = itertools.cycle(load.bodies(count, load.TEXT)).__next__
        order = _orders(count)
        add(f"parse_order, {each}", lambda body=body: realtime.parse_order(body()), count)  # type: ignore[misc]
        add(f"draft, {each}", lambda order=order: draft(order(), _ACCOUNT, rules), count)  # type: ignore[misc]
        add(f"MessageIds.take, {each}", lambda count=count: numbers.take(count), count)  # type: ignore[misc]
        verdicts = [Verdict(4193366853543393)] * count
        add(f"render_verdicts, {each}", lambda verdicts=verdicts: realtime.render_verdicts(verdicts), count)  # type: ignore[misc]
        for name, store in (("to the store", _NoStore()), ("to the answer", _AnsweringStore())):
            submit = Submit(cast(it.Store, store), cast(Any, _Room()), numbers, rules, _untold, clock)
            call = _submitting(submit, order)
            add(f"Submit {name}, {each}", call, count)
    add("PublicIds.publish of 512, an id", lambda: ids.publish(1, 512), 512)
    return lines


def _untold(ended: Sequence[it.Ended]) -> list[it.CallbackDraft | None]:
    """The ends of messages are told to nobody."""
    return [None] * len(ended)


def _submitting(submit: Submit, order: Callable[[], Order]) -> Callable[[], None]:
    def answer(verdicts: list[Verdict] | it.Answered | errors.HeliographError) -> None:
        return None

    return lambda: submit(_ACCOUNT, order(), realtime.DIALECT, answer)


# -- the door


class _Sink(asyncio.Transport):
    """A client that takes every answer."""

    def __init__(self) -> None:
        super().__init__()
        self.written = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += 1

    def is_closing(self) -> bool:
        return False


class _ConstantSubmit:
    """Answers every order at once."""

    draining = False

    def __init__(self, recipients: int) -> None:
        self._verdicts = [Verdict(4193366853543393)] * recipients

    def __call__(
        self,
        account: Account,
        order: Order,
        dialect: int,
        answer: Answer,
        keyed: Keyed | None = None,
        request_id: str = "",
    ) -> None:
        answer(self._verdicts)

    def batch(self, *_: object) -> None:
        raise NotImplementedError


async def door(folder: Path) -> list[Line]:
    """A request from its bytes to its answer's, without the network: `data_received` to `write`."""
    keys = load_or_create(folder)
    store = cast(it.Store, _NoStore())
    numbers = MessageIds(store, PublicIds(keys.ids))
    await numbers.start()
    lines = []
    for count, each in ((1, "1 recipient"), (_MANY, f"{_MANY} recipients, a recipient")):
        answering, room = cast(it.Store, _AnsweringStore()), cast(Any, _Room())
        deciding = Submit(answering, room, numbers, _rules(), _untold, SystemClock())
        for what, submit in (("alone", _ConstantSubmit(count)), ("with Submit", deciding)):
            for logged in (False, True):
                call = _request_to(keys, submit, count, logged)
                name = f"lean door {what}{', access log' if logged else ''}, {each}"
                lines.append(Line("door", name, *timed(call, count)))
    return lines


def _request_to(keys: Keys, submit: Submitting, recipients: int, logged: bool) -> Callable[[], None]:
    """A call that has a connection of its own receive a request and answer it."""
    clock = SystemClock()
    store = cast(it.Store, _NoStore())
    directory = Directory(store)
    directory.accounts[_ACCOUNT.id] = _ACCOUNT
    directory.fingerprints[_ACCOUNT.id] = frozenset({_FINGERPRINT})
    tokens = Tokens(keys, directory, clock)
    access = AccessLog(lambda lines: None) if logged else None
    once, limits = Idempotency(store, clock), Limits(clock, failed_tokens_per_minute=30)
    services = Services(
        directory, tokens, submit, once, limits, cast(Any, None), cast(Any, None), "USD", store, clock, list, access
    )
    api = build(services)
    config = uvicorn.Config(api, log_config=None, ws="none", lifespan="off", server_header=False)
    loop = asyncio.get_running_loop()
    connection = protocol_class(api, HttpLimits(), lean=True)(config, ServerState(), {}, loop)
    sink = _Sink()
    connection.connection_made(sink)
    token = tokens.issue(_ACCOUNT, realtime.AUDIENCE, _FINGERPRINT)
    request = itertools.cycle(
        [load.request("127.0.0.1:8747", token, body) for body in load.bodies(recipients, load.TEXT)]
    ).__next__

    def call() -> None:
        before = sink.written
        connection.data_received(request())
        assert sink.written > before, "no answer"

    return call


# -- the store


class _Traffic:
    """Operations for a store, as a server would make them."""

    def __init__(self, account_id: int, carrier_id: int) -> None:
        self._account_id = account_id
        self._carrier_id = carrier_id
        self._next = 1
        self._marks = 0
        self._text = Text(load.TEXT, Encoding.GSM7, 1)
        self._recipient = itertools.cycle(load.numbers(10_000)).__next__
        self.accepted: list[int] = []
        self.taken: list[it.Took] = []

    def mark(self) -> list[it.Op[Any]]:
        """The least that there is to write."""
        self._marks += 1
        return [it.MoveMark(self._carrier_id, self._marks, 1)]

    def accepts(self, requests: int, recipients: int) -> list[it.Op[Any]]:
        """Requests with new messages."""
        return [self._accept(recipients) for _ in range(requests)]

    def takes(self, count: int) -> list[it.Op[Any]]:
        """The carrier took the oldest messages that were accepted."""
        ids, self.accepted = self.accepted[:count], self.accepted[count:]
        taken = [it.Took(id_, 1, 1, f"19abc-{id_}-0000", 1) for id_ in ids]
        self.taken += taken
        return [it.StoreTaken(taken)]

    def receipts(self, count: int) -> list[it.Op[Any]]:
        """They arrived."""
        some, self.taken = self.taken[:count], self.taken[count:]
        told = [it.PartReceipt(self._carrier_id, one.ref, ReceiptState.DELIVERED, 1, one.message_id) for one in some]
        return [it.StoreReceipts(told, lambda ended: [None] * len(ended))]

    def _accept(self, recipients: int) -> it.Accept:
        first = self._next
        self._next += recipients
        request = Request(first, self._account_id, 1, load.SENDER, self._text, 1, 2)
        ids = range(first, first + recipients)
        self.accepted += ids
        return it.Accept(
            request, [Submission(id_, request, self._recipient(), 10, self._carrier_id, 0, 0, id_) for id_ in ids]
        )


async def commits(folder: Path) -> list[Line]:
    """Group commits of a real store."""
    store = SqliteStore(folder)
    await store.open()
    account = await store.apply(it.CreateAccount(_ACCOUNT, [], 10**15))
    traffic = _Traffic(account.id, await store.apply(it.RegisterCarrier("simulator")))
    lines = [Line("commit", "nothing but a mark, a commit", *await _committing(store, traffic.mark, 1))]
    for requests, recipients in ((1, 1), (16, 1), (50, 1), (256, 1), (1, 100), (50, 100)):
        made = await _committing(store, lambda r=requests, n=recipients: traffic.accepts(r, n), requests * recipients)  # type: ignore[misc]
        lines.append(Line("commit", f"{requests} × Accept of {recipients}, a message", *made))
    for count in (50, 1_000):
        taking = await _committing(store, lambda n=count: traffic.takes(n), count)  # type: ignore[misc]
        lines.append(Line("commit", f"StoreTaken of {count}, a message", *taking))
        telling = await _committing(store, lambda n=count: traffic.receipts(n), count)  # type: ignore[misc]
        lines.append(Line("commit", f"StoreReceipts of {count}, a message", *telling))
    await store.close()
    return lines


async def _committing(store: it.Store, make: Callable[[], list[it.Op[Any]]], per: int) -> tuple[float, float]:
    """Median and best microseconds of a group of these operations, divided by `per`."""
    took: list[float] = []
    for _ in range(GROUPS):
        ops = make()
        started = time.perf_counter()
        await _together(store, ops)
        took.append((time.perf_counter() - started) / per * 1e6)
    return median(took), min(took)


async def _together(store: it.Store, ops: Sequence[it.Op[Any]]) -> None:
    """All of these in one commit; return when the last has its answer."""
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    left = len(ops)

    def done(result: Any) -> None:
        nonlocal left
        assert not isinstance(result, Exception), result
        left -= 1
        if not left:
            ended.set_result(None)

    for op in ops:
        store.submit(op, done)
    await ended


# -- the command

_PARTS: dict[str, Callable[[Path], Awaitable[list[Line]]]] = {"pure": pure, "door": door, "commit": commits}


def show(lines: Sequence[Line]) -> Iterator[str]:
    """The results for people."""
    yield f"{'µs':>9} {'best':>9}"
    for line in lines:
        yield f"{line.us:9.2f} {line.best_us:9.2f}  {line.what}"


async def _measure(parts: Sequence[str]) -> list[Line]:
    gc.collect()
    gc.freeze()
    lines: list[Line] = []
    for part in parts:
        with tempfile.TemporaryDirectory() as folder:
            lines += await _PARTS[part](Path(folder))
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.micro", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", metavar="PART,…", default=",".join(_PARTS), help=f"of {', '.join(_PARTS)}")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    lines = uvloop.run(_measure(options.only.split(",")))
    print(json.dumps(msgspec.to_builtins(lines), indent=2) if options.json else "\n".join(show(lines)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
