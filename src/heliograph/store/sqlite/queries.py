"""Every query of the SQLite engine, by name. Nothing else in the engine holds SQL.

A query with `{rows}` is written for many rows at once: `Bulk` repeats its row template. With one statement a batch
SQLite keeps the GIL released for the whole batch; `executemany` would take it back at every row.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from heliograph.store.sqlite.rows import ACCOUNT_COLUMNS


@dataclass(frozen=True)
class Bulk:
    """A statement over many rows: `{rows}` stands for comma-separated copies of `row`, which has `width` parameters."""

    sql: str
    row: str

    @cached_property
    def width(self) -> int:
        """Parameters of one row."""
        return self.row.count("?")

    def over(self, count: int) -> str:
        """The statement for `count` rows; the same string each time, so that it is found prepared."""
        text = self._texts.get(count)
        if text is None:
            text = self._texts[count] = self.sql.format(rows=",".join([self.row] * count))
        return text

    @cached_property
    def _texts(self) -> dict[int, str]:
        return {}


# -- accepting

# What an account may spend, and whether anybody wants nothing more from it.
BALANCE_AND_CREDIT = (
    "SELECT balance_micros, credit_limit_micros, EXISTS (SELECT 1 FROM opt_out WHERE opt_out.account_id = balance.account_id)"
    " FROM balance WHERE account_id = ?"
)
OPTED_OUT = "SELECT recipient FROM opt_out WHERE account_id = ? AND recipient IN (SELECT value FROM json_each(?))"
# The answer to a request with a key, unless it is too old to count.
ANSWERED = (
    "SELECT body_sha256, answer FROM answered WHERE account_id = ? AND route = ? AND key = ? AND answered_utc_ms > ?"
)
INSERT_ANSWER = "INSERT OR REPLACE INTO answered (account_id, route, key, body_sha256, answer, answered_utc_ms) VALUES (?,?,?,?,?,?)"
FORGET_ANSWERS = (
    "DELETE FROM answered WHERE (account_id, route, key) IN (SELECT account_id, route, key FROM answered WHERE answered_utc_ms <= ?"
    " ORDER BY answered_utc_ms LIMIT ?) RETURNING 1"
)
# Refused requests. By their ids, which begin with the time, they are nearly appended.
INSERT_FAILURES = Bulk(
    "INSERT OR IGNORE INTO failure (trace, at_utc_ms, account_id, method, route, status, code, detail) VALUES {rows}",
    "(?,?,coalesce((SELECT id FROM account WHERE ref = ?), 0),?,?,?,?,?)",
)
CROWDED_FAILURES = "SELECT account_id, count(*) - ?1 FROM failure GROUP BY account_id HAVING count(*) > ?1"
FORGET_FAILURES_OF = (
    "DELETE FROM failure WHERE trace IN (SELECT trace FROM failure WHERE account_id = ?1 ORDER BY at_utc_ms LIMIT ?2)"
    " RETURNING 1"
)
FORGET_FAILURES = (
    "DELETE FROM failure WHERE trace IN (SELECT trace FROM failure WHERE at_utc_ms <= max(?1,"
    " coalesce((SELECT at_utc_ms FROM failure WHERE at_utc_ms > 0 ORDER BY at_utc_ms DESC LIMIT 1 OFFSET ?2), 0)) ORDER BY at_utc_ms LIMIT ?3) RETURNING 1"
)
FAILURE = (
    "SELECT at_utc_ms, coalesce((SELECT ref FROM account WHERE account.id = account_id), '-'), method, route, status, code, detail"
    " FROM failure WHERE trace = ?"
)
# One row a request: appended.
INSERT_REQUESTS = Bulk(
    "INSERT INTO request (id, account_id, sender, text, encoding, segments, registered_utc_ms, expires_utc_ms, send_at_utc_ms, reference,"
    " callback_url, trace) VALUES {rows}",
    "(?,?,?,?,?,?,?,?,?,?,?,?)",
)
# One row a message: appended, and appended to the index of open messages.
INSERT_MESSAGES = Bulk(
    "INSERT INTO message (id, request_id, account_id, carrier_id, dialect, status, recipient, price_micros, operator_id, operator_source) VALUES {rows}",
    "(?,?,?,?,?,0,?,?,?,?)",
)
# One row an account and request: appended.
INSERT_POSTINGS = Bulk(
    "INSERT INTO posting (account_id, kind, amount_micros, request_id, message_id, at_utc_ms, note) VALUES {rows}",
    "(?,?,?,?,?,?,?)",
)
ADD_TO_BALANCE = "UPDATE balance SET balance_micros = balance_micros + ? WHERE account_id = ? RETURNING balance_micros"
LEASE_IDS = "UPDATE sequence SET next = next + ?1 WHERE name = ?2 RETURNING next - ?1"

# -- handing over

# The one row a carrier that says how far hand-overs may be on the wire.
MOVE_MARK = "INSERT INTO mark (carrier_id, number, part) VALUES (?1, ?2, ?3) ON CONFLICT (carrier_id) DO UPDATE SET number = ?2, part = ?3"
# Messages of one part that a carrier took: the status and the carrier's id in one write, by row id.
TAKE_SINGLE = Bulk(
    "WITH taken (id, at, ref) AS (VALUES {rows}) UPDATE message SET status = 1, sent_utc_ms = taken.at, ref = taken.ref"
    " FROM taken WHERE message.id = taken.id AND message.status = 0",
    "(?,?,?)",
)
TAKE_LAST_PART = Bulk(
    "WITH taken (id, at) AS (VALUES {rows}) UPDATE message SET status = 1, sent_utc_ms = taken.at"
    " FROM taken WHERE message.id = taken.id AND message.status = 0",
    "(?,?)",
)
INSERT_PARTS = Bulk("INSERT OR IGNORE INTO part (message_id, part, ref, parts) VALUES {rows}", "(?,?,?,?)")
# A message that waits for another try, unless a receipt has ended it; it keeps its place in `message`.
PUT_RETRIES = Bulk(
    "WITH put (id, carrier_id, due) AS (VALUES {rows}) INSERT INTO retry (message_id, carrier_id, due_utc_ms)"
    " SELECT put.id, put.carrier_id, put.due FROM put CROSS JOIN message ON message.id = put.id WHERE message.status = 0"
    " ON CONFLICT (message_id) DO UPDATE SET carrier_id = excluded.carrier_id, due_utc_ms = excluded.due_utc_ms, number = NULL",
    "(?,?,?)",
)
# Messages that are to be sent later, put aside from the beginning.
PUT_ASIDE = Bulk("INSERT INTO retry (message_id, carrier_id, due_utc_ms) VALUES {rows}", "(?,?,?)")
# The number under which a message waits of which nothing was ever sent, 0 while it is put aside; no row for any other.
UNSENT = (
    "SELECT coalesce(number, 0) FROM (SELECT iif(retry.message_id IS NULL, message.id, retry.number) AS number, mark.number AS to_number,"
    " mark.part AS to_part FROM message LEFT JOIN retry ON retry.message_id = message.id LEFT JOIN mark ON mark.carrier_id = message.carrier_id"
    " WHERE message.id = ?1 AND status = 0 AND doubted = 0 AND NOT EXISTS (SELECT 1 FROM part WHERE part.message_id = ?1))"
    " WHERE number IS NULL OR (number, 1) > (coalesce(to_number, 0), coalesce(to_part, 0))"
)
DROP_RETRIES = Bulk("DELETE FROM retry WHERE message_id IN ({rows})", "?")
# Another carrier's from here on, with all tries.
REROUTE = "UPDATE message SET carrier_id = ?2, tries = 0 WHERE id = ?1 AND status = 0"
COUNT_TRY = "UPDATE message SET tries = tries + ?2, doubted = doubted | ?3 WHERE id = ?1 AND status = 0"
QUEUE_RETRIES = Bulk(
    "WITH queued (id, number) AS (VALUES {rows}) UPDATE retry SET number = queued.number FROM queued"
    " WHERE retry.message_id = queued.id AND retry.number IS NULL RETURNING message_id",
    "(?,?)",
)
ADD_EVENT = (
    "INSERT INTO event (message_id, seq, at_utc_ms, event, detail)"
    " VALUES (?1, (SELECT coalesce(max(seq), 0) + 1 FROM event WHERE message_id = ?1), ?2, ?3, ?4)"
)
INSERT_REFS = Bulk("INSERT OR REPLACE INTO ref (carrier_id, run, ref, message_id, part) VALUES {rows}", "(?,?,?,?,?)")
NEWEST_RUN = "SELECT coalesce(max(run), 0) FROM ref WHERE carrier_id = ?"
# One probe of one run; runs are tried from the newest. Run 0 is no run: it holds, in no order of arrival, the ids of
# messages that became UNKNOWN, for a receipt may still replace that.
FIND_REF = "SELECT message_id, part FROM ref WHERE carrier_id = ? AND run = ? AND ref = ?"

# -- ending

# The usual end: a sent message of one part whose final receipt came. Those that are SENT come as one JSON text: a row
# for each would give the interpreter lock away and take it back as often.
SENT_MESSAGES = Bulk(
    "SELECT json_group_array(json_array(id, account_id, dialect, recipient)) FROM message"
    " WHERE id IN ({rows}) AND status = 1",
    "?",
)
END_SENT = Bulk(
    "WITH ended (id, status, at) AS (VALUES {rows}) UPDATE message SET status = ended.status, done_utc_ms = ended.at"
    " FROM ended WHERE message.id = ended.id",
    "(?,?,?)",
)
# Messages that a carrier has just taken and nothing has ended since.
MESSAGES_SENT = Bulk("SELECT id, account_id, dialect, recipient FROM message WHERE id IN ({rows}) AND status = 1", "?")
# What a carrier calls a message, where it is of one part, and which carrier that is.
MESSAGE_REF = "SELECT carrier_id, ref FROM message WHERE id = ?"
# What deciding about an end needs, by row id.
MESSAGES_TO_END = Bulk(
    "SELECT id, account_id, dialect, recipient, status, price_micros, refunded FROM message WHERE id IN ({rows})", "?"
)
END_MESSAGES = Bulk(
    "WITH ended (id, status, at, refunded, detail) AS (VALUES {rows}) UPDATE message"
    " SET status = ended.status, done_utc_ms = ended.at, refunded = message.refunded | ended.refunded, detail = ended.detail"
    " FROM ended WHERE message.id = ended.id",
    "(?,?,?,?,?)",
)
RECORD_PART_STATE = "UPDATE part SET state = ? WHERE message_id = ? AND part = ?"
PART_STATES = "SELECT part, ref, state FROM part WHERE message_id = ? ORDER BY part"
# How many parts a message went in, where that is not what is billed; NULL when no part of several was taken.
MESSAGE_SEGMENTS = "SELECT segments FROM message JOIN request ON request.id = message.request_id WHERE message.id = ?"
PARTS_SENT = "SELECT max(parts) FROM part WHERE message_id = ?"
RECORD_OPERATORS = Bulk(
    "WITH told (id, operator_id, source) AS (VALUES {rows}) UPDATE message"
    " SET operator_id = told.operator_id, operator_source = told.source"
    " FROM told WHERE message.id = told.id AND message.operator_source <= told.source",
    "(?,?,?)",
)
STRAY_STATE = "SELECT state FROM stray WHERE carrier_id = ? AND ref = ?"
PUT_STRAY = (
    "INSERT INTO stray (carrier_id, ref, state, at_utc_ms, operator_id, error) VALUES (?,?,?,?,?,?)"
    " ON CONFLICT (carrier_id, ref) DO UPDATE SET state = excluded.state, at_utc_ms = excluded.at_utc_ms,"
    " operator_id = excluded.operator_id, error = excluded.error"
)
DROP_STRAY = "DELETE FROM stray WHERE carrier_id = ? AND ref = ?"
STRAYS = (
    "SELECT id, carrier_id, ref, state, at_utc_ms, operator_id, error FROM stray"
    " WHERE id < ?1 AND (?2 IS NULL OR carrier_id = ?2) ORDER BY id DESC LIMIT ?3"
)
CROWDED_STRAYS = "SELECT carrier_id, count(*) - ?1 FROM stray GROUP BY carrier_id HAVING count(*) > ?1"
FORGET_STRAYS_OF = (
    "DELETE FROM stray WHERE id IN (SELECT id FROM stray WHERE carrier_id = ?1 ORDER BY id LIMIT ?2) RETURNING 1"
)
FORGET_STRAYS = (
    "DELETE FROM stray WHERE id IN (SELECT id FROM stray WHERE at_utc_ms < ? ORDER BY at_utc_ms LIMIT ?) RETURNING 1"
)

# -- callbacks

INSERT_CALLBACKS = Bulk(
    "INSERT INTO callback (account_id, message_id, kind, url, body, state, attempt, created_utc_ms, next_utc_ms) VALUES {rows}",
    "(?,?,?,?,?,'pending',0,?,?)",
)
# A later final replaces what was still to be told of UNKNOWN.
CANCEL_CALLBACKS = "UPDATE callback SET state = 'cancelled' WHERE message_id = ? AND kind = 'dlr' AND state = 'pending'"
_CALLBACK = "id, account_id, message_id, kind, url, body, state, attempt, created_utc_ms, next_utc_ms, last_result"
# By the index of what is due, oldest first, leaving out accounts that have enough under way; from a time on, so that what
# these have piled up is not read at every claim.
DUE_CALLBACKS = (
    f"SELECT {_CALLBACK} FROM callback INDEXED BY callback_due WHERE state = 'pending' AND next_utc_ms BETWEEN ? AND ?"
    " AND account_id NOT IN (SELECT value FROM json_each(?)) ORDER BY next_utc_ms LIMIT ?"
)
DUE_CALLBACKS_OF_ACCOUNT = (
    f"SELECT {_CALLBACK} FROM callback INDEXED BY callback_due WHERE state = 'pending' AND next_utc_ms BETWEEN ? AND ?"
    " AND account_id = ? ORDER BY next_utc_ms LIMIT ?"
)
BEGIN_ATTEMPTS = Bulk(
    "WITH begun (id, attempt, next) AS (VALUES {rows}) UPDATE callback SET attempt = begun.attempt, next_utc_ms = begun.next"
    " FROM begun WHERE callback.id = begun.id",
    "(?,?,?)",
)
SETTLE_CALLBACKS = Bulk(
    "WITH settled (id, state, result) AS (VALUES {rows}) UPDATE callback SET state = settled.state, last_result = settled.result"
    " FROM settled WHERE callback.id = settled.id AND callback.state = 'pending'",
    "(?,?,?)",
)
# Called back again from the beginning; what is under way or pending is left alone.
REPLAY_CALLBACK = (
    "UPDATE callback SET state = 'pending', attempt = 0, next_utc_ms = ?2, last_result = '' WHERE id = ?1"
    " AND state IN ('failed', 'acknowledged') RETURNING message_id"
)
CALLBACK = f"SELECT {_CALLBACK} FROM callback WHERE id = ?"
# Newest first. NULL and '' match everything.
CALLBACKS = (
    f"SELECT {_CALLBACK} FROM callback WHERE id < ?1 AND (?2 IS NULL OR account_id = ?2) AND (?3 = '' OR kind = ?3)"
    " AND (?4 = '' OR state = ?4) ORDER BY id DESC LIMIT ?5"
)
# The same of those that failed, by the index of these.
FAILED_CALLBACKS = (
    f"SELECT {_CALLBACK} FROM callback INDEXED BY callback_failed WHERE state = 'failed' AND id < ?1 AND (?2 IS NULL OR account_id = ?2)"
    " AND (?3 = '' OR kind = ?3) ORDER BY id DESC LIMIT ?4"
)
CALLBACKS_OF_MESSAGE = f"SELECT {_CALLBACK} FROM callback WHERE message_id = ? ORDER BY id"

# -- accounts

_ACCOUNT = "id, (SELECT json_group_array(number) FROM inbound_number WHERE account_id = account.id), " + ", ".join(
    ACCOUNT_COLUMNS
)
INSERT_ACCOUNT = (
    f"INSERT INTO account ({', '.join(ACCOUNT_COLUMNS)}) VALUES ({', '.join('?' * len(ACCOUNT_COLUMNS))}) RETURNING id"
)
DROP_CREDENTIALS = "DELETE FROM credential WHERE account_id = ? AND dialect = ?"
DROP_INBOUND_NUMBERS = "DELETE FROM inbound_number WHERE account_id = ?"
INSERT_INBOUND_NUMBER = "INSERT INTO inbound_number (number, account_id) VALUES (?, ?)"
SET_CREDIT = "UPDATE balance SET credit_limit_micros = ? WHERE account_id = ? RETURNING balance_micros"
CREDIT = "SELECT credit_limit_micros FROM balance WHERE account_id = ?"
OPT_OUT = "INSERT OR IGNORE INTO opt_out (account_id, recipient, at_utc_ms) VALUES (?, ?, ?) RETURNING 1"
OPT_IN = "DELETE FROM opt_out WHERE account_id = ? AND recipient = ? RETURNING 1"
OPT_OUTS = "SELECT recipient FROM opt_out WHERE account_id = ? AND recipient > ? ORDER BY recipient LIMIT ?"
INSERT_CREDENTIAL = "INSERT INTO credential (account_id, dialect, public_id, secret_sha256) VALUES (?, ?, ?, ?)"
INSERT_BALANCE = "INSERT INTO balance (account_id, balance_micros) VALUES (?, 0)"
UPDATE_ACCOUNT = f"UPDATE account SET {', '.join(f'{column} = ?' for column in ACCOUNT_COLUMNS)} WHERE id = ?"
ACCOUNTS_SINCE = f"SELECT {_ACCOUNT} FROM account WHERE revision > ? ORDER BY revision"
ACCOUNTS = f"SELECT {_ACCOUNT} FROM account ORDER BY id"
ACCOUNT_BY_ID = f"SELECT {_ACCOUNT} FROM account WHERE id = ?"
ACCOUNT_BY_REF = f"SELECT {_ACCOUNT} FROM account WHERE ref = ?"
CREDENTIALS = "SELECT dialect, public_id, secret_sha256 FROM credential WHERE account_id = ? ORDER BY public_id"
BALANCE = "SELECT balance_micros FROM balance WHERE account_id = ?"
BALANCES = "SELECT account_id, balance_micros FROM balance"

# -- reading messages

_MESSAGE = (
    "SELECT message.id, message.account_id, dialect, sender, recipient, text, encoding, segments, price_micros, refunded, carrier_id, operator_id,"
    " operator_source, status, tries, registered_utc_ms, sent_utc_ms, done_utc_ms, expires_utc_ms, ref, detail, send_at_utc_ms, reference,"
    " callback_url, trace"
    " FROM message JOIN request ON request.id = message.request_id"
)
MESSAGE = f"{_MESSAGE} WHERE message.id = ?"
MESSAGES_OF = Bulk(f"{_MESSAGE} WHERE message.id IN ({{rows}})", "?")
# The newest below an id and from another on; NULL and '' match everything.
_WANTED = (
    "message.id < :below AND message.id >= :first AND (:status IS NULL OR message.status = :status)"
    " AND (:carrier_id IS NULL OR message.carrier_id = :carrier_id) AND (:recipient = '' OR message.recipient = :recipient)"
    " AND (:sender = '' OR request.sender = :sender)"
    " AND (:due_after IS NULL OR request.send_at_utc_ms > :due_after)"
    " AND (:due_until IS NULL OR request.send_at_utc_ms <= :due_until)"
)
MESSAGES = f"{_MESSAGE} WHERE {_WANTED} ORDER BY message.id DESC LIMIT :limit"
# Of one account: what is not listed yet, then the list.
UNLISTED_MESSAGES_OF_ACCOUNT = (
    f"{_MESSAGE} WHERE message.id > coalesce((SELECT next FROM sequence WHERE name = 'listed'), 0) AND message.account_id = :account_id"
    f" AND {_WANTED} ORDER BY message.id DESC LIMIT :limit"
)
LISTED_MESSAGES_OF_ACCOUNT = (
    f"{_MESSAGE.replace('FROM message', 'FROM account_message CROSS JOIN message ON message.id = account_message.message_id')}"
    " WHERE account_message.account_id = :account_id AND account_message.message_id < :below AND account_message.message_id >= :first"
    f" AND {_WANTED} ORDER BY account_message.message_id DESC LIMIT :limit"
)
MESSAGES_TRACED = f"{_MESSAGE} WHERE message.id >= ? AND message.id < ? AND trace = ? ORDER BY message.id"
# The first request from an id on, and when it was registered: ids and times grow together.
REQUEST_FROM = "SELECT id, registered_utc_ms FROM request WHERE id >= ? ORDER BY id LIMIT 1"
LAST_REQUEST = "SELECT coalesce(max(id), 0) FROM request"
INSERT_INBOUND = Bulk(
    "INSERT INTO inbound (carrier_id, account_id, sender, recipient, text, received_utc_ms) VALUES {rows}",
    "(?,?,?,?,?,?)",
)
INBOUND = (
    "SELECT id, carrier_id, account_id, sender, recipient, text, received_utc_ms FROM inbound"
    " WHERE id < ?1 AND (?2 IS NULL OR account_id = ?2) ORDER BY id DESC LIMIT ?3"
)
LISTED_UP_TO = "SELECT next FROM sequence WHERE name = 'listed'"
LIST_MESSAGES = "INSERT OR IGNORE INTO account_message SELECT account_id, id FROM message WHERE id > ?1 AND id <= ?2 ORDER BY account_id, id"
# The end of the next batch to list.
LIST_UNTIL = "SELECT max(id) FROM (SELECT id FROM message WHERE id > ? ORDER BY id LIMIT ?)"
SET_LISTED = "INSERT INTO sequence (name, next) VALUES ('listed', ?1) ON CONFLICT (name) DO UPDATE SET next = ?1"
EVENTS = "SELECT at_utc_ms, event, detail FROM event WHERE message_id = ? ORDER BY seq"

# -- handing over, reading; `status < 2` is how SQLite recognises the index of open messages

_SUBMISSION = "SELECT message.id, request_id, dialect, recipient, price_micros, message.carrier_id, operator_id, operator_source, {number}, tries, doubted FROM message"
# What the messages of a request have in common, once a request.
REQUESTS = Bulk(
    "SELECT id, account_id, sender, text, encoding, segments, registered_utc_ms, expires_utc_ms, send_at_utc_ms, reference, callback_url, trace"
    " FROM request WHERE id IN ({rows})",
    "?",
)
_FIRST_TRY = _SUBMISSION.format(number="message.id")
_NEXT_TRY = _SUBMISSION.format(number="retry.number")
MARK = "SELECT number, part FROM mark WHERE carrier_id = ?"
# Pending, at or below the mark, and not put aside since: sent or not, nobody knows. By the index of open messages.
IN_DOUBT = (
    f"{_FIRST_TRY} LEFT JOIN retry ON retry.message_id = message.id"
    " WHERE message.carrier_id = ? AND status < 2 AND status = 0 AND message.id <= ? AND retry.message_id IS NULL ORDER BY message.id"
)
IN_DOUBT_RETRIES = (
    f"{_NEXT_TRY} JOIN retry ON retry.message_id = message.id"
    " WHERE retry.carrier_id = ? AND retry.number <= ? AND status = 0 ORDER BY retry.number"
)
# What waits in the store, in order, from a number on: first tries by the index of open messages, further ones by
# `retry_queued`.
CLAIM_FIRST = (
    f"{_FIRST_TRY} WHERE message.carrier_id = ? AND status < 2 AND status = 0 AND message.id > ?"
    " AND NOT EXISTS (SELECT 1 FROM retry WHERE retry.message_id = message.id) ORDER BY message.id LIMIT ?"
)
CLAIM_RETRIES = (
    f"{_NEXT_TRY} JOIN retry ON retry.message_id = message.id"
    " WHERE retry.carrier_id = ? AND retry.number > ? AND status = 0 ORDER BY retry.number LIMIT ?"
)
COUNT_WAITING = (
    "SELECT count(*) FROM message WHERE carrier_id = ? AND status < 2 AND status = 0 AND id > ? AND id < ?"
    " AND NOT EXISTS (SELECT 1 FROM retry WHERE retry.message_id = message.id)"
)
COUNT_RETRIES = "SELECT count(*) FROM retry WHERE carrier_id = ? AND number > ? AND number < ?"
DUE_RETRIES = (
    f"{_SUBMISSION.format(number='0')} JOIN retry ON retry.message_id = message.id"
    " WHERE retry.carrier_id = ? AND retry.number IS NULL AND retry.due_utc_ms <= ? ORDER BY retry.due_utc_ms, retry.message_id LIMIT ?"
)
UNWANTED = Bulk(
    "WITH asked (id, account_id, recipient) AS (VALUES {rows}) SELECT asked.id FROM asked CROSS JOIN opt_out"
    " ON opt_out.account_id = asked.account_id AND opt_out.recipient = asked.recipient",
    "(?,?,?)",
)
# Of the next open messages of a carrier those whose time is over: by the index of open messages, as many as are looked
# at and not as many as are found. What is put aside has no number until it is due.
_LOOKED_AT = "SELECT id FROM message WHERE carrier_id = ?1 AND status < 2 AND id > ?2 ORDER BY id LIMIT ?3"
LOOKED_TO = f"SELECT max(id), count(*) FROM ({_LOOKED_AT})"
LAPSED = (
    f"{_SUBMISSION.format(number='CASE WHEN retry.message_id IS NULL THEN message.id ELSE coalesce(retry.number, 0) END')}"
    " JOIN request ON request.id = message.request_id LEFT JOIN retry ON retry.message_id = message.id"
    f" WHERE message.id IN ({_LOOKED_AT}) AND message.status = 0 AND request.expires_utc_ms <= ?4 ORDER BY message.id"
)
SILENT = (
    "SELECT message.id FROM message JOIN request ON request.id = message.request_id"
    f" WHERE message.id IN ({_LOOKED_AT}) AND message.status = 1 AND request.expires_utc_ms <= ?4 ORDER BY message.id"
)
# Sent, wholly or in part, and no final receipt: by the index of open messages, from an id on.
AWAITING_RECEIPT = (
    "SELECT message.id, sent_utc_ms, ref, sender FROM message JOIN request ON request.id = message.request_id"
    " WHERE carrier_id = ? AND status < 2 AND message.id > ?"
    " AND (status = 1 OR EXISTS (SELECT 1 FROM part WHERE part.message_id = message.id)) ORDER BY message.id LIMIT ?"
)

CARRIER_ID = "SELECT id FROM carrier WHERE name = ?"
CARRIERS = "SELECT id, name FROM carrier ORDER BY id"
INSERT_CARRIER = "INSERT INTO carrier (name) VALUES (?) RETURNING id"
STORED_CARRIERS = "SELECT id, name, settings, stopped, state, detail, since_utc_ms FROM carrier ORDER BY id"
CARRIER_SETTINGS = "SELECT settings FROM carrier WHERE name = ?"
SET_CARRIER = "UPDATE carrier SET settings = ?2 WHERE name = ?1 RETURNING id"
HOLD_CARRIER = "UPDATE carrier SET stopped = ?2 WHERE name = ?1"
SET_CARRIER_STATE = "UPDATE carrier SET state = ?2, detail = ?3, since_utc_ms = ?4 WHERE id = ?1"
DEFAULT_CARRIER = "SELECT value FROM meta WHERE name = 'default carrier'"
SET_DEFAULT_CARRIER = "INSERT OR REPLACE INTO meta (name, value) VALUES ('default carrier', ?)"
DROP_DEFAULT_CARRIER = "DELETE FROM meta WHERE name = 'default carrier'"

# -- auditing: plain reads, decided elsewhere

POSTINGS = "SELECT id, account_id, kind, amount_micros, request_id, message_id, at_utc_ms FROM posting WHERE id > ? ORDER BY id LIMIT ?"
PAID_MESSAGES = (
    "SELECT id, request_id, account_id, price_micros, refunded FROM message WHERE id > ? ORDER BY id LIMIT ?"
)

# -- the installation

FINGERPRINT = "SELECT value FROM meta WHERE name = 'keys'"
KEEP_FINGERPRINT = "INSERT INTO meta VALUES ('keys', ?) ON CONFLICT DO NOTHING"
