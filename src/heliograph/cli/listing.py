"""What the commands that list share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from heliograph.cli.common import print_json, print_table

OfAccount = Annotated[str | None, typer.Option("--account", metavar="ID", help="Only this account's, by id or name.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="How many.")]
Before = Annotated[
    str | None, typer.Option("--before", metavar="ID", help="Only those older than this one, for the next page.")
]


def print_rows(rows: Sequence[Mapping[str, Any]], keys: Sequence[str], *, json: bool) -> None:
    """Print rows whole as JSON, or a table of these keys for people."""
    if json:
        print_json(rows)
    else:
        print_table(
            [key.upper().replace("_", " ") for key in keys], [[one_line(row[key]) for key in keys] for row in rows]
        )


def one_line(value: object) -> str:
    """A value on one line, whatever a stranger wrote."""
    text = "-" if value in (None, "") else str(value)
    return text if text.isprintable() else repr(text)
