"""`heliograph inbound`: messages that people wrote to our numbers."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from heliograph.cli.common import DATA_FOLDER, WRONG, Data, Json, find_account, group, read, refuse, show_time
from heliograph.cli.listing import Limit, OfAccount, print_rows
from heliograph.store.interface import Reads

commands = group("Messages from phones.")


@commands.command("list")
def list_(
    account: OfAccount = None,
    unowned: Annotated[bool, typer.Option("--unowned", help="Only those to numbers that no account has.")] = False,
    limit: Limit = 20,
    before: Annotated[
        int | None, typer.Option("--before", metavar="ID", min=1, help="Only those older than this one.")
    ] = None,
    data: Data = DATA_FOLDER,
    json: Json = False,
) -> None:
    """List messages from phones, newest first.

    Long texts are cut short here, not in JSON. Which account's a message is was decided when it came: `heliograph
    account inbound` says whose the next ones are.

    \b
    heliograph inbound list --account demo
    heliograph inbound list --unowned --limit 100 --json
    """
    if account is not None and unowned:
        refuse("--account goes not with --unowned: what is unowned is no account's; leave out one of them", WRONG)

    def query(reads: Reads) -> list[dict[str, Any]]:
        owner = 0 if unowned else find_account(reads, account).id if account else None
        refs = {one.id: one.ref for one in reads.accounts()}
        carriers = reads.carriers()
        return [
            {
                "id": one.id,
                "received": show_time(one.received_utc_ms),
                "account_id": refs.get(one.account_id),
                "from": f"+{one.sender}",
                "to": one.recipient,
                "carrier": carriers.get(one.carrier_id, ""),
                "text": one.text,
            }
            for one in reads.inbound(owner, limit, before)
        ]

    keys = ("id", "received", "account_id", "from", "to", "carrier", "text")
    print_rows(read(data, query), keys, json=json, shortened=("text",))
