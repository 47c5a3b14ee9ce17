"""One verb a file: load, decide (in `messaging`), save. Owns the transactions."""
