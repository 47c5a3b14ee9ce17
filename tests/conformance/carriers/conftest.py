"""Every carrier sits the same suite."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conformance.carriers.peers import PEERS, Peer


@pytest.fixture(params=list(PEERS))
def peer(request: pytest.FixtureRequest, tmp_path: Path) -> Peer:
    return PEERS[request.param](tmp_path)
