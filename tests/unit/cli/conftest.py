"""Commands run in this process, as `main` runs them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from tests.harness.server import Ran

from heliograph.cli.main import main


class Command:
    """`heliograph WORDS…` over one data folder."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch
        self._capfd = capfd

    def __call__(self, *words: str, code: int = 0) -> Ran:
        """Run it; anything but this exit code is an error of the test."""
        self._monkeypatch.setattr(sys, "argv", ["heliograph", *words])
        self._capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = self._capfd.readouterr()
        ran = Ran(int(ended.value.code or 0), out, err)
        assert ran.code == code, ran
        assert "Traceback" not in err
        return ran

    def json(self, *words: str) -> Any:
        return self(*words, "--json").data


@pytest.fixture
def heliograph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Command:
    monkeypatch.setenv("HELIOGRAPH_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return Command(tmp_path / "data", monkeypatch, capfd)
