"""The customer's end of a callback: a loopback HTTP server that answers by a script and remembers what it was sent."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What to say to one call. `delay` seconds first; `hang` says nothing until the receiver is closed."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    delay: float = 0.0
    hang: bool = False


HANG = Answer(hang=True)


@dataclass(frozen=True)
class Call:
    at: float
    method: str
    target: str
    headers: dict[str, str] = field(hash=False)
    body: bytes = b""

    def json(self) -> Any:
        return json.loads(self.body)


class Receiver:
    """Answers the nth call by the nth line of the script; after the script, and without one, by 200."""

    def __init__(self, script: Iterable[int | Answer] = ()) -> None:
        self.calls: list[Call] = []
        self.most_at_once = 0
        self._at_once = 0
        self._script = [Answer(entry) if isinstance(entry, int) else entry for entry in script]
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._server = _Listener(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def script(self, *answers: int | Answer) -> None:
        """Replaces what is left of the script."""
        with self._changed:
            self._script = [Answer(entry) if isinstance(entry, int) else entry for entry in answers]

    def wait(self, done: Callable[[list[Call]], Any], within: float = 15.0) -> Any:
        """Waits until `done(calls)` is true and returns it."""
        deadline = time.monotonic() + within
        with self._changed:
            while not (found := done(list(self.calls))):
                left = deadline - time.monotonic()
                assert left > 0, f"not within {within} s; calls so far: {[call.body for call in self.calls]}"
                self._changed.wait(left)
            return found

    def wait_for(self, message_id: str, within: float = 15.0) -> Call:
        """The first callback about one message."""
        call: Call = self.wait(lambda calls: next((c for c in calls if c.json().get("id") == message_id), None), within)
        return call

    def about(self, message_id: str) -> list[Call]:
        with self._changed:
            return [call for call in self.calls if call.json().get("id") == message_id]

    def _received(self, call: Call) -> Answer:
        with self._changed:
            self.calls.append(call)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
            self._changed.notify_all()
            return self._script.pop(0) if self._script else Answer()

    def _answering(self) -> None:
        with self._changed:
            self._at_once -= 1


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: object, client_address: object) -> None:
        """A caller that hung up before its answer: nobody is interested."""


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = receiver._received(Call(time.time(), self.command, self.path, headers, body))
            if answer.hang:
                receiver._closing.wait(60)
                receiver._answering()
                self.close_connection = True
                return
            if answer.delay:
                receiver._closing.wait(answer.delay)
            receiver._answering()
            self.send_response(answer.status)
            for name, value in answer.headers:
                self.send_header(name, value)
            if answer.status not in (204, 304):
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if answer.status not in (204, 304):
                self.wfile.write(answer.body)

        do_GET = do_POST = do_PUT = _any

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
