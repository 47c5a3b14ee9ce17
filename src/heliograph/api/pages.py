"""Pages for people: what an error means and what to do about it. All of it comes from the registry of errors."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from heliograph.api import html, lessons
from heliograph.api import realtime as realtime_api
from heliograph.api.face import Face, Telling
from heliograph.api.lessons import FAULTS, RETRY, filling_of
from heliograph.api.replies import JSON, Headers, Reply, ReplyResponse, explained
from heliograph.messaging import errors
from heliograph.messaging.errors import HeliographError, Kind


class Pages:
    """The pages, made once."""

    def __init__(self, faces: Sequence[Face]) -> None:
        tellings = [face.telling for face in faces]
        self._landing = Reply(200, html.HTML, _landing())
        self._index = Reply(200, html.HTML, _index(tellings))
        self._json = Reply(200, JSON, _registry(tellings))
        kinds = errors.REGISTRY.values()
        self._errors = {
            **{name: Reply(200, html.HTML, _errors_behind(name, tellings)) for name in lessons.names(tellings)},
            **{kind.code: Reply(200, html.HTML, _error(kind, tellings)) for kind in kinds},
        }

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
        body = _not_found(error.detail, request_id)
        return Reply(404, (*html.HTML, *explained(error), *more), body, account, error.kind.code, error.detail)
    return realtime_api.refusal(error, request_id, account, more)


def _error(kind: Kind, tellings: Sequence[Telling]) -> bytes:
    causes = "".join(f"<li>{html.marked(_sentence(one))}</li>\n" for one in kind.causes)
    facts = [
        ("Does trying again help?", RETRY[kind.retry]),
        ("Is anything charged?", html.marked(kind.charged)),
        ("Where does it lie?", f"{FAULTS[kind.fault]}."),
    ]
    return html.page(
        kind.title,
        f'<h1>{escape(kind.title)}</h1>\n<p class="faint">{html.code(kind.code)}</p>\n',
        html.section("What happened", html.paragraph(kind.cause)),
        html.section("What to do", html.paragraph(kind.remedy)),
        html.section("Usual causes", f"<ul>\n{causes}</ul>"),
        '<dl class="facts">\n'
        + "".join(f"<div><dt>{name}</dt><dd>{said}</dd></div>\n" for name, said in facts)
        + "</dl>\n",
        *(_lesson(kind, telling) for telling in tellings),
    )


def _errors_behind(name: str, tellings: Sequence[Telling]) -> bytes:
    """The errors that an API's own code or an HTTP status stands for."""
    rows = [
        (_link(kind), *(_in_index(kind, telling) for telling in tellings)) for kind in lessons.found(name, tellings)
    ]
    about = "<p>This name stands for several errors; the <code>Link</code> header of an answer leads to the one.</p>\n"
    table = html.table(("Error", *(escape(telling.name) for telling in tellings)), rows, stacked=True)
    return html.page(name, f"<h1>{html.code(name)}</h1>\n", about, f'<div class="index">\n{table}</div>\n')


def _link(kind: Kind) -> str:
    return f'<a href="/errors/{kind.code}">{html.code(kind.code)}</a><br>{escape(kind.title)}'


def _lesson(kind: Kind, telling: Telling) -> str:
    """How an API tells of an error: an example, and its neighbours."""
    example = telling.examples.get(kind.code)
    if example is None:
        return html.section(telling.name, '<p class="faint">This API does not have this error.</p>')
    notes = [note for note in (example.setup.words, filling_of(example)) if note]
    others = [f'<a href="/errors/{one.code}">{html.code(one.code)}</a>' for one in lessons.neighbours(kind, telling)]
    same = f'<p class="after">Others with this status: {", ".join(others)}</p>\n' if others else ""
    return (
        f"<section>\n<h2>{escape(telling.name)}: {html.marked(telling.told(kind))}</h2>\n"
        + "<h3>A request that meets it</h3>\n"
        + "".join(html.paragraph(note) for note in notes)
        + html.block(lessons.request_of(example))
        + "<h3>Its answer</h3>\n"
        + html.block(lessons.answer_of(example, telling))
        + f"{same}</section>\n"
    )


def _sentence(text: str) -> str:
    """A cause as a sentence; one that begins with code stays as it is."""
    return f"{text[0].upper()}{text[1:]}."


def _index(tellings: Sequence[Telling]) -> bytes:
    tables = []
    for fault, title in FAULTS.items():
        rows = [
            (
                _link(kind),
                *(_in_index(kind, telling) for telling in tellings),
            )
            for kind in errors.REGISTRY.values()
            if kind.fault is fault
        ]
        heads = ("Error", *(escape(telling.name) for telling in tellings))
        tables.append(html.section(title, html.table(heads, rows, stacked=True)))
    about = "<p>Every error answer carries a link to one of these pages in its <code>Link</code> header. What happened"
    about += " to one request, <code>heliograph explain</code> tells by its <code>X-Request-Id</code>."
    about += ' The same list <a href="/errors.json">as JSON</a>.</p>\n'
    return html.page("Errors", '<h1 id="errors">Errors</h1>\n', about, '<div class="index">\n', *tables, "</div>\n")


def _in_index(kind: Kind, telling: Telling) -> str:
    """An error in an API's column; its name is told on a phone alone, where there are no columns."""
    if kind.code not in telling.examples:
        return ""
    return f'<span class="narrow">{escape(telling.name)}: </span>{html.marked(telling.told(kind))}'


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


def _registry(tellings: Sequence[Telling]) -> bytes:
    return msgspec.json.encode({"errors": [lessons.entry_of(kind, tellings) for kind in errors.REGISTRY.values()]})
