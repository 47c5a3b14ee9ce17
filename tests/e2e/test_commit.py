"""What a caller may conclude from an answer, and from none, when something happens to the commit behind it."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from tests.harness.client import JSON, Client, message, phone
from tests.harness.server import Server
from tests.harness.wire import ConnectionEndedError, Response, encode

KILLABLE = Path(__file__).parents[1] / "harness" / "killable.py"


def trapped(data: Path, trap: str, at: int = 1) -> Server:
    return Server(data, launcher=[str(KILLABLE)], variables={"TRAP": trap, "TRAP_AT": str(at)})


def send_at_once(client: Client, count: int) -> list[Response | None]:
    """Several sends, each of two messages, in one segment; None for those without an answer."""
    body = json.dumps(message([phone(), phone()])).encode()
    answers: list[Response | None] = [None] * count
    with client.server.wire() as wire:
        wire.send(encode("POST", "/api/sms", [client.bearer, JSON], body) * count)
        for n in range(count):
            try:
                answers[n] = wire.read()
            except ConnectionEndedError:
                break
    return answers


@pytest.mark.parametrize(("trap", "balance"), [("inside", "457.00"), ("after", "455.00")])
def test_no_answer_is_given_before_the_commit_is_on_disk(data: Path, trap: str, balance: str) -> None:
    """Killed within the commit or right after it, the server has promised nothing; and what it took, it keeps."""
    with trapped(data, trap) as server:
        assert send_at_once(Client(server, server.credentials), 1) == [None]
        assert server.died() == -signal.SIGKILL
    with Server(data) as again:
        assert Client(again, again.credentials).balance() == balance
        assert again.cli_here("audit", json=False).code == 0


def test_a_commit_that_is_refused_is_503_for_all_who_waited_for_it_and_costs_nothing(data: Path) -> None:
    with trapped(data, "refused") as server:
        client = Client(server, server.credentials)
        first, *others = send_at_once(client, 6)
        assert first is not None
        assert first.status == 503
        assert int(first.header("Retry-After") or 0) >= 1
        kept = [answer for answer in others if answer is not None and answer.status == 200]
        assert {answer.status for answer in others if answer is not None} <= {200, 503}
        assert client.balance() == f"{457 - 2 * len(kept)}.00"
        assert client.send([phone()]).status == 200
        ids = [entry["submissionId"] for answer in kept for entry in answer.json()["submissions"]]
        assert all(client.wait_final(id_)["info"]["cost"] == 1 for id_ in ids)
        assert server.cli_here("audit", json=False).code == 0


def test_a_commit_of_unknown_effect_is_503_and_the_server_recovers_from_the_file(data: Path) -> None:
    with trapped(data, "unknown") as server:
        (answer,) = send_at_once(Client(server, server.credentials), 1)
        assert answer is not None
        assert answer.status == 503
        assert server.died() not in (0, None)
    with Server(data) as again:
        client = Client(again, again.credentials)
        assert client.balance() == "455.00"
        assert client.send([phone()]).status == 200
        assert again.cli_here("audit", json=False).code == 0
