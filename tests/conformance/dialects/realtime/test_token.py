"""`POST /api/auth`: the contract's "Authentication — OAuth2, client credentials"."""

from __future__ import annotations

import base64
import json
import re

import pytest
from tests.harness.client import FORM, Client, form
from tests.harness.wire import Response


def basic(client_id: str, client_secret: str) -> tuple[str, str]:
    return ("Authorization", "Basic " + base64.b64encode(f"{client_id}:{client_secret}".encode()).decode())


def post(client: Client, body: bytes, *headers: tuple[str, str], target: str = "/api/auth") -> Response:
    return client.call("POST", target, headers or [FORM], body)


def other_character(text: str, at: int = -1) -> str:
    """The same text but for one character."""
    at %= len(text)
    return text[:at] + ("a" if text[at] != "a" else "b") + text[at + 1 :]


def refused(response: Response, status: int, error: str) -> None:
    """RFC 6749 §5.2, and what every error of ours carries besides."""
    assert (response.status, response.json().get("error")) == (status, error), response.body
    assert (response.header("Content-Type") or "").split(";")[0] == "application/json"
    assert set(response.json()) <= {"error", "error_description", "error_uri"}
    # RFC 6749 §5.2: error_description is %x20-21 / %x23-5B / %x5D-7E
    assert re.fullmatch(r"[\x20-\x21\x23-\x5b\x5d-\x7e]*", response.json().get("error_description", ""))
    assert re.fullmatch(r'</errors/[\w-]+>; rel="help"', response.header("Link") or "")
    assert response.header("X-Request-Id")


def test_the_answer_is_the_documented_one_with_what_oauth2_clients_need(client: Client) -> None:
    response = client.authenticate()
    assert response.status == 200
    body = response.json()
    assert set(body) == {"access_token", "validity_period", "token_type", "expires_in"}
    assert body["validity_period"] == "3600"
    assert body["expires_in"] == 3600
    assert type(body["expires_in"]) is int
    assert body["token_type"] == "Bearer"
    assert response.header("Cache-Control") == "no-store"
    assert (response.header("Content-Type") or "").split(";")[0] == "application/json"


def test_the_token_has_the_shape_of_a_jwt_and_opens_the_api(client: Client) -> None:
    token = client.authenticate().json()["access_token"]
    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+", token, re.ASCII)
    assert client.call("GET", "/api/balance", [("Authorization", f"Bearer {token}")]).status == 200


def test_a_charset_may_follow_the_content_type(client: Client) -> None:
    body = form(grant_type="client_credentials", client_id=client.client_id, client_secret=client.client_secret)
    for kind in (
        "application/x-www-form-urlencoded; charset=utf-8",
        "application/x-www-form-urlencoded;charset=UTF-8",
        "Application/X-WWW-Form-URLEncoded",
    ):
        assert post(client, body, ("Content-Type", kind)).status == 200, kind


def test_percent_encoded_fields_are_decoded(client: Client) -> None:
    encoded = "".join(f"%{ord(character):02x}" for character in client.client_secret)
    body = f"client_secret={encoded}&client%5Fid={client.client_id}&grant_type=client%5fcredentials"
    assert post(client, body.encode()).status == 200


def test_a_chunked_form_is_as_good(client: Client) -> None:
    body = form(grant_type="client_credentials", client_id=client.client_id, client_secret=client.client_secret)
    assert client.call("POST", "/api/auth", [FORM], chunks=[body[:7], body[7:]]).status == 200


def test_http_basic_is_accepted_too(client: Client) -> None:
    header = basic(client.client_id, client.client_secret)
    response = post(client, form(grant_type="client_credentials"), FORM, header)
    assert response.status == 200
    assert response.json()["token_type"] == "Bearer"


def test_the_name_basic_is_case_free(client: Client) -> None:
    name, value = basic(client.client_id, client.client_secret)
    response = post(client, form(grant_type="client_credentials"), FORM, (name, value.replace("Basic", "bAsIc")))
    assert response.status == 200


def test_scope_unknown_fields_and_the_query_are_ignored(client: Client) -> None:
    assert client.authenticate(scope="sms.send", audience="x", resource="y").status == 200
    body = form(grant_type="client_credentials", client_id=client.client_id, client_secret=client.client_secret)
    assert post(client, body, target="/api/auth?grant_type=password&client_id=x&client_id=y").status == 200


def test_credentials_in_the_query_alone_are_missing(client: Client) -> None:
    query = form(client_id=client.client_id, client_secret=client.client_secret).decode()
    refused(post(client, form(grant_type="client_credentials"), target=f"/api/auth?{query}"), 400, "invalid_request")


@pytest.mark.parametrize("missing", ["grant_type", "client_id", "client_secret"])
@pytest.mark.parametrize("how", ["absent", "empty"])
def test_a_missing_parameter_is_an_invalid_request(client: Client, missing: str, how: str) -> None:
    fields = {
        "grant_type": "client_credentials",
        "client_id": client.client_id,
        "client_secret": client.client_secret,
    }
    if how == "absent":
        del fields[missing]
    else:
        fields[missing] = ""  # RFC 6749 §3.1: a parameter without a value is treated as if it were omitted
    refused(post(client, form(**fields)), 400, "invalid_request")


def test_an_empty_body_is_an_invalid_request(client: Client) -> None:
    refused(post(client, b""), 400, "invalid_request")


@pytest.mark.parametrize("repeated", ["grant_type", "client_id", "client_secret"])
def test_a_repeated_parameter_is_an_invalid_request(client: Client, repeated: str) -> None:
    fields = {
        "grant_type": "client_credentials",
        "client_id": client.client_id,
        "client_secret": client.client_secret,
    }
    refused(post(client, form(**fields) + b"&" + form(**{repeated: fields[repeated]})), 400, "invalid_request")


def test_two_ways_of_authenticating_are_an_invalid_request(client: Client) -> None:
    body = form(grant_type="client_credentials", client_id=client.client_id, client_secret=client.client_secret)
    response = post(client, body, FORM, basic(client.client_id, client.client_secret))
    refused(response, 400, "invalid_request")


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8"])
def test_a_json_body_is_an_invalid_request(client: Client, kind: str) -> None:
    body = {
        "grant_type": "client_credentials",
        "client_id": client.client_id,
        "client_secret": client.client_secret,
    }
    refused(post(client, json.dumps(body).encode(), ("Content-Type", kind)), 400, "invalid_request")


def test_json_under_a_form_content_type_is_an_invalid_request(client: Client) -> None:
    refused(post(client, b'{"grant_type":"client_credentials"}'), 400, "invalid_request")


@pytest.mark.parametrize("grant", ["password", "authorization_code", "refresh_token", "CLIENT_CREDENTIALS"])
def test_another_grant_is_unsupported(client: Client, grant: str) -> None:
    refused(client.authenticate(grant_type=grant), 400, "unsupported_grant_type")


MALFORMED = {
    "one character short": lambda text: text[:-1],
    "one character long": lambda text: text + "a",
    "another prefix": lambda text: ("x" if text[0] != "x" else "y") + text[1:],
    "a character outside the alphabet": lambda text: text[:-1] + "!",
    "a letter outside ASCII": lambda text: text[:-1] + "é",
    "a blank at the end": lambda text: text + " ",
    "a line feed at the end": lambda text: text + "\n",
    "a line feed for the last character": lambda text: text[:-1] + "\n",
    "something else altogether": lambda _: "admin",
}


@pytest.mark.parametrize("how", MALFORMED)
@pytest.mark.parametrize("which", ["client_id", "client_secret"])
def test_malformed_credentials_are_400(client: Client, which: str, how: str) -> None:
    right = {"client_id": client.client_id, "client_secret": client.client_secret}[which]
    refused(client.authenticate(**{which: MALFORMED[how](right)}), 400, "invalid_request")


@pytest.mark.parametrize("which", ["client_id", "client_secret"])
def test_one_wrong_character_is_401_for_there_is_no_checksum(client: Client, which: str) -> None:
    right = {"client_id": client.client_id, "client_secret": client.client_secret}[which]
    for at in (-1, -2, len(right) - 3):
        refused(client.authenticate(**{which: other_character(right, at)}), 401, "invalid_client")


def test_the_secret_of_another_account_is_401(client: Client, other: Client) -> None:
    refused(client.authenticate(client_secret=other.client_secret), 401, "invalid_client")
    refused(client.authenticate(client_id=other.client_id), 401, "invalid_client")


def test_id_and_secret_exchanged_are_refused(client: Client) -> None:
    response = client.authenticate(client_id=client.client_secret, client_secret=client.client_id)
    assert response.status in (400, 401)


def test_wrong_credentials_by_basic_are_challenged_for_basic(client: Client) -> None:
    wrong = basic(client.client_id, other_character(client.client_secret))
    response = post(client, form(grant_type="client_credentials"), FORM, wrong)
    refused(response, 401, "invalid_client")
    assert re.match(r"Basic( |$)", response.header("WWW-Authenticate") or "")


@pytest.mark.parametrize("value", ["Basic", "Basic !!!!", "Basic bm9jb2xvbg==", "Basic Og=="])
def test_malformed_basic_is_400(client: Client, value: str) -> None:
    response = post(client, form(grant_type="client_credentials"), FORM, ("Authorization", value))
    refused(response, 400, "invalid_request")


def test_malformed_credentials_by_basic_are_400(client: Client) -> None:
    response = post(client, form(grant_type="client_credentials"), FORM, basic(client.client_id, "short"))
    refused(response, 400, "invalid_request")


def test_only_post_gives_tokens(client: Client) -> None:
    query = form(grant_type="client_credentials", client_id=client.client_id, client_secret=client.client_secret)
    for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"):
        response = client.call(method, f"/api/auth?{query.decode()}")
        assert (response.status, response.allow) == (405, {"POST"}), method
