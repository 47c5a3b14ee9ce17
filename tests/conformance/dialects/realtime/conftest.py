"""A server with little room, beside the usual ones."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.conftest import DOORS
from tests.harness.client import Client
from tests.harness.server import Server


@pytest.fixture(scope="session", params=list(DOORS))
def cramped(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A server that gives a request half a second to arrive and lets twenty rows wait to be stored."""
    settings = {"http.request_timeout_seconds": "0.6", "limits.waiting_rows": "20"}
    data = tmp_path_factory.mktemp(f"cramped-{request.param}") / "data"
    with Server(data, settings={"http.lean_door": DOORS[request.param], **settings}) as started:
        yield Client(started, started.credentials)
