"""Where callbacks may not go, address by address; and URLs that cannot be callback URLs."""

from __future__ import annotations

import socket
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.webhooks.guard import REFUSED, Guard, RefusedAddress, check_url, parse_networks

REFUSED_ADDRESSES = [
    ("0.0.0.0", "unspecified"),
    ("0.1.2.3", "unspecified"),
    ("10.0.0.1", "private"),
    ("10.255.255.255", "private"),
    ("100.64.0.1", "carrier-grade NAT"),
    ("100.127.255.255", "carrier-grade NAT"),
    ("100.100.100.200", "cloud metadata"),
    ("127.0.0.1", "loopback"),
    ("127.255.255.254", "loopback"),
    ("168.63.129.16", "cloud metadata"),
    ("169.254.0.1", "link-local"),
    ("169.254.169.254", "cloud metadata"),
    ("172.16.0.1", "private"),
    ("172.31.255.255", "private"),
    ("192.0.0.192", "protocol assignments"),
    ("192.0.2.1", "documentation"),
    ("192.88.99.1", "6to4"),
    ("192.168.1.1", "private"),
    ("198.18.0.1", "benchmarking"),
    ("198.19.255.255", "benchmarking"),
    ("198.51.100.7", "documentation"),
    ("203.0.113.7", "documentation"),
    ("224.0.0.1", "multicast"),
    ("239.255.255.255", "multicast"),
    ("240.0.0.1", "reserved"),
    ("255.255.255.255", "broadcast"),
    ("::", "unspecified"),
    ("::1", "loopback"),
    ("::7f00:1", "IPv4-compatible"),
    ("::ffff:127.0.0.1", "IPv4-mapped"),
    ("::ffff:8.8.8.8", "IPv4-mapped"),
    ("::ffff:0:7f00:1", "IPv4-translated"),
    ("64:ff9b::7f00:1", "NAT64"),
    ("64:ff9b::808:808", "NAT64"),
    ("64:ff9b:1::1", "NAT64"),
    ("100::1", "discard"),
    ("2001::1", "Teredo"),
    ("2001:2::1", "protocol assignments"),
    ("2001:20::1", "protocol assignments"),
    ("2001:db8::1", "documentation"),
    ("2002:7f00:1::1", "6to4"),
    ("2002:808:808::1", "6to4"),
    ("3fff::1", "documentation"),
    ("4000::1", "reserved"),
    ("5f00::1", "segment routing"),
    ("fc00::1", "private"),
    ("fd00:ec2::254", "cloud metadata"),
    ("fdff::1", "private"),
    ("fe80::1", "link-local"),
    ("fe80::1%eth0", "link-local"),
    ("febf::1", "link-local"),
    ("fec0::1", "site-local"),
    ("feff::1", "site-local"),
    ("ff02::1", "multicast"),
]
PUBLIC_ADDRESSES = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.167.255.255",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2600::1",
    "2a00:1450::1",
]


@pytest.mark.parametrize(("address", "reason"), REFUSED_ADDRESSES)
def test_addresses_inside_are_refused_with_the_reason(address: str, reason: str) -> None:
    assert reason in Guard().refusal(address)


@pytest.mark.parametrize("address", PUBLIC_ADDRESSES)
def test_public_addresses_may_be_called(address: str) -> None:
    assert Guard().refusal(address) == ""


@given(st.ip_addresses())
def test_nothing_that_python_calls_not_global_may_be_called(address: object) -> None:
    found = ip_address(str(address))
    if Guard().refusal(str(found)) == "":
        assert found.is_global
        assert not found.is_multicast


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_refused_in_every_ipv6_disguise(address: object) -> None:
    number = int(ip_address(str(address)))
    disguises = [number, 0xFFFF << 32 | number, 0x64FF9B << 96 | number, 0x2002 << 112 | number << 80]
    for disguise in disguises:
        assert Guard().refusal(str(ip_address(disguise.to_bytes(16, "big")))) != ""


def test_every_refused_network_has_a_reason_and_is_reached() -> None:
    for network, reason in REFUSED:
        assert reason
        assert Guard().refusal(str(network[0])) or Guard().refusal(str(network[-1]))
    # a later, wider network must not shadow the reason of a narrower one
    for number, (network, _) in enumerate(REFUSED):
        for wider, _ in REFUSED[:number]:
            assert not (wider.version == network.version and network.subnet_of(wider)), f"{network} is never reached"  # type: ignore[arg-type]


def test_the_operator_allows_networks() -> None:
    guard = Guard(parse_networks(["10.1.0.0/16", "127.0.0.1", "fd00:1::/32"]))
    assert guard.refusal("10.1.2.3") == ""
    assert guard.refusal("127.0.0.1") == ""
    assert guard.refusal("fd00:1::5") == ""
    assert "private" in guard.refusal("10.2.0.1")
    assert "loopback" in guard.refusal("127.0.0.2")
    assert "loopback" in guard.refusal("::1")


@pytest.mark.parametrize("network", ["10.0.0.1/8", "lan", "", "10.0.0.0/33", "localhost"])
def test_a_mistyped_network_is_named(network: str) -> None:
    with pytest.raises(ValueError, match=r"write it like 10\.1\.0\.0/16") as refused:
        parse_networks([network])
    assert repr(network) in str(refused.value)


def test_a_refused_address_gets_no_socket() -> None:
    info = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("10.0.0.1", 80))
    with pytest.raises(RefusedAddress) as refused:
        Guard().open(info)
    expected = "refused address 10.0.0.1 (private network; allow it under [callbacks] allow_networks)"
    assert str(refused.value) == expected


def test_an_allowed_address_gets_a_socket() -> None:
    info = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("1.1.1.1", 80))
    with Guard().open(info) as opened:
        assert opened.family == socket.AF_INET


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com",
        "https://example.com/dlr",
        "HTTPS://EXAMPLE.com:8443/a/b?key=a%20b&sig=x%2Fy#part",
        "http://127.0.0.1:8080/dlr",
        "http://[2001:db8::1]:80/",
        "http://my_host/",
        "http://xn--bcher-kva.example./",
        "http://example.com/" + "a" * 1981,
    ],
)
def test_urls_that_can_be_called_are_kept_to_the_letter(url: str) -> None:
    assert check_url(url) == url


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "neither http nor https"),
        ("example.com/dlr", "neither http nor https"),
        ("ftp://example.com/", "neither http nor https"),
        ("file:///etc/passwd", "neither http nor https"),
        ("javascript:alert(1)", "neither http nor https"),
        ("http://", "no host"),
        ("http:///dlr", "no host"),
        ("http://:80/", "no host"),
        ("http://user@example.com/", "user or password"),
        ("http://user:word@example.com/", "user or password"),
        ("http://example.com\\@evil.example/", "position 19"),
        ("http://example.com/a b", "position 21"),
        ("http://example.com/\r\nX: y", "position 20"),
        ("http://example.com/\x00", "position 20"),
        (" http://example.com/", "position 1"),
        ("http://bücher.example/", "punycode"),
        ("http://example.com:99999/", "is not a URL"),
        ("http://example.com:0/", "port 0"),
        ("http://example.com:http/", "is not a URL"),
        ("http://[::1/", "is not a URL"),
        ("http://a..b/", "no host name"),
        ("http://-x/", "no host name"),
        ("http://a%20b/", "no host name"),
        ("http://127.1/", "an odd address"),
        ("http://2130706433/", "an odd address"),
        ("http://0x7f.0.0.1/", "an odd address"),
        ("http://0177.0.0.1/", "an odd address"),
        ("http://127.0.0.1./", "an odd address"),
        ("http://example.0x/", "an odd address"),
        ("http://" + "a" * 64 + ".example/", "no host name"),
        ("http://example.com/" + "a" * 1982, "2,001 characters"),
    ],
)
def test_other_urls_are_refused_in_a_sentence(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as refused:
        check_url(url)
    assert ";" in str(refused.value) or ":" in str(refused.value)


@pytest.mark.parametrize("begin", ["http://", "ftp://", "http://[", "http://a b", "http://u@", "http://-."])
def test_a_long_url_is_quoted_in_part(begin: str) -> None:
    with pytest.raises(ValueError) as caught:
        check_url(begin + "x" * 1900)
    assert len(str(caught.value)) < 300


def test_a_password_in_a_url_is_not_repeated() -> None:
    with pytest.raises(ValueError, match="user or password") as refused:
        check_url("https://user:hunter2@example.com/")
    assert "hunter2" not in str(refused.value)


@given(st.text(max_size=60))
def test_the_check_of_urls_raises_nothing_but_sentences(text: str) -> None:
    for url in (text, "http://" + text):
        try:
            check_url(url)
        except ValueError as error:
            sentence = str(error)
        else:
            continue
        assert "callback URL" in sentence or "is not a URL" in sentence
