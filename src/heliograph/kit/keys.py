"""The installation's keys: one file, 0600, outside the database.

`keys.json` holds the token signing keys (the last one signs, all verify, so that two are valid while rotating), the key
that permutes ids, and the key that webhook secrets are derived from, and the one that seals carriers' passwords.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Meta

FILE = "keys.json"
DATABASE = "heliograph.sqlite"  # what the keys belong to, in the same folder
MARK = "installed"  # stands in the same folder since its database was made

_MARK_TEXT = b"""\
A database was made in this folder. This file is how Heliograph notices when it is lost: do not remove it.
"""

_NONCE_BYTES = 12  # NIST SP 800-38D §8.2.2: random ones, and few of them

_Secret = Annotated[bytes, Meta(min_length=32, max_length=32)]


class KeysError(Exception):
    """The keys of a data folder are gone or damaged; the message says what to do."""


class TokenKey(msgspec.Struct, frozen=True):
    """A key that signs tokens, by its id."""

    kid: Annotated[str, Meta(min_length=1)]
    secret: _Secret


class Keys(msgspec.Struct, frozen=True):
    """All secrets of an installation. Losing the file invalidates tokens, webhook secrets and every message id that was
    shown.
    """

    tokens: Annotated[list[TokenKey], Meta(min_length=1)]
    ids: _Secret
    webhooks: _Secret

    def signing_key(self) -> tuple[str, bytes]:
        """The id and secret of the key that signs now."""
        return self.tokens[-1].kid, self.tokens[-1].secret

    def verification_key(self, kid: str) -> bytes | None:
        """The secret of a key that is still accepted."""
        return next((key.secret for key in self.tokens if key.kid == kid), None)

    def fingerprint(self) -> str:
        """By which a database knows the keys that it was made with, 32 hex digits: of those that never change, and
        nothing can be learned of them.
        """
        return hmac.digest(self.ids + self.webhooks, b"fingerprint of heliograph keys", hashlib.sha256)[:16].hex()

    def webhook_secret(self, account_id: int, generation: int) -> str:
        """The account's Standard Webhooks secret, `whsec_` and 32 bytes in base64: derived, so that it is stored
        nowhere.
        """
        derived = hmac.digest(self.webhooks, f"webhook:{account_id}:{generation}".encode(), hashlib.sha256)
        return "whsec_" + base64.b64encode(derived).decode()

    def seal(self, name: str, content: bytes) -> bytes:
        """A secret as the database may hold it: AES-256-GCM under a key derived from that of webhook secrets. `name`
        is what it belongs to: under another it cannot be opened.
        """
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._sealing().encrypt(nonce, content, name.encode())

    def unseal(self, name: str, sealed: bytes) -> bytes:
        """What `seal` was given. Raises `KeysError` when it is damaged, or of another name or installation."""
        try:
            return self._sealing().decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], name.encode())
        except (InvalidTag, ValueError):
            raise KeysError(
                f"what is stored of {name!r} cannot be opened with these keys; restore the database and {FILE} of one"
                " backup, or store it anew"
            ) from None

    def _sealing(self) -> AESGCM:
        return AESGCM(hmac.digest(self.webhooks, b"sealing of carriers' settings", hashlib.sha256))


def load_or_create(folder: Path) -> Keys:
    """The keys in `folder/keys.json`, made when the data folder is new; of two processes that make them at once both
    get the same. Raises `KeysError`, and `PermissionError` when others may read the file.
    """
    path = folder / FILE
    if not path.exists():
        if trouble := lost_database(folder):
            raise KeysError(trouble)
        # Keys are made before a database, so one without keys has lost them, unless both were made just now.
        if has_database(folder) and not path.exists():
            raise KeysError(
                f"{path} is gone, and {folder / DATABASE} is not: with new keys every message id and every webhook"
                " secret would change; restore the file from the backup, or begin anew in another data folder"
            )
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = Keys(
            [TokenKey(secrets.token_hex(4), secrets.token_bytes(32))], secrets.token_bytes(32), secrets.token_bytes(32)
        )
        with contextlib.suppress(FileExistsError):  # another process was first
            write_private(path, msgspec.json.encode(fresh), replace=False)
    return _load(path)


def has_database(folder: Path) -> bool:
    """Whether a data folder holds a database with anything in it."""
    try:
        return (folder / DATABASE).stat().st_size > 0
    except (FileNotFoundError, NotADirectoryError):
        return False


def mark_installed(folder: Path) -> None:
    """Remember that a data folder has a database now."""
    if not (folder / MARK).exists():
        write_private(folder / MARK, _MARK_TEXT)


def lost_database(folder: Path) -> str:
    """What to say of a data folder whose database is lost, with the remedy; "" when it is there or never was."""
    # In this order: another process that makes them now leaves the mark last.
    return data_lost(folder) if (folder / MARK).exists() and not has_database(folder) else ""


def data_lost(folder: Path) -> str:
    """What to say when there were data in a folder and there are none, with the remedy."""
    return (
        f"the database {folder / DATABASE} is gone; restore it from the backup, or begin anew in another folder: in"
        " this one message ids would repeat"
    )


def foreign_keys(folder: Path) -> str:
    """What to say of keys that are not those of the database beside them, with the remedy."""
    return (
        f"{folder / FILE} is not the one that this database was made with; restore it from the backup: with any other"
        " no message id and no webhook secret that was given out is known"
    )


def _load(path: Path) -> Keys:
    try:
        if path.stat().st_mode & 0o077 and path.is_file():
            raise PermissionError(f"{path} can be read by others; run: chmod 600 {path}")
        return msgspec.json.decode(path.read_bytes(), type=Keys)
    except (IsADirectoryError, RecursionError, ValueError) as error:  # also what msgspec raises
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise KeysError(
            f"{path} is damaged ({reason}); restore it from the backup: without it no message id and no webhook secret"
            " that was given out is known"
        ) from error


@contextlib.contextmanager
def _about(path: Path) -> Iterator[None]:
    """Name the file in an error of its descriptor's, which knows none."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


def write_private(path: Path, content: bytes, *, replace: bool = True) -> None:
    """Write a file of mode 0600, whole or not at all. Unless `replace`, raises `FileExistsError` when there is one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with _about(path), os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            temporary.replace(path)
        else:
            os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the name is only safe with its folder
    finally:
        os.close(folder)
