"""An answer, whichever door it leaves by."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from heliograph.messaging import errors

Headers = tuple[tuple[bytes, bytes], ...]

JSON: Headers = ((b"content-type", b"application/json"),)
PROBLEM: Headers = ((b"content-type", b"application/problem+json"),)


class Reply(msgspec.Struct, gc=False):
    """An answer; whoever writes it adds length, date and request id. `account` is for the log."""

    status: int
    headers: Headers
    body: bytes
    account: str = "-"


class ReplyResponse(Response):
    """A `Reply` as Starlette has answers."""

    def __init__(self, reply: Reply) -> None:
        self.status_code = reply.status
        self.body = reply.body
        self.background = None
        self.raw_headers = [*reply.headers, (b"content-length", b"%d" % len(reply.body))]


def explained(error: errors.HeliographError) -> Headers:
    """The headers that every error answer has: its page, and when to try again where that is known."""
    link: Headers = ((b"link", f'</errors/{error.kind.code}>; rel="help"'.encode()),)
    seconds = getattr(error, "retry_after_seconds", 0)
    if seconds and error.kind is not errors.INTERNAL_ERROR:
        return (*link, (b"retry-after", b"%d" % seconds))
    return link
