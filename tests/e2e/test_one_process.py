"""One data folder, one serving process."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.harness.client import Client
from tests.harness.server import Server


def test_a_second_server_over_the_same_folder_refuses_and_says_so(data: Path) -> None:
    with Server(data) as first:
        second = Server(data)
        second.log = data.parent / "second.out"
        second.credentials_file = data.parent / "second.json"
        second.spawn()
        assert second.died() not in (0, None)
        said = second.printed()
        assert str(data) in said, said
        assert "Traceback" not in said, said
        assert not second.credentials_file.exists()
        client = Client(first, first.credentials)
        assert client.wait_final(client.submit())["info"]["status"]["status"] == "DELIVERED"


@pytest.mark.slow
def test_after_kill_dash_nine_the_folder_is_free_again(data: Path) -> None:
    server = Server(data)
    with server:
        client = Client(server, server.credentials)
        submission_id = client.submit()
        server.kill()
        server.start()
        assert client.wait_final(submission_id)["info"]["cost"] == 1
        again = Client(server, server.credentials)
        assert again.credentials == client.credentials
        assert again.balance() == "456.00"


def test_a_server_told_to_stop_ends_in_order_and_starts_again(data: Path) -> None:
    server = Server(data)
    with server:
        client = Client(server, server.credentials)
        ids = [client.submit() for _ in range(20)]
        assert server.stop() == 0
        server.start()
        assert {client.wait_final(id_)["info"]["status"]["status"] for id_ in ids} == {"DELIVERED"}
        assert client.balance() == "437.00"
