"""`/metrics`: who may see it, what is counted, and that the docs tell the same."""

from __future__ import annotations

import re
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from heliograph import config
from heliograph.api.figures import FAMILIES, of_http
from heliograph.api.metrics import Metrics
from heliograph.api.traffic import Traffic
from heliograph.messaging.errors import REGISTRY

PAGE = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text()
ALERTS = PAGE.partition("## Alerts")[2]
DEFAULT = config.Settings().metrics.allow_networks


def admitted(caller: str, *headers: str, peer: str = "", networks: tuple[str, ...] = DEFAULT) -> bool:
    """Whether the page is there for a caller; `peer` is who is connected, where that is a trusted proxy."""
    services = cast("Any", SimpleNamespace(engine=None, metrics_networks=networks))
    scope = {
        "client": (caller, 1),
        "headers": [(name.encode(), b"127.0.0.1") for name in headers],
        "state": {"peer": peer or caller},
    }
    return Metrics(services, Traffic(frozenset({"/api/sms", "/api/v1/message/custom"}))).admits(scope)


@pytest.mark.parametrize("caller", ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1"])
def test_this_machine_may_read_the_figures(caller: str) -> None:
    assert admitted(caller)


@pytest.mark.parametrize("caller", ["10.0.0.9", "192.0.2.1", "2001:db8::1", "::ffff:10.0.0.9", "-", ""])
def test_nobody_else_may_unless_his_network_is_allowed(caller: str) -> None:
    assert not admitted(caller)


def test_an_allowed_network_may_and_then_only_that() -> None:
    assert admitted("10.0.0.9", networks=("10.0.0.0/24",))
    assert not admitted("127.0.0.1", networks=("10.0.0.0/24",))
    assert not admitted("127.0.0.1", networks=())


@pytest.mark.parametrize("header", ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via"])
def test_what_a_proxy_passes_on_is_not_this_machines(header: str) -> None:
    assert not admitted("127.0.0.1", header)


def test_behind_a_trusted_proxy_it_is_the_callers_address_that_counts() -> None:
    assert not admitted("192.0.2.1", "x-forwarded-for", peer="127.0.0.1")
    assert admitted("10.0.0.9", "x-forwarded-for", peer="127.0.0.1", networks=("10.0.0.0/24",))
    assert not admitted("127.0.0.1", "x-real-ip", peer="127.0.0.1")


def counted(traffic: Traffic, name: str) -> dict[tuple[str, ...], float]:
    (family,) = (one for one in FAMILIES if one.name == name)
    (metric,) = (one for one in of_http(traffic) if one.name == name.removesuffix("_total"))
    return {tuple(sample.labels[label] for label in family.labels): sample.value for sample in metric.samples}


def test_requests_are_counted_by_what_was_asked_and_answered() -> None:
    traffic, began = Traffic(frozenset({"/api/sms", "/api/v1/message/custom"})), time.perf_counter()
    refusal = [(b"content-type", b"application/problem+json"), (b"link", b'</errors/field_invalid>; rel="help"')]
    traffic.sent("/api/sms", 200, began, [])
    traffic.sent("/api/sms", 400, began, refusal)
    traffic.sent("/api/v1/message/custom", 201, began, [])
    traffic.refused("POST", "/api/sms", 400, refusal)
    traffic.answered("GET", "/api/balance", 200, began, [])
    for odd in ("PROPFIND", "MKCOL", ""):
        traffic.answered(odd, "-", 404, began, [(b"link", b'</errors/not_found>; rel="help"')])
    assert counted(traffic, "heliograph_http_requests_total") == {
        ("POST", "/api/sms", "200"): 1,
        ("POST", "/api/sms", "400"): 2,
        ("POST", "/api/v1/message/custom", "201"): 1,
        ("GET", "/api/balance", "200"): 1,
        ("other", "-", "404"): 3,
    }
    errors = counted(traffic, "heliograph_http_errors_total")
    assert {code: count for (code,), count in errors.items() if count} == {"field_invalid": 2, "not_found": 3}
    assert {code for (code,) in errors} == set(REGISTRY)  # alerts see a counter rise, not one that comes into being


def test_a_request_that_was_not_received_whole_has_no_duration() -> None:
    traffic, began = Traffic(frozenset({"/api/sms", "/api/v1/message/custom"})), time.perf_counter()
    traffic.sent("/api/sms", 200, began - 0.3, [])
    traffic.answered("GET", "/", 200, began, [])
    traffic.refused("POST", "/api/sms", 413, [])
    assert sum(traffic.send_seconds.counts) == sum(traffic.other_seconds.counts) == 1
    assert 0.3 <= traffic.send_seconds.sum < 10


def test_requests_in_flight_are_the_connections_that_wait_for_an_answer() -> None:
    traffic = Traffic(frozenset({"/api/sms", "/api/v1/message/custom"}))
    traffic.connections = [SimpleNamespace(busy=busy) for busy in (True, False, True)]
    assert counted(traffic, "heliograph_http_requests_in_flight") == {(): 2}
    assert counted(traffic, "heliograph_http_connections") == {(): 3}


def test_every_figure_is_documented_as_it_is_and_no_other() -> None:
    documented = re.findall(r"^\| `(heliograph_\w+)` \| (\w+) \| ([^|]*)\| (.+) \|$", PAGE, re.MULTILINE)
    rows = [(name, kind, tuple(re.findall(r"`(\w+)`", labels)), help) for name, kind, labels, help in documented]
    assert sorted(rows) == sorted((one.name, one.kind, one.labels, one.help) for one in FAMILIES)


def test_alerts_name_figures_that_there_are() -> None:
    named = set(re.findall(r"heliograph_\w+", ALERTS))
    assert named
    assert {name.removesuffix("_bucket") for name in named} <= {one.name for one in FAMILIES}


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_figures_are_named_as_prometheus_has_it(family: Any) -> None:
    assert re.fullmatch(r"heliograph_[a-z_]+", family.name)
    assert family.name.endswith("_total") == (family.kind == "counter")
    assert family.help.endswith(".")
    assert "account" not in family.labels
