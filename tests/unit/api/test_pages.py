"""The pages for people, all made from the registry of errors."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
from tests.harness.wire import Response, encode
from tests.unit.api.conftest import Running

from heliograph.api import lessons
from heliograph.api.asgi import APIS
from heliograph.api.face import Telling
from heliograph.messaging import errors
from heliograph.messaging.errors import Kind

TELLINGS = [api.TELLING for api in APIS]


@pytest.fixture(scope="module")
def site() -> Iterator[Running]:
    running = Running(True)
    yield running
    running.stop()


def get(site: Running, path: str, method: str = "GET") -> Response:
    return site.send(encode(method, path))[0]


class Text(HTMLParser):
    """What a reader sees, and whether every element is closed."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.links: list[str] = []
        self.feed(page.decode())
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "wbr", "br"):
            self.open.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.seen.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.seen).split())


@pytest.mark.parametrize("kind", errors.REGISTRY.values(), ids=lambda kind: kind.code)
def test_every_error_has_a_page_with_cause_before_remedy_before_the_rest(site: Running, kind: Kind) -> None:
    answer = get(site, f"/errors/{kind.code}")
    assert answer.status == 200
    assert answer.header("content-type") == "text/html; charset=utf-8"
    text = Text(answer.body).text
    _, happened, to_do, causes, rest = re.split("What happened|What to do|Usual causes|Does trying again help", text)
    assert plain(kind.cause) in happened
    assert plain(kind.remedy) in to_do
    assert all(plain(cause[1:]) in causes for cause in kind.causes)
    assert plain(kind.charged) in rest
    assert ("Yes. The same request can succeed" in text) is kind.retry


def plain(text: str) -> str:
    """A text as a reader sees it."""
    return " ".join(re.sub(r"\[([^\]]+)\]\([^)]+\)", r"\1", text.replace("`", "")).split())


@pytest.mark.parametrize("telling", TELLINGS, ids=lambda telling: telling.name)
@pytest.mark.parametrize("kind", errors.REGISTRY.values(), ids=lambda kind: kind.code)
def test_page_shows_an_example_and_its_answer_for_each_api(site: Running, kind: Kind, telling: Telling) -> None:
    body = html.unescape(get(site, f"/errors/{kind.code}").body.decode())
    section = body.partition(f"<h2>{telling.name}")[2].partition("</section>")[0]
    example = telling.examples.get(kind.code)
    if example is None:
        assert "does not have this error" in section
        return
    assert section.count("<pre>") == 2
    assert lessons.request_of(example) in section
    assert lessons.answer_of(example, telling) in section
    assert f"HTTP/1.1 {lessons.answer_to(example, telling).status} " in section
    links = re.findall(r'href="/errors/([a-z_]+)"', section)
    assert links == [one.code for one in lessons.neighbours(kind, telling)]


def test_no_api_has_an_error_that_is_not_in_the_registry() -> None:
    for telling in TELLINGS:
        for code, example in telling.examples.items():
            assert example.error.kind is errors.REGISTRY[code]


@pytest.mark.parametrize("api", APIS, ids=lambda api: api.TELLING.name)
@pytest.mark.parametrize("kind", errors.REGISTRY.values(), ids=lambda kind: kind.code)
def test_whatever_reaches_an_apis_wire_is_an_error_that_it_has(api: Any, kind: Kind) -> None:
    has = api.TELLING.examples.get(kind.code)
    error = has.error if has is not None else errors.CallerError(kind)
    for raised in (error, ZeroDivisionError("a secret trace")):
        reply = api.refusal(raised, "req_1")
        expected = kind.code if has is not None and raised is error else "internal_error"
        assert (b"link", f'</errors/{expected}>; rel="help"'.encode()) in reply.headers
        assert reply.code == expected
        assert b"secret" not in reply.body


def test_pages_need_nothing_from_elsewhere(site: Running) -> None:
    for path in ("/", "/errors", "/errors/not_found", "/errors/nothing"):
        answer = get(site, path)
        assert all(link.startswith("/") for link in Text(answer.body).links)
        policy = answer.header("content-security-policy") or ""
        assert re.fullmatch(r"default-src 'none'; style-src 'sha256-[A-Za-z0-9+/]{43}='", policy)
        assert b"viewport" in answer.body
        assert b"prefers-color-scheme: dark" in answer.body


def test_codes_break_after_underscores_and_nowhere_else(site: Running) -> None:
    for path in ("/errors", "/errors/method_not_allowed"):
        page = get(site, path).body.decode()
        assert "<code>method_<wbr>not_<wbr>allowed</code>" in page
        tables_and_titles = re.sub(r"<pre>.*?</pre>|<style>.*?</style>", "", page, flags=re.DOTALL)
        assert not re.search(r"<code>[^<]*_(?!<wbr>)", tables_and_titles.replace("_<wbr>", ""))
        assert "anywhere" not in page.replace("pre code { overflow-wrap: anywhere; }", "")


def test_what_is_not_there_leads_to_the_list(site: Running) -> None:
    links = Text(get(site, "/errors/nothing").body.partition(b"<main>")[2].partition(b"</main>")[0]).links
    assert links == ["/errors", "/"]


def test_every_link_leads_somewhere(site: Running) -> None:
    for page in ("/", "/errors"):
        for link in Text(get(site, page).body).links:
            assert get(site, link).status == 200, link


def test_the_index_and_the_json_list_every_error(site: Running) -> None:
    index = Text(get(site, "/errors").body)
    assert {f"/errors/{code}" for code in errors.REGISTRY} <= set(index.links)
    listed = json.loads(get(site, "/errors.json").body)["errors"]
    assert [one["code"] for one in listed] == list(errors.REGISTRY)
    assert set(listed[0]) == {
        *("code", "url", "fault", "title", "cause", "remedy", "causes", "charged", "retry"),
        "apis",
    }
    apis = {telling.name for telling in TELLINGS}
    assert all(set(one["apis"]) <= apis for one in listed)
    assert set(listed[0]["apis"]["RealTime SMS v.2"]) == {"status", "code", "setup", "request", "answer"}


@pytest.mark.parametrize("name", sorted(lessons.names(TELLINGS)))
def test_an_apis_own_code_and_a_status_lead_to_the_errors_behind_them(site: Running, name: str) -> None:
    answer = get(site, f"/errors/{name}")
    assert answer.status == 200
    links = re.findall(r'href="/errors/([a-z_]+)"', answer.body.decode().partition('class="index"')[2])
    assert links == [kind.code for kind in lessons.found(name, TELLINGS)] != []


def test_a_name_of_both_is_the_error_of_the_registry(site: Running) -> None:
    assert errors.METHOD_NOT_ALLOWED.title in Text(get(site, "/errors/method_not_allowed").body).text


def test_what_is_not_there_is_a_page_that_says_so(site: Running) -> None:
    for path in ("/errors/nothing", "/nothing", "/errors/", "/errors/<script>", "/api", "/healthz/"):
        answer = get(site, path)
        assert answer.status == 404, path
        assert (answer.header("link"), answer.header("content-type")) == (
            '</errors/not_found>; rel="help"',
            "text/html; charset=utf-8",
        )
        assert (answer.header("x-request-id") or "?") in Text(answer.body).text


def test_other_errors_outside_the_apis_are_problems(site: Running) -> None:
    answer = get(site, "/healthz", "POST")
    assert (answer.status, answer.header("allow")) == (405, "GET, HEAD")
    assert answer.header("content-type") == "application/problem+json"
