"""An account: who sends, under which names, at which prices, and where to report."""

from __future__ import annotations

from enum import StrEnum

import msgspec

from heliograph.messaging import errors
from heliograph.messaging.numbers import NumberPolicy


class AccountStatus(StrEnum):
    """Whether the account may send. A suspended one still gets tokens and reads its balance."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """An account's settings; its balance is the ledger's.

    `id` is internal, `ref` the id that people and the API see. `senders` None allows any sender. `token_epoch` grows
    when tokens must die; `secret_generation` when the webhook secret is rotated. `revision` orders changes over the
    whole installation.
    """

    id: int
    ref: str
    name: str
    email: str
    status: AccountStatus = AccountStatus.ACTIVE
    senders: frozenset[str] | None = frozenset()
    default_sender: str = ""
    price_list: str = "default"
    numbers: NumberPolicy = NumberPolicy.POSSIBLE
    carrier: str = ""
    validity_seconds: int = 48 * 3600
    dlr_url: str = ""
    mo_url: str = ""
    token_epoch: int = 1
    secret_generation: int = 1
    created_utc_ms: int = 0
    revision: int = 0


def require_active(account: Account) -> None:
    """Raise `CallerError(ACCOUNT_SUSPENDED)` unless the account may send."""
    if account.status is not AccountStatus.ACTIVE:
        raise errors.CallerError(
            errors.ACCOUNT_SUSPENDED,
            f"The account {account.ref} is {account.status.value}; ask the operator to resume it.",
        )
