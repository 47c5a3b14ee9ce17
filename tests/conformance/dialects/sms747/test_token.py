"""`POST /api/v1/auth/token`, and `Authorization: Bearer …` on every other call."""

from __future__ import annotations

import base64
import json
import re
import time
from typing import Any

import jwt
import pytest
from tests.harness.client import FORM, JSON, form
from tests.harness.client747 import ACCOUNT, BATCH, CUSTOM, TOKEN, Client747, check_error, order
from tests.harness.wire import Response

HINT = {"hint": "Generate a new access token"}


def other_character(text: str, at: int = -1) -> str:
    """The same text but for one character."""
    at %= len(text)
    return text[:at] + ("a" if text[at] != "a" else "b") + text[at + 1 :]


def ask(client: Client747, body: bytes | dict[str, Any], *headers: tuple[str, str]) -> Response:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.call("POST", TOKEN, headers or [JSON], raw)


# -- asking for one


def test_the_answer_is_a_bearer_token_for_an_hour(client747: Client747) -> None:
    response = client747.authenticate()
    assert response.status == 200
    body = response.json()
    assert set(body) == {"access_token", "token_type", "expires_in"}
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 3600)
    assert type(body["expires_in"]) is int
    assert response.header("Content-Type") == "application/json"
    assert response.header("Cache-Control") == "no-store"
    assert response.header("X-Request-Id")
    claims = jwt.decode(body["access_token"], options={"verify_signature": False})
    assert 3590 <= claims["exp"] - time.time() <= 3601
    assert client747.call("GET", ACCOUNT, [("Authorization", f"Bearer {body['access_token']}")]).status == 200


def test_a_form_is_accepted_too(client747: Client747) -> None:
    body = form(api_key=client747.api_key, api_secret=client747.api_secret)
    for kind in ("application/x-www-form-urlencoded", "application/x-www-form-urlencoded; charset=utf-8"):
        response = ask(client747, body, ("Content-Type", kind))
        assert (response.status, response.json().get("token_type")) == (200, "Bearer")
    encoded = "".join(f"%{ord(character):02x}" for character in client747.api_secret)
    assert ask(client747, f"api_secret={encoded}&api%5Fkey={client747.api_key}".encode(), FORM).status == 200


def test_the_content_type_of_json_is_not_checked(client747: Client747) -> None:
    body = {"api_key": client747.api_key, "api_secret": client747.api_secret}
    for headers in ([("Content-Type", "text/plain")], [("Content-Type", "")], [("Accept", "text/html")]):
        assert ask(client747, body, *headers).status == 200, headers
    assert client747.call("POST", TOKEN, [], json.dumps(body).encode()).status == 200


def test_unknown_fields_are_ignored(client747: Client747) -> None:
    assert client747.authenticate(scope="everything", grant_type=None).status == 200


def test_tokens_are_many_and_each_is_good(client747: Client747) -> None:
    tokens = [client747.authenticate().json()["access_token"] for _ in range(3)]
    for token in (*tokens, tokens[0]):
        assert client747.call("GET", ACCOUNT, [("Authorization", f"Bearer {token}")]).status == 200


@pytest.mark.parametrize("which", ["api_key", "api_secret"])
def test_a_well_formed_key_or_secret_that_is_wrong_is_401_and_told_as_documented(
    client747: Client747, which: str
) -> None:
    right = {"api_key": client747.api_key, "api_secret": client747.api_secret}
    response = client747.authenticate(**{which: other_character(right[which])})
    assert check_error(response, 401, "authentication_failed") == HINT
    assert response.json()["error"]["message"] == "Invalid or expired access token"


def test_anothers_secret_is_wrong(client747: Client747, other747: Client747) -> None:
    check_error(client747.authenticate(api_secret=other747.api_secret), 401, "authentication_failed")


def test_a_wrong_secret_in_a_form_is_401(client747: Client747) -> None:
    body = form(api_key=client747.api_key, api_secret=other_character(client747.api_secret))
    check_error(ask(client747, body, FORM), 401, "authentication_failed")


MALFORMED = {
    "empty": lambda value: "",
    "a character too few": lambda value: value[:-1],
    "a character too many": lambda value: value + "a",
    "a blank before it": lambda value: " " + value,
    "another prefix": lambda value: "xx" + value[2:],
    "a letter outside ASCII": lambda value: value[:-1] + "é",
    "a blank within": lambda value: value[:-1] + " ",
    "something else": lambda value: "demo",
    "a number": lambda value: 5,
    "null": lambda value: None,
    "a list": lambda value: [value],
}


@pytest.mark.parametrize("how", MALFORMED)
@pytest.mark.parametrize("which", ["api_key", "api_secret"])
def test_a_malformed_key_or_secret_is_400(client747: Client747, which: str, how: str) -> None:
    right = {"api_key": client747.api_key, "api_secret": client747.api_secret}[which]
    response = client747.authenticate(**{which: MALFORMED[how](right)})
    assert check_error(response, 400, "invalid_request").get("parameter") == which
    assert right not in response.body.decode()


@pytest.mark.parametrize("which", ["api_key", "api_secret"])
def test_a_missing_field_is_400_and_named(client747: Client747, which: str) -> None:
    body = {"api_key": client747.api_key, "api_secret": client747.api_secret}
    del body[which]
    assert check_error(ask(client747, body), 400, "invalid_request")["parameter"] == which
    assert check_error(ask(client747, form(**body), FORM), 400, "invalid_request")["parameter"] == which


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b"api_key=x", b"\xef\xbb\xbf{}"])
def test_what_is_no_json_object_is_400(client747: Client747, body: bytes) -> None:
    check_error(ask(client747, body), 400, "invalid_request")


def test_a_form_field_that_comes_twice_is_400(client747: Client747) -> None:
    body = form(api_key=client747.api_key, api_secret=client747.api_secret)
    check_error(ask(client747, body + b"&api_key=" + client747.api_key.encode(), FORM), 400, "invalid_request")


def test_credentials_of_the_other_api_are_none_here_nor_the_other_way(client747: Client747) -> None:
    realtime = client747.realtime
    response = client747.authenticate(api_key=realtime.client_id, api_secret=realtime.client_secret)
    assert response.status in (400, 401)
    other = realtime.authenticate(client_id=client747.api_key, client_secret=client747.api_secret)
    assert other.status in (400, 401)


def test_credentials_in_the_query_are_none(client747: Client747) -> None:
    target = f"{TOKEN}?api_key={client747.api_key}&api_secret={client747.api_secret}"
    check_error(client747.call("POST", target, [JSON], b"{}"), 400, "invalid_request")


# -- using it

CALLS = {
    "account": ("GET", ACCOUNT, None),
    "list": ("GET", CUSTOM, None),
    "show": ("GET", f"{CUSTOM}/4193366853543393", None),
    "cancel": ("DELETE", f"{CUSTOM}/4193366853543393", None),
    "send": ("POST", CUSTOM, json.dumps(order()).encode()),
    "batch": ("POST", BATCH, json.dumps({"messages": [order()]}).encode()),
}
GOOD = {"account": 200, "list": 200, "show": 404, "cancel": 404, "send": 201, "batch": 200}


def call(client: Client747, which: str, *authorization: str) -> Response:
    method, target, body = CALLS[which]
    return client.call(method, target, [*(("Authorization", value) for value in authorization), JSON], body)


def unauthorized(response: Response) -> None:
    assert check_error(response, 401, "authentication_failed") == HINT
    assert response.json()["error"]["message"] == "Invalid or expired access token"


@pytest.mark.parametrize("which", CALLS)
def test_no_token_is_401(client747: Client747, which: str) -> None:
    unauthorized(call(client747, which))


@pytest.mark.parametrize("which", CALLS)
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_a_token_opens_every_call_whatever_the_schemes_case(client747: Client747, which: str, scheme: str) -> None:
    response = call(client747, which, f"{scheme} {client747.token}")
    assert response.status == GOOD[which], response.body


NONE = {
    **{repr(value): value for value in ("Bearer", "Bearer ", "Token {}", "Basic {}", "{}", "Bearer{}", "")},
    **{repr(value): value for value in ("Bearer abc", "Bearer a.b", "Bearer a.b.c", "Bearer a.b.c.d", "Bearer ..")},
    **{repr(value): value for value in ("Bearer  {}", "Bearer {} x", 'Bearer "{}"', "Bearer {}=", "Bearer {}\xe9")},
}


@pytest.mark.parametrize("which", ["account", "send"])
@pytest.mark.parametrize("how", NONE)
def test_whatever_is_wrong_with_a_token_is_401_and_never_400(client747: Client747, which: str, how: str) -> None:
    unauthorized(call(client747, which, NONE[how].format(client747.token)))


def segment(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.mark.parametrize("which", ["account", "send"])
def test_a_forged_token_is_401(client747: Client747, which: str) -> None:
    header, payload, signature = client747.token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    for forged in (
        f"{header}.{payload}.{'A' * len(signature)}",
        f"{header}.{segment({**claims, 'exp': claims['exp'] + 3600})}.{signature}",
        f"{segment({'alg': 'none', 'typ': 'JWT'})}.{payload}.{signature}",
        f"{payload}.{header}.{signature}",
        f"{header}.{segment([])}.{signature}",
    ):
        unauthorized(call(client747, which, f"Bearer {forged}"))


@pytest.mark.filterwarnings("ignore:The HMAC key is")
def test_an_expired_token_is_401(client747: Client747) -> None:
    """Signed with the installation's own key, and otherwise as issued."""
    keys = json.loads((client747.server.data / "keys.json").read_bytes())["tokens"]
    secret = base64.b64decode(keys[-1]["secret"])
    kid = jwt.get_unverified_header(client747.token)["kid"]
    claims = jwt.decode(client747.token, options={"verify_signature": False})

    def signed(**changes: object) -> str:
        return jwt.encode({**claims, **changes}, secret, "HS256", headers={"kid": kid})

    assert call(client747, "account", f"Bearer {signed()}").status == 200
    for token in (signed(exp=int(time.time()) - 1), signed(aud="realtime"), signed(aud=None), signed(exp=None)):
        for which in ("account", "send"):
            unauthorized(call(client747, which, f"Bearer {token}"))


def test_two_authorizations_are_none(client747: Client747) -> None:
    value = f"Bearer {client747.token}"
    assert call(client747, "send", value, value).status == 401


def test_a_refused_send_costs_nothing(client747: Client747) -> None:
    before = client747.balance()
    unauthorized(call(client747, "send", "Bearer a.b.c"))
    unauthorized(call(client747, "batch"))
    assert client747.balance() == before


def test_no_answer_shows_a_secret(client747: Client747) -> None:
    response = client747.authenticate(api_secret=other_character(client747.api_secret))
    assert client747.api_secret[:-1] not in response.body.decode()
    assert not re.search(r"Traceback|\.py\b|msgspec", response.body.decode())
