"""`heliograph carrier`: the ways out. A running server follows a change within two seconds."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from heliograph.carriers.checks import wrong_name
from heliograph.carriers.settings import CarrierSettings, SmppSettings
from heliograph.cli.account_view import plain
from heliograph.cli.carrier_settings import changed, settings_of
from heliograph.cli.carrier_view import Known, full_view, known_carriers, print_settings, require, row
from heliograph.cli.common import (
    DATA_FOLDER,
    NO,
    WRONG,
    Data,
    Json,
    explained,
    group,
    print_json,
    print_pairs,
    read,
    refuse,
    require_data,
    say,
    show_time,
    with_store,
)
from heliograph.cli.config import SettingsFile
from heliograph.cli.facts import LOCK, lock_holder
from heliograph.cli.inputs import checked_senders, recipient_of
from heliograph.cli.listing import Limit, print_rows
from heliograph.config import Settings, toml
from heliograph.config import read as read_settings
from heliograph.kit.clock import SystemClock
from heliograph.kit.keys import load_or_create
from heliograph.messaging.text import compose
from heliograph.service.carriers import sealed, unsealed
from heliograph.store.interface import HoldCarrier, PutCarrier, SetDefaultCarrier, Store

commands = group("Carriers: add, change, test, stop, start; a running server follows.")

PASSWORD_VARIABLE = "HELIOGRAPH_CARRIER_PASSWORD"  # noqa: S105 (a name)
_TEST_TEXT = "A test of Heliograph."

Name = Annotated[str, typer.Argument(metavar="NAME", help="The carrier's name.")]
PasswordStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Any setting, like window=50. Repeat it for more."),
]


@commands.command()
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What to call it: letters, digits, - and _.")],
    host: Annotated[str, typer.Option("--host", metavar="HOST", help="The carrier's SMSC.")],
    system_id: Annotated[str, typer.Option("--system-id", metavar="ID", help="Who we are there.")],
    port: Annotated[int, typer.Option("--port", min=1, max=65535, metavar="PORT", help="The SMSC's port.")] = 2775,
    password_stdin: PasswordStdin = False,
    set_: Assignments = None,
    default: Annotated[bool, typer.Option("--default", help="Make it the carrier of all without one.")] = False,
    settings_file: SettingsFile = None,
    data: Data = DATA_FOLDER,
    json: Json = False,
) -> None:
    """Connect to a carrier over SMPP.

    The password is asked for, or read from standard input or HELIOGRAPH_CARRIER_PASSWORD; it is stored encrypted and
    never shown. docs/carriers.md explains all settings.

    \b
    heliograph carrier add main --host smsc.example.com --port 2775 --system-id us --default
    heliograph carrier add main --host smsc.example.com --system-id us --set window=50 --set tls=true
    """
    if trouble := wrong_name(name):
        refuse(f"{name[:80]!r}: {trouble}", WRONG)
    settings = _settings(settings_file)
    if name in settings.carriers:
        refuse(f"{name} is a carrier of the settings file; change it there, or choose another name")
    given = [f"host={host}", f"port={port}", f"system_id={system_id}", *(set_ or [])]
    values = changed(name, {}, given)
    if "password" not in values:
        values["password"] = changed(name, {}, [f"password={_password(password_stdin, ask=True)}"])["password"]
    made = settings_of(name, values, settings.limits.segments)
    with explained(data):
        _put(data, name, made, new=True)
    if default:
        with_store(data, lambda store: store.apply(SetDefaultCarrier(name)))
    _print_after(data, settings, name, "added", json=json)


@commands.command("set")
def set_(
    name: Name,
    assignments: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE…", help="Settings, like window=50; KEY= empties a text.")
    ] = None,
    password_stdin: PasswordStdin = False,
    settings_file: SettingsFile = None,
    data: Data = DATA_FOLDER,
    json: Json = False,
) -> None:
    """Change settings of a carrier.

    A running server takes its answers, unbinds, and binds anew with the new settings; messages wait meanwhile.

    \b
    heliograph carrier set main window=50 throughput=100
    heliograph carrier set main statuses.0x45=permanent network_tlvs=0x1503,0x1504
    """
    settings = _settings(settings_file)
    keys, stored = load_or_create(_existing(data)), require(data, settings, name)
    if name in settings.carriers or not stored.settings:
        refuse(f"{name} is a carrier of the settings file; change it there, and start the server anew")
    if not assignments and not password_stdin:
        refuse(f"nothing to change; write it like: heliograph carrier set {name} window=50", WRONG)
    before = msgspec.to_builtins(unsealed(keys, name, stored.settings))
    words = [*(assignments or []), *([f"password={_password(True)}"] if password_stdin else [])]
    made = settings_of(name, changed(name, before, words), settings.limits.segments)
    _put(data, name, made, new=False)
    after = msgspec.to_builtins(made)
    print_settings(name, before, after, json=json)
    if not json:
        say(_when(data))


@commands.command("list")
def list_(settings_file: SettingsFile = None, data: Data = DATA_FOLDER, json: Json = False) -> None:
    """List carriers: how they stand, and what waits for them.

    \b
    heliograph carrier list
    heliograph carrier list --config heliograph.toml --json
    """
    found = known_carriers(_existing(data), _settings(settings_file))
    rows = [row(one) for one in found]
    if not json:
        rows = [{**one, "default": "yes" if one["default"] else None} for one in rows]
    print_rows(rows, ["name", "kind", "state", "since", "waiting", "default", "why"], json=json, shortened=["why"])
    if not json and found and not found[0].served:
        say("No server runs over this data folder: nothing is connected.")


@commands.command()
def show(name: Name, settings_file: SettingsFile = None, data: Data = DATA_FOLDER, json: Json = False) -> None:
    """Show a carrier's state and settings.

    \b
    heliograph carrier show main
    """
    view = full_view(_existing(data), _settings(settings_file), name)
    if json:
        print_json(view)
        return
    settings = view.pop("settings")
    print_pairs([(key.replace("_", " "), plain(value)) for key, value in view.items()])
    if settings:
        say()
        print_pairs([(key, toml(value)) for key, value in settings.items()])


@commands.command()
def stop(name: Name, settings_file: SettingsFile = None, data: Data = DATA_FOLDER, json: Json = False) -> None:
    """Stop a carrier; its messages wait.

    What it has not answered is waited for, up to messages.stop_seconds. It stays stopped when the server starts anew.

    \b
    heliograph carrier stop main
    """
    _hold(data, _settings(settings_file), name, stopped=True, json=json)


@commands.command()
def start(name: Name, settings_file: SettingsFile = None, data: Data = DATA_FOLDER, json: Json = False) -> None:
    """Start a carrier that was stopped.

    \b
    heliograph carrier start main
    """
    _hold(data, _settings(settings_file), name, stopped=False, json=json)


@commands.command()
def default(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="The carrier of all without one.")] = None,
    none: Annotated[bool, typer.Option("--none", help="Have none: who has no carrier cannot send.")] = False,
    as_configured: Annotated[
        bool, typer.Option("--as-configured", help="Have that of the settings file, messages.default_carrier.")
    ] = False,
    settings_file: SettingsFile = None,
    data: Data = DATA_FOLDER,
    json: Json = False,
) -> None:
    """Change the default carrier, or show it.

    It takes the messages of accounts without a carrier of their own (`heliograph account carrier`). Messages that are
    accepted already stay with theirs.

    \b
    heliograph carrier default main
    heliograph carrier default --as-configured
    """
    if (name is not None) + none + as_configured > 1:
        refuse("NAME, --none and --as-configured exclude one another; give one", WRONG)
    settings = _settings(settings_file)
    if name is not None:
        require(_existing(data), settings, name)
    if name is not None or none or as_configured:
        new = None if as_configured else name or ""
        with_store(_existing(data), lambda store: store.apply(SetDefaultCarrier(new)))
    stored = read(_existing(data), lambda reads: reads.default_carrier())
    now = settings.messages.default_carrier if stored is None else stored
    if json:
        print_json({"default": now or None, "from": "settings" if stored is None else "command"})
    else:
        origin = "messages.default_carrier of the settings" if stored is None else "by command"
        print_pairs([("default carrier", f"{now or 'none'} ({origin})")])


@commands.command()
def strays(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Only this carrier's.")] = None,
    limit: Limit = 20,
    before: Annotated[
        int | None, typer.Option("--before", metavar="ID", help="Only those older than this one, for the next page.")
    ] = None,
    settings_file: SettingsFile = None,
    data: Data = DATA_FOLDER,
    json: Json = False,
) -> None:
    """List receipts that match no message.

    Many of them often mean another message_ids: the carrier writes ids in its receipts otherwise than in its answers.

    \b
    heliograph carrier strays main
    """
    of = None if name is None else require(_existing(data), _settings(settings_file), name).id
    found, names = read(_existing(data), lambda reads: (reads.strays(of or None, limit, before), reads.carriers()))
    rows = [
        {
            "id": one.id,
            "carrier": names.get(one.carrier_id, ""),
            "carrier_id": one.ref,
            "receipt": one.state.name,
            "at": show_time(one.at_utc_ms),
        }
        for one in (found if of != 0 else [])
    ]
    print_rows(rows, ["id", "carrier", "carrier_id", "receipt", "at"], json=json)


@commands.command("test")
def try_(
    name: Name,
    to: Annotated[str, typer.Option("--to", metavar="NUMBER", help="Send a message there, too, free of charge.")] = "",
    sender: Annotated[str, typer.Option("--sender", metavar="SENDER", help="From whom it is.")] = "Heliograph",
    text: Annotated[str, typer.Option("--text", metavar="TEXT", help="What it says.")] = _TEST_TEXT,
    settings_file: SettingsFile = None,
    data: Data = DATA_FOLDER,
    json: Json = False,
) -> None:
    """Try to connect, bind and unbind, with a link of its own.

    Whether a server runs does not matter; a carrier that allows one bind only refuses a second one. Exit code 1 when a
    step fails.

    \b
    heliograph carrier test main
    heliograph carrier test main --to 56912345678
    """
    recipient = recipient_of("--to", to) if to else ""
    body = compose(text, 0, max_segments=1, pointer="--text")
    checked_senders([sender])
    settings = _smpp(_existing(data), _settings(settings_file), name)
    from heliograph.app import send_one, try_once

    async def run() -> list[Any]:
        steps = await try_once(settings)
        if recipient and all(step.ok for step in steps):
            clock = SystemClock()
            steps.append(await send_one(settings, clock, sender=sender, recipient=recipient, text=body))
        return steps

    steps = asyncio.run(run())
    if json:
        print_json({"carrier": name, "ok": all(step.ok for step in steps), "steps": steps})
    else:
        print_pairs((step.name, _told(step)) for step in steps)
    if not all(step.ok for step in steps):
        raise typer.Exit(NO)


def _told(step: Any) -> str:
    return f"{'ok' if step.ok else 'FAILED'} ({step.ms:.0f} ms){': ' * bool(step.detail)}{step.detail}"


# -- what they share


def _settings(file: Path | None) -> Settings:
    return read_settings(file, os.environ).settings


def _existing(data: Path) -> Path:
    require_data(data)
    return data


def _password(from_stdin: bool, *, ask: bool = False) -> str:
    """The password, from where it is given; "" when it is not."""
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if (given := os.environ.get(PASSWORD_VARIABLE)) is not None:
        return given
    if ask and sys.stdin.isatty():
        return str(typer.prompt("Password", default="", hide_input=True, show_default=False))
    return ""


def _put(data: Path, name: str, settings: SmppSettings, *, new: bool) -> None:
    operation = PutCarrier(name, sealed(load_or_create(data), name, settings), new)
    with_store(data, lambda store: store.apply(operation), create=new)


def _hold(data: Path, settings: Settings, name: str, *, stopped: bool, json: bool) -> None:
    require(_existing(data), settings, name)

    async def act(store: Store) -> None:
        await store.apply(HoldCarrier(name, stopped))

    with_store(data, act)
    _print_after(data, settings, name, "stopped" if stopped else "started", json=json)


def _print_after(data: Path, settings: Settings, name: str, what: str, *, json: bool) -> None:
    if json:
        print_json(full_view(data, settings, name))
        return
    say(f"carrier {name} {what}")
    say(_when(data))


def _when(data: Path) -> str:
    served = lock_holder(data / LOCK) != ""
    return "The server follows within two seconds." if served else "No server runs; one follows when it starts."


def _smpp(data: Path, settings: Settings, name: str) -> SmppSettings:
    """The settings of a carrier over SMPP, of the file or stored."""
    stored: Known = require(data, settings, name)
    found: CarrierSettings | None = settings.carriers.get(name)
    if found is None and stored.settings:
        found = unsealed(load_or_create(data), name, stored.settings)
    if found is None:
        refuse(f"{name} is in no settings that are known here; name the server's settings with --config FILE")
    if not isinstance(found, SmppSettings):
        refuse(f"{name} is a simulator, which has nothing to connect to; test a carrier over SMPP")
    return found
