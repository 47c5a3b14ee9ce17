"""Which carrier takes a message."""

from __future__ import annotations

import pytest

from heliograph.messaging import errors
from heliograph.messaging.errors import CallerError
from heliograph.messaging.routing import Routes

ROUTES = Routes({"main": 1, "cheap": 2}, "main")


def test_accounts_own_carrier_comes_before_the_default() -> None:
    assert ROUTES.choose("cheap", "56912345678") == 2
    assert ROUTES.choose("", "56912345678") == 1


@pytest.mark.parametrize(("routes", "preferred"), [(ROUTES, "gone"), (Routes({}, ""), ""), (Routes({"a": 1}, "b"), "")])
def test_without_a_carrier_the_number_is_refused_by_name(routes: Routes, preferred: str) -> None:
    with pytest.raises(CallerError) as caught:
        routes.choose(preferred, "56912345678")
    assert caught.value.kind is errors.NO_ROUTE
    assert "56912345678" in caught.value.detail
