"""A thousand parallel retries of one key, the server killed in their midst: one message, one charge, one answer."""

from __future__ import annotations

import json
import random
import signal
import threading
import uuid
from pathlib import Path

import pytest
from tests.e2e.test_durability import KILLABLE
from tests.harness.client import JSON, Client, message, phone
from tests.harness.server import Server
from tests.harness.wire import ConnectionEndedError, Response, encode

pytestmark = pytest.mark.slow

RETRIES, CONNECTIONS = 1_000, 20
BODY = json.dumps(message([phone("0000", n) for n in range(3)])).encode()


def retry(client: Client, key: str, times: int, answers: list[Response]) -> None:
    """Sends the same request again and again, some at a time, until the server is gone."""
    request = encode("POST", "/api/sms", [client.bearer, JSON, ("Idempotency-Key", key)], BODY)
    try:
        with client.server.wire(timeout=30) as wire:
            wire.send(request * times)
            for _ in range(times):
                answers.append(wire.read())
    except (ConnectionEndedError, OSError):
        return


def thousand(client: Client, key: str) -> list[Response]:
    assert client.token
    answers: list[Response] = []
    work = (client, key, RETRIES // CONNECTIONS, answers)
    threads = [threading.Thread(target=retry, args=work) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


@pytest.mark.parametrize("trap", ["inside", "after"])
def test_a_thousand_parallel_retries_with_a_crash_are_one_message(data: Path, trap: str) -> None:
    key = str(uuid.uuid4())
    # The first group with an acceptance is the only one: the repeats accept nothing.
    variables = {"TRAP": trap, "TRAP_AT": "1"}
    with Server(data, launcher=[str(KILLABLE)], variables=variables) as doomed:
        before = thousand(Client(doomed, doomed.credentials), key)
        assert doomed.died() == -signal.SIGKILL
    assert before == [], "an answer before its commit"
    with Server(data) as server:
        client = Client(server, server.credentials)
        answers = thousand(client, key)
        assert {answer.status for answer in answers} == {200}
        (answer,) = {answer.body for answer in answers}
        assert len(answers) == RETRIES
        first = sum(answer.header("Idempotency-Replayed") is None for answer in answers)
        assert first == (1 if trap == "inside" else 0)
        ids = [entry["submissionId"] for entry in json.loads(answer)["submissions"]]
        for id_ in ids:
            client.wait_final(id_)
        assert client.balance() == "454.00"
        assert len(server.cli("message", "list").data) == len(ids) == 3
        assert server.cli("audit", json=False).code == 0


def test_a_kill_at_any_moment_between_leaves_one_message(data: Path) -> None:
    pick = random.Random(17)
    keys = [str(uuid.uuid4()) for _ in range(5)]
    told: dict[str, set[bytes]] = {key: set() for key in keys}
    for round_ in range(4):
        with Server(data) as server:
            client = Client(server, server.credentials)
            timer = threading.Timer(pick.uniform(0.0, 0.6), server.kill) if round_ < 3 else None
            if timer:
                assert client.token
                timer.start()
            for key in keys:
                told[key] |= {answer.body for answer in thousand(client, key) if answer.status == 200}
            if timer:
                timer.join()
            else:
                assert client.balance() == f"{457 - 3 * len(keys)}.00"
                assert len(server.cli("message", "list").data) == 3 * len(keys)
                assert server.cli("audit", json=False).code == 0
    assert {len(bodies) for bodies in told.values()} == {1}
