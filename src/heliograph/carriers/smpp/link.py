"""A link to a carrier's SMSC: one bind, held up. It connects and binds, and again, with jitter, when it is lost."""

from __future__ import annotations

import asyncio
import random as _random
import ssl
from collections.abc import Callable, Sequence
from typing import Protocol

from heliograph.carriers.settings import SmppSettings
from heliograph.carriers.smpp.connection import Connection, Owner
from heliograph.carriers.smpp.pdu import (
    Bind,
    Command,
    DataSm,
    DeliverSm,
    Request,
    Response,
    Status,
    SubmitSm,
    Unbind,
)
from heliograph.carriers.smpp.session import (
    Answer,
    BindRefused,
    Bound,
    Closed,
    Event,
    NotAllowedError,
    Received,
    Role,
    Session,
    SessionState,
    Unanswered,
    name_of,
)

# Refusals of a bind that do not pass by themselves. "Already bound" does: the SMSC has yet to notice that the last
# connection is gone.
FAULTS = frozenset(
    {Status.ESME_RBINDFAIL, Status.ESME_RINVPASWD, Status.ESME_RINVSYSID, Status.ESME_RINVSYSTYP}  # 0x0D 0x0E 0x0F 0x53
)
STOP_SECONDS = 5.0  # an unbind has so long


class LinkEvents(Protocol):
    """Where a link reports."""

    def link_up(self, link: Link) -> None:
        """It is bound."""

    def link_down(self, link: Link, reason: str, fault: bool) -> None:
        """It is down, or an attempt to get it up failed; `fault` where that will not pass by itself."""

    def answered(self, link: Link, answers: Sequence[Answer]) -> None:
        """Requests were answered: all of one read. None of them: there was no room for a while, and is again."""

    def unanswered(self, link: Link, tokens: Sequence[object], reason: str) -> None:
        """Requests that were sent will have no answer."""

    def received(self, link: Link, pdus: Sequence[DeliverSm | DataSm]) -> None:
        """Messages of the carrier, all of one read; to be answered by `Link.respond`, with the epoch of now."""


class Link:
    """One bind of `command` to the SMSC of `settings`, with a window of its own."""

    def __init__(
        self,
        settings: SmppSettings,
        command: Command,
        window: int,
        events: LinkEvents,
        name: str,
        *,
        random: Callable[[], float] = _random.random,
    ) -> None:
        self.name = name
        self.up = False
        self.epoch = 0  # counts the connections: answers go to that which asked
        self._settings = settings
        self._command = command
        self._window = window
        self._events = events
        self._random = random
        self._connection: Connection | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._reason = ""  # why the present connection ends, and whether it will not pass by itself
        self._fault = False
        self._was_up = False

    @property
    def room(self) -> int:
        """How many messages may be submitted now; none while it is down or the peer does not read."""
        return self._connection.room if self.up and self._connection is not None else 0

    def start(self) -> None:
        """Get it up, and keep it up. Returns at once."""
        assert self._task is None
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Unbind and let it be. What is not answered by then is reported as such."""
        self._stopping.set()
        if self._task is not None:
            await self._task

    def submit(self, pdus: Sequence[tuple[SubmitSm, object]]) -> None:
        """Send messages, not more than `room`. Raises as `Session.submit`."""
        self._bound(pdus[0][0]).submit(pdus)

    def request(self, pdu: Request, token: object) -> None:
        """Send another request. Raises as `Session.request`."""
        self._bound(pdu).request(pdu, token)

    def respond(self, responses: Sequence[Response], epoch: int) -> None:
        """Answer what was received while `epoch` was the link's. In vain when that connection is lost: the carrier will
        send it again, and another message may bear the same sequence number now.
        """
        if self._connection is not None and self.up and epoch == self.epoch:
            self._connection.respond(responses)

    def fault(self, reason: str) -> None:
        """The carrier's answers say that it will not have us: unbind, and come back after a long while."""
        if self.up and self._connection is not None:
            self._reason, self._fault = reason, True
            self._unbind(self._connection)

    def _bound(self, pdu: Request) -> Connection:
        if self._connection is None or not self.up:
            raise NotAllowedError(pdu, Role.ESME, SessionState.CLOSED)
        return self._connection

    # ── The life of the link ─────────────────────────────────────────────────────────────────────────────────────────

    async def _run(self) -> None:
        settings = self._settings
        longest = settings.reconnect_seconds
        while not self._stopping.is_set():
            self._reason, self._fault, self._was_up = "", False, False
            await self._live_once()
            if self._was_up:
                longest = settings.reconnect_seconds
            pause = settings.fault_seconds if self._fault else self._random() * longest
            longest = min(2 * longest, settings.reconnect_max_seconds)
            await self._until_stopping(pause)

    async def _live_once(self) -> None:
        """Connect, bind, and return when that is over. Every way out of here has been reported."""
        opening = asyncio.create_task(connect(self._settings, self._command, self._window, self))
        stopping = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait((opening, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not opening.done():
                opening.cancel()
                return
            try:
                connection = self._connection = opening.result()
            except CannotConnectError as error:
                self._fault = error.fault
                self._events.link_down(self, str(error), error.fault)
                return
            await asyncio.wait((connection.closed, stopping), return_when=asyncio.FIRST_COMPLETED)
            if not connection.closed.done():
                await self._leave(connection)
        finally:
            stopping.cancel()
            self._connection = None

    async def _leave(self, connection: Connection) -> None:
        self._reason = "stopped"
        self._unbind(connection)
        await asyncio.wait((connection.closed,), timeout=STOP_SECONDS)
        connection.abort("stopped")
        await connection.closed

    def _unbind(self, connection: Connection) -> None:
        if connection.session.state in (SessionState.UNBINDING, SessionState.CLOSED):
            return
        connection.request(Unbind())

    async def _until_stopping(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            pass

    # ── What the connection says ─────────────────────────────────────────────────────────────────────────────────────

    def happened(self, connection: Connection, events: Sequence[Event]) -> None:
        """Sort what one read brought, and hand it on in as few calls as possible."""
        self._connection = connection
        answers: list[Answer] = []
        received: list[DeliverSm | DataSm] = []
        lost: dict[str, list[object]] = {}
        for event in events:
            kind = type(event)
            if kind is Answer:
                answers.append(event)  # type: ignore[arg-type]
            elif kind is Received:
                received.append(event.pdu)  # type: ignore[union-attr, arg-type]
            elif isinstance(event, Unanswered):
                lost.setdefault(event.reason, []).append(event.token)
            elif kind is Bound:
                self.up = self._was_up = True
                self.epoch += 1
                self._events.link_up(self)
            elif isinstance(event, BindRefused):
                self._fault = event.status in FAULTS
                self._reason = f"bind refused: {name_of(event.status)}"
        over = events[-1] if isinstance(events[-1], Closed) else None
        if over is not None:
            self.up = False  # before anybody is told of answers, and thinks that there is room
        if answers:
            self._events.answered(self, answers)
        if received:
            self._events.received(self, received)
        for reason, tokens in lost.items():
            self._events.unanswered(self, tokens, self._reason or reason)
        if over is not None:
            self._events.link_down(self, self._reason or over.reason, self._fault)

    def resumed(self, connection: Connection) -> None:
        """The SMSC reads again."""
        if self.up:
            self._events.answered(self, ())


class CannotConnectError(Exception):
    """There is no connection; `fault` where that will not pass by itself."""

    def __init__(self, reason: str, *, fault: bool) -> None:
        self.fault = fault
        super().__init__(reason)


async def connect(settings: SmppSettings, command: Command, window: int, owner: Owner) -> Connection:
    """A connection over which the bind is on its way. Raises `CannotConnectError`."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    where = f"{settings.host} port {settings.port}"

    def opened() -> Connection:
        now = loop.time()
        session = Session(
            Role.ESME,
            window=window,
            response_seconds=settings.response_seconds,
            enquire_link_seconds=settings.enquire_link_seconds,
            bind_seconds=max(0.0, started + settings.connect_seconds - now),
            now=now,
        )
        session.request(bind_of(settings, command), now=now)
        shortest = min(settings.response_seconds, settings.enquire_link_seconds, settings.connect_seconds)
        return Connection(owner, session, shortest, loop)

    try:
        context = tls_context(settings) if settings.tls else None
    except OSError as error:  # an ssl.SSLError is one
        raise CannotConnectError(f"the files of tls_ca, tls_cert, tls_key: {error}", fault=True) from None
    server_name = (settings.tls_server_name or settings.host) if settings.tls else None
    try:
        async with asyncio.timeout(settings.connect_seconds):
            _, connection = await loop.create_connection(
                opened, settings.host, settings.port, ssl=context, server_hostname=server_name
            )
    except TimeoutError:
        raise CannotConnectError(f"no connection to {where} in {settings.connect_seconds:g} s", fault=False) from None
    except ssl.SSLCertVerificationError as error:
        raise CannotConnectError(f"the certificate of {where}: {error.verify_message}", fault=True) from None
    except (OSError, ValueError) as error:
        raise CannotConnectError(f"no connection to {where}: {error}", fault=False) from None
    return connection


def bind_of(settings: SmppSettings, command: Command) -> Bind:
    """The bind that the settings ask for."""
    return Bind(
        command=command,
        system_id=settings.system_id,
        password=settings.password,
        system_type=settings.system_type,
        interface_version=settings.interface_version,
        addr_ton=settings.addr_ton,
        addr_npi=settings.addr_npi,
        address_range=settings.address_range,
    )


def tls_context(settings: SmppSettings) -> ssl.SSLContext:
    """Whom to trust, and who we are. Read anew for each connection: certificates are renewed. Raises `OSError`."""
    context = ssl.create_default_context(cafile=settings.tls_ca or None)
    if settings.tls_cert:
        context.load_cert_chain(settings.tls_cert, settings.tls_key or None)
    return context
