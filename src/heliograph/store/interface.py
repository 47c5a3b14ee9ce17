"""What the engine asks of a store: operations that commit together, and reads.

Every write is an `Op`. A store commits the operations that wait at a moment as one transaction and answers them when it
is on disk; if the commit fails, every one of them fails. Engines load, let a pure function decide, and save; they
decide nothing themselves. The suite in `tests/conformance/store` is the other half of this interface.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from heliograph.messaging.accounts import Account
from heliograph.messaging.delivery import ReceiptState
from heliograph.messaging.ledger import PostingKind
from heliograph.messaging.submissions import Happening, Request, Status, Submission

T = TypeVar("T")


class Op(msgspec.Struct, Generic[T], frozen=True):
    """A write; `T` is its result."""


# -- messages


class Accept(Op[list[bool]], frozen=True):
    """Store a request with the messages that its account's balance covers, and charge for those.

    Result: for each submission whether it is stored and paid. Nothing at all is stored when none is.
    """

    request: Request
    submissions: list[Submission]


class MoveMark(Op[None], frozen=True):
    """Allow a carrier's hand-overs up to and including this number and part on the wire. After a crash, what lies above
    was certainly never sent.
    """

    carrier_id: int
    number: int
    part: int


class Took(msgspec.Struct, frozen=True, gc=False):
    """A carrier took a part. `last` when no part of the message is open after it; `retried` when it was not the first
    try.
    """

    message_id: int
    part: int
    parts: int
    ref: str
    at_utc_ms: int
    last: bool = True
    retried: bool = False


class StoreTaken(Op[None], frozen=True):
    """Remember parts taken, by what id the carrier knows them; a message whose last part it was becomes SENT."""

    taken: list[Took]


class Retry(msgspec.Struct, frozen=True, gc=False):
    """A message waits for another try; `spends_try` when this one counted, `doubted` when it may have arrived. Its
    timeline gets `event` and `detail`.
    """

    message_id: int
    carrier_id: int
    due_utc_ms: int
    spends_try: bool
    at_utc_ms: int
    event: str
    detail: str
    doubted: bool = False


class StoreRetries(Op[None], frozen=True):
    """Put messages aside until they are due again."""

    retries: list[Retry]


class Requeue(Op[list[bool]], frozen=True):
    """Store the new numbers of messages that are due again, so that they can be handed over. Result: whether each still
    waited.
    """

    submissions: list[Submission]


class Resend(Op[None], frozen=True):
    """Note of these messages that they were in doubt after a crash, and in their timelines that they are sent again."""

    message_ids: list[int]
    at_utc_ms: int


class CallbackDraft(msgspec.Struct, frozen=True, gc=False):
    """A callback to be made: the finished body. `url` "" means the account's URL for `kind` at each attempt."""

    kind: str
    body: bytes
    url: str = ""


class Ended(msgspec.Struct, frozen=True, gc=False):
    """A message that has just reached a final status, as the callback's author sees it."""

    message_id: int
    account_id: int
    dialect: int
    recipient: str
    status: Status
    done_utc_ms: int


Reporter = Callable[[Sequence[Ended]], list[CallbackDraft | None]]


class Ending(msgspec.Struct, frozen=True, gc=False):
    """Something happened that may end a message. `parts_taken` decides about the refund."""

    message_id: int
    happening: Happening
    at_utc_ms: int
    parts_taken: int = 0
    detail: str = ""


class Finish(Op[None], frozen=True):
    """End messages: the status by `submissions.after`, a refund by `submissions.refunded`, the callback by `report`."""

    endings: list[Ending]
    report: Reporter


class PartReceipt(msgspec.Struct, frozen=True, gc=False):
    """A receipt for a part. `message_id` 0 when only the carrier's id is known."""

    carrier_id: int
    ref: str
    state: ReceiptState
    at_utc_ms: int
    message_id: int = 0
    part: int = 1
    parts: int = 1


class StoreReceipts(Op[list[PartReceipt]], frozen=True):
    """Store receipts and end the messages that they end. Result: those that match no message."""

    receipts: list[PartReceipt]
    report: Reporter


class StoreRefs(Op[None], frozen=True):
    """Append a run of (ref, message id, part), sorted by ref, for receipts that come after the ids left memory."""

    carrier_id: int
    refs: list[tuple[str, int, int]]


class LeaseIds(Op[int], frozen=True):
    """Reserve consecutive ids for this run. Result: the first."""

    count: int


class ListMessages(Op[int], frozen=True):
    """Enter the next messages, at most about `limit`, into what customers list. Result: 0 when there was none."""

    limit: int


class RegisterCarrier(Op[int], frozen=True):
    """Result: the internal id of the carrier of this name, new or known."""

    name: str


# -- callbacks


class Callback(msgspec.Struct, frozen=True, gc=False):
    """A callback as stored. `attempt` counts those begun; `next_utc_ms` is when the next one is due."""

    id: int
    account_id: int
    message_id: int
    kind: str
    url: str
    body: bytes
    state: str
    attempt: int
    created_utc_ms: int
    next_utc_ms: int
    last_result: str


class ClaimCallbacks(Op[list[Callback]], frozen=True):
    """Begin an attempt of callbacks that are due, oldest first: the attempt is stored before the wire is touched.

    `delays_seconds[n]` is the time from the start of attempt n + 1 to the next. A callback whose attempts are all begun
    becomes failed instead. Left alone are accounts in `busy`, all but `only` where that is not 0, and what was due
    before `after_utc_ms`. Result: those whose attempt begins now; fewer than `limit` only when no more are due.
    """

    now_utc_ms: int
    limit: int
    delays_seconds: tuple[int, ...]
    busy: frozenset[int]
    after_utc_ms: int = 0
    only: int = 0


class Settlement(msgspec.Struct, frozen=True, gc=False):
    """How an attempt ended. `give_up` when it was the last; `event` is its line in the timeline, "" for none."""

    callback_id: int
    acknowledged: bool
    give_up: bool
    result: str
    at_utc_ms: int
    message_id: int = 0
    event: str = ""


CALLED_BACK = "called back"  # the event of an attempt that failed


class SettleCallbacks(Op[None], frozen=True):
    """Store how attempts ended."""

    settlements: list[Settlement]


# -- accounts


class Credential(msgspec.Struct, frozen=True):
    """What proves an account in one dialect: a public id and the SHA-256 of 256 random bits."""

    dialect: int
    public_id: str
    secret_sha256: bytes


class CreateAccount(Op[Account], frozen=True):
    """Create an account with its credentials and, unless 0, an opening top-up. Result: the account with its id. Raises
    `Conflict` when the ref is taken.
    """

    account: Account
    credentials: list[Credential]
    balance_micros: int


class UpdateAccount(Op[Account], frozen=True):
    """Change an account's settings by `Account` field name. Result: the account after. Raises `Missing`, and `Conflict`
    when a new ref is taken.
    """

    account_id: int
    changes: dict[str, Any]


class TopUp(Op[int], frozen=True):
    """Post an amount of either sign. Result: the balance after, in micro-units. Raises `Missing`, `Refused`."""

    account_id: int
    amount_micros: int
    at_utc_ms: int
    note: str


# -- reads


class StoredMessage(msgspec.Struct, frozen=True):
    """A message with its request, as stored. Times that have not happened are 0."""

    id: int
    account_id: int
    dialect: int
    sender: str
    recipient: str
    text: str
    encoding: int
    segments: int
    price_micros: int
    refunded: bool
    carrier_id: int
    operator_id: int
    operator_source: int
    status: Status
    tries: int
    registered_utc_ms: int
    sent_utc_ms: int
    done_utc_ms: int
    expires_utc_ms: int
    ref: str
    detail: str


class Event(msgspec.Struct, frozen=True):
    """A line of a message's timeline that its columns do not tell."""

    at_utc_ms: int
    event: str
    detail: str


class Posting(msgspec.Struct, frozen=True):
    """A line of the ledger. `request_id` and `message_id` are 0 where there is none."""

    id: int
    account_id: int
    kind: PostingKind
    amount_micros: int
    request_id: int
    message_id: int
    at_utc_ms: int


class PaidMessage(msgspec.Struct, frozen=True):
    """What an audit needs of a message."""

    id: int
    request_id: int
    account_id: int
    price_micros: int
    refunded: bool


class Awaiting(msgspec.Struct, frozen=True, gc=False):
    """A part that was sent and has no receipt."""

    message_id: int
    part: int
    parts: int
    ref: str
    sent_utc_ms: int


class LaneState(msgspec.Struct, frozen=True):
    """Where a carrier's hand-over stands: the mark, the messages in doubt below it, the number waiting above it."""

    number: int
    part: int
    in_doubt: list[Submission]
    waiting: int


class StoreError(Exception):
    """Base of what a store raises; the caller sees it as 503."""


class Unavailable(StoreError):
    """The write did not happen: disk full, locked, out of reach. Certainly nothing was stored."""


class Uncertain(StoreError):
    """The effect of a commit is unknown, or a flush failed. The process must stop and recover from the file."""


class Conflict(StoreError):
    """A unique value is taken."""


class Refused(StoreError):
    """The operation would break a rule of the ledger."""


class Missing(StoreError):
    """There is no such row."""


class SchemaTooNew(StoreError):
    """The data were written by a newer version of the program."""


Done = Callable[[Any], None]


class CommitHook(Protocol):
    """Called around every group commit, on the event loop: contributes operations of the moment and learns what became
    of the group.
    """

    def before_commit(self, ops: Sequence[Op[Any]]) -> list[Op[Any]]:
        """Operations to add to the group that is about to be committed."""

    def after_commit(self, ops: Sequence[Op[Any]], results: Sequence[Any]) -> None:
        """The whole group is on disk; called before its callers are answered."""

    def commit_failed(self, ops: Sequence[Op[Any]], error: StoreError) -> None:
        """Nothing of the group is stored."""


class Reads(Protocol):
    """The reads of an engine; each is one named query or a few in one snapshot."""

    def accounts_since(self, revision: int) -> list[tuple[Account, list[Credential]]]:
        """Accounts changed after a revision, with their credentials, oldest change first."""

    def account(self, ref: str) -> Account | None:
        """The account that people know by `ref`."""

    def accounts(self) -> list[Account]:
        """All of them, oldest first."""

    def balance(self, account_id: int) -> int:
        """In micro-units."""

    def balances(self) -> dict[int, int]:
        """Every account's, by internal id."""

    def message(self, message_id: int) -> StoredMessage | None:
        """One message by internal id."""

    def messages(self, account_id: int | None, limit: int, before_id: int | None = None) -> list[StoredMessage]:
        """The newest, of one account or of all, older than `before_id`."""

    def parts(self, message_id: int) -> list[tuple[int, str, ReceiptState | None]]:
        """Part, the carrier's id, what its receipt said: of a message with several parts, those taken."""

    def events(self, message_id: int) -> list[Event]:
        """The timeline's own lines, oldest first."""

    def callbacks_of(self, message_id: int) -> list[Callback]:
        """Oldest first."""

    def postings(self, after_id: int, limit: int) -> list[Posting]:
        """The ledger, oldest first."""

    def paid_messages(self, after_id: int, limit: int) -> list[PaidMessage]:
        """Every message, oldest first."""

    def carriers(self) -> dict[int, str]:
        """Names of the carriers that ever were, by internal id."""

    def lane(self, carrier_id: int) -> LaneState:
        """Where the hand-over to a carrier stood when the last process ended."""

    def claim(self, carrier_id: int, after_number: int, limit: int) -> list[Submission]:
        """What waits for a carrier above a number, in order."""

    def due_retries(self, now_utc_ms: int, limit: int) -> list[Submission]:
        """Messages whose time for another try has come, without a number yet."""

    def awaiting_receipt(self, carrier_id: int, after_id: int, limit: int) -> list[Awaiting]:
        """Parts of sent messages without a receipt, of up to `limit` messages, by message id."""


class Store(Protocol):
    """A store, open."""

    async def open(self) -> None:
        """Take the data, migrate the schema, start. Raises `SchemaTooNew`, `Unavailable`."""

    async def close(self) -> None:
        """Commit what waits and let go."""

    def submit(self, op: Op[Any], done: Done, weight: int = 1) -> None:
        """Commit an operation with the next group; `done` gets its result or a `StoreError`, on the event loop.
        `weight` counts its rows.

        Raises `OurFault(OVERLOADED)` past the bound: then nothing was taken.
        """

    async def apply(self, op: Op[T]) -> T:
        """`submit`, awaited. Raises `StoreError`."""

    def request_commit(self) -> None:
        """Make a group commit happen soon, so that hooks are asked for their operations."""

    def add_hook(self, hook: CommitHook) -> None:
        """Take part in every group commit."""

    async def read(self, query: Callable[[Reads], T]) -> T:
        """Run reads in one snapshot. Raises `StoreError`."""
