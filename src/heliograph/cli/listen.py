"""`heliograph listen`: the customer's end of callbacks, on one's own machine. Receives, verifies and prints them."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Annotated

import msgspec
import typer
from aiohttp import http_exceptions, web

from heliograph.cli.common import UNUSABLE, WRONG, Json, refuse
from heliograph.webhooks import signature

SECRET_VARIABLE = "HELIOGRAPH_WEBHOOK_SECRET"  # noqa: S105 (a name)
_STATUSES = range(200, 600)
_log = logging.getLogger(__name__)


def _shorten(record: logging.LogRecord) -> bool:
    """What cannot be read as HTTP is the caller's fault: one line, no traceback."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, http_exceptions.HttpProcessingError | web.RequestPayloadError | OSError):
        reason = " ".join(str(getattr(error, "message", error)).split())[:100]
        record.msg, record.args, record.exc_info = f"a request could not be read: {_printable(reason)}", (), None
        if isinstance(error, web.RequestPayloadError):
            return record.levelno == logging.WARNING  # ours; aiohttp's own comes besides
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    return record.levelno >= logging.WARNING


_log.setLevel(logging.DEBUG)
_log.addFilter(_shorten)


class Received(msgspec.Struct, frozen=True):
    """A callback as it arrived. `verified` is None without a secret or a signature to verify; `why_not` says which."""

    at_utc_ms: int
    method: str
    path: str
    id: str
    body: str
    answer: int
    verified: bool | None
    why_not: str = ""


class Receiver:
    """A listener for callbacks: calls `received` for each. `answers` are given in turn, the last one for ever.

    With `at_ease`, callbacks beyond so many a second are answered a quarter of a second late: a server that waits for
    them sends the next ones later, and is left the processor that it shares with this listener.
    """

    def __init__(
        self,
        received: Callable[[Received], None],
        *,
        secret: str = "",
        answers: Sequence[int] = (200,),
        host: str = "127.0.0.1",
        port: int = 0,
        at_ease: int = 0,
    ) -> None:
        self._at_ease = at_ease
        self._second = (0, 0)  # which, and the callbacks in it
        self._received = received
        self._key = signature.key_of(secret) if secret else b""
        self._answers = list(answers)
        self._host = host
        self._port = port
        self._runner: web.AppRunner | None = None

    async def start(self) -> str:
        """Listen; the URL to give as callback URL. Raises `OSError` when the address cannot be had."""
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._receive)
        runner = web.AppRunner(application, access_log=None, logger=_log, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._port).start()
        except OSError:
            await runner.cleanup()
            raise
        self._runner = runner
        port = runner.addresses[0][1]
        return f"http://{f'[{self._host}]' if ':' in self._host else self._host}:{port}"

    async def stop(self) -> None:
        """Listen no more."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _receive(self, request: web.Request) -> web.Response:
        try:
            body = await request.read()
        except web.RequestPayloadError:
            _log.warning("", exc_info=True)
            return web.Response(status=400)
        if self._at_ease and self._hurried():
            await asyncio.sleep(0.25)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        verified, why_not = self._verify(request, body)
        self._received(
            Received(
                time.time_ns() // 1_000_000,
                request.method,
                request.path_qs,
                request.headers.get("webhook-id", ""),
                body.decode(errors="replace"),
                answer,
                verified,
                why_not,
            )
        )
        return web.Response(status=answer)

    def _hurried(self) -> bool:
        second = int(time.monotonic())
        self._second = (second, self._second[1] + 1 if self._second[0] == second else 1)
        return self._second[1] > self._at_ease

    def _verify(self, request: web.Request, body: bytes) -> tuple[bool | None, str]:
        headers = request.headers
        signatures = headers.get("webhook-signature", "")
        if not signatures:
            return None, "unsigned"
        if not self._key:
            return None, "not verified"
        try:
            signature.verify(
                self._key,
                webhook_id=headers.get("webhook-id", ""),
                timestamp=headers.get("webhook-timestamp", ""),
                signatures=signatures,
                body=body,
                now=int(time.time()),
            )
        except signature.Unverified as error:
            return False, str(error)
        return True, ""


def line(callback: Received) -> str:
    """A callback for people: when, what was answered, whether the signature holds, which, and what it says."""
    at = time.strftime("%H:%M:%S", time.localtime(callback.at_utc_ms / 1000))
    proof = "✓ verified" if callback.verified else f"{'✗ ' * (callback.verified is False)}{callback.why_not}"
    called = f"{callback.method} {callback.path}"
    parts = (at, called, f"answered {callback.answer}", proof, callback.id or "no id", _compact(callback.body))
    return _printable("  ".join(parts))


def parse_answers(text: str) -> list[int]:
    """The statuses of `--answer 200,500,…`. Raises `ValueError`."""
    answers = []
    for word in text.split(","):
        if not word.strip().isdecimal() or int(word) not in _STATUSES:
            raise ValueError(f"{word.strip()!r} is not an HTTP status from 200 to 599; write it like 200,500,200")
        answers.append(int(word))
    return answers


async def run(port: int, *, answers: Sequence[int], secret: str, host: str, as_json: bool) -> None:
    """Receive and print until SIGINT or SIGTERM. Raises `OSError` for a port that cannot be had, `ValueError`."""

    def show(callback: Received) -> None:
        try:
            print(msgspec.json.encode(callback).decode() if as_json else line(callback), flush=True)
        except BrokenPipeError:  # whoever read along has left
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            stopped.set()

    stopped = asyncio.Event()
    receiver = Receiver(show, secret=secret, answers=answers, host=host, port=port)
    url = await receiver.start()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    verifying = "" if secret else f" Signatures are not verified: give --secret, or set {SECRET_VARIABLE}."
    print(f"Listening for callbacks on {url}/ until Ctrl-C.{verifying}", file=sys.stderr, flush=True)
    await stopped.wait()
    await receiver.stop()


def listen(
    port: Annotated[int, typer.Option(metavar="PORT", min=0, max=65535, help="Port to listen on; 0 takes a free one.")],
    answer: Annotated[
        str,
        typer.Option(
            metavar="STATUS,…",
            help="Statuses to answer with, in turn; the last repeats. Only 200 acknowledges a callback.",
        ),
    ] = "200",
    secret: Annotated[
        str,
        typer.Option(metavar="SECRET", envvar=SECRET_VARIABLE, help="The account's webhook_secret, to verify with."),
    ] = "",
    host: Annotated[str, typer.Option(metavar="HOST", help="Address to listen on.")] = "127.0.0.1",
    json: Json = False,
) -> None:
    """Receive callbacks on this machine: verify and print each one, and answer as told.

    \b
    heliograph listen --port 8080
    heliograph listen --port 8080 --answer 500,200    refuse the first, take all others
    """
    try:
        asyncio.run(run(port, answers=parse_answers(answer), secret=secret, host=host, as_json=json))
    except UnicodeError:
        refuse(f"--host {host!r} is neither an address nor a host name", WRONG)
    except ValueError as error:
        refuse(str(error), WRONG)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        remedy = "; stop what listens there, or choose another with --port" if taken else ""
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or error
        refuse(f"cannot listen on {host} port {port}: {reason}{remedy}", UNUSABLE)
    except KeyboardInterrupt:
        pass


def _compact(body: str) -> str:
    """JSON without the spaces; anything else as it is."""
    try:
        return msgspec.json.encode(msgspec.json.decode(body)).decode()
    except (msgspec.DecodeError, RecursionError):
        return body


def _printable(text: str) -> str:
    """On one line, without control characters: what arrives is not to be trusted with a terminal."""
    return "".join(character if character.isprintable() else f"\\x{ord(character):02x}" for character in text)
