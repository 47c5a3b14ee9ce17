"""What measurements come to: medians over the rounds, ratios within a round, and the table that people read."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import apsw
import msgspec

from benchmarks.scenarios import REFERENCE, Scenario


class Result(msgspec.Struct):
    """One measurement. Rates are messages a second; latencies are of requests; the CPU is the server's.

    With an SMSC behind the server, `smsc_cpu_us` is what that took of CPU a message, and `receiver_cpu_us` what the
    receiver of callbacks took. With a slow one, `smsc_per_second` are the submit_sm that it took in the steady state,
    all the time and while requests came, and `inversions` those that came after one accepted later. The rates are None
    when it was not the limit, or for too short a time.
    """

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
    smsc_cpu_us: float | None = None
    receiver_cpu_us: float | None = None
    smsc_per_second: float | None = None
    smsc_per_second_loaded: float | None = None
    inversions: int | None = None


class Outcome(msgspec.Struct):
    """What the rounds came to: every measurement, their medians, and rates as parts of others."""

    title: str
    rounds: list[Result]
    median: Result
    of_reference: float | None = None  # accepted requests a second, by the reference's in the same round
    versus: str = ""
    of_versus_accepted: float | None = None
    of_versus_end_to_end: float | None = None
    ideal_per_second: float = 0.0  # of a slow carrier: its window by its delay


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
        if scenario.carrier is not None:
            outcome.ideal_per_second = scenario.carrier.ideal_per_second
        found[scenario.name] = outcome
    return found


def _median(rounds: Sequence[Result]) -> Result:
    values: dict[str, Any] = {}
    for name in Result.__struct_fields__:
        measured = [value for one in rounds if (value := getattr(one, name)) is not None]
        values[name] = median(measured) if measured else None
    return Result(**{**values, "accepted": int(values["accepted"])})


def _ratio(these: Sequence[Result], those: Sequence[Result], name: str) -> float:
    return float(median(getattr(this, name) / getattr(that, name) for this, that in zip(these, those, strict=True)))


def table(found: dict[str, Outcome]) -> str:
    """The outcomes for people, a row each."""
    head = "accepted/s|end to end/s|p50 ms|p99 ms|CPU s/1,000|peak MB|of reference|of empty|spread"
    rows = [["", *head.split("|")], *(_row(name, outcome) for name, outcome in found.items())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    names = [f"{name:>{widths[0]}}: {outcome.title}" for name, outcome in found.items()]
    behind = [f"{name:>{widths[0]}}: {line}" for name, outcome in found.items() for line in _behind(outcome)]
    return "\n".join([*lines, "", *names, *([""] if behind else []), *behind])


def _row(name: str, outcome: Outcome) -> list[str]:
    one = outcome.median
    rates = [each.accepted_per_second for each in outcome.rounds]
    return [
        name,
        f"{one.accepted_per_second:,.0f}",
        f"{one.end_to_end_per_second:,.0f}" if name != REFERENCE else "",
        f"{one.p50_ms:.2f}",
        f"{one.p99_ms:.2f}",
        f"{one.cpu_seconds_per_1000:.4f}",
        f"{one.peak_rss_mb:.0f}",
        _percent(outcome.of_reference),
        " / ".join(filter(None, (_percent(outcome.of_versus_accepted), _percent(outcome.of_versus_end_to_end)))),
        f"{min(rates):,.0f}–{max(rates):,.0f}",
    ]


def _behind(outcome: Outcome) -> Iterator[str]:
    """What there is to say of the processes behind the server."""
    one = outcome.median
    if one.smsc_cpu_us is not None:
        receiver = f", the receiver {one.receiver_cpu_us:.1f} µs" if one.receiver_cpu_us is not None else ""
        yield f"the SMSC took {one.smsc_cpu_us:.1f} µs of CPU a message{receiver}"
    if one.inversions is not None:
        most = max(each.inversions or 0 for each in outcome.rounds)
        yield f"{_of_ideal(one, outcome.ideal_per_second)}; {most} out of order in the worst round"


def _of_ideal(one: Result, ideal: float) -> str:
    if one.smsc_per_second is None:
        return f"{one.accepted_per_second:,.0f} accepted/s are too few to keep a carrier of {ideal:,.0f}/s busy"
    shown = (
        f"{one.smsc_per_second:,.0f} submit_sm/s, {100 * one.smsc_per_second / ideal:.1f} % of the ideal {ideal:,.0f}"
    )
    loaded = one.smsc_per_second_loaded
    return f"{shown} ({100 * loaded / ideal:.1f} % while requests came)" if loaded is not None else shown


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
