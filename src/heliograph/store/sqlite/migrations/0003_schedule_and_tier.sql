-- What 747 SMS lets a caller say of a message, and how often an account may call it.
ALTER TABLE account ADD COLUMN tier TEXT NOT NULL DEFAULT 'standard';

ALTER TABLE request ADD COLUMN send_at_utc_ms INTEGER NOT NULL DEFAULT 0; -- 0: at once
ALTER TABLE request ADD COLUMN reference TEXT;                            -- the caller's own, echoed
ALTER TABLE request ADD COLUMN callback_url TEXT NOT NULL DEFAULT '';     -- '': the account's
ALTER TABLE request ADD COLUMN trace TEXT NOT NULL DEFAULT '';            -- the request id, which begins with the time

-- Requests that were refused, for a while: what `heliograph explain` tells of them.
CREATE TABLE failure (
  trace      TEXT PRIMARY KEY,
  at_utc_ms  INTEGER NOT NULL,
  account_id INTEGER NOT NULL,   -- 0: nobody knows
  method     TEXT NOT NULL,
  route      TEXT NOT NULL,
  status     INTEGER NOT NULL,
  code       TEXT NOT NULL,      -- of the registry
  detail     TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX failure_by_time ON failure (at_utc_ms);
CREATE INDEX failure_by_account ON failure (account_id, at_utc_ms);
