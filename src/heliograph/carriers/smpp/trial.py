"""One trial of a link, for `carrier test`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec

from heliograph.carriers.settings import SmppSettings
from heliograph.carriers.smpp.connection import Connection
from heliograph.carriers.smpp.link import CannotConnectError, connect
from heliograph.carriers.smpp.pdu import Command, EnquireLink, Unbind
from heliograph.carriers.smpp.session import Answer, BindRefused, Bound, Closed, Event, Unanswered, name_of


class Step(msgspec.Struct, frozen=True):
    """What a trial of the link came to, one thing after another."""

    name: str
    ok: bool
    detail: str
    ms: float


class _Trial:
    """The owner of a connection that is only tried."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[Event] = asyncio.Queue()

    def happened(self, connection: Connection, events: Sequence[Event]) -> None:
        for event in events:
            self.events.put_nowait(event)

    def resumed(self, connection: Connection) -> None:
        pass

    async def until(self, *kinds: type) -> Event:
        """The next event of these kinds."""
        while True:
            event = await self.events.get()
            if isinstance(event, kinds):
                return event


async def try_once(settings: SmppSettings, command: Command = Command.BIND_TRANSCEIVER) -> list[Step]:
    """Connect, bind, ask whether the SMSC lives, and unbind, for `carrier test`: the steps taken, up to the first that
    fails.
    """
    loop = asyncio.get_running_loop()
    steps: list[Step] = []
    started = loop.time()

    def step(name: str, ok: bool, detail: str) -> bool:
        nonlocal started
        now = loop.time()
        steps.append(Step(name, ok, detail, (now - started) * 1000))
        started = now
        return ok

    trial = _Trial()
    try:
        connection = await connect(settings, command, 1, trial)
    except CannotConnectError as error:
        step("connect", False, str(error))
        return steps
    step("connect", True, f"{settings.host} port {settings.port}{' over TLS' if settings.tls else ''}")
    try:
        event = await trial.until(Bound, BindRefused, Closed)
        if isinstance(event, Bound):
            step("bind", True, f"as {event.pdu.system_id!r}" if event.pdu.system_id else "")
            connection.request(EnquireLink(), trial)
            event = await trial.until(Answer, Unanswered, Closed)
            if step("enquire_link", isinstance(event, Answer), reason_of(event)):
                connection.request(Unbind())
                reason = reason_of(await trial.until(Closed))
                step("unbind", reason == "unbound", reason)
        else:
            step("bind", False, reason_of(event))
    finally:
        connection.abort("the trial is over")
        await connection.closed
    return steps


def reason_of(event: Event) -> str:
    """Why, where the event is no success."""
    if isinstance(event, BindRefused):
        return name_of(event.status)
    return event.reason if isinstance(event, Unanswered | Closed) else ""
