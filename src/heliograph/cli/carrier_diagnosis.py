"""What `heliograph doctor` says of carriers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from heliograph.carriers.interface import CarrierState
from heliograph.cli.diagnosis import Finding, list_of, ok, problem, warning
from heliograph.cli.words import count, show_duration
from heliograph.store.maintenance import AccountLinks, CarrierLoad, CarrierNote

OLD_BACKLOG_MS = 10 * 60_000


def carriers(
    loads: list[CarrierLoad],
    accounts: list[AccountLinks],
    configured: Iterable[str],
    *,
    now_utc_ms: int,
    settings_given: bool,
    notes: Iterable[CarrierNote] = (),
    default: str = "",
    served: bool = False,
) -> Iterator[Finding]:
    """Whether every message has somebody to carry it, and who stands how. `default` is the name of the default
    carrier; without a server (`served`) no note of one counts. Unless `settings_given`, it may know more carriers.
    """
    notes = list(notes)
    known, found = {*configured, *(note.name for note in notes if note.stored)}, []
    stopped = {note.name for note in notes if note.stopped}
    for load in loads:
        if load.open and load.name not in known:
            found.append(_unknown_carrier(f"{count(load.open, 'open message')} of", load.name, given=settings_given))
        elif load.waiting and load.name not in stopped and now_utc_ms - load.oldest_waiting_utc_ms > OLD_BACKLOG_MS:
            age = show_duration(now_utc_ms - load.oldest_waiting_utc_ms)
            found.append(
                warning(
                    "carriers",
                    f"{count(load.waiting, 'message')} wait for {load.name}, the oldest for {age}",
                    "if a server runs, the carrier is slower than what is sent; its log says whether it answers",
                )
            )
    for name in sorted({account.carrier for account in accounts if account.carrier} - known):
        refs = [account.ref for account in accounts if account.carrier == name]
        found.append(_unknown_carrier(f"{list_of(refs)} set to send by", name, given=settings_given))
    if default and default not in known:
        found.append(_unknown_carrier("the default carrier is", default, given=settings_given))
    waiting = {load.name: load.waiting for load in loads}
    for note in notes:
        if note.name in known:
            found += _standing(note, waiting.get(note.name, 0), served=served)
    yield from found
    if not found:
        total = sum(load.open for load in loads)
        yield ok("carriers", f"{count(total, 'message')} open, {sum(load.waiting for load in loads):,} of them waiting")


def _standing(note: CarrierNote, waiting: int, *, served: bool) -> Iterator[Finding]:
    """What is to be said of how a carrier stands."""
    if note.stopped:
        found = f"{note.name} is stopped by command, {count(waiting, 'message')} wait for it"
        yield warning("carriers", found, f"heliograph carrier start {note.name}")
    elif served and note.state == CarrierState.FAULT:
        yield problem("carriers", f"{note.name}: {note.detail}", f"heliograph carrier test {note.name}")
    elif served and note.state == CarrierState.CONNECTING:
        why = f": {note.detail}" if note.detail else ""
        yield warning(
            "carriers", f"{note.name} is not connected{why}", f"heliograph carrier test {note.name}; its log says more"
        )


def _unknown_carrier(what: str, name: str, *, given: bool) -> Finding:
    if given:
        remedy = f"put back [carriers.{name}], or: heliograph carrier add {name}"
        return problem("carriers", f"{what} {name!r}, which the settings do not have", remedy)
    return warning(
        "carriers",
        f"{what} {name!r}, which the default settings do not have",
        "name the server's settings with --config FILE",
    )
