"""SMPP: codec and session, both ends on loopback, each its own process: messages a second, and CPU of either end.

    python -m benchmarks.smpp                              three rounds of all
    python -m benchmarks.smpp --rounds 1 --seconds 2 --window 10
    python -m benchmarks.smpp --only submit

A round measures each scenario once, the reference among them; every other round goes backwards, and figures are medians
over the rounds. The reference moves frames of the same sizes under the same window, and reads nothing of them but
length and sequence number: what this machine gives at this moment to the least that could be called a codec. Each
submit_sm is made, encoded, decoded, answered with an id of its own; each receipt likewise. A run that ends with a
message unanswered or without its receipt has no figures: exit code 1.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from statistics import median

import msgspec
import uvloop

from benchmarks import server
from heliograph.carriers.smpp.connection import Connection
from heliograph.carriers.smpp.pdu import (
    ESM_RECEIPT,
    Bind,
    BindResp,
    Command,
    DeliverSm,
    DeliverSmResp,
    SubmitSm,
    SubmitSmResp,
    Unbind,
    encode,
)
from heliograph.carriers.smpp.session import Answer, Bound, Closed, Event, Received, Role, Session

REFERENCE, SUBMIT, RECEIPTS = "reference", "submit", "receipts"
TITLES = {
    REFERENCE: "the least of a codec, frames of the same sizes",
    SUBMIT: "submit_sm and its answer",
    RECEIPTS: "submit_sm, a receipt for each, both answered",
}
TEXT = b"Heliograph: a text that fills one part to its last septet. " * 3
TEXT = TEXT[:160]
RECEIPT = b"id:%s sub:001 dlvrd:001 submit date:2611231200 done date:2611231201 stat:DELIVRD err:000 text:"
HEADER = struct.Struct(">IIII")
ASK = encode(SubmitSm(source="96000", destination="56912345678", short_message=TEXT))
ANSWER = encode(SubmitSmResp(message_id="0123456789"))


class Result(msgspec.Struct):
    """One measurement; the CPU is in microseconds a message."""

    per_second: float
    esme_cpu_us: float
    smsc_cpu_us: float


class WrongCountError(Exception):
    """Something that was sent has no answer, or no receipt."""


# ── The far end ──────────────────────────────────────────────────────────────────────────────────────────────────────


class Smsc:
    """Takes every submit_sm at once; sends a receipt for each, if it is to."""

    def __init__(self, receipts: bool) -> None:
        self._receipts = receipts
        self._next = 1_000_000_000
        self._waiting: deque[tuple[DeliverSm, object]] = deque()

    def happened(self, connection: Connection, events: Sequence[Event]) -> None:
        responses: list[BindResp | SubmitSmResp] = []
        for event in events:
            if type(event) is not Received:
                continue
            pdu = event.pdu
            if type(pdu) is SubmitSm:
                self._next += 1
                ref = str(self._next)
                responses.append(SubmitSmResp(message_id=ref, sequence=pdu.sequence))
                if self._receipts:
                    self._waiting.append((self._receipt(pdu, ref), None))
            elif isinstance(pdu, Bind):
                responses.append(BindResp(command=Command.BIND_TRANSCEIVER_RESP, sequence=pdu.sequence))
        if responses:
            connection.respond(responses)
        if self._waiting and (room := connection.room):
            connection.submit([self._waiting.popleft() for _ in range(min(room, len(self._waiting)))])

    def resumed(self, connection: Connection) -> None:
        self.happened(connection, ())

    @staticmethod
    def _receipt(pdu: SubmitSm, ref: str) -> DeliverSm:
        return DeliverSm(
            source=pdu.destination,
            destination=pdu.source,
            esm_class=ESM_RECEIPT,
            short_message=RECEIPT % ref.encode(),
        )


class Minimal(asyncio.Protocol):
    """One end of the reference: cuts frames by their length and reads their sequence numbers alone."""

    def __init__(self) -> None:
        self._held = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.WriteTransport = transport  # type: ignore[assignment]

    def sequences(self, data: bytes) -> list[int]:
        data = self._held + data
        found = []
        start, end = 0, len(data)
        while end - start >= HEADER.size:
            length, _, _, sequence = HEADER.unpack_from(data, start)
            if start + length > end:
                break
            found.append(sequence)
            start += length
        self._held = data[start:]
        return found

    def write(self, frame: bytes, sequences: Sequence[int]) -> None:
        head, tail = frame[:12], frame[16:]
        self._transport.write(b"".join([head + sequence.to_bytes(4, "big") + tail for sequence in sequences]))


class Answering(Minimal):
    """The far end of it."""

    def data_received(self, data: bytes) -> None:
        self.write(ANSWER, self.sequences(data))


async def serve(scenario: str, window: int) -> None:
    """Be the far end until SIGTERM; print the port first, and the CPU seconds last."""
    loop = asyncio.get_running_loop()

    def opened() -> asyncio.Protocol:
        if scenario == REFERENCE:
            return Answering()
        return Connection(Smsc(scenario == RECEIPTS), Session(Role.SMSC, window=window, now=loop.time()), 15.0, loop)

    listening = await loop.create_server(opened, "127.0.0.1", 0)
    print(listening.sockets[0].getsockname()[1], flush=True)
    stopping = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    started = time.process_time()
    await stopping.wait()
    print(time.process_time() - started, flush=True)


# ── The near end ─────────────────────────────────────────────────────────────────────────────────────────────────────


class Esme:
    """Keeps the window full until the time is over, and waits for what is open."""

    def __init__(self, seconds: float, receipts: bool) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sent = self.answered = self.receipts = 0
        self.started = self.ended = 0.0
        self._seconds = seconds
        self._receipts = receipts
        self._until = 0.0

    def happened(self, connection: Connection, events: Sequence[Event]) -> None:
        acknowledged: list[DeliverSmResp] = []
        for event in events:
            kind = type(event)
            if kind is Answer:
                self.answered += 1
            elif kind is Received:
                acknowledged.append(DeliverSmResp(sequence=event.pdu.sequence))  # type: ignore[union-attr]
            elif kind is Bound:
                self.started = time.perf_counter()
                self._until = self.started + self._seconds
            elif isinstance(event, Closed) and not self.done.done():
                self.done.set_exception(WrongCountError(event.reason))
        if acknowledged:
            self.receipts += len(acknowledged)
            connection.respond(acknowledged)
        self._go_on(connection)

    def resumed(self, connection: Connection) -> None:
        self._go_on(connection)

    def _go_on(self, connection: Connection) -> None:
        now = time.perf_counter()
        if now < self._until:
            # A receipt not yet here is a message not yet done: what waits at the far end stays bounded.
            open_receipts = self.sent - self.receipts if self._receipts else 0
            room = min(connection.room, 10 * connection.session.window - open_receipts)
            if room > 0:
                first = 56_900_000_000 + self.sent
                connection.submit(
                    [(SubmitSm(source="96000", destination=str(first + n), short_message=TEXT), n) for n in range(room)]
                )
                self.sent += room
        elif self.answered == self.sent and (not self._receipts or self.receipts == self.sent) and not self.done.done():
            self.ended = now
            self.done.set_result(None)


class Pushing(Minimal):
    """The near end of the reference."""

    def __init__(self, seconds: float, window: int) -> None:
        super().__init__()
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sent = self.answered = 0
        self._open: dict[int, None] = {}
        self._seconds = seconds
        self._window = window

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.started = time.perf_counter()
        self._fill()

    def data_received(self, data: bytes) -> None:
        for sequence in self.sequences(data):
            del self._open[sequence]
            self.answered += 1
        now = time.perf_counter()
        if now < self.started + self._seconds:
            self._fill()
        elif not self._open and not self.done.done():
            self.ended = now
            self.done.set_result(None)

    def _fill(self) -> None:
        sequences = range(self.sent + 1, self.sent + 1 + self._window - len(self._open))
        self._open.update(dict.fromkeys(sequences))
        self.sent += len(sequences)
        self.write(ASK, sequences)


async def push(scenario: str, port: int, seconds: float, window: int) -> tuple[int, float]:
    """Messages, and the seconds that they took. Raises `WrongCountError`."""
    loop = asyncio.get_running_loop()
    near: Esme | Pushing
    if scenario == REFERENCE:
        transport, near = await loop.create_connection(lambda: Pushing(seconds, window), "127.0.0.1", port)
    else:
        near = Esme(seconds, scenario == RECEIPTS)
        session = Session(Role.ESME, window=window, now=loop.time())
        session.request(Bind(command=Command.BIND_TRANSCEIVER, system_id="bench"), now=loop.time())
        transport, connection = await loop.create_connection(
            lambda: Connection(near, session, 15.0, loop), "127.0.0.1", port
        )
    try:
        async with asyncio.timeout(seconds + 10):
            await near.done
    except TimeoutError:
        raise WrongCountError(f"{scenario}: {near.sent} sent, {near.answered} answered") from None
    if scenario != REFERENCE:
        connection.request(Unbind())
        await connection.closed
    transport.close()
    return near.answered, near.ended - near.started


def measure(scenario: str, seconds: float, window: int) -> Result:
    """One scenario once. Raises `WrongCountError`."""
    words = [sys.executable, "-m", "benchmarks.smpp", "--serve", scenario, "--window", str(window)]
    with subprocess.Popen(words, env=server.environment(), stdout=subprocess.PIPE, cwd=server.ROOT, text=True) as far:
        assert far.stdout is not None
        try:
            port = int(far.stdout.readline())
            gc.freeze()
            cpu = time.process_time()
            count, took = uvloop.run(push(scenario, port, seconds, window))
            cpu = time.process_time() - cpu
        finally:
            far.send_signal(signal.SIGTERM)
        far_cpu = float(far.stdout.readline())
    return Result(count / took, cpu / count * 1e6, far_cpu / count * 1e6)


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--window", type=int, default=100)
    parser.add_argument("--only", default=f"{SUBMIT},{RECEIPTS}", help="scenarios beside the reference")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--serve", choices=TITLES, help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    if options.serve:
        gc.freeze()
        uvloop.run(serve(options.serve, options.window))
        return 0
    scenarios = [REFERENCE, *options.only.split(",")]
    results: dict[str, list[Result]] = {scenario: [] for scenario in scenarios}
    try:
        for number in range(options.rounds):
            for scenario in scenarios if number % 2 == 0 else reversed(scenarios):
                results[scenario].append(measure(scenario, options.seconds, options.window))
    except WrongCountError as error:
        print(f"benchmarks.smpp: {error}", file=sys.stderr)
        return 1
    report(results, options)
    return 0


def report(results: dict[str, list[Result]], options: argparse.Namespace) -> None:
    reference = results[REFERENCE]
    if options.json:
        print(json.dumps({scenario: msgspec.to_builtins(rounds) for scenario, rounds in results.items()}, indent=2))
        return
    print(f"window {options.window}, {options.rounds} rounds of {options.seconds:g} s, load {os.getloadavg()[0]:.1f}\n")
    print(f"{'':48}{'messages/s':>12}{'of ref.':>9}{'µs ESME':>9}{'µs SMSC':>9}   every round")
    for scenario, rounds in results.items():
        ratio = median(one.per_second / other.per_second for one, other in zip(rounds, reference, strict=True))
        print(
            f"{TITLES[scenario]:48}{median(one.per_second for one in rounds):12,.0f}{ratio:9.3f}"
            f"{median(one.esme_cpu_us for one in rounds):9.2f}{median(one.smsc_cpu_us for one in rounds):9.2f}   "
            + " ".join(f"{one.per_second:,.0f}" for one in rounds)
        )


if __name__ == "__main__":
    sys.exit(main())
