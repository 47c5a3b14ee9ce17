"""How often who may call: the rate limits of accounts, and the brake on failing token requests."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network

from heliograph.kit.clock import Clock
from heliograph.messaging import errors
from heliograph.messaging.accounts import Account
from heliograph.messaging.errors import CallerError
from heliograph.messaging.limits import SlidingLog, Standing

ADDRESSES_REMEMBERED = 50_000


class Limits:
    """The sliding logs of one node. `refused` counts calls that were over a limit."""

    def __init__(self, clock: Clock, *, failed_tokens_per_minute: int) -> None:
        self._clock = clock
        self._failed_tokens = failed_tokens_per_minute
        self._accounts: dict[int, SlidingLog] = {}
        self._addresses: dict[str, SlidingLog] = {}
        self.refused = 0

    def admit(self, account: Account) -> Standing | None:
        """Count a call of an account: where that leaves it, None when it has no limit. What is not admitted does not
        count.
        """
        if not account.per_minute:
            return None
        log = self._accounts.get(account.id)
        if log is None:
            log = self._accounts[account.id] = SlidingLog()
        standing = log.admit(self._clock.now_utc_ms(), account.per_minute)
        self.refused += not standing.admitted
        return standing

    def check_address(self, address: str) -> None:
        """Raise `CallerError(AUTH_THROTTLED)` when token requests from an address have failed too often lately."""
        log = self._addresses.get(_network(address))
        if log is None:
            return
        standing = log.standing(self._clock.now_utc_ms(), self._failed_tokens)
        if not standing.admitted:
            self.refused += 1
            raise CallerError(
                errors.AUTH_THROTTLED,
                f"{self._failed_tokens} token requests from {address} failed in the last minute;"
                f" mend the credentials and try again in {standing.reset_seconds} seconds.",
                retry_after_seconds=standing.reset_seconds,
            )

    def failed(self, address: str) -> None:
        """A token request from an address failed."""
        network = _network(address)
        log = self._addresses.pop(network, None) or SlidingLog()
        if len(self._addresses) >= ADDRESSES_REMEMBERED:
            del self._addresses[next(iter(self._addresses))]
        self._addresses[network] = log  # the one that failed last is forgotten last
        log.admit(self._clock.now_utc_ms(), self._failed_tokens)


def require_admitted(standing: Standing | None) -> None:
    """Raise `CallerError(RATE_LIMITED)` for a call that was not admitted."""
    if standing is None or standing.admitted:
        return
    raise CallerError(
        errors.RATE_LIMITED,
        f"The account made {standing.limit} calls in the last minute, as many as it may;"
        f" try again in {standing.reset_seconds} seconds.",
        retry_after_seconds=standing.reset_seconds,
    )


def _network(address: str) -> str:
    """What counts as one caller: an IPv4 address, or the /64 network that one customer has of IPv6."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ip_network((parsed, 64), strict=False))
    return address
