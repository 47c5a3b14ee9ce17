"""What the account commands share: how an account is shown, and changing one with a word about before and after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from heliograph.cli.common import WRONG, find_account, print_json, print_pairs, refuse, show_time, with_store
from heliograph.messaging.accounts import Account
from heliograph.messaging.pricing import exact, show_balance
from heliograph.store.interface import Reads, Store, UpdateAccount

Changes = dict[str, Any]
"""New values, by `Account` field name."""


# -- showing


def full_view(reads: Reads, account: Account) -> dict[str, Any]:
    """Everything about an account that may be shown."""
    settings = settings_view(account)
    money = {"balance": show_balance(reads.balance(account.id)), "credit": exact(reads.credit(account.id))}
    created = {"created": show_time(account.created_utc_ms)}
    about = {"account_id": account.ref, "name": account.name, "email": account.email}
    return {**about, **money, **settings, **limits_view(account), **created}


def limits_view(account: Account) -> dict[str, int | None]:
    """How many calls it may make in any sixty seconds through each API: its own limit, else what that API has."""
    own = account.per_minute or None
    return {"realtime_per_minute": own, "sms747_per_minute": own or account.tier.per_minute}


def settings_view(account: Account) -> dict[str, Any]:
    """An account's settings, as JSON has them."""
    return {
        "status": account.status.value,
        "sending": account.sending,
        "senders": "any" if account.senders is None else sorted(account.senders),
        "default_sender": account.default_sender,
        "per_minute": account.per_minute or None,
        "tier": account.tier.value,
        "countries": "all" if account.countries is None else sorted(account.countries),
        "networks": list(account.networks) or "any",
        "numbers": account.numbers.value,
        "price_list": account.price_list,
        "carrier": account.carrier,
        "validity_seconds": account.validity_seconds,
        "inbound": sorted(account.inbound),
        "dlr_url": account.dlr_url,
        "mo_url": account.mo_url,
        "intermediate": account.intermediate,
    }


def plain(value: object) -> str:
    """A value of a view as people read it."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, list):
        value = ", ".join(value)
    return "none" if value in (None, "") else str(value)


def print_change(ref: str, before: dict[str, Any], after: dict[str, Any], *, json: bool) -> None:
    """Print values after a change, for people with those before it."""
    if json:
        print_json({"account_id": ref, **after})
        return
    print_pairs([("account_id", ref), *((name, _change(before[name], after[name])) for name in after)])


def _change(before: object, after: object) -> str:
    return plain(after) if before == after else f"{plain(before)} → {plain(after)}"


# -- changing


def change(data: Path, name: str, shown: Sequence[str], decide: Callable[[Account], Changes], *, json: bool) -> None:
    """Change what `decide` says of the account of this id or name, and print the settings `shown`; with no changes it
    only prints them.
    """

    async def act(store: Store) -> tuple[Account, Account]:
        found = await store.read(lambda reads: find_account(reads, name))
        changes = decide(found)
        return found, await store.apply(UpdateAccount(found.id, changes)) if changes else found

    before, after = with_store(data, act)
    old, new = settings_view(before), settings_view(after)
    print_change(after.ref, {key: old[key] for key in shown}, {key: new[key] for key in shown}, json=json)


def edited(old: frozenset[str], add: Sequence[str], remove: Sequence[str], what: str) -> frozenset[str]:
    """A set with some added and some removed, which must be in it."""
    twice = sorted(set(add) & set(remove))
    if twice:
        refuse(f"{twice[0]} is to be both added and removed; say one of the two", WRONG)
    for one in remove:
        if one not in old:
            refuse(f"{one} is no {what} of this account, which has {plain(sorted(old))}")
    return (old | set(add)) - set(remove)
