"""`heliograph config`: writing, checking and showing the settings."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from heliograph import config
from heliograph.cli.common import NO, Json, group, print_json, print_table, refuse, say

commands = group("Settings: write, check and show them.")

SettingsFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", envvar="HELIOGRAPH_CONFIG", help="The settings file (TOML)."),
]


@commands.command()
def init(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it.")] = Path("heliograph.toml"),
) -> None:
    """Write a file with every setting explained.

    \b
    heliograph config init
    heliograph config init /etc/heliograph.toml
    """
    try:
        with file.open("x", encoding="utf-8") as target:
            target.write(template())
    except FileExistsError:
        refuse(f"{file} exists already and stays as it is; name another file, or remove it first")
    say(f"{file} written; edit it, then: heliograph config check --config {file}")


@commands.command()
def check(settings_file: SettingsFile = None) -> None:
    """Say "ok", or what is wrong.

    What counts is the file with the environment over it, as a server would read them. Exit code 1 when it is not ok.

    \b
    heliograph config check --config heliograph.toml
    """
    try:
        config.read(settings_file, os.environ)
    except config.ConfigError as error:
        refuse("\n".join(error.problems), NO)
    say("ok")


@commands.command()
def show(settings_file: SettingsFile = None, json: Json = False) -> None:
    """Show what is in effect, and why.

    Each setting with where it comes from: the file, a variable of the environment, or its default.

    \b
    heliograph config show --config heliograph.toml
    HELIOGRAPH_HTTP__PORT=9000 heliograph config show
    """
    effective = config.read(settings_file, os.environ)
    rows = [
        (config.dotted(at), config.shown(at, value), effective.origins.get(config.dotted(at), "default"))
        for at, value in config.values(effective.settings).items()
    ]
    if json:
        print_json({name: {"value": value, "from": origin} for name, value, origin in rows})
    else:
        print_table(("SETTING", "VALUE", "FROM"), [(name, config.toml(value), origin) for name, value, origin in rows])


def template() -> str:
    """A settings file that says everything and changes nothing."""
    lines = [
        "# Settings of a Heliograph server: heliograph serve --config heliograph.toml",
        "# What is commented out is a default; remove the # before a name to change it, then: heliograph config check",
        "# An environment variable goes before this file: HELIOGRAPH_HTTP__PORT=9000 before `port` of [http].",
    ]
    table: config.Where = ()
    for setting in config.reference():
        if setting.path[:-1] != table:
            table = setting.path[:-1]
            lines += ["", *_heading(table)]
        bounds = f" Bounds: {setting.bounds}." if setting.bounds else ""
        lines += [
            f"# {setting.description}{bounds}",
            f"#{config.dotted(setting.path[-1:])} = {config.toml(setting.default)}",
        ]
    lines += ["", *_smpp_example()]
    return "\n".join(lines) + "\n"


def _smpp_example() -> list[str]:
    """The table of a carrier over SMPP, which has no default one."""
    lines = [
        "# A carrier over SMPP has these. `heliograph carrier add` makes one on a running server.",
        "# [carriers.NAME]",
    ]
    for setting in config.smpp_reference():
        bounds = f" Bounds: {setting.bounds}." if setting.bounds else ""
        value = "" if setting.default == config.REQUIRED else config.toml(setting.default)
        lines.append(f"# {setting.path[-1]} = {value or '…'}  # {setting.description}{bounds}")
    return lines


def _heading(table: config.Where) -> list[str]:
    if len(table) == 1:
        return [f"[{table[0]}]"]
    return [
        f"# [{table[0]}] has a table for each name. One in this file replaces the default, which is this:",
        f"#[{config.dotted(table)}]",
    ]
