"""`heliograph smsc` with ESMEs that are not ours: node-smpp and Kannel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest
from tests.harness.kannel import Kannel
from tests.harness.node import NodeEsme
from tests.harness.receiver import Call, Receiver
from tests.harness.smpp import PASSWORD, SYSTEM_ID
from tests.harness.smsc import Smsc

# Emoji that take two UTF-16 units each, at changing places: some stand where a part ends.
LONG = "".join(f"{n} ¡Ñandú! 😀👍🏽 – " for n in range(14))
FORMS = ("plain", "udh8", "udh16", "sar", "payload")


@pytest.fixture(scope="module")
def smsc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Smsc]:
    with Smsc(tmp_path_factory.mktemp("smsc"), "--receipts", "all") as started:
        yield started


@pytest.mark.parametrize("bind", ["bind_transceiver", "bind_transmitter", "bind_receiver"])
def test_node_smpp_is_refused_with_a_wrong_password_and_let_in_with_the_right_one(smsc: Smsc, bind: str) -> None:
    with NodeEsme(smsc.port, bind=bind, system_id=SYSTEM_ID, password="wrong") as refused:
        assert refused.ended() == 0
        assert [event["status"] for event in refused.seen("bound")] == [0x0E]
    with NodeEsme(smsc.port, bind=bind, system_id=SYSTEM_ID, password=PASSWORD) as welcome:
        assert welcome.ended() == 0
        assert [event["status"] for event in welcome.seen("bound")] == [0]
        assert not welcome.seen("error")


def test_node_smpp_sends_a_long_text_with_emoji_in_every_form_and_gets_its_receipts(smsc: Smsc) -> None:
    texts = {f"5691100000{n}": "short: €" if form == "plain" else LONG for n, form in enumerate(FORMS)}
    submits = [{"to": to, "text": texts[to], "form": form} for to, form in zip(texts, FORMS, strict=True)]
    with NodeEsme(smsc.port, system_id=SYSTEM_ID, password=PASSWORD, submits=submits, receipts=True) as esme:
        assert esme.ended() == 0
        assert not esme.seen("error")
        answers, receipts = esme.seen("answer"), esme.seen("deliver")
    assert {answer["status"] for answer in answers} == {0}
    ids = sorted(answer["id"] for answer in answers)
    assert len(set(ids)) == len(ids), "each part has an id of its own"
    assert {receipt["esm_class"] for receipt in receipts} == {0x04}
    assert sorted(receipt["text"].split()[0].removeprefix("id:") for receipt in receipts) == ids
    assert all("stat:DELIVRD" in receipt["text"] for receipt in receipts)
    assert sorted(receipt["receipted_message_id"] for receipt in receipts) == ids
    assert {receipt["message_state"] for receipt in receipts} == {2}
    arrived = smsc.texts()
    assert {to: arrived.get(to) for to in texts} == texts


def test_node_smpp_is_told_when_it_is_throttled_and_what_was_throttled_is_not_taken(tmp_path: Path) -> None:
    numbers = [f"569150000{n:02d}" for n in range(30)]
    submits = [{"to": number, "text": "quick", "form": "plain"} for number in numbers]
    with (
        Smsc(tmp_path, "--throughput", "10") as smsc,
        NodeEsme(smsc.port, system_id=SYSTEM_ID, password=PASSWORD, submits=submits) as esme,
    ):
        assert esme.ended() == 0
        status = {numbers[answer["message"]]: answer["status"] for answer in esme.seen("answer")}
        assert set(status.values()) == {0, 0x58}
        assert [one.destination for one in smsc.taken] == [number for number in numbers if status[number] == 0]


def test_node_smpp_sees_its_link_cut_and_what_was_taken_before_is_on_record(tmp_path: Path) -> None:
    submits = [{"to": f"569160000{n:02d}", "text": "in vain", "form": "plain"} for n in range(30)]
    with (
        Smsc(tmp_path, "--answer-delay", "20", "--drop-every", "17") as smsc,
        NodeEsme(smsc.port, system_id=SYSTEM_ID, password=PASSWORD, submits=submits) as esme,
    ):
        assert esme.ended() == 0
        assert esme.seen("closed")
        assert len(smsc.taken) == 17
        assert len(esme.seen("answer")) < 17


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as started:
        yield started


@pytest.fixture
def kannel(smsc: Smsc, receiver: Receiver, tmp_path: Path) -> Iterator[Kannel]:
    mo_url = f"{receiver.url}/mo"
    with Kannel(tmp_path, smsc.port, system_id=SYSTEM_ID, password=PASSWORD, mo_url=mo_url) as started:
        started.wait_online()
        yield started


def reported(receiver: Receiver, to: str, kind: str) -> bool:
    """Waits for Kannel's report: 1 is delivered, 2 is not, 8 is taken by the SMSC."""
    return bool(receiver.wait(lambda calls: {"to": to, "type": kind} in queries(calls, "/dlr")))


def queries(calls: list[Call], path: str) -> list[dict[str, str]]:
    return [dict(parse_qsl(urlsplit(call.target).query)) for call in calls if call.target.startswith(f"{path}?")]


@pytest.mark.parametrize(
    ("to", "text", "coding"), [("56912000001", LONG, "2"), ("56912000002", "hola, mañana: 5 €", "0")]
)
def test_kannel_sends_a_text_and_hears_of_its_delivery(
    smsc: Smsc, kannel: Kannel, receiver: Receiver, to: str, text: str, coding: str
) -> None:
    kannel.send(to, text, coding=coding, dlr_url=f"{receiver.url}/dlr?to={to}&type=%d")
    assert smsc.wait_text(to) == text
    assert reported(receiver, to, "8")
    assert reported(receiver, to, "1")


def test_kannel_keeps_its_window_full_and_loses_nothing(smsc: Smsc, kannel: Kannel, receiver: Receiver) -> None:
    numbers = [f"569130000{n:02d}" for n in range(50)]
    for number in numbers:
        kannel.send(number, "one of many", dlr_url=f"{receiver.url}/dlr?to={number}&type=%d")
    for number in numbers:
        assert reported(receiver, number, "1")
    sent = [one.destination for one in smsc.taken if one.text == "one of many"]
    assert sorted(sent) == numbers


def test_kannel_hears_from_phones(smsc: Smsc, kannel: Kannel, receiver: Receiver) -> None:
    smsc.deliver("56914000001", "96000", "stop [it] @ 5 €")
    (found,) = receiver.wait(lambda calls: queries(calls, "/mo"))
    # Kannel writes numbers of TON 1 with their +, and text of the GSM alphabet as UTF-8.
    assert found == {"from": "+56914000001", "to": "96000", "text": "stop [it] @ 5 €", "coding": "0"}
