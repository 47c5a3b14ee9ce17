"""The contract as a file and as a page: whole, true to the code, and the same to programs and to people."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import jsonschema_rs
import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR
from tests.harness.wire import Response, encode
from tests.unit.api.conftest import CLIENT_ID, CLIENT_SECRET, Running, bare
from tests.unit.api.test_pages import Text, get

from heliograph.api import html
from heliograph.api.asgi import APIS
from heliograph.api.reference import Document, contract, render
from heliograph.dialects import realtime
from heliograph.messaging import errors, senders
from heliograph.messaging.errors import CallerError
from heliograph.messaging.numbers import NumberPolicy, normalise
from heliograph.messaging.text import ALPHABET, compose

NAMES = [api.__name__.rpartition(".")[2] for api in APIS]
ROOTS: dict[str, dict[str, Any]] = {name: msgspec.yaml.decode(contract(f"{name}.yaml")) for name in NAMES}
DOCUMENTS = {name: Document(root) for name, root in ROOTS.items()}
PAGES = {name: render(document, f"/docs/{name}").decode() for name, document in DOCUMENTS.items()}
GOOD = ("200", "201")
ANSWERS = [
    (name, operation["operationId"], *answer)
    for name, document in DOCUMENTS.items()
    for *_, operation in document.operations()
    for answer in operation["responses"].items()
]
OPERATIONS = [
    pytest.param(name, operation, id=f"{name}-{operation['operationId']}")
    for name, document in DOCUMENTS.items()
    for *_, operation in (*document.operations(), *document.webhooks())
]
STATUS: dict[str, set[tuple[str, str]]] = {
    name: {(code, str(status)) for code, status in import_module(f"heliograph.dialects.{name}").STATUS.items()}
    for name in NAMES
}
STATUS["realtime"] |= {(code, "200") for code in realtime.RECIPIENT_STATUS}
"""Every error that an API has, with its status; of RealTime also those of a recipient within a good answer."""
each_contract = pytest.mark.parametrize("name", NAMES)

ROOT, DOCUMENT = ROOTS["realtime"], DOCUMENTS["realtime"]


@pytest.fixture(scope="module")
def site() -> Iterator[Running]:
    running = Running(True)
    yield running
    running.stop()


def validator(schema: dict[str, Any], root: dict[str, Any] = ROOT) -> jsonschema_rs.Validator:
    return jsonschema_rs.Draft202012Validator({**schema, "components": root["components"]})


def nodes(node: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object of the file."""
    if isinstance(node, dict):
        yield path, node
        for name, inner in node.items():
            yield from nodes(inner, f"{path}/{name}")
    elif isinstance(node, list):
        for index, inner in enumerate(node):
            yield from nodes(inner, f"{path}/{index}")


def examples(document: Document) -> Iterator[tuple[str, dict[str, Any], Any]]:
    for path, node in nodes({part: document.root[part] for part in ("paths", "webhooks")}):
        if "schema" in node and "example" in node:
            yield path, node["schema"], node["example"]
        for name, example in node.get("examples", {}).items() if "schema" in node else ():
            yield f"{path}/{name}", node["schema"], example["value"]


EXAMPLES = [
    pytest.param(name, *rest, id=name + path)
    for name, document in DOCUMENTS.items()
    for path, *rest in examples(document)
]


# -- the files


@each_contract
def test_the_file_is_openapi_3_1(name: str) -> None:
    assert [str(error) for error in OPENAPI_31_VALIDATOR.iter_errors(ROOTS[name])] == []
    in_examples = ("/examples/", "/value")
    commas = [path for path, node in nodes(ROOTS[name]) if None in node.values()]  # in a text without quotes
    assert [path for path in commas if not any(part in path for part in in_examples)] == []


@pytest.mark.parametrize(("name", "schema", "example"), EXAMPLES)
def test_every_example_is_of_its_schema(name: str, schema: dict[str, Any], example: Any) -> None:
    assert [error.message for error in validator(schema, ROOTS[name]).iter_errors(example)] == []


@each_contract
def test_every_field_says_what_it_means(name: str) -> None:
    fields = [
        (f"{path}/{name}", field)
        for path, schema in nodes(ROOTS[name]["components"]["schemas"])
        for name, field in schema.get("properties", {}).items()
        if not re.search("/(allOf|oneOf)/", path) and "/if" not in path
    ]
    assert fields
    unsaid = [path for path, field in fields if not {"description", "const", "$ref"} & set(field)]
    assert unsaid == []


@each_contract
def test_every_body_has_an_example(name: str) -> None:
    bodies = [(path, node) for path, node in nodes(ROOTS[name]) if re.search(r"/content/[^/]+/[^/]+$", path)]
    assert bodies
    assert [path for path, node in bodies if "schema" in node and not node.get("examples")] == []


@each_contract
def test_every_error_is_declared_with_its_status_and_nothing_else_is(name: str) -> None:
    answers = [(status, answer) for one, _, status, answer in ANSWERS if one == name]
    declared = {(code, status) for status, answer in answers for code in answer.get("x-errors", ())}
    if name != "realtime":  # what a message within a good answer can mean has its page, not its status
        declared = {(code, status) for code, status in declared if status not in GOOD}
    assert declared == STATUS[name]
    statuses = {status for status, _ in answers}
    assert statuses - set(GOOD) == {status for _, status in STATUS[name]} - set(GOOD)


@pytest.mark.parametrize(
    ("name", "status", "answer"), [pytest.param(one, *rest, id=f"{one}-{id_}-{rest[0]}") for one, id_, *rest in ANSWERS]
)
def test_an_error_answer_says_which_errors_it_can_mean_and_shows_only_those(
    name: str, status: str, answer: dict[str, Any]
) -> None:
    meanings = answer.get("x-errors", [])
    assert meanings or status in GOOD
    for content in answer.get("content", {}).values():
        for code, example in content["examples"].items() if status not in GOOD else ():
            assert code in meanings
            value = example["value"]
            if name != "realtime":
                continue  # the shape is each API's own
            if "error" in value:
                assert (value["error"], value["error_uri"]) == (realtime.OAUTH_ERRORS[code], f"/errors/{code}")
            else:
                told = (f"/errors/{code}", errors.REGISTRY[code].title, int(status))
                assert (value["type"], value["title"], value["status"]) == told


def test_statuses_of_messages_and_recipients_are_those_of_the_code() -> None:
    schemas = ROOT["components"]["schemas"]
    info = schemas["SmsInfo"]["properties"]["info"]["properties"]["status"]["properties"]
    assert set(info["status"]["enum"]) == {realtime.status_name(status) for status in realtime.REPORT_CODES}
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
    assume(not set(sender) & set("^{}\\[~]|€"))  # that these count twice, a schema cannot say
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


@each_contract
def test_programs_get_the_file_as_it_was_written(site: Running, name: str) -> None:
    yaml, as_json = get(site, f"/docs/{name}.yaml"), get(site, f"/docs/{name}.json")
    assert (yaml.header("content-type"), yaml.body) == ("application/yaml", contract(f"{name}.yaml"))
    assert (as_json.header("content-type"), json.loads(as_json.body)) == ("application/json", ROOTS[name])
    assert get(site, f"/docs/{name}").body.decode() == PAGES[name]


def section(page: str, anchor: str) -> str:
    found = re.search(rf'<section id="{anchor}">.*?</section>', page, re.DOTALL)
    assert found, anchor
    return found[0]


@pytest.mark.parametrize(("name", "operation"), OPERATIONS)
def test_a_call_is_on_the_page_with_every_answer_field_and_example(name: str, operation: dict[str, Any]) -> None:
    part = section(PAGES[name], operation["operationId"])
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


@each_contract
def test_a_call_is_on_the_page_with_its_method_and_path(name: str) -> None:
    for path, method, operation in DOCUMENTS[name].operations():
        call = f'<span class="verb {method}">{method.upper()}</span><code>{path}</code>'
        assert call in section(PAGES[name], operation["operationId"])


@each_contract
def test_headers_and_bodies_of_errors_are_explained_once(name: str) -> None:
    headers = section(PAGES[name], "headers")
    assert all(f'id="header-{header.lower()}"' in headers for header in DOCUMENTS[name].headers())
    explained = section(PAGES[name], "error-bodies")
    bodies = re.findall('<h3 id="([^"]+)"', explained)
    assert len(bodies) == len(set(bodies))
    assert set(bodies) == ({"Problem", "TokenError"} if name == "realtime" else {"Error"})


def test_the_pages_need_nothing_from_elsewhere(site: Running) -> None:
    for path in ("/docs", *(f"/docs/{name}" for name in NAMES)):
        answer = get(site, path)
        assert all(link.startswith(("/", "#")) for link in Text(answer.body).links)
        assert not re.search(rb"<script|<img|url\(|@import| style=", answer.body)
        policy = answer.header("content-security-policy") or ""
        assert re.fullmatch(r"default-src 'none'; style-src 'sha256-[A-Za-z0-9+/]{43}='", policy)


@each_contract
def test_every_link_of_the_pages_leads_somewhere(site: Running, name: str) -> None:
    page = PAGES[name]
    anchors = re.findall(r' id="([^"]+)"', page)
    assert len(anchors) == len(set(anchors))
    for link in {*Text(page.encode()).links, *Text(get(site, "/docs").body).links}:
        if link.startswith("#"):
            assert link[1:] in anchors
        else:
            assert get(site, link).status == 200, link


def test_the_index_leads_to_every_reference_and_file(site: Running) -> None:
    links = set(Text(get(site, "/docs").body).links)
    assert {f"/docs/{name}{kind}" for name in NAMES for kind in ("", ".yaml", ".json")} <= links


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
