"""`Authorization: Bearer …` on every call but the first."""

from __future__ import annotations

import base64
import json
import time

import jwt
import pytest
from tests.harness.client import JSON, Client, message
from tests.harness.wire import Response

CALLS = {
    "balance": ("GET", "/api/balance", None),
    "send": ("POST", "/api/sms", json.dumps(message(["+56910000000"])).encode()),
    "info": ("GET", "/api/sms/4193366853543393", None),
}


def call(client: Client, which: str, *authorization: str) -> Response:
    method, target, body = CALLS[which]
    return client.call(method, target, [*(("Authorization", value) for value in authorization), JSON], body)


def unauthorized(response: Response) -> None:
    assert (response.status, response.body) == (401, b"")
    assert response.header("Content-Length") == "0"
    assert (response.header("WWW-Authenticate") or "").startswith("Bearer")
    assert (response.header("Link") or "").endswith('; rel="help"')
    assert response.header("X-Request-Id")


def segment(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


@pytest.mark.parametrize("which", CALLS)
def test_no_token_is_401_with_an_empty_body(client: Client, which: str) -> None:
    unauthorized(call(client, which))


@pytest.mark.parametrize("which", CALLS)
@pytest.mark.parametrize("value", ["Bearer", "Bearer ", "Token {}", "Basic {}", "{}", "Bearer{}", "Bearer\t{}", ""])
def test_no_bearer_prefix_is_401(client: Client, which: str, value: str) -> None:
    unauthorized(call(client, which, value.format(client.token)))


@pytest.mark.parametrize("which", CALLS)
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_the_schemes_case_is_free(client: Client, which: str, scheme: str) -> None:
    expected = {"balance": 200, "send": 200, "info": 404}[which]
    assert call(client, which, f"{scheme} {client.token}").status == expected


@pytest.mark.parametrize("which", CALLS)
def test_blanks_around_a_header_are_no_part_of_it(client: Client, which: str) -> None:
    """RFC 9110 §5.5: a field value is taken without the white space before and after it."""
    expected = {"balance": 200, "send": 200, "info": 404}[which]
    for value in (f"  Bearer {client.token}", f"Bearer {client.token} ", f"\tBearer {client.token} \t "):
        assert call(client, which, value).status == expected, repr(value)


SHAPELESS = {
    "one part": "abc",
    "two parts": "abc.def",
    "four parts": "a.b.c.d",
    "empty parts": "..",
    "an empty signature": "abc.def.",
    "padding": "abc.def.ghi=",
    "a letter outside ASCII": "abc.def.gh\xe9",
    "a second word": "{} x",
    "quotes": '"{}"',
    "two spaces": " {}",
}


@pytest.mark.parametrize("which", CALLS)
@pytest.mark.parametrize("how", SHAPELESS)
def test_a_value_that_is_no_token_is_400(client: Client, which: str, how: str) -> None:
    response = call(client, which, "Bearer " + SHAPELESS[how].format(client.token))
    assert response.status == 400
    assert response.header("Content-Type") == "application/problem+json"
    assert client.token not in response.body.decode()


@pytest.mark.parametrize("which", CALLS)
def test_a_forged_token_is_401(client: Client, which: str) -> None:
    header, payload, signature = client.token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    for forged in (
        "a.b.c",
        f"{header}.{payload}.{'A' * len(signature)}",
        f"{header}.{segment({**claims, 'exp': claims['exp'] + 3600})}.{signature}",
        f"{segment({'alg': 'none', 'typ': 'JWT'})}.{payload}.{signature}",
        f"{header}.{payload}.{signature}{signature}",
        f"{payload}.{header}.{signature}",
        f"{segment([])}.{payload}.{signature}",
        f"{header}.{segment('x')}.{signature}",
    ):
        unauthorized(call(client, which, f"Bearer {forged}"))


def test_a_token_with_one_wrong_character_is_401_wherever_it_is(client: Client) -> None:
    for at in range(0, len(client.token) - 1, 23):
        if client.token[at] != ".":
            wrong = client.token[:at] + ("A" if client.token[at] != "A" else "B") + client.token[at + 1 :]
            unauthorized(call(client, "balance", f"Bearer {wrong}"))


@pytest.mark.filterwarnings("ignore:The HMAC key is")
def test_a_token_of_ours_is_401_when_it_expired_or_is_for_something_else(client: Client) -> None:
    """Signed with the installation's own key, and otherwise as issued."""
    keys = json.loads((client.server.data / "keys.json").read_bytes())["tokens"]
    secret = base64.b64decode(keys[-1]["secret"])
    header = jwt.get_unverified_header(client.token)
    claims = jwt.decode(client.token, options={"verify_signature": False})

    def signed(changes: dict[str, object], algorithm: str = "HS256", **more: str) -> str:
        return jwt.encode({**claims, **changes}, secret, algorithm, headers={"kid": header["kid"], **more})

    assert call(client, "balance", f"Bearer {signed({})}").status == 200
    now = int(time.time())
    for token in (
        signed({"exp": now - 1}),
        signed({"exp": now}),
        signed({"exp": None}),
        signed({"exp": "soon"}),
        signed({"aud": "sms747"}),
        signed({"aud": None}),
        signed({"aud": []}),
        signed({}, "HS512"),
        signed({}, kid="nobody"),
        signed({"sub": None, "aid": None}),
        signed({name: 10**9 if isinstance(claims[name], int) else "nobody" for name in claims if name != "exp"}),
    ):
        unauthorized(call(client, "balance", f"Bearer {token}"))
        unauthorized(call(client, "send", f"Bearer {token}"))


def test_a_token_is_good_for_many_calls_and_a_second_one_leaves_the_first_alone(client: Client) -> None:
    first = client.authenticate().json()["access_token"]
    second = client.authenticate().json()["access_token"]
    for token in (first, second, first):
        assert call(client, "balance", f"Bearer {token}").status == 200


def test_a_token_in_the_query_or_body_is_no_token(client: Client) -> None:
    unauthorized(client.call("GET", f"/api/balance?access_token={client.token}"))


def test_a_refused_send_stores_and_costs_nothing(client: Client) -> None:
    before = client.balance()
    unauthorized(call(client, "send", "Bearer a.b.c"))
    unauthorized(call(client, "send"))
    assert client.balance() == before
