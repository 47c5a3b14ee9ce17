"""RealTime SMS v.2 over HTTP: who is calling, which service answers, what leaves.

`send` is the one way of sending: the Starlette route and the lean door both call it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
from collections import Counter
from collections.abc import Callable
from typing import Final
from urllib.parse import parse_qsl, unquote_plus

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from heliograph.api.replies import JSON, PROBLEM, Headers, Reply, ReplyResponse, explained
from heliograph.api.services import Services
from heliograph.dialects import realtime
from heliograph.messaging import errors
from heliograph.messaging.accounts import Account, require_active
from heliograph.messaging.errors import CallerError, HeliographError
from heliograph.service.accounts import TOKEN_SECONDS
from heliograph.service.submit import Verdict, as_error

_log = logging.getLogger(__name__)

SEND_PATH: Final = "/api/sms"
_TOKENS_REMEMBERED: Final = 10_000
_FORM_BYTES: Final = 16 * 1024
_FORM_FIELDS: Final = 50
_REALM: Final = b'realm="RealTime SMS"'

Answer = Callable[[Reply], None]


class RealTime:
    """The calls of the API."""

    def __init__(self, services: Services) -> None:
        self._tokens = services.tokens
        self._directory = services.directory
        self._submit = services.submit
        self._query = services.query
        self._token_of: dict[bytes, str] = {}

    def routes(self) -> list[Route]:
        """What is where."""
        return [
            Route(SEND_PATH, self._sms, methods=["POST"]),
            Route("/api/sms/{id}", self._info, methods=["GET"]),
            Route("/api/balance", self._balance, methods=["GET"]),
            Route("/api/auth", self._auth, methods=["POST"]),
        ]

    # -- sending

    def send(
        self, authorization: bytes | None, body: bytes | bytearray, client: str, request_id: str, answer: Answer
    ) -> None:
        """`POST /api/sms`. `answer` is called once: now, or when the messages are on disk. Nothing is raised."""
        account: Account | None = None
        try:
            account = self.account(authorization)
            require_active(account)
            order = realtime.parse_order(body)
            ref = account.ref

            def decided(verdicts: list[Verdict] | HeliographError) -> None:
                answer(_sent(verdicts, request_id, ref))

            self._submit(account, order, realtime.DIALECT, decided)
        except Exception as error:
            answer(refusal(error, request_id, account.ref if account is not None else "-"))

    async def _sms(self, request: Request) -> Response:
        answered: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

        def answer(reply: Reply) -> None:
            if not answered.done():
                answered.set_result(reply)

        client = request.client.host if request.client else "-"
        body = await request.body()
        self.send(authorization(request.scope["headers"]), body, client, request.state.request_id, answer)
        reply = await answered
        request.state.account = reply.account
        return ReplyResponse(reply)

    # -- reading

    async def _balance(self, request: Request) -> Response:
        account = self._caller(request)
        micros = await self._query.balance_micros(account.id)
        return ReplyResponse(Reply(200, JSON, realtime.render_balance(micros)))

    async def _info(self, request: Request) -> Response:
        account = self._caller(request)
        view = await self._query.message(account.id, request.path_params["id"])
        body = realtime.render_info(view.public_id, view.message, view.cost_micros, view.operator)
        return ReplyResponse(Reply(200, JSON, body))

    # -- who is calling

    def account(self, authorization: bytes | None) -> Account:
        """The account that an `Authorization` header speaks for. Raises `CallerError` (400 or 401)."""
        known = self._token_of
        token = known.get(authorization)  # type: ignore[arg-type]  # None is never a key
        if token is not None:
            return self._tokens.verify(token, realtime.AUDIENCE)
        token = realtime.bearer_token(authorization)
        account = self._tokens.verify(token, realtime.AUDIENCE)
        if authorization is not None:
            if len(known) >= _TOKENS_REMEMBERED:
                known.clear()
            known[authorization] = token
        return account

    def _caller(self, request: Request) -> Account:
        account = self.account(authorization(request.scope["headers"]))
        request.state.account = account.ref
        return account

    async def _auth(self, request: Request) -> Response:
        header = authorization(request.scope["headers"])
        basic = header is not None and header[:6].lower() in (b"basic", b"basic ")
        try:
            fields = _form(request.headers.get("content-type", ""), await request.body())
            client_id, client_secret = _credentials(fields, header if basic else None)
            account = self._directory.authenticate(realtime.DIALECT, client_id, client_secret)
        except CallerError as error:
            return ReplyResponse(_no_token(error, basic=basic))
        request.state.account = account.ref
        token = self._tokens.issue(account, realtime.AUDIENCE)
        return ReplyResponse(Reply(200, (*JSON, _NO_STORE), realtime.render_token(token, TOKEN_SECONDS)))


def authorization(headers: list[tuple[bytes, bytes]]) -> bytes | None:
    """The value of the `Authorization` header; of several, all of them in one, which is no token (RFC 9110 §5.3)."""
    values = [value for name, value in headers if name == b"authorization"]
    return b", ".join(values) if values else None


# -- answers

_NO_STORE: Final = (b"cache-control", b"no-store")


def _sent(verdicts: list[Verdict] | HeliographError, request_id: str, account: str) -> Reply:
    """The answer to a send. Never raises: the messages are stored by now, and somebody waits."""
    try:
        if isinstance(verdicts, HeliographError):
            return refusal(verdicts, request_id, account)
        return Reply(200, JSON, realtime.render_verdicts(verdicts), account)
    except Exception as error:
        return refusal(error, request_id, account)


def refusal(error: Exception, request_id: str, account: str = "-", more: Headers = ()) -> Reply:
    """The answer to a request that failed, with `more` headers. A fault that nobody foresaw is logged."""
    if not isinstance(error, HeliographError):
        _log.error("request %s failed", request_id, exc_info=error)
        error = as_error(error)
    status = realtime.STATUS[error.kind.code]
    if status == 401:
        return Reply(401, (_challenge(error), *explained(error)), b"", account)
    return Reply(status, (*PROBLEM, *explained(error), *more), realtime.problem(error, request_id), account)


def _challenge(error: HeliographError) -> tuple[bytes, bytes]:
    """RFC 6750 §3: an error only for a request that came with a token."""
    if error.kind is errors.TOKEN_MISSING:
        return b"www-authenticate", b"Bearer " + _REALM
    return b"www-authenticate", b"Bearer " + _REALM + b', error="invalid_token"'


def _no_token(error: CallerError, *, basic: bool) -> Reply:
    headers = (*JSON, _NO_STORE, *explained(error))
    status = realtime.STATUS[error.kind.code]
    if status == 401 and basic:
        headers = (*headers, (b"www-authenticate", b"Basic " + _REALM))
    return Reply(status, headers, realtime.oauth_error(error))


# -- the token request (RFC 6749 §4.4.2)


def _form(content_type: str, body: bytes) -> dict[str, str]:
    """The fields that matter. Raises `CallerError(AUTH_MALFORMED)`."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in ("", "application/x-www-form-urlencoded"):
        raise _malformed(f"The body is {kind[:60]}; send the fields as application/x-www-form-urlencoded.")
    if len(body) > _FORM_BYTES:
        raise _malformed(f"The form has {len(body)} bytes, of which a token request needs less than 200.")
    try:
        pairs = parse_qsl(body.decode("latin-1"), keep_blank_values=True, max_num_fields=_FORM_FIELDS)
    except ValueError:
        raise _malformed(f"The form has more than {_FORM_FIELDS} fields; a token request needs three.") from None
    # RFC 6749 §3.1 and §3.2: a parameter without a value is as good as absent, and none comes twice.
    fields = [(name, value) for name, value in pairs if value and name in ("grant_type", "client_id", "client_secret")]
    for name, count in Counter(name for name, _ in fields).items():
        if count > 1:
            raise _malformed(f"{name} comes {count} times; send it once.")
    return dict(fields)


def _credentials(fields: dict[str, str], basic: bytes | None) -> tuple[str, str]:
    """Client id and secret, from the form or HTTP Basic. Raises `CallerError`: AUTH_MALFORMED, GRANT_UNSUPPORTED."""
    grant = fields.get("grant_type")
    if grant is None:
        raise _malformed("grant_type is missing; send grant_type=client_credentials.")
    if grant != "client_credentials":
        detail = f"grant_type {grant[:40]!r} is not supported; send client_credentials."
        raise CallerError(errors.GRANT_UNSUPPORTED, detail)
    client_id, client_secret = fields.get("client_id"), fields.get("client_secret")
    if basic is not None:
        user, password = _basic(basic)
        # Clients that name themselves in the form too are many; what authenticates is the secret.
        if client_secret is not None or client_id not in (None, user):
            raise _malformed("HTTP Basic and the form both carry credentials; authenticate in one way.")
        client_id, client_secret = user, password
    if client_id is None or client_secret is None:
        missing = "client_id" if client_id is None else "client_secret"
        raise _malformed(f"{missing} is missing; send it in the form, or id and secret by HTTP Basic.")
    realtime.check_credentials(client_id, client_secret)
    return client_id, client_secret


def _basic(header: bytes) -> tuple[str, str]:
    """User and password of HTTP Basic, which RFC 6749 §2.3.1 has form-encoded before RFC 7617 joins them."""
    try:
        text = base64.b64decode(header[6:], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise _malformed("What follows Basic is not base64 of client_id:client_secret; encode it again.") from None
    user, colon, password = text.partition(":")
    if not colon:
        raise _malformed("What follows Basic has no colon between client_id and client_secret; encode it again.")
    return unquote_plus(user), unquote_plus(password)


def _malformed(detail: str) -> CallerError:
    return CallerError(errors.AUTH_MALFORMED, detail)
