"""`heliograph account optout`: who wants no more messages from an account."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from heliograph.cli.common import DATA_FOLDER, AccountId, Data, Json, find_account, print_json, say, with_store
from heliograph.cli.inputs import recipient_of, require_alone
from heliograph.cli.times import now_utc_ms
from heliograph.store.interface import Reads, SetOptOut, Store

_PAGE = 10_000


def optout(
    account: AccountId,
    add: Annotated[
        list[str] | None,
        typer.Option("--add", metavar="NUMBER", help="A recipient that wants nothing more. Repeat it for more."),
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option("--remove", metavar="NUMBER", help="One that wants messages again.")
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="Name all that have opted out.")] = False,
    data: Data = DATA_FOLDER,
    json: Json = False,
) -> None:
    """Note who wants no more messages, or show it.

    A message to one that has opted out is rejected at once, and refunded.

    \b
    heliograph account optout demo --add +56912345678
    heliograph account optout demo --list
    """
    added = [recipient_of("--add", one) for one in add or []]
    removed = [recipient_of("--remove", one) for one in remove or []]
    if list_:
        require_alone("--list", added, removed)
    ref, noted, recipients = _opt(data, account, added, removed)
    if json:
        print_json({"account_id": ref, "opted_out": len(recipients), **({"recipients": recipients} if list_ else {})})
        return
    for line in recipients if list_ else [*noted, f"{ref}: {len(recipients)} opted out"]:
        say(line)


def _opt(data: Path, name: str, out: list[str], in_: list[str]) -> tuple[str, list[str], list[str]]:
    """Note who has opted out and who in again: the account's id, what to say of each, and all that have opted out."""
    wanted = [*((recipient, True) for recipient in out), *((recipient, False) for recipient in in_)]

    async def act(store: Store) -> tuple[str, list[str], list[str]]:
        found = await store.read(lambda reads: find_account(reads, name))
        told = []
        for recipient, opted_out in wanted:
            new = await store.apply(SetOptOut(found.id, recipient, opted_out, now_utc_ms()))
            already = "" if new else " already"
            told.append(f"{recipient} has opted out{already}" if opted_out else f"{recipient} gets messages{already}")
        return found.ref, told, await store.read(lambda reads: _opted_out(reads, found.id))

    return with_store(data, act)


def _opted_out(reads: Reads, account_id: int) -> list[str]:
    found: list[str] = []
    while page := reads.opt_outs(account_id, found[-1] if found else "", _PAGE):
        found += page
    return found
