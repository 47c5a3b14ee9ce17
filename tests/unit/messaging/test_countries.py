"""Which country a number belongs to."""

from __future__ import annotations

import pytest

from heliograph.messaging import countries, errors
from heliograph.messaging.errors import CallerError


@pytest.mark.parametrize(
    ("digits", "country"),
    [
        ("56912345678", "CL"),
        ("447945223343", "GB"),
        ("447797712345", "JE"),  # Jersey shares 44
        ("12125550123", "US"),
        ("14165550123", "CA"),  # Canada shares 1
        ("79161234567", "RU"),
        ("77011234567", "KZ"),
        ("390612345678", "IT"),
        ("56900000000", "CL"),
    ],
)
def test_country_of_a_number(digits: str, country: str) -> None:
    assert countries.country_of(digits) == country


@pytest.mark.parametrize("digits", ["99912345678", "883510001234", "870773111632"])
def test_numbers_of_no_country_have_none(digits: str) -> None:
    assert countries.country_of(digits) == ""


def test_a_number_in_no_range_counts_as_of_its_calling_codes_country() -> None:
    assert countries.country_of("56000000000") == "CL"


def test_only_what_is_allowed_passes() -> None:
    countries.check("56912345678", None)
    countries.check("56912345678", frozenset({"CL"}))
    for digits, allowed in (("56912345678", {"GB"}), ("883510001234", {"GB", "CL"}), ("56912345678", set[str]())):
        with pytest.raises(CallerError) as caught:
            countries.check(digits, frozenset(allowed))
        assert caught.value.kind is errors.COUNTRY_NOT_ALLOWED
        assert digits in caught.value.detail


def test_known_countries_are_those_with_numbers() -> None:
    known = countries.known_countries()
    assert {"GB", "IE", "CL", "US", "KZ"} <= known
    assert all(len(code) == 2 and code.isupper() for code in known)
    assert "UK" not in known
