"""What there is to set and to type is in the docs, as it is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from heliograph import config
from heliograph.cli.main import app

PAGE = (Path(__file__).parents[3] / "docs" / "settings.md").read_text()


def commands(group: typer.Typer, name: str) -> Iterator[str]:
    for command in group.registered_commands:
        yield f"{name} {command.name or getattr(command.callback, '__name__', '')}"
    for inner in group.registered_groups:
        assert inner.typer_instance is not None
        yield from commands(inner.typer_instance, f"{name} {inner.name}")


SETTINGS = [*config.reference(), *config.smpp_reference()]


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_is_documented_with_its_default_and_bounds(setting: config.Setting) -> None:
    default = setting.default if setting.default == config.REQUIRED else config.toml(setting.default)
    row = f"| `{setting.name}` | `{default}` | {setting.description} | {setting.bounds}"
    assert f"{row.rstrip()} |\n" in PAGE


def test_no_setting_is_documented_that_is_not_there() -> None:
    documented = re.findall(r"^\| `([a-z]+\.[^`]+)` \|", PAGE, re.MULTILINE)
    assert sorted(documented) == sorted(setting.name for setting in SETTINGS)


def test_every_command_is_documented_and_no_other() -> None:
    documented = re.findall(r"^\| `(heliograph [^`]+)` \|", PAGE, re.MULTILINE)
    assert sorted(documented) == sorted(commands(app, "heliograph"))
