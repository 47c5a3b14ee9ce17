"""A customer of the RealTime API: one account, its token fetched once, one kept connection a thread."""

from __future__ import annotations

import json
import threading
import time
import urllib.parse
from collections.abc import Iterable, Mapping
from typing import Any

from tests.harness.server import Server
from tests.harness.wire import ConnectionEndedError, Headers, Response, Wire, encode

FORM = ("Content-Type", "application/x-www-form-urlencoded")
JSON = ("Content-Type", "application/json")
FINAL = {"DELIVERED", "REJECTED", "UNDELIVERED", "EXPIRED", "UNKNOWN"}


def phone(fate: str = "0000", n: int = 0) -> str:
    """A Chilean mobile number whose last four digits choose what the simulator does with the message."""
    return f"+5691{n:03d}{fate}"


def form(**fields: str) -> bytes:
    return urllib.parse.urlencode(fields).encode()


class Client:
    def __init__(self, server: Server, credentials: Mapping[str, Any]) -> None:
        self.server = server
        self.credentials = credentials
        self._token: str | None = None
        self._local = threading.local()

    @property
    def account(self) -> str:
        return str(self.credentials["account_id"])

    @property
    def client_id(self) -> str:
        return str(self.credentials["realtime"]["client_id"])

    @property
    def client_secret(self) -> str:
        return str(self.credentials["realtime"]["client_secret"])

    # -- bytes --------------------------------------------------------------------------------------------------

    def call(self, method: str, target: str, headers: Headers = (), body: bytes | None = None, **more: Any) -> Response:
        """One request on the kept connection, with exactly these headers; a connection that has ended is renewed."""
        return self.exchange(encode(method, target, headers, body, **more), to_head=method == "HEAD")

    def exchange(self, request: bytes, *, to_head: bool = False) -> Response:
        kept: Wire | None = getattr(self._local, "wire", None)
        if kept is not None:
            try:
                kept.send(request)
                response = kept.read(to_head=to_head)
            except (ConnectionEndedError, BrokenPipeError, ConnectionResetError):
                kept.close()
            else:
                self._keep(kept, response)
                return response
        fresh = self.server.wire()
        fresh.send(request)
        response = fresh.read(to_head=to_head)
        self._keep(fresh, response)
        return response

    def _keep(self, wire: Wire, response: Response) -> None:
        if (response.header("Connection") or "").lower() == "close":
            wire.close()
            self._local.wire = None
        else:
            self._local.wire = wire

    # -- the API ------------------------------------------------------------------------------------------------

    def authenticate(self, **fields: str) -> Response:
        """`POST /api/auth` with a form; a field given replaces the right one."""
        right = {
            "grant_type": "client_credentials",
            "client_id": self.client_id,
            "client_secret": self.client_secret,
        }
        return self.call("POST", "/api/auth", [FORM], form(**{**right, **fields}))

    @property
    def token(self) -> str:
        if self._token is None:
            response = self.authenticate()
            assert response.status == 200, (response.status, response.body)
            self._token = str(response.json()["access_token"])
        return self._token

    @property
    def bearer(self) -> tuple[str, str]:
        return ("Authorization", f"Bearer {self.token}")

    def get(self, target: str) -> Response:
        return self.call("GET", target, [self.bearer])

    def post(self, body: bytes | Mapping[str, Any] | list[Any], target: str = "/api/sms") -> Response:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.call("POST", target, [self.bearer, JSON], raw)

    def send(self, recipients: Iterable[str] = ("+56910000000",), text: Any = "hello", **fields: Any) -> Response:
        """`POST /api/sms`; `charset=` goes into the message, other fields beside it."""
        return self.post(message(recipients, text, **fields))

    def submit(self, recipient: str = "+56910000000", text: str = "hello", **fields: Any) -> str:
        """Sends one message and returns its submission id."""
        response = self.send([recipient], text, **fields)
        assert response.status == 200, (response.status, response.body)
        (only,) = response.json()["submissions"]
        assert only["status"] == "submitted", only
        return str(only["submissionId"])

    def balance(self) -> str:
        response = self.get("/api/balance")
        assert response.status == 200, (response.status, response.body)
        return str(response.json()["balance"])

    def info(self, submission_id: str) -> dict[str, Any]:
        response = self.get(f"/api/sms/{submission_id}")
        assert response.status == 200, (submission_id, response.status, response.body)
        found: dict[str, Any] = response.json()
        return found

    def wait_final(self, submission_id: str, within: float = 20.0) -> dict[str, Any]:
        """The info of a message once it has a final status."""
        deadline = time.monotonic() + within
        while True:
            info = self.info(submission_id)
            if info["info"]["status"]["status"] in FINAL:
                return info
            assert time.monotonic() < deadline, f"no final status within {within} s: {info}"
            time.sleep(0.05)

    def wait_effective(self, within: float = 5.0) -> Client:
        """Waits until a running server knows this account."""
        deadline = time.monotonic() + within
        while (response := self.authenticate()).status != 200:
            assert time.monotonic() < deadline, (response.status, response.body)
            time.sleep(0.1)
        return self


def message(recipients: Iterable[str], text: Any = "hello", sender: Any = "96000", **fields: Any) -> dict[str, Any]:
    """The JSON of a send; `charset=` goes into the message, other fields beside it."""
    inner = {"text": text}
    if "charset" in fields:
        inner = {"charset": fields.pop("charset"), "text": text}
    return {"recipients": list(recipients), "sender": sender, "message": inner, **fields}
