"""`heliograph account`: by which carrier an account sends, and at which prices."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from heliograph.cli.account_view import change
from heliograph.cli.carrier_view import require
from heliograph.cli.common import DATA_FOLDER, AccountId, Data, Json, refuse, require_data
from heliograph.cli.config import SettingsFile
from heliograph.cli.inputs import require_alone
from heliograph.config import read


def carrier(
    account: AccountId,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="The carrier that it sends by.")] = None,
    default: Annotated[bool, typer.Option("--default", help="Have it send by the default carrier.")] = False,
    settings_file: SettingsFile = None,
    data: Data = DATA_FOLDER,
    json: Json = False,
) -> None:
    """Change by which carrier it sends, or show it.

    Messages that are accepted already stay with theirs. Should its own refuse the route, the default carrier is next.

    \b
    heliograph account carrier demo main
    heliograph account carrier demo --default
    """
    if default:
        require_alone("--default", [name] if name is not None else [])
    if name is not None:
        require_data(data)
        require(data, read(settings_file, os.environ).settings, name)
    changes = {"carrier": name or ""} if default or name is not None else {}
    change(data, account, ["carrier"], lambda _: changes, json=json)


def prices(
    account: AccountId,
    price_list: Annotated[
        str | None, typer.Argument(metavar="[LIST]", help="A table of [prices] in the server's settings.")
    ] = None,
    settings_file: SettingsFile = None,
    data: Data = DATA_FOLDER,
    json: Json = False,
) -> None:
    """Change at which prices it sends, or show it.

    \b
    heliograph account prices demo cheap --config heliograph.toml
    heliograph account prices demo default
    """
    if price_list is not None:
        lists = read(settings_file, os.environ).settings.prices
        if price_list not in lists:
            refuse(
                f"there is no price list {price_list[:80]!r} in the settings, which have {', '.join(lists)}; add"
                f" [prices.NAME] to the file, or name the server's settings with --config FILE"
            )
    changes = {} if price_list is None else {"price_list": price_list}
    change(data, account, ["price_list"], lambda _: changes, json=json)


ROUTING = (carrier, prices)
