"""What the carrier commands know of carriers: those of the settings and those stored, and how they are shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from heliograph.carriers.interface import CarrierState
from heliograph.carriers.settings import CarrierSettings, SimulatorSettings
from heliograph.cli.common import print_json, print_pairs, read, refuse, show_time
from heliograph.cli.facts import LOCK, lock_holder
from heliograph.config import Settings, shown, toml
from heliograph.kit.keys import Keys, KeysError, load_or_create
from heliograph.service.carriers import unsealed
from heliograph.store.interface import Reads, StoredCarrier
from heliograph.store.maintenance import CarrierLoad

STRAYS_COUNTED = 10_000
_NOT_RUNNING = "no server"


class Known(msgspec.Struct, frozen=True):
    """A carrier as far as a command knows it; `id` is 0 while no server has run it. `settings` are sealed."""

    id: int
    name: str
    settings: bytes
    configured: CarrierSettings | None
    kind: str  # "" when nobody here knows
    stopped: bool
    state: str
    why: str
    since_utc_ms: int
    load: CarrierLoad
    default: bool
    served: bool


def known_carriers(data: Path, settings: Settings) -> list[Known]:
    """Those of the settings first, then those that were added or that ran once."""
    from heliograph.app import maintenance

    stored, default = read(data, _stored)
    loads = {load.name: load for load in maintenance(data).loads()}
    by_name = {one.name: one for one in stored}
    served = lock_holder(data / LOCK) != ""
    keys = load_or_create(data)
    chosen = settings.messages.default_carrier if default is None else default
    return [
        _known(name, by_name.get(name), settings.carriers.get(name), keys, loads, chosen == name, served)
        for name in dict.fromkeys((*settings.carriers, *by_name))
    ]


def require(data: Path, settings: Settings, name: str) -> Known:
    """The carrier of this name."""
    found = known_carriers(data, settings)
    for one in found:
        if one.name == name:
            return one
    names = ", ".join(one.name for one in found)
    return refuse(f"there is no carrier {name[:80]!r}; there are {names or 'none'}; `heliograph carrier add` adds one")


def row(one: Known) -> dict[str, Any]:
    """A carrier in a list."""
    return {
        "name": one.name,
        "kind": one.kind or None,
        "state": one.state,
        "since": show_time(one.since_utc_ms),
        "why": one.why,
        "open": one.load.open,
        "waiting": one.load.waiting,
        "default": one.default,
    }


def full_view(data: Path, settings: Settings, name: str) -> dict[str, Any]:
    """Everything about a carrier that may be shown."""
    one = require(data, settings, name)
    unmatched = read(data, lambda reads: len(reads.strays(one.id, STRAYS_COUNTED))) if one.id else 0
    values, origin = _settings_of(data, one)
    more = {"unmatched_receipts": unmatched, "settings_from": origin}
    window = {"window": values["window"], "backlog": values["backlog"]} if values else {}
    return {**row(one), **window, **more, "settings": values}


def print_settings(name: str, before: dict[str, Any], after: dict[str, Any], *, json: bool) -> None:
    """Print what changed."""
    if json:
        print_json({"name": name, "settings": _hidden(after)})
        return
    changes = [(key, _change(key, before[key], value)) for key, value in after.items() if before[key] != value]
    print_pairs([("carrier", name), *(changes or [("unchanged", "")])])


def _change(key: str, before: Any, after: Any) -> str:
    hidden = shown((key,), after) != after or shown((key,), before) != before
    return "changed" if hidden else f"{toml(before)} → {toml(after)}"


def _hidden(values: dict[str, Any]) -> dict[str, Any]:
    return {key: shown((key,), value) for key, value in values.items()}


def _stored(reads: Reads) -> tuple[list[StoredCarrier], str | None]:
    return reads.stored_carriers(), reads.default_carrier()


def _known(
    name: str,
    stored: StoredCarrier | None,
    configured: CarrierSettings | None,
    keys: Keys,
    loads: dict[str, CarrierLoad],
    default: bool,
    served: bool,
) -> Known:
    state, why, since = _standing(stored, served)
    sealed = stored.settings if stored and configured is None else b""
    kind = "simulator" if isinstance(configured, SimulatorSettings) else "smpp" if configured or sealed else ""
    return Known(
        id=stored.id if stored else 0,
        name=name,
        settings=sealed,
        configured=configured,
        kind=kind,
        stopped=bool(stored and stored.stopped),
        state=state,
        why=why,
        since_utc_ms=since,
        load=loads.get(name) or CarrierLoad(name, 0, 0, 0),
        default=default,
        served=served,
    )


def _standing(stored: StoredCarrier | None, served: bool) -> tuple[str, str, int]:
    """How a carrier stands, why, and since when; what a server stored that is gone counts no more."""
    if stored is not None and stored.stopped and (not served or stored.state != CarrierState.STOPPED):
        return (CarrierState.STOPPED.value, "by command", 0) if not served else ("stopping", "by command", 0)
    if not served:
        return _NOT_RUNNING, "", 0
    if stored is None or not stored.state:
        return CarrierState.CONNECTING.value, "the server has not told of it yet", 0
    if stored.state == CarrierState.STOPPED and not stored.stopped:
        return CarrierState.CONNECTING.value, "the server has not told of it yet", 0
    return stored.state, stored.detail, stored.since_utc_ms


def _settings_of(data: Path, one: Known) -> tuple[dict[str, Any], str]:
    """A carrier's settings without secrets, and where they are."""
    if one.configured is not None:
        return _hidden(msgspec.to_builtins(one.configured)), "settings file"
    if not one.settings:
        return {}, "unknown here; name the server's settings with --config FILE"
    try:
        stored = unsealed(load_or_create(data), one.name, one.settings)
    except KeysError as error:
        return {}, f"stored, and cannot be read: {error}"
    return _hidden(msgspec.to_builtins(stored)), "stored"
