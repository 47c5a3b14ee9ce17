"""The two doors on a free port each, over services that are doubles."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
import uvicorn
import uvloop
from tests.harness.wire import Response, Wire

from heliograph.api.asgi import build
from heliograph.api.door import protocol_class
from heliograph.api.http import HttpLimits
from heliograph.api.services import Services
from heliograph.app import credential_kinds
from heliograph.kit.clock import SystemClock
from heliograph.kit.log import AccessLog
from heliograph.messaging import errors
from heliograph.messaging.accounts import Account, AccountStatus
from heliograph.messaging.operators import UNKNOWN_OPERATOR
from heliograph.messaging.submissions import Order, Request, Status, Submission
from heliograph.messaging.text import Encoding, Text
from heliograph.service.idempotency import Idempotency
from heliograph.service.limits import Limits
from heliograph.service.submit import Entry, Keyed, KeyedBatch, Verdict
from heliograph.store.interface import MessageFilter

ACCOUNT = Account(id=1, ref="acc_demo", name="Demo", email="demo@example.net", default_sender="96000")
BUSY = msgspec.structs.replace(ACCOUNT, id=3, ref="acc_busy", per_minute=1_000_000)
SUSPENDED = Account(id=2, ref="acc_gone", name="Gone", email="gone@example.net", status=AccountStatus.SUSPENDED)
ACCOUNTS = {"good.token.one": ACCOUNT, "gone.token.two": SUSPENDED, "busy.token.three": BUSY}
CLIENT_ID = "rt_" + "a" * 24
CLIENT_SECRET = "rts_" + "b" * 43
KINDS = {kind.api: kind for kind in credential_kinds()}
CREDENTIALS = {kind.dialect: (kind.id_prefix + "a" * 24, kind.secret_prefix + "b" * 43) for kind in KINDS.values()}
AUDIENCES = set(KINDS)
FINGERPRINT = "0123456789ab"
NOW = 1_767_323_045_678


class FakeDirectory:
    def authenticate(self, dialect: int, public_id: str, secret: str) -> Account:
        if (public_id, secret) != CREDENTIALS[dialect]:
            raise errors.CallerError(errors.CREDENTIALS_INVALID, "No account has these client credentials.")
        return ACCOUNT

    def fingerprint(self, dialect: int, public_id: str) -> str:
        assert public_id == CREDENTIALS[dialect][0]
        return FINGERPRINT


class FakeTokens:
    def issue(self, account: Account, audience: str, fingerprint: str) -> str:
        assert (account, fingerprint) == (ACCOUNT, FINGERPRINT)
        assert audience in AUDIENCES
        return "good.token.one"

    def verify(self, token: str, audience: str) -> Account:
        assert audience in AUDIENCES
        if token not in ACCOUNTS:
            raise errors.CallerError(errors.TOKEN_INVALID, "The access token expired or was revoked.")
        return ACCOUNTS[token]


class FakeSubmit:
    """Accepts an order after `delay` seconds, or does what its text says."""

    def __init__(self) -> None:
        self.draining = False
        self.delay = 0.0
        self.orders: list[Order] = []
        self.held: list[Callable[[], None]] = []

    def __call__(
        self,
        account: Account,
        order: Order,
        dialect: int,
        answer: Callable[[Any], None],
        keyed: Keyed | None = None,
        request_id: str = "",
    ) -> None:
        loop = asyncio.get_running_loop()
        self.orders.append(order)
        verdicts: Any = [Verdict(int(one.recipient), None, one) for one in submissions_of(order)]
        match order.text:
            case "boom":
                raise RuntimeError("a secret trace")
            case "full":
                raise errors.OurFault(errors.OVERLOADED, "Full.", retry_after_seconds=30)
            case "lost":
                verdicts = errors.OurFault(errors.STORE_UNAVAILABLE, "Lost.")
            case "broken":
                verdicts = [None]
            case "poor":
                verdicts[-1] = Verdict(0, errors.INSUFFICIENT_FUNDS, verdicts[-1].submission)
            case "stopped":
                verdicts[-1] = Verdict(0, errors.RECIPIENT_OPTED_OUT, verdicts[-1].submission)
            case "crowded":
                verdicts[-1] = Verdict(0, errors.CARRIER_BACKLOG_FULL)
            case "wrong":
                raise errors.CallerError(errors.RECIPIENT_INVALID, "No.", pointer="/recipients/0")
            case "hold":
                self.held.append(lambda: loop.call_soon_threadsafe(answer, verdicts))
                return
        if self.delay:
            loop.call_later(self.delay, answer, verdicts)
        else:
            loop.call_soon(answer, verdicts)

    def batch(
        self,
        account: Account,
        orders: Sequence[Order | errors.HeliographError],
        dialect: int,
        answer: Callable[[Any], None],
        keyed: KeyedBatch | None = None,
        request_id: str = "",
    ) -> None:
        entries: list[Entry] = []
        for order in orders:
            try:
                if isinstance(order, errors.HeliographError):
                    raise order
                self(account, order, dialect, lambda verdicts: None)
            except errors.HeliographError as error:
                entries.append(error)
                continue
            (one,) = submissions_of(order)
            refused = errors.INSUFFICIENT_FUNDS if order.text == "poor" else None
            entries.append(Verdict(0 if refused else int(one.recipient), refused, one))
        asyncio.get_running_loop().call_soon(answer, entries)

    def wait_held(self, count: int = 1) -> None:
        wait_until(lambda: len(self.held) >= count)


def submissions_of(order: Order) -> list[Submission]:
    """What an order becomes, at 0.035 a message."""
    text = Text(order.text, Encoding.GSM7, 1)
    request = Request(1, 1, 2, order.sender, text, NOW, NOW + 1, order.send_at_utc_ms, order.reference)
    return [
        Submission(n, request, number.removeprefix("+"), 35_000, 1, 0, 0, n)
        for n, number in enumerate(order.recipients, 1)
    ]


class FakeStored:
    status = Status.DELIVERED
    sender, recipient, text, encoding, segments = "96000", "56912340000", "hello", 0, 1
    price_micros, refunded, send_at_utc_ms, reference = 35_000, False, 0, None
    registered_utc_ms, sent_utc_ms, done_utc_ms = 1_600_351_683_999, 1_600_351_694_000, 1_600_355_610_001


class FakeView:
    public_id, message, cost_micros, operator = "4193366853543393", FakeStored(), 35_000, UNKNOWN_OPERATOR


class NoAnswers:
    """A store that has never answered a request with a key."""

    async def read(self, query: Callable[[Any], Any]) -> None:
        await asyncio.sleep(0)


class FakeQuery:
    async def balance_micros(self, account_id: int) -> int:
        await asyncio.sleep(0)
        return 457_000_000

    async def message(self, account_id: int, public_id: str) -> FakeView:
        if public_id == "666":
            raise RuntimeError("a secret trace")
        if public_id != FakeView.public_id:
            facts = {"resource": "message", "id": public_id}
            raise errors.CallerError(errors.SUBMISSION_NOT_FOUND, "No such message.", facts=facts)
        return FakeView()

    async def messages(self, wanted: MessageFilter, limit: int, before: str = "") -> tuple[list[FakeView], str]:
        await asyncio.sleep(0)
        if before == "broken":
            raise RuntimeError("a secret trace")
        return [FakeView()] * min(limit, 2), "" if before else FakeView.public_id


class FakeCancel:
    async def __call__(self, account_id: int, public_id: str) -> FakeView:
        if public_id == "1":
            return await FakeQuery().message(account_id, public_id)
        raise errors.CallerError(errors.NOT_CANCELLABLE, "Too late.")


def wait_until(happened: Callable[[], bool], within: float = 5.0) -> None:
    deadline = time.monotonic() + within
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


class Running:
    """A door, served by a thread of its own."""

    def __init__(self, lean: bool, limits: HttpLimits | None = None, tls: tuple[str, str] | None = None) -> None:
        self.lean = lean
        self.submit = FakeSubmit()
        self.problems: list[str] = []
        self.logged: list[dict[str, Any]] = []
        self._limits = limits or HttpLimits()
        self._tls = tls
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: uvloop.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._started.wait(10)

    def _log(self, lines: bytes) -> None:
        self.logged += [json.loads(line) for line in lines.splitlines()]

    async def _serve(self) -> None:
        services = Services(
            directory=FakeDirectory(),  # type: ignore[arg-type]
            tokens=FakeTokens(),  # type: ignore[arg-type]
            submit=self.submit,
            once=Idempotency(NoAnswers(), SystemClock()),  # type: ignore[arg-type]
            limits=Limits(SystemClock(), failed_tokens_per_minute=1_000),
            query=FakeQuery(),  # type: ignore[arg-type]
            cancel=FakeCancel(),  # type: ignore[arg-type]
            currency="USD",
            store=None,  # type: ignore[arg-type]
            clock=SystemClock(),
            ready=lambda: self.problems,
            access=AccessLog(self._log),
            max_messages=3,
        )
        api = build(services)
        cert, key = self._tls or (None, None)
        config = uvicorn.Config(
            api,
            http=protocol_class(api, self._limits, self.lean),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            ssl_certfile=cert,
            ssl_keyfile=key,
            timeout_graceful_shutdown=5,
        )
        self.server = uvicorn.Server(config)
        listening = socket.create_server(("127.0.0.1", 0))
        self.address = listening.getsockname()[:2]
        config.load()
        serving = asyncio.get_running_loop().create_task(self.server.serve(sockets=[listening]))
        while not self.server.started:
            await asyncio.sleep(0.001)
        self._started.set()
        await serving

    def wire(self, *, timeout: float = 5.0, tls: ssl.SSLContext | None = None) -> Wire:
        return Wire(self.address, timeout=timeout, tls=tls)

    def stop(self) -> None:
        self.server.should_exit = True
        self._thread.join(15)
        assert not self._thread.is_alive()

    @property
    def connections(self) -> int:
        return len(self.server.server_state.connections)

    def send(self, *requests: bytes) -> list[Response]:
        """Requests on one connection, each sent when the one before is answered."""
        with self.wire() as wire:
            answers = []
            for request in requests:
                wire.send(request)
                answers.append(wire.read(to_head=request.startswith(b"HEAD")))
            return answers


@pytest.fixture(params=["lean", "plain"])
def door(request: pytest.FixtureRequest) -> Iterator[Running]:
    running = Running(request.param == "lean")
    yield running
    running.stop()


@pytest.fixture
def open_door(request: pytest.FixtureRequest) -> Iterator[Callable[..., Running]]:
    """Opens doors with limits of one's own."""
    opened: list[Running] = []

    def opener(lean: bool, tls: tuple[str, str] | None = None, **limits: Any) -> Running:
        opened.append(Running(lean, replace(HttpLimits(), **limits), tls))
        return opened[-1]

    yield opener
    for running in opened:
        running.stop()


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Running, Running]]:
    """The lean door and the plain one."""
    doors = Running(True), Running(False)
    yield doors
    for one in doors:
        one.stop()


def bare(response: Response) -> tuple[Any, ...]:
    """An answer without what differs from one to the next."""
    request_id = response.header("x-request-id") or ""
    assert re.fullmatch(r"req_[0-9a-f]{20}", request_id)
    headers = sorted((name, value) for name, value in response.headers if name not in ("date", "x-request-id"))
    return response.status, response.interim, headers, response.body.replace(request_id.encode(), b"?")


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    from tests.harness.tls import self_signed

    made = self_signed(tmp_path_factory.mktemp("tls"))
    return made.cert, made.key
