"""What the suite needs of a carrier besides the interface: recipients with known fates, and what the other side saw."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from tests.harness.server import free_port

from heliograph.carriers.interface import Carrier, CarrierEvents, CarrierState, Inbound, Outcome, Receipt, Submit
from heliograph.carriers.settings import SmppSettings
from heliograph.carriers.simulator import Simulator
from heliograph.carriers.smpp import SmppCarrier
from heliograph.carriers.smpp.messages import Writer
from heliograph.carriers.smpp.pdu import SubmitSm
from heliograph.carriers.smpp.smsc import Message, Notice, Smsc, SmscOptions
from heliograph.kit.clock import ManualClock
from heliograph.messaging.delivery import ReceiptState
from heliograph.messaging.submissions import Request, Submission
from heliograph.messaging.text import Encoding, Text

WINDOW = 20


class Peer(Protocol):
    """A carrier under test and its far end."""

    recipients: dict[str, str]  # a number of each fate; `receipts` has the same names
    receipts: dict[str, ReceiptState]  # none for "unanswered" and "silent"
    throttled: str  # a number whose messages the far end turns away the first time
    longest: int  # characters of the longest inbound message that arrives as one
    clock: ManualClock
    real_time: bool  # answers do not wait until time is passed

    def carrier(self) -> Carrier:
        """A carrier, not started; later ones are for later lives of the process."""

    def seen(self) -> list[tuple[int, int]]:
        """Message and part of everything that reached the far end and was not turned away, in its order."""

    async def write(self, message: Inbound) -> bool:
        """Somebody writes to a number of ours; whether the far end is told that we have it."""

    async def pass_time(self, seconds: float) -> None:
        """Let time pass on both sides."""


# The fates of the simulator's numbers, which are those of our SMSC too.
RECIPIENTS = {
    "delivered": "56912340000",
    "undelivered": "56912340001",
    "rejected": "56912340002",
    "expired": "56912340003",
    "unknown": "56912340004",
    "silent": "56912340005",  # taken, and no receipt ever
    "late": "56912340006",
    "twice": "56912340007",  # the same receipt, again
    "early": "56912340008",  # the receipt comes before the answer
    "unanswered": "56912340010",
}
RECEIPTS = {
    "delivered": ReceiptState.DELIVERED,
    "undelivered": ReceiptState.UNDELIVERABLE,
    "rejected": ReceiptState.REJECTED,
    "expired": ReceiptState.EXPIRED,
    "unknown": ReceiptState.UNKNOWN,
    "late": ReceiptState.DELIVERED,
    "twice": ReceiptState.DELIVERED,
    "early": ReceiptState.DELIVERED,
}
THROTTLED = "56912340009"


class SimulatorPeer:
    """`carriers.simulator`, whose far end is its log and its socket."""

    def __init__(self, folder: Path) -> None:
        self.recipients, self.receipts, self.throttled = RECIPIENTS, RECEIPTS, THROTTLED
        self.longest = 1_530
        self.real_time = False
        self.clock = ManualClock()
        self.folder = folder
        self.log = folder / "simulator.log"
        self.socket = folder / "simulator.socket"

    def carrier(self) -> Carrier:
        self.clock.advance(1)
        return Simulator(
            "simulator", self.folder, self.clock, window=WINDOW, answer_ms=5, receipt_ms=200, late_ms=2_000
        )

    async def write(self, message: Inbound) -> bool:
        line = {"from": message.sender, "to": message.recipient, "text": message.text}
        return bool((await self.say(json.dumps(line).encode()))["stored"])

    async def say(self, line: bytes) -> dict[str, Any]:
        """What the socket answers to a line."""
        reader, writer = await asyncio.open_unix_connection(str(self.socket))
        writer.write(line + b"\n")
        answer: dict[str, Any] = json.loads(await reader.readline())
        writer.close()
        return answer

    def seen(self) -> list[tuple[int, int]]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [(int(line.split()[0]), int(line.split()[1])) for line in lines]

    async def pass_time(self, seconds: float) -> None:
        for _ in range(max(1, round(seconds / 0.05))):
            self.clock.advance(0.05)
            await asyncio.sleep(0)


NAME_TAG = 0x1400  # a vendor's (SMPP 3.4 §5.3.1), in which our submit_sm carry message and part


class NamingWriter(Writer):
    """Lets the far end tell which message is which."""

    def write(self, submit: Submit, now_utc_ms: int) -> SubmitSm:
        pdu = super().write(submit, now_utc_ms)
        pdu.tlvs = (*pdu.tlvs, (NAME_TAG, f"{submit.submission.id} {submit.part}".encode()))
        return pdu


class OurSmsc(SmppCarrier):
    """A carrier that opens its far end when it starts."""

    def __init__(self, peer: SmppPeer, settings: SmppSettings) -> None:
        super().__init__("smpp", settings, peer.clock)
        self._writer = NamingWriter(settings)
        self._peer = peer

    async def start(self, events: CarrierEvents) -> None:
        await self._peer.open()
        await super().start(events)


class SmppPeer:
    """`carriers.smpp` and our own SMSC on the loopback. The carrier's clock is by hand; the links live in real time, of
    which little is given: the far end's delays are short.
    """

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.recipients, self.receipts, self.throttled = RECIPIENTS, RECEIPTS, THROTTLED
        self.longest = 160
        self.real_time = True
        self.clock = ManualClock()
        self.bound = 0
        self._seen: list[tuple[int, int]] = []
        self._settings = settings
        self._port = free_port()
        self._smsc: Smsc | None = None

    async def open(self) -> None:
        """The far end listens."""
        if self._smsc is None:
            options = SmscOptions(port=self._port, system_id="us", answer_ms=2, receipt_ms=10, late_ms=100, fates=True)
            self._smsc = Smsc(options, taken=self._taken, told=self._told)
            await self._smsc.start()

    def carrier(self) -> Carrier:
        settings = SmppSettings(
            host="127.0.0.1",
            port=self._port,
            system_id="us",
            window=WINDOW,
            response_seconds=1.0,
            reconnect_seconds=0.05,
            **self._settings,
        )
        return OurSmsc(self, settings)

    def _taken(self, messages: Sequence[Message]) -> None:
        for message in messages:
            id_, part = dict(message.submit.tlvs)[NAME_TAG].split()
            self._seen.append((int(id_), int(part)))

    def _told(self, notice: Notice) -> None:
        self.bound += {"bound": 1, "closed": -1}.get(notice.event, 0)

    def seen(self) -> list[tuple[int, int]]:
        return list(self._seen)

    async def write(self, message: Inbound) -> bool:
        assert self._smsc is not None
        if not self.bound:
            raise ConnectionError("nobody is bound")
        counts = self._smsc.counts
        before = counts.inbound_acknowledged, counts.inbound_refused
        self._smsc.deliver(message.sender, message.recipient, message.text)
        while (counts.inbound_acknowledged, counts.inbound_refused) == before:
            await asyncio.sleep(0.002)
        return counts.inbound_acknowledged > before[0]

    async def pass_time(self, seconds: float) -> None:
        """A part of it in real time too: little of a moment, enough of a while for the far end to act."""
        steps = max(1, min(400, round(seconds / 0.05)))
        pause = (min(seconds / 5, 2.0) if seconds > 1 else seconds / 10) / steps
        for _ in range(steps):
            self.clock.advance(seconds / steps)
            await asyncio.sleep(pause)


PEERS: dict[str, Callable[[Path], Peer]] = {
    "simulator": SimulatorPeer,
    "smpp": SmppPeer,
    "smpp-pair": lambda folder: SmppPeer(folder, bind="transmitter_receiver"),
}


async def opened(carrier: Carrier) -> None:
    """Return once it takes submits."""
    async with asyncio.timeout(10):
        while not carrier.open:
            await asyncio.sleep(0.002)


class Ear:
    """Where a carrier reports: remembers everything, answers receipts as told."""

    def __init__(self) -> None:
        self.ended: list[Outcome] = []
        self.told: list[Receipt] = []
        self.received: list[Inbound] = []
        self.stores = True
        self.states: list[CarrierState] = []
        self.on_outcome: Callable[[Outcome], None] = lambda outcome: None

    def changed(self, state: CarrierState, detail: str) -> None:
        self.states.append(state)

    def outcomes(self, outcomes: Sequence[Outcome]) -> None:
        assert outcomes, "a report of nothing"
        for outcome in outcomes:
            self.on_outcome(outcome)
        self.ended += outcomes

    def receipts(self, receipts: Sequence[Receipt], acknowledge: Callable[[bool], None]) -> None:
        assert receipts, "a report of nothing"
        self.told += receipts
        acknowledge(self.stores)

    def inbound(self, messages: Sequence[Inbound], acknowledge: Callable[[bool], None]) -> None:
        assert messages, "a report of nothing"
        self.received += messages
        acknowledge(self.stores)

    def count(self) -> Counter[tuple[int, int]]:
        """How many outcomes each part has had."""
        return Counter((one.submit.submission.id, one.submit.part) for one in self.ended)

    def refs(self) -> dict[int, str]:
        """The carrier's id of each message that it took."""
        return {one.submit.submission.id: one.ref for one in self.ended if one.ref}


class Slow(Ear):
    """An ear that takes its time to store what people write."""

    def __init__(self) -> None:
        super().__init__()
        self.acknowledges: asyncio.Queue[Callable[[bool], None]] = asyncio.Queue()

    def inbound(self, messages: Sequence[Inbound], acknowledge: Callable[[bool], None]) -> None:
        self.received += messages
        self.acknowledges.put_nowait(acknowledge)


def submit_of(id_: int, recipient: str, part: int = 1, parts: int = 1) -> Submit:
    """A submit as the engine makes it."""
    request = Request(id_, 1, 1, "96000", Text("hello", Encoding.GSM7, parts), 1, 1 << 50)
    return Submit(Submission(id_, request, recipient, 1, 1, 0, 0, id_), part, "hello", parts)
