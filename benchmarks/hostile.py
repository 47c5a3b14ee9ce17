"""An honest caller's latency, alone and beside thousands of idle and slow connections.

    python -m benchmarks.hostile                          three rounds of both
    python -m benchmarks.hostile --rounds 5 --seconds 20 --idle 8000 --slow 1000

A round measures the honest caller twice, alone and beset, each over a fresh data folder and server; every other round
goes backwards. The caller keeps its connections, sends one recipient a request and at a fixed rate, and latency counts
from when a request was due. Beside it half of the idle connections never said a word, the others had one answer; half
of the slow ones drip a head, the others a body, a byte a second each. What the server closes is opened again at once.
Exit code 1 when a request was not answered 200, or the ratio of the p99s is above the limit.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import msgspec
import uvloop

from benchmarks import folders, load, server

SETTLE_SECONDS = 1.0
OPENING_AT_ONCE = 100
DRIP_SECONDS = 1.0
_ASKED = b"GET /healthz HTTP/1.1\r\nHost: heliograph.test\r\n\r\n"
_HEAD = b"POST /api/sms HTTP/1.1\r\nHost: heliograph.test\r\nX-Slow: " + b"a" * 1000
_BODY = b"POST /api/sms HTTP/1.1\r\nHost: heliograph.test\r\nContent-Length: 1000\r\n\r\n"


class Attack(msgspec.Struct):
    """What the hostile side did: connections opened in all, those of them after the server had closed one, and bytes
    dripped.
    """

    opened: int = 0
    reopened: int = 0
    dripped: int = 0


class Round(msgspec.Struct):
    """The honest caller's latencies in milliseconds, alone and beset; the server's CPU seconds; what beset it."""

    alone_p50_ms: float
    alone_p99_ms: float
    beset_p50_ms: float
    beset_p99_ms: float
    alone_cpu_seconds: float
    beset_cpu_seconds: float
    attack: Attack

    @property
    def ratio(self) -> float:
        """How many times longer the slowest hundredth took."""
        return self.beset_p99_ms / self.alone_p99_ms


# -- the hostile side, a process of its own


class Hostile(asyncio.Protocol):
    """A connection that says `first`, and then drips `rest` if there is any; when it is closed another takes its
    place.
    """

    def __init__(self, siege: Siege, first: bytes, rest: bytes) -> None:
        self._siege = siege
        self._first = first
        self._rest = rest
        self._at = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.WriteTransport = transport  # type: ignore[assignment]
        self._siege.attack.opened += 1
        if self._first:
            self._transport.write(self._first)
        if self._rest:
            self._drip()

    def _drip(self) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(self._rest[self._at : self._at + 1])
        self._at = (self._at + 1) % len(self._rest)
        self._siege.attack.dripped += 1
        asyncio.get_running_loop().call_later(DRIP_SECONDS, self._drip)

    def connection_lost(self, exc: Exception | None) -> None:
        self._siege.again(self._first, self._rest)


class Siege:
    """All hostile connections."""

    def __init__(self, host: str, port: int) -> None:
        self.attack = Attack()
        self._address = (host, port)
        self._over = False
        self._opening: set[asyncio.Task[None]] = set()

    async def begin(self, idle: int, slow: int) -> None:
        """Open them all; the slow ones spread over a second."""
        kinds = [(_ASKED if n % 2 else b"", b"") for n in range(idle)]
        for start in range(0, len(kinds), OPENING_AT_ONCE):
            await asyncio.gather(*(self._open(*kind) for kind in kinds[start : start + OPENING_AT_ONCE]))
        for n in range(slow):
            await self._open(*((b"", _HEAD) if n % 2 else (_BODY, b" ")))
            await asyncio.sleep(DRIP_SECONDS / slow)

    def end(self) -> None:
        """Open no more."""
        self._over = True

    def again(self, first: bytes, rest: bytes) -> None:
        """One was closed."""
        if self._over:
            return
        self.attack.reopened += 1
        task = asyncio.get_running_loop().create_task(self._open(first, rest))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _open(self, first: bytes, rest: bytes) -> None:
        await asyncio.get_running_loop().create_connection(lambda: Hostile(self, first, rest), *self._address)


async def besiege(base_url: str, idle: int, slow: int) -> None:
    """Open the connections, say so on standard output, hold them until standard input ends, and tell what was done."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    url = urlsplit(base_url)
    siege = Siege(url.hostname or "127.0.0.1", url.port or 80)
    await siege.begin(idle, slow)
    print("open", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    siege.end()
    print(msgspec.json.encode(siege.attack).decode(), flush=True)


# -- the measurement


class Beset:
    """A siege, for as long as the context lasts; then `attack` tells what it was."""

    def __init__(self, base_url: str, idle: int, slow: int) -> None:
        words = ["benchmarks.hostile", "--besiege", base_url, "--idle", str(idle), "--slow", str(slow)]
        self._process = subprocess.Popen(
            [sys.executable, "-m", *words],
            env=server.environment(),
            cwd=server.ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.attack = Attack()

    def __enter__(self) -> Beset:
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "open\n":
            raise RuntimeError("the hostile connections could not be opened")
        return self

    def __exit__(self, *_: object) -> None:
        printed = self._process.communicate()[0]
        self.attack = msgspec.json.decode(printed, type=Attack)


class UnansweredError(Exception):
    """The honest caller was not answered as it must be."""


def measure(
    options: argparse.Namespace, folder: Path, empty: Path, *, beset: bool
) -> tuple[load.Report, float, Attack]:
    """The honest caller once; with it the server's CPU seconds. Raises `UnansweredError`."""
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        data = folders.copy(empty, Path(temporary) / "data")
        with server.heliograph(data, {}) as running, contextlib.ExitStack() as stack:
            siege = stack.enter_context(Beset(running.base_url, options.idle, options.slow)) if beset else None
            time.sleep(SETTLE_SECONDS)
            cpu = running.cpu_seconds()
            report = _honest(options, running.base_url, data / folders.CREDENTIALS)
            cpu = running.cpu_seconds() - cpu
            stack.close()
    if report.lost or report.unsent or report.accepted != report.sent:
        raise UnansweredError(f"of {report.sent} requests {report.accepted} were accepted: {report.answered}")
    return report, cpu, siege.attack if siege else Attack()


def _honest(options: argparse.Namespace, base_url: str, credentials: Path) -> load.Report:
    words = ["--base-url", base_url, "--credentials", str(credentials), "--seconds", str(options.seconds)]
    words += ["--rate", str(options.rate), "--connections", str(options.connections)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.load", *words],
        env=server.environment(),
        stdout=subprocess.PIPE,
        cwd=server.ROOT,
        check=True,
    )
    return msgspec.json.decode(done.stdout, type=load.Report)


def rounds(options: argparse.Namespace, folder: Path) -> Iterator[Round]:
    """Round after round. Raises `UnansweredError`."""
    empty = folders.empty(folder / "empty")
    for number in range(options.rounds):
        found = {beset: measure(options, folder, empty, beset=beset) for beset in _order(number)}
        (alone, alone_cpu, _), (beset, beset_cpu, attack) = found[False], found[True]
        yield Round(
            alone.latency_ms["p50"],
            alone.latency_ms["p99"],
            beset.latency_ms["p50"],
            beset.latency_ms["p99"],
            alone_cpu,
            beset_cpu,
            attack,
        )


def _order(number: int) -> tuple[bool, bool]:
    return (False, True) if number % 2 == 0 else (True, False)


def line(name: str, one: Round) -> str:
    """A round for people."""
    return (
        f"{name:<9} alone p50 {one.alone_p50_ms:5.2f} ms  p99 {one.alone_p99_ms:6.2f} ms"
        f"   beset p50 {one.beset_p50_ms:5.2f} ms  p99 {one.beset_p99_ms:6.2f} ms   ratio {one.ratio:4.2f}"
        f"   ({one.attack.opened:,} hostile connections, {one.attack.reopened:,} of them again)"
    )


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hostile", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--rate", type=float, default=500.0, help="requests a second of the honest caller")
    parser.add_argument("--connections", type=int, default=8, help="of the honest caller")
    parser.add_argument("--idle", type=int, default=5_000, help="connections that say nothing")
    parser.add_argument("--slow", type=int, default=200, help="connections that drip a byte a second")
    parser.add_argument("--limit", type=float, default=2.0, help="the highest ratio of the p99s, beset to alone")
    parser.add_argument("--folder", type=Path, help="where data folders are made: a local disk, not a RAM disk")
    parser.add_argument("--besiege", metavar="URL", help="only open the hostile connections, until input ends")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; exit code 1 when the honest caller suffered more than the limit."""
    options = _options(arguments)
    if options.besiege:
        uvloop.run(besiege(options.besiege, options.idle, options.slow))
        return 0
    done: list[Round] = []
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="heliograph-hostile-") as temporary:
        try:
            for one in rounds(options, Path(temporary)):
                done.append(one)
                print(line(f"round {len(done)}", one), flush=True)
        except UnansweredError as error:
            print(f"no figures: {error}", file=sys.stderr)
            return 1
    alone, beset = median(one.alone_p99_ms for one in done), median(one.beset_p99_ms for one in done)
    ratio = median(one.ratio for one in done)
    print(f"medians: p99 alone {alone:.2f} ms, beset {beset:.2f} ms, ratio {ratio:.2f} (at most {options.limit:g})")
    return 1 if ratio > options.limit else 0


if __name__ == "__main__":
    sys.exit(main())
