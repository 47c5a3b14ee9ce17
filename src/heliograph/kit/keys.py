"""The installation's keys: one file, 0600, outside the database.

`keys.json` holds the token signing keys (the last one signs, all verify, so that two are valid while rotating), the key
that permutes ids, and the key that webhook secrets are derived from.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from pathlib import Path

import msgspec


class TokenKey(msgspec.Struct, frozen=True):
    """A key that signs tokens, by its id."""

    kid: str
    secret: bytes


class Keys(msgspec.Struct, frozen=True):
    """All secrets of an installation. Losing the file invalidates tokens, webhook secrets and every message id that was
    shown.
    """

    tokens: list[TokenKey]
    ids: bytes
    webhooks: bytes

    def signing_key(self) -> tuple[str, bytes]:
        """The id and secret of the key that signs now."""
        return self.tokens[-1].kid, self.tokens[-1].secret

    def verification_key(self, kid: str) -> bytes | None:
        """The secret of a key that is still accepted."""
        return next((key.secret for key in self.tokens if key.kid == kid), None)

    def webhook_secret(self, account_id: int, generation: int) -> str:
        """The account's Standard Webhooks secret, `whsec_` and 32 bytes in base64: derived, so that it is stored
        nowhere.
        """
        derived = hmac.digest(self.webhooks, f"webhook:{account_id}:{generation}".encode(), hashlib.sha256)
        return "whsec_" + base64.b64encode(derived).decode()


def load_or_create(folder: Path) -> Keys:
    """The keys in `folder/keys.json`, made on first use. Raises `PermissionError` when others may read the file."""
    path = folder / "keys.json"
    if not path.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = Keys(
            [TokenKey(secrets.token_hex(4), secrets.token_bytes(32))], secrets.token_bytes(32), secrets.token_bytes(32)
        )
        write_private(path, msgspec.json.encode(fresh))
    if path.stat().st_mode & 0o077:
        raise PermissionError(f"{path} can be read by others; run: chmod 600 {path}")
    return msgspec.json.decode(path.read_bytes(), type=Keys)


def write_private(path: Path, content: bytes) -> None:
    """Write a file of mode 0600, whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the name is only safe with its folder
    finally:
        os.close(folder)
