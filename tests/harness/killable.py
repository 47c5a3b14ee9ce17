"""`heliograph` with a trap in its store, which goes off around the commit of accepted messages.

    TRAP=inside|after|refused|unknown|slow TRAP_AT=N python tests/harness/killable.py demo …

In the Nth group of acceptances, and for `refused`, `unknown` and `slow` in that one alone:

inside   SQLite is committing, the rows are written, the transaction is not: the process kills itself (SIGKILL)
after    the commit is on disk, none of its callers has been answered: the process kills itself (SIGKILL)
refused  the store takes nothing of the group
unknown  the commit is on disk, and the store cannot tell whether it is
slow     the commit takes twelve seconds, longer than a repeat with the same key waits
"""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import apsw

from heliograph.cli.main import main
from heliograph.store.interface import Accept, Unavailable, Uncertain
from heliograph.store.sqlite.engine import SqliteStore

TRAP = os.environ["TRAP"]
AT = int(os.environ["TRAP_AT"])

seen = 0
commit = SqliteStore.commit


def die() -> bool:
    os.kill(os.getpid(), signal.SIGKILL)
    return True


def trapped(connection: apsw.Connection, writes: Any, ops: list[Any]) -> list[Any]:
    global seen
    accepting = any(type(op) is Accept for op in ops)
    seen += accepting
    now = accepting and seen == AT
    if now and TRAP == "refused":
        raise Unavailable("a trap of the test")
    if now and TRAP == "slow":
        time.sleep(12)
    if now and TRAP == "inside":
        connection.set_commit_hook(die)  # called by SQLite in the midst of COMMIT
    results = commit(connection, writes, ops)
    if now and TRAP == "after":
        die()
    if now and TRAP == "unknown":
        raise Uncertain("a trap of the test")
    return results


if __name__ == "__main__":
    SqliteStore.commit = staticmethod(trapped)  # type: ignore[method-assign]
    main()
