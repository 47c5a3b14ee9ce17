"""The pages for people, all made from the registry of errors."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
from tests.harness.wire import Response, encode
from tests.unit.api.conftest import Running

from heliograph.dialects import realtime
from heliograph.messaging import errors
from heliograph.messaging.errors import Kind


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
def test_every_error_has_a_page_with_cause_before_remedy(site: Running, kind: Kind) -> None:
    answer = get(site, f"/errors/{kind.code}")
    assert answer.status == 200
    assert answer.header("content-type") == "text/html; charset=utf-8"
    text = Text(answer.body).text
    plain = [" ".join(part.replace("`", "").split()) for part in (kind.title, kind.cause, kind.remedy)]
    assert sorted(plain, key=text.index) == plain
    assert " ".join(kind.example.split()) in text
    assert str(realtime.STATUS[kind.code]) in text
    assert ("Yes. The same request can succeed" in text) is kind.retry


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
    assert set(listed[0]) == {"code", "fault", "title", "cause", "remedy", "retry", "example", "statuses"}


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
