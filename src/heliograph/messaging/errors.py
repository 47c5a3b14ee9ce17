"""Errors: everything that can go wrong is one of these, with a `Kind` of the registry.

    HeliographError
    ├── CallerError     the request cannot be served as it is; the caller can mend it
    ├── CarrierError    a carrier refused or cannot be reached
    └── OurFault        the server's state or a bug; the caller may try again

Each dialect owns a table from `Kind.code` to its own status and body (`dialects/*.py`), the pages under `/errors` are
made from the registry, and tests show that both are total.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from heliograph.messaging.registry import *  # noqa: F403 (every kind is `errors.NAME`)
from heliograph.messaging.registry import Kind


class HeliographError(Exception):
    """Base of everything that Heliograph raises on purpose.

    `detail` names the value and the remedy in one sentence; `pointer` is the RFC 6901 pointer of the field at fault, or
    "". `problems` are further (pointer, message) pairs when several fields are at fault. `facts` are the numbers and
    names behind the sentence, for a dialect that tells them apart.
    """

    def __init__(
        self,
        kind: Kind,
        detail: str = "",
        *,
        pointer: str = "",
        problems: tuple[tuple[str, str], ...] = (),
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail or kind.title)
        self.kind = kind
        self.detail = detail or kind.cause
        self.facts = facts or {}
        self.problems = problems or (((pointer, self.detail),) if pointer else ())

    def point_at(self, pointer: str) -> None:
        """Name the field at fault, for a rule that does not know where its value came from."""
        self.problems = ((pointer, self.detail),)

    @property
    def pointer(self) -> str:
        """The first field at fault, or ""."""
        return self.problems[0][0] if self.problems else ""


class CallerError(HeliographError):
    """The request cannot be served as it is. `retry_after_seconds`, unless 0, goes into `Retry-After`."""

    def __init__(
        self,
        kind: Kind,
        detail: str = "",
        *,
        pointer: str = "",
        problems: tuple[tuple[str, str], ...] = (),
        retry_after_seconds: int = 0,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(kind, detail, pointer=pointer, problems=problems, facts=facts)
        self.retry_after_seconds = retry_after_seconds


class CarrierError(HeliographError):
    """A carrier refused, or cannot take more. `retry_after_seconds` goes into `Retry-After`."""

    def __init__(self, kind: Kind, detail: str = "", *, retry_after_seconds: int = 30) -> None:
        super().__init__(kind, detail)
        self.retry_after_seconds = retry_after_seconds


class OurFault(HeliographError):
    """The server's state or a bug. `retry_after_seconds` goes into `Retry-After`."""

    def __init__(self, kind: Kind, detail: str = "", *, retry_after_seconds: int = 1) -> None:
        super().__init__(kind, detail)
        self.retry_after_seconds = retry_after_seconds
