"""The benchmark: HTTP in, simulator, final state; every message counted.

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
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import apsw
import msgspec

from benchmarks import folders, hotspots, load, server

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "heliograph-benchmarks"
REFERENCE = "reference"
POLL_SECONDS = 0.1
FINAL_SECONDS = 120.0  # so long may accepted messages take to become final
SETTLE_SECONDS = 0.5  # between the server's start and the load
PROFILE_LEAD_SECONDS = 0.5


class Scenario(msgspec.Struct, frozen=True):
    """What is measured. `versus` names the scenario whose rate this one's is a part of."""

    name: str
    title: str
    recipients: int = 1
    settings: dict[str, str] = {}
    filled: bool = False
    versus: str = ""


SCENARIOS = (
    Scenario(REFERENCE, "a bare HTTP server that answers a constant"),
    Scenario("single", "1 recipient a request, lean door"),
    Scenario("single-starlette", "1 recipient a request, Starlette's door", 1, {"http.lean_door": "false"}),
    Scenario("batch", "100 recipients a request", 100),
    Scenario("single-filled", "1 recipient a request, {stored} stored before", filled=True, versus="single"),
    Scenario("batch-filled", "100 recipients a request, {stored} stored before", 100, filled=True, versus="batch"),
)


class Result(msgspec.Struct):
    """One measurement. Rates are messages a second; latencies are of requests; the CPU is the server's."""

    accepted: int
    accepted_per_second: float
    end_to_end_per_second: float
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    cpu_seconds_per_1000: float
    peak_rss_mb: float
    generator_cpu_us: float


class Outcome(msgspec.Struct):
    """What the rounds came to: every measurement, their medians, and rates as parts of others."""

    title: str
    rounds: list[Result]
    median: Result
    of_reference: float | None = None  # accepted requests a second, by the reference's in the same round
    versus: str = ""
    of_versus_accepted: float | None = None
    of_versus_end_to_end: float | None = None


class WrongCountError(Exception):
    """What was accepted, stored and charged is not the same."""


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
        with tempfile.TemporaryDirectory(dir=self._folder) as temporary:
            data = folders.copy(self._base(scenario), Path(temporary) / "data")
            with server.heliograph(data, {**scenario.settings, **self._extra}) as running, folders.Looker(data) as look:
                time.sleep(SETTLE_SECONDS)
                cpu = running.cpu_seconds()
                report = self._load(running, scenario, self._options.seconds, data / folders.CREDENTIALS)
                _wait_until_final(look, report)
                cpu = running.cpu_seconds() - cpu
                counts = look.counts()
                _check(report, counts, look.spent_micros(), scenario.recipients)
                result = _result(report, counts, cpu, running.peak_rss_mb())
            if audit:
                _audit(data)
        return result

    def profile(self, scenario: Scenario) -> tuple[float, list[hotspots.Thread]]:
        """Messages a second while py-spy looked on, and what it saw."""
        seconds = max(1, round(self._options.seconds))
        with tempfile.TemporaryDirectory(dir=self._folder) as temporary:
            data = folders.copy(self._base(scenario), Path(temporary) / "data")
            with server.heliograph(data, {**scenario.settings, **self._extra}) as running:
                time.sleep(SETTLE_SECONDS)
                words = self._words(running, scenario, seconds + 3 * PROFILE_LEAD_SECONDS, data / folders.CREDENTIALS)
                with subprocess.Popen(
                    words, env=server.environment(), stdout=subprocess.PIPE, cwd=server.ROOT
                ) as child:
                    time.sleep(2 * PROFILE_LEAD_SECONDS)
                    profile = hotspots.record(running.pid, seconds, Path(temporary) / "samples")
                    printed, _ = child.communicate()
                report = msgspec.json.decode(printed, type=load.Report)
        return report.accepted_per_second, profile.threads(report.accepted_per_second)

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
            return _result(report, None, cpu, running.peak_rss_mb())

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
        words = [sys.executable, "-m", "benchmarks.load", "--base-url", to.base_url, "--seconds", str(seconds)]
        words += ["--connections", str(self._options.connections), "--recipients", str(scenario.recipients)]
        return words + (["--credentials", str(credentials)] if credentials else ["--token", "a.b.c"])


def _wait_until_final(look: folders.Looker, report: load.Report) -> None:
    """Return when every message of the store is final. Raises `WrongCountError` when that takes too long."""
    deadline = time.monotonic() + FINAL_SECONDS
    while left := look.open_messages():
        if time.monotonic() > deadline:
            raise WrongCountError(f"{left} of {report.accepted} messages are not final after {FINAL_SECONDS} s")
        time.sleep(POLL_SECONDS)


def _check(report: load.Report, counts: folders.Counts, spent_micros: int, recipients: int) -> None:
    """Compare what the client was told with what is stored and charged. Raises `WrongCountError`."""
    ok = report.answered.get("200", 0)
    expected = {
        "answers other than 200": (sum(report.answered.values()) - ok, 0),
        "requests never answered": (report.lost, 0),
        "recipients not submitted": (ok * recipients - report.accepted, 0),
        "messages stored": (counts.messages, report.accepted),
        "messages final": (counts.final, report.accepted),
        "messages delivered": (counts.delivered, report.accepted),
        "requests stored": (counts.requests, ok),
        "charges": (counts.charges, ok),
        "micro-units charged": (counts.charged_micros, report.accepted * folders.PRICE_MICROS),
        "micro-units gone from balances": (spent_micros, report.accepted * folders.PRICE_MICROS),
        "postings that are no charges": (counts.other_postings, 0),
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


def _result(report: load.Report, counts: folders.Counts | None, cpu_seconds: float, peak_rss_mb: float) -> Result:
    until = counts.last_done_utc_ms / 1000 if counts else report.until_utc
    return Result(
        accepted=report.accepted,
        accepted_per_second=report.accepted_per_second,
        end_to_end_per_second=report.accepted / (until - report.from_utc),
        requests_per_second=report.requests_per_second,
        p50_ms=report.latency_ms["p50"],
        p99_ms=report.latency_ms["p99"],
        max_ms=report.latency_ms["max"],
        cpu_seconds_per_1000=cpu_seconds / report.accepted * 1000,
        peak_rss_mb=peak_rss_mb,
        generator_cpu_us=report.cpu_us_per_request,
    )


# -- what the rounds come to


def outcomes(scenarios: Sequence[Scenario], results: dict[str, list[Result]], stored: int) -> dict[str, Outcome]:
    """Medians, and medians of the ratios within each round."""
    found: dict[str, Outcome] = {}
    for scenario in scenarios:
        rounds = results[scenario.name]
        outcome = Outcome(scenario.title.format(stored=f"{stored:,}"), rounds, _median(rounds), versus=scenario.versus)
        if REFERENCE in results and scenario.name != REFERENCE:
            outcome.of_reference = _ratio(rounds, results[REFERENCE], "requests_per_second")
        if scenario.versus in results:
            outcome.of_versus_accepted = _ratio(rounds, results[scenario.versus], "accepted_per_second")
            outcome.of_versus_end_to_end = _ratio(rounds, results[scenario.versus], "end_to_end_per_second")
        found[scenario.name] = outcome
    return found


def _median(rounds: Sequence[Result]) -> Result:
    values = {name: median(getattr(one, name) for one in rounds) for name in Result.__struct_fields__}
    return Result(**{**values, "accepted": int(values["accepted"])})


def _ratio(these: Sequence[Result], those: Sequence[Result], name: str) -> float:
    return float(median(getattr(this, name) / getattr(that, name) for this, that in zip(these, those, strict=True)))


def table(found: dict[str, Outcome]) -> str:
    """The outcomes for people, a row each."""
    head = "accepted/s|end to end/s|p50 ms|p99 ms|CPU s/1,000|peak MB|of reference|of empty|spread"
    rows = [["", *head.split("|")]]
    for name, outcome in found.items():
        one = outcome.median
        rates = [each.accepted_per_second for each in outcome.rounds]
        rows.append(
            [
                name,
                f"{one.accepted_per_second:,.0f}",
                f"{one.end_to_end_per_second:,.0f}" if name != REFERENCE else "",
                f"{one.p50_ms:.2f}",
                f"{one.p99_ms:.2f}",
                f"{one.cpu_seconds_per_1000:.4f}",
                f"{one.peak_rss_mb:.0f}",
                _percent(outcome.of_reference),
                " / ".join(
                    filter(None, (_percent(outcome.of_versus_accepted), _percent(outcome.of_versus_end_to_end)))
                ),
                f"{min(rates):,.0f}–{max(rates):,.0f}",
            ]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    names = [f"{name:>{widths[0]}}: {outcome.title}" for name, outcome in found.items()]
    return "\n".join([*lines, "", *names])


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.0f} %"


def machine() -> dict[str, Any]:
    """What it ran on."""
    cpu = Path("/proc/cpuinfo").read_text().partition("model name")[2].partition(":")[2].partition("\n")[0].strip()
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "system": platform.platform(),
        "python": platform.python_version(),
        "sqlite": apsw.sqlite_lib_version(),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


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
