"""An account: who sends, under which names, at which prices, and where to report."""

from __future__ import annotations

from enum import StrEnum
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import msgspec

from heliograph.messaging import errors
from heliograph.messaging.numbers import NumberPolicy


class AccountStatus(StrEnum):
    """Whether the account may send. A suspended one still gets tokens and reads its balance."""

    ACTIVE = "active"
    SUSPENDED = "suspended"


class Tier(StrEnum):
    """How often an account may call 747 SMS, unless it has a limit of its own."""

    STANDARD = "standard"
    PREMIUM = "premium"

    @property
    def per_minute(self) -> int:
        """Calls admitted in any sixty seconds."""
        return 500 if self is Tier.PREMIUM else 100


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """An account's settings; its balance is the ledger's.

    `id` is internal, `ref` the id that people and the API see. `senders` None allows any sender, `countries` (ISO
    3166-1 alpha-2) None any destination, `networks` (CIDR) empty any caller. `sending` False only lets it receive and
    read. `per_minute` is a rate limit of its own, 0 for none; `tier` is what 747 SMS has otherwise. `inbound` are the
    numbers and short codes whose messages are its.
    `intermediate` when it wants to be called back on SENT as well. `token_epoch` grows when tokens must die;
    `secret_generation` when the webhook secret is rotated. `revision` orders changes over the whole installation.
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
    sending: bool = True
    per_minute: int = 0
    tier: Tier = Tier.STANDARD
    countries: frozenset[str] | None = None
    networks: tuple[str, ...] = ()
    inbound: frozenset[str] = frozenset()
    intermediate: bool = False
    validity_seconds: int = 48 * 3600
    dlr_url: str = ""
    mo_url: str = ""
    token_epoch: int = 1
    secret_generation: int = 1
    created_utc_ms: int = 0
    revision: int = 0


def require_sending(account: Account) -> None:
    """Raise `CallerError` unless the account may send: ACCOUNT_SUSPENDED, SENDING_DISABLED."""
    if account.status is not AccountStatus.ACTIVE:
        raise errors.CallerError(
            errors.ACCOUNT_SUSPENDED,
            f"The account {account.ref} is {account.status.value}; ask the operator to resume it.",
        )
    if not account.sending:
        raise errors.CallerError(
            errors.SENDING_DISABLED,
            f"Sending is switched off for the account {account.ref}; ask the operator to switch it on.",
        )


def require_address(account: Account, address: str) -> None:
    """Raise `CallerError(ADDRESS_NOT_ALLOWED)` unless the account may be used from a caller's IP address."""
    if account.networks and not _within(address, account.networks):
        raise errors.CallerError(
            errors.ADDRESS_NOT_ALLOWED,
            f"The account {account.ref} may not be used from {address}; ask the operator to add the address.",
        )


@lru_cache(4096)
def _within(address: str, networks: tuple[str, ...]) -> bool:
    try:
        found = ip_address(address)
    except ValueError:  # no address is known: a unix socket, say
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return any((mapped or found) in network for network in _networks(networks))


@lru_cache(1024)
def _networks(networks: tuple[str, ...]) -> list[IPv4Network | IPv6Network]:
    return [ip_network(network) for network in networks]
