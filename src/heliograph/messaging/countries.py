"""Which country a number belongs to, and whether an account may send there."""

from __future__ import annotations

from functools import lru_cache

from heliograph.messaging import errors
from heliograph.messaging.numbers import parsed


@lru_cache(16384)
def country_of(digits: str) -> str:
    """The ISO 3166-1 alpha-2 code of a number's country (E.164 digits), "" where it has none or nobody knows.

    Countries that share a calling code (1, 7, 44 and others) are told apart by the number's range; a number that is in
    no range that is in use counts as of the main country of its calling code.
    """
    from phonenumbers import region_code_for_country_code, region_code_for_number

    number = parsed(digits)
    if number is None or number.country_code is None:
        return ""
    region = region_code_for_number(number) or region_code_for_country_code(number.country_code)
    return region if len(region) == 2 and region.isalpha() and region != "ZZ" else ""


def known_countries() -> frozenset[str]:
    """The codes of all countries that have numbers."""
    from phonenumbers import SUPPORTED_REGIONS

    return frozenset(SUPPORTED_REGIONS)


def check(digits: str, allowed: frozenset[str] | None) -> None:
    """Raise `CallerError(COUNTRY_NOT_ALLOWED)` for a destination outside `allowed`; None allows all."""
    if allowed is None:
        return
    country = country_of(digits)
    if country not in allowed:
        where = f"is in {country}, which" if country else "belongs to no country, so it"
        detail = f"{digits} {where} is not among the account's destinations; remove it, or ask the operator to add it."
        raise errors.CallerError(errors.COUNTRY_NOT_ALLOWED, detail)
