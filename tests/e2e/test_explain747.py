"""`heliograph explain REQUEST_ID` for requests of 747 SMS."""

from __future__ import annotations

import json

from tests.e2e.test_explain import TEXT, client, explained, server, text_of
from tests.harness.client import Client
from tests.harness.client747 import Client747

__all__ = ["client", "server"]  # the fixtures


def test_message_of_747_is_found_too_and_each_of_a_batch(client: Client) -> None:
    other = Client747(client.server, client.credentials)
    one = other.send(sender="96000")
    assert one.status == 201
    assert [each["id"] for each in explained(client.server, one, refused=False)["messages"]] == [
        one.json()["data"]["id"]
    ]
    assert explained(client.server, one, refused=False)["api"] == "747 SMS v1"
    orders = [{"recipient": number, "message": "hello", "sender": "96000"} for number in ("+1", "+56912340000", "+2")]
    orders.append({"message": "hello"})
    batch = other.post({"messages": orders}, "/api/v1/message/batch")
    assert batch.status == 200
    story = explained(client.server, batch)
    assert (story["outcome"], len(story["messages"])) == ("partly accepted", 1)
    error = story["error"]
    assert (error["code"], [one["code"] for one in error["others"]]) == ("recipient_invalid", ["field_invalid"])
    assert "recipient_invalid at 0, 2; field_invalid at 3" in error["detail"]
    assert error["charged"] == "1 message was accepted and charged, 1 in all; for what was refused nothing is charged."
    shown = text_of(client.server, batch)
    for part in ("747 SMS v1", "200 recipient_invalid, field_invalid", "3 of the 4 messages", error["charged"]):
        assert part in shown
    for remedy in (error["remedy"], error["others"][0]["remedy"]):
        assert " ".join(remedy.split()[:6]) in shown
    assert "Nothing was accepted" not in shown


def test_refused_request_tells_what_its_client_got(client: Client) -> None:
    other = Client747(client.server, client.credentials)
    told = other.send(sender="My Company Ltd"), other.post({"to": "+1555123", "message": "hello"})
    forged = other.call("GET", "/api/v1/account", [("Authorization", "Bearer a.b.c")])
    sender, number, token = (explained(client.server, one) for one in (*told, forged))
    assert {story["api"] for story in (sender, number, token)} == {"747 SMS v1"}
    message = "The phone number … is invalid. Phone numbers must be in E.164 format."
    assert number["error"]["detail"] == message
    assert "8 to 15 digits" in number["error"]["besides"]
    assert token["error"]["detail"] == forged.json()["error"]["message"]
    assert sender["error"]["detail"] == told[0].json()["error"]["message"].replace("'My Company Ltd'", "…")
    shown = text_of(client.server, told[1])
    for part in ("api 747 SMS v1", message, "8 to 15 digits"):
        assert part in shown


def test_journal_holds_nothing_that_a_field_was_filled_with(client: Client) -> None:
    other = Client747(client.server, client.credentials)
    told = [other.post({"to": TEXT, "message": "x"}), other.send(sender=TEXT), other.send(send_at=TEXT)]
    told.append(other.call("GET", "/api/v1/message/custom?limit=eagle", [other.bearer]))
    for one in told:
        assert one.status == 400
        assert "eagle" not in json.dumps(explained(client.server, one))
