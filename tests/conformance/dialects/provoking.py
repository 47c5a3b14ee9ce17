"""The examples of errors, sent to real servers that were brought to where they fail.

A setup of an example is brought about here by its key: by operators' commands, by settings, or by faults.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import Accounts
from tests.harness.client import Client
from tests.harness.server import Server
from tests.harness.wire import ConnectionEndedError, Response, encode

from heliograph.api import lessons
from heliograph.api.face import Telling
from heliograph.dialects import example as it
from heliograph.dialects.example import Example

HARNESS = Path(__file__).parents[2] / "harness"
PHONE = "+56912345678"
MESSAGE_ID = "4193366853543393"


@dataclass(frozen=True)
class Customer:
    """An account as an example's placeholders need it; `send` is how it sends something acceptable."""

    client: Client
    values: Mapping[str, str]
    send: Callable[[], Response]


Customers = Callable[[Client], Customer]


def filled(example: Example, values: Mapping[str, str]) -> bytes:
    """The example's request as it is sent."""

    def put(text: str) -> str:
        return re.sub(r"\$([A-Z_]+)", lambda name: values[name[1]], example.filled(text))

    headers = [(name, put(value)) for name, value in example.headers]
    body = put(example.body).encode() if example.body else None
    return encode(example.method, put(example.path), headers, body)


def sent(example: Example, customer: Customer) -> Response:
    """The answer of the customer's server to an example."""
    with customer.client.server.wire() as wire:
        wire.send(filled(example, customer.values))
        return wire.read(to_head=example.method == "HEAD")


def sent_to_a_server_that_is_killed(example: Example, customer: Customer) -> None:
    with contextlib.suppress(ConnectionEndedError, ConnectionResetError):
        sent(example, customer)


def until(happens: Callable[[], bool], within: float = 10.0) -> None:
    deadline = time.monotonic() + within
    while not happens():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.1)


# -- by commands, on the server that all tests share

COMMANDS = {
    it.SUSPENDED.key: ("suspend",),
    it.SENDING_OFF.key: ("sending", "off"),
    it.ONE_NETWORK.key: ("ips", "--add", "203.0.113.0/24"),
    it.ONE_COUNTRY.key: ("countries", "--only", "GB"),
}
SHARED = {
    *COMMANDS,
    it.NONE.key,
    it.ONE_A_MINUTE.key,
    it.NO_BALANCE.key,
    it.OPTED_OUT.key,
    it.KEY_USED.key,
    it.DELIVERED.key,
}


def provoke(example: Example, accounts: Accounts, customers: Customers) -> tuple[Response, Customer]:
    """The answer to an example whose setup the shared server can have."""
    key = example.setup.key
    client = accounts.new(balance="0.00") if key == it.NO_BALANCE.key else accounts.new()
    customer = customers(client)
    told = client.server.cli_here
    if key in COMMANDS:
        first, *more = COMMANDS[key]
        assert f"account {first} demo" in example.setup.words
        assert all(word in example.setup.words for word in more)
        told("account", first, client.account, *more, json=False)
        until(lambda: customers(renewed(client)).send().status == 403)
        customer = customers(client)
    elif key == it.ONE_A_MINUTE.key:
        told("account", "limit", client.account, "--per-minute", "1", json=False)
        until(lambda: customer.send().status == 429)
    elif key == it.OPTED_OUT.key:
        told("account", "optout", client.account, "--add", PHONE, json=False)
    elif key == it.KEY_USED.key:
        other = dataclasses.replace(example, body=example.body.replace("parcel", "letter"))
        assert sent(other, customer).status in (200, 201)
    elif key == it.DELIVERED.key:
        customer = delivered(customer)
    return sent(example, customer), customer


def renewed(client: Client) -> Client:
    """The same account without its token: a suspension ends those."""
    client._token = None
    return client


def delivered(customer: Customer) -> Customer:
    """The customer with a message that is at its end, `$MESSAGE_ID`."""
    submission = customer.client.submit("+56910000000")
    customer.client.wait_final(submission)
    return Customer(customer.client, {**customer.values, "MESSAGE_ID": submission}, customer.send)


# -- by settings and faults, on a server of its own


@dataclass(frozen=True)
class Made:
    """How a server is started for a setup."""

    settings: Mapping[str, str]
    launcher: tuple[str, ...] = ("-m", "heliograph")
    variables: Mapping[str, str] | None = None
    config: str | None = None


SERVERS = {
    it.ONE_PRICE.key: Made({}, config='[prices.default]\n44 = "0.05"\n'),
    it.NO_CARRIER.key: Made({}, config='[messages]\ndefault_carrier = ""\n'),
    it.FAILED_BEFORE.key: Made({"limits.failed_tokens_per_minute": "1"}),
    it.KEY_IN_USE.key: Made({}, (str(HARNESS / "killable.py"),), {"TRAP": "slow", "TRAP_AT": "1"}),
    it.BACKLOG.key: Made({"carriers.simulator.answer_ms": "3600000", "carriers.simulator.backlog": "1"}),
    it.BUG.key: Made({}, (str(HARNESS / "broken.py"),)),
    it.BUSY.key: Made({"limits.waiting_rows": "20"}),
    it.STORE_DOWN.key: Made({}, (str(HARNESS / "killable.py"),), {"TRAP": "refused", "TRAP_AT": "1"}),
    it.DRAINING.key: Made({"http.drain_seconds": "20"}),
}


def provoke_alone(
    example: Example, data: Path, door: Mapping[str, str], customers: Customers
) -> tuple[Response, Customer]:
    """The answer to an example whose setup needs a server of its own."""
    key = example.setup.key
    made = SERVERS[key]
    how: dict[str, Any] = {"launcher": made.launcher, "variables": made.variables, "config": made.config}
    server = Server(data, settings={**door, **made.settings}, **how)
    server.start()
    try:
        client = Accounts(server).new("--any-sender") if made.config else Client(server, server.credentials)
        customer = customers(client)
        if key == it.FAILED_BEFORE.key:
            wrong = re.sub(r"\$(CLIENT|API)_SECRET", "$OLD_SECRET", example.body)
            assert sent(dataclasses.replace(example, body=wrong), customer).status == 401
        elif key == it.KEY_IN_USE.key:
            first = threading.Thread(target=sent_to_a_server_that_is_killed, args=(example, customer), daemon=True)
            first.start()
            time.sleep(0.5)
        elif key == it.BACKLOG.key:
            assert customer.send().status in (200, 201)
        elif key == it.DRAINING.key:
            assert server.process is not None
            server.process.send_signal(signal.SIGTERM)
            until(lambda: customer.send().status == 503)
        return sent(example, customer), customer
    finally:
        server.kill()


# -- what the page shows

_VARYING = {"retry-after", "ratelimit-reset"}


def check(example: Example, telling: Telling, answer: Response, customer: Customer) -> None:
    """The answer is what the page of its error shows."""
    page = lessons.answer_to(example, telling)
    assert (answer.status, masked(answer.body, customer)) == (page.status, masked(page.body))
    shown = {name.decode(): value.decode() for name, value in page.headers}
    assert shown.get("link") in (f'</errors/{example.error.kind.code}>; rel="help"', None if page.status == 200 else "")
    for name, value in shown.items():
        assert answer.header(name) == value or (name in _VARYING and answer.header(name)), (name, answer.headers)
    assert ("retry-after" in shown) == (answer.header("Retry-After") is not None)


def masked(answer: bytes, customer: Customer | None = None) -> Any:
    """A body without what differs from one answer to the next."""
    text = re.sub(r"req_[0-9a-f]{20}", "req", answer.decode())
    text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME", text)
    text = re.sub(r"in \d+ seconds", "in N seconds", text)
    if customer is not None:
        text = text.replace(customer.client.account, it.ACCOUNT).replace("127.0.0.1", it.ADDRESS)
        text = text.replace(customer.values.get("MESSAGE_ID", MESSAGE_ID), MESSAGE_ID)
    return json.loads(text) if text else None
