"""What the commands that list share."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any

import typer

from heliograph.cli.common import print_json, print_table

_LONGEST = 60  # characters of what is shortened

OfAccount = Annotated[str | None, typer.Option("--account", metavar="ID", help="Only this account's, by id or name.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many.")]
Before = Annotated[
    str | None, typer.Option("--before", metavar="ID", help="Only those older than this one, for the next page.")
]


def print_rows(
    rows: Sequence[Mapping[str, Any]], keys: Sequence[str], *, json: bool, shortened: Collection[str] = ()
) -> None:
    """Print rows whole as JSON, or a table of these keys for people, some of them `shortened`."""
    if json:
        print_json(rows)
    else:
        print_table(
            [key.upper().replace("_", " ") for key in keys],
            [[_short(one_line(row[key])) if key in shortened else one_line(row[key]) for key in keys] for row in rows],
        )


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def one_line(value: object) -> str:
    """A value on one line, whatever a stranger wrote."""
    text = "-" if value in (None, "") else str(value)
    return text if text.isprintable() else repr(text)
