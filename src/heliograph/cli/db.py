"""`heliograph db`: copying the data, bringing them up to date, measuring them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from heliograph.cli.common import (
    DATA_FOLDER,
    NO,
    UNUSABLE,
    Data,
    Json,
    explained,
    group,
    print_json,
    print_pairs,
    print_table,
    refuse,
    require_data,
    say,
    show_time,
)
from heliograph.cli.credentials import KEPT
from heliograph.cli.words import show_size
from heliograph.kit.keys import DATABASE, FILE, foreign_keys, load_or_create, mark_installed, write_private
from heliograph.messaging.pricing import exact
from heliograph.store.interface import SchemaTooNew
from heliograph.store.maintenance import Figures, Maintenance, Rows, Schema

commands = group("The database: back it up, bring it up to date, measure it.")

_BESIDES = (FILE, KEPT)  # what belongs to the database: the keys, and a demo's only copy of its secret
_ROOM_BYTES = 16 << 20  # that a copy may need beyond the size of the database


@commands.command()
def backup(
    destination: Annotated[Path, typer.Argument(metavar="DEST", help="The folder to make; it may exist if empty.")],
    data: Data = DATA_FOLDER,
    json: Json = False,
) -> None:
    """Copy database and keys into a new folder.

    A server may go on running: the copy is of one moment, and checked. There is either a whole backup or none. It
    holds all keys and messages, so only its owner can read it; your settings file is not in it. A backup is a data
    folder: to restore it, serve it, or a copy of it.

    \b
    heliograph db backup /mnt/backup/heliograph-$(date +%F)
    cp -a /mnt/backup/heliograph-2026-01-31 ./restored && heliograph serve --data ./restored
    """
    from heliograph.app import maintenance

    require_data(data)
    _require_place(destination, data)
    source = maintenance(data)
    with explained(data):
        _require_own_keys(data, source)
        size = source.size()
        _require_room(destination, size.database_bytes + size.log_bytes + _ROOM_BYTES)
        with _whole_folder(destination) as folder:
            for name in _BESIDES:
                if (data / name).exists():
                    write_private(folder / name, (data / name).read_bytes())
            mark_installed(folder)
            source.copy(folder / DATABASE)
    files = {file.name: file.stat().st_size for file in sorted(destination.iterdir())}
    if json:
        print_json({"backup": str(destination), "files": files})
    else:
        say(f"{destination} is a whole backup of {data}, and checked:")
        print_pairs((name, show_size(length)) for name, length in files.items())
        say("It is a data folder. To restore it, stop the server and serve a copy of it:")
        say(f"  cp -a {destination} NEW && heliograph serve --data NEW")


@commands.command()
def migrate(
    check: Annotated[bool, typer.Option("--check", help="Only tell; exit code 1 when the schema is behind.")] = False,
    data: Data = DATA_FOLDER,
    json: Json = False,
) -> None:
    """Bring the schema to this program's version.

    A server does it when it starts. Here it can be done before, and only while none runs. There is no way back but a
    backup: make one first.

    \b
    heliograph db migrate --check
    heliograph db backup /mnt/backup/before && heliograph db migrate
    """
    from heliograph.app import maintenance

    require_data(data)
    with explained(data):
        schema = maintenance(data).schema()
        if schema.found > schema.newest:
            raise SchemaTooNew(_too_new(data, schema))
        behind = schema.found < schema.newest
        if behind and not check:
            asyncio.run(_migrate(data))
    if json:
        print_json({"from": schema.found, "to": schema.newest, "behind": behind, "migrated": behind and not check})
    elif not behind:
        say(f"{data} has schema {schema.found}, this program's: nothing to do")
    elif check:
        say(f"{data} has schema {schema.found}, this program's is {schema.newest}; to bring it there:")
        say(f"  heliograph db backup DEST --data {data} && heliograph db migrate --data {data}")
    else:
        say(f"{data}: schema {schema.found} → {schema.newest}")
    if check and behind:
        raise typer.Exit(NO)


@commands.command()
def stats(data: Data = DATA_FOLDER, json: Json = False) -> None:
    """Measure the database.

    Sizes, rows, open messages, callbacks that are pending or failed, and what the ledger comes to. Rows of a large
    table are estimated, and say so.

    \b
    heliograph db stats
    heliograph db stats --json --data /var/lib/heliograph
    """
    from heliograph.app import maintenance

    require_data(data)
    with explained(data):
        figures = maintenance(data).figures()
    if json:
        print_json(_view(figures))
    else:
        _print(data, figures)


# -- the backup's folder


def _require_own_keys(data: Path, source: Maintenance) -> None:
    """Refuse to copy keys that are not the database's: what is restored would be useless."""
    if source.fingerprint() not in ("", load_or_create(data).fingerprint()):
        refuse(foreign_keys(data), UNUSABLE)


def _require_place(destination: Path, data: Path) -> None:
    if destination.resolve().is_relative_to(data.resolve()):
        refuse(f"{destination} is in the data folder, and would be lost with it; name a folder elsewhere", UNUSABLE)
    if destination.is_symlink() or (destination.exists() and not destination.is_dir()):
        refuse(f"{destination} exists and is not a folder; name a new one", UNUSABLE)
    if destination.is_dir() and any(destination.iterdir()):
        refuse(f"{destination} is not empty, and a backup never overwrites; name a new folder", UNUSABLE)
    parent = destination.absolute().parent
    if not parent.is_dir():  # not made: a disk that is not mounted would go unnoticed
        refuse(f"{parent} does not exist; make it, or mount what belongs there", UNUSABLE)
    if not os.access(parent, os.W_OK | os.X_OK):
        refuse(f"{parent} cannot be written by this user; name a folder elsewhere, or correct its owner", UNUSABLE)


def _require_room(destination: Path, needed: int) -> None:
    free = shutil.disk_usage(destination.absolute().parent).free
    if free < needed:
        refuse(
            f"{destination.absolute().parent} has {show_size(free)} free and the backup needs {show_size(needed)};"
            " make room, or name a folder on another disk",
            UNUSABLE,
        )


@contextlib.contextmanager
def _whole_folder(destination: Path) -> Iterator[Path]:
    """A folder to fill, which gets its name when all in it is on disk; when filling it fails, nothing stays."""
    final = destination.absolute()
    temporary = final.with_name(f".{final.name}.partial-{secrets.token_hex(4)}")
    temporary.mkdir(mode=0o700)
    try:
        yield temporary
        _flush_folder(temporary)
        temporary.rename(final)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    _flush_folder(final.parent)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# -- the schema


async def _migrate(data: Path) -> None:
    """What a server does when it starts, and as one: nobody else may serve the data meanwhile."""
    from heliograph.app import open_store

    store = open_store(data, exclusive=True)
    await store.open()
    await store.close()


def _too_new(data: Path, schema: Schema) -> str:
    return (
        f"{data} has schema {schema.found}, this program knows {schema.newest}; run the version of Heliograph that"
        " wrote it or a later one, or go back to the backup that was made before"
    )


# -- figures


def _view(figures: Figures) -> dict[str, Any]:
    money = figures.money
    return {
        "schema": figures.schema.found,
        "newest_schema": figures.schema.newest,
        "database_bytes": figures.size.database_bytes,
        "log_bytes": figures.size.log_bytes,
        "free_bytes": figures.size.free_bytes,
        "rows": {one.table: {"rows": one.rows, "precision": one.precision} for one in figures.tables},
        "oldest_message": show_time(figures.oldest_message_utc_ms),
        "newest_message": show_time(figures.newest_message_utc_ms),
        "carriers": {
            one.name: {
                "open": one.open,
                "waiting": one.waiting,
                "oldest_waiting": show_time(one.oldest_waiting_utc_ms),
            }
            for one in figures.carriers
        },
        "callbacks": {"pending": figures.pending_callbacks, "failed": figures.failed_callbacks},
        "ledger": {
            "topups": exact(money.topups_micros),
            "charges": exact(money.charges_micros),
            "refunds": exact(money.refunds_micros),
            "balances": exact(money.balances_micros),
        },
    }


def _print(data: Path, figures: Figures) -> None:
    size, schema, money = figures.size, figures.schema, figures.money
    behind = f", this program's is {schema.newest}: heliograph db migrate" if schema.found < schema.newest else ""
    say(str(data / DATABASE))
    print_pairs(
        (
            ("schema", f"{schema.found}{behind}"),
            ("size", f"{show_size(size.database_bytes)}, of which {show_size(size.free_bytes)} are free pages"),
            ("log (WAL)", show_size(size.log_bytes)),
            ("oldest message", show_time(figures.oldest_message_utc_ms) or "none"),
            ("newest message", show_time(figures.newest_message_utc_ms) or "none"),
            ("callbacks", f"{figures.pending_callbacks:,} pending, {figures.failed_callbacks:,} failed"),
            ("top-ups", exact(money.topups_micros)),
            ("charges", exact(money.charges_micros)),
            ("refunds", exact(money.refunds_micros)),
            ("balances", exact(money.balances_micros)),
        )
    )
    say()
    print_table(
        ("CARRIER", "OPEN", "WAITING", "OLDEST WAITING"),
        [
            (one.name, f"{one.open:,}", f"{one.waiting:,}", show_time(one.oldest_waiting_utc_ms) or "")
            for one in figures.carriers
        ],
    )
    say()
    print_table(("TABLE", "ROWS"), [(one.table, _rows(one)) for one in figures.tables])


def _rows(one: Rows) -> str:
    return f"{one.rows:,}" if one.precision == "exact" else f"{one.precision} {one.rows:,}"
