"""Pages for people: what an error means and what to do about it. All of it comes from the registry of errors."""

from __future__ import annotations

from html import escape
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from heliograph.api import html
from heliograph.api import realtime as realtime_api
from heliograph.api.replies import JSON, Headers, Reply, ReplyResponse, explained
from heliograph.dialects import realtime
from heliograph.messaging import errors
from heliograph.messaging.errors import Fault, HeliographError, Kind

_FAULTS: Final = {
    Fault.CALLER: "In the request",
    Fault.CARRIER: "At a carrier",
    Fault.OURS: "On the server",
}
_RETRY: Final = {
    True: "Yes. The same request can succeed later.",
    False: "No. The same request fails again until what is wrong with it is mended.",
}


class Pages:
    """The pages, made once."""

    def __init__(self) -> None:
        self._landing = Reply(200, html.HTML, _landing())
        self._index = Reply(200, html.HTML, _index())
        self._json = Reply(200, JSON, _registry())
        self._errors = {kind.code: Reply(200, html.HTML, _error(kind)) for kind in errors.REGISTRY.values()}

    def routes(self) -> list[Route]:
        """What is where."""
        return [
            Route("/", self._serve_landing, methods=["GET"]),
            Route("/errors", self._serve_index, methods=["GET"]),
            Route("/errors.json", self._serve_json, methods=["GET"]),
            Route("/errors/{code}", self._serve_error, methods=["GET"]),
        ]

    async def _serve_landing(self, _: Request) -> Response:
        return ReplyResponse(self._landing)

    async def _serve_index(self, _: Request) -> Response:
        return ReplyResponse(self._index)

    async def _serve_json(self, _: Request) -> Response:
        return ReplyResponse(self._json)

    async def _serve_error(self, request: Request) -> Response:
        page = self._errors.get(request.path_params["code"])
        if page is None:
            raise errors.CallerError(errors.NOT_FOUND, "There is no error of this name.")
        return ReplyResponse(page)


def refusal(error: Exception, request_id: str, account: str = "-", more: Headers = ()) -> Reply:
    """The answer to a request outside the APIs that failed: a page where a URL does not exist, else a problem."""
    if isinstance(error, HeliographError) and error.kind is errors.NOT_FOUND:
        return Reply(404, (*html.HTML, *explained(error), *more), _not_found(error.detail, request_id), account)
    return realtime_api.refusal(error, request_id, account, more)


def _statuses(kind: Kind) -> list[tuple[str, str]]:
    """What a kind looks like in each dialect."""
    recipient = realtime.RECIPIENT_STATUS.get(kind.code)
    shown = [str(realtime.STATUS[kind.code])]
    if recipient is not None:
        submission = html.code(f'"status": "{recipient}"') + " for the recipient, in a 200"
        shown = [submission] if shown == ["200"] else [*shown, submission]
    if kind.code in realtime.OAUTH_ERRORS:
        shown.append(html.code(f'"error": "{realtime.OAUTH_ERRORS[kind.code]}"'))
    return [(realtime.NAME, "; ".join(shown))]


def _error(kind: Kind) -> bytes:
    return html.page(
        kind.title,
        f'<h1>{escape(kind.title)}</h1>\n<p class="faint">{html.code(kind.code)}</p>\n',
        html.section("What happened", html.paragraph(kind.cause)),
        html.section("What to do", html.paragraph(kind.remedy)),
        html.section("Does trying again help?", f"<p>{_RETRY[kind.retry]}</p>"),
        html.section("How it is told", html.table(("API", "HTTP status"), _statuses(kind))),
        html.section("Example", f"<pre><code>{escape(kind.example)}</code></pre>"),
    )


def _index() -> bytes:
    tables = []
    for fault, title in _FAULTS.items():
        kinds = [kind for kind in errors.REGISTRY.values() if kind.fault is fault]
        rows = [
            (f'<a href="/errors/{kind.code}">{html.code(kind.code)}</a>', escape(kind.title), _statuses(kind)[0][1])
            for kind in kinds
        ]
        tables.append(html.section(title, html.table(("Error", "Meaning", escape(realtime.NAME)), rows, stacked=True)))
    about = "<p>Every error answer carries a link to one of these pages in its <code>Link</code> header."
    about += ' The same list <a href="/errors.json">as JSON</a>.</p>\n'
    return html.page("Errors", "<h1>Errors</h1>\n", about, *tables)


def _landing() -> bytes:
    return html.page(
        "SMS API",
        "<h1>Heliograph</h1>\n<p>An SMS API server. It is running.</p>\n",
        '<ul>\n<li><code>/api</code>: RealTime SMS v.2; its <a href="/docs/realtime">reference</a></li>\n'
        '<li><a href="/errors">Errors</a>: what each one means and what to do</li>\n'
        '<li><a href="/readyz">Readiness</a> and <a href="/healthz">health</a></li>\n</ul>\n',
    )


def _not_found(detail: str, request_id: str) -> bytes:
    return html.page(
        "Not found",
        f"<h1>Not found</h1>\n<p>{escape(detail)}</p>\n",
        '<p>What there is: <a href="/errors">all errors</a>, and <a href="/">where else to look</a>.</p>\n',
        f'<p class="faint">Request <code>{request_id}</code></p>\n',
    )


def _registry() -> bytes:
    return msgspec.json.encode(
        {
            "errors": [
                {
                    "code": kind.code,
                    "fault": kind.fault,
                    "title": kind.title,
                    "cause": kind.cause,
                    "remedy": kind.remedy,
                    "retry": kind.retry,
                    "example": kind.example,
                    "statuses": {"realtime": realtime.STATUS[kind.code]},
                }
                for kind in errors.REGISTRY.values()
            ]
        }
    )
