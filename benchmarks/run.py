"""The benchmark: HTTP in, simulator or SMSC, final state, callback; every message counted.

    python -m benchmarks.run                       all scenarios, three rounds
    python -m benchmarks.run --only single --rounds 1 --seconds 2
    python -m benchmarks.run --only single,batch --py-spy

A round measures each scenario once, the reference among them, each over a fresh copy of its data folder; every other
round goes backwards, so that a machine that slows down is not taken for a scenario that does. Figures are medians over
the rounds. A run whose counts do not agree to the last message has no figures: it ends with exit code 1.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from benchmarks import carriers, folders, hotspots, load, server
from benchmarks.carriers import Behind, WrongCountError
from benchmarks.figures import Result, machine, outcomes, table
from benchmarks.receiver import Received
from benchmarks.scenarios import REFERENCE, SCENARIOS, Scenario, Stage

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "heliograph-benchmarks"
POLL_SECONDS = 0.1
FINAL_SECONDS = 120.0  # so long may accepted messages take to become final
SETTLE_SECONDS = 0.5  # between the server's start and the load
PROFILE_LEAD_SECONDS = 0.5


class Bench:
    """The settings of a run, and how one scenario is measured."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self._options = options
        self._folder = folder
        self._number = 0
        self._empty: Path | None = None
        self._extra = dict(pair.split("=", 1) for pair in options.set)

    def measure(self, scenario: Scenario, *, audit: bool) -> Result:
        """One scenario once. Raises `WrongCountError`."""
        if scenario.name == REFERENCE:
            return self._measure_reference(scenario)
        with self._running(scenario) as (running, data, behind), folders.Looker(data) as look:
            if behind is not None:
                behind.begin()
            cpu = running.cpu_seconds()
            report = self._load(running, scenario, self._options.seconds, data / folders.CREDENTIALS)
            _wait_until(scenario.stage, look, report)
            cpu = running.cpu_seconds() - cpu
            counts, received = look.counts(), behind.received() if behind else Received()
            _check(report, counts, look.spent_micros(), scenario, received)
            result = _result(report, _until_utc(scenario.stage, counts, received), cpu, running.peak_rss_mb())
            if behind is not None:
                behind.judge(look, report, received, result, data)
            running.stop()
            if behind is not None:
                behind.check_end(report)
            if audit:
                _audit(data)
        return result

    def profile(self, scenario: Scenario) -> tuple[float, list[hotspots.Thread]]:
        """Messages a second while py-spy looked on, and what it saw."""
        seconds = max(1, round(self._options.seconds))
        with self._running(scenario) as (running, data, _):
            words = self._words(running, scenario, seconds + 3 * PROFILE_LEAD_SECONDS, data / folders.CREDENTIALS)
            with subprocess.Popen(words, env=server.environment(), stdout=subprocess.PIPE, cwd=server.ROOT) as child:
                time.sleep(2 * PROFILE_LEAD_SECONDS)
                profile = hotspots.record(running.pid, seconds, data.parent / "samples")
                printed, _ = child.communicate()
            report = msgspec.json.decode(printed, type=load.Report)
        return report.accepted_per_second, profile.threads(report.accepted_per_second)

    @contextmanager
    def _running(self, scenario: Scenario) -> Iterator[tuple[server.Server, Path, Behind | None]]:
        """A server over a fresh folder, and what a scenario has behind it."""
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=self._folder)))
            data = folders.copy(self._base(scenario), folder / "data")
            behind = stack.enter_context(carriers.behind(scenario.carrier, folder)) if scenario.carrier else None
            settings = {**scenario.settings, **(behind.settings if behind else {}), **self._extra}
            if behind is not None:
                behind.prepare(data)
            running = stack.enter_context(server.heliograph(data, settings))
            time.sleep(SETTLE_SECONDS)
            yield running, data, behind

    def _base(self, scenario: Scenario) -> Path:
        if scenario.filled:
            return folders.filled(self._options.cache, self._options.stored)
        if self._empty is None:
            self._empty = folders.empty(self._folder / "empty")
        return self._empty

    def _measure_reference(self, scenario: Scenario) -> Result:
        with server.reference(self._folder, scenario.recipients) as running:
            cpu = running.cpu_seconds()
            report = self._load(running, scenario, self._options.seconds, None)
            cpu = running.cpu_seconds() - cpu
            return _result(report, report.until_utc, cpu, running.peak_rss_mb())

    def _load(self, to: server.Server, scenario: Scenario, seconds: float, credentials: Path | None) -> load.Report:
        done = subprocess.run(
            self._words(to, scenario, seconds, credentials),
            env=server.environment(),
            stdout=subprocess.PIPE,
            cwd=server.ROOT,
            check=False,
        )
        if done.returncode:
            raise WrongCountError(f"the load generator ended with {done.returncode}: {done.stdout.decode()}")
        return msgspec.json.decode(done.stdout, type=load.Report)

    def _words(self, to: server.Server, scenario: Scenario, seconds: float, credentials: Path | None) -> list[str]:
        words = [sys.executable, "-m", "benchmarks.load", "--base-url", to.base_url]
        words += ["--requests", str(scenario.requests)] if scenario.requests else ["--seconds", str(seconds)]
        words += ["--connections", str(self._options.connections), "--recipients", str(scenario.recipients)]
        words += ["--rate", str(scenario.rate)] if scenario.rate else []
        return words + (["--credentials", str(credentials)] if credentials else ["--token", "a.b.c"])


def _wait_until(stage: Stage, look: folders.Looker, report: load.Report) -> None:
    """Return when every message of the store has got so far. Raises `WrongCountError` when that takes too long."""
    deadline = time.monotonic() + FINAL_SECONDS
    while look.unfinished(stage):
        if time.monotonic() > deadline:
            raise WrongCountError(f"not all of {report.accepted} messages are {stage.value} after {FINAL_SECONDS} s")
        time.sleep(POLL_SECONDS)


def _until_utc(stage: Stage, counts: folders.Counts, received: Received) -> float:
    """When the last message had got so far, in seconds since the epoch."""
    match stage:
        case Stage.SENT:
            return counts.last_sent_utc_ms / 1000
        case Stage.FINAL:
            return counts.last_done_utc_ms / 1000
        case Stage.TOLD:
            return received.last_utc


def _check(
    report: load.Report, counts: folders.Counts, spent_micros: int, scenario: Scenario, received: Received
) -> None:
    """Compare what the client was told with what is stored, charged, sent and told. Raises `WrongCountError`."""
    ok = report.answered.get("200", 0)
    accepted = report.accepted
    final = 0 if scenario.stage is Stage.SENT else accepted
    expected = {
        "answers other than 200": (sum(report.answered.values()) - ok, 0),
        "requests never answered": (report.lost, 0),
        "recipients not submitted": (ok * scenario.recipients - accepted, 0),
        "messages stored": (counts.messages, accepted),
        "messages sent and not final": (counts.sent, accepted - final),
        "messages final": (counts.final, final),
        "messages delivered": (counts.delivered, final),
        "requests stored": (counts.requests, ok),
        "charges": (counts.charges, ok),
        "micro-units charged": (counts.charged_micros, accepted * folders.PRICE_MICROS),
        "micro-units gone from balances": (spent_micros, accepted * folders.PRICE_MICROS),
        "postings that are no charges": (counts.other_postings, 0),
        **carriers.expected(received, counts, accepted, scenario.stage),
    }
    wrong = [f"{what}: {found}, not {right}" for what, (found, right) in expected.items() if found != right]
    if wrong:
        raise WrongCountError("; ".join(wrong))


def _audit(data: Path) -> None:
    """Let the product's own auditor replay the books. Raises `WrongCountError`."""
    try:
        server.command("audit", "--data", str(data))
    except RuntimeError as error:
        raise WrongCountError(str(error)) from error


def _result(report: load.Report, until_utc: float, cpu_seconds: float, peak_rss_mb: float) -> Result:
    return Result(
        accepted=report.accepted,
        accepted_per_second=report.accepted_per_second,
        end_to_end_per_second=report.accepted / (until_utc - report.from_utc),
        requests_per_second=report.requests_per_second,
        p50_ms=report.latency_ms["p50"],
        p99_ms=report.latency_ms["p99"],
        max_ms=report.latency_ms["max"],
        cpu_seconds_per_1000=cpu_seconds / report.accepted * 1000,
        peak_rss_mb=peak_rss_mb,
        generator_cpu_us=report.cpu_us_per_request,
    )


# -- the command


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=(__doc__ or "").split("\n")[0])
    names = ", ".join(scenario.name for scenario in SCENARIOS)
    parser.add_argument("--only", metavar="NAME,…", help=f"scenarios, besides the reference: {names}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of load in each measurement")
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--stored", type=int, default=1_000_000, help="messages in the store of the filled scenarios")
    parser.add_argument("--set", action="append", default=[], metavar="SETTING=VALUE", help="a setting of the server")
    parser.add_argument("--folder", type=Path, help="where data folders are made: a local disk, not a RAM disk")
    parser.add_argument("--cache", type=Path, default=CACHE, help=f"where the filled folder is kept ({CACHE})")
    parser.add_argument("--json", metavar="FILE", help="write the results there too; - for standard output")
    parser.add_argument("--py-spy", action="store_true", help="show where the server's time goes, instead of figures")
    options = parser.parse_args(arguments)
    unknown = set((options.only or REFERENCE).split(",")) - {scenario.name for scenario in SCENARIOS}
    if unknown:
        parser.error(f"there is no scenario {', '.join(sorted(unknown))}; there are {names}")
    return options


def _rounds(bench: Bench, scenarios: Sequence[Scenario], rounds: int) -> dict[str, list[Result]]:
    results: dict[str, list[Result]] = {scenario.name: [] for scenario in scenarios}
    for number in range(rounds):
        for scenario in scenarios if number % 2 == 0 else reversed(scenarios):
            result = bench.measure(scenario, audit=number == 0)
            results[scenario.name].append(result)
            line = f"round {number + 1}  {scenario.name:<17} {result.accepted_per_second:>9,.0f}/s accepted"
            print(f"{line}  {result.end_to_end_per_second:>9,.0f}/s end to end", file=sys.stderr)
    return results


def _profile(bench: Bench, scenarios: Sequence[Scenario]) -> None:
    for scenario in scenarios:
        if scenario.name != REFERENCE:
            rate, threads = bench.profile(scenario)
            print(f"{scenario.name}: {rate:,.0f} accepted/s while py-spy looked on\n{hotspots.show(threads)}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, print, exit with 1 when counts do not agree."""
    options = _options(arguments)
    wanted = set(options.only.split(",")) | {REFERENCE} if options.only else {one.name for one in SCENARIOS}
    scenarios = [scenario for scenario in SCENARIOS if scenario.name in wanted]
    about = {**machine(), "rounds": options.rounds, "seconds": options.seconds, "connections": options.connections}
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="heliograph-benchmark-") as temporary:
        bench = Bench(options, Path(temporary))
        if options.py_spy:
            _profile(bench, scenarios)
            return 0
        try:
            found = outcomes(scenarios, _rounds(bench, scenarios, options.rounds), options.stored)
        except WrongCountError as error:
            print(f"no figures, the counts do not agree: {error}", file=sys.stderr)
            return 1
    print(table(found))
    if options.json:
        text = json.dumps({"machine": about, "scenarios": msgspec.to_builtins(found)}, indent=2)
        Path("/dev/stdout" if options.json == "-" else options.json).write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
