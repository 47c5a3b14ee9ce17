"""What an account's owner needs to use the APIs, as `demo` and `account create` give it out."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from heliograph.kit.keys import Keys
from heliograph.messaging.accounts import Account
from heliograph.service.accounts import CredentialKind, Secrets
from heliograph.store.interface import Credential, Reads

DEMO_SENDER = "96000"
LOOPBACK = ("127.0.0.0/8", "::1/128")  # where the demo's callbacks may go
KEPT = "demo-credentials.json"  # in the data folder of a demo
_REF_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"

Clients = Mapping[str, Secrets]
"""The client credentials of an account, by the name of the API."""


class Credentials(msgspec.Struct, frozen=True):
    """What people copy into their programs. `clients` has for each API its credentials, as it names them."""

    base_url: str
    account_id: str
    clients: dict[str, dict[str, str]]
    webhook_secret: str

    def as_json(self) -> dict[str, Any]:
        """The object as it is printed and written to files."""
        about = {"base_url": self.base_url, "account_id": self.account_id}
        return {**about, **self.clients, "webhook_secret": self.webhook_secret}

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Names and values as people read them."""
        yield "base URL", self.base_url
        for client in self.clients.values():
            yield from ((name.replace("_", " ").replace("api", "API"), value) for name, value in client.items())
        yield "webhook secret", self.webhook_secret


def new_ref() -> str:
    """The id of a new account."""
    return "acc_" + "".join(secrets.choice(_REF_ALPHABET) for _ in range(10))


def credential_kinds() -> tuple[CredentialKind, ...]:
    """The credentials that an account has, one kind for each API."""
    from heliograph import app  # takes half a second, which `--help` need not

    return app.credential_kinds()


def new_clients(kinds: Sequence[CredentialKind]) -> dict[str, Secrets]:
    """Credentials of these kinds that nobody has yet."""
    return {kind.api: kind.new() for kind in kinds}


def stored(clients: Clients) -> list[Credential]:
    """What the store keeps of credentials."""
    return [clients[kind.api].credential(kind.dialect) for kind in credential_kinds() if kind.api in clients]


def known_ids(reads: Reads, account: Account) -> dict[int, str]:
    """The public ids that an account has, by dialect."""
    changed = reads.accounts_since(account.revision - 1)
    return {one.dialect: one.public_id for found, all_ in changed if found.id == account.id for one in all_}


def told(clients: Clients) -> dict[str, dict[str, str]]:
    """Credentials as each API names them."""
    return {
        kind.api: {kind.id_name: clients[kind.api].public_id, kind.secret_name: clients[kind.api].secret}
        for kind in credential_kinds()
        if kind.api in clients
    }


def credentials(base_url: str, account: Account, clients: Clients, keys: Keys) -> Credentials:
    """The credentials of an account, with those client secrets that are at hand."""
    webhook_secret = keys.webhook_secret(account.id, account.secret_generation)
    return Credentials(base_url, account.ref, told(clients), webhook_secret)
