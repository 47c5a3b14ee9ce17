"""`heliograph account`: customers, their money and their callbacks. A running server follows within two seconds."""

from __future__ import annotations

import contextlib
import os
import re
import time
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer

from heliograph.cli.common import (
    DATA_FOLDER,
    WRONG,
    AccountId,
    Data,
    Json,
    explained,
    find_account,
    group,
    print_json,
    print_pairs,
    print_table,
    read,
    refuse,
    say,
    served_url,
    show_time,
    with_store,
)
from heliograph.cli.credentials import (
    DEMO_SENDER,
    KEPT,
    LOOPBACK,
    Credentials,
    credentials,
    new_realtime_secrets,
    new_ref,
)
from heliograph.config import Settings
from heliograph.dialects import realtime
from heliograph.kit.keys import load_or_create
from heliograph.messaging import senders
from heliograph.messaging.accounts import Account, AccountStatus
from heliograph.messaging.numbers import NumberPolicy
from heliograph.messaging.pricing import exact, parse_money, show_balance
from heliograph.store.interface import CreateAccount, Reads, Store, TopUp, UpdateAccount
from heliograph.webhooks.guard import Guard, check_url, parse_networks

commands = group("Accounts: customers and their money.")

_REF = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_TOO_MUCH = re.compile(r"-?[0-9]{13,}(\.[0-9]{1,6})?", re.ASCII)
_LARGEST = "999999999999.999999"
_LONGEST = 200


@commands.command()
def create(
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="Who it is.")],
    email: Annotated[str, typer.Option("--email", metavar="EMAIL", help="Where to reach them.")],
    balance: Annotated[
        str, typer.Option("--balance", metavar="AMOUNT", help="What to begin with, e.g. 5.00.")
    ] = "0.00",
    sender: Annotated[
        list[str] | None,
        typer.Option(
            "--sender",
            metavar="SENDER",
            help=f"One that it may use; {DEMO_SENDER} if none is named. Repeat it for more.",
        ),
    ] = None,
    any_sender: Annotated[bool, typer.Option("--any-sender", help="Let it use any well-formed sender.")] = False,
    numbers: Annotated[
        NumberPolicy, typer.Option("--numbers", help="What recipients' numbers must pass besides their syntax.")
    ] = NumberPolicy.POSSIBLE,
    ref: Annotated[str | None, typer.Option("--id", metavar="ID", help="Its id; a random one if left out.")] = None,
    data: Data = DATA_FOLDER,
    json: Json = False,
) -> None:
    """Create an account. Its client secret is shown now and never again.

    \b
    heliograph account create --name "Example Ltd" --email ops@example.com --balance 5.00
    heliograph account create --name Shop --email it@shop.example --sender SHOP --sender 96000 --json
    """
    micros = _micros(balance)
    if micros < 0:
        refuse(f"--balance {balance}: an account begins with 0 or more", WRONG)
    allowed = _senders(sender or [DEMO_SENDER])
    client = new_realtime_secrets()
    account = Account(
        id=0,
        ref=_ref(ref),
        name=_name(name),
        email=_email(email),
        senders=None if any_sender else frozenset(allowed),
        default_sender=allowed[0],
        numbers=numbers,
        created_utc_ms=_now(),
    )
    operation = CreateAccount(account, [client.credential(realtime.DIALECT)], micros)

    async def act(store: Store) -> Account:
        return await store.apply(operation)

    with explained(data):
        base_url = served_url(data) or Settings.load(None, os.environ).base_url
        keys = load_or_create(data)
    created = with_store(data, act, create=True)
    issued = credentials(base_url, created, client, keys)
    if json:
        print_json(issued)
    else:
        _print_created(created, issued, micros)


@commands.command()
def show(account: AccountId, data: Data = DATA_FOLDER, json: Json = False) -> None:
    """Show settings and balance.

    \b
    heliograph account show demo
    heliograph account show "Example Ltd" --json
    """

    def query(reads: Reads) -> dict[str, Any]:
        found = find_account(reads, account)
        return _view(found, reads.balance(found.id))

    shown = read(data, query)
    if json:
        print_json(shown)
    else:
        print_pairs((name, _plain(value)) for name, value in shown.items())


@commands.command("list")
def list_(data: Data = DATA_FOLDER, json: Json = False) -> None:
    """List all accounts, oldest first.

    \b
    heliograph account list
    """

    def query(reads: Reads) -> list[dict[str, Any]]:
        balances = reads.balances()
        return [_view(account, balances.get(account.id, 0)) for account in reads.accounts()]

    shown = read(data, query)
    if json:
        print_json(shown)
    else:
        keys = ("account_id", "name", "status", "balance", "senders", "created")
        print_table([key.upper() for key in keys], [[_plain(one[key]) for key in keys] for one in shown])


@commands.command(context_settings={"ignore_unknown_options": True})  # so that -5 is an amount
def topup(
    account: AccountId,
    amount: Annotated[str, typer.Argument(metavar="AMOUNT", help="E.g. 50 or 12.50; -5 takes some away.")],
    note: Annotated[str, typer.Option("--note", help="Why, for the ledger.")] = "",
    data: Data = DATA_FOLDER,
    json: Json = False,
) -> None:
    """Add to a balance, or take from it.

    \b
    heliograph account topup demo 100
    heliograph account topup demo -2.50 --note "credited twice"
    """

    micros = _micros(amount)
    if len(note) > _LONGEST or not note.isprintable():
        refuse(f"--note {note[:_LONGEST]!r}: a note has at most {_LONGEST} characters, all of them printable", WRONG)

    async def act(store: Store) -> dict[str, str]:
        found = await store.read(lambda reads: find_account(reads, account))
        balance = await store.apply(TopUp(found.id, micros, _now(), note or "by the operator"))
        return {"account_id": found.ref, "balance": show_balance(balance)}

    if not micros:
        refuse("an amount of 0 changes nothing; name another", WRONG)
    result = with_store(data, act)
    if json:
        print_json(result)
    else:
        say(f"{result['account_id']}: {exact(micros)} posted, the balance is {result['balance']}")


@commands.command()
def callbacks(
    account: AccountId,
    dlr_url: Annotated[
        str | None, typer.Option("--dlr-url", metavar="URL", help='For delivery reports; "" for none.')
    ] = None,
    mo_url: Annotated[
        str | None, typer.Option("--mo-url", metavar="URL", help='For inbound messages; "" for none.')
    ] = None,
    data: Data = DATA_FOLDER,
    json: Json = False,
) -> None:
    """Say where callbacks go, or show it.

    What waits to be called back goes to the new URL too. `heliograph listen` is a receiver to try it with.

    \b
    heliograph account callbacks demo --dlr-url https://example.com/dlr
    heliograph account callbacks demo --dlr-url ""
    """
    urls = {"dlr_url": dlr_url, "mo_url": mo_url}
    changes = {key: _url(url) for key, url in urls.items() if url is not None}
    found = _update(data, account, changes)
    for url in changes.values():
        _warn(url, demo=(data / KEPT).exists())
    shown = {"account_id": found.ref, "dlr_url": found.dlr_url, "mo_url": found.mo_url}
    if json:
        print_json(shown)
    else:
        print_pairs((name, value or "none") for name, value in shown.items())


@commands.command()
def suspend(account: AccountId, data: Data = DATA_FOLDER) -> None:
    """Stop an account from sending.

    The tokens that it holds end. With a new one it can still read its balance and messages.

    \b
    heliograph account suspend acc_4kq2m7xw5c
    """
    _set_status(data, account, AccountStatus.SUSPENDED)


@commands.command()
def resume(account: AccountId, data: Data = DATA_FOLDER) -> None:
    """Let an account send again.

    \b
    heliograph account resume acc_4kq2m7xw5c
    """
    _set_status(data, account, AccountStatus.ACTIVE)


def _set_status(data: Path, account: str, status: AccountStatus) -> None:
    found = _update(data, account, {"status": status}, end_tokens=status is AccountStatus.SUSPENDED)
    say(f"{found.ref} is {found.status.value}")


def _update(data: Path, name: str, changes: dict[str, Any], *, end_tokens: bool = False) -> Account:
    """Change an account's settings; the account after."""

    async def act(store: Store) -> Account:
        found = await store.read(lambda reads: find_account(reads, name))
        epoch = {"token_epoch": found.token_epoch + 1} if end_tokens else {}
        return await store.apply(UpdateAccount(found.id, {**changes, **epoch})) if changes else found

    return with_store(data, act)


def _micros(amount: str) -> int:
    try:
        return parse_money(amount)
    except ValueError as error:
        too_much = f"{amount[:40]} is too much; the largest amount is {_LARGEST}"
        refuse(too_much if _TOO_MUCH.fullmatch(amount) else str(error), WRONG)


def _url(text: str) -> str:
    try:
        return check_url(text) if text else ""
    except ValueError as error:
        refuse(str(error), WRONG)


def _warn(url: str, *, demo: bool) -> None:
    """Say so when a URL leads where servers do not call unless their settings allow it."""
    guard = Guard(parse_networks(LOOPBACK) if demo else ())
    with contextlib.suppress(ValueError):  # a name; what it leads to is seen at each call
        host = urlsplit(url).hostname or ""
        reason = guard.refusal(host)
        if reason:
            note = f"{host} is not a public address ({reason}): only a server that has it in callbacks.allow_networks"
            typer.echo(f"note: {note} calls {url}", err=True)


def _senders(values: list[str]) -> list[str]:
    for value in values:
        senders.check(value, None)
    return values


def _ref(value: str | None) -> str:
    if value is None:
        return new_ref()
    if not _REF.fullmatch(value):
        refuse(f"--id {value!r}: an id has 1 to 64 letters, digits, - and _, and begins with a letter or digit", WRONG)
    return value


def _name(value: str) -> str:
    if not value.strip() or not value.isprintable() or len(value) > _LONGEST:
        refuse(f"--name {value[:_LONGEST]!r}: a name has 1 to {_LONGEST} characters, all of them printable", WRONG)
    return value


def _email(value: str) -> str:
    if not _EMAIL.fullmatch(value) or not value.isprintable() or len(value) > _LONGEST:
        refuse(f"--email {value[:_LONGEST]!r}: write an address like ops@example.com", WRONG)
    return value


def _now() -> int:
    return time.time_ns() // 1_000_000


def _view(account: Account, balance_micros: int) -> dict[str, Any]:
    return {
        "account_id": account.ref,
        "name": account.name,
        "email": account.email,
        "status": account.status.value,
        "balance": show_balance(balance_micros),
        "senders": "any" if account.senders is None else sorted(account.senders),
        "default_sender": account.default_sender,
        "price_list": account.price_list,
        "numbers": account.numbers.value,
        "carrier": account.carrier,
        "validity_seconds": account.validity_seconds,
        "dlr_url": account.dlr_url,
        "mo_url": account.mo_url,
        "created": show_time(account.created_utc_ms),
    }


def _plain(value: object) -> object:
    return ", ".join(value) if isinstance(value, list) else value


def _print_created(account: Account, issued: Credentials, balance_micros: int) -> None:
    say(f"account {account.ref} ({account.name}) created, balance {show_balance(balance_micros)}")
    print_pairs(
        (
            ("base URL", issued.base_url),
            ("client id", issued.realtime.client_id),
            ("client secret", issued.realtime.client_secret),
            ("webhook secret", issued.webhook_secret),
            ("senders", "any" if account.senders is None else ", ".join(sorted(account.senders))),
        )
    )
    say("Keep the client secret: it is not stored and cannot be shown again.")
    say("A server that is running takes up to two seconds to know the account.")
