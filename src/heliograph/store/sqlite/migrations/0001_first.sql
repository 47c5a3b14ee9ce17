-- Ids of messages come from one sequence, leased in blocks; tables that grow with traffic are appended to in its order.

CREATE TABLE sequence (
  name TEXT PRIMARY KEY,
  next INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO sequence VALUES ('message', 1), ('revision', 1);

CREATE TABLE account (
  id                INTEGER PRIMARY KEY,
  ref               TEXT NOT NULL UNIQUE,
  name              TEXT NOT NULL,
  email             TEXT NOT NULL,
  status            TEXT NOT NULL,
  senders           TEXT,             -- JSON array; NULL: any
  default_sender    TEXT NOT NULL,
  price_list        TEXT NOT NULL,
  numbers           TEXT NOT NULL,    -- number policy
  carrier           TEXT NOT NULL,    -- '': the default route
  validity_seconds  INTEGER NOT NULL,
  dlr_url           TEXT NOT NULL,
  mo_url            TEXT NOT NULL,
  token_epoch       INTEGER NOT NULL,
  secret_generation INTEGER NOT NULL,
  created_utc_ms    INTEGER NOT NULL,
  revision          INTEGER NOT NULL
) STRICT;
CREATE INDEX account_by_revision ON account (revision);

CREATE TABLE credential (
  public_id     TEXT PRIMARY KEY,
  account_id    INTEGER NOT NULL REFERENCES account,
  dialect       INTEGER NOT NULL,
  secret_sha256 BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX credential_by_account ON credential (account_id);

-- Apart from `account`, because it is written with every group commit: the smaller the row, the fewer pages.
CREATE TABLE balance (
  account_id          INTEGER PRIMARY KEY REFERENCES account,
  balance_micros      INTEGER NOT NULL,
  credit_limit_micros INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE posting (
  id            INTEGER PRIMARY KEY,
  account_id    INTEGER NOT NULL,
  kind          INTEGER NOT NULL,     -- ledger.PostingKind
  amount_micros INTEGER NOT NULL,
  request_id    INTEGER NOT NULL DEFAULT 0,
  message_id    INTEGER NOT NULL DEFAULT 0,
  at_utc_ms     INTEGER NOT NULL,
  note          TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE TABLE request (
  id                INTEGER PRIMARY KEY, -- of its first message
  account_id        INTEGER NOT NULL,
  sender            TEXT NOT NULL,
  text              TEXT NOT NULL,
  encoding          INTEGER NOT NULL,    -- data_coding
  segments          INTEGER NOT NULL,
  registered_utc_ms INTEGER NOT NULL,
  expires_utc_ms    INTEGER NOT NULL
) STRICT;

-- The hot table. Appended to by id; its only index holds the messages that are open, in the same order, so it is written at its end too.
CREATE TABLE message (
  id              INTEGER PRIMARY KEY,
  request_id      INTEGER NOT NULL,
  account_id      INTEGER NOT NULL,
  carrier_id      INTEGER NOT NULL,
  dialect         INTEGER NOT NULL,      -- of the call that sent it
  status          INTEGER NOT NULL,      -- submissions.Status
  recipient       TEXT NOT NULL,         -- E.164 digits
  price_micros    INTEGER NOT NULL,
  operator_id     INTEGER NOT NULL,
  operator_source INTEGER NOT NULL,
  tries           INTEGER NOT NULL DEFAULT 0,
  doubted         INTEGER NOT NULL DEFAULT 0, -- a try was never answered: it may have arrived
  refunded        INTEGER NOT NULL DEFAULT 0,
  sent_utc_ms     INTEGER NOT NULL DEFAULT 0,
  done_utc_ms     INTEGER NOT NULL DEFAULT 0,
  ref             TEXT NOT NULL DEFAULT '', -- the carrier's id, where there is one part
  detail          TEXT NOT NULL DEFAULT ''  -- why it ended so
) STRICT;
CREATE INDEX message_open ON message (carrier_id, id) WHERE status < 2;

-- What customers list: filled behind the hot path, in batches.
CREATE TABLE account_message (
  account_id INTEGER NOT NULL,
  message_id INTEGER NOT NULL,
  PRIMARY KEY (account_id, message_id)
) STRICT, WITHOUT ROWID;

-- Parts of messages that have more than one.
CREATE TABLE part (
  message_id INTEGER NOT NULL,
  part       INTEGER NOT NULL,
  ref        TEXT NOT NULL,
  state      INTEGER,                    -- delivery.ReceiptState
  PRIMARY KEY (message_id, part)
) STRICT, WITHOUT ROWID;

-- Messages that wait for another try; `number` once they are due and queued again.
CREATE TABLE retry (
  message_id INTEGER PRIMARY KEY,
  carrier_id INTEGER NOT NULL,
  due_utc_ms INTEGER NOT NULL,
  number     INTEGER
) STRICT;
CREATE INDEX retry_due ON retry (due_utc_ms) WHERE number IS NULL;
CREATE INDEX retry_queued ON retry (carrier_id, number) WHERE number IS NOT NULL;

-- One row a carrier: hand-overs up to this number and part may be on the wire.
CREATE TABLE mark (
  carrier_id INTEGER PRIMARY KEY,
  number     INTEGER NOT NULL,
  part       INTEGER NOT NULL
) STRICT;

CREATE TABLE carrier (
  id   INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE
) STRICT;

-- The carrier's ids of parts whose receipt has not come, in runs sorted by ref: appended, never inserted between.
CREATE TABLE ref (
  carrier_id INTEGER NOT NULL,
  run        INTEGER NOT NULL,
  ref        TEXT NOT NULL,
  message_id INTEGER NOT NULL,
  part       INTEGER NOT NULL,
  PRIMARY KEY (carrier_id, run, ref)
) STRICT, WITHOUT ROWID;

CREATE TABLE event (
  message_id INTEGER NOT NULL,
  seq        INTEGER NOT NULL,
  at_utc_ms  INTEGER NOT NULL,
  event      TEXT NOT NULL,
  detail     TEXT NOT NULL,
  PRIMARY KEY (message_id, seq)
) STRICT, WITHOUT ROWID;

CREATE TABLE callback (
  id             INTEGER PRIMARY KEY,
  account_id     INTEGER NOT NULL,
  message_id     INTEGER NOT NULL,
  kind           TEXT NOT NULL,          -- 'dlr' or 'mo'
  url            TEXT NOT NULL,          -- '': the account's at each attempt
  body           BLOB NOT NULL,
  state          TEXT NOT NULL,          -- pending, acknowledged, failed, cancelled
  attempt        INTEGER NOT NULL,       -- begun
  created_utc_ms INTEGER NOT NULL,
  next_utc_ms    INTEGER NOT NULL,
  last_result    TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX callback_due ON callback (next_utc_ms) WHERE state = 'pending';
CREATE INDEX callback_by_message ON callback (message_id);
