"""`heliograph smsc` as a process: what it prints, how it ends, and who may connect over TLS."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.harness.peer import Peer
from tests.harness.server import environment, free_port
from tests.harness.tls import self_signed

from heliograph.carriers.smpp.pdu import (
    Bind,
    BindResp,
    Command,
    DeliverSm,
    DeliverSmResp,
    Framer,
    SubmitSm,
    SubmitSmResp,
    Unbind,
    decode,
    encode,
)


class Raw:
    """A client of sockets and PDUs alone: it knows of no session."""

    def __init__(self, port: int, context: ssl.SSLContext | None = None) -> None:
        connection = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket = context.wrap_socket(connection, server_hostname="localhost") if context else connection
        self._frames = Framer()
        self._waiting: list[Any] = []

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *pdus: Any) -> None:
        self.socket.sendall(b"".join(map(encode, pdus)))

    def read(self, count: int = 1) -> list[Any]:
        while len(self._waiting) < count:
            data = self.socket.recv(65_536)
            assert data, "it hung up"
            self._waiting += map(decode, self._frames.feed(data))
        found, self._waiting = self._waiting[:count], self._waiting[count:]
        return found

    def bind(self, system_id: str = "acme", password: str = "secret") -> BindResp:
        self.send(Bind(command=Command.BIND_TRANSCEIVER, system_id=system_id, password=password, sequence=1))
        (answer,) = self.read()
        assert isinstance(answer, BindResp)
        return answer


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "heliograph", "smsc", *options]


def started(*options: str) -> tuple[Peer, int]:
    peer = Peer(command("--json", "--port", "0", *options))
    try:
        return peer, int(peer.wait_for("listening")[0]["port"])
    except BaseException:
        peer.close()
        raise


def summary(peer: Peer) -> dict[str, Any]:
    """What it says in the end."""
    os.kill(peer._process.pid, signal.SIGTERM)
    assert peer.ended() == 0
    return peer.seen("summary")[0]


def refused(*options: str) -> tuple[int, str]:
    ended = subprocess.run(command(*options), env=environment(), capture_output=True, text=True, timeout=30)
    return ended.returncode, ended.stderr


def test_it_says_who_binds_and_in_the_end_what_it_has_seen(tmp_path: Path) -> None:
    peer, port = started("--system-id", "acme", "--password", "secret", "--log", str(tmp_path / "log"))
    with peer:
        with Raw(port) as wrong:
            assert wrong.bind(password="wrong").status == 0x0E
        with Raw(port) as client:
            assert client.bind().status == 0
            bound = peer.wait_for("bound")[0]
            assert (bound["system_id"], bound["kind"]) == ("acme", "transceiver")
            submits = [
                SubmitSm(source="Acme", destination=f"5691234{n}", registered_delivery=1, sequence=n)
                for n in range(2, 7)
            ]
            client.send(*submits)
            pdus = client.read(10)
            answers = [pdu for pdu in pdus if isinstance(pdu, SubmitSmResp)]
            receipts = [pdu for pdu in pdus if isinstance(pdu, DeliverSm)]
            assert [answer.sequence for answer in answers] == [2, 3, 4, 5, 6]
            logged = [json.loads(line)["id"] for line in (tmp_path / "log").read_text().splitlines()]
            assert logged == [answer.message_id for answer in answers]
            client.send(*(DeliverSmResp(sequence=receipt.sequence) for receipt in receipts), Unbind(sequence=7))
            client.read()
            closed = peer.wait(lambda events: [one for one in events if one["event"] == "closed"])[0]
            assert (closed["submits"], closed["peak_outstanding"]) == (5, 5)
        said = summary(peer)
        assert (said["binds"], said["binds_refused"], said["taken"], said["refused"]) == (1, 1, 5, 0)
        assert (said["receipts_sent"], said["receipts_acknowledged"], said["peak_outstanding"]) == (5, 5, 5)


def test_it_says_for_people_where_it_listens_and_what_it_has_seen() -> None:
    port = free_port()
    process = subprocess.Popen(command("--port", str(port)), env=environment(), stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == f"listening on 127.0.0.1:{port} until Ctrl-C\n"
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=20)[0]
        assert process.returncode == 0
        assert ["submits", "0"] in [line.split() for line in told.splitlines()]
    finally:
        process.kill()
        process.wait()


def test_a_line_of_standard_input_is_delivered_and_a_wrong_one_named() -> None:
    peer, port = started("--mo", "--system-id", "acme")
    with peer:
        peer.tell(**{"from": "56912345678", "to": "96000", "text": "Hello"})  # kept until somebody binds
        peer.tell(**{"from": "x", "to": "96000", "text": "Hello"})
        assert "from" in peer.wait_for("trouble")[0]["text"]
        peer.tell(to="96000")
        assert '{"from":' in peer.wait_for("trouble", 2)[1]["text"]
        with Raw(port) as client:
            client.bind()
            (deliver,) = client.read()
            assert (deliver.source, deliver.destination, deliver.short_message) == ("56912345678", "96000", b"Hello")
            client.send(DeliverSmResp(sequence=deliver.sequence), Unbind(sequence=2))
            client.read()
        assert summary(peer)["inbound_acknowledged"] == 1


def test_over_tls_only_those_with_a_certificate_of_the_authority_get_in(tmp_path: Path) -> None:
    ours = self_signed(tmp_path)
    files = ["--tls-cert", str(ours.cert), "--tls-key", str(ours.key), "--tls-ca", str(ours.cert)]
    peer, port = started(*files)
    with peer:
        trusting = ssl.create_default_context(cafile=str(ours.cert))
        with pytest.raises((ssl.SSLError, ConnectionError, AssertionError)), Raw(port, trusting) as nobody:
            nobody.bind()
        trusting.load_cert_chain(ours.cert, ours.key)
        with Raw(port, trusting) as client:
            assert client.bind().status == 0
        assert summary(peer)["binds"] == 1


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (["--password", "secret"], 2, ["--password", "--system-id"]),
        (["--status", "45"], 2, ["--status '45'", "1234=0x45"]),
        (["--port", "99999"], 2, ["'99999'", "give 65535 or less"]),
        (["--window", "0"], 2, ["'0'", "give 1 or more"]),
        (["--receipts", "some"], 2, ["'some'", "failed"]),
        (["--ids", "octal"], 2, ["'octal'", "hex-dlr-dec"]),
        (["--tls-cert", "/missing.pem"], 2, ["--tls-cert", "/missing.pem", "PEM"]),
        (["--port", "0", "--log", "/missing/log"], 3, ["--log", "/missing/log", "can be written"]),
    ],
)
def test_a_wrong_option_is_refused_with_its_name_its_value_and_the_remedy(
    options: Sequence[str], code: int, told: Sequence[str]
) -> None:
    ended, said = refused(*options)
    assert ended == code, said
    for words in told:
        assert words in said
    assert "Traceback" not in said


def test_a_port_in_use_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, said = refused("--port", str(port))
    assert (code, "--port" in said, str(port) in said) == (3, True, True)
