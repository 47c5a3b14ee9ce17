"""Who is calling an API, and whether it may at this moment: what every face asks before anything else."""

from __future__ import annotations

import asyncio
from typing import Final, Protocol, cast

from starlette.requests import Request

from heliograph.api.face import HotSend
from heliograph.api.head import authorization, client_of, header
from heliograph.api.replies import Headers, Reply, ReplyResponse, limit_headers
from heliograph.api.services import Services
from heliograph.dialects.reading import bearer_token
from heliograph.messaging.accounts import Account, require_address, require_sending
from heliograph.messaging.errors import CallerError
from heliograph.messaging.limits import Standing
from heliograph.service.limits import require_admitted

NO_STORE: Final = (b"cache-control", b"no-store")
REPLAYED: Final[Headers] = ((b"idempotency-replayed", b"true"),)
_TOKENS_REMEMBERED: Final = 10_000


class Told(Protocol):
    """What is known of a call so far, for its answer whatever that will be."""

    account: str
    limit: Headers
    standing: Standing | None


class Call:
    """A call outside Starlette, whose requests have a `state` for this."""

    __slots__ = ("account", "limit", "standing")

    def __init__(self) -> None:
        self.account = "-"
        self.limit: Headers = ()
        self.standing: Standing | None = None


class Callers:
    """The callers of one API: tokens for its `audience`, credentials of its `dialect`. With `tiers` an account without
    a rate limit of its own has its tier's.
    """

    def __init__(self, services: Services, *, dialect: int, audience: str, tiers: bool = False) -> None:
        self._tokens = services.tokens
        self._directory = services.directory
        self._limits = services.limits
        self._dialect = dialect
        self._audience = audience
        self._tiers = tiers
        self._token_of: dict[bytes, str] = {}

    def account(self, authorization: bytes | None) -> Account:
        """The account that an `Authorization` header speaks for. Raises `CallerError` about the token."""
        known = self._token_of
        token = known.get(authorization)  # type: ignore[arg-type]  # None is never a key
        if token is not None:
            return self._tokens.verify(token, self._audience)
        token = bearer_token(authorization)
        account = self._tokens.verify(token, self._audience)
        if authorization is not None:
            if len(known) >= _TOKENS_REMEMBERED:
                known.clear()
            known[authorization] = token
        return account

    def enter(self, told: Told, authorization: bytes | None, client: str, *, sending: bool = False) -> Account:
        """The account that calls from an address, if it may at this moment, and counts the call. `told` is filled as
        far as that comes, for the answer to an error too.

        Raises `CallerError` in the contract's order: about the token, the account and the address, the rate limit.
        """
        account = self.account(authorization)
        told.account = account.ref
        require_address(account, client)
        if sending:
            require_sending(account)
        if account.per_minute or self._tiers:
            standing = self._limits.admit(account, account.tier.per_minute if self._tiers else 0)
            told.standing, told.limit = standing, limit_headers(standing)
            require_admitted(standing)
        return account

    def calling(self, request: Request, *, sending: bool = False) -> Account:
        """The same for a request of Starlette's, with its state to be filled."""
        state = cast("Told", request.state)
        state.limit = ()
        return self.enter(state, authorization(request.scope["headers"]), client_of(request), sending=sending)

    def authenticate(self, public_id: str, secret: str, address: str) -> Account:
        """The account with these credentials. Raises `CallerError`: CREDENTIALS_INVALID, and AUTH_THROTTLED, right or
        wrong, for an address that had too many of those.
        """
        self._limits.check_address(address)
        try:
            return self._directory.authenticate(self._dialect, public_id, secret)
        except CallerError:
            self._limits.failed(address)
            raise

    def token(self, account: Account, public_id: str) -> str:
        """An access token for the API, by the credentials that the account showed."""
        return self._tokens.issue(account, self._audience, self._directory.fingerprint(self._dialect, public_id))


async def hot_reply(send: HotSend, request: Request) -> ReplyResponse:
    """The answer of a hot send to a request that came through Starlette."""
    answered: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

    def answer(reply: Reply) -> None:
        if not answered.done():
            answered.set_result(reply)

    headers, body = request.scope["headers"], await request.body()
    key = header(headers, b"idempotency-key")
    send(authorization(headers), key, body, client_of(request), request.state.request_id, answer)
    reply = await answered
    request.state.account = reply.account
    return ReplyResponse(reply)
