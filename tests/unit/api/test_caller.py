"""Who called, behind proxies."""

from __future__ import annotations

import pytest

from heliograph.api.caller import Proxies

PROXIES = Proxies(("10.0.0.0/8", "2001:db8::/32"))


def caller(*headers: tuple[str, str], peer: str = "10.0.0.1") -> str:
    return PROXIES.caller(peer, [(name.encode(), value.encode()) for name, value in headers])


def test_only_the_networks_named_are_proxies() -> None:
    assert PROXIES.trusts("10.1.2.3")
    assert PROXIES.trusts("2001:db8::1")
    assert not PROXIES.trusts("11.0.0.1")
    assert not PROXIES.trusts("::ffff:11.0.0.1")
    assert not PROXIES.trusts("-")
    assert not Proxies(()).trusts("127.0.0.1")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("6.6.6.6, 203.0.113.9", "203.0.113.9"),
        ("6.6.6.6, 203.0.113.9, 10.0.0.7", "203.0.113.9"),
        ("203.0.113.9:4711", "203.0.113.9"),
        ("[2001:db9::1]:4711", "2001:db9::1"),
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("203.0.113.9, unknown", "10.0.0.1"),
        ("<script>", "10.0.0.1"),
        ("", "10.0.0.1"),
    ],
)
def test_x_forwarded_for_is_read_from_its_end(value: str, expected: str) -> None:
    assert caller(("x-forwarded-for", value)) == expected


def test_lines_of_the_same_header_are_one_list() -> None:
    assert caller(("x-forwarded-for", "6.6.6.6"), ("x-forwarded-for", "203.0.113.9, 10.0.0.2")) == "203.0.113.9"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("for=203.0.113.9", "203.0.113.9"),
        ('for=6.6.6.6, by=10.0.0.1;For="203.0.113.9:80";proto=https', "203.0.113.9"),
        ('for="[2001:db9::1]:47"', "2001:db9::1"),
        ("for=203.0.113.9, for=_hidden", "10.0.0.1"),
        ("for=203.0.113.9, proto=https", "10.0.0.1"),
    ],
)
def test_forwarded_is_read_from_its_end(value: str, expected: str) -> None:
    assert caller(("forwarded", value)) == expected


@pytest.mark.parametrize(
    "value",
    ['host="x;for=7.7.7.7";for=203.0.113.9', 'host="a,for=7.7.7.7", for=203.0.113.9', 'FOR="203.0.113.9"; by="\\""'],
)
def test_what_is_quoted_is_not_read_as_an_address(value: str) -> None:
    assert caller(("forwarded", value)) == "203.0.113.9"


@pytest.mark.parametrize("value", ['for="203.0.113.9', "for 203.0.113.9", ";;;", "for=203.0.113.9 x"])
def test_a_malformed_header_is_not_believed(value: str) -> None:
    assert caller(("forwarded", value)) == "10.0.0.1"


def test_two_headers_that_disagree_are_not_believed() -> None:
    """A proxy that writes one of them lets the other pass: it may be anything."""
    assert caller(("forwarded", "for=7.7.7.7"), ("x-forwarded-for", "203.0.113.9")) == "10.0.0.1"
    assert caller(("forwarded", "for=203.0.113.9"), ("x-forwarded-for", "6.6.6.6, 203.0.113.9")) == "203.0.113.9"


def test_an_ipv4_proxy_is_one_however_its_address_is_written() -> None:
    assert PROXIES.trusts("::ffff:10.1.2.3")
    assert caller(("x-forwarded-for", "203.0.113.9, ::ffff:10.0.0.7"), peer="::ffff:10.0.0.1") == "203.0.113.9"


def test_without_a_word_the_peer_is_the_caller() -> None:
    assert caller() == "10.0.0.1"
