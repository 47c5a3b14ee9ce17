-- What an account may do besides: all columns have the value that they stand for when nobody said anything.
ALTER TABLE account ADD COLUMN sending INTEGER NOT NULL DEFAULT 1;
ALTER TABLE account ADD COLUMN per_minute INTEGER NOT NULL DEFAULT 0; -- 0: no limit
ALTER TABLE account ADD COLUMN countries TEXT;                        -- JSON array of ISO 3166-1 codes; NULL: all
ALTER TABLE account ADD COLUMN networks TEXT NOT NULL DEFAULT '[]';   -- JSON array of CIDR; empty: any caller
ALTER TABLE account ADD COLUMN intermediate INTEGER NOT NULL DEFAULT 0;

-- Whose the messages to a number or short code are.
CREATE TABLE inbound_number (
  number     TEXT PRIMARY KEY,     -- digits
  account_id INTEGER NOT NULL REFERENCES account
) STRICT, WITHOUT ROWID;
CREATE INDEX inbound_number_by_account ON inbound_number (account_id);

-- Facts about the installation: `keys`, the fingerprint of the keys that the data were made with.
CREATE TABLE meta (
  name  TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Messages from phones.
CREATE TABLE inbound (
  id              INTEGER PRIMARY KEY,
  carrier_id      INTEGER NOT NULL,
  account_id      INTEGER NOT NULL,  -- 0: the number is nobody's
  sender          TEXT NOT NULL,     -- who wrote: digits
  recipient       TEXT NOT NULL,     -- our number or short code
  text            TEXT NOT NULL,
  received_utc_ms INTEGER NOT NULL
) STRICT;

-- Recipients that want nothing more from an account.
CREATE TABLE opt_out (
  account_id INTEGER NOT NULL,
  recipient  TEXT NOT NULL,          -- E.164 digits
  at_utc_ms  INTEGER NOT NULL,
  PRIMARY KEY (account_id, recipient)
) STRICT, WITHOUT ROWID;

-- Answers to requests that came with an Idempotency-Key.
CREATE TABLE answered (
  account_id    INTEGER NOT NULL,
  route         TEXT NOT NULL,
  key           TEXT NOT NULL,
  body_sha256   BLOB NOT NULL,
  answer        BLOB NOT NULL,
  answered_utc_ms INTEGER NOT NULL,
  PRIMARY KEY (account_id, route, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX answered_by_age ON answered (answered_utc_ms);

CREATE INDEX callback_failed ON callback (id) WHERE state = 'failed';

-- By carrier, so that what is due for one that is no longer configured keeps nothing else waiting.
DROP INDEX retry_due;
CREATE INDEX retry_due ON retry (carrier_id, due_utc_ms) WHERE number IS NULL;
