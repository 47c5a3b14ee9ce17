"""What must not be read by whoever reads the logs or lists the files."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator

import pytest
from tests.harness.client import JSON, Client, message
from tests.harness.server import Server

TEXT = "the eagle has landed"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("secrecy") / "data") as started:
        yield started


@pytest.fixture(scope="module")
def used(server: Server) -> tuple[Client, list[str]]:
    """A customer who has done a bit of everything, and the request ids of the answers."""
    client = Client(server, server.credentials)
    responses = [
        client.authenticate(),
        client.send(text=TEXT),
        client.send(sender=TEXT[:5]),
        client.get("/api/balance"),
    ]
    responses.append(client.authenticate(client_secret=client.client_secret[:-1] + "_"))
    raw = json.dumps(message(["+56910000000"], TEXT)).encode()
    responses.append(client.call("POST", "/api/sms", [client.bearer, JSON], raw[:-1]))
    client.wait_final(responses[1].json()["submissions"][0]["submissionId"])
    return client, [response.header("X-Request-Id") or "" for response in responses]


def test_every_request_has_its_line_in_the_log(server: Server, used: tuple[Client, list[str]]) -> None:
    printed = server.printed()
    assert [request_id for request_id in used[1] if request_id not in printed] == []


def test_no_text_and_no_token_is_ever_logged(server: Server, used: tuple[Client, list[str]]) -> None:
    client, _ = used
    printed = server.printed()
    assert TEXT not in printed
    assert client.token not in printed
    assert client.client_secret[:-1] + "_" not in printed


def test_the_log_never_has_the_secrets_that_were_shown_once(server: Server, used: tuple[Client, list[str]]) -> None:
    client, _ = used
    lines = [line for line in server.printed().splitlines() if line.startswith("{")]
    assert lines, "the log is structured: one JSON object a line"
    for line in lines:
        json.loads(line)
        assert client.client_secret not in line
        assert client.credentials["webhook_secret"] not in line


def test_keys_credentials_and_data_are_for_their_owner_alone(server: Server, used: tuple[Client, list[str]]) -> None:
    secret = [server.credentials_file, *server.data.glob("*key*"), *server.data.glob("*.sqlite*")]
    assert len(secret) >= 3
    for path in secret:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_no_secret_lies_in_the_database(server: Server, used: tuple[Client, list[str]]) -> None:
    client, _ = used
    for path in server.data.glob("*.sqlite*"):
        assert client.client_secret.encode() not in path.read_bytes(), path
