"""Pages for people: what an error means and what to do about it. All of it comes from the registry of errors."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from html import escape
from typing import Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from heliograph.api import realtime as realtime_api
from heliograph.api.replies import JSON, Headers, Reply, ReplyResponse, explained
from heliograph.dialects import realtime
from heliograph.messaging import errors
from heliograph.messaging.errors import Fault, HeliographError, Kind

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1d2430; --paper: #fdfcf9; --faint: #5c6675; --line: #dcd9d0; --sun: #a34a00; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8ec; --paper: #14181f; --faint: #9aa4b2; --line: #2c3440; --sun: #ffb066; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 1rem/1.6 system-ui, sans-serif; }
header, main { max-width: 52rem; margin: 0 auto; padding: 1rem 1.25rem; }
header { border-bottom: 1px solid var(--line); }
header a { margin-right: 1rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 1rem 0 .25rem; }
h2 { font-size: 1.05rem; margin: 1.75rem 0 .25rem; }
p { margin: .25rem 0 .75rem; }
a { color: var(--sun); }
code { font: .9em ui-monospace, monospace; }
pre code { overflow-wrap: anywhere; }
@media (min-width: 40rem) { td code { white-space: nowrap; } wbr { display: none; } }
pre { border: 1px solid var(--line); border-radius: .4rem; padding: .75rem; white-space: pre-wrap; margin: .25rem 0; }
.faint { color: var(--faint); }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .4rem .75rem .4rem 0; border-bottom: 1px solid var(--line); }
"""
_STYLE_HASH: Final = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_HTML: Final[Headers] = (
    (b"content-type", b"text/html; charset=utf-8"),
    (b"content-security-policy", f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'".encode()),
    (b"x-content-type-options", b"nosniff"),
)
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
        self._landing = Reply(200, _HTML, _landing())
        self._index = Reply(200, _HTML, _index())
        self._json = Reply(200, JSON, _registry())
        self._errors = {kind.code: Reply(200, _HTML, _error(kind)) for kind in errors.REGISTRY.values()}

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
        return Reply(404, (*_HTML, *explained(error), *more), _not_found(error.detail, request_id), account)
    return realtime_api.refusal(error, request_id, account, more)


# -- HTML


def _page(title: str, *content: str) -> bytes:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} – Heliograph</title>
<style>{_STYLE}</style>
</head>
<body>
<header><nav aria-label="Site"><a href="/">Heliograph</a><a href="/errors">Errors</a></nav></header>
<main>
{"".join(content)}</main>
</body>
</html>
""".encode()


def _section(title: str, content: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n{content}\n</section>\n"


def _paragraph(text: str) -> str:
    """Text of the registry, in which backticks mark code."""
    marked = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))
    return f"<p>{marked}</p>"


def _code(text: str) -> str:
    """Code that breaks nowhere but after `_`, and at spaces."""
    return f"<code>{escape(text, quote=False).replace('_', '_<wbr>')}</code>"


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    heads = "".join(f'<th scope="col">{name}</th>' for name in head)
    lines = "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>\n<thead><tr>{heads}</tr></thead>\n<tbody>\n{lines}\n</tbody>\n</table>"


def _statuses(kind: Kind) -> list[tuple[str, str]]:
    """What a kind looks like in each dialect."""
    recipient = realtime.RECIPIENT_STATUS.get(kind.code)
    shown = [str(realtime.STATUS[kind.code])]
    if recipient is not None:
        submission = _code(f'"status": "{recipient}"') + " for the recipient, in a 200"
        shown = [submission] if shown == ["200"] else [*shown, submission]
    if kind.code in realtime.OAUTH_ERRORS:
        shown.append(_code(f'"error": "{realtime.OAUTH_ERRORS[kind.code]}"'))
    return [(realtime.NAME, "; ".join(shown))]


def _error(kind: Kind) -> bytes:
    return _page(
        kind.title,
        f'<h1>{escape(kind.title)}</h1>\n<p class="faint">{_code(kind.code)}</p>\n',
        _section("What happened", _paragraph(kind.cause)),
        _section("What to do", _paragraph(kind.remedy)),
        _section("Does trying again help?", f"<p>{_RETRY[kind.retry]}</p>"),
        _section("How it is told", _table(("API", "HTTP status"), _statuses(kind))),
        _section("Example", f"<pre><code>{escape(kind.example)}</code></pre>"),
    )


def _index() -> bytes:
    tables = []
    for fault, title in _FAULTS.items():
        kinds = [kind for kind in errors.REGISTRY.values() if kind.fault is fault]
        rows = [
            (f'<a href="/errors/{kind.code}">{_code(kind.code)}</a>', escape(kind.title), _statuses(kind)[0][1])
            for kind in kinds
        ]
        tables.append(_section(title, _table(("Error", "Meaning", escape(realtime.NAME)), rows)))
    about = "<p>Every error answer carries a link to one of these pages in its <code>Link</code> header."
    about += ' The same list <a href="/errors.json">as JSON</a>.</p>\n'
    return _page("Errors", "<h1>Errors</h1>\n", about, *tables)


def _landing() -> bytes:
    return _page(
        "SMS API",
        "<h1>Heliograph</h1>\n<p>An SMS API server. It is running.</p>\n",
        "<ul>\n<li><code>/api</code>: RealTime SMS v.2</li>\n"
        '<li><a href="/errors">Errors</a>: what each one means and what to do</li>\n'
        '<li><a href="/readyz">Readiness</a> and <a href="/healthz">health</a></li>\n</ul>\n',
    )


def _not_found(detail: str, request_id: str) -> bytes:
    return _page(
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
