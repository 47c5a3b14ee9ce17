"""`heliograph simulator`: what the simulated carrier does, and messages that people write to our numbers."""

from __future__ import annotations

import contextlib
import errno
import socket
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from heliograph.carriers.interface import Inbound, inbound_of
from heliograph.cli.common import (
    DATA_FOLDER,
    UNUSABLE,
    WRONG,
    Data,
    Json,
    group,
    print_json,
    print_table,
    read,
    refuse,
    say,
)
from heliograph.kit.sockets import address_of
from heliograph.messaging.accounts import Account

commands = group("The simulated carrier.")

_SECONDS = 40.0  # more than the server takes to say that it does not know
_MOST_BYTES = 16_384  # of a line, either way
_NOBODY = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ECONNREFUSED, errno.ENOTSOCK})
_OPEN = "the message may be stored or not: look at the server's log before you write again"


class _Answer(msgspec.Struct, frozen=True):
    stored: bool
    problem: str = ""


@commands.command()
def fates(json: Json = False) -> None:
    """Show what becomes of a message, by the last four digits of its recipient.

    \b
    heliograph simulator fates
    heliograph simulator fates --json
    """
    from heliograph.app import simulator_fates  # takes half a second, which `--help` need not

    found = [(digits, fate.status.name, fate.meaning) for digits, fate in simulator_fates().items()]
    if json:
        print_json([{"digits": digits, "status": status, "meaning": meaning} for digits, status, meaning in found])
    else:
        print_table(["DIGITS", "ENDS AS", "WHAT THE CARRIER DOES"], found)


@commands.command()
def inbound(
    from_: Annotated[
        str, typer.Option("--from", metavar="NUMBER", help="Who writes: an international number, e.g. 56912345678.")
    ],
    to: Annotated[str, typer.Option("--to", metavar="NUMBER", help="An account's number or short code, e.g. 96000.")],
    text: Annotated[str, typer.Option("--text", metavar="TEXT", help="What they write.")],
    carrier: Annotated[
        str, typer.Option("--carrier", metavar="NAME", help="The simulated carrier that it comes through.")
    ] = "simulator",
    data: Data = DATA_FOLDER,
    json: Json = False,
) -> None:
    """Write to one of our numbers, as a person with a phone would.

    The server that runs over the data folder stores the message and calls back the account that the number is assigned
    to. The command ends when the message is stored.

    \b
    heliograph simulator inbound --from 56912345678 --to 96000 --text "Hello"
    """
    try:
        message = inbound_of(from_, to, text)
    except ValueError as error:
        refuse(f"--{error}", WRONG)
    line = msgspec.json.encode({"from": message.sender, "to": message.recipient, "text": message.text}) + b"\n"
    if len(line) > _MOST_BYTES:
        refuse(f"--text has {len(text)} characters, which is too long for a message; shorten it", WRONG)
    owner = read(data, lambda reads: next((one for one in reads.accounts() if message.recipient in one.inbound), None))
    answer = _exchange(data / f"{carrier}.socket", line, carrier, data)
    if not answer.stored:
        refuse(f"not stored: {answer.problem}", UNUSABLE)
    _print(message, owner, json)


def _print(message: Inbound, owner: Account | None, json: bool) -> None:
    ref = owner.ref if owner else None
    if json:
        told = {"from": message.sender, "to": message.recipient, "text": message.text}
        print_json({"account_id": ref, **told, "stored": True})
        return
    say(f"stored for {ref or 'nobody'}: from {message.sender} to {message.recipient}: {message.text}")
    if owner is None:
        typer.echo(f"note: {message.recipient} is no account's; `heliograph account inbound` assigns it", err=True)
    elif not owner.mo_url:
        remedy = f"`heliograph account callbacks {ref} --mo-url URL` sets one"
        typer.echo(f"note: {ref} is not called back, it has no URL for inbound messages; {remedy}", err=True)


def _exchange(path: Path, line: bytes, carrier: str, data: Path) -> _Answer:
    """What the server answers to a line."""
    try:
        with socket.socket(socket.AF_UNIX) as connection, contextlib.ExitStack() as held:
            connection.settimeout(_SECONDS)
            connection.connect(held.enter_context(address_of(path)))
            connection.sendall(line)
            with connection.makefile("rb") as answers:
                told = answers.readline(_MOST_BYTES)
    except OSError as error:
        if error.errno in _NOBODY:
            refuse(
                f"no server with a simulated carrier {carrier!r} runs over the data folder {data}; start one with"
                " `heliograph serve` or `heliograph demo`, or name another with --data or --carrier",
                UNUSABLE,
            )
        refuse(f"{path}: {error.strerror or error}; {_OPEN}", UNUSABLE)
    try:
        return msgspec.json.decode(told, type=_Answer)
    except msgspec.MsgspecError:
        refuse(f"{path}: the server hung up; {_OPEN}", UNUSABLE)
