"""What `heliograph doctor` looks at on this machine. It changes nothing, and whatever it cannot see is a fact too."""

from __future__ import annotations

import ctypes
import fcntl
import http.client
import os
import pwd
import shutil
import ssl
import statistics
import tempfile
import time
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from heliograph.cli.common import served_url
from heliograph.cli.diagnosis import DiskFacts, FileFacts, PermissionFacts, ServerFacts
from heliograph.config import Settings
from heliograph.kit.keys import DATABASE, FILE, MARK, KeysError, foreign_keys, has_database, load_or_create
from heliograph.store.interface import StoreError
from heliograph.webhooks.guard import Guard, check_url, parse_networks

LOCK = "heliograph.lock"
_SECRET = (FILE, DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm")
_FLUSHES = 5
_ANSWER_SECONDS = 3.0
_TIME_ERROR = 5  # what adjtimex(2) returns while nothing synchronises the clock
_TIMEX_BYTES = 512  # more than a struct timex on any machine


def disk(folder: Path) -> DiskFacts:
    """A folder's disk. Writing is tried with a file that has no name."""
    free, kind = shutil.disk_usage(folder).free, file_system(folder.resolve(), _mounts())
    try:
        return DiskFacts(str(folder), free, kind, _flush_ms(folder))
    except OSError as error:
        return DiskFacts(str(folder), free, kind, None, error.strerror or str(error))


def _flush_ms(folder: Path) -> float:
    took = []
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        for _ in range(_FLUSHES):
            file.write(bytes(4096))
            begun = time.perf_counter()
            os.fsync(file.fileno())
            took.append(time.perf_counter() - begun)
    return statistics.median(took) * 1000


def file_system(path: Path, mounts: str) -> str:
    """The type of the file system that holds a path, by the text of /proc/mounts; "" when it does not say."""
    found, depth = "", -1
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = Path(fields[1].replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\"))
        if path.is_relative_to(point) and len(point.parts) >= depth:  # of two at one point the later one counts
            found, depth = fields[2], len(point.parts)
    return found


def _mounts() -> str:
    try:
        return Path("/proc/mounts").read_text(errors="replace")
    except OSError:
        return ""


def clock_is_synchronised() -> bool | None:
    """What the kernel says of its clock; None when it does not."""
    try:
        answer = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))  # all zero: only asks
    except (AttributeError, OSError):
        return None
    return None if answer < 0 else answer != _TIME_ERROR


def permissions(folder: Path) -> PermissionFacts:
    """Of a data folder and what is secret in it."""
    files = [_file(folder / name) for name in _SECRET if (folder / name).exists()]
    return PermissionFacts(_file(folder), files, _user_name(os.geteuid()), os.geteuid() == 0)


def _file(path: Path) -> FileFacts:
    status = path.stat()
    return FileFacts(str(path), _user_name(status.st_uid), status.st_mode & 0o777)


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def out_of_reach(folder: Path) -> tuple[str, str]:
    """Why a data folder cannot be looked into, and what to do; ("", "") when it can."""
    user = _user_name(os.geteuid())
    try:
        there = folder.exists()
    except PermissionError:
        return f"{folder} is out of reach for {user}", "run this as the user who runs the server"
    if not there:
        return f"{folder} does not exist", "name the server's with --data; a server makes a new one when it starts"
    if not folder.is_dir():
        return f"{folder} is not a folder", "name another with --data"
    if not os.access(folder, os.R_OK | os.X_OK):
        owner = _user_name(folder.stat().st_uid)
        return f"{folder} belongs to {owner} and cannot be read by {user}", f"run this as {owner}"
    if not any((folder / name).exists() for name in (FILE, MARK)) and not has_database(folder):
        return f"{folder} holds no Heliograph data", "name the server's with --data; a server makes them when it starts"
    return "", ""


def unreadable(folder: Path) -> str:
    """The database's path when this user may not read it; "" when it may."""
    database = folder / DATABASE
    return "" if os.access(database, os.R_OK) else str(database)


def keys_trouble(folder: Path) -> str:
    """Why the keys cannot be used; "" when they can."""
    from heliograph.app import maintenance

    try:
        keys = load_or_create(folder)  # creates none: the folder has a file, a database or the mark of one
        known = maintenance(folder).fingerprint() if has_database(folder) else ""
    except (KeysError, OSError) as error:
        return f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else str(error)
    except StoreError:  # what is wrong with the database is told elsewhere
        return ""
    return "" if known in ("", keys.fingerprint()) else foreign_keys(folder)


def server(folder: Path) -> ServerFacts:
    """Who serves a folder, and whether it is ready."""
    pid = lock_holder(folder / LOCK)
    try:
        url = served_url(folder)
    except (OSError, UnicodeDecodeError):
        url = ""
    return _ask(ServerFacts(pid, url)) if pid and url else ServerFacts(pid, url)


def lock_holder(path: Path) -> str | None:
    """The process that holds a lock file, as it wrote it there; "" when none does, None when that is not to be seen."""
    try:
        with path.open(errors="replace") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # let go again with the file
            except BlockingIOError:
                return file.read(20).strip() or "unknown"
    except FileNotFoundError:
        return ""
    except OSError:
        return None
    return ""


class _Readiness(msgspec.Struct):
    problems: tuple[str, ...] = ()


def _ask(facts: ServerFacts) -> ServerFacts:
    parts = urlsplit(facts.url)
    try:
        connection = _connection(parts.scheme, parts.hostname or "", parts.port)
        try:
            connection.request("GET", "/readyz")
            answer = connection.getresponse()
            status, body = answer.status, answer.read(65_536)
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        return msgspec.structs.replace(facts, problems=(str(error) or type(error).__name__,))
    try:
        problems = msgspec.json.decode(body, type=_Readiness).problems
    except msgspec.MsgspecError:
        problems = ()
    return msgspec.structs.replace(facts, status=status, problems=problems)


def _connection(scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
    if scheme != "https":
        return http.client.HTTPConnection(host, port, timeout=_ANSWER_SECONDS)
    context = ssl.create_default_context()
    context.check_hostname = False  # whether it is ready is asked on this machine, and whoever answers learns nothing
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=_ANSWER_SECONDS, context=context)


class CallbackUrls:
    """Which URLs a server with these settings calls, as far as that is known without asking for names."""

    def __init__(self, settings: Settings, also: tuple[str, ...] = ()) -> None:
        self._guard = Guard(parse_networks((*settings.callbacks.allow_networks, *also)))

    def refusal(self, url: str) -> str:
        """Why it is not called; "" when it is, or is a name that may lead anywhere."""
        try:
            host = urlsplit(check_url(url)).hostname or ""
        except ValueError as error:
            return str(error)
        if host.rstrip(".").lower() == "localhost":
            host = "127.0.0.1"
        try:
            ip_address(host)
        except ValueError:
            return ""
        reason = self._guard.refusal(host)
        return f"{host} is no public address ({reason})" if reason else ""
