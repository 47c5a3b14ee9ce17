"""What stands behind the server in the scenarios over SMPP: an SMSC, and who receives the callbacks."""

from __future__ import annotations

import json
import statistics
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import accumulate
from pathlib import Path

import msgspec

from benchmarks import folders, load, server
from benchmarks.figures import Result
from benchmarks.receiver import Received
from benchmarks.scenarios import Carrier, Stage
from heliograph.webhooks import signature

NAME = "smpp"
SYSTEM_ID = "benchmark"
PASSWORD = "secret"
EDGE_SECONDS = 1.0  # at either end of a steady state
_SAMPLE_SECONDS = 0.02


class WrongCountError(Exception):
    """What was accepted, stored, charged, sent and told is not the same."""


# -- the processes


class Behind:
    """An SMSC as a carrier asks for it, and a receiver where there are callbacks; `settings` lead a server there."""

    def __init__(self, carrier: Carrier, smsc: server.Server, receiver: server.Server | None, log: Log | None) -> None:
        self.carrier = carrier
        self.smsc = smsc
        self.receiver = receiver
        self.log = log
        self._cpu = (0.0, 0.0)

    @property
    def settings(self) -> dict[str, str]:
        """Of the server, by dotted name."""
        asks = self.carrier.stage is not Stage.SENT
        carrier = {
            "kind": "smpp",
            "host": "127.0.0.1",
            "port": str(self.smsc.port),
            "system_id": SYSTEM_ID,
            "password": PASSWORD,
            "window": str(self.carrier.window),
            "registered_delivery": str(int(asks)),
        }
        settings = {f"carriers.{NAME}.{name}": value for name, value in carrier.items()}
        return {**settings, "messages.default_carrier": NAME, "callbacks.allow_networks": "127.0.0.0/8"}

    def prepare(self, data: Path) -> None:
        """Tell the account of a data folder where its callbacks go; no server runs over it yet."""
        if self.receiver is not None:
            account = json.loads((data / folders.CREDENTIALS).read_text())["account_id"]
            url = f"{self.receiver.base_url}/dlr"
            server.command("account", "callbacks", account, "--dlr-url", url, "--data", str(data))

    def begin(self) -> None:
        """The load begins."""
        self._cpu = self._spent()

    def judge(self, look: folders.Looker, report: load.Report, found: Received, result: Result, data: Path) -> None:
        """The last message has got as far as it gets: fill in what these processes did. Raises `WrongCountError`."""
        smsc, receiver = (1e6 * (now - then) for now, then in zip(self._spent(), self._cpu, strict=True))
        result.smsc_cpu_us = smsc / result.accepted
        result.receiver_cpu_us = receiver / result.accepted if self.receiver else None
        check_signatures(found, data)
        if self.log is not None:
            judge_slow(self.log, look.message_ids(), report, self.carrier, result)

    def check_end(self, report: load.Report) -> None:
        """The server has stopped: stop the SMSC too and compare its own counts. Raises `WrongCountError`."""
        self.smsc.stop()
        told = [json.loads(line) for line in self.smsc.printed().splitlines() if line.startswith("{")]
        counts = told[-1] if told and told[-1].get("event") == "summary" else {}
        receipts = 0 if self.carrier.stage is Stage.SENT else report.accepted
        right = {"submits": report.accepted, "taken": report.accepted, "receipts_acknowledged": receipts}
        right |= {"binds": 1, "refused": 0, "unanswered": 0, "receipts_refused": 0}
        if wrong := [
            f"{name}: {counts.get(name)}, not {count}" for name, count in right.items() if counts.get(name) != count
        ]:
            raise WrongCountError(f"the SMSC says, {'; '.join(wrong)}")

    def received(self) -> Received:
        """What the receiver of callbacks has counted."""
        if self.receiver is None:
            return Received()
        with urllib.request.urlopen(f"{self.receiver.base_url}/counts", timeout=10) as answer:
            return msgspec.json.decode(answer.read(), type=Received)

    def _spent(self) -> tuple[float, float]:
        return self.smsc.cpu_seconds(), self.receiver.cpu_seconds() if self.receiver else 0.0


@contextmanager
def behind(carrier: Carrier, folder: Path) -> Iterator[Behind]:
    """Run them; their output goes to files in the folder."""
    words = ["heliograph", "smsc", "--host", "127.0.0.1", "--port", "{port}"]
    words += ["--system-id", SYSTEM_ID, "--password", PASSWORD, "--window", str(carrier.window)]
    words += ["--json", "--receipts", "none" if carrier.stage is Stage.SENT else "all"]
    with ExitStack() as stack:
        log = None
        if carrier.answer_ms:
            log = stack.enter_context(Log(folder / "smsc.log"))
            words += ["--answer-delay", str(carrier.answer_ms), "--log", str(log.path)]
        receiver = None
        if carrier.stage is Stage.TOLD:
            called = ["benchmarks.receiver", "--port", "{port}"]
            receiver = stack.enter_context(server.Server(called, folder / "receiver.out", server.environment()))
        smsc = stack.enter_context(server.Server(words, folder / "smsc.out", server.environment()))
        yield Behind(carrier, smsc, receiver, log)


# -- a carrier that is the limit


class Log:
    """The SMSC's log of what it takes, followed as it grows: how many lines it had when."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._grown: list[tuple[float, int]] = []  # seconds since the epoch, new lines
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="smsc-log")

    def __enter__(self) -> Log:
        self.path.touch()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _follow(self) -> None:
        with self.path.open("rb") as log:
            while not self._ended.wait(_SAMPLE_SECONDS):
                if lines := log.read().count(b"\n"):
                    self._grown.append((time.time(), lines))

    def ids(self) -> list[str]:
        """The SMSC's ids of what it took, in the order in which it came."""
        return [json.loads(line)["id"] for line in self.path.read_text().splitlines()]

    def rate(self, until_utc: float | None = None) -> float | None:
        """Lines a second in the steady state: without the first and the last second, or up to a moment before the end.
        None when that is too short to tell.

        The slope of a line through all samples: a window that comes at a time does not tip it, as it would a difference
        of two counts.
        """
        if not self._grown:
            return None
        times = [at for at, _ in self._grown]
        counts = list(accumulate(lines for _, lines in self._grown))
        first, last = times[0] + EDGE_SECONDS, until_utc or times[-1] - EDGE_SECONDS
        steady = [(at, count) for at, count in zip(times, counts, strict=True) if first <= at <= last]
        if last - first < EDGE_SECONDS or len(steady) < 3:
            return None
        return statistics.linear_regression(*zip(*steady, strict=True)).slope


def inversions(ids: Sequence[str], message_ids: Mapping[str, int]) -> int:
    """How many came after one that was accepted later."""
    found = latest = 0
    for id_ in ids:
        message_id = message_ids[id_]
        found += message_id < latest
        latest = max(latest, message_id)
    return found


def judge_slow(log: Log, message_ids: Mapping[str, int], report: load.Report, carrier: Carrier, result: Result) -> None:
    """Fill in what a slow carrier took; no rate when it was not the limit. Raises `WrongCountError`."""
    ids = [str(int(id_)) for id_ in log.ids()]
    if unknown := set(ids) ^ message_ids.keys():
        raise WrongCountError(f"{len(unknown)} ids are in the SMSC's log or in the store, and not in both")
    result.inversions = inversions(ids, message_ids)
    if report.accepted_per_second < carrier.ideal_per_second:
        return
    result.smsc_per_second = log.rate()
    result.smsc_per_second_loaded = log.rate(report.until_utc)


# -- counting


def expected(found: Received, counts: folders.Counts, accepted: int, stage: Stage) -> dict[str, tuple[int, int]]:
    """What must be as many as messages were accepted: what, how many there are, how many there should be."""
    told = accepted if stage is Stage.TOLD else 0
    return {
        "different ids of the SMSC's": (counts.different_refs, accepted),
        "callbacks received": (found.count, told),
        "different callbacks received": (found.different, told),
        "messages with an acknowledged callback": (counts.called_back, told),
        "callbacks stored": (counts.callbacks, told),
        "attempts of callbacks": (counts.attempts, told),
    }


def check_signatures(found: Received, data: Path) -> None:
    """The first callbacks are signed with the account's secret. Raises `WrongCountError`."""
    key = signature.key_of(json.loads((data / folders.CREDENTIALS).read_text())["webhook_secret"])
    for sample in found.samples:
        headers = sample.headers
        try:
            signature.verify(
                key,
                webhook_id=headers["webhook-id"],
                timestamp=headers["webhook-timestamp"],
                signatures=headers["webhook-signature"],
                body=sample.body,
                now=int(found.last_utc),
            )
        except (signature.Unverified, KeyError) as error:
            raise WrongCountError(f"a callback is not signed: {error!r}") from error
