"""`heliograph audit`."""

from __future__ import annotations

import typer

from heliograph.cli.common import DATA_FOLDER, NO, Data, Json, print_json, public_ids, say, with_store
from heliograph.cli.words import count
from heliograph.service.audit import Audit
from heliograph.service.audit import audit as replay
from heliograph.store.interface import Reads


def audit(data: Data = DATA_FOLDER, json: Json = False) -> None:
    """Replay the ledger and compare.

    Every posting is added up anew and held against balances, charges and refunds, in one view of the data: a server
    may go on sending meanwhile. Exit code 1 when anything differs.

    \b
    heliograph audit
    heliograph audit --json --data /var/lib/heliograph
    """

    def query(reads: Reads) -> tuple[Audit, dict[int, str]]:
        return replay(reads), {account.id: account.ref for account in reads.accounts()}

    result, accounts = with_store(data, lambda store: store.read(query))
    ids = public_ids(data)
    differences = [
        {
            "account_id": accounts.get(one.account_id, f"internal id {one.account_id}"),
            "message_id": str(ids.publish(one.message_id, 1)[0]) if one.message_id else None,
            "what": one.what,
        }
        for one in result.differences
    ]
    if json:
        counts = {"accounts": result.accounts, "postings": result.postings, "messages": result.messages}
        complete = {"found": result.found, "complete": result.complete, "differences": differences}
        print_json({"agrees": not result.found, **counts, **complete})
    else:
        _print(result, differences)
    if result.found:
        raise typer.Exit(NO)


def _print(result: Audit, differences: list[dict[str, str | None]]) -> None:
    kinds = ((result.accounts, "account"), (result.postings, "posting"), (result.messages, "message"))
    say(f"{', '.join(count(number, kind) for number, kind in kinds)} replayed")
    for one in differences:
        message = f", message {one['message_id']}" if one["message_id"] else ""
        say(f"  account {one['account_id']}{message}: {one['what']}")
    if not result.found:
        say("the books agree")
        return
    at_least = "" if result.complete else "more than "
    say(f"{at_least}{count(result.found, 'difference')}; {_shown(len(differences), result.found)}")


def _shown(shown: int, found: int) -> str:
    if shown < found:
        return f"the first {shown} are above"
    return "it is above" if shown == 1 else "they are above"
