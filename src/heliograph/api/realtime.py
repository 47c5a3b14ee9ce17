"""RealTime SMS v.2 over HTTP: who is calling, which service answers, what leaves.

`send` is the one way of sending: the Starlette route and the lean door both call it.
"""

from __future__ import annotations

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

from heliograph.api.calling import NO_STORE, REPLAYED, Call, Callers, hot_reply
from heliograph.api.face import Answer, Face, Telling
from heliograph.api.head import authorization, client_of
from heliograph.api.replies import JSON, PROBLEM, Headers, Reply, ReplyResponse, explained, note_of_parts
from heliograph.api.services import Services
from heliograph.dialects import realtime
from heliograph.dialects.example import Example
from heliograph.dialects.realtime_examples import EXAMPLES
from heliograph.messaging import errors
from heliograph.messaging.accounts import Account
from heliograph.messaging.errors import CallerError, HeliographError
from heliograph.service import idempotency
from heliograph.service.accounts import TOKEN_SECONDS
from heliograph.service.idempotency import Given, Scope
from heliograph.service.submit import Keyed, Verdict, as_error
from heliograph.store.interface import Answered

_log = logging.getLogger(__name__)

SEND_PATH: Final = "/api/sms"
AUTH_PATH: Final = "/api/auth"
_FORM_BYTES: Final = 16 * 1024
_FORM_FIELDS: Final = 50
PREFIX: Final = "/api/"
_REALM: Final = b'realm="RealTime SMS"'


def _owns(path: str) -> bool:
    return path.startswith(PREFIX)


def face(services: Services) -> Face:
    """The API over these services."""
    calls = RealTime(services)
    return Face(
        key="realtime",
        name=realtime.NAME,
        owns=_owns,
        routes=calls.routes(),
        refusal=refusal,
        send_route=SEND_PATH,
        contract="realtime.yaml",
        telling=TELLING,
        hot={SEND_PATH.encode(): calls.send},
    )


class RealTime:
    """The calls of the API."""

    def __init__(self, services: Services) -> None:
        self._callers = Callers(services, dialect=realtime.DIALECT, audience=realtime.AUDIENCE)
        self._submit = services.submit
        self._once = services.once
        self._query = services.query

    def routes(self) -> list[Route]:
        """What is where."""
        return [
            Route(SEND_PATH, self._sms, methods=["POST"]),
            Route("/api/sms/{id}", self._info, methods=["GET"]),
            Route("/api/balance", self._balance, methods=["GET"]),
            Route(AUTH_PATH, self._auth, methods=["POST"]),
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
        call = Call()
        try:
            account = self._callers.enter(call, authorization, client, sending=True)

            def decided(outcome: list[Verdict] | Answered | Given | HeliographError) -> None:
                assert not isinstance(outcome, Answered), "an order without a key was answered before"
                answer(_sent(outcome, request_id, call.account, call.limit))

            if key is None:
                self._submit(account, realtime.parse_order(body), realtime.DIALECT, decided, None, request_id)
            else:
                self._send_once(account, idempotency.key_of(key), body, decided, request_id)
        except Exception as error:
            answer(refusal(error, request_id, call.account, call.limit))

    def _send_once(
        self,
        account: Account,
        key: str,
        body: bytes | bytearray,
        decided: Callable[[Given | HeliographError], None],
        request_id: str,
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
            self._submit(account, order, realtime.DIALECT, accepted, keyed, request_id)

        self._once(Scope(account.id, SEND_PATH, key), body, first, decided)

    async def _sms(self, request: Request) -> Response:
        return await hot_reply(self.send, request)

    # -- reading

    async def _balance(self, request: Request) -> Response:
        account = self._callers.calling(request)
        micros = await self._query.balance_micros(account.id)
        return ReplyResponse(Reply(200, (*JSON, *request.state.limit), realtime.render_balance(micros)))

    async def _info(self, request: Request) -> Response:
        account = self._callers.calling(request)
        view = await self._query.message(account.id, request.path_params["id"])
        body = realtime.render_info(view.public_id, view.message, view.cost_micros, view.operator)
        return ReplyResponse(Reply(200, (*JSON, *request.state.limit), body))

    # -- tokens

    async def _auth(self, request: Request) -> Response:
        given = authorization(request.scope["headers"])
        basic = given is not None and given[:6].lower() in (b"basic", b"basic ")
        try:
            fields = _form(request.headers.get("content-type", ""), await request.body())
            client_id, client_secret = _credentials(fields, given if basic else None)
            account = self._callers.authenticate(client_id, client_secret, client_of(request))
        except CallerError as error:
            if error.kind is errors.AUTH_THROTTLED:
                raise
            return ReplyResponse(_no_token(error, basic=basic))
        request.state.account = account.ref
        body = realtime.render_token(self._callers.token(account, client_id), TOKEN_SECONDS)
        return ReplyResponse(Reply(200, (*JSON, NO_STORE), body))


# -- answers

_OF_RECIPIENTS_ALONE: Final = {code for code, status in realtime.STATUS.items() if status == 200}


def _sent(outcome: list[Verdict] | Given | HeliographError, request_id: str, account: str, limit: Headers) -> Reply:
    """The answer to a send. Never raises: the messages are stored by now, and somebody waits."""
    try:
        if isinstance(outcome, HeliographError):
            return refusal(outcome, request_id, account, limit)
        if isinstance(outcome, Given):
            replayed = REPLAYED if outcome.replayed else ()
            return Reply(200, (*JSON, *limit, *replayed), outcome.body, account)
        code, detail = _refused_in(outcome)
        headers = (*JSON, *limit) if limit else JSON
        return Reply(200, headers, realtime.render_verdicts(outcome), account, code, detail)
    except Exception as error:
        return refusal(error, request_id, account, limit)


_NO_NOTE: Final = ("", "")


def _refused_in(verdicts: list[Verdict]) -> tuple[str, str]:
    """The errors that some recipients of a request had, for the journal."""
    refused = [(index, one.refused.code) for index, one in enumerate(verdicts) if one.refused is not None]
    return note_of_parts(refused, len(verdicts), "recipients") if refused else _NO_NOTE  # nearly always


def refusal(error: Exception, request_id: str, account: str = "-", more: Headers = ()) -> Reply:
    """The answer to a request that failed, with `more` headers. A fault that nobody foresaw is logged."""
    if isinstance(error, HeliographError) and error.kind.code not in realtime.STATUS:
        error = LookupError(f"this API has no error {error.kind.code}: {error.detail}")
    if not isinstance(error, HeliographError):
        _log.error("request %s failed", request_id, exc_info=error)
        error = as_error(error)
    code, detail = error.kind.code, error.detail
    status = realtime.STATUS[code]
    if status == 401:
        return Reply(401, (_challenge(error), *explained(error)), b"", account, code, detail)
    body = realtime.problem(error, request_id)
    return Reply(status, (*PROBLEM, *explained(error), *more), body, account, code, detail)


def told(kind: errors.Kind) -> str:
    """How an error looks here, with `marks`."""
    code = kind.code
    own = f" `{realtime.OAUTH_ERRORS[code]}`" if code in realtime.OAUTH_ERRORS else ""
    whole = "" if code in _OF_RECIPIENTS_ALONE else f"{realtime.STATUS[code]}{own}"
    recipient = realtime.RECIPIENT_STATUS.get(code)
    alone = f"200, with `{recipient}` for the recipient" if recipient is not None else ""
    return ", or ".join(filter(None, (whole, alone)))


def answer_to(example: Example, request_id: str) -> Reply:
    """The answer to an example of an error."""
    error = example.error
    code = error.kind.code
    if code in _OF_RECIPIENTS_ALONE:
        return Reply(200, JSON, realtime.render_verdicts([Verdict(0, error.kind)]))
    if isinstance(error, CallerError) and example.path == AUTH_PATH and code in realtime.OAUTH_ERRORS:
        return _no_token(error, basic=False)
    more = tuple((name.lower().encode(), value.encode()) for name, value in example.answer_headers)
    return refusal(error, request_id, more=more)


def _challenge(error: HeliographError) -> tuple[bytes, bytes]:
    """RFC 6750 §3: an error only for a request that came with a token."""
    if error.kind is errors.TOKEN_MISSING:
        return b"www-authenticate", b"Bearer " + _REALM
    return b"www-authenticate", b"Bearer " + _REALM + b', error="invalid_token"'


def _no_token(error: CallerError, *, basic: bool) -> Reply:
    headers = (*JSON, NO_STORE, *explained(error))
    status = realtime.STATUS[error.kind.code]
    if status == 401 and basic:
        headers = (*headers, (b"www-authenticate", b"Basic " + _REALM))
    return Reply(status, headers, realtime.oauth_error(error), "-", error.kind.code, error.detail)


# -- the token request (RFC 6749 §4.4.2)


def _form(content_type: str, body: bytes) -> dict[str, str]:
    """The fields that matter. Raises `CallerError(AUTH_MALFORMED)`."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind not in ("", "application/x-www-form-urlencoded"):
        raise _malformed(f"The body is {kind[:60]!r}; send the fields as application/x-www-form-urlencoded.")
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


TELLING: Final = Telling(realtime.NAME, realtime.DIALECT, _owns, EXAMPLES, answer_to, told)
