"""Who called, when proxies that are trusted stand in between."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

# RFC 7239 §4: elements of pairs, of which a value may be quoted and then hold anything.
_PAIR = re.compile(r'\s*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)=(?:"((?:[^"\\]|\\.)*)"|([^",;\s]*))\s*(?:([;,])|$)')


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
        """The caller's address by `Forwarded` (RFC 7239) or `X-Forwarded-For`.

        The lists are read from their end, as long as who wrote an entry is trusted: what comes before may be anything.
        A proxy writes one of the headers and lets the other pass as its client sent it: when both are there and do not
        agree, neither is believed, and the call is the proxy's own.
        """
        standard = [value for name, value in headers if name == b"forwarded"]
        usual = [value for name, value in headers if name == b"x-forwarded-for"]
        told = {self._nearest(peer, entries) for entries in (_forwarded(standard), _listed(usual)) if entries}
        return told.pop() if len(told) == 1 else peer

    def _nearest(self, peer: str, entries: list[str]) -> str:
        """The last entry that was not written about a proxy, or the first."""
        caller = peer
        for address in reversed(entries):
            parsed = _parsed(address)
            if parsed is None:
                break
            caller = str(parsed)
            if not self.trusts(caller):
                break
        return caller


def _listed(values: list[bytes]) -> list[str]:
    return [entry for value in values for entry in value.decode("latin-1").split(",")]


def _forwarded(values: list[bytes]) -> list[str]:
    """The `for` of each element, "" where there is none or the header is malformed from there on."""
    entries: list[str] = []
    for value in values:
        text, at, found = value.decode("latin-1"), 0, ""
        while at < len(text):
            pair = _PAIR.match(text, at)
            if pair is None:
                return [*entries, ""]
            if pair[1].lower() == "for":
                found = pair[2] if pair[2] is not None else pair[3]
            if pair[4] != ";":
                entries.append(found)
                found = ""
            at = pair.end()
    return entries


def _parsed(address: str) -> IPv4Address | IPv6Address | None:
    """An address with or without a port and brackets; None for `unknown`, obfuscated names and nonsense."""
    bare = address.strip()
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        parsed = ip_address(bare)
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed
