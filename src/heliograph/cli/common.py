"""What the commands share: exit codes, the data folder, finding an account, printing.

0  done; the answer is yes
1  the answer is no: there is no such thing, the audit found differences, the name is taken, the balance forbids it
2  the command or a setting is wrong
3  the environment is in the way: no data folder, a store that cannot be opened, a port in use
    70 a bug: there is a traceback above
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import errno
import socket
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import msgspec
import typer

from heliograph.config import DATA_VARIABLE, PREFIX, DataSettings
from heliograph.kit.ids import PublicIds
from heliograph.kit.keys import FILE, has_database, load_or_create, lost_database, write_private
from heliograph.messaging.accounts import Account
from heliograph.store.interface import Reads, Store, StoreError, Unavailable, Uncertain

T = TypeVar("T")

NO, WRONG, UNUSABLE, BUG = 1, 2, 3, 70

DATA_FOLDER = Path(DataSettings().dir)
_URL = "base-url"

Data = Annotated[
    Path,
    typer.Option(
        "--data", metavar="DIR", envvar=[DATA_VARIABLE, f"{PREFIX}DATA__DIR"], help="The server's data folder."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
AccountId = Annotated[str, typer.Argument(metavar="ID", help="The account's id, or its name if no other has it.")]
MessageId = Annotated[str, typer.Argument(metavar="ID", help="The submissionId, as the API returned it.")]


class CommandError(Exception):
    """A command cannot do what it was asked to; the message says why and what to do."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def refuse(message: str, code: int = NO) -> NoReturn:
    """End the command."""
    raise CommandError(message, code)


def group(help_: str) -> typer.Typer:
    """A group of commands that shows its help when none is given."""
    return typer.Typer(help=help_, no_args_is_help=True, rich_markup_mode=None, add_completion=False)


# -- the data folder


def with_store(folder: Path, act: Callable[[Store], Awaitable[T]], *, create: bool = False) -> T:
    """Run `act` with the store of a data folder, which must exist unless `create`; a server may be running over it.
    Data of an older version are refused.
    """
    from heliograph.app import open_store  # takes half a second, which `--help` need not

    if not create:
        require_data(folder)

    async def run() -> T:
        store = open_store(folder)
        await store.open()
        try:
            return await act(store)
        finally:
            await store.close()

    with explained(folder):
        return asyncio.run(run())


def read(folder: Path, query: Callable[[Reads], T]) -> T:
    """The answer of a query over a data folder that exists."""
    return with_store(folder, lambda store: store.read(query))


def require_data(folder: Path) -> None:
    """Refuse a folder that holds no data, rather than make an empty one; one whose database is lost or was never made;
    and one whose keys are lost or damaged.
    """
    if trouble := lost_database(folder):
        refuse(trouble, UNUSABLE)
    if not (folder / FILE).exists() and not has_database(folder):
        what = "holds no Heliograph data" if folder.exists() else "does not exist"
        refuse(f"the data folder {folder} {what}; name the server's with --data or {DATA_VARIABLE}", UNUSABLE)
    load_or_create(folder)
    if not has_database(folder):
        refuse(f"the data folder {folder} has keys and no database yet; a server makes it when it starts", UNUSABLE)


@contextlib.contextmanager
def explained(folder: Path) -> Iterator[None]:
    """Name the data folder and a remedy when it is the folder that is in the way."""
    try:
        yield
    except (Unavailable, Uncertain) as error:
        refuse(_trouble(folder, error, str(error)), UNUSABLE)
    except OSError as error:
        if not error.filename or not Path(str(error.filename)).is_relative_to(folder):
            raise
        refuse(_trouble(folder, error, f"{error.filename}: {error.strerror}"), UNUSABLE)


_REMEDIES = (
    (("serves", "; "), ""),  # it names one
    (("full", "space", "Quota"), "make room on its disk"),
    (("locked",), "try again in a moment"),
    (("corrupt", "malformed", "not a database"), "restore it from the backup"),
    (
        ("unable to open", "readonly", "read-only", "ermission", "irectory", "exists"),
        "it must be one that this user may read and write; correct its owner and mode, or name another with --data",
    ),
)


def _trouble(folder: Path, error: StoreError | OSError, text: str) -> str:
    said = text.replace(str(folder), "")  # whose name may be "full"
    remedy = next((remedy for words, remedy in _REMEDIES if any(word in said for word in words)), "look at its disk")
    return f"the data folder {folder}: {text}{'; ' * bool(remedy)}{remedy}"


def public_ids(folder: Path) -> PublicIds:
    """The ids that people see, of a data folder that exists."""
    return PublicIds(load_or_create(folder).ids)


def remember_url(folder: Path, base_url: str) -> None:
    """Leave the URL of the server that serves a folder, for the commands that print it."""
    write_private(folder / _URL, f"{base_url}\n".encode())


def served_url(folder: Path) -> str:
    """The URL under which the folder was served last; "" when it never was."""
    try:
        return (folder / _URL).read_text().strip()
    except FileNotFoundError:
        return ""


def require_free_port(host: str, port: int) -> None:
    """Refuse a port that something listens on already, or an address that is not this machine's."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        remedy = "stop what listens there, or choose another with --port" if error.errno == errno.EADDRINUSE else ""
        refuse(f"cannot listen on {host} port {port}: {error.strerror or error}{'; ' * bool(remedy)}{remedy}", UNUSABLE)


# -- accounts


def find_account(reads: Reads, name: str) -> Account:
    """The account with this id, or with this name if it is the only one."""
    account = reads.account(name)
    if account is not None:
        return account
    named = [account for account in reads.accounts() if account.name == name]
    if not named:
        refuse(f"there is no account {name!r}; `heliograph account list` shows those there are")
    if len(named) > 1:
        refuse(f"{len(named)} accounts are named {name!r}; use an id: {', '.join(one.ref for one in named)}")
    return named[0]


# -- printing


def say(text: str = "") -> None:
    """Print a line."""
    typer.echo(text)


def print_json(value: Any) -> None:
    """Print a value as JSON, indented."""
    say(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def print_pairs(pairs: Iterable[tuple[str, object]]) -> None:
    """Print names and values, aligned."""
    rows = [(name, str(value)) for name, value in pairs]
    width = max((len(name) for name, _ in rows), default=0)
    for name, value in rows:
        say(f"  {name:<{width}}  {value}".rstrip())


def print_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under headings, aligned."""
    lines = [list(headings), *([str(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        say("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())


def show_time(utc_ms: int) -> str | None:
    """An instant in UTC; None for one that has not happened."""
    if not utc_ms:
        return None
    moment = datetime.datetime.fromtimestamp(utc_ms / 1000, datetime.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
