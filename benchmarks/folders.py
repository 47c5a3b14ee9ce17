"""Data folders to start a server over: an empty one, one that holds a million messages, and what is in one now.

    python -m benchmarks.folders FOLDER --messages 1000000

Filling goes through the store's own operations, so a filled folder is what a server would have left: every message
charged, taken by the carrier, delivered and listed. It is made once and copied for each measurement.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import apsw
import msgspec

from benchmarks.load import SENDER, numbers
from benchmarks.scenarios import Stage
from benchmarks.server import command
from heliograph.messaging.accounts import Account
from heliograph.messaging.delivery import ReceiptState
from heliograph.messaging.submissions import Request, Submission
from heliograph.messaging.text import Encoding, Text
from heliograph.store import interface as it
from heliograph.store.sqlite import SqliteStore

ACCOUNTS = 20
BALANCE = "1000000000.00"
PRICE_MICROS = 1_000_000  # what the default price list asks for a segment
CREDENTIALS = "credentials.json"
DATABASE = "heliograph.sqlite"
_BATCH = 5_000
_FORMAT = 1  # of a filled folder: raised when what is written changes
_DAY_MS = 86_400_000
_DAYS = 30


# -- making them


def empty(folder: Path) -> Path:
    """A data folder with one rich account and no message; the account's credentials are in it."""
    words = ["account", "create", "--name", "Benchmark", "--email", "benchmark@example.net", "--sender", SENDER]
    printed = command(*words, "--balance", BALANCE, "--data", str(folder), "--json")
    (folder / CREDENTIALS).write_text(printed)
    return folder


def filled(cache: Path, messages: int) -> Path:
    """A data folder with so many messages, all delivered: from the cache, or made now."""
    folder = cache / f"filled-{messages}-{_schema()}"
    if not folder.exists():
        print(f"filling {folder} with {messages:,} messages, once", file=sys.stderr)
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as temporary:
            made = empty(Path(temporary) / "data")
            asyncio.run(fill(made, messages))
            made.rename(folder)
    return folder


def copy(folder: Path, to: Path) -> Path:
    """A copy of a folder that no server runs over, on disk before this returns."""
    shutil.copytree(folder, to)
    for file in to.iterdir():
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
    return to


def _schema() -> str:
    """What a filled folder depends on, in short."""
    found = hashlib.sha256(bytes([_FORMAT, ACCOUNTS]))
    migrations = resources.files("heliograph.store.sqlite").joinpath("migrations")
    for step in sorted(migrations.iterdir(), key=lambda file: file.name):
        if step.name.endswith(".sql"):
            found.update(step.read_bytes())
    return found.hexdigest()[:8]


async def fill(folder: Path, messages: int) -> None:
    """Add so many delivered messages of several accounts, spread over the last thirty days."""
    store = SqliteStore(folder, exclusive=True)
    await store.open()
    accounts = [account.id for account in await store.read(lambda reads: reads.accounts())]
    for number in range(len(accounts), ACCOUNTS):
        account = Account(id=0, ref=f"acc_{number}", name=f"Customer {number}", email=f"customer{number}@example.net")
        created = await store.apply(it.CreateAccount(account, [], messages * PRICE_MICROS))
        accounts.append(created.id)
    carrier_id = await store.apply(it.RegisterCarrier("simulator"))
    first = await store.apply(it.LeaseIds(messages))
    recipients = numbers(100_000, seed=2)
    begin_utc_ms = int(time.time() * 1000) - _DAYS * _DAY_MS
    for at in range(0, messages, _BATCH):
        now = begin_utc_ms + at * _DAYS * _DAY_MS // messages
        ids = range(first + at, first + min(at + _BATCH, messages))
        accepts = [
            _accept(id_, accounts[id_ % len(accounts)], carrier_id, recipients[id_ % len(recipients)], now)
            for id_ in ids
        ]
        await asyncio.gather(*map(store.apply, accepts))
        taken = [it.Took(id_, 1, 1, f"{begin_utc_ms:x}-{id_}-0000", now + 10) for id_ in ids]
        await store.apply(it.StoreTaken(taken))
        receipts = [
            it.PartReceipt(carrier_id, took.ref, ReceiptState.DELIVERED, now + 210, took.message_id) for took in taken
        ]
        await store.apply(it.StoreReceipts(receipts, lambda ended: [None] * len(ended)))
    while await store.apply(it.ListMessages(_BATCH)):
        pass
    await store.close()


def _accept(id_: int, account_id: int, carrier_id: int, recipient: str, now_utc_ms: int) -> it.Accept:
    text = Text("Your parcel arrives today.", Encoding.GSM7, 1)
    request = Request(id_, account_id, 1, SENDER, text, now_utc_ms, now_utc_ms + 2 * _DAY_MS)
    return it.Accept(request, [Submission(id_, request, recipient, PRICE_MICROS, carrier_id, 0, 0, id_)])


# -- looking into them


class Counts(msgspec.Struct, frozen=True):
    """What a store gained since a moment: messages, of them sent, final and delivered, requests, charges and their sum.

    `sent` are with a carrier and not final. `called_back` are messages with an acknowledged callback.
    """

    messages: int
    sent: int
    final: int
    delivered: int
    last_sent_utc_ms: int
    last_done_utc_ms: int
    requests: int
    charges: int
    charged_micros: int
    other_postings: int
    different_refs: int
    callbacks: int
    called_back: int
    attempts: int


class Looker:
    """Reads a data folder beside the server that writes it; `Counts` are since it was made."""

    def __init__(self, folder: Path) -> None:
        self._connection = apsw.Connection(str(folder / DATABASE), flags=apsw.SQLITE_OPEN_READWRITE)
        self._connection.set_busy_timeout(5_000)
        self._connection.execute("PRAGMA query_only = 1")
        self._message, self._posting, self._balance = self._one(
            "SELECT (SELECT coalesce(max(id), 0) FROM message), (SELECT coalesce(max(id), 0) FROM posting),"
            " (SELECT sum(balance_micros) FROM balance)"
        )

    def __enter__(self) -> Looker:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def unfinished(self, stage: Stage) -> bool:
        """Whether there are messages that have not got so far."""
        match stage:
            case Stage.SENT:  # from the newest, because that is the last to be sent
                query = "SELECT 1 FROM message WHERE id > ? AND status = 0 ORDER BY id DESC LIMIT 1"
                return bool(self._connection.execute(query, (self._message,)).get)
            case Stage.FINAL:
                return self.open_messages() > 0
            case Stage.TOLD:
                query = "SELECT 1 FROM callback WHERE state = 'pending' LIMIT 1"
                return self.open_messages() > 0 or bool(self._connection.execute(query).get)

    def open_messages(self) -> int:
        """Messages without a final status, by their index."""
        return int(self._one("SELECT count(*) FROM message WHERE status < 2")[0])

    def last_message(self) -> int:
        """The internal id of the newest message."""
        return int(self._one("SELECT coalesce(max(id), 0) FROM message")[0])

    def spent_micros(self) -> int:
        """By how much the balances have fallen."""
        return int(self._balance - self._one("SELECT sum(balance_micros) FROM balance")[0])

    def counts(self) -> Counts:
        """All of it, by scanning what is new."""
        messages = self._one(
            "SELECT count(*), coalesce(sum(status = 1), 0), coalesce(sum(status >= 2), 0),"
            " coalesce(sum(status = 2), 0), coalesce(max(sent_utc_ms), 0), coalesce(max(done_utc_ms), 0)"
            " FROM message WHERE id > ?",
            self._message,
        )
        requests = self._one("SELECT count(*) FROM request WHERE id > ?", self._message)
        charges = self._one(
            "SELECT coalesce(sum(kind = 2), 0), coalesce(sum(iif(kind = 2, -amount_micros, 0)), 0),"
            " coalesce(sum(kind <> 2), 0) FROM posting WHERE id > ?",
            self._posting,
        )
        refs = self._one("SELECT count(DISTINCT ref) FROM message WHERE id > ?", self._message)
        callbacks = self._one(
            "SELECT count(*), count(DISTINCT iif(state = 'acknowledged', message_id, NULL)),"
            " coalesce(sum(attempt), 0) FROM callback WHERE message_id > ?",
            self._message,
        )
        return Counts(*messages, *requests, *charges, *refs, *callbacks)

    def message_ids(self) -> dict[str, int]:
        """Messages by the carrier's id."""
        return dict(self._connection.execute("SELECT ref, id FROM message WHERE id > ?", (self._message,)))

    def _one(self, query: str, *values: int) -> tuple[int, ...]:
        return tuple(int(value) for value in next(iter(self._connection.execute(query, values))))


def main(arguments: Sequence[str] | None = None) -> int:
    """Make a filled folder, for looking at by hand."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.folders", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path, help="where to make it")
    parser.add_argument("--messages", type=int, default=1_000_000)
    options = parser.parse_args(arguments)
    asyncio.run(fill(empty(options.folder), options.messages))
    return 0


if __name__ == "__main__":
    sys.exit(main())
