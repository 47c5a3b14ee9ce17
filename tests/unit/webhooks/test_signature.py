"""Signatures against an independent implementation, in both directions, and everything that must not verify."""

from __future__ import annotations

import base64
import datetime
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from heliograph.webhooks import signature
from heliograph.webhooks.signature import Unverified, key_of, sign, verify

KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
OTHER = bytes(range(1, 33))
BODY = b'{"id":"543521789981","phone":"447945223343","status":1,"date":"2020-11-11 11:11:11"}'
NOW = 1_767_225_600

ids = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="."), min_size=1, max_size=40)


def check(
    signatures: str, *, body: bytes = BODY, webhook_id: str = "cb_1", timestamp: str = str(NOW), now: int = NOW
) -> None:
    verify(KEY, webhook_id=webhook_id, timestamp=timestamp, signatures=signatures, body=body, now=now)


@given(key=st.binary(min_size=24, max_size=64), webhook_id=ids, text=st.text(max_size=300))
def test_the_oracle_verifies_what_is_signed_here(key: bytes, webhook_id: str, text: str) -> None:
    now = int(time.time())
    headers = {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(now),
        "webhook-signature": sign([key], webhook_id, now, text.encode()),
    }
    secret = "whsec_" + base64.b64encode(key).decode()
    Webhook(secret).verify(text.encode(), headers, json_parse=False)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(text.encode() + b" ", headers, json_parse=False)


@given(key=st.binary(min_size=24, max_size=64), webhook_id=ids, text=st.text(max_size=300))
def test_what_the_oracle_signs_verifies_here(key: bytes, webhook_id: str, text: str) -> None:
    at = datetime.datetime.fromtimestamp(NOW, datetime.UTC)
    signed = Webhook("whsec_" + base64.b64encode(key).decode()).sign(webhook_id, at, text)
    assert signed == sign([key], webhook_id, NOW, text.encode())
    verify(key, webhook_id=webhook_id, timestamp=str(NOW), signatures=signed, body=text.encode(), now=NOW)


def test_while_a_secret_changes_either_verifies() -> None:
    both = sign([OTHER, KEY], "cb_1", NOW, BODY)
    assert len(both.split(" ")) == 2
    check(both)
    verify(OTHER, webhook_id="cb_1", timestamp=str(NOW), signatures=both, body=BODY, now=NOW)


def test_unknown_versions_beside_ours_are_ignored() -> None:
    check("v1a,AAAA " + sign([KEY], "cb_1", NOW, BODY) + " v2,BBBB")


@pytest.mark.parametrize("seconds", [-300, 0, 300])
def test_the_tolerance_covers_five_minutes_either_way(seconds: int) -> None:
    check(sign([KEY], "cb_1", NOW, BODY), now=NOW + seconds)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"body": BODY.replace(b"1", b"2")}, "no signature matches"),
        ({"webhook_id": "cb_2"}, "no signature matches"),
        ({"timestamp": str(NOW + 1)}, "no signature matches"),
        ({"now": NOW + 301}, "more than 300 s"),
        ({"now": NOW - 301}, "more than 300 s"),
        ({"timestamp": "soon"}, "not a number"),
        ({"timestamp": f"{NOW}.0"}, "not a number"),
        ({"timestamp": "-1"}, "not a number"),
        ({"timestamp": "٣"}, "not a number"),
        ({"timestamp": ""}, "missing"),
        ({"webhook_id": ""}, "missing"),
    ],
)
def test_a_changed_or_late_callback_does_not_verify(change: dict[str, object], why: str) -> None:
    with pytest.raises(Unverified, match=why):
        check(sign([KEY], "cb_1", NOW, BODY), **change)  # type: ignore[arg-type]


@pytest.mark.parametrize("signatures", ["", "v1", "v1,", "v1,é", ",", "v1,AAAA", sign([OTHER], "cb_1", NOW, BODY)])
def test_a_signature_that_is_none_or_anothers_does_not_verify(signatures: str) -> None:
    with pytest.raises(Unverified):
        check(signatures)


def test_signatures_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[object] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    monkeypatch.setattr(signature.hmac, "compare_digest", compare)
    check(sign([KEY, OTHER], "cb_1", NOW, BODY))
    assert len(compared) == 2  # all of them, whichever matches


@pytest.mark.parametrize("size", [24, 32, 64])
def test_the_key_is_what_the_secret_holds(size: int) -> None:
    key = bytes(size)
    assert key_of("whsec_" + base64.b64encode(key).decode()) == key


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "secret", SECRET[6:], "whsec_%%%%", "whsec_" + "A" * 28, "whsec_" + "A" * 88]
)
def test_a_secret_of_another_shape_is_refused_without_being_shown(secret: str) -> None:
    with pytest.raises(ValueError, match="copy it whole") as refused:
        key_of(secret)
    assert "AAAA" not in str(refused.value)
