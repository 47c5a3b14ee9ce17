"""`heliograph account`: customers, their money, secrets and settings. A running server follows within two seconds."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from heliograph.cli.account_optouts import optout
from heliograph.cli.account_routing import ROUTING
from heliograph.cli.account_settings import SETTINGS, credit
from heliograph.cli.account_view import (
    Changes,
    change,
    full_view,
    plain,
)
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
    require_data,
    say,
    served_url,
    with_store,
)
from heliograph.cli.credentials import (
    DEMO_SENDER,
    Clients,
    Credentials,
    credential_kinds,
    credentials,
    known_ids,
    new_clients,
    new_ref,
    stored,
)
from heliograph.cli.inputs import checked_senders, inbound_numbers, micros_of
from heliograph.cli.times import now_utc_ms
from heliograph.config import load
from heliograph.kit.keys import Keys, load_or_create
from heliograph.messaging.accounts import Account, AccountStatus
from heliograph.messaging.numbers import NumberPolicy
from heliograph.messaging.pricing import exact, show_balance
from heliograph.service.accounts import CredentialKind, Secrets
from heliograph.store.interface import CreateAccount, Reads, ReplaceCredentials, Store, TopUp, UpdateAccount

commands = group("Accounts: customers and their money.")

_REF = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", re.ASCII)
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_LONGEST = 200
_AMOUNTS = {"ignore_unknown_options": True}  # so that -5 is an amount


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
    inbound: Annotated[
        list[str] | None,
        typer.Option("--inbound", metavar="NUMBER", help="One whose inbound messages are its. Repeat it for more."),
    ] = None,
    numbers: Annotated[
        NumberPolicy, typer.Option("--numbers", help="What recipients' numbers must pass besides their syntax.")
    ] = NumberPolicy.POSSIBLE,
    ref: Annotated[str | None, typer.Option("--id", metavar="ID", help="Its id; a random one if left out.")] = None,
    data: Data = DATA_FOLDER,
    json: Json = False,
) -> None:
    """Create an account. Its secrets are shown now and never again.

    \b
    heliograph account create --name "Example Ltd" --email ops@example.com --balance 5.00
    heliograph account create --name Shop --email it@shop.example --sender SHOP --inbound 8300 --json
    """
    micros = micros_of(balance)
    if micros < 0:
        refuse(f"--balance {balance}: an account begins with 0 or more", WRONG)
    allowed = checked_senders(sender or [DEMO_SENDER])
    clients = new_clients(credential_kinds())
    account = Account(
        id=0,
        ref=_ref(ref),
        name=_name(name),
        email=_email(email),
        senders=None if any_sender else frozenset(allowed),
        default_sender=allowed[0],
        numbers=numbers,
        inbound=frozenset(inbound_numbers("--inbound", inbound or [])),
        created_utc_ms=now_utc_ms(),
    )
    operation = CreateAccount(account, stored(clients), micros)

    async def act(store: Store) -> Account:
        return await store.apply(operation)

    with explained(data):
        base_url, keys = _base_url(data), load_or_create(data)
    created = with_store(data, act, create=True)
    issued = credentials(base_url, created, clients, keys)
    if json:
        print_json(issued.as_json())
    else:
        told = f"account {created.ref} ({created.name}) created, balance {show_balance(micros)}"
        _print_issued(told, issued, ("senders", "any" if any_sender else ", ".join(sorted(allowed))))
        say("A server that is running takes up to two seconds to know the account.")


@commands.command()
def show(account: AccountId, data: Data = DATA_FOLDER, json: Json = False) -> None:
    """Show settings and balance.

    \b
    heliograph account show demo
    heliograph account show "Example Ltd" --json
    """

    def query(reads: Reads) -> dict[str, Any]:
        return full_view(reads, find_account(reads, account))

    shown = read(data, query)
    if json:
        print_json(shown)
    else:
        print_pairs((name, plain(value)) for name, value in shown.items())


@commands.command("list")
def list_(data: Data = DATA_FOLDER, json: Json = False) -> None:
    """List all accounts, oldest first.

    \b
    heliograph account list
    """

    def query(reads: Reads) -> list[dict[str, Any]]:
        return [full_view(reads, account) for account in reads.accounts()]

    shown = read(data, query)
    if json:
        print_json(shown)
    else:
        keys = ("account_id", "name", "status", "balance", "senders", "created")
        print_table(
            [key.upper().replace("_", " ") for key in keys], [[plain(one[key]) for key in keys] for one in shown]
        )


@commands.command(context_settings=_AMOUNTS)
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

    micros = micros_of(amount)
    if len(note) > _LONGEST or not note.isprintable():
        refuse(f"--note {note[:_LONGEST]!r}: a note has at most {_LONGEST} characters, all of them printable", WRONG)

    async def act(store: Store) -> dict[str, str]:
        found = await store.read(lambda reads: find_account(reads, account))
        balance = await store.apply(TopUp(found.id, micros, now_utc_ms(), note or "by the operator"))
        return {"account_id": found.ref, "balance": show_balance(balance)}

    if not micros:
        refuse("an amount of 0 changes nothing; name another", WRONG)
    result = with_store(data, act)
    if json:
        print_json(result)
    else:
        say(f"{result['account_id']}: {exact(micros)} posted, the balance is {result['balance']}")


@commands.command()
def suspend(account: AccountId, data: Data = DATA_FOLDER, json: Json = False) -> None:
    """Stop an account from sending.

    The tokens that it holds end. With a new one it can still read its balance and messages.

    \b
    heliograph account suspend acc_4kq2m7xw5c
    """

    def decide(found: Account) -> Changes:
        return {"status": AccountStatus.SUSPENDED, "token_epoch": found.token_epoch + 1}

    change(data, account, ["status"], decide, json=json)


@commands.command()
def resume(account: AccountId, data: Data = DATA_FOLDER, json: Json = False) -> None:
    """Let an account send again.

    \b
    heliograph account resume acc_4kq2m7xw5c
    """
    change(data, account, ["status"], lambda _: {"status": AccountStatus.ACTIVE}, json=json)


@commands.command()
def rotate(
    account: AccountId,
    api: Annotated[
        str | None, typer.Option("--api", metavar="API", help="Only this API's, e.g. realtime. All if left out.")
    ] = None,
    webhook_secret: Annotated[
        bool, typer.Option("--webhook-secret", help="Renew the secret that signs callbacks instead.")
    ] = False,
    data: Data = DATA_FOLDER,
    json: Json = False,
) -> None:
    """Renew the secrets of the APIs, or the webhook secret.

    The client id and the API key stay; the old secrets end, and the tokens that were got with them. When the webhook
    secret changes, callbacks are signed with the new one and the one before, so that a receiver that knows either
    accepts them.

    \b
    heliograph account rotate demo
    heliograph account rotate demo --api realtime
    heliograph account rotate acc_4kq2m7xw5c --webhook-secret --json
    """
    if webhook_secret and api is not None:
        refuse("--webhook-secret is for the callbacks of all APIs; leave out --api, or --webhook-secret", WRONG)
    kinds = _kinds(api)
    with explained(data):
        require_data(data)
        base_url, keys = _base_url(data), load_or_create(data)
    if webhook_secret:
        _rotate_webhook_secret(data, account, keys, json=json)
        return

    async def act(store: Store) -> tuple[Account, Clients]:
        found, ids = await store.read(lambda reads: _with_ids(reads, account))
        fresh = {kind: kind.new() for kind in kinds}
        clients = {kind.api: Secrets(ids.get(kind.dialect, new.public_id), new.secret) for kind, new in fresh.items()}
        return await store.apply(ReplaceCredentials(found.id, stored(clients))), clients

    changed, clients = with_store(data, act)
    issued = credentials(base_url, changed, clients, keys)
    if json:
        print_json(issued.as_json())
        return
    _print_issued(f"account {changed.ref} ({changed.name}) has new secrets: {', '.join(clients)}", issued)
    say("The old secrets, and the tokens that were got with them, end within two seconds.")


def _kinds(api: str | None) -> Sequence[CredentialKind]:
    """The kinds of credentials that `--api` names."""
    kinds = credential_kinds()
    if api is None:
        return kinds
    named = [kind for kind in kinds if kind.api == api]
    if not named:
        refuse(f"--api {api[:40]!r} is no API; name one of {', '.join(kind.api for kind in kinds)}", WRONG)
    return named


def _with_ids(reads: Reads, name: str) -> tuple[Account, dict[int, str]]:
    found = find_account(reads, name)
    return found, known_ids(reads, found)


def _rotate_webhook_secret(data: Path, name: str, keys: Keys, *, json: bool) -> None:
    async def act(store: Store) -> Account:
        found = await store.read(lambda reads: find_account(reads, name))
        return await store.apply(UpdateAccount(found.id, {"secret_generation": found.secret_generation + 1}))

    changed = with_store(data, act)
    secret = keys.webhook_secret(changed.id, changed.secret_generation)
    if json:
        print_json({"account_id": changed.ref, "webhook_secret": secret})
        return
    say(f"account {changed.ref} ({changed.name}) has a new webhook secret")
    print_pairs([("webhook secret", secret)])
    say("Callbacks are signed with it and with the one before; only the next change ends that one.")


def _base_url(data: Path) -> str:
    return served_url(data) or load(None, os.environ).base_url


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


def _print_issued(told: str, issued: Credentials, *more: tuple[str, object]) -> None:
    say(told)
    print_pairs((*issued.pairs(), *more))
    say("Keep the secrets: those of the APIs are not stored and cannot be shown again.")


commands.command(context_settings=_AMOUNTS)(credit)
for _setting in (*SETTINGS, *ROUTING, optout):
    commands.command()(_setting)
