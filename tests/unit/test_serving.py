"""How many connections a process may hold."""

from __future__ import annotations

import logging
import resource

import pytest

from heliograph import serving


class Limits:
    """Stands for the kernel's limit of open files."""

    def __init__(self, soft: int, hard: int, *, refuses: bool = False) -> None:
        self.now = (soft, hard)
        self._refuses = refuses

    def get(self, which: int) -> tuple[int, int]:
        assert which == resource.RLIMIT_NOFILE
        return self.now

    def set(self, which: int, limits: tuple[int, int]) -> None:
        assert which == resource.RLIMIT_NOFILE
        if self._refuses:
            raise ValueError("the kernel has a limit of its own")
        self.now = limits


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> type[Limits]:
    class Installed(Limits):
        def __init__(self, soft: int, hard: int, *, refuses: bool = False) -> None:
            super().__init__(soft, hard, refuses=refuses)
            monkeypatch.setattr(serving.resource, "getrlimit", self.get)
            monkeypatch.setattr(serving.resource, "setrlimit", self.set)

    return Installed


def test_a_low_soft_limit_is_raised_as_far_as_the_settings_need(limit: type[Limits]) -> None:
    files = limit(1024, 1_000_000)
    assert serving.connections_that_fit(10_000, 100) == 10_000
    soft, hard = files.now
    assert 10_100 < soft < 20_000
    assert hard == 1_000_000


@pytest.mark.parametrize("soft", [100_000, resource.RLIM_INFINITY])
def test_a_limit_that_is_high_enough_stays(limit: type[Limits], soft: int) -> None:
    files = limit(soft, soft)
    assert serving.connections_that_fit(10_000, 100) == 10_000
    assert files.now == (soft, soft)


def test_without_a_hard_limit_no_more_is_taken_than_needed(limit: type[Limits]) -> None:
    files = limit(1024, resource.RLIM_INFINITY)
    assert serving.connections_that_fit(10_000, 100) == 10_000
    assert 10_100 < files.now[0] < 20_000


@pytest.mark.parametrize(("hard", "refuses"), [(4096, False), (1_000_000, True)])
def test_a_limit_that_cannot_be_raised_means_fewer_connections_and_says_so(
    limit: type[Limits], caplog: pytest.LogCaptureFixture, hard: int, refuses: bool
) -> None:
    limit(4096, hard, refuses=refuses)
    with caplog.at_level(logging.WARNING):
        fit = serving.connections_that_fit(10_000, 100)
    assert 3000 < fit < 4096 - 100
    assert "http.max_connections is 10000" in caplog.text
    assert "LimitNOFILE" in caplog.text
