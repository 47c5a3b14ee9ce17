"""`heliograph doctor`."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Annotated

import typer

from heliograph.cli import carrier_diagnosis, diagnosis, facts
from heliograph.cli.common import DATA_FOLDER, NO, Json, print_json, say
from heliograph.cli.config import SettingsFile
from heliograph.cli.credentials import KEPT, LOOPBACK
from heliograph.cli.diagnosis import ClockFacts, Finding, Verdict
from heliograph.config import DATA_VARIABLE, PREFIX, ConfigError, Settings, read
from heliograph.kit.keys import FILE, has_database, lost_database
from heliograph.store.interface import StoreError
from heliograph.store.maintenance import Symptoms

DAY_MS = 24 * 3_600_000


def doctor(
    settings_file: SettingsFile = None,
    data: Annotated[
        Path | None,
        # Whether it is readable, the doctor tells.
        typer.Option("--data", metavar="DIR", readable=False, help="The data folder, before what the settings say."),
    ] = None,
    json: Json = False,
) -> None:
    """Look for trouble, and name the remedy.

    Disk, clock, keys, permissions, schema, database, server, carriers, callbacks, ledger. It changes nothing, and a
    server may be running or not. Name the settings that the server has. Exit code 1 when there is a problem.

    \b
    heliograph doctor --config heliograph.toml
    heliograph doctor --json --data /var/lib/heliograph
    """
    given = {"data.dir": str(data)} if data else {}
    settings, problems = Settings(), []
    try:
        settings = read(settings_file, os.environ, given=given).settings
    except ConfigError as error:
        problems = error.problems
    folder = data or (_folder_without_settings() if problems else Path(settings.data.dir))
    findings = list(_settings(settings_file, problems))
    findings += _examine(folder, None if problems else settings, settings_given=settings_file is not None)
    if json:
        print_json({"data": str(folder), "findings": findings})
    else:
        _print(folder, findings)
    if any(one.verdict is Verdict.PROBLEM for one in findings):
        raise typer.Exit(NO)


def _folder_without_settings() -> Path:
    """Where the commands look that read no settings."""
    return Path(os.environ.get(DATA_VARIABLE) or os.environ.get(f"{PREFIX}DATA__DIR") or DATA_FOLDER)


def _settings(file: Path | None, problems: list[str]) -> Iterator[Finding]:
    for problem in problems:
        yield diagnosis.problem("settings", problem, "correct it, then: heliograph config check")
    if not problems:
        yield diagnosis.ok("settings", f"{file} is valid" if file else "no file was named: defaults and environment")


def _examine(folder: Path, settings: Settings | None, *, settings_given: bool) -> Iterator[Finding]:
    """Everything about a data folder; less when there is less to see."""
    trouble, remedy = facts.out_of_reach(folder)
    if trouble:
        yield diagnosis.problem("data folder", trouble, remedy)
        return
    yield from diagnosis.disk(facts.disk(folder))
    yield from diagnosis.permissions(facts.permissions(folder))
    yield diagnosis.keys(
        str(folder / FILE), facts.keys_trouble(folder), database=has_database(folder) or bool(lost_database(folder))
    )
    symptoms = yield from _database(folder)
    newest_utc_ms = symptoms.newest_utc_ms if symptoms else 0
    yield from diagnosis.clock(ClockFacts(_now(), newest_utc_ms, facts.clock_is_synchronised()))
    server = facts.server(folder)
    yield diagnosis.server(server, str(folder))
    if symptoms is None:
        return
    yield from diagnosis.ledger(symptoms.debtors, symptoms.ledger_gap_micros)
    if settings is None:
        return
    demo = LOOPBACK if (folder / KEPT).exists() else ()
    yield from carrier_diagnosis.carriers(
        symptoms.carriers,
        symptoms.accounts,
        settings.carriers,
        now_utc_ms=_now(),
        settings_given=settings_given,
        notes=symptoms.carrier_notes,
        default=settings.messages.default_carrier if symptoms.default_carrier is None else symptoms.default_carrier,
        served=bool(server.pid),
    )
    yield from diagnosis.callbacks(
        symptoms.accounts,
        symptoms.failed_callbacks,
        (symptoms.overdue_utc_ms, symptoms.overdue_ref),
        facts.CallbackUrls(settings, demo).refusal,
        now_utc_ms=_now(),
        settings_given=settings_given,
    )


def _database(folder: Path) -> Generator[Finding, None, Symptoms | None]:
    """What can be told of the database, and its symptoms for the other checks."""
    from heliograph.app import maintenance

    if lost := lost_database(folder):
        yield diagnosis.lost(lost)
        return None
    if not has_database(folder):
        yield diagnosis.ok("database", "there is none yet; a server makes it when it starts")
        return None
    if unreadable := facts.unreadable(folder):
        remedy = "run this as the user who runs the server"
        yield diagnosis.problem("database", f"{unreadable} cannot be read by this user", remedy)
        return None
    data = maintenance(folder)
    try:
        schema = data.schema()
        yield diagnosis.schema(schema, str(folder))
        if not 0 < schema.found <= schema.newest:
            return None
        symptoms = data.symptoms(_now() - DAY_MS)
    except StoreError as error:
        yield diagnosis.damaged(str(error))
        return None
    yield diagnosis.database(symptoms.size, symptoms.damage, read_through=symptoms.read_through)
    return symptoms


def _now() -> int:
    return time.time_ns() // 1_000_000


def _print(folder: Path, findings: list[Finding]) -> None:
    say(f"{folder}")
    width = max(len(one.check) for one in findings)
    for one in findings:
        say(f"  {one.verdict.value:<7}  {one.check:<{width}}  {one.found}")
        if one.remedy:
            say(f"  {'':<7}  {'':<{width}}  → {one.remedy}")
    counts = Counter(one.verdict for one in findings)
    worse = [f"{counts[kind]} {kind.value}{'s' * (counts[kind] != 1)}" for kind in (Verdict.PROBLEM, Verdict.WARNING)]
    say(", ".join(worse) if counts[Verdict.PROBLEM] + counts[Verdict.WARNING] else "all is well")
