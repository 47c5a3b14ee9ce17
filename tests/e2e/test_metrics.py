"""`/metrics` of a running server: the figures after known traffic, and that the page is there when the store is not."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import apsw
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.conftest import DOORS
from tests.harness.client import Client, message, phone
from tests.harness.server import Server
from tests.harness.wire import Response

from heliograph.api.figures import FAMILIES

DOCS = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()


class Figures:
    """What a page said: a sample by its name and labels, as they are written."""

    def __init__(self, page: bytes) -> None:
        self.families = {one.name: one for one in text_string_to_metric_families(page.decode())}
        self._samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in self.families.values()
            for sample in family.samples
        }

    def of(self, name: str, **labels: str) -> float | None:
        return self._samples.get((f"heliograph_{name}", frozenset(labels.items())))


def figures(client: Client) -> Figures:
    response = client.call("GET", "/metrics")
    assert response.status == 200, response.body
    return Figures(response.body)


def wait_for(client: Client, happened: Callable[[Figures], bool], within: float = 20.0) -> Figures:
    deadline = time.monotonic() + within
    while not happened(found := figures(client)):
        assert time.monotonic() < deadline, f"it did not happen: {found.families}"
        time.sleep(0.05)
    return found


@pytest.fixture(params=list(DOORS))
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Client]:
    with Server(tmp_path / "data", settings={"http.lean_door": DOORS[request.param]}) as started:
        yield Client(started, started.credentials)


def test_the_figures_tell_what_was_asked_and_what_became_of_it(client: Client) -> None:
    assert client.authenticate(client_secret="rts_" + "x" * 43).status == 401
    for fate in ("0000", "0000", "0001"):
        client.submit(phone(fate))
    assert client.send(text="").status == 400
    assert client.get("/api/nothing").status == 404
    rest = Decimal(client.balance())
    client.server.cli("account", "topup", client.account, f"-{rest - 1}")
    assert client.send([phone("0000"), phone("0000", 1)]).status == 200

    found = wait_for(client, lambda now: now.of("callback_attempts_total", result="acknowledged") == 4)
    assert found.of("http_requests_total", method="POST", route="/api/sms", status="200") == 4
    assert found.of("http_requests_total", method="POST", route="/api/sms", status="400") == 1
    assert found.of("http_requests_total", method="POST", route="/api/auth", status="200") == 1
    assert found.of("http_requests_total", method="POST", route="/api/auth", status="401") == 1
    assert found.of("http_requests_total", method="GET", route="/api/balance", status="200") == 1
    assert found.of("http_requests_total", method="GET", route="-", status="404") == 1
    assert found.of("http_errors_total", code="credentials_invalid") == 1
    assert found.of("http_errors_total", code="not_found") == 1
    assert found.of("http_request_duration_seconds_count", calls="send") == 5
    assert found.of("http_requests_in_flight") == 1  # this one
    assert found.of("http_connections") == 1
    assert found.of("messages_accepted_total") == 4
    assert found.of("messages_refused_total", code="insufficient_funds") == 1
    assert found.of("messages_refused_total", code="carrier_backlog_full") == 0
    assert found.of("messages_ended_total", status="DELIVERED") == 3
    assert found.of("messages_ended_total", status="UNDELIVERED") == 1
    assert found.of("messages_ended_total", status="UNKNOWN") == 0
    assert found.of("commits_total", result="failed") == 0
    assert (found.of("commit_rows_total") or 0) >= 5
    assert found.of("commit_duration_seconds_count") == found.of("commits_total", result="stored")
    assert found.of("store_healthy") == found.of("ready") == 1
    assert found.of("store_waiting_rows") == 0
    assert found.of("carrier_outcomes_total", carrier="simulator", outcome="taken") == 4
    assert found.of("carrier_outcomes_total", carrier="simulator", outcome="permanent") == 0
    assert found.of("carrier_receipts_total", carrier="simulator") == 4
    assert found.of("receipts_matched_total") == 4
    assert found.of("receipts_unmatched_total") == found.of("receipts_parked") == 0
    for empty in ("waiting", "window_used", "on_wire", "paused"):
        assert found.of(f"carrier_{empty}", carrier="simulator") == 0
    assert found.of("callback_attempts_begun_total") == 4
    assert found.of("callback_attempts_total", result="failed") == found.of("callbacks_given_up_total") == 0
    assert found.of("callbacks_under_way") == 0
    assert 0 <= (found.of("directory_age_seconds") or 0) < 10
    assert (found.of("message_ids_left") or 0) > 0


def test_a_repeated_request_counts_as_a_replay_and_an_inbound_message_as_one(client: Client) -> None:
    body = client.bearer, ("Content-Type", "application/json"), ("Idempotency-Key", "k1")
    order = b'{"recipients":["+56910000000"],"sender":"96000","message":{"text":"hello"}}'
    assert client.call("POST", "/api/sms", body, order).body == client.call("POST", "/api/sms", body, order).body
    for number in ("96000", "12345"):
        client.server.cli("simulator", "inbound", "--from", "56912345678", "--to", number, "--text", "hi")
    found = figures(client)
    assert found.of("idempotent_replays_total") == 1
    assert found.of("messages_accepted_total") == 1
    assert found.of("messages_inbound_total") == 2
    assert found.of("messages_inbound_unowned_total") == 1


def test_the_page_and_the_docs_name_the_same_figures(client: Client) -> None:
    families = figures(client).families
    ours = {family.name for family in FAMILIES}
    shown = {f"{name}_total" if one.type == "counter" else name for name, one in families.items()}
    assert {name for name in shown if name.startswith("heliograph_")} == ours
    assert {name for name in shown if name not in ours} == set(re.findall(r"`(process_\w+)`", DOCS))
    for family in FAMILIES:
        one = families[family.name.removesuffix("_total")]
        assert (one.type, one.documentation) == (family.kind, family.help)
        for sample in one.samples:
            assert set(sample.labels) - {"le"} == set(family.labels)


def test_head_tells_the_headers_alone_and_other_methods_are_refused(client: Client) -> None:
    head, get = client.call("HEAD", "/metrics"), client.call("GET", "/metrics")
    assert (head.status, head.body) == (200, b"")
    assert head.header("Content-Type") == get.header("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"
    assert int(head.header("Content-Length") or 0) > 1000
    post = client.call("POST", "/metrics", body=b"")
    assert (post.status, post.allow) == (405, {"GET", "HEAD"})


def bare(response: Response) -> tuple[object, ...]:
    """An answer without what differs from one request to the next."""
    request_id = response.header("X-Request-Id") or ""
    headers = [
        (name.lower(), value) for name, value in response.headers if name.lower() not in ("date", "x-request-id")
    ]
    return response.status, sorted(headers), response.body.replace(request_id.encode(), b"?")


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE"])
def test_through_a_proxy_that_is_not_trusted_the_page_is_not_there(client: Client, method: str) -> None:
    forwarded = [("X-Forwarded-For", "127.0.0.1")]
    hidden = client.call(method, "/metrics", forwarded)
    assert hidden.status == 404
    assert bare(hidden) == bare(client.call(method, "/nothing", forwarded))


def test_a_request_cut_short_does_not_give_the_page_away(client: Client) -> None:
    large = [("Content-Length", str(2 << 20))]
    with client.server.wire() as one, client.server.wire() as other:
        for wire, path in ((one, "/metrics"), (other, "/nothing")):
            wire.send(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {large[0][1]}\r\n\r\n".encode())
        assert bare(one.read()) == bare(other.read())


def test_for_another_network_the_page_is_not_there(tmp_path: Path) -> None:
    with Server(tmp_path / "data", settings={"metrics.allow_networks": "192.0.2.0/24"}) as started:
        client = Client(started, started.credentials)
        assert bare(client.call("GET", "/metrics")) == bare(client.call("GET", "/nothing"))
        assert client.call("GET", "/metrics").status == 404


@pytest.mark.slow
def test_the_page_is_there_when_the_store_is_not(tmp_path: Path) -> None:
    with Server(tmp_path / "data") as started:
        client = Client(started, started.credentials)
        client.wait_final(client.submit(phone("0000")))
        answers: list[Response] = []
        request = message([phone("0001")])
        with closing(apsw.Connection(str(started.data / "heliograph.sqlite"))) as thief:
            thief.set_busy_timeout(5_000)
            thief.execute("BEGIN IMMEDIATE")
            sending = threading.Thread(
                target=lambda: answers.append(Client(started, started.credentials).post(request))
            )
            sending.start()
            waiting = wait_for(client, lambda now: now.of("store_waiting_rows") == 1)
            assert waiting.of("http_requests_in_flight") == 2
            failed = wait_for(client, lambda now: now.of("store_healthy") == 0)
            sending.join()
            thief.execute("ROLLBACK")
        assert [answer.status for answer in answers] == [503]
        assert (failed.of("commits_total", result="failed") or 0) >= 1
        assert failed.of("ready") == 0
        back = wait_for(client, lambda now: now.of("store_healthy") == 1)
        assert back.of("messages_accepted_total") == 1
        assert back.of("messages_ended_total", status="UNDELIVERED") == 0
        assert back.of("http_errors_total", code="store_unavailable") == 1
