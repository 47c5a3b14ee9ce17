"""`heliograph` with a bug in every service that a request can meet.

python tests/harness/broken.py demo …
"""

from __future__ import annotations

from typing import NoReturn

from heliograph.cli.main import main
from heliograph.service.query import Query
from heliograph.service.submit import Submit


def broken(*_: object) -> NoReturn:
    raise ZeroDivisionError("a secret detail")


async def broken_later(*_: object) -> NoReturn:
    broken()


if __name__ == "__main__":
    Submit.__call__ = broken  # type: ignore[method-assign]
    Query.balance_micros = broken_later  # type: ignore[method-assign]
    Query.message = broken_later  # type: ignore[method-assign]
    main()
