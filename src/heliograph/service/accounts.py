"""Who is calling: the directory of accounts in memory, client credentials, access tokens.

The directory follows the store (one query by `revision`, twice a second), so a change made by a command reaches a
running server within two seconds.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import secrets
import time
from typing import Any

import jwt
import msgspec

from heliograph.kit.clock import Clock
from heliograph.kit.keys import Keys
from heliograph.messaging import errors
from heliograph.messaging.accounts import Account
from heliograph.store.interface import Credential, Store, StoreError

TOKEN_SECONDS = 3600
REFRESH_SECONDS = 0.5
_TOKENS_REMEMBERED = 50_000
_NONE: frozenset[str] = frozenset()
_log = logging.getLogger(__name__)


class Directory:
    """All accounts and credentials, by internal id and by public credential id."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._revision = 0
        self._refreshed = time.monotonic()
        self.accounts: dict[int, Account] = {}
        self.reporting: set[int] = set()  # accounts that have a URL for delivery reports
        self.intermediate: set[int] = set()  # of these, those that want to hear of SENT as well
        self._owners: dict[str, int] = {}
        self._credentials: dict[tuple[int, str], tuple[int, bytes]] = {}
        self.fingerprints: dict[int, frozenset[str]] = {}  # of an account's present credentials, for tokens

    async def refresh(self) -> None:
        """Take in what changed since the last time."""
        revision = self._revision
        for account, credentials in await self._store.read(lambda reads: reads.accounts_since(revision)):
            self._revision = max(self._revision, account.revision)
            self.accounts[account.id] = account
            self._note(account)
            for key in [key for key, (owner, _) in self._credentials.items() if owner == account.id]:
                del self._credentials[key]
            self.fingerprints[account.id] = frozenset(_fingerprint(one.secret_sha256) for one in credentials)
            for credential in credentials:
                self._credentials[credential.dialect, credential.public_id] = (account.id, credential.secret_sha256)
        self._refreshed = time.monotonic()

    @property
    def age_seconds(self) -> float:
        """How long ago the store was last asked with success."""
        return time.monotonic() - self._refreshed

    def _note(self, account: Account) -> None:
        """What is asked of an account so often that it is looked up apart."""
        (self.reporting.add if account.dlr_url else self.reporting.discard)(account.id)
        wants_sent = account.dlr_url and account.intermediate
        (self.intermediate.add if wants_sent else self.intermediate.discard)(account.id)
        for number in [number for number, owner in self._owners.items() if owner == account.id]:
            if number not in account.inbound:
                del self._owners[number]
        for number in account.inbound:
            self._owners[number] = account.id

    def owner_of(self, number: str) -> Account | None:
        """The account whose the messages to a number or short code (digits) are."""
        return self.accounts.get(self._owners.get(number, 0))

    async def follow(self) -> None:
        """Refresh for ever; a store that cannot be read is tried again."""
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            try:
                await self.refresh()
            except StoreError as error:
                _log.warning("the directory of accounts could not be refreshed: %s", error)

    def authenticate(self, dialect: int, public_id: str, secret: str) -> Account:
        """The account whose credentials these are. Raises `CallerError(CREDENTIALS_INVALID)`, in the same time whatever
        is wrong.
        """
        account_id, expected = self._credentials.get((dialect, public_id), (0, bytes(32)))
        right = hmac.compare_digest(hashlib.sha256(secret.encode()).digest(), expected)
        account = self.accounts.get(account_id)
        if not right or account is None:
            raise errors.CallerError(errors.CREDENTIALS_INVALID, "No account has these client credentials.")
        return account

    def fingerprint(self, dialect: int, public_id: str) -> str:
        """What a token says of the credentials that it is issued for, which must exist."""
        _, secret_sha256 = self._credentials[dialect, public_id]
        return _fingerprint(secret_sha256)


def _fingerprint(secret_sha256: bytes) -> str:
    """48 bits: too few to find a secret by, enough that no secret has the one of that before it."""
    return secret_sha256[:6].hex()


class Tokens:
    """Access tokens: JWTs under HS256, bound to a dialect (`aud`), an account (`sub`), its token epoch and the
    credentials that they were issued for (`cred`, a fingerprint; tokens of older versions have none).

    A verified token is remembered, because verifying costs 47 µs; epoch and fingerprint are compared every time, so a
    suspension, which raises the epoch, and new credentials kill tokens as soon as the directory has heard of them.
    """

    def __init__(self, keys: Keys, directory: Directory, clock: Clock) -> None:
        self._keys = keys
        self._directory = directory
        self._clock = clock
        self._verified: dict[tuple[str, str], tuple[int, int, int, str]] = {}

    def issue(self, account: Account, audience: str, fingerprint: str) -> str:
        """A token for `TOKEN_SECONDS`, or until the credentials with this fingerprint are replaced."""
        now = self._clock.now_utc_ms() // 1000
        kid, secret = self._keys.signing_key()
        claims: dict[str, Any] = {
            "sub": account.ref,
            "aid": account.id,
            "aud": audience,
            "epoch": account.token_epoch,
            "cred": fingerprint,
            "iat": now,
            "exp": now + TOKEN_SECONDS,
            "jti": secrets.token_urlsafe(9),
        }
        return jwt.encode(claims, secret, algorithm="HS256", headers={"kid": kid})

    def verify(self, token: str, audience: str) -> Account:
        """The account that a token speaks for. Raises `CallerError(TOKEN_INVALID)`."""
        known = self._verified.get((token, audience))
        if known is None:
            known = self._decode(token, audience)
            if len(self._verified) >= _TOKENS_REMEMBERED:
                self._verified.clear()
            self._verified[token, audience] = known
        account_id, epoch, expires_utc_s, fingerprint = known
        account = self._directory.accounts.get(account_id)
        if (
            account is None
            or epoch != account.token_epoch
            or (fingerprint and fingerprint not in self._directory.fingerprints.get(account_id, _NONE))
            or self._clock.now_utc_ms() >= expires_utc_s * 1000
        ):
            raise errors.CallerError(errors.TOKEN_INVALID, "The access token expired or was revoked; get a new one.")
        return account

    def _decode(self, token: str, audience: str) -> tuple[int, int, int, str]:
        try:
            secret = self._keys.verification_key(str(jwt.get_unverified_header(token).get("kid", "")))
            if secret is None:
                raise jwt.InvalidTokenError("unknown kid")
            claims = jwt.decode(
                token,
                secret,
                algorithms=["HS256"],
                audience=audience,
                options={"require": ["sub", "aid", "aud", "epoch", "exp"], "verify_exp": False, "verify_iat": False},
            )
            return int(claims["aid"]), int(claims["epoch"]), int(claims["exp"]), str(claims.get("cred", ""))
        except (jwt.InvalidTokenError, ValueError, TypeError) as error:
            raise errors.CallerError(
                errors.TOKEN_INVALID, "The access token was not issued here for this API; get a new one."
            ) from error


class Secrets(msgspec.Struct, frozen=True):
    """Freshly made client credentials: shown once, stored as a hash."""

    public_id: str
    secret: str

    def credential(self, dialect: int) -> Credential:
        """What the store keeps of them."""
        return Credential(dialect, self.public_id, hashlib.sha256(self.secret.encode()).digest())


def new_secrets(id_prefix: str, secret_prefix: str) -> Secrets:
    """An id of 96 and a secret of 256 random bits, each behind its dialect's prefix."""
    return Secrets(id_prefix + secrets.token_hex(12), secret_prefix + secrets.token_urlsafe(32))


class CredentialKind(msgspec.Struct, frozen=True):
    """The credentials of an API: its name in files and options, its dialect, what it calls the public id and the secret
    and how these begin.
    """

    api: str
    dialect: int
    id_name: str
    secret_name: str
    id_prefix: str
    secret_prefix: str

    def new(self) -> Secrets:
        """Credentials that nobody has yet."""
        return new_secrets(self.id_prefix, self.secret_prefix)
