"""`heliograph smsc`: the carrier's end of SMPP, on one's own machine: takes submits, answers, sends receipts."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import typer
import uvloop

from heliograph.cli.common import UNUSABLE, WRONG, Json, refuse

if TYPE_CHECKING:
    from heliograph.app import Smsc

PASSWORD_VARIABLE = "HELIOGRAPH_SMSC_PASSWORD"  # noqa: S105 (a name)
_STDIN = 0
_MAX_LINE_BYTES = 65_536
_EXAMPLE = '{"from":"56912345678","to":"96000","text":"Hello"}'


class _Line(msgspec.Struct, frozen=True):
    from_: str = msgspec.field(name="from")
    to: str
    text: str


def smsc(
    host: Annotated[str, typer.Option(metavar="HOST", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(metavar="PORT", min=0, max=65535, help="Port to listen on; 0 takes a free one.")
    ] = 2775,
    system_id: Annotated[str, typer.Option(metavar="ID", help="Who may bind; without it, everybody may.")] = "",
    password: Annotated[
        str, typer.Option(metavar="PASSWORD", envvar=PASSWORD_VARIABLE, help="What proves it; without it, any will do.")
    ] = "",
    answer_delay: Annotated[
        int, typer.Option(metavar="MS", min=0, max=3_600_000, help="Answer a submit_sm after so many milliseconds.")
    ] = 0,
    receipts: Annotated[
        Literal["all", "text", "tlv", "failed", "none"],
        typer.Option(
            help="Receipts for those that asked: all in text and TLVs, in text alone, in TLVs alone, of failures alone."
        ),
    ] = "all",
    receipt_delay: Annotated[
        int,
        typer.Option(
            metavar="MS", min=0, max=3_600_000, help="Send the receipt so many milliseconds after the answer."
        ),
    ] = 0,
    ids: Annotated[
        Literal["decimal", "hex", "hex-dlr-dec", "dec-dlr-hex"],
        typer.Option(help="How message ids are written; the last two differ in answer and receipt."),
    ] = "decimal",
    window: Annotated[
        int, typer.Option(metavar="N", min=1, max=100_000, help="deliver_sm without an answer, in each session.")
    ] = 100,
    fates: Annotated[
        bool, typer.Option("--fates", help="Have the last four digits decide, as `heliograph simulator fates` shows.")
    ] = False,
    status: Annotated[
        list[str] | None,
        typer.Option(metavar="DIGITS=STATUS", help="Refuse destinations that end so with this command_status."),
    ] = None,
    throughput: Annotated[
        float, typer.Option(metavar="N", min=0, max=1_000_000, help="Throttle what is over N submit_sm a second.")
    ] = 0.0,
    drop_every: Annotated[
        int, typer.Option(metavar="N", min=0, help="Cut the link at every Nth submit_sm, which stays unanswered.")
    ] = 0,
    log: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Append a line for each submit_sm taken, before its answer.")
    ] = None,
    mo: Annotated[
        bool, typer.Option("--mo", help=f"Deliver messages read from standard input, a line each: {_EXAMPLE}.")
    ] = False,
    tls_cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Speak TLS; a PEM file with the certificate.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="A PEM file with its private key.")] = None,
    tls_ca: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Demand a client certificate of these authorities (PEM).")
    ] = None,
    json: Json = False,
) -> None:
    """Play an SMSC: take what is sent by SMPP, answer, send receipts.

    It serves until SIGTERM or Ctrl-C and then prints what it has seen.

    \b
    heliograph smsc --system-id acme --password secret
    heliograph smsc --answer-delay 50 --receipts none       a carrier far away
    heliograph smsc --fates --status 4545=0x45              refusals and failures, by the last digits
    heliograph smsc --log taken.log --drop-every 1000       what arrives when links break
    echo '{"from":"56912345678","to":"96000","text":"Hi"}' | heliograph smsc --mo
    """
    from heliograph import app  # takes half a second, which `--help` need not

    show = _show_json if json else _show
    try:
        made = app.smsc(
            status or (),
            lambda notice: show(notice.event, notice.text, msgspec.structs.asdict(notice)),
            host=host,
            port=port,
            system_id=system_id,
            password=password,
            answer_ms=answer_delay,
            receipt_ms=receipt_delay,
            window=window,
            receipts=receipts,
            ids=ids,
            fates=fates,
            throughput=throughput,
            drop_every=drop_every,
            log=log,
            log_json=json,
            tls_cert=tls_cert,
            tls_key=tls_key,
            tls_ca=tls_ca,
        )
        uvloop.run(_run(made, show, mo=mo))
    except UnicodeError:
        refuse(f"--host {host!r} is neither an address nor a host name", WRONG)
    except ValueError as error:
        refuse(str(error), WRONG)
    except OSError as error:
        if error.filename:
            refuse(f"--log: {error.filename}: {error.strerror}; name a file that can be written", UNUSABLE)
        remedy = "; stop what listens there, or choose another with --port" if error.errno == errno.EADDRINUSE else ""
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or error
        refuse(f"cannot listen on {host} port {port}: {reason}{remedy}", UNUSABLE)


_Show = Callable[[str, str, dict[str, Any]], None]


async def _run(smsc: Smsc, show: _Show, *, mo: bool) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    await smsc.start()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    gc.freeze()  # what is here now stays: the collector need not look at it again
    host = f"[{smsc.options.host}]" if ":" in smsc.options.host else smsc.options.host
    show("listening", f"listening on {host}:{smsc.port} until Ctrl-C", {"host": smsc.options.host, "port": smsc.port})
    if mo:
        read = _Reader(smsc, show, loop)
        threading.Thread(target=read.run, daemon=True).start()
    await stopped.wait()
    await smsc.stop()
    counts = msgspec.structs.asdict(smsc.counts)
    show("summary", "\n".join(f"  {name.replace('_', ' '):<22}{value}" for name, value in counts.items()), counts)


class _Reader:
    """Standard input, read by a thread of its own: it may be a file, a pipe or a terminal."""

    def __init__(self, smsc: Smsc, show: _Show, loop: asyncio.AbstractEventLoop) -> None:
        self._smsc = smsc
        self._show = show
        self._loop = loop

    def run(self) -> None:
        """Until it ends."""
        held = b""
        while data := os.read(_STDIN, 65_536):
            *lines, held = (held + data).split(b"\n")
            for line in lines:
                if line.strip():
                    self._loop.call_soon_threadsafe(self._deliver, line)
            held = held[-_MAX_LINE_BYTES:]

    def _deliver(self, line: bytes) -> None:
        try:
            told = msgspec.json.decode(line, type=_Line)
            self._smsc.deliver(told.from_, told.to, told.text)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            text = f"--mo: a line is not like {_EXAMPLE}: {error}"
        except ValueError as error:
            text = f"--mo: {error}"
        else:
            return
        self._show("trouble", text, {"text": text})


def _show(event: str, text: str, facts: dict[str, Any]) -> None:
    _print(text)


def _show_json(event: str, text: str, facts: dict[str, Any]) -> None:
    told = {name: value for name, value in facts.items() if value != ""}
    _print(msgspec.json.encode({"event": event, **told}).decode())


def _print(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:  # whoever read along has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
