"""`heliograph account`: one command a setting. Each changes it, or shows it when it is told nothing to change."""

from __future__ import annotations

import contextlib
from enum import StrEnum
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from heliograph.cli.account_view import Changes, change, edited, print_change
from heliograph.cli.common import (
    DATA_FOLDER,
    NO,
    WRONG,
    AccountId,
    Data,
    Json,
    find_account,
    refuse,
    with_store,
)
from heliograph.cli.credentials import KEPT, LOOPBACK
from heliograph.cli.inputs import (
    checked_senders,
    country_of,
    inbound_numbers,
    micros_of,
    network_of,
    per_minute_of,
    require_alone,
    url_of,
    validity_of,
)
from heliograph.messaging.accounts import Account, Tier
from heliograph.messaging.numbers import NumberPolicy
from heliograph.messaging.pricing import exact, show_balance
from heliograph.store.interface import Reads, SetCredit, Store
from heliograph.webhooks.guard import Guard, parse_networks


class Switch(StrEnum):
    """What can be switched."""

    ON = "on"
    OFF = "off"


def senders(
    account: AccountId,
    add: Annotated[
        list[str] | None, typer.Option("--add", metavar="SENDER", help="One that it may use. Repeat it for more.")
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option("--remove", metavar="SENDER", help="One that it may use no more.")
    ] = None,
    any_: Annotated[bool, typer.Option("--any", help="Let it use any well-formed sender.")] = False,
    data: Data = DATA_FOLDER,
    json: Json = False,
) -> None:
    """Change which senders it may use, or show them.

    For an account that may use any, the first --add begins a list, and only what is on it may be used from then on.

    \b
    heliograph account senders demo --add SHOP --remove 96000
    heliograph account senders demo --any
    """
    added, removed = checked_senders(add or []), remove or []
    if any_:
        require_alone("--any", added, removed)

    def decide(found: Account) -> Changes:
        if any_:
            return {"senders": None}
        if not added and not removed:
            return {}
        if found.senders is None and removed:
            refuse("the account may use any sender; name those that it may with --add", NO)
        new = edited(found.senders or frozenset(), added, removed, "sender")
        default = found.default_sender if found.default_sender in new else next(iter([*added, *sorted(new)]), "")
        return {"senders": new, "default_sender": default}

    change(data, account, ["senders", "default_sender"], decide, json=json)


def limit(
    account: AccountId,
    per_minute: Annotated[
        str | None, typer.Option("--per-minute", metavar="N", help="Calls in any 60 seconds, or none for no limit.")
    ] = None,
    data: Data = DATA_FOLDER,
    json: Json = False,
) -> None:
    """Change how many calls it may make, or show it.

    What is over it gets 429. It holds for all APIs together. Without one RealTime SMS has no limit, and 747 SMS the one
    of the account's tier. Token requests do not count.

    \b
    heliograph account limit demo --per-minute 100
    heliograph account limit demo --per-minute none
    """
    changes = {} if per_minute is None else {"per_minute": per_minute_of(per_minute)}
    change(data, account, ["per_minute"], lambda _: changes, json=json)


def tier(
    account: AccountId,
    name: Annotated[
        Tier | None, typer.Argument(metavar="[standard|premium]", help="100 or 500 calls of 747 SMS in any 60 seconds.")
    ] = None,
    data: Data = DATA_FOLDER,
    json: Json = False,
) -> None:
    """Change its tier, or show it.

    The tier limits calls of 747 SMS: standard to 100 in any 60 seconds, premium to 500. An account with a limit of its
    own (`heliograph account limit`) has that instead, for all APIs together.

    \b
    heliograph account tier demo premium
    """
    changes = {} if name is None else {"tier": name}
    change(data, account, ["tier", "per_minute"], lambda _: changes, json=json)


def countries(
    account: AccountId,
    only: Annotated[
        str | None, typer.Option("--only", metavar="CODES", help="Nothing but these, by ISO 3166 code: GB,IE.")
    ] = None,
    all_: Annotated[bool, typer.Option("--all", help="Everywhere.")] = False,
    data: Data = DATA_FOLDER,
    json: Json = False,
) -> None:
    """Change where it may send to, or show it.

    \b
    heliograph account countries demo --only GB,IE
    heliograph account countries demo --all
    """
    changes: Changes = {}
    if all_:
        require_alone("--all", [only] if only is not None else [])
        changes = {"countries": None}
    elif only is not None:
        changes = {"countries": frozenset(country_of(code.strip()) for code in only.split(","))}
    change(data, account, ["countries"], lambda _: changes, json=json)


def ips(
    account: AccountId,
    add: Annotated[
        list[str] | None,
        typer.Option("--add", metavar="NETWORK", help="An address or network (CIDR) to allow. Repeat it for more."),
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option("--remove", metavar="NETWORK", help="One to allow no more.")
    ] = None,
    any_: Annotated[bool, typer.Option("--any", help="Let it be used from anywhere.")] = False,
    data: Data = DATA_FOLDER,
    json: Json = False,
) -> None:
    """Change from where it may be used, or show it.

    With the first --add it is those on the list alone; calls from elsewhere get 403. Behind a proxy it is the caller's
    address that counts, if http.trusted_proxies names the proxy.

    \b
    heliograph account ips demo --add 203.0.113.7 --add 2001:db8::/48
    heliograph account ips demo --any
    """
    added, removed = [network_of(one) for one in add or []], [network_of(one) for one in remove or []]
    if any_:
        require_alone("--any", added, removed)

    def decide(found: Account) -> Changes:
        if any_:
            return {"networks": ()}
        if not added and not removed:
            return {}
        new = edited(frozenset(found.networks), added, removed, "network")
        if not new:
            refuse(f"{removed[-1]} is the last network of the account; with --any it may be used from anywhere", NO)
        return {"networks": tuple(sorted(new))}

    change(data, account, ["networks"], decide, json=json)


def credit(
    account: AccountId,
    amount: Annotated[
        str | None, typer.Argument(metavar="[AMOUNT]", help="How far below zero the balance may go; 0 for not at all.")
    ] = None,
    data: Data = DATA_FOLDER,
    json: Json = False,
) -> None:
    """Change how far it may owe, or show it.

    \b
    heliograph account credit demo 50
    heliograph account credit demo 0
    """
    micros = None if amount is None else micros_of(amount)
    if micros is not None and micros < 0:
        refuse(f"a credit of {amount}: give the amount that may be owed without a sign, like {str(amount)[1:]}", WRONG)

    def look(reads: Reads) -> tuple[Account, int, int]:
        found = find_account(reads, account)
        return found, reads.credit(found.id), reads.balance(found.id)

    async def act(store: Store) -> tuple[str, int, int]:
        found, before, balance = await store.read(look)
        if micros is not None:
            balance = await store.apply(SetCredit(found.id, micros))
        return found.ref, before, balance

    ref, before, balance = with_store(data, act)
    after = before if micros is None else micros
    shown = {"balance": show_balance(balance)}
    print_change(ref, {"credit": exact(before), **shown}, {"credit": exact(after), **shown}, json=json)


def numbers(
    account: AccountId,
    policy: Annotated[NumberPolicy | None, typer.Argument(help="What recipients' numbers must pass.")] = None,
    data: Data = DATA_FOLDER,
    json: Json = False,
) -> None:
    """Change what numbers must pass, or show it.

    syntax: 8 to 15 digits; possible: a length that numbers of that country have; valid: a range that is in use.

    \b
    heliograph account numbers demo valid
    """
    changes = {} if policy is None else {"numbers": policy}
    change(data, account, ["numbers"], lambda _: changes, json=json)


def sending(
    account: AccountId,
    switch: Annotated[Switch | None, typer.Argument(help="Whether it may send.")] = None,
    data: Data = DATA_FOLDER,
    json: Json = False,
) -> None:
    """Switch sending on or off, or show it.

    Switched off, an account still receives, and reads its balance and messages with the tokens that it has.

    \b
    heliograph account sending demo off
    """
    changes = {} if switch is None else {"sending": switch is Switch.ON}
    change(data, account, ["sending"], lambda _: changes, json=json)


def validity(
    account: AccountId,
    duration: Annotated[
        str | None, typer.Argument(metavar="[DURATION]", help="Like 30m, 48h or 2d; 1 minute to 7 days.")
    ] = None,
    data: Data = DATA_FOLDER,
    json: Json = False,
) -> None:
    """Change how long messages may wait, or show it.

    One that is not sent by then expires and is refunded. Messages that are accepted already keep their time.

    \b
    heliograph account validity demo 48h
    """
    changes = {} if duration is None else {"validity_seconds": validity_of(duration)}
    change(data, account, ["validity_seconds"], lambda _: changes, json=json)


def inbound(
    account: AccountId,
    add: Annotated[
        list[str] | None,
        typer.Option("--add", metavar="NUMBER", help="A number or short code that is its. Repeat it for more."),
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option("--remove", metavar="NUMBER", help="One that is its no more.")
    ] = None,
    data: Data = DATA_FOLDER,
    json: Json = False,
) -> None:
    """Change which numbers are its, or show them.

    Its are the inbound messages to these. A number has one account; messages to one that has none are stored, too:
    `heliograph inbound list --unowned`.

    \b
    heliograph account inbound demo --add 8300 --add +56900000000
    """
    added, removed = inbound_numbers("--add", add or []), inbound_numbers("--remove", remove or [])

    def decide(found: Account) -> Changes:
        if not added and not removed:
            return {}
        return {"inbound": edited(found.inbound, added, removed, "inbound number")}

    change(data, account, ["inbound"], decide, json=json)


def callbacks(
    account: AccountId,
    dlr_url: Annotated[
        str | None, typer.Option("--dlr-url", metavar="URL", help='For delivery reports; "" for none.')
    ] = None,
    mo_url: Annotated[
        str | None, typer.Option("--mo-url", metavar="URL", help='For inbound messages; "" for none.')
    ] = None,
    intermediate: Annotated[
        bool | None,
        typer.Option("--intermediate/--no-intermediate", help="Report SENT too, not only how a message ends."),
    ] = None,
    data: Data = DATA_FOLDER,
    json: Json = False,
) -> None:
    """Change where callbacks go, or show it.

    What waits to be called back goes to the new URL too. `heliograph listen` is a receiver to try it with.

    \b
    heliograph account callbacks demo --dlr-url https://example.com/dlr --intermediate
    heliograph account callbacks demo --dlr-url ""
    """
    urls = {"dlr_url": dlr_url, "mo_url": mo_url}
    changes: dict[str, Any] = {key: url_of(url) for key, url in urls.items() if url is not None}
    if intermediate is not None:
        changes["intermediate"] = intermediate
    change(data, account, ["dlr_url", "mo_url", "intermediate"], lambda _: changes, json=json)
    for url in urls.values():
        _warn(url or "", demo=(data / KEPT).exists())


SETTINGS = (senders, limit, tier, countries, ips, numbers, sending, validity, inbound, callbacks)


def _warn(url: str, *, demo: bool) -> None:
    """Say so when a URL leads where servers do not call unless their settings allow it."""
    guard = Guard(parse_networks(LOOPBACK) if demo else ())
    with contextlib.suppress(ValueError):  # a name; what it leads to is seen at each call
        host = urlsplit(url).hostname or ""
        reason = guard.refusal(host)
        if reason:
            note = f"{host} is not a public address ({reason}): only a server that has it in callbacks.allow_networks"
            typer.echo(f"note: {note} calls {url}", err=True)
