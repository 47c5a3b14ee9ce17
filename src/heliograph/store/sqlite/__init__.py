"""The embedded engine: one file, one writer."""

from heliograph.store.sqlite.engine import SqliteStore

__all__ = ["SqliteStore"]
