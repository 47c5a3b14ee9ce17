"""What an account's owner needs to use the API, as `demo` and `account create` give it out."""

from __future__ import annotations

import secrets

import msgspec

from heliograph.dialects import realtime
from heliograph.kit.keys import Keys
from heliograph.messaging.accounts import Account
from heliograph.service.accounts import Secrets, new_secrets

DEMO_SENDER = "96000"
LOOPBACK = ("127.0.0.0/8", "::1/128")  # where the demo's callbacks may go
KEPT = "demo-credentials.json"  # in the data folder of a demo
_REF_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"


class RealTimeCredentials(msgspec.Struct, frozen=True):
    """Client credentials of the RealTime API."""

    client_id: str
    client_secret: str


class Credentials(msgspec.Struct, frozen=True):
    """The object that people copy into their programs."""

    base_url: str
    account_id: str
    realtime: RealTimeCredentials
    webhook_secret: str


def new_ref() -> str:
    """The id of a new account."""
    return "acc_" + "".join(secrets.choice(_REF_ALPHABET) for _ in range(10))


def new_realtime_secrets() -> Secrets:
    """Client credentials of the RealTime API that nobody has yet."""
    return new_secrets(realtime.CLIENT_ID_PREFIX, realtime.CLIENT_SECRET_PREFIX)


def credentials(base_url: str, account: Account, client: Secrets, keys: Keys) -> Credentials:
    """The credentials of an account whose client secret is at hand."""
    webhook_secret = keys.webhook_secret(account.id, account.secret_generation)
    client_credentials = RealTimeCredentials(client.public_id, client.secret)
    return Credentials(base_url, account.ref, client_credentials, webhook_secret)
