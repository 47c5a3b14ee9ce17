"""How often who may call: the rate limits of accounts, and the brake on failing token requests.

A limit holds over a restart and a crash of the process, because calls that were admitted are entered into a file
(`kit.recent`). After a crash of the machine, and for the brake, counting begins anew.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Protocol

from heliograph.kit.clock import Clock
from heliograph.messaging import errors
from heliograph.messaging.accounts import Account
from heliograph.messaging.errors import CallerError
from heliograph.messaging.limits import WINDOW_MS, SlidingLog, Standing

ADDRESSES_REMEMBERED = 50_000


class Recent(Protocol):
    """What outlives the process of the last sixty seconds: `kit.recent.RecentCalls`."""

    def recall(self, since_utc_ms: int) -> Iterable[tuple[int, bool, int]]:
        """Account, whether the call was to the API with a limit of its own, and when, of calls since a time; oldest
        first.
        """

    def add(self, account_id: int, of_dialect: bool, at_utc_ms: int) -> None:
        """Enter a call."""


class Limits:
    """The sliding logs of one node. `refused` counts calls that were over a limit.

    An account has two: of all calls that were counted, for a limit of its own, and of those to the API that has one of
    its own. What is admitted under either is in both, so that a limit that is set, lifted or changed holds at once.
    """

    def __init__(self, clock: Clock, *, failed_tokens_per_minute: int, recent: Recent | None = None) -> None:
        self._clock = clock
        self._failed_tokens = failed_tokens_per_minute
        self._recent = recent
        self._all: defaultdict[int, SlidingLog] = defaultdict(SlidingLog)
        self._of_dialect: defaultdict[int, SlidingLog] = defaultdict(SlidingLog)
        self._addresses: dict[str, SlidingLog] = {}
        self.refused = 0
        if recent is not None:
            for account_id, of_dialect, at_utc_ms in recent.recall(clock.now_utc_ms() - WINDOW_MS):
                self._all[account_id].note(at_utc_ms)
                if of_dialect:
                    self._of_dialect[account_id].note(at_utc_ms)

    def admit(self, account: Account, dialect_limit: int = 0) -> Standing | None:
        """Count a call of an account: where that leaves it, None when it has no limit. What is not admitted does not
        count.

        The account's own limit goes before that of the API, `dialect_limit`, which counts the calls to that API alone;
        0 is none.
        """
        limit = account.per_minute or dialect_limit
        if not limit:
            return None
        now_utc_ms = self._clock.now_utc_ms()
        of_all, of_dialect = self._all[account.id], self._of_dialect[account.id]
        standing = (of_all if account.per_minute else of_dialect).admit(now_utc_ms, limit)
        if not standing.admitted:
            self.refused += 1
            return standing
        if not account.per_minute:
            of_all.note(now_utc_ms)
        elif dialect_limit:
            of_dialect.note(now_utc_ms)
        if self._recent is not None:
            self._recent.add(account.id, dialect_limit > 0, now_utc_ms)
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
                facts=_facts(standing),
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
        facts=_facts(standing),
    )


def _facts(standing: Standing) -> dict[str, int]:
    return {"limit": standing.limit, "remaining": standing.remaining, "reset_utc_ms": standing.reset_utc_ms}


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
