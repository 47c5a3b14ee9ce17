"""One POST of a callback, and in one word what came of it.

Only HTTP 200 acknowledges. No redirect is followed, no cookie kept, no proxy taken from the environment; the answer's
status decides, and its body is thrown away. One attempt is one POST: it is not repeated when a connection used before
turns out to be closed, so an idle connection is dropped before servers usually drop it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import aiohttp
import msgspec
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from heliograph import __version__
from heliograph.webhooks.guard import Guard, RefusedAddress, check_url, parse_networks

TIMEOUT_SECONDS = 15.0
MAX_TIMEOUT_SECONDS = 60.0  # well under the shortest delay of the schedule, and its grace
CONNECTIONS = 256
KEEP_ALIVE_SECONDS = 1.0
MAX_ANSWER_BYTES = 4_096
_ANSWER_BODY_SECONDS = 1.0
_RESOLVER_THREADS = 64
_RESULT_CHARACTERS = 200


class Call(msgspec.Struct, frozen=True, gc=False):
    """One attempt of a callback, signed."""

    url: str
    webhook_id: str
    timestamp: int
    signature: str
    body: bytes


class Attempted(msgspec.Struct, frozen=True, gc=False):
    """How an attempt ended, for a person to read: `200`, `500`, `timeout after 15 s`, `connection refused` …"""

    acknowledged: bool
    result: str


_ACKNOWLEDGED = Attempted(True, "200")
_STOPPING = Attempted(False, "the server is stopping")


class Sender:
    """The HTTP client of callbacks.

    `allow_networks` are the operator's exceptions to the address guard. `limit` bounds the connections and must cover
    all calls that are made at a time. `tls` replaces the usual authorities. Raises `ValueError`.
    """

    def __init__(
        self,
        *,
        timeout_seconds: float = TIMEOUT_SECONDS,
        allow_networks: Iterable[str] = (),
        limit: int = CONNECTIONS,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        if not 0 < timeout_seconds <= MAX_TIMEOUT_SECONDS:
            remedy = f"choose more than 0 and at most {MAX_TIMEOUT_SECONDS:g}"
            raise ValueError(f"the time-out of callbacks is {timeout_seconds:g} s; {remedy}")
        self._guard = Guard(parse_networks(allow_networks))
        self._timeout_seconds = timeout_seconds
        self._limit = limit
        self._tls = tls
        self._resolver = Resolver()
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    def _open(self) -> aiohttp.ClientSession:
        """The session; made with the first call, because it belongs to the running loop."""
        connector = aiohttp.TCPConnector(
            limit=self._limit,
            keepalive_timeout=KEEP_ALIVE_SECONDS,
            resolver=self._resolver,
            socket_factory=self._guard.open,
            ssl=True if self._tls is None else self._tls,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=self._timeout_seconds, ceil_threshold=MAX_TIMEOUT_SECONDS + 1),
            headers={"Content-Type": "application/json", "User-Agent": f"heliograph/{__version__}"},
            skip_auto_headers=("Accept-Encoding",),
            auto_decompress=False,
            read_bufsize=MAX_ANSWER_BYTES,
            trust_env=False,
        )

    async def close(self) -> None:
        """Close every connection; no more calls are made."""
        self._closed = True
        if self._session is not None:
            await self._session.close()
        await self._resolver.close()

    async def post(self, call: Call) -> Attempted:
        """Make one attempt. Never raises: what goes wrong is the attempt's result."""
        try:
            return await self._post(call)
        except Exception as error:
            return Attempted(False, _words(self._explain(error)))

    async def _post(self, call: Call) -> Attempted:
        if self._closed:
            return _STOPPING
        if self._session is None:
            self._session = self._open()
        headers = {
            "webhook-id": call.webhook_id,
            "webhook-timestamp": str(call.timestamp),
            "webhook-signature": call.signature,
        }
        answer = await self._session.post(_parsed(call.url), data=call.body, headers=headers, allow_redirects=False)
        try:
            if not answer.content.is_eof():
                await _discard(answer)
        finally:
            answer.release()  # closes the connection unless the whole answer has been received
        return _ACKNOWLEDGED if answer.status == 200 else Attempted(False, str(answer.status))

    def _explain(self, error: Exception) -> str:
        """What a person should read of an error."""
        match error:
            case TimeoutError():
                return f"timeout after {self._timeout_seconds:g} s"
            case aiohttp.ClientConnectorDNSError():
                return f"DNS: no address for {error.host}"
            case aiohttp.ClientConnectorCertificateError():
                return f"TLS: {error.certificate_error}"
            case aiohttp.ClientConnectorSSLError():
                return f"TLS: {error.os_error}"
            case aiohttp.ClientConnectorError():
                return _connecting(error.os_error)
            case aiohttp.ServerDisconnectedError():
                return "connection closed without an answer"
            case OSError() if error.strerror:
                return error.strerror.lower()
            case aiohttp.ClientResponseError():
                return f"not an HTTP answer: {error.message}"
            case ValueError():
                return str(error)
        return f"{type(error).__name__}: {error}"


class Resolver(AbstractResolver):
    """Looks names up in threads of its own: a name server that hangs must not hold up the other look-ups."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_RESOLVER_THREADS, "callback-dns")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """See `AbstractResolver`."""
        found = await asyncio.get_running_loop().run_in_executor(self._threads, _addresses, host, port, family)
        numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        return [
            ResolveResult(hostname=host, host=address, port=port, family=kind, proto=protocol, flags=numeric)
            for kind, protocol, address in found
        ]

    async def close(self) -> None:
        """See `AbstractResolver`."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _addresses(host: str, port: int, family: int) -> list[tuple[int, int, str]]:
    """Family, protocol and address: of the families that this machine has, or of any where it has but a loopback."""
    try:
        found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    except socket.gaierror:
        found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
    return [(kind, protocol, str(address[0])) for kind, _, protocol, _, address in found]


@lru_cache(4_096)
def _parsed(url: str) -> URL:
    """A URL to be requested byte for byte as it was given: a query may hold a signature. Raises `ValueError`."""
    return URL(check_url(url), encoded=True)


async def _discard(answer: aiohttp.ClientResponse) -> None:
    """Give the rest of a short answer a moment to arrive, so that the connection can be used again."""
    received = 0
    try:
        async with asyncio.timeout(_ANSWER_BODY_SECONDS):
            while received <= MAX_ANSWER_BYTES and not answer.content.at_eof():
                received += len(await answer.content.readany())
    except (aiohttp.ClientError, OSError):
        pass  # a body that breaks off or hangs: the connection is closed


def _connecting(error: OSError) -> str:
    """Why no connection came about."""
    if isinstance(error, RefusedAddress) or not error.errno:
        return str(error)
    return os.strerror(error.errno).lower()


def _words(text: str) -> str:
    """On one line, and short enough to be stored."""
    line = " ".join(text.split())
    return line if len(line) <= _RESULT_CHARACTERS else line[: _RESULT_CHARACTERS - 1] + "…"
