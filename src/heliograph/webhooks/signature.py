"""Standard Webhooks v1: who sent a callback, and that it arrived unchanged and lately.

The signature is `v1,` and an HMAC-SHA256 over `id.timestamp.body` in base64. The header holds several, separated by
spaces, while a secret is being changed; one that verifies is enough. A secret is `whsec_` and 24 to 64 bytes in base64.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable

PREFIX = "whsec_"
TOLERANCE_SECONDS = 300
_KEY_BYTES = range(24, 65)
_SECONDS = re.compile(r"[0-9]{1,12}", re.ASCII)


class Unverified(Exception):
    """A callback whose signature does not hold; the message says why."""


def key_of(secret: str) -> bytes:
    """The key inside a secret. Raises `ValueError`, without repeating the secret."""
    if not secret.startswith(PREFIX):
        raise ValueError(f"the webhook secret does not begin with {PREFIX}; copy it whole, as it was issued")
    try:
        key = base64.b64decode(secret[len(PREFIX) :], validate=True)
    except binascii.Error as error:
        raise ValueError(f"the webhook secret is not base64 after {PREFIX}; copy it whole, as it was issued") from error
    if len(key) not in _KEY_BYTES:
        raise ValueError(f"the webhook secret holds {len(key)} bytes, not 24 to 64; copy it whole, as it was issued")
    return key


def sign(keys: Iterable[bytes], webhook_id: str, timestamp: int, body: bytes) -> str:
    """The `webhook-signature` of a call: one signature for each key."""
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    return " ".join("v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode() for key in keys)


def verify(
    key: bytes,
    *,
    webhook_id: str,
    timestamp: str,
    signatures: str,
    body: bytes,
    now: int,
    tolerance: int = TOLERANCE_SECONDS,
) -> None:
    """Return if one of the `signatures` holds and `timestamp` is within `tolerance` of `now`. Raises `Unverified`."""
    if not (webhook_id and timestamp and signatures):
        raise Unverified("webhook-id, webhook-timestamp or webhook-signature is missing")
    if not _SECONDS.fullmatch(timestamp):
        raise Unverified("webhook-timestamp is not a number of seconds")
    if abs(int(timestamp) - now) > tolerance:
        raise Unverified(f"webhook-timestamp is more than {tolerance} s from now: a replay, or a clock that is wrong")
    expected = sign([key], webhook_id, int(timestamp), body).encode()
    matches = [hmac.compare_digest(expected, one.encode()) for one in signatures.split(" ")]
    if not any(matches):
        raise Unverified("no signature matches: another secret, or the body was changed on the way")
