"""A server whose carrier is an SMSC that is not ours: node-smpp."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.harness.client import Client
from tests.harness.node import NodeSmsc
from tests.harness.receiver import Receiver
from tests.harness.server import Server, free_port
from tests.harness.smpp import carrier, doubled, mobile, send_all, told_as_doubtful, wait_all, wait_state
from tests.harness.tls import self_signed

# Emoji that take two UTF-16 units each, at changing places: some stand where a part ends.
LONG = "".join(f"{n} ¡Ñandú! 😀👍🏽 – " for n in range(14))
EFFECTIVE_SECONDS = 2  # after a command, on a running server


@pytest.mark.parametrize(
    ("form", "told", "receipts"),
    [("udh8", "udh", "text"), ("udh16", "udh", "tlv"), ("sar", "sar", "payload"), ("payload", "payload", "early")],
)
def test_a_long_text_with_emoji_arrives_whole_and_is_reported(data: Path, form: str, told: str, receipts: str) -> None:
    with (
        NodeSmsc(receipts=receipts) as smsc,
        Server(data, settings=carrier("node", smsc.port, long_messages=form)) as server,
    ):
        client = Client(server, server.credentials)
        submission_id = client.submit(mobile(1), LONG)
        number = mobile(1).removeprefix("+")
        assert smsc.wait_whole({number})[number] == LONG
        assert client.wait_final(submission_id)["info"]["status"]["status"] == "DELIVERED"
        parts = smsc.submits
        assert {part["form"] for part in parts} == {told}
        assert (len(parts) == 1) == (form == "payload")
        assert {part["data_coding"] for part in parts} == {8}
        assert {(part["source"], part["source_ton"], part["source_npi"]) for part in parts} == {("96000", 3, 0)}
        assert {(part["destination"], part["destination_ton"], part["destination_npi"]) for part in parts} == {
            (number, 1, 1)
        }
        assert {part["udh"][:4] for part in parts} == {{"udh8": "0003", "udh16": "0804"}.get(form, "")}
    assert smsc.seen("unbind"), "a server that stops says so"
    assert not smsc.seen("surprise") + smsc.seen("error")


def test_every_character_of_the_gsm_alphabet_arrives(data: Path) -> None:
    text = "@£$¥èéùìòÇØøÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ ¤¡ÄÖÑÜ§¿äöñüà {[~]}|^€\\ the end"
    with NodeSmsc() as smsc, Server(data, settings=carrier("node", smsc.port)) as server:
        Client(server, server.credentials).submit(mobile(1), text)
        (submit,) = smsc.wait_submits(1)
        assert (submit["text"], submit["data_coding"]) == (text, 0)


@pytest.mark.parametrize("receipts", ["text", "tlv", "early"])
def test_receipts_find_their_message_when_the_carrier_writes_ids_in_two_ways(data: Path, receipts: str) -> None:
    """Hexadecimal in the submit_sm_resp, decimal with leading zeros in the receipt."""
    with (
        NodeSmsc(receipts=receipts, ids="hex", stat="UNDELIV") as smsc,
        Server(data, settings=carrier("node", smsc.port, message_ids="resp-hex-dlr-dec")) as server,
    ):
        client = Client(server, server.credentials)
        ids = send_all(client, range(20))
        wait_all(client, ids.values(), "UNDELIVERED")
        assert {one["status"] for one in smsc.wait_for("delivered", 20)} == {0}


@pytest.mark.parametrize("throttled", [10, 4])
def test_a_carrier_that_throttles_gets_everything_in_order_and_nothing_twice(data: Path, throttled: int) -> None:
    """A whole window, or a part of one: what was refused stands at the head again."""
    settings = carrier("node", 0, window=10)
    with NodeSmsc(throttled=throttled, answer_ms=50, receipts="text") as smsc:
        settings["carriers.node.port"] = str(smsc.port)
        with Server(data, settings=settings) as server:
            client = Client(server, server.credentials)
            ids = send_all(client, range(60))
            wait_all(client, ids.values())
            numbers = list(ids)
            refused = [submit["destination"] for submit in smsc.seen("throttled")]
            assert refused == numbers[:throttled]
            # The rest of the window was on the wire already.
            assert [submit["destination"] for submit in smsc.submits] == [
                *numbers[throttled:10],
                *refused,
                *numbers[10:],
            ]
            assert all(told_as_doubtful(server, ids[number]) == 0 for number in refused)


def test_messages_wait_for_a_carrier_that_refuses_binds_and_go_when_it_accepts_one(data: Path) -> None:
    refusals = [0x08, 0x0D, 0x05]  # a system error, bind failed, already bound
    with (
        NodeSmsc(binds=refusals, receipts="text") as smsc,
        Server(data, settings=carrier("node", smsc.port)) as server,
    ):
        client = Client(server, server.credentials)
        ids = send_all(client, range(5))
        wait_all(client, ids.values())
        assert [bind["status"] for bind in smsc.seen("bind")] == [*refusals, 0]
        assert len(smsc.submits) == len(ids)


def test_a_wrong_password_is_told_and_put_right_without_a_restart(data: Path) -> None:
    with NodeSmsc(receipts="text") as smsc, Server(data) as server:
        words = [
            "--host",
            "127.0.0.1",
            "--port",
            str(smsc.port),
            "--system-id",
            "heliograph",
            "--set",
            "password=wrong",
        ]
        server.cli_here("carrier", "add", "node", *words, "--set", "fault_seconds=3600", "--default")
        told = wait_state(server, "node", "fault")
        assert "ESME_RINVPASWD" in str(told)
        assert "wrong" not in str(server.cli_here("carrier", "show", "node").data)
        client = Client(server, server.credentials)
        waiting = client.submit(mobile(1))
        server.cli_here("carrier", "set", "node", "password=secret")
        assert client.wait_final(waiting)["info"]["status"]["status"] == "DELIVERED"
        wait_state(server, "node", "up")
        assert [bind["status"] for bind in smsc.seen("bind")] == [0x0E, 0]


def test_a_link_cut_in_mid_window_loses_nothing_and_doubles_no_more_than_it_says(data: Path) -> None:
    window = 20
    settings = carrier("node", 0, window=window)
    with NodeSmsc(cut=[37, 50, 0], answer_ms=20, receipts="text") as smsc:
        settings["carriers.node.port"] = str(smsc.port)
        with Server(data, settings=settings) as server:
            client = Client(server, server.credentials)
            ids = send_all(client, range(150))
            wait_all(client, ids.values())
            cuts = smsc.seen("cut")
            assert len(cuts) == 2
            assert all(cut["unanswered"] for cut in cuts), "the links were cut in mid window"
            sent = [submit["destination"] for submit in smsc.submits]
            assert set(sent) == set(ids)
            twice = doubled(sent)
            assert twice, "what was not answered is sent again"
            assert sum(twice.values()) <= len(cuts) * window
            for destination, times in twice.items():
                assert told_as_doubtful(server, ids[destination]) >= times


def test_on_a_carrier_that_holds_what_is_in_doubt_nothing_is_sent_twice_when_a_link_is_cut(data: Path) -> None:
    settings = carrier("node", 0, window=20, doubt="hold")
    with NodeSmsc(cut=[37], answer_ms=20, receipts="text") as smsc:
        settings["carriers.node.port"] = str(smsc.port)
        with Server(data, settings=settings) as server:
            client = Client(server, server.credentials)
            ids = send_all(client, range(100))
            ended = {to: client.wait_final(id_)["info"]["status"]["status"] for to, id_ in ids.items()}
            assert doubled(submit["destination"] for submit in smsc.submits) == {}
            unknown = {to for to, status in ended.items() if status == "UNKNOWN"}
            assert 0 < len(unknown) <= 20
            assert {status for to, status in ended.items() if to not in unknown} == {"DELIVERED"}


def test_a_carrier_over_tls_must_be_who_our_authorities_say(data: Path, tmp_path: Path) -> None:
    certificate = self_signed(tmp_path)
    files = {"key": str(certificate.key), "cert": str(certificate.cert)}
    with NodeSmsc(tls=files, receipts="text") as smsc:
        settings = {
            **carrier("ours", smsc.port, tls=True, tls_ca=certificate.cert),
            **carrier("strange", smsc.port, tls=True, default=False),
        }
        with Server(data, settings=settings) as server:
            client = Client(server, server.credentials)
            wait_all(client, send_all(client, range(5)).values())
            assert "certificate" in str(wait_state(server, "strange", "fault"))
        assert len(smsc.seen("bind")) == 1


@pytest.mark.parametrize("bind", ["transceiver", "transmitter_receiver"])
def test_an_inbound_message_in_one_packet_with_the_answer_to_the_bind_reaches_the_customer(
    data: Path, bind: str
) -> None:
    port = free_port()
    greeting = [
        {"from": "56912345678", "to": "96000", "text": "stop"},
        {"from": "56912345679", "to": "96000", "text": "ñandú 😀"},
    ]
    with Receiver() as receiver, Server(data, settings=carrier("node", port, bind=bind)) as server:
        server.cli_here("account", "callbacks", "demo", "--mo-url", receiver.url)
        time.sleep(EFFECTIVE_SECONDS)
        with NodeSmsc(port=port, greeting=greeting) as smsc:
            assert heard(receiver, 2) == {
                ("56912345678", "96000", "stop"),
                ("56912345679", "96000", "ñandú 😀"),
            }
            assert {one["status"] for one in smsc.wait_for("delivered", 2)} == {0}
            smsc.deliver("56912345680", "96000", "later")
            assert ("56912345680", "96000", "later") in heard(receiver, 3)


def heard(receiver: Receiver, count: int) -> set[tuple[str, str, str]]:
    """Waits for so many calls of an inbound message: from, to and text of each."""
    calls = receiver.wait(lambda calls: len(calls) >= count and [call.json() for call in calls])
    return {(call["phone"], call["originator"], call["message"]) for call in calls}
