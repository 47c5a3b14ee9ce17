"""`heliograph explain` and the errors of 747 SMS."""

from __future__ import annotations

from tests.unit.cli.conftest import Command


def test_code_of_the_api_leads_to_the_errors_behind_it(heliograph: Command) -> None:
    assert heliograph("explain", "invalid_phone_number").out.startswith("recipient_invalid: ")
    assert "token_missing" in heliograph("explain", "authentication_failed").out


def test_json_has_the_statuses_of_all_apis(heliograph: Command) -> None:
    apis = heliograph.json("explain", "text_too_long")["apis"]
    assert {one["status"] for one in apis.values()} == {400, 422}
