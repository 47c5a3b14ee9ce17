"""What is to be thought of what `heliograph doctor` found: facts in, findings with a remedy out. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum
from pathlib import PurePath

import msgspec

from heliograph.cli.words import count, show_duration, show_instant, show_size, year
from heliograph.kit.keys import FILE
from heliograph.messaging.pricing import exact
from heliograph.store.maintenance import AccountLinks, Debtor, Schema, Size


class Verdict(StrEnum):
    """How bad it is: nothing to do, worth a look, or in the way."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


class Finding(msgspec.Struct, frozen=True):
    """What one check found, and what to do unless it is ok."""

    check: str
    verdict: Verdict
    found: str
    remedy: str = ""


def ok(check: str, found: str) -> Finding:
    """Nothing to do."""
    return Finding(check, Verdict.OK, found)


def warning(check: str, found: str, remedy: str) -> Finding:
    """Worth a look."""
    return Finding(check, Verdict.WARNING, found, remedy)


def problem(check: str, found: str, remedy: str) -> Finding:
    """In the way."""
    return Finding(check, Verdict.PROBLEM, found, remedy)


# -- the data folder's disk

LITTLE_BYTES = 2 << 30
TOO_LITTLE_BYTES = 256 << 20
SLOW_FLUSH_MS = 25.0
LONG_LOG_BYTES = 1 << 30

_NETWORK_TEXT = """
9p afs beegfs ceph cifs coda davfs gfs gfs2 glusterfs gpfs lustre ncpfs nfs nfs4 ocfs2 orangefs smb smb2 smb3 smbfs
drvfs prl_fs vboxsf virtiofs vmhgfs
"""
_NETWORK = frozenset(_NETWORK_TEXT.split())  # the second line: of the machine that a virtual one runs on
_FORGETFUL = {
    "overlay": "when its container goes",
    "ramfs": "when the machine restarts",
    "tmpfs": "when the machine restarts",
}


class DiskFacts(msgspec.Struct, frozen=True):
    """Where the data are. `flush_ms` is None, and `unwritable` says why, when nothing can be written there."""

    folder: str
    free_bytes: int
    file_system: str  # its type, as the kernel calls it; "" where nobody says
    flush_ms: float | None
    unwritable: str = ""


def disk(facts: DiskFacts) -> Iterator[Finding]:
    """Room, kind and speed."""
    free, kind = show_size(facts.free_bytes), facts.file_system
    if facts.flush_ms is None:
        yield problem(
            "disk",
            f"{facts.folder} cannot be written: {facts.unwritable}",
            "let the user who runs the server write there",
        )
    elif facts.flush_ms > SLOW_FLUSH_MS:
        yield warning(
            "disk",
            f"a flush takes {facts.flush_ms:.0f} ms, and every answer to a send waits for one",
            "move the data to a faster disk (SSD), or find out what else keeps this one busy",
        )
    if kind in _NETWORK or kind.startswith("fuse"):
        yield problem(
            "disk",
            f"{facts.folder} is on {kind}, a file system of another machine or program: locks and flushes may not hold",
            "move the data folder to a local disk (ext4, xfs)",
        )
    elif kind in _FORGETFUL:
        yield warning(
            "disk",
            f"{facts.folder} is on {kind}, which goes {_FORGETFUL[kind]}",
            "keep the data on a disk (in a container: on a volume)",
        )
    if facts.free_bytes < TOO_LITTLE_BYTES:
        yield problem("disk", f"only {free} free: when nothing is, sends get 503", "make room")
    elif facts.free_bytes < LITTLE_BYTES:
        yield warning("disk", f"only {free} free", "make room before the disk is full: then sends get 503")
    else:
        flush = "" if facts.flush_ms is None else f", a flush takes {facts.flush_ms:.1f} ms"
        yield ok("disk", f"{free} free{f' on {kind}' if kind else ''}{flush}")


# -- the clock

FIRST_YEAR, LAST_YEAR = 2026, 2099
BACKWARD_MS, FAR_BACKWARD_MS = 2_000, 60_000


class ClockFacts(msgspec.Struct, frozen=True):
    """The machine's time, the newest that is stored (0: none), and whether it is synchronised (None: nobody says)."""

    now_utc_ms: int
    newest_utc_ms: int
    synchronised: bool | None


def clock(facts: ClockFacts) -> Iterator[Finding]:
    """Whether times that are written now will be right."""
    remedy = "turn on time synchronisation (chrony, systemd-timesyncd)"
    now, back = show_instant(facts.now_utc_ms), facts.newest_utc_ms - facts.now_utc_ms
    if not FIRST_YEAR <= year(facts.now_utc_ms) <= LAST_YEAR:
        yield problem("clock", f"it is set to {now}, which cannot be", f"set it, and {remedy}")
    elif back > BACKWARD_MS:
        judged = problem if back > FAR_BACKWARD_MS else warning
        yield judged(
            "clock",
            f"it says {now}, {show_duration(back)} before the newest that is stored: it went back, or was ahead",
            f"set it right and {remedy}; until it has caught up, validity and callbacks are late by as much",
        )
    elif facts.synchronised is False:
        yield warning("clock", f"it says {now}, and nothing synchronises it", remedy)
    else:
        yield ok("clock", f"{now}{', synchronised' if facts.synchronised else ''}")


# -- keys and permissions


class FileFacts(msgspec.Struct, frozen=True):
    """A file or folder: who owns it, and its mode (permissions only)."""

    path: str
    owner: str
    mode: int


class PermissionFacts(msgspec.Struct, frozen=True):
    """The data folder, what is secret in it, and who asks."""

    folder: FileFacts
    files: list[FileFacts]
    user: str
    is_root: bool


def keys(path: str, trouble: str, *, database: bool) -> Finding:
    """`trouble` says why the keys cannot be used, "" when they can; `database` whether there are data to fit them."""
    if trouble:
        what, _, remedy = trouble.partition("; ")
        return problem("keys", what, remedy or f"let the user who runs the server read {path}")
    return ok("keys", "present and well-formed" + ("" if database else "; there is no database yet"))


def permissions(facts: PermissionFacts) -> list[Finding]:
    """Whether the server's user, and nobody else, can get at the data."""
    if found := list(_wrong_permissions(facts)):
        return found
    if any(file.mode & 0o077 for file in facts.files):
        return []  # the keys, of which their own check tells
    return [ok("permissions", f"only {facts.folder.owner} has access")]


def _wrong_permissions(facts: PermissionFacts) -> Iterator[Finding]:
    folder = facts.folder
    if facts.user != folder.owner and not facts.is_root:
        yield problem(
            "permissions",
            f"{folder.path} belongs to {folder.owner}, and this is {facts.user}",
            f"run the server and its commands as {folder.owner}",
        )
    foreign = [file for file in facts.files if file.owner != folder.owner != "root"]
    if foreign:
        yield problem(
            "permissions",
            f"{_names(foreign)} belong{'s' * (len(foreign) == 1)} to {foreign[0].owner}, the folder to {folder.owner}:"
            f" a server run by {folder.owner} cannot use it",
            f"chown {folder.owner} {' '.join(file.path for file in foreign)}",
        )
    besides_keys = [file for file in facts.files if PurePath(file.path).name != FILE]
    for mode, open_ in ((0o700, [folder]), (0o600, besides_keys)):
        loose = [file for file in open_ if file.mode & 0o077]
        if loose:
            yield warning(
                "permissions",
                f"other users have access to {_names(loose)} (mode {loose[0].mode:03o})",
                f"chmod {mode:o} {' '.join(file.path for file in loose)}",
            )


def _names(files: Iterable[FileFacts]) -> str:
    return ", ".join(file.path for file in files)


# -- the database


def schema(facts: Schema, folder: str) -> Finding:
    """Whether this program and the data fit."""
    if facts.found > facts.newest:
        return problem(
            "schema",
            f"the data have schema {facts.found}, this program knows {facts.newest}",
            "run the version of Heliograph that wrote them or a later one",
        )
    if facts.found < facts.newest:
        return warning(
            "schema",
            f"the data have schema {facts.found}; a server of this version first brings them to {facts.newest}",
            f"make a backup first: heliograph db backup DEST --data {folder}",
        )
    return ok("schema", f"{facts.found}, this program's")


def database(size: Size, damage: list[str], *, read_through: bool) -> Finding:
    """Whether the file is sound."""
    if damage:
        return damaged(damage[0])
    long = f"{show_size(size.database_bytes)} and a log of {show_size(size.log_bytes)}"
    if size.log_bytes > LONG_LOG_BYTES:
        return warning(
            "database",
            f"{long}: something reads one moment of the data for long, so that the log cannot begin anew",
            "end the command or program that has the database open; the log is used again then",
        )
    looked = "read through" if read_through else "too large to be read through here (`heliograph db backup` does)"
    return ok("database", f"{long}, {looked}")


def lost(trouble: str) -> Finding:
    """A database that was there and is not; `trouble` says so, and the remedy."""
    what, _, remedy = trouble.partition("; ")
    return problem("database", what, remedy)


def damaged(what: str) -> Finding:
    """A database that cannot be read, or not all of it."""
    return problem(
        "database",
        f"it is damaged: {what}",
        "stop the server, keep a copy of the folder, and serve the newest backup instead",
    )


def ledger(debtors: list[Debtor], gap_micros: int | None) -> Iterator[Finding]:
    """What can be said of the books without an audit."""
    if gap_micros:
        yield problem(
            "ledger",
            f"balances and postings differ by {exact(gap_micros)} in all",
            "`heliograph audit` names the accounts",
        )
    if debtors:
        first = debtors[0]
        yield warning(
            "ledger",
            f"{count(len(debtors), 'account')} below what credit allows; the first is {first.ref},"
            f" balance {exact(first.balance_micros)}, credit {exact(first.credit_limit_micros)}",
            f"heliograph account topup {first.ref} AMOUNT; if nobody lowered its credit: heliograph audit",
        )
    if not gap_micros and not debtors:
        added = "" if gap_micros is None else "; balances come to what was posted"
        yield ok("ledger", f"no account is below its credit{added}")


# -- the server


class ServerFacts(msgspec.Struct, frozen=True):
    """Who serves the folder (`pid` "" for nobody, None for who may not know), and what it answers at its last URL."""

    pid: str | None
    url: str
    status: int | None = None  # None: no answer
    problems: tuple[str, ...] = ()  # why it is not ready, or why there was no answer


def server(facts: ServerFacts, folder: str) -> Finding:
    """Whether it runs and serves."""
    who = f"process {facts.pid} serves {folder}"
    if facts.pid is None:
        return warning("server", f"whether one serves {folder}, this user may not see", "run this as the server's user")
    if not facts.pid:
        return warning("server", f"none serves {folder}", f"heliograph serve --data {folder}")
    if not facts.url:
        return warning("server", f"{who}; where is not known yet", "ask again in a moment")
    if facts.status == 200:
        return ok("server", f"{who} at {facts.url}, and is ready")
    why = "; ".join(facts.problems)
    if facts.status is None:
        return problem("server", f"{who}, and gives no answer at {facts.url} ({why})", "look at its log")
    return problem(
        "server",
        f"{who} at {facts.url}, and is not ready: {why or facts.status}",
        "look at its log; it may be starting",
    )


# -- callbacks

LATE_CALLBACK_MS = 10 * 60_000
Refusal = Callable[[str], str]


def callbacks(
    accounts: list[AccountLinks],
    failed: dict[str, int],
    overdue: tuple[int, str],
    refusal: Refusal,
    *,
    now_utc_ms: int,
    settings_given: bool,
) -> Iterator[Finding]:
    """Whether customers hear of their messages. `overdue` is when the longest pending one was due (0: none), and whose
    it is; `refusal` says why a URL is not called, "" when it is. Unless `settings_given`, the server may allow more.
    """
    trouble = [*_uncalled(accounts, refusal, given=settings_given), *_failed(failed), *_late(*overdue, now_utc_ms)]
    yield from trouble or [ok("callbacks", "none failed in the last 24 h, none is late")]


def _uncalled(accounts: list[AccountLinks], refusal: Refusal, *, given: bool) -> Iterator[Finding]:
    for account in accounts:
        for kind, url in (("DLR", account.dlr_url), ("MO", account.mo_url)):
            reason = refusal(url) if url else ""
            found = f"the {kind} URL of {account.ref}, {url}, is not called: {reason}"
            command = f"heliograph account callbacks {account.ref} --{kind.lower()}-url URL"
            if reason and given:
                yield problem("callbacks", found, f"allow its network in callbacks.allow_networks, or: {command}")
            elif reason:
                yield warning(
                    "callbacks",
                    found,
                    f"if the server's settings allow it, name them with --config FILE; else: {command}",
                )


def _failed(failed: dict[str, int]) -> Iterator[Finding]:
    for ref, times in failed.items():
        yield warning(
            "callbacks",
            f"{count(times, 'callback')} of {ref} failed for good in the last 24 h",
            f"heliograph callback list --account {ref} --state failed says what was answered; when that is mended:"
            f" heliograph callback replay --failed --account {ref}",
        )


def _late(due_utc_ms: int, ref: str, now_utc_ms: int) -> Iterator[Finding]:
    if due_utc_ms and now_utc_ms - due_utc_ms > LATE_CALLBACK_MS:
        yield warning(
            "callbacks",
            f"one of {ref} should have been called back {show_duration(now_utc_ms - due_utc_ms)} ago",
            "if a server runs, the customer's is too slow for what is to be told; else start one",
        )


def list_of(refs: list[str]) -> str:
    shown = ", ".join(refs[:3])
    more = f" and {len(refs) - 3:,} more" if len(refs) > 3 else ""
    return f"{shown}{more} {'is' if len(refs) == 1 else 'are'}"
