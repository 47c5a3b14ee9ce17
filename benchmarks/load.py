"""A lean load generator for `POST /api/sms`: what it sends and what it is answered is counted exactly.

    python -m benchmarks.load --base-url http://127.0.0.1:8747 --credentials credentials.json --seconds 5

One process, uvloop, keep-alive connections. Requests are built before the start; of a response the status, the length
and the verdicts are read and nothing else. Closed loop: a connection sends when it is answered. With `--rate` requests
fall due at fixed times whatever the server does, and latency counts from when a request was due.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import gc
import http.client
import itertools
import json
import random
import resource
import sys
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import msgspec
import uvloop

TEXT = "Your parcel arrives today between 14:00 and 16:00."
SENDER = "96000"
POOL_RECIPIENTS = 50_000  # distinct numbers, more than any cache of the server's holds
TICK_SECONDS = 0.001  # of an open loop
BUCKET_US = 10  # width of a bucket of the histogram
BUCKETS = 1_000_000  # ten seconds; what takes longer is in the last one
GIVE_UP_SECONDS = 60.0  # after the last request was sent
_LENGTH = b"content-length:"
# Beginnings of mobile numbers in some countries, and how many digits follow.
_RANGES = (("569", 8), ("447", 9), ("4915", 9), ("336", 8), ("3460", 7), ("5511", 9), ("2547", 8), ("6591", 6))


class Report(msgspec.Struct):
    """What was sent and answered. `lost` requests were sent and never answered, `unsent` ones were due and never sent.

    `accepted`, `no_balance` and `unknown_error` count verdicts on recipients; every answer with status 200 has one for
    each. `from_utc` and `until_utc` are seconds since the epoch; rates are over `seconds`, to the last answer.
    """

    sent: int
    answered: dict[str, int]
    lost: int
    unsent: int
    accepted: int
    no_balance: int
    unknown_error: int
    from_utc: float
    until_utc: float
    seconds: float
    requests_per_second: float
    accepted_per_second: float
    latency_ms: dict[str, float]
    cpu_us_per_request: float


class Histogram:
    """Latencies, to ten microseconds, in constant memory."""

    def __init__(self) -> None:
        self.counts = [0] * BUCKETS
        self.longest = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        bucket = int(seconds * (1_000_000 / BUCKET_US))
        self.counts[bucket if bucket < BUCKETS else -1] += 1
        if seconds > self.longest:
            self.longest = seconds

    def milliseconds(self) -> dict[str, float]:
        """Percentiles; the upper end of the bucket."""
        total = sum(self.counts)
        steps = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)]
        found: dict[str, float] = {}
        reached = 0
        for bucket, count in enumerate(self.counts):
            reached += count
            while steps and count and reached >= steps[0][1] * total:
                found[steps.pop(0)[0]] = min((bucket + 1) * BUCKET_US / 1000, self.longest * 1000)
        return {**found, "max": self.longest * 1000}


class Load:
    """What all connections share: the requests, the rules of when to send, the counts."""

    def __init__(
        self,
        requests: Sequence[bytes],
        recipients: int,
        *,
        limit: int | None,
        seconds: float | None,
        rate: float | None,
    ) -> None:
        self.request: Callable[[], bytes] = itertools.cycle(requests).__next__
        self.recipients = recipients
        self.left = limit if limit is not None else 1 << 62
        self.histogram = Histogram()
        self.answered: dict[bytes, int] = defaultdict(int)
        self.sent = self.accepted = self.no_balance = self.unknown_error = 0
        self.open = 0  # requests without an answer
        self.lost = 0
        self.idle: list[Connection] = []
        self._due: deque[float] = deque()
        self._rate = rate
        self._seconds = seconds
        self._ended = asyncio.Event()
        self._over = False

    def next_due(self, now: float) -> float | None:
        """When the next request of a connection that is free now was due; None when none is."""
        if self._rate is None:
            if self.left <= 0:
                return None
            self.left -= 1
            return now
        return self._due.popleft() if self._due else None

    async def run(self, connections: Sequence[Connection]) -> None:
        """Send until the limit or the time is reached, and wait for the last answers."""
        loop = asyncio.get_running_loop()
        self._started = time.perf_counter()
        if self._seconds is not None:
            loop.call_later(self._seconds, self._stop)
        if self._rate is not None:
            self.idle = [connection for connection in connections for _ in range(connection.depth)]
            self._tick()
        else:
            for connection in connections:
                for _ in range(connection.depth):
                    connection.send_next()
        await self._ended.wait()

    def ended(self) -> None:
        """Called when nothing is under way: perhaps it was the last."""
        if self.left <= 0 and not self._due:
            self._ended.set()

    @property
    def unsent(self) -> int:
        """Requests that were due and found no free connection to the end."""
        return len(self._due)

    def _stop(self) -> None:
        self.left = 0
        self._over = True
        asyncio.get_running_loop().call_later(GIVE_UP_SECONDS, self._ended.set)
        if not self.open:
            self.ended()

    def _tick(self) -> None:
        """Make due what is, and send it as far as connections are free."""
        assert self._rate is not None
        now = time.perf_counter()
        issued = self.sent + len(self._due)
        for number in range(issued, min(issued + self.left, int((now - self._started) * self._rate) + 1)):
            self._due.append(self._started + number / self._rate)
            self.left -= 1
        while self._due and self.idle:
            self.idle.pop().send(self._due.popleft())
        if self.left > 0:
            asyncio.get_running_loop().call_later(TICK_SECONDS, self._tick)
        elif not self.open:
            self.ended()


class Connection(asyncio.Protocol):
    """A keep-alive connection with at most `depth` requests under way."""

    __slots__ = ("_clock", "_load", "_rest", "_sent", "_transport", "depth")

    def __init__(self, load: Load, depth: int) -> None:
        self.depth = depth
        self._load = load
        self._clock = time.perf_counter
        self._sent: deque[float] = deque()
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.WriteTransport = transport  # type: ignore[assignment]

    def send_next(self) -> None:
        """Send what is due next, if anything is."""
        due = self._load.next_due(self._clock())
        if due is not None:
            self.send(due)

    def send(self, due: float) -> None:
        """Send a request that was due at this time."""
        load = self._load
        load.sent += 1
        load.open += 1
        self._sent.append(due)
        self._transport.write(load.request())

    def data_received(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
            self._rest = b""
        start = 0
        size = len(data)
        while start < size:
            head = data.find(b"\r\n\r\n", start) + 4
            if head < 4:
                break
            end = head + _length(data, start, head)
            if end > size:
                break
            self._answered(data, start, head, end)
            start = end
        if start < size:
            self._rest = data[start:]

    def _answered(self, data: bytes, start: int, head: int, end: int) -> None:
        load = self._load
        now = self._clock()
        load.histogram.add(now - self._sent.popleft())
        status = data[start + 9 : start + 12]
        load.answered[status] += 1
        if status == b"200":
            accepted = data.count(b'"submitted"', head, end)
            load.accepted += accepted
            if accepted != load.recipients:
                load.no_balance += data.count(b'"account_no_balance"', head, end)
                load.unknown_error += data.count(b'"unknown_error"', head, end)
        load.open -= 1
        due = load.next_due(now)
        if due is not None:
            self.send(due)
            return
        load.idle.append(self)
        if not load.open:
            load.ended()

    def connection_lost(self, exc: Exception | None) -> None:
        load = self._load
        load.lost += len(self._sent)
        load.open -= len(self._sent)
        self._sent.clear()
        load.idle = [connection for connection in load.idle if connection is not self]
        if not load.open:
            load.left = 0
            load.ended()


def _length(data: bytes, start: int, head: int) -> int:
    """The value of `Content-Length`, in whatever case it is written."""
    at = data.find(b"content-length:", start, head)
    if at < 0:
        at = data[start:head].lower().find(_LENGTH)
        if at < 0:
            raise RuntimeError(f"a response without a length: {data[start:head]!r}")
        at += start
    at += len(_LENGTH)
    return int(data[at : data.index(b"\r", at)])


# -- requests


def numbers(count: int, seed: int = 1) -> list[str]:
    """So many mobile numbers, always the same ones; the simulator delivers to all of them."""
    chance = random.Random(seed)
    found = []
    for prefix, digits in itertools.islice(itertools.cycle(_RANGES), count):
        rest = f"{chance.randrange(10 ** (digits - 4)):0{digits - 4}}{chance.randrange(1000, 10_000)}"
        found.append(prefix + rest)
    return found


def bodies(recipients: int, text: str, sender: str = SENDER) -> list[bytes]:
    """Bodies of requests that go to so many recipients each, all different."""
    all_numbers = numbers(max(POOL_RECIPIENTS // recipients, 50) * recipients)
    message = {"charset": 0, "text": text}
    return [
        msgspec.json.encode({"recipients": all_numbers[at : at + recipients], "sender": sender, "message": message})
        for at in range(0, len(all_numbers), recipients)
    ]


def request(host: str, token: str, body: bytes) -> bytes:
    """A request as a typical client writes it."""
    head = (
        f"POST /api/sms HTTP/1.1\r\nHost: {host}\r\nUser-Agent: heliograph-benchmark\r\nAccept: */*\r\n"
        f"Authorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def fetch_token(host: str, port: int, client_id: str, client_secret: str) -> str:
    """An access token by client credentials."""
    connection = http.client.HTTPConnection(host, port, timeout=10)
    basic = base64.b64encode(f"{client_id}:{client_secret}".encode()).decode()
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Authorization": f"Basic {basic}"}
    connection.request("POST", "/api/auth", urlencode({"grant_type": "client_credentials"}), headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    if answer.status != 200:
        raise SystemExit(f"no token: {answer.status} {content[:300]!r}")
    return str(json.loads(content)["access_token"])


# -- the command


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--base-url", default="http://127.0.0.1:8747")
    parser.add_argument("--credentials", type=Path, help="a file as `demo` and `account create --json` make them")
    parser.add_argument("--token", help="instead of credentials: a bearer token")
    parser.add_argument("--connections", type=int, default=50)
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--requests", type=int, help="send so many")
    amount.add_argument("--seconds", type=float, help="send for so long (5)")
    parser.add_argument("--recipients", type=int, default=1, help="of each request")
    parser.add_argument("--text", default=TEXT)
    parser.add_argument("--sender", default=SENDER)
    parser.add_argument("--rate", type=float, help="requests a second, whatever the server does")
    parser.add_argument("--pipeline", type=int, default=1, help="requests under way on a connection")
    found = parser.parse_args(arguments)
    if (found.credentials is None) == (found.token is None):
        parser.error("give either --credentials or --token")
    return found


async def measure(options: argparse.Namespace) -> Report:
    """Connect, send, count."""
    url = urlsplit(options.base_url)
    host, port = url.hostname or "127.0.0.1", url.port or 80
    token = options.token
    if token is None:
        secrets = json.loads(options.credentials.read_text())["realtime"]
        token = fetch_token(host, port, secrets["client_id"], secrets["client_secret"])
    seconds = options.seconds if options.seconds or options.requests else 5.0
    built = [
        request(f"{host}:{port}", token, body) for body in bodies(options.recipients, options.text, options.sender)
    ]
    load = Load(built, options.recipients, limit=options.requests, seconds=seconds, rate=options.rate)
    loop = asyncio.get_running_loop()
    connections: list[Connection] = []
    for _ in range(options.connections):
        _, connection = await loop.create_connection(lambda: Connection(load, options.pipeline), host, port)
        connections.append(connection)
    gc.collect()
    gc.disable()
    before = _cpu_seconds()
    from_utc, started = time.time(), time.perf_counter()
    await load.run(connections)
    seconds = time.perf_counter() - started
    return _report(load, from_utc, seconds, _cpu_seconds() - before)


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _report(load: Load, from_utc: float, seconds: float, cpu_seconds: float) -> Report:
    answers = sum(load.answered.values())
    return Report(
        sent=load.sent,
        answered={status.decode(): count for status, count in sorted(load.answered.items())},
        lost=load.lost + load.open,
        unsent=load.unsent,
        accepted=load.accepted,
        no_balance=load.no_balance,
        unknown_error=load.unknown_error,
        from_utc=from_utc,
        until_utc=from_utc + seconds,
        seconds=seconds,
        requests_per_second=answers / seconds,
        accepted_per_second=load.accepted / seconds,
        latency_ms=load.histogram.milliseconds(),
        cpu_us_per_request=cpu_seconds / max(answers, 1) * 1e6,
    )


def complaints(report: Report, recipients: int) -> Iterable[str]:
    """What of a report is not as it must be, whatever the figures: every request answered, a verdict per recipient."""
    ok = report.answered.get("200", 0)
    verdicts = report.accepted + report.no_balance + report.unknown_error
    if report.sent != sum(report.answered.values()) + report.lost:
        yield f"{report.sent} requests sent, {sum(report.answered.values())} answered and {report.lost} lost"
    if verdicts != ok * recipients:
        yield f"{ok} answers for {recipients} recipients each hold {verdicts} verdicts"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print the report as JSON; exit code 1 when the counts do not agree in themselves."""
    options = _options(arguments)
    report = uvloop.run(measure(options))
    shown: Any = msgspec.to_builtins(report)
    print(json.dumps(shown, indent=2))
    wrong = list(complaints(report, options.recipients))
    for line in wrong:
        print(f"the counts do not agree: {line}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
