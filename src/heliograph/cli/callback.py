"""`heliograph callback`: what customers' servers were told, and telling it once more."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import msgspec
import typer

from heliograph.cli.common import (
    DATA_FOLDER,
    WRONG,
    Data,
    Json,
    find_account,
    group,
    print_json,
    print_pairs,
    public_ids,
    read,
    refuse,
    require_data,
    say,
    show_time,
    with_store,
)
from heliograph.cli.listing import Before, Limit, OfAccount, one_line, print_rows
from heliograph.cli.times import now_utc_ms
from heliograph.kit.ids import PublicIds
from heliograph.messaging.accounts import Account
from heliograph.store.interface import (
    CALLED_BACK,
    REPLAYED,
    Callback,
    CallbackFilter,
    Event,
    Reads,
    ReplayCallbacks,
    Store,
)
from heliograph.webhooks import schedule

commands = group("Callbacks: delivery reports and inbound messages, on their way to customers.")

_PAGE = 1_000  # replayed in one transaction
_LEAD_MS = 1_000  # into the future, so that a running server has not looked at that moment yet
_REPLAYABLE = ("failed", "acknowledged")
_REMEDY = "`heliograph callback list` shows those there are"


class State(StrEnum):
    """How a callback stands."""

    PENDING = "pending"
    ACKNOWLEDGED = "acknowledged"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Kind(StrEnum):
    """What a callback tells."""

    DLR = "dlr"
    MO = "mo"


OfKind = Annotated[Kind | None, typer.Option("--kind", help="Only delivery reports (dlr) or inbound messages (mo).")]


Replayed = tuple[int, set[tuple[str, str]]]
"""How many callbacks were replayed, and whose (account and kind) have nowhere to go."""


class Known(msgspec.Struct, frozen=True):
    """A callback with what the store knows besides."""

    callback: Callback
    account: Account | None
    events: list[Event]


@commands.command("list")
def list_(
    account: OfAccount = None,
    state: Annotated[State | None, typer.Option("--state", help="Only those that stand so.")] = None,
    kind: OfKind = None,
    limit: Limit = 20,
    before: Before = None,
    data: Data = DATA_FOLDER,
    json: Json = False,
) -> None:
    """List callbacks, newest first.

    \b
    heliograph callback list --state failed
    heliograph callback list --account demo --kind mo --limit 100 --json
    """
    require_data(data)
    ids = public_ids(data)
    below = None if before is None else _internal(ids, before)

    def query(reads: Reads) -> list[dict[str, Any]]:
        refs = {one.id: one.ref for one in reads.accounts()}
        found = reads.callbacks(_filter(reads, account, state, kind), limit, below)
        return [_view(ids, one, refs.get(one.account_id, "")) for one in found]

    keys = ("id", "account_id", "kind", "state", "attempt", "created", "next_attempt", "last_result")
    print_rows(read(data, query), keys, json=json)


@commands.command()
def show(
    callback: Annotated[str, typer.Argument(metavar="ID", help="The webhook-id, as the customer's server saw it.")],
    data: Data = DATA_FOLDER,
    json: Json = False,
) -> None:
    """Show a callback: its body, where it goes, what came of its attempts.

    \b
    heliograph callback show cb_2081559302948832
    """
    require_data(data)
    ids = public_ids(data)
    internal = _internal(ids, callback)

    def query(reads: Reads) -> Known:
        found = reads.callback(internal)
        if found is None:
            _unknown(callback)
        account = next((one for one in reads.accounts() if one.id == found.account_id), None)
        return Known(found, account, reads.events(found.message_id) if found.message_id else [])

    known = read(data, query)
    shown = _view(ids, known.callback, known.account.ref if known.account else "")
    shown["url"] = known.callback.url or _url(known)
    shown["body"] = known.callback.body.decode(errors="replace")
    attempts = [
        {"at": show_time(event.at_utc_ms), "event": event.event, "detail": event.detail} for event in _attempts(known)
    ]
    if json:
        print_json({**shown, "attempts": attempts})
        return
    if not shown["url"]:
        option = "--mo-url" if known.callback.kind == Kind.MO else "--dlr-url"
        shown["url"] = f"none; `heliograph account callbacks {shown['account_id']} {option} URL` sets one"
    print_pairs((name.replace("_", " "), one_line(value)) for name, value in shown.items())
    for one in attempts:
        say(f"  {one['at']}  {one['event']:<12}  {one['detail']}".rstrip())


@commands.command()
def replay(
    callbacks: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ID]…", help="Webhook-ids of callbacks that failed or were acknowledged."),
    ] = None,
    failed: Annotated[
        bool, typer.Option("--failed", help="All that failed, of everybody unless told otherwise.")
    ] = False,
    account: OfAccount = None,
    kind: OfKind = None,
    data: Data = DATA_FOLDER,
    json: Json = False,
) -> None:
    """Call back once more: a new run of seven attempts, with the same body and the same webhook-id.

    They go to the account's URL of now. A running server begins within two seconds, or else the next one that starts.

    \b
    heliograph callback replay cb_2081559302948832
    heliograph callback replay --failed --account demo --kind dlr
    """
    if bool(callbacks) == failed:
        refuse("name callbacks by their ids, or all that failed by --failed; one of the two", WRONG)
    if not failed and (account is not None or kind is not None):
        refuse("--account and --kind go with --failed; an id says it all", WRONG)
    count, uncalled = _replay_failed(data, account, kind) if failed else _replay_these(data, callbacks or [])
    for ref, what in sorted(uncalled):
        option = f"`heliograph account callbacks {ref} --{'mo' if what == Kind.MO else 'dlr'}-url URL` sets one"
        typer.echo(f"note: {ref} has no URL for its {what} callbacks, so these go nowhere; {option}", err=True)
    if json:
        print_json({"replayed": count})
    else:
        say(f"{count} callback{'s' * (count != 1)} replayed{': a new run of seven attempts each' * bool(count)}")


def _replay_these(data: Path, names: list[str]) -> Replayed:
    """Replay callbacks by their public ids, all of them or none."""
    require_data(data)
    ids = public_ids(data)
    wanted = {_internal(ids, name): name for name in names}

    def check(reads: Reads) -> list[Callback]:
        checked = []
        for internal, name in wanted.items():
            found = reads.callback(internal)
            if found is None:
                _unknown(name)
            if found.state not in _REPLAYABLE:
                why = {State.PENDING: "it is still being called back", State.CANCELLED: "a later report replaced it"}
                refuse(f"{name} is {found.state}: {why[State(found.state)]}; nothing is replayed, leave it out")
            checked.append(found)
        return checked

    async def act(store: Store) -> Replayed:
        found = await store.read(check)
        return await _replay(store, found), await store.read(lambda reads: _uncalled(reads, found))

    return with_store(data, act)


def _replay_failed(data: Path, account: str | None, kind: Kind | None) -> Replayed:
    """Replay everything that failed, page by page."""

    async def act(store: Store) -> Replayed:
        wanted = await store.read(lambda reads: _filter(reads, account, State.FAILED, kind))
        count, below, uncalled = 0, None, set()
        while page := await store.read(lambda reads: reads.callbacks(wanted, _PAGE, below)):  # noqa: B023
            below = page[-1].id
            count += await _replay(store, page)
            uncalled |= await store.read(lambda reads: _uncalled(reads, page))
        return count, uncalled

    return with_store(data, act)


async def _replay(store: Store, callbacks: list[Callback]) -> int:
    replayed: list[int] = await store.apply(ReplayCallbacks([one.id for one in callbacks], now_utc_ms() + _LEAD_MS))
    return len(replayed)


def _uncalled(reads: Reads, callbacks: list[Callback]) -> set[tuple[str, str]]:
    """The accounts, with the kind, of callbacks that have nowhere to go."""
    accounts = {one.id: one for one in reads.accounts()}
    return {
        (accounts[one.account_id].ref, one.kind)
        for one in callbacks
        if one.account_id in accounts and not one.url and not _url(Known(one, accounts[one.account_id], []))
    }


def _filter(reads: Reads, account: str | None, state: State | None, kind: Kind | None) -> CallbackFilter:
    owner = find_account(reads, account).id if account else None
    return CallbackFilter(account_id=owner, state=state or "", kind=kind or "")


# -- ids


def _internal(ids: PublicIds, webhook_id: str) -> int:
    from heliograph.service.notify import callback_id_of  # takes a third of a second, which `--help` need not

    found = callback_id_of(ids, webhook_id)
    if found is None:
        _unknown(webhook_id)
    return found


def _unknown(webhook_id: str) -> NoReturn:
    refuse(f"there is no callback {webhook_id[:40]!r}; {_REMEDY}, with ids like cb_2081559302948832")


# -- showing


def _view(ids: PublicIds, callback: Callback, account: str) -> dict[str, Any]:
    from heliograph.service.notify import webhook_ids

    more = callback.state == State.PENDING and callback.attempt < schedule.ATTEMPTS
    return {
        "id": webhook_ids(ids, [callback.id])[0],
        "account_id": account,
        "message_id": str(ids.publish(callback.message_id, 1)[0]) if callback.message_id else None,
        "kind": callback.kind,
        "state": callback.state,
        "attempt": callback.attempt,
        "created": show_time(callback.created_utc_ms),
        "next_attempt": show_time(callback.next_utc_ms) if more else None,
        "last_result": callback.last_result,
    }


def _url(known: Known) -> str:
    """Where the next attempt would go, by the account's settings of now."""
    if known.account is None:
        return ""
    return known.account.mo_url if known.callback.kind == Kind.MO else known.account.dlr_url


def _attempts(known: Known) -> Iterator[Event]:
    """Attempts that failed and replays, from the timeline of the callback's message. Others are not kept there."""
    for event in known.events:
        if event.event in (CALLED_BACK, REPLAYED) and event.at_utc_ms >= known.callback.created_utc_ms:
            yield event
