"""An answer, whichever door it leaves by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from heliograph.messaging import errors
from heliograph.messaging.limits import WINDOW_MS, Standing

_PLACES_NOTED: Final = 10

Headers = tuple[tuple[bytes, bytes], ...]

JSON: Headers = ((b"content-type", b"application/json"),)
PROBLEM: Headers = ((b"content-type", b"application/problem+json"),)


class Reply(msgspec.Struct, gc=False):
    """An answer; whoever writes it adds length, date and request id. `account` is for the log, and for the journal
    `code` and `detail` of an error, several codes with commas between. Not the error itself, whose traceback leads
    back to the answer.
    """

    status: int
    headers: Headers
    body: bytes
    account: str = "-"
    code: str = ""
    detail: str = ""


def note_of_parts(refused: Sequence[tuple[int, str]], total: int, what: str) -> tuple[str, str]:
    """For the journal, the errors that some of the messages or recipients (`what`) of a request had, from the index and
    the code of each: `code` and `detail` of a `Reply`, "" when there is none.
    """
    if not refused:
        return "", ""
    of_code: dict[str, list[int]] = {}
    for index, code in refused:
        of_code.setdefault(code, []).append(index)
    places = "; ".join(f"{code} at {_places(indexes)}" for code, indexes in of_code.items())
    rest = "the others accepted" if len(refused) < total else "none accepted"
    return ",".join(of_code), f"{len(refused)} of the {total} {what} were refused, {rest}: {places} (counted from 0)."


def _places(indexes: list[int]) -> str:
    more = len(indexes) - _PLACES_NOTED
    shown = ", ".join(map(str, indexes[:_PLACES_NOTED]))
    return f"{shown} and {more} more" if more > 0 else shown


class ReplyResponse(Response):
    """A `Reply` as Starlette has answers; it leaves the reply in the scope's state."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self.status_code = reply.status
        self.body = reply.body
        self.background = None
        self.raw_headers = [*reply.headers, (b"content-length", b"%d" % len(reply.body))]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["reply"] = self._reply
        await super().__call__(scope, receive, send)


def explained(error: errors.HeliographError) -> Headers:
    """The headers that every error answer has: its page, and when to try again where that is known."""
    link: Headers = ((b"link", f'</errors/{error.kind.code}>; rel="help"'.encode()),)
    seconds = getattr(error, "retry_after_seconds", 0)
    if seconds and error.kind is not errors.INTERNAL_ERROR:
        return (*link, (b"retry-after", b"%d" % seconds))
    return link


def limit_headers(standing: Standing | None) -> Headers:
    """Where an account stands under its rate limit; nothing for one that has none."""
    if standing is None:
        return ()
    return (
        (b"ratelimit-limit", b"%d" % standing.limit),
        (b"ratelimit-remaining", b"%d" % standing.remaining),
        (b"ratelimit-reset", b"%d" % standing.reset_seconds),
        (b"ratelimit-policy", b'"default";q=%d;w=%d' % (standing.limit, WINDOW_MS // 1000)),
    )
