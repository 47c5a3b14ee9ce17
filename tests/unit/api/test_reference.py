"""The contract as a file and as a page: whole, true to the code, and the same to programs and to people."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR
from tests.harness.wire import Response, encode
from tests.unit.api.conftest import CLIENT_ID, CLIENT_SECRET, Running, bare
from tests.unit.api.test_pages import Text, get

from heliograph.api import html
from heliograph.api.reference import Document, realtime_yaml
from heliograph.dialects import realtime
from heliograph.messaging import errors, senders
from heliograph.messaging.errors import CallerError
from heliograph.messaging.numbers import NumberPolicy, normalise
from heliograph.messaging.text import ALPHABET, compose

ROOT: dict[str, Any] = msgspec.yaml.decode(realtime_yaml())
DOCUMENT = Document(ROOT)
CALLS = DOCUMENT.operations()
WEBHOOKS = [operation for _, _, operation in DOCUMENT.webhooks()]
ANSWERS = [(operation["operationId"], *answer) for *_, operation in CALLS for answer in operation["responses"].items()]


@pytest.fixture(scope="module")
def site() -> Iterator[Running]:
    running = Running(True)
    yield running
    running.stop()


@pytest.fixture(scope="module")
def page(site: Running) -> str:
    return get(site, "/docs/realtime").body.decode()


def validator(schema: dict[str, Any]) -> jsonschema_rs.Validator:
    return jsonschema_rs.Draft202012Validator({**schema, "components": ROOT["components"]})


def nodes(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object of the file."""
    if isinstance(node, dict):
        yield path, node
        for name, inner in node.items():
            yield from nodes(inner, f"{path}/{name}")
    elif isinstance(node, list):
        for index, inner in enumerate(node):
            yield from nodes(inner, f"{path}/{index}")


def examples() -> Iterator[tuple[str, dict[str, Any], Any]]:
    for path, node in nodes({name: DOCUMENT.root[name] for name in ("paths", "webhooks")}):
        if "schema" in node and "example" in node:
            yield path, node["schema"], node["example"]
        for name, example in node.get("examples", {}).items() if "schema" in node else ():
            yield f"{path}/{name}", node["schema"], example["value"]


# -- the file


def test_the_file_is_openapi_3_1() -> None:
    assert [str(error) for error in OPENAPI_31_VALIDATOR.iter_errors(ROOT)] == []
    assert [path for path, node in nodes(ROOT) if None in node.values()] == []  # a comma in a text without quotes


@pytest.mark.parametrize(("schema", "example"), [pytest.param(*rest, id=path) for path, *rest in examples()])
def test_every_example_is_of_its_schema(schema: dict[str, Any], example: Any) -> None:
    assert [error.message for error in validator(schema).iter_errors(example)] == []


def test_every_field_says_what_it_means() -> None:
    fields = [
        (f"{path}/{name}", field)
        for path, schema in nodes(ROOT["components"]["schemas"])
        for name, field in schema.get("properties", {}).items()
        if "/allOf/" not in path and "/if" not in path
    ]
    assert fields
    unsaid = [path for path, field in fields if not {"description", "const", "$ref"} & set(field)]
    assert unsaid == []


def test_every_body_has_an_example() -> None:
    bodies = [(path, node) for path, node in nodes(ROOT) if re.search(r"/content/[^/]+/[^/]+$", path)]
    assert bodies
    assert [path for path, node in bodies if "schema" in node and not node.get("examples")] == []


def test_every_error_is_declared_with_its_status_and_nothing_else_is() -> None:
    declared = {(code, status) for _, status, answer in ANSWERS for code in answer.get("x-errors", ())}
    expected = {(code, str(status)) for code, status in realtime.STATUS.items()}
    expected |= {(code, "200") for code in realtime.RECIPIENT_STATUS}
    assert declared == expected
    assert {status for _, status, _ in ANSWERS} == {"200", *map(str, realtime.STATUS.values())}


@pytest.mark.parametrize(("status", "answer"), [pytest.param(*rest, id=f"{name}-{rest[0]}") for name, *rest in ANSWERS])
def test_an_error_answer_says_which_errors_it_can_mean_and_shows_only_those(
    status: str, answer: dict[str, Any]
) -> None:
    meanings = answer.get("x-errors", [])
    assert meanings or status == "200"
    for content in answer.get("content", {}).values():
        for name, example in content["examples"].items() if status != "200" else ():
            assert name in meanings
            value = example["value"]
            if "error" in value:
                assert (value["error"], value["error_uri"]) == (realtime.OAUTH_ERRORS[name], f"/errors/{name}")
            else:
                told = (f"/errors/{name}", errors.REGISTRY[name].title, int(status))
                assert (value["type"], value["title"], value["status"]) == told


def test_statuses_of_messages_and_recipients_are_those_of_the_code() -> None:
    schemas = ROOT["components"]["schemas"]
    info = schemas["SmsInfo"]["properties"]["info"]["properties"]["status"]["properties"]
    assert set(info["status"]["enum"]) == {status.name for status in realtime.REPORT_CODES}
    assert {int(code) for code in info["code"]["enum"]} == set(realtime.REPORT_CODES.values())
    assert set(schemas["DeliveryReport"]["properties"]["status"]["enum"]) == set(realtime.REPORT_CODES.values())
    submission = schemas["Submission"]["properties"]["status"]["enum"]
    assert set(submission) == {"submitted", *realtime.RECIPIENT_STATUS.values()}


# -- what may be sent is what the server takes

MESSAGE = validator(ROOT["components"]["schemas"]["Message"])
SEND = ROOT["components"]["schemas"]["Send"]["properties"]
PIECES = {
    0: st.characters(exclude_categories=["Cs"]),
    1: st.sampled_from(sorted(ALPHABET)) | st.characters(exclude_categories=["Cs"]),
    6: st.sampled_from(["0000", "0041", "d83D", "DE00", "dfff", "00", "6", "g"])
    | st.text("0123456789abCDEf", max_size=4),
    8: st.sampled_from(["%", "%1B", "%1b", "%00", "%65", "%3C", "%80", "%4", "é", "e", "Λ", "¡", "€", "`", "+", "\n"]),
}


@pytest.mark.parametrize("charset", PIECES)
def test_the_schema_of_a_text_takes_what_the_server_takes(charset: int) -> None:
    @given(st.lists(PIECES[charset], max_size=8).map("".join))
    def agree(text: str) -> None:
        try:
            compose(text, charset, max_segments=10)
            taken = True
        except CallerError:
            taken = False
        assert MESSAGE.is_valid({"charset": charset, "text": text}) is taken

    agree()


def test_the_schema_knows_the_gsm_alphabet() -> None:
    characters = [chr(code) for code in range(1, 0x10000) if not 0xD800 <= code < 0xE000]
    assert {one for one in characters if MESSAGE.is_valid({"charset": 1, "text": one})} == ALPHABET
    assert {one for one in characters if MESSAGE.is_valid({"charset": 8, "text": one})} == ALPHABET - {"%"}


@given(st.text(st.sampled_from("aZ9+ -äΓ_`é\n") | st.characters(exclude_categories=["Cs"]), max_size=12))
def test_the_schema_of_a_sender_takes_what_the_server_takes(sender: str) -> None:
    try:
        senders.check(sender, None)
        taken = True
    except CallerError:
        taken = False
    assert validator(SEND["sender"]).is_valid(sender) is taken


@given(st.from_regex(r"\+?[0-9]{6,17}", fullmatch=True) | st.text("+0123456789 -٣", max_size=17))
def test_the_schema_of_a_recipient_takes_what_the_server_takes(recipient: str) -> None:
    try:
        normalise(recipient, NumberPolicy.SYNTAX, plus_required=False)
        taken = True
    except CallerError:
        taken = False
    assert validator(SEND["recipients"]["items"]).is_valid(recipient) is taken


# -- what the server answers is what is declared

TOKEN = ("Authorization", "Bearer good.token.one")
SUSPENDED = ("Authorization", "Bearer gone.token.two")
FORM = ("Content-Type", "application/x-www-form-urlencoded")
FAT = [(f"X-Fat-{n}", "x" * 4000) for n in range(10)]


def order(text: str = "Hello", sender: str = "96000") -> bytes:
    return json.dumps({"recipients": ["447945223343"], "sender": sender, "message": {"text": text}}).encode()


def form(**fields: str) -> bytes:
    return "&".join(f"{name}={value}" for name, value in fields.items()).encode()


RIGHT = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
WRONG = {**RIGHT, "client_secret": CLIENT_SECRET[:-1] + "x"}
INFO, SUBMISSION = "/api/sms/4193366853543393", "/api/sms/{submissionId}"
PROVOKED: dict[str, tuple[int, str, bytes]] = {
    "a token": (200, "/api/auth", encode("POST", "/api/auth", [FORM], form(**RIGHT))),
    "a malformed token request": (400, "/api/auth", encode("POST", "/api/auth", [FORM], b"grant_type=")),
    "another grant": (400, "/api/auth", encode("POST", "/api/auth", [FORM], b"grant_type=password")),
    "wrong credentials": (401, "/api/auth", encode("POST", "/api/auth", [FORM], form(**WRONG))),
    "two hosts": (400, "/api/auth", encode("POST", "/api/auth", [FORM, ("Host", "two")], b"")),
    "a balance": (200, "/api/balance", encode("GET", "/api/balance", [TOKEN])),
    "no token": (401, "/api/balance", encode("GET", "/api/balance")),
    "no such token": (401, "/api/balance", encode("GET", "/api/balance", [("Authorization", "Bearer a.b.c")])),
    "a value that is no token": (400, "/api/balance", encode("GET", "/api/balance", [("Authorization", "Bearer a")])),
    "a wrong method": (405, "/api/balance", encode("DELETE", "/api/balance", [TOKEN])),
    "a send": (200, "/api/sms", encode("POST", "/api/sms", [TOKEN], order())),
    "a send without money": (200, "/api/sms", encode("POST", "/api/sms", [TOKEN], order("poor"))),
    "a body that is no JSON": (400, "/api/sms", encode("POST", "/api/sms", [TOKEN], b"{")),
    "a body without fields": (400, "/api/sms", encode("POST", "/api/sms", [TOKEN], b"{}")),
    "a suspended account": (403, "/api/sms", encode("POST", "/api/sms", [SUSPENDED], order())),
    "a large body": (413, "/api/sms", encode("POST", "/api/sms", [TOKEN], b" " * (1024 * 1024 + 1))),
    "large headers": (431, "/api/sms", encode("POST", "/api/sms", [TOKEN, *FAT], order())),
    "a bug": (500, "/api/sms", encode("POST", "/api/sms", [TOKEN], order("boom"))),
    "a full queue": (503, "/api/sms", encode("POST", "/api/sms", [TOKEN], order("full"))),
    "an info": (200, SUBMISSION, encode("GET", INFO, [TOKEN])),
    "an unknown id": (404, SUBMISSION, encode("GET", "/api/sms/1", [TOKEN])),
    "an id with a slash": (404, SUBMISSION, encode("GET", "/api/sms/1/2", [TOKEN])),
    "a bug in reading": (500, SUBMISSION, encode("GET", "/api/sms/666", [TOKEN])),
}


def once(running: Running, request: bytes) -> Response:
    """The answer to a request that may be refused before it is read whole."""
    with running.wire() as wire:
        wire.send_until_refused(request)
        return wire.read()


@pytest.mark.parametrize("which", PROVOKED)
def test_answers_of_both_doors_are_as_declared(both: tuple[Running, Running], which: str) -> None:
    status, path, request = PROVOKED[which]
    answers = [once(door, request) for door in both]
    assert bare(answers[0]) == bare(answers[1])
    assert answers[0].status == status
    (operation,) = DOCUMENT.root["paths"][path].values()
    assert undeclared(operation["responses"][str(status)], answers[0]) == []


TRANSPORT = {"date", "content-length", "connection"}


def undeclared(answer: dict[str, Any], response: Response) -> list[str]:
    """What an answer has and the file does not say, or the other way round."""
    wrong = []
    headers = answer["headers"]
    for name, header in headers.items():
        value = response.header(name)
        if value is None:
            wrong += [f"{name} is missing"] if header.get("required") else []
            continue
        read = int(value) if header["schema"].get("type") == "integer" else value
        wrong += [f"{name}: {error.message}" for error in validator(header["schema"]).iter_errors(read)]
    known = {name.lower() for name in headers} | TRANSPORT | {"content-type"}
    wrong += [f"{name} is not declared" for name, _ in response.headers if name.lower() not in known]
    link = re.fullmatch(r"</errors/(.+)>.*", response.header("link") or "")
    if link and link[1] not in answer["x-errors"]:
        wrong.append(f"{link[1]} is not declared")
    if "content" not in answer:
        return wrong + (["there is a body"] if response.body or response.header("content-type") else [])
    content = answer["content"].get(response.header("content-type"))
    if content is None:
        return [*wrong, f"{response.header('content-type')} is not declared"]
    return wrong + [error.message for error in validator(content["schema"]).iter_errors(json.loads(response.body))]


# -- as files and as a page


def test_programs_get_the_file_as_it_was_written(site: Running) -> None:
    yaml, as_json = get(site, "/docs/realtime.yaml"), get(site, "/docs/realtime.json")
    assert (yaml.header("content-type"), yaml.body) == ("application/yaml", realtime_yaml())
    assert (as_json.header("content-type"), json.loads(as_json.body)) == ("application/json", ROOT)


def section(page: str, anchor: str) -> str:
    found = re.search(rf'<section id="{anchor}">.*?</section>', page, re.DOTALL)
    assert found, anchor
    return found[0]


@pytest.mark.parametrize("operation", [*(call[2] for call in CALLS), *WEBHOOKS], ids=lambda one: one["operationId"])
def test_a_call_is_on_the_page_with_every_answer_field_and_example(page: str, operation: dict[str, Any]) -> None:
    part = section(page, operation["operationId"])
    for status, answer in operation["responses"].items():
        assert f'">{status if status != "default" else "any other"}</span>' in part
        for code in answer.get("x-errors", ()):
            assert f'href="/errors/{code}"' in part
        for name in answer.get("headers", {}):
            assert f'href="#header-{name.lower()}"' in part
    text = Text(part.replace("<wbr>", "").encode()).text
    for sample in operation.get("x-codeSamples", ()):
        assert " ".join(sample["source"].split()) in text
    for parameter in operation.get("parameters", ()):
        assert parameter["name"] in text
    for content in operation.get("requestBody", {}).get("content", {}).values():
        assert set(content["schema"]["properties"]) <= set(re.findall(r"[A-Za-z_]+", text))


def test_a_call_is_on_the_page_with_its_method_and_path(page: str) -> None:
    for path, method, operation in CALLS:
        call = f'<span class="verb {method}">{method.upper()}</span><code>{path}</code>'
        assert call in section(page, operation["operationId"])


def test_headers_and_bodies_of_errors_are_explained_once(page: str) -> None:
    assert all(f'id="header-{name.lower()}"' in section(page, "headers") for name in DOCUMENT.headers())
    for name in ("Problem", "TokenError"):
        assert f'id="{name}"' in section(page, "error-bodies")


def test_the_pages_need_nothing_from_elsewhere(site: Running) -> None:
    for path in ("/docs", "/docs/realtime"):
        answer = get(site, path)
        assert all(link.startswith(("/", "#")) for link in Text(answer.body).links)
        assert not re.search(rb"<script|<img|url\(|@import| style=", answer.body)
        policy = answer.header("content-security-policy") or ""
        assert re.fullmatch(r"default-src 'none'; style-src 'sha256-[A-Za-z0-9+/]{43}='", policy)


def test_every_link_of_the_pages_leads_somewhere(site: Running, page: str) -> None:
    anchors = re.findall(r' id="([^"]+)"', page)
    assert len(anchors) == len(set(anchors))
    for link in {*Text(page.encode()).links, *Text(get(site, "/docs").body).links}:
        if link.startswith("#"):
            assert link[1:] in anchors
        else:
            assert get(site, link).status == 200, link


def test_the_landing_page_leads_to_the_reference(site: Running) -> None:
    assert {"/docs", "/docs/realtime"} <= set(Text(get(site, "/").body).links)


# -- the markup of our texts


def test_texts_become_html_and_never_bring_their_own() -> None:
    assert html.prose("One <b> & `<i>`\ngoes **on**.\n\n[to](#there)") == (
        '<p>One &lt;b&gt; &amp; <code>&lt;i&gt;</code> goes <strong>on</strong>.</p>\n<p><a href="#there">to</a></p>\n'
    )


def test_texts_have_lists_tables_and_code() -> None:
    assert html.prose("- one\n  more\n- two") == "<ul>\n<li>one more</li>\n<li>two</li>\n</ul>\n"
    assert html.prose("```\na\n\n<b>\n```") == "<pre><code>a\n\n&lt;b&gt;</code></pre>\n"
    table = html.prose("| a | b |\n| --- | --- |\n| `1` | |")
    assert re.findall("<th .*?>(.*?)</th>", table) == ["a", "b"]
    assert re.findall("<td>(.*?)</td>", table) == ["<code>1</code>", ""]
