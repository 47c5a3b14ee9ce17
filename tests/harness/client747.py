"""A customer of the 747 API, and what every answer of that API is held to."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlencode

from tests.conftest import Accounts
from tests.harness.client import JSON, Client
from tests.harness.server import Server
from tests.harness.wire import Headers, Response

TOKEN = "/api/v1/auth/token"
CUSTOM = "/api/v1/message/custom"
BATCH = "/api/v1/message/batch"
ACCOUNT = "/api/v1/account"
FINAL = {"delivered", "undelivered", "rejected", "expired", "unknown", "cancelled"}
STATUSES = {"queued", "scheduled", "sent", *FINAL}
FIELDS = [
    *("id", "recipient", "sender", "message", "status", "segments", "encoding", "cost", "currency", "reference"),
    *("created_at", "scheduled_at", "sent_at", "delivered_at", "error"),
]
STATUSES_OF: dict[str, set[int]] = {
    "invalid_request": {400, 422, 431},
    "invalid_phone_number": {400},
    "authentication_failed": {401},
    "permission_denied": {403},
    "resource_not_found": {404},
    "method_not_allowed": {405},
    "request_too_large": {413, 431},
    "insufficient_funds": {422},
    "message_too_long": {422},
    "rate_limit_exceeded": {429},
    "internal_error": {500},
    "service_unavailable": {503},
}
DETAILS: dict[str, set[str]] = {
    "invalid_phone_number": {"parameter"},
    "authentication_failed": {"hint"},
    "permission_denied": {"hint"},
    "resource_not_found": {"resource", "id"},
    "method_not_allowed": {"allowed"},
    "insufficient_funds": {"balance", "required", "currency"},
    "message_too_long": {"length", "max_length", "segments", "max_segments", "encoding"},
    "rate_limit_exceeded": {"rate_limit"},
    "internal_error": {"request_id"},
    "service_unavailable": {"retry_after"},
}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)


class Client747:
    """One account by its 747 credentials. Connections are kept as by `Client`, one a thread."""

    def __init__(self, server: Server, credentials: Mapping[str, Any]) -> None:
        self.server = server
        self.credentials = credentials
        self.realtime = Client(server, credentials)
        self._token: str | None = None
        self._asking = threading.Lock()

    @property
    def account(self) -> str:
        return self.realtime.account

    @property
    def api_key(self) -> str:
        return str(self.credentials["sms747"]["api_key"])

    @property
    def api_secret(self) -> str:
        return str(self.credentials["sms747"]["api_secret"])

    # -- bytes

    def call(self, method: str, target: str, headers: Headers = (), body: bytes | None = None, **more: Any) -> Response:
        """One request with exactly these headers."""
        return self.realtime.call(method, target, headers, body, **more)

    # -- the API

    def authenticate(self, **fields: Any) -> Response:
        """`POST /api/v1/auth/token` with JSON; a field given replaces the right one."""
        body = json.dumps({"api_key": self.api_key, "api_secret": self.api_secret, **fields}).encode()
        return self.call("POST", TOKEN, [JSON], body)

    @property
    def token(self) -> str:
        with self._asking:
            if self._token is None:
                response = self.authenticate()
                assert response.status == 200, (response.status, response.body)
                self._token = str(response.json()["access_token"])
            return self._token

    def forget_token(self) -> None:
        self._token = None

    @property
    def bearer(self) -> tuple[str, str]:
        return ("Authorization", f"Bearer {self.token}")

    def get(self, target: str, **query: Any) -> Response:
        return self.call("GET", f"{target}?{urlencode(query)}" if query else target, [self.bearer])

    def delete(self, target: str) -> Response:
        return self.call("DELETE", target, [self.bearer])

    def post(
        self, body: bytes | Mapping[str, Any] | list[Any], target: str = CUSTOM, headers: Headers = ()
    ) -> Response:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.call("POST", target, [self.bearer, JSON, *headers], raw)

    def send(self, recipient: Any = "+56910000000", message: Any = "hello", **fields: Any) -> Response:
        """`POST /api/v1/message/custom`; a field that is `...` is left out."""
        return self.post(order(recipient, message, **fields))

    def sent(self, recipient: Any = "+56910000000", message: Any = "hello", **fields: Any) -> dict[str, Any]:
        """The message of a send that must succeed."""
        response = self.send(recipient, message, **fields)
        assert response.status == 201, (response.status, response.body)
        made: dict[str, Any] = response.json()["data"]
        return made

    def batch(self, messages: Any, headers: Headers = ()) -> Response:
        return self.post({"messages": messages}, BATCH, headers)

    def show(self, id_: str) -> dict[str, Any]:
        response = self.get(f"{CUSTOM}/{id_}")
        assert response.status == 200, (id_, response.status, response.body)
        found: dict[str, Any] = response.json()["data"]
        return found

    def page(self, **query: Any) -> dict[str, Any]:
        response = self.get(CUSTOM, **query)
        assert response.status == 200, (query, response.status, response.body)
        found: dict[str, Any] = response.json()
        return found

    def pages(self, **query: Any) -> Iterator[dict[str, Any]]:
        """Every message of a list, page by page."""
        while True:
            page = self.page(**query)
            yield from page["data"]
            if not page["pagination"]["has_more"]:
                return
            query["cursor"] = page["pagination"]["next_cursor"]

    def info(self) -> dict[str, Any]:
        response = self.get(ACCOUNT)
        assert response.status == 200, (response.status, response.body)
        found: dict[str, Any] = response.json()["data"]
        return found

    def balance(self) -> str:
        return str(self.info()["balance"])

    def wait_status(self, id_: str, *wanted: str, within: float = 20.0) -> dict[str, Any]:
        """The message once it has one of these statuses; any final one if none is named."""
        deadline = time.monotonic() + within
        while (found := self.show(id_))["status"] not in (wanted or FINAL):
            assert time.monotonic() < deadline, f"not within {within} s: {found}"
            time.sleep(0.05)
        return found

    # -- the operator

    def told(self, *words: str) -> None:
        """`heliograph account WORDS[0] ID WORDS[1:]`."""
        self.server.cli_here("account", words[0], self.account, *words[1:], json=False)

    def wait_limit(self, limit: int, within: float = 5.0) -> Client747:
        """Waits until the server knows this rate limit."""
        deadline = time.monotonic() + within
        while (response := self.get(ACCOUNT)).header("RateLimit-Limit") != str(limit):
            assert time.monotonic() < deadline, (response.status, response.headers)
            time.sleep(0.1)
        return self


def order(recipient: Any = "+56910000000", message: Any = "hello", **fields: Any) -> dict[str, Any]:
    """The JSON of a send; a field that is `...` is left out."""
    whole = {"recipient": recipient, "message": message, **fields}
    return {name: value for name, value in whole.items() if value is not ...}


UNLIMITED = 100_000


class Accounts747:
    """Makes accounts that may call more often than a test does, unless told to leave the tier's limit."""

    STOCK = 8

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._stock: list[Client747] = []

    def new(self, *options: str, balance: str = "1000.00", limited: bool = False) -> Client747:
        if options or limited:
            made = Client747(self._accounts.server, self._accounts.new(*options, balance=balance).credentials)
            return made if limited else self._freed(made).wait_limit(UNLIMITED)
        if not self._stock:
            new = [self._accounts.new(balance="0") for _ in range(self.STOCK)]
            self._stock = [self._freed(Client747(one.server, one.credentials)) for one in new]
            for one in self._stock:
                one.wait_limit(UNLIMITED)
        made = self._stock.pop()
        if float(balance):
            self.topup(made, balance)
        return made

    def topup(self, client: Client747, amount: str) -> None:
        client.server.cli_here("account", "topup", client.account, amount)

    def _freed(self, client: Client747) -> Client747:
        client.told("limit", "--per-minute", str(UNLIMITED))
        return client


# -- what every answer is held to


def check_error(response: Response, status: int, code: str) -> dict[str, Any]:
    """The one shape of errors, and what belongs to this one; its `details`."""
    assert response.status == status, (response.status, response.body)
    assert response.header("Content-Type") == "application/json"
    assert re.fullmatch(r"req_[0-9a-f]+", response.header("X-Request-Id") or "", re.ASCII)
    assert re.fullmatch(r'</errors/[a-z_]+>; rel="help"', response.header("Link") or "", re.ASCII)
    details = check_error_body(response.json(), status, code)
    if status == 401:
        assert (response.header("WWW-Authenticate") or "").startswith("Bearer")
    if status == 405:
        assert set(details["allowed"]) == response.allow
    assert (response.header("Retry-After") is not None) == (status in (429, 503)), response.headers
    return details


def check_error_body(body: Any, status: int, code: str) -> dict[str, Any]:
    """The same of an error's JSON alone, as it stands in a batch's answer too."""
    assert list(body) == ["error"]
    error = body["error"]
    assert list(error) == ["code", "message", "details"]
    assert error["code"] == code, error
    assert status in STATUSES_OF[code], (status, code)
    assert isinstance(error["message"], str)
    assert error["message"]
    details: dict[str, Any] = error["details"]
    assert isinstance(details, dict)
    assert DETAILS.get(code, set()) <= set(details), details
    if code == "invalid_request":
        assert set(details) <= {"parameter", "errors"}, details
        for one in details.get("errors", []):
            assert set(one) == {"parameter", "message"}
            assert all(isinstance(value, str) and value for value in one.values())
    return details


def check_message(found: Mapping[str, Any]) -> None:
    """A message has every field, in the contract's order and types, whatever its status."""
    assert list(found) == FIELDS
    assert re.fullmatch(r"[1-9][0-9]{0,15}", found["id"], re.ASCII)
    assert int(found["id"]) < 2**53
    assert re.fullmatch(r"\+[1-9][0-9]{7,14}", found["recipient"], re.ASCII)
    for name in ("sender", "message", "currency"):
        assert isinstance(found[name], str), name
    assert found["status"] in STATUSES
    assert type(found["segments"]) is int
    assert found["encoding"] in ("gsm7", "ucs2")
    assert re.fullmatch(r"[0-9]+\.[0-9]{4,6}", found["cost"], re.ASCII), found["cost"]
    assert found["reference"] is None or isinstance(found["reference"], str)
    assert TIME.fullmatch(found["created_at"])
    for name in ("scheduled_at", "sent_at", "delivered_at"):
        assert found[name] is None or TIME.fullmatch(found[name]), (name, found[name])
    assert found["error"] is None or isinstance(found["error"], dict)
