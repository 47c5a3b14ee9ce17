"""The 747 dialect can be taken out: its own files, one line of dispatch, a few of the composition root, and no more."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.harness.client import Client
from tests.harness.server import Server, environment
from tests.harness.wire import Wire, encode

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
EDITS = {
    "api/asgi.py": ((r'"sms747", "realtime"', '"realtime",'),),
    "app.py": (
        (r"import realtime, sms747\n", "import realtime\n"),
        (r"\{sms747\.DIALECT: [^\n]*\},\n", "{},\n"),
        (r"    keys_and_secrets = [^\n]*\n", ""),
        (r"        CredentialKind\(sms747\.[^\n]*\n", ""),
    ),
}
"""What is edited besides, in `src/heliograph`: patterns that match once, and what comes in their place."""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources and tests without whatever has 747 in its name, and with the edits."""
    copy = tmp_path_factory.mktemp("without") / "tree"
    copy.mkdir()
    for name in ("src", "tests", "docs", "benchmarks", "tools"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*747*"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    assert not list(copy.rglob("*747*"))
    for file, edits in EDITS.items():
        path = copy / "src/heliograph" / file
        text = path.read_text()
        for pattern, new in edits:
            text, count = re.subn(pattern, new, text)
            assert count == 1, f"{file}: {pattern}"
        path.write_text(text)
    return copy


def python(tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python in the copy, of which alone it knows."""
    variables = {**environment(), "PYTHONPATH": os.pathsep.join([str(tree / "src"), str(tree)])}
    return subprocess.run(
        [sys.executable, *arguments], cwd=tree, env=variables, capture_output=True, text=True, timeout=300, check=False
    )


def test_what_is_left_names_it_nowhere_that_matters(tree: Path) -> None:
    imports = re.compile(r"^\s*(from|import) .*747", re.MULTILINE)
    assert [path for path in tree.rglob("*.py") if imports.search(path.read_text())] == []


@pytest.fixture
def server(tree: Path, tmp_path: Path) -> Iterator[Server]:
    with contextlib.ExitStack() as stack:
        # The harness puts its own tree last: the copy comes before it.
        stack.enter_context(pytest.MonkeyPatch.context()).setenv("PYTHONPATH", str(tree / "src"))
        yield stack.enter_context(Server(tmp_path / "data"))


def test_the_rest_serves_as_if_it_had_never_been(server: Server) -> None:
    assert set(server.credentials) == {"base_url", "account_id", "realtime", "webhook_secret"}
    client = Client(server, server.credentials)
    assert client.wait_final(client.submit())["info"]["status"]["status"] == "DELIVERED"
    expected = {"/": 200, "/docs": 200, "/docs/realtime": 200, "/errors": 200, "/errors/token_invalid": 200}
    expected |= {"/docs/sms747": 404, "/api/v1/account": 404}
    with Wire(server.address) as wire:
        for path, status in expected.items():
            wire.send(encode("GET", path))
            answer = wire.read()
            assert answer.status == status, path
    assert "Traceback" not in server.printed()


def test_all_other_tests_are_found_and_those_of_what_it_touched_pass(tree: Path) -> None:
    collected = python(tree, "-m", "pytest", "-q", "--collect-only", "-p", "no:cacheprovider", "tests")
    assert collected.returncode == 0, collected.stdout[-3000:] + collected.stderr[-3000:]
    touched = ["tests/unit/api/test_reference.py", "tests/unit/api/test_pages.py", "tests/unit/cli"]
    ran = python(tree, "-m", "pytest", "-q", "-p", "no:cacheprovider", *touched)
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
