"""747 SMS v1 over HTTP: who is calling, which service answers, what leaves.

`send` is the one way of sending a message: the Starlette route and the lean door both call it.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from heliograph.api.calling import NO_STORE, REPLAYED, Call, Callers, hot_reply
from heliograph.api.face import Answer, Face, Telling
from heliograph.api.head import client_of, header
from heliograph.api.replies import JSON, Headers, Reply, ReplyResponse, explained, note_of_parts
from heliograph.api.services import Services
from heliograph.dialects import sms747
from heliograph.dialects.example import Example
from heliograph.dialects.sms747.examples import EXAMPLES
from heliograph.messaging import errors
from heliograph.messaging.accounts import Account
from heliograph.messaging.errors import CallerError, CarrierError, HeliographError
from heliograph.messaging.submissions import Order, Submission
from heliograph.service import idempotency
from heliograph.service.accounts import TOKEN_SECONDS
from heliograph.service.idempotency import Given, Scope
from heliograph.service.submit import Entry, Keyed, KeyedBatch, Verdict, as_error
from heliograph.store.interface import Answered, MessageFilter
from heliograph.webhooks.guard import check_url

_log = logging.getLogger(__name__)

PREFIX: Final = "/api/v1/"
SEND_PATH: Final = "/api/v1/message/custom"
BATCH_PATH: Final = "/api/v1/message/batch"
_begins = re.compile(re.escape(PREFIX), re.IGNORECASE | re.ASCII).match
_HOT_PATHS: Final = (SEND_PATH, "/api/v1/Message/custom")  # as the provider writes it; others go through Starlette
_CHALLENGE: Final = b'Bearer realm="747 SMS"'
_REFUSED: Final = {
    errors.RECIPIENT_OPTED_OUT: "The recipient has opted out of messages from this account; nothing was accepted.",
    errors.CARRIER_BACKLOG_FULL: "The carrier's queue is full; nothing was accepted. Repeat it later.",
    errors.INSUFFICIENT_FUNDS: "The balance does not cover the message; nothing was accepted. Top up the account.",
}


def _owns(path: str) -> bool:
    return _begins(path) is not None


def face(services: Services) -> Face:
    """The API over these services."""
    calls = Sms747(services)
    return Face(
        key="sms747",
        name=sms747.NAME,
        owns=_owns,
        routes=calls.routes(),
        refusal=refusal,
        send_route=SEND_PATH,
        contract="sms747.yaml",
        telling=TELLING,
        hot={path.encode(): calls.send for path in _HOT_PATHS},
    )


class AnyCase(Route):
    """A route whose path matches in upper and lower case alike."""

    def __init__(self, path: str, endpoint: Callable[..., Any], *, methods: list[str]) -> None:
        super().__init__(path, endpoint, methods=methods)
        self.path_regex = re.compile(self.path_regex.pattern, re.IGNORECASE | re.ASCII)


class Sms747:
    """The calls of the API."""

    def __init__(self, services: Services) -> None:
        self._callers = Callers(services, dialect=sms747.DIALECT, audience=sms747.AUDIENCE, tiers=True)
        self._submit = services.submit
        self._once = services.once
        self._query = services.query
        self._cancel = services.cancel
        self._clock = services.clock
        self._currency = services.currency
        self._max_messages = services.max_messages
        self._tasks: set[asyncio.Task[None]] = set()

    def routes(self) -> list[Route]:
        """What is where."""
        return [
            AnyCase(SEND_PATH, self._custom, methods=["GET", "POST"]),
            AnyCase("/api/v1/message/custom/{id}", self._one, methods=["GET", "DELETE"]),
            AnyCase(BATCH_PATH, self._batch, methods=["POST"]),
            AnyCase("/api/v1/account", self._account, methods=["GET"]),
            AnyCase("/api/v1/auth/token", self._token, methods=["POST"]),
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
        """`POST /api/v1/message/custom`, with the values of `Authorization` and `Idempotency-Key`. `answer` is called
        once: now, or when the message is on disk. Nothing is raised.
        """
        call = Call()
        try:
            account = self._callers.enter(call, authorization, client, sending=True)

            def decided(outcome: Given | HeliographError) -> None:
                self._answer(outcome, account, call, request_id, answer)

            def first(key: str, body_sha256: bytes, done: idempotency.Answer) -> None:
                self._send_one(account, body, done, request_id, key, body_sha256)

            if key is None:
                self._send_one(account, body, decided, request_id)
            else:
                self._once(Scope(account.id, SEND_PATH, idempotency.key_of(key)), body, first, decided)
        except Exception as error:
            answer(refusal(error, request_id, call.account, call.limit))

    def _send_one(
        self,
        account: Account,
        body: bytes | bytearray,
        done: idempotency.Answer,
        request_id: str,
        key: str = "",
        body_sha256: bytes = b"",
    ) -> None:
        """Send a message, once if there is a key. Raises `HeliographError` for one that is not acceptable at all."""
        asked = sms747.parse_order(body, self._clock.now_utc_ms(), check_url)

        def stored(result: list[Verdict] | Answered | HeliographError) -> None:
            done(_finished(result, lambda verdicts: self._created(verdicts[0]), key, body_sha256))

        keyed = Keyed(SEND_PATH, key, body_sha256, lambda verdicts: self._recorded(verdicts[0])) if key else None
        try:
            self._submit(account, _signed(asked.order, account), sms747.DIALECT, stored, keyed, request_id)
        except HeliographError as error:
            sms747.pointing(error, asked.spelling)
            raise

    def _created(self, verdict: Verdict) -> bytes:
        """The answer to a message that was accepted. Raises `HeliographError` for one that was not."""
        if verdict.submission is None or verdict.refused is not None:
            raise self._why(verdict)
        return sms747.render_created(verdict.public_id, verdict.submission, self._currency)

    def _recorded(self, verdict: Verdict) -> bytes | None:
        """The answer to keep for repeats: only that of success."""
        return self._created(verdict) if verdict.refused is None else None

    def _why(self, verdict: Verdict) -> HeliographError:
        """Why a message was not accepted."""
        kind = verdict.refused or errors.INTERNAL_ERROR
        if kind is errors.CARRIER_BACKLOG_FULL:
            return CarrierError(kind, _REFUSED[kind])
        price = verdict.submission.price_micros if verdict.submission is not None else 0
        return CallerError(kind, _REFUSED.get(kind, ""), facts={"required_micros": price, "currency": self._currency})

    def _answer(
        self, outcome: Given | HeliographError, account: Account, call: Call, request_id: str, answer: Answer
    ) -> None:
        """Answer a send; one that the balance does not cover is told the balance."""
        if isinstance(outcome, Given):
            replayed = REPLAYED if outcome.replayed else ()
            answer(Reply(201, (*JSON, *call.limit, *replayed), outcome.body, call.account))
        elif outcome.kind is errors.INSUFFICIENT_FUNDS:
            self._spawn(self._answer_poor(outcome, account, call, request_id, answer))
        else:
            answer(refusal(outcome, request_id, call.account, call.limit))

    async def _answer_poor(
        self, error: HeliographError, account: Account, call: Call, request_id: str, answer: Answer
    ) -> None:
        told: Exception = error
        try:
            balance = await self._query.balance_micros(account.id)
            error.facts = {**error.facts, "balance_micros": balance}
        except Exception as failed:
            told = failed
        answer(refusal(told, request_id, call.account, call.limit))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # -- a batch

    async def _batch(self, request: Request) -> Response:
        account = self._callers.calling(request, sending=True)
        headers, body = request.scope["headers"], await request.body()
        key = header(headers, b"idempotency-key")
        once_key = None if key is None else idempotency.key_of(key)
        # Before the batch, as what the store's writer renders must be what is answered.
        balance = await self._query.balance_micros(account.id)
        batch = _Batch(balance, self._currency, request.state.request_id)
        answered: asyncio.Future[Given | HeliographError] = asyncio.get_running_loop().create_future()

        def decided(outcome: Given | HeliographError) -> None:
            if not answered.done():
                answered.set_result(outcome)

        def first(key: str, body_sha256: bytes, done: idempotency.Answer) -> None:
            self._send_batch(account, body, batch, done, key, body_sha256)

        if once_key is None:
            self._send_batch(account, body, batch, decided)
        else:
            self._once(Scope(account.id, BATCH_PATH, once_key), body, first, decided)
        outcome = await answered
        if isinstance(outcome, HeliographError):
            raise outcome
        replayed = REPLAYED if outcome.replayed else ()
        limit = request.state.limit
        return ReplyResponse(Reply(200, (*JSON, *limit, *replayed), outcome.body, account.ref, *batch.note))

    def _send_batch(
        self,
        account: Account,
        body: bytes,
        batch: _Batch,
        done: idempotency.Answer,
        key: str = "",
        body_sha256: bytes = b"",
    ) -> None:
        """Send a batch, once if there is a key. Raises `HeliographError` for one that is none."""
        asked = sms747.parse_batch(body, self._clock.now_utc_ms(), check_url, self._max_messages)
        orders = [one if isinstance(one, HeliographError) else _order(one, account) for one in asked]

        def render(entries: list[Entry]) -> bytes:
            for one, entry in zip(asked, entries, strict=True):
                if isinstance(entry, HeliographError) and isinstance(one, sms747.Asked):
                    sms747.pointing(entry, one.spelling)
            return batch.render(entries, self._why)

        def stored(result: list[Entry] | Answered | HeliographError) -> None:
            done(_finished(result, render, key, body_sha256))

        keyed = KeyedBatch(BATCH_PATH, key, body_sha256, render) if key else None
        self._submit.batch(account, orders, sms747.DIALECT, stored, keyed, batch.request_id)

    # -- messages

    async def _custom(self, request: Request) -> Response:
        if request.method == "POST":
            return await hot_reply(self.send, request)
        account = self._callers.calling(request)
        wanted = sms747.parse_list(request.scope["query_string"])
        now = self._clock.now_utc_ms()
        chosen = MessageFilter(
            account_id=account.id,
            status=wanted.status,
            recipient=wanted.recipient,
            since_utc_ms=wanted.created_after_utc_ms,
            until_utc_ms=wanted.created_before_utc_ms,
            due_after_utc_ms=now if wanted.scheduled is True else None,
            due_until_utc_ms=now if wanted.scheduled is False else None,
        )
        views, cursor = await self._query.messages(chosen, wanted.limit, wanted.cursor)
        page = [(view.public_id, view.message) for view in views]
        return _found(request, sms747.render_list(page, self._currency, now, wanted.limit, cursor))

    async def _one(self, request: Request) -> Response:
        account = self._callers.calling(request)
        find = self._cancel if request.method == "DELETE" else self._query.message
        view = await find(account.id, request.path_params["id"])
        body = sms747.render_message(view.public_id, view.message, self._currency, self._clock.now_utc_ms())
        return _found(request, body)

    # -- the account

    async def _account(self, request: Request) -> Response:
        account = self._callers.calling(request)
        balance = await self._query.balance_micros(account.id)
        return _found(request, sms747.render_account(account, balance, self._currency, request.state.standing))

    async def _token(self, request: Request) -> Response:
        content_type = request.headers.get("content-type", "")
        api_key, api_secret = sms747.parse_token_request(content_type, await request.body())
        account = self._callers.authenticate(api_key, api_secret, client_of(request))
        request.state.account = account.ref
        body = sms747.render_token(self._callers.token(account, api_key), TOKEN_SECONDS)
        return ReplyResponse(Reply(200, (*JSON, NO_STORE), body))


class _Batch:
    """A batch on its way to its answer. `note` is for the journal: the errors that its messages had."""

    def __init__(self, balance_micros: int, currency: str, request_id: str) -> None:
        self._balance_micros = balance_micros
        self._currency = currency
        self.request_id = request_id
        self.note = ("", "")

    def render(self, entries: Sequence[Entry], why: Callable[[Verdict], HeliographError]) -> bytes:
        """The answer; twice the same from the same entries. The balance that an error tells is what the messages
        before it left.
        """
        left = self._balance_micros
        told: list[tuple[int, Submission] | HeliographError] = []
        for entry in entries:
            if isinstance(entry, HeliographError):
                told.append(entry)
            elif entry.refused is None and entry.submission is not None:
                left -= entry.submission.price_micros
                told.append((entry.public_id, entry.submission))
            else:
                error = why(entry)
                error.facts = {**error.facts, "balance_micros": left}
                told.append(error)
        wrong = [(index, one.kind.code) for index, one in enumerate(told) if isinstance(one, HeliographError)]
        self.note = note_of_parts(wrong, len(told), "messages")
        return sms747.render_batch(told, self._currency, self.request_id)


# -- orders


def _signed(order: Order, account: Account) -> Order:
    """An order with the account's own sender where it names none."""
    if order.sender:
        return order
    if not account.default_sender:
        detail = "sender is missing, and the account has none of its own; send one."
        raise CallerError(errors.FIELD_INVALID, detail, pointer="/sender")
    return msgspec.structs.replace(order, sender=account.default_sender)


def _order(asked: sms747.Asked, account: Account) -> Order | HeliographError:
    try:
        return _signed(asked.order, account)
    except HeliographError as error:
        return error


_Result = TypeVar("_Result")


def _finished(
    result: _Result | Answered | HeliographError, render: Callable[[_Result], bytes], key: str, body_sha256: bytes
) -> Given | HeliographError:
    """The answer to what was stored, or to what an earlier request with the key stored. Never raises: the messages are
    stored by now, and somebody waits.
    """
    if isinstance(result, HeliographError):
        return result
    if isinstance(result, Answered):  # another node was first
        return idempotency.replay(key, body_sha256, result)
    try:
        return Given(render(result), replayed=False)
    except HeliographError as error:
        return error
    except Exception as error:
        _log.exception("the answer to a send could not be written")
        return as_error(error)


# -- answers


def _found(request: Request, body: bytes) -> Response:
    return ReplyResponse(Reply(200, (*JSON, *request.state.limit), body))


def refusal(error: Exception, request_id: str, account: str = "-", more: Headers = ()) -> Reply:
    """The answer to a request that failed, with `more` headers. A fault that nobody foresaw is logged."""
    if isinstance(error, HeliographError) and error.kind.code not in sms747.STATUS:
        error = LookupError(f"this API has no error {error.kind.code}: {error.detail}")
    if not isinstance(error, HeliographError):
        _log.error("request %s failed", request_id, exc_info=error)
        error = as_error(error)
    code = error.kind.code
    status = sms747.STATUS[code]
    challenge = (_challenge(error),) if status == 401 else ()
    body = sms747.error_body(error, request_id)
    return Reply(status, (*JSON, *challenge, *explained(error), *more), body, account, code, sms747.note_of(error))


def told(kind: errors.Kind) -> str:
    """How an error looks here, with `marks`."""
    return f"{sms747.STATUS[kind.code]} `{sms747.CODES[kind.code]}`"


def answer_to(example: Example, request_id: str) -> Reply:
    """The answer to an example of an error."""
    more = tuple((name.lower().encode(), value.encode()) for name, value in example.answer_headers)
    return refusal(example.error, request_id, more=more)


def _challenge(error: HeliographError) -> tuple[bytes, bytes]:
    """RFC 6750 §3: an error only for a request that came with a token."""
    came = error.kind in (errors.TOKEN_INVALID, errors.TOKEN_MALFORMED)
    return b"www-authenticate", _CHALLENGE + (b', error="invalid_token"' if came else b"")


TELLING: Final = Telling(sms747.NAME, sms747.DIALECT, _owns, EXAMPLES, answer_to, told, sms747.CODES)
