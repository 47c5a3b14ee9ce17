"""Schemathesis reads the contracts and calls the server in every way that it can think of.

What the server answers must be in the file: the status, its headers, the type and the shape of the body, and which
error it is. The requests follow from a seed.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
import schemathesis
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema
from schemathesis.engine.recorder import ScenarioRecorder
from tests.conftest import DOORS, Accounts
from tests.harness.client import Client
from tests.harness.server import Server
from tests.unit.api.conftest import wait_until

from heliograph.api.reference import Document
from heliograph.api.reference import contract as file_of

pytestmark = pytest.mark.slow

SEED = 20201111
REQUESTS = {"realtime": {"TokenRequest", "Send", "Message"}}
"""Schemas of what clients send; the server ignores fields that it does not know."""
GOOD = (200, 201)


@pytest.fixture(params=list(DOORS))
def door(request: pytest.FixtureRequest) -> str:
    return DOORS[request.param]


@contextmanager
def customer(data: Path, door: str, failed_tokens_per_minute: int) -> Iterator[Client]:
    """An account to which everything is allowed that the file allows."""
    settings = {
        "http.lean_door": door,
        "carriers.simulator.receipt_ms": "20",
        "limits.failed_tokens_per_minute": str(failed_tokens_per_minute),
    }
    with Server(data, settings=settings) as server:
        client = Accounts(server).new("--any-sender", "--numbers", "syntax", balance="1000000.00")
        server.cli_here("account", "limit", client.account, "--per-minute", "1000000")
        wait_until(lambda: client.get("/api/balance").header("RateLimit-Limit") == "1000000")
        yield client
        assert "Traceback" not in server.printed()


def contract(client: Client, api: str) -> dict[str, Any]:
    """The file as the server gives it away, with this customer's credentials, in which answers have no other fields."""
    response = client.call("GET", f"/docs/{api}.yaml")
    assert response.body == file_of(f"{api}.yaml")
    document: dict[str, Any] = msgspec.yaml.decode(response.body)
    PREPARE[api](document, client)
    for name, schema in document["components"]["schemas"].items():
        if name not in REQUESTS[api]:
            close(schema)
    return document


def prepare_realtime(document: dict[str, Any], client: Client) -> None:
    form = document["paths"]["/api/auth"]["post"]["requestBody"]["content"]["application/x-www-form-urlencoded"]
    form["examples"]["form"]["value"] |= {"client_id": client.client_id, "client_secret": client.client_secret}


PREPARE = {"realtime": prepare_realtime}


def close(schema: dict[str, Any]) -> None:
    """Forbid what is not declared, in a schema and in those inside it."""
    if "properties" in schema:
        schema["additionalProperties"] = False
        for inner in schema["properties"].values():
            close(inner)
    if "items" in schema:
        close(schema["items"])


@schemathesis.check
def error_is_declared(_: Any, response: Any, case: Any) -> None:
    """The error that the `Link` names is one that the file lists for this answer, and a bare answer is bare."""
    document = Document(case.operation.schema.raw_schema)
    operation = document.root["paths"][case.operation.path][case.operation.method]
    assert str(response.status_code) in operation["responses"]
    answer = operation["responses"][str(response.status_code)]
    links = response.headers.get("link", [])
    if response.status_code in GOOD:
        assert links == []
    else:
        (code,) = re.findall(r"^</errors/([a-z0-9_]+)>", links[0])
        assert code in answer["x-errors"], f"{response.status_code} {code}"
    assert "content" in answer or response.content == b""


NUMBERS = count()


@schemathesis.hook("before_call")
def renew_key(_: Any, case: Any, __: Any) -> None:
    """A well-formed key is new for each call: with one for all, the server would refuse all bodies but the first."""
    key = case.headers.get("Idempotency-Key")
    if key is not None and re.fullmatch("[!-~]{1,255}", key):
        case.headers["Idempotency-Key"] = f"key-{next(NUMBERS)}"


def configuration(client: Client, api: str, examples: int, token: str) -> SchemathesisConfig:
    settings = {
        "seed": SEED,
        "base-url": client.server.base_url,
        "continue-on-failure": True,
        "generation": {"max-examples": examples, "deterministic": True, "no-shrink": True, "database": "none"},
        "phases": {"stateful": {"generation": {"max-examples": examples // 5}}},
        "auth": {"openapi": {"accessToken": {"bearer": token or TOKEN[api](client)}}},
        **EXPECTED[api],
    }
    return SchemathesisConfig.from_dict(settings)


TOKEN: dict[str, Callable[[Client], str]] = {"realtime": lambda client: client.token}


def accepts(call: str, *statuses: str) -> dict[str, Any]:
    """Statuses of a call that is in order as far as a schema can say."""
    return {
        "include-name": call,
        "checks": {"positive_data_acceptance": {"expected-statuses": [*statuses, "401", "429"]}},
    }


EXPECTED: dict[str, dict[str, Any]] = {
    "realtime": {
        "checks": {
            # A token of the wrong shape gets 400, as the provider documents it; schemathesis takes that for a hole.
            "ignored_auth": {"enabled": False},
            # 406 is an answer to a well-formed sender: that some characters count twice, a schema cannot say.
            "positive_data_acceptance": {"expected-statuses": ["200", "401", "404", "406", "429"]},
            "negative_data_rejection": {"expected-statuses": ["400", "401", "404", "406", "413", "429", "431"]},
        },
        # A form without credentials is in order, but only with HTTP Basic, and a schema cannot say so.
        "operations": [accepts("POST /api/auth", "200", "400")],
    },
}


def explore(client: Client, api: str, examples: int, token: str = "") -> dict[str, set[int]]:
    """Let schemathesis call the server; the statuses that each call was answered with."""
    schema = schemathesis.openapi.from_dict(contract(client, api), config=configuration(client, api, examples, token))
    statuses: dict[str, set[int]] = defaultdict(set)
    problems: list[str] = []
    for event in from_schema(schema).execute():
        if isinstance(event, events.NonFatalError):
            problems.append(repr(event.value))
        elif isinstance(event, events.FatalError):
            problems.append(repr(event.exception))
        elif isinstance(event, events.ScenarioFinished):
            for case_id, interaction in event.recorder.interactions.items():
                label = event.recorder.cases[case_id].value.operation.label
                assert interaction.response is not None, label
                statuses[label].add(interaction.response.status_code)
            problems += failures(event.recorder)
    assert not problems, f"{len(problems)} in all:\n" + "\n\n".join(problems[:5])[:5000]
    return statuses


def failures(recorder: ScenarioRecorder) -> Iterator[str]:
    """What was wrong, the call that shows it, and its answer."""
    for case_id, checks in recorder.checks.items():
        for info in (check.failure_info for check in checks if check.failure_info is not None):
            response = recorder.interactions[case_id].response
            answer = response and (response.status_code, response.text[:500])
            yield f"{recorder.label}: {info.failure.title}\n{info.failure.message}\n{info.code_sample[:500]}\n{answer}"


ANSWERED: dict[str, dict[str, set[int]]] = {
    "realtime": {
        "POST /api/auth": {200, 400, 405},
        "GET /api/balance": {200, 401, 405},
        "POST /api/sms": {200, 400, 401, 405},
        "GET /api/sms/{submissionId}": {200, 401, 404, 405},
    },
}
"""What schemathesis is to meet with each call, at least."""
EXAMPLES = {"realtime": 60}


def check_every_answer(folder: Path, door: str, api: str) -> None:
    with customer(folder / "data", door, 1_000_000) as client:
        statuses = explore(client, api, EXAMPLES[api])
    for label, expected in ANSWERED[api].items():
        assert statuses[label] >= expected, label


def check_over_the_limits(folder: Path, door: str, api: str) -> None:
    with customer(folder / "data", door, 30) as client:
        token = TOKEN[api](client)
        last = "a" if client.client_secret[-1] != "a" else "b"
        wrong = client.client_secret[:-1] + last
        wait_until(lambda: client.authenticate(client_secret=wrong).status == 429)
        client.server.cli_here("account", "limit", client.account, "--per-minute", "5")
        wait_until(lambda: client.get("/api/balance").header("RateLimit-Limit") == "5")
        statuses = explore(client, api, EXAMPLES[api] // 3, token)
    assert len(statuses) == len(ANSWERED[api])
    assert all(429 in seen for seen in statuses.values()), statuses


def test_no_answer_is_a_fault_or_undeclared(tmp_path: Path, door: str) -> None:
    check_every_answer(tmp_path, door, "realtime")


def test_no_answer_to_a_caller_over_its_limits_is_undeclared(tmp_path: Path, door: str) -> None:
    check_over_the_limits(tmp_path, door, "realtime")
