-- Carriers that are set up while the server runs, and how each one stands for those who look from outside.
ALTER TABLE carrier ADD COLUMN settings BLOB NOT NULL DEFAULT x'';       -- sealed; empty: the settings file's, or gone
ALTER TABLE carrier ADD COLUMN stopped INTEGER NOT NULL DEFAULT 0;       -- by command
ALTER TABLE carrier ADD COLUMN state TEXT NOT NULL DEFAULT '';           -- carriers.interface.CarrierState
ALTER TABLE carrier ADD COLUMN detail TEXT NOT NULL DEFAULT '';
ALTER TABLE carrier ADD COLUMN since_utc_ms INTEGER NOT NULL DEFAULT 0;

-- How many parts the message went in, which is not always how many are billed; 0: as many as are billed.
ALTER TABLE part ADD COLUMN parts INTEGER NOT NULL DEFAULT 0;

-- Receipts that match no message: early ones, until their part's answer comes, and those that never will.
CREATE TABLE stray (
  id          INTEGER PRIMARY KEY,
  carrier_id  INTEGER NOT NULL,
  ref         TEXT NOT NULL,
  state       INTEGER NOT NULL,            -- delivery.ReceiptState
  at_utc_ms   INTEGER NOT NULL,
  operator_id INTEGER NOT NULL,            -- 0: not told
  error       TEXT NOT NULL,               -- the carrier's own
  UNIQUE (carrier_id, ref)
) STRICT;
CREATE INDEX stray_by_time ON stray (at_utc_ms);
