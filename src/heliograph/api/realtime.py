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
from heliograph.messaging.accounts import Account, require_address, require_sending
from heliograph.messaging.errors import CallerError, HeliographError
from heliograph.messaging.limits import WINDOW_MS, Standing
from heliograph.service import idempotency
from heliograph.service.accounts import TOKEN_SECONDS
from heliograph.service.idempotency import Given, Scope
from heliograph.service.limits import require_admitted
from heliograph.service.submit import Keyed, Verdict, as_error
from heliograph.store.interface import Answered

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
        self._once = services.once
        self._limits = services.limits
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
        self,
        authorization: bytes | None,
        key: bytes | None,
        body: bytes | bytearray,
        client: str,
        request_id: str,
        answer: Answer,
    ) -> None:
        """`POST /api/sms`, with the values of `Authorization` and `Idempotency-Key`. `answer` is called once: now, or
        when the messages are on disk. Nothing is raised.
        """
        ref = "-"
        limit: Headers = ()
        try:
            account = self.account(authorization)
            ref = account.ref
            require_address(account, client)
            require_sending(account)
            if account.per_minute:
                standing = self._limits.admit(account)
                limit = limit_headers(standing)
                require_admitted(standing)

            def decided(outcome: list[Verdict] | Answered | Given | HeliographError) -> None:
                assert not isinstance(outcome, Answered), "an order without a key was answered before"
                answer(_sent(outcome, request_id, ref, limit))

            if key is None:
                self._submit(account, realtime.parse_order(body), realtime.DIALECT, decided)
            else:
                self._send_once(account, idempotency.key_of(key), body, decided)
        except Exception as error:
            answer(refusal(error, request_id, ref, limit))

    def _send_once(
        self, account: Account, key: str, body: bytes | bytearray, decided: Callable[[Given | HeliographError], None]
    ) -> None:
        """Send, unless a request with this key was sent already."""

        def first(key: str, body_sha256: bytes, done: idempotency.Answer) -> None:
            order = realtime.parse_order(body)

            def accepted(outcome: list[Verdict] | Answered | HeliographError) -> None:
                if isinstance(outcome, list):
                    done(Given(realtime.render_verdicts(outcome), replayed=False))
                elif isinstance(outcome, Answered):  # another node was first
                    done(idempotency.replay(key, body_sha256, outcome))
                else:
                    done(outcome)

            keyed = Keyed(SEND_PATH, key, body_sha256, realtime.render_verdicts)
            self._submit(account, order, realtime.DIALECT, accepted, keyed)

        self._once(Scope(account.id, SEND_PATH, key), body, first, decided)

    async def _sms(self, request: Request) -> Response:
        answered: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

        def answer(reply: Reply) -> None:
            if not answered.done():
                answered.set_result(reply)

        headers, body = request.scope["headers"], await request.body()
        key = header(headers, b"idempotency-key")
        self.send(authorization(headers), key, body, _client(request), request.state.request_id, answer)
        reply = await answered
        request.state.account = reply.account
        return ReplyResponse(reply)

    # -- reading

    async def _balance(self, request: Request) -> Response:
        account = self._caller(request)
        micros = await self._query.balance_micros(account.id)
        return ReplyResponse(Reply(200, (*JSON, *request.state.limit), realtime.render_balance(micros)))

    async def _info(self, request: Request) -> Response:
        account = self._caller(request)
        view = await self._query.message(account.id, request.path_params["id"])
        body = realtime.render_info(view.public_id, view.message, view.cost_micros, view.operator)
        return ReplyResponse(Reply(200, (*JSON, *request.state.limit), body))

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
        """The account that calls, if it may at this moment; `state.limit` are the headers that tell its limit."""
        account = self.account(authorization(request.scope["headers"]))
        request.state.account = account.ref
        request.state.limit = ()
        require_address(account, _client(request))
        if account.per_minute:
            standing = self._limits.admit(account)
            request.state.limit = limit_headers(standing)
            require_admitted(standing)
        return account

    async def _auth(self, request: Request) -> Response:
        given = authorization(request.scope["headers"])
        basic = given is not None and given[:6].lower() in (b"basic", b"basic ")
        try:
            fields = _form(request.headers.get("content-type", ""), await request.body())
            client_id, client_secret = _credentials(fields, given if basic else None)
            account = self._authenticate(client_id, client_secret, _client(request))
        except CallerError as error:
            if error.kind is errors.AUTH_THROTTLED:
                raise
            return ReplyResponse(_no_token(error, basic=basic))
        request.state.account = account.ref
        token = self._tokens.issue(account, realtime.AUDIENCE)
        return ReplyResponse(Reply(200, (*JSON, _NO_STORE), realtime.render_token(token, TOKEN_SECONDS)))

    def _authenticate(self, client_id: str, client_secret: str, address: str) -> Account:
        """The account with these credentials. Raises `CallerError`: CREDENTIALS_INVALID, and AUTH_THROTTLED, right or
        wrong, for an address that had too many of those.
        """
        self._limits.check_address(address)
        try:
            return self._directory.authenticate(realtime.DIALECT, client_id, client_secret)
        except CallerError:
            self._limits.failed(address)
            raise


def authorization(headers: list[tuple[bytes, bytes]]) -> bytes | None:
    """The value of the `Authorization` header; of several one that is no token."""
    return header(headers, b"authorization")


def header(headers: list[tuple[bytes, bytes]], wanted: bytes) -> bytes | None:
    """The value of a header; of several, all of them in one (RFC 9110 §5.3)."""
    values = [value for name, value in headers if name == wanted]
    return b", ".join(values) if values else None


def _client(request: Request) -> str:
    return request.client.host if request.client else "-"


# -- answers

_NO_STORE: Final = (b"cache-control", b"no-store")


_REPLAYED: Final[Headers] = ((b"idempotency-replayed", b"true"),)


def _sent(outcome: list[Verdict] | Given | HeliographError, request_id: str, account: str, limit: Headers) -> Reply:
    """The answer to a send. Never raises: the messages are stored by now, and somebody waits."""
    try:
        if isinstance(outcome, HeliographError):
            return refusal(outcome, request_id, account, limit)
        if isinstance(outcome, Given):
            replayed = _REPLAYED if outcome.replayed else ()
            return Reply(200, (*JSON, *limit, *replayed), outcome.body, account)
        return Reply(200, (*JSON, *limit) if limit else JSON, realtime.render_verdicts(outcome), account)
    except Exception as error:
        return refusal(error, request_id, account, limit)


def limit_headers(standing: Standing | None) -> Headers:
    """Where an account stands under its rate limit; nothing for one that has none."""
    if standing is None:
        return ()
    return (
        (b"ratelimit-limit", b"%d" % standing.limit),
        (b"ratelimit-remaining", b"%d" % standing.remaining),
        (b"ratelimit-reset", b"%d" % standing.reset_seconds),
        (b"ratelimit-policy", b'"default";q=%d;w=%d' % (standing.limit, WINDOW_MS // 1000)),
    )


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
