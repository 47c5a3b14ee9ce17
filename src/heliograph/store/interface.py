"""What the engine asks of a store: operations that commit together, and reads.

Every write is an `Op`. A store commits the operations that wait at a moment as one transaction and answers them when it
is on disk; if the commit fails, every one of them fails. Engines load, let a pure function decide, and save; they
decide nothing themselves. The suite in `tests/conformance/store` is the other half of this interface.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
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


class CallbackDraft(msgspec.Struct, frozen=True, gc=False):
    """A callback to be made: the finished body. `url` "" means the account's URL for `kind` at each attempt. `instead`
    of those of the same message that are still to be made.
    """

    kind: str
    body: bytes
    url: str = ""
    instead: bool = False


class Ended(msgspec.Struct, frozen=True, gc=False):
    """A message that has just reached a status to be told, as the callback's author sees it."""

    message_id: int
    account_id: int
    dialect: int
    recipient: str
    status: Status
    done_utc_ms: int
    reads: Reads | None = None  # the store as it stands after that, for a dialect that tells more than this


Reporter = Callable[[Sequence[Ended]], list[CallbackDraft | None]]


class Kept(IntEnum):
    """What became of a submission that was to be accepted."""

    REFUSED = 0  # not covered by the balance: it is not stored
    STORED = 1  # stored and paid
    ENDED = 2  # stored and at its end at once: the recipient has opted out
    SCHEDULED = 3  # stored and paid, put aside until its time
    OPTED_OUT = 4  # not stored: the recipient has opted out, and the caller wants to hear of it


class Once(msgspec.Struct, frozen=True):
    """What makes a request happen once: the account's key for a route, the SHA-256 of its body, and the function that
    writes the answer from what became of each submission, None for one that is not to be kept. It is called by the
    store's writer.
    """

    account_id: int
    at_utc_ms: int
    route: str
    key: str
    body_sha256: bytes
    answer: Callable[[Sequence[Kept]], bytes | None]


class Answered(msgspec.Struct, frozen=True):
    """The answer to an earlier request with the same key."""

    body_sha256: bytes
    answer: bytes


class Accept(Op["list[Kept] | Answered"], frozen=True):
    """Store a request with the messages that its account's balance covers, and charge for those.

    Result: for each submission what became of it. No message is stored when none is covered. With `once`, the answer is
    stored too, for `ONCE_MS`; if there is one already, nothing is done and it is the result. What ends at once is told
    by `report`.
    """

    request: Request
    submissions: list[Submission]
    once: Once | None = None
    report: Reporter | None = None
    refuse_opted_out: bool = False


class AcceptMany(Op["list[list[Kept]] | Answered"], frozen=True):
    """Store several requests of one account as `Accept` does, in order, each with its own charge and without a `once`
    of its own. `answer` of `once` gets what became of all their submissions, one after the other.
    """

    accepts: list[Accept]
    once: Once | None = None


class Cancel(Op["int | None"], frozen=True):
    """Cancel a message that was certainly never sent, and refund it: it waits above its carrier's mark or is put aside,
    no part of it was taken, and none is in doubt. Result: the number under which it waited, 0 when it was put aside;
    None when it was not cancelled.
    """

    message_id: int
    carrier_id: int
    at_utc_ms: int
    report: Reporter


ONCE_MS = 24 * 3_600_000
"""How long the answer to a request with a key is kept."""


class ForgetAnswers(Op[int], frozen=True):
    """Delete the oldest answers given before a time, at most `limit`. Result: how many."""

    before_utc_ms: int
    limit: int


class Failure(msgspec.Struct, frozen=True, gc=False):
    """A request that was refused, or some messages of it (then `status` is 200), as its caller saw it. `account` is "-"
    when nobody knows whose it was; `code` is the registry's, or several with commas between. `detail` is what the
    caller was told, and on the next line what the server knows besides.
    """

    request_id: str
    at_utc_ms: int
    account: str
    method: str
    route: str
    status: int
    code: str
    detail: str


FAILURES_MS = 7 * 24 * 3_600_000
"""How long a refused request is kept."""

FAILURES_KEPT = 100_000
"""How many refused requests are kept."""

FAILURES_KEPT_EACH = 20_000
"""How many of those of one account, or of callers whom nobody knows: a flood of one's pushes out only its own."""


class StoreFailures(Op[None], frozen=True):
    """Keep refused requests."""

    failures: list[Failure]


class ForgetFailures(Op[int], frozen=True):
    """Delete the oldest refused requests, at most `limit`: first those beyond the newest `keep_each` of each account,
    where callers whom nobody knows count as one, then those before a time, and those beyond the newest `keep` of all.
    Result: how many.
    """

    before_utc_ms: int
    keep: int
    keep_each: int
    limit: int


class MoveMark(Op[None], frozen=True):
    """Allow a carrier's hand-overs up to and including this number and part on the wire. After a crash, what lies above
    was certainly never sent.
    """

    carrier_id: int
    number: int
    part: int


class Took(msgspec.Struct, frozen=True, gc=False):
    """A carrier took a part. `last` when no part of the message is open after it; `retried` when it was not the first
    try; `tell` when the account wants to be called back on SENT.
    """

    message_id: int
    part: int
    parts: int
    ref: str
    at_utc_ms: int
    last: bool = True
    retried: bool = False
    tell: bool = False


class StoreTaken(Op[None], frozen=True):
    """Remember parts taken, by what id the carrier knows them; a message whose last part it was becomes SENT, and has a
    callback by `report` where its account asked to be told (`Took.tell`).
    """

    taken: list[Took]
    report: Reporter | None = None


class Retry(msgspec.Struct, frozen=True, gc=False):
    """A message waits for another try; `spends_try` when this one counted, `doubted` when it may have arrived. Its
    timeline gets `event` and `detail`. `reroute_to`, unless 0, is the carrier that it goes to from here on, with all
    tries.
    """

    message_id: int
    carrier_id: int
    due_utc_ms: int
    spends_try: bool
    at_utc_ms: int
    event: str
    detail: str
    doubted: bool = False
    reroute_to: int = 0


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
    """A receipt for a part. `message_id` 0 when only the carrier's id is known; `operator_id` 0 when it names none that
    is known, `error` the carrier's own code. `stray` when it was stored without its message: it is no stray any more.
    """

    carrier_id: int
    ref: str
    state: ReceiptState
    at_utc_ms: int
    message_id: int = 0
    part: int = 1
    parts: int = 1
    operator_id: int = 0
    error: str = ""
    stray: bool = False


class StoreReceipts(Op[list[PartReceipt]], frozen=True):
    """Store receipts and end the messages that they end; one that names an operator (`operator_id`) overwrites what
    the prefix said, with `OperatorSource.RECEIPT`. What matches no message is kept as a stray, in the same
    transaction. Result: those.
    """

    receipts: list[PartReceipt]
    report: Reporter


class StoreRefs(Op[None], frozen=True):
    """Append a run of (ref, message id, part), sorted by ref, for receipts that come after the ids left memory."""

    carrier_id: int
    refs: list[tuple[str, int, int]]


class InboundDraft(msgspec.Struct, frozen=True, gc=False):
    """A message from a phone: who wrote (`sender`, digits) to which of our numbers. `account_id` 0 when that is
    nobody's; `callback` None when there is nobody to tell.
    """

    carrier_id: int
    account_id: int
    sender: str
    recipient: str
    text: str
    received_utc_ms: int
    callback: CallbackDraft | None = None


class StoreInbound(Op[None], frozen=True):
    """Store messages from phones, each with its callback."""

    messages: list[InboundDraft]


class LeaseIds(Op[int], frozen=True):
    """Reserve consecutive ids for this run. Result: the first."""

    count: int


class ListMessages(Op[int], frozen=True):
    """Enter the next messages, at most about `limit`, into what customers list. Result: 0 when there was none."""

    limit: int


# -- carriers


class RegisterCarrier(Op[int], frozen=True):
    """Result: the internal id of the carrier of this name, new or known."""

    name: str


class PutCarrier(Op[int], frozen=True):
    """Store a carrier's settings, sealed. Result: its internal id. Raises `Conflict` when `new` and the name has
    settings already, `Missing` when not `new` and it has none.
    """

    name: str
    settings: bytes
    new: bool


class HoldCarrier(Op[None], frozen=True):
    """Note that a carrier is to be stopped, or is to run again, whatever the settings come from."""

    name: str
    stopped: bool


class SetDefaultCarrier(Op[None], frozen=True):
    """Name the carrier of accounts that have none of their own; "" for none, None for what the settings file says."""

    name: str | None


class StoreCarrierState(Op[None], frozen=True):
    """Note how a carrier stands (`carriers.interface.CarrierState`), and why, for those who look from outside."""

    carrier_id: int
    state: str
    detail: str
    at_utc_ms: int


STRAYS_MS = 7 * 24 * 3_600_000
"""How long a receipt without a message is kept."""

STRAYS_KEPT = 10_000
"""How many of those of one carrier."""


class ForgetStrays(Op[int], frozen=True):
    """Delete receipts without a message that came before a time, and the oldest beyond the newest `keep` of each
    carrier, at most `limit`. Result: how many.
    """

    before_utc_ms: int
    keep: int
    limit: int


class StoredCarrier(msgspec.Struct, frozen=True):
    """A carrier as stored. `settings` are sealed, b"" when they come from the settings file or it is gone."""

    id: int
    name: str
    settings: bytes
    stopped: bool
    state: str
    detail: str
    since_utc_ms: int


class Stray(msgspec.Struct, frozen=True):
    """A receipt that matches no message, as stored."""

    id: int
    carrier_id: int
    ref: str
    state: ReceiptState
    at_utc_ms: int
    operator_id: int = 0
    error: str = ""


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


UNWANTED = "the recipient wants no more messages from this account"  # the detail of a message that ends for that
CALLED_BACK = "called back"  # the event of an attempt that failed
REPLAYED = "replayed"  # the event of a new run of attempts


class SettleCallbacks(Op[None], frozen=True):
    """Store how attempts ended."""

    settlements: list[Settlement]


class ReplayCallbacks(Op[list[int]], frozen=True):
    """Begin a new run of attempts of callbacks that failed or were acknowledged, due from a time on. Result: the ids of
    those that do; what is pending or cancelled is left as it is.
    """

    callback_ids: list[int]
    due_utc_ms: int


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


class ReplaceCredentials(Op[Account], frozen=True):
    """Give an account new credentials in place of those that it has in the same dialects. Result: the account after,
    of a new revision. Raises `Missing`, and `Conflict` when a public id is another account's.
    """

    account_id: int
    credentials: list[Credential]


class SetCredit(Op[int], frozen=True):
    """Let an account's balance go down to minus this. Result: the balance, in micro-units. Raises `Missing`."""

    account_id: int
    credit_limit_micros: int


class SetOptOut(Op[bool], frozen=True):
    """Note that a recipient (E.164 digits) wants nothing more from an account, or does again. Result: whether that is
    new.
    """

    account_id: int
    recipient: str
    opted_out: bool
    at_utc_ms: int


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
    send_at_utc_ms: int
    reference: str | None
    callback_url: str
    trace: str


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
    sender: str = ""


class StoredInbound(msgspec.Struct, frozen=True):
    """A message from a phone, as stored. `account_id` 0 when its number is nobody's."""

    id: int
    carrier_id: int
    account_id: int
    sender: str
    recipient: str
    text: str
    received_utc_ms: int


class MessageFilter(msgspec.Struct, frozen=True):
    """Which messages are wanted; what is None or "" does not matter. They were registered at `since_utc_ms` or later
    and before `until_utc_ms`, and are to be sent after `due_after_utc_ms` and until `due_until_utc_ms`; what is sent at
    once is due at 0.
    """

    account_id: int | None = None
    status: Status | None = None
    recipient: str = ""
    sender: str = ""
    carrier_id: int | None = None
    since_utc_ms: int = 0
    until_utc_ms: int | None = None
    due_after_utc_ms: int | None = None
    due_until_utc_ms: int | None = None


class CallbackFilter(msgspec.Struct, frozen=True):
    """Which callbacks are wanted; what is None or "" does not matter."""

    account_id: int | None = None
    state: str = ""
    kind: str = ""


class Overdue(msgspec.Struct, frozen=True):
    """Of the open messages looked at, those whose time is over.

    `lapsed` were not sent wholly (their `number` is 0 while they are put aside), `silent` were and have no final
    receipt. `looked_to` is the last id looked at, 0 after the last.
    """

    lapsed: list[Submission]
    silent: list[int]
    looked_to: int


SILENCE_MS = 24 * 3_600_000
"""A message that was sent is given up so long after its validity."""


NO_NUMBER = 1 << 62
"""Above every number."""


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


class SchemaTooOld(StoreError):
    """The data were written by an older version of the program, and bringing them up to date was not asked for."""


class ForeignKeys(StoreError):
    """The keys are not those that the data were made with."""


class DataLost(StoreError):
    """There were data in this folder, and now there are none."""


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

    def credit(self, account_id: int) -> int:
        """The account's credit limit, in micro-units."""

    def balances(self) -> dict[int, int]:
        """Every account's, by internal id."""

    def message(self, message_id: int) -> StoredMessage | None:
        """One message by internal id."""

    def messages_of(self, message_ids: Sequence[int]) -> list[StoredMessage]:
        """Those with these internal ids, in no order."""

    def messages(self, wanted: MessageFilter, limit: int, before_id: int | None = None) -> list[StoredMessage]:
        """The newest of those wanted, older than `before_id`."""

    def parts(self, message_id: int) -> list[tuple[int, str, ReceiptState | None]]:
        """Part, the carrier's id, what its receipt said: of a message with several parts, those taken."""

    def events(self, message_id: int) -> list[Event]:
        """The timeline's own lines, oldest first."""

    def callbacks_of(self, message_id: int) -> list[Callback]:
        """Oldest first."""

    def callback(self, callback_id: int) -> Callback | None:
        """One by its internal id."""

    def callbacks(self, wanted: CallbackFilter, limit: int, before_id: int | None = None) -> list[Callback]:
        """The newest of those wanted, older than `before_id`."""

    def inbound(self, account_id: int | None, limit: int, before_id: int | None = None) -> list[StoredInbound]:
        """The newest messages from phones: an account's, nobody's (0) or all, older than `before_id`."""

    def answered(self, account_id: int, route: str, key: str, after_utc_ms: int) -> Answered | None:
        """The answer given after a time to a request with a key."""

    def failure(self, request_id: str) -> Failure | None:
        """The refused request with this id."""

    def messages_traced(self, trace: str, since_utc_ms: int, until_utc_ms: int) -> list[StoredMessage]:
        """The messages accepted by the request with this trace, which was registered between these times, in order."""

    def opt_outs(self, account_id: int, after: str, limit: int) -> list[str]:
        """Recipients that want nothing more from an account, by number, after one."""

    def postings(self, after_id: int, limit: int) -> list[Posting]:
        """The ledger, oldest first."""

    def paid_messages(self, after_id: int, limit: int) -> list[PaidMessage]:
        """Every message, oldest first."""

    def carriers(self) -> dict[int, str]:
        """Names of the carriers that ever were, by internal id."""

    def stored_carriers(self) -> list[StoredCarrier]:
        """All that ever were, oldest first, with their settings where those are stored."""

    def default_carrier(self) -> str | None:
        """What `SetDefaultCarrier` said."""

    def strays(self, carrier_id: int | None, limit: int, before_id: int | None = None) -> list[Stray]:
        """The newest receipts without a message, of a carrier or of all, older than `before_id`."""

    def lane(self, carrier_id: int, below: int = NO_NUMBER) -> LaneState:
        """Where the hand-over to a carrier stands on disk; of what waits, what has a number below one is counted."""

    def claim(self, carrier_id: int, after_number: int, limit: int) -> list[Submission]:
        """What waits for a carrier above a number, in order."""

    def due_retries(self, carrier_id: int, now_utc_ms: int, limit: int) -> list[Submission]:
        """A carrier's messages that were put aside and whose time has come, by time and id; without a number yet."""

    def unwanted(self, submissions: Sequence[Submission]) -> frozenset[int]:
        """The ids of those whose recipients want nothing more from their accounts."""

    def overdue(self, carrier_id: int, after_id: int, look_at: int, now_utc_ms: int) -> Overdue:
        """Of the next open messages of a carrier after an id those whose time is over."""

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

    @property
    def waiting_rows(self) -> int:
        """The weight of what was submitted and is neither stored nor failed."""

    async def read(self, query: Callable[[Reads], T]) -> T:
        """Run reads in one snapshot. Raises `StoreError`."""
