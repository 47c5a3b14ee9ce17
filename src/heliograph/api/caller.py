"""Who called, when proxies that are trusted stand in between."""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

_FOR = re.compile(r'(?:^|[;\s])for=(?:"([^"]*)"|([^;,\s"]*))', re.IGNORECASE)


class Proxies:
    """The networks whose word is taken."""

    def __init__(self, networks: tuple[str, ...]) -> None:
        self._networks = [ip_network(network) for network in networks]

    def trusts(self, address: str) -> bool:
        """Whether an address is a proxy's."""
        if not self._networks:
            return False
        parsed = _parsed(address)
        return parsed is not None and any(parsed in network for network in self._networks)

    def caller(self, peer: str, headers: list[tuple[bytes, bytes]]) -> str:
        """The caller's address by `Forwarded` (RFC 7239), else by `X-Forwarded-For`.

        The lists are read from their end, as long as who wrote an entry is trusted: what comes before may be anything.
        """
        caller = peer
        for address in reversed(list(_forwarded(headers))):
            parsed = _parsed(address)
            if parsed is None:
                break
            caller = str(parsed)
            if not self.trusts(caller):
                break
        return caller


def _forwarded(headers: list[tuple[bytes, bytes]]) -> Iterator[str]:
    standard = [value for name, value in headers if name == b"forwarded"]
    if standard:
        for element in b",".join(standard).decode("latin-1").split(","):
            match = _FOR.search(element)
            yield (match[1] or match[2] or "") if match else ""
        return
    for value in (value for name, value in headers if name == b"x-forwarded-for"):
        yield from value.decode("latin-1").split(",")


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    """An address with or without a port and brackets; None for `unknown`, obfuscated names and nonsense."""
    bare = address.strip()
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        return ip_address(bare)
    except ValueError:
        return None
