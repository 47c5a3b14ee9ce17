"""Where a callback may go: never into the network that the server stands in, unless the operator allows that network.

A customer chooses the URL, so the URL may point at the server's own neighbours (server-side request forgery). Names and
spellings of addresses prove nothing; what counts is the address that the socket is about to connect to. `Guard.open` is
called with exactly that one.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

Network = IPv4Network | IPv6Network
# (family, type, protocol, canonical name, address), as from `getaddrinfo`.
AddressInfo = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[Any, ...]]

# The registries of RFC 6890, and what clouds put beside them. The first that contains an address names the reason.
_REFUSED_TEXT = """
0.0.0.0/8           unspecified address
10.0.0.0/8          private network
100.100.100.200/32  cloud metadata
100.64.0.0/10       carrier-grade NAT
127.0.0.0/8         loopback
168.63.129.16/32    cloud metadata
169.254.0.0/16      link-local, cloud metadata
172.16.0.0/12       private network
192.0.0.0/24        protocol assignments
192.0.2.0/24        documentation
192.31.196.0/24     AS112 service
192.52.193.0/24     AMT relay
192.88.99.0/24      6to4 relay
192.168.0.0/16      private network
192.175.48.0/24     AS112 service
198.18.0.0/15       benchmarking
198.51.100.0/24     documentation
203.0.113.0/24      documentation
224.0.0.0/4         multicast
255.255.255.255/32  broadcast
240.0.0.0/4         reserved
::/128              unspecified address
::1/128             loopback
::ffff:0:0/96       IPv4-mapped
::ffff:0:0:0/96     IPv4-translated
::/96               IPv4-compatible
64:ff9b::/96        NAT64
64:ff9b:1::/48      NAT64
100::/64            discard
100:0:0:1::/64      dummy prefix
2001::/32           Teredo
2001::/23           protocol assignments
2001:db8::/32       documentation
2002::/16           6to4
2620:4f:8000::/48   AS112 service
3fff::/20           documentation
5f00::/16           segment routing
fd00:ec2::254/128   cloud metadata
fd20:ce::254/128    cloud metadata
fc00::/7            private network
fe80::/10           link-local
fec0::/10           site-local
ff00::/8            multicast
::/3                reserved
4000::/2            reserved
8000::/1            reserved
"""

REFUSED: tuple[tuple[Network, str], ...] = tuple(
    (ip_network(network), reason.strip())
    for network, reason in (line.split(maxsplit=1) for line in _REFUSED_TEXT.strip().splitlines())
)

MAX_URL_CHARACTERS = 2_000
_SHOWN_CHARACTERS = 80
_NOT_VISIBLE = re.compile(r"[^!-~]|\\")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.IGNORECASE | re.ASCII)
_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_-]{1,63})*\.?", re.IGNORECASE | re.ASCII)


class RefusedAddress(OSError):
    """A callback was about to connect to an address that the operator has not allowed."""


class Guard:
    """Decides by address; `allowed` are the operator's exceptions."""

    def __init__(self, allowed: Iterable[Network] = ()) -> None:
        self._allowed = tuple(allowed)

    def refusal(self, address: str) -> str:
        """Why no callback may connect to this address; "" when it may."""
        found = ip_address(address.partition("%")[0])
        if any(found in network for network in self._allowed):
            return ""
        return next((reason for network, reason in REFUSED if found in network), "")

    def open(self, info: AddressInfo) -> socket.socket:
        """A socket for an address: aiohttp's `socket_factory`. Raises `RefusedAddress`."""
        family, kind, protocol, _, address = info
        reason = self.refusal(address[0])
        if reason:
            raise RefusedAddress(f"refused address {address[0]} ({reason}; allow it under [callbacks] allow_networks)")
        return socket.socket(family, kind, protocol)


def parse_networks(values: Iterable[str]) -> list[Network]:
    """Networks as an operator writes them: `10.1.0.0/16`, `fd00::/8`, or one address. Raises `ValueError`."""
    networks = []
    for value in values:
        try:
            networks.append(ip_network(value))
        except ValueError as error:
            raise ValueError(f"{value!r} is not a network ({error}); write it like 10.1.0.0/16 or fd00::/8") from error
    return networks


def check_url(url: str) -> str:
    """A callback URL that can be called, as it was given. Raises `ValueError`: a sentence with value and remedy."""
    if len(url) > MAX_URL_CHARACTERS:
        raise ValueError(f"the callback URL has {len(url):,} characters; shorten it to {MAX_URL_CHARACTERS:,}")
    shown = _shown(url)
    odd = _NOT_VISIBLE.search(url)
    if odd:
        remedy = "write a host name in punycode (xn--…) and percent-encode everything else"
        raise ValueError(f"the callback URL {shown} holds {odd.group()!r} at position {odd.start() + 1}; {remedy}")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        remedy = "correct its host and port, like https://example.com/dlr"
        raise ValueError(f"{shown} is not a URL; {remedy}") from error
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"the callback URL {shown} is neither http nor https; begin it with https://")
    if "@" in parts.netloc:
        shown = _shown(url.replace(parts.netloc.rpartition("@")[0] + "@", "…@", 1))
        raise ValueError(f"the callback URL {shown} holds a user or password; remove it, and check the signature")
    if not parts.hostname:
        raise ValueError(f"the callback URL {shown} has no host; write it like https://example.com/dlr")
    if ":" not in parts.hostname:
        _check_host(url, parts.hostname)
    if port == 0:
        raise ValueError(f"the callback URL {shown} has port 0; name a port from 1 to 65535, or none")
    return url


def _shown(text: str) -> str:
    """A URL or a part of it in quotes, as far as it needs to be known again."""
    return repr(text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 1]}…")


def _check_host(url: str, host: str) -> None:
    """A host name, or an IPv4 address in its usual spelling: what ends in a number is no name (WHATWG URL §3.5)."""
    shown = f"{_shown(url)} has the host {_shown(host)},"
    if not _HOST_NAME.fullmatch(host):
        raise ValueError(f"the callback URL {shown} which is no host name; correct it")
    if _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        try:
            IPv4Address(host)
        except ValueError as error:
            remedy = "write it as four decimal numbers, like 192.0.2.1"
            raise ValueError(f"the callback URL {shown} an odd address; {remedy}") from error
